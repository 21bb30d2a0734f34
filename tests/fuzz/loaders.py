"""Every reader of files: a file that it accepts, ways to damage it, and what it may say to a damaged one."""
from __future__ import annotations

import contextlib
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np

from pytorch_quantization_c import calib, demo, float_nn, interchange, nn, quant_modules, tensor_quant
from pytorch_quantization_c._core import safetensors
from pytorch_quantization_c._core.npz import read_arrays
from pytorch_quantization_c.graph.program import document
from pytorch_quantization_c.graph.session import load_session
from pytorch_quantization_c.methods.layer_rounding import WeightProblem
from pytorch_quantization_c.methods.rounding_state import RoundingState
from pytorch_quantization_c.model import sensitivity, state_file
from pytorch_quantization_c.model.quantizers import named_quantizers
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .mutations import mutated_bytes, mutated_safetensors, mutated_text, mutated_zip

REFUSALS = (ValueError, TypeError)
MIN_BYTES = 1 << 20  # bytes that any reader may use, however small the file: the model it makes, the text of its error
TIMES = 12       # and for each byte of the file: JSON as Python objects

DIGITS = Path(demo.__file__).parent / "data" / "lenet_digits.npz"
PROGRAM = DIGITS.with_name("lenet.pqc")

X = np.linspace(-1, 1, 2 * 4 * 6 * 6, dtype=np.float32).reshape(2, 4, 6, 6)


class Loader(NamedTuple):
    """`read(path)` of a file with the bytes `data`; `state()` may change only if it succeeds.

    `least`: bytes of memory that it may take, however small the file.
    """

    name: str
    data: bytes
    damage: Callable[[bytes, Random], bytes]
    read: Callable[[Path], Any]
    state: Callable[[], Any] = lambda: None
    refusals: tuple[type[Exception], ...] = REFUSALS
    least: int = MIN_BYTES


def small_model(method: str = "histogram") -> Any:
    quant = QuantDescriptor(num_bits=8, calib_method=method)
    model = float_nn.Sequential(nn.QuantConv2d(4, 4, 3, quant_desc_input=quant), nn.QuantLinear(4, 3))
    for _, quantizer in named_quantizers(model):
        quantizer.disable_quant()
        quantizer.enable_calib()
    model(X)
    for _, quantizer in named_quantizers(model):
        quantizer.enable_quant()
        quantizer.disable_calib()
        if isinstance(quantizer._calibrator, calib.MaxCalibrator):
            quantizer.load_calib_amax()
        else:
            quantizer.load_calib_amax("entropy")
    return model


def state_of(model: Any) -> Callable[[], Any]:
    def state() -> Any:
        arrays = {name: np.asarray(value).tobytes() for name, value in model.state_dict().items()}
        return arrays, [(repr(quantizer), repr(quantizer._calibrator)) for _, quantizer in
                        named_quantizers(model)]

    return state


def written(write: Callable[[Path], Any]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "file")
        return (Path(folder) / "file").read_bytes()


def read_digits(path: Path) -> None:
    with path.open("rb") as stream:
        read_arrays(stream, demo.STORED)


def load_calibrator(calibrator: Any) -> Callable[[Path], Any]:
    def read(path: Path) -> None:
        calibrator.load(path)
        if isinstance(calibrator, calib.HistogramCalibrator):
            calibrator.compute_amax("percentile", percentile=99)
        with contextlib.suppress(RuntimeError):  # the file may be of an amax of another shape
            calibrator.collect(X)

    return read


def mutated_program(data: bytes, random: Random) -> bytes:
    """Half of them with a fingerprint that fits, so that more is looked at than that."""
    data = mutated_safetensors(data, random)
    if random.random() < 0.5:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            arrays, metadata = safetensors.deserialize(data)
            mark = document._mark(metadata["program"], arrays)
            return safetensors.serialize(arrays, {**metadata, "mark": mark})
    return data


def run_program(path: Path) -> None:
    load_session(path, num_threads=1).run(None, {"x": np.linspace(0, 1, 784, dtype=np.float32).reshape(1, 1, 28, 28)})


def checkpoints() -> list[Loader]:
    """Both files of folders in each format: one is damaged, the other is as it was written."""
    found = []
    for kind, desc in (("int8", tensor_quant.QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW),
                       ("int4", tensor_quant.QUANT_DESC_INT4_GROUPS_OF_32_WEIGHT),
                       ("fp8", tensor_quant.QUANT_DESC_FP8_PER_TENSOR),
                       ("nvfp4", tensor_quant.QUANT_DESC_NVFP4_WEIGHT)):
        model = float_nn.Sequential(nn.QuantLinear(64, 3, quant_desc_weight=desc), nn.QuantLinear(3, 2))
        model[1].weight_quantizer.disable()
        for save in (interchange.save_compressed_tensors, interchange.save_modelopt):
            if kind == "int4" and save is interchange.save_modelopt:
                continue
            with tempfile.TemporaryDirectory() as folder:
                save(model, folder)
                files = {each.name: each.read_bytes() for each in Path(folder).iterdir()}
            for name, data in files.items():
                damage = mutated_safetensors if name == "model.safetensors" else mutated_text
                found.append(Loader(f"{name} of {kind} by {save.__name__}", data, damage,
                                    checkpoint_reader(files, name, model), state_of(model)))
    return found


def checkpoint_reader(files: dict[str, bytes], name: str, model: Any) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for each, data in files.items():
                (Path(folder) / each).write_bytes(path.read_bytes() if each == name else data)
            interchange.load_checkpoint(folder, model)

    return read


def rounded_weights() -> Loader:
    weight = np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8) ** 3
    problem = WeightProblem(weight, np.abs(weight).max(axis=1), 4, None)

    def read(path: Path) -> None:
        with RoundingState(path) as state:
            for method in ("gptq", "adaround"):
                state.rounded(problem, method)

    with tempfile.TemporaryDirectory() as folder:
        read(Path(folder) / "state")
        return Loader("rounded weights", (Path(folder) / "state").read_bytes(), mutated_safetensors, read)


def build() -> list[Loader]:
    model = small_model()
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(3, bool), "c": np.float64(2)}
    maximum, histogram = calib.MaxCalibrator(8, 0, False, True), calib.HistogramCalibrator(8, None, False, num_bins=32)
    for calibrator in (maximum, histogram):
        calibrator.collect(X)
    frozen = quant_modules.freeze(small_model("max"), keep_float=False)
    yaml = QuantDescriptor(num_bits=(4, 3), axis=(0, 1), amax=2.5, name="a", calib_method="histogram").to_yaml()
    layers = sensitivity._layers(small_model())
    resume = written(lambda path: sensitivity._write(path, "m", {name: 1.5 for name in layers}))
    result = [
        Loader("safetensors", safetensors.serialize(arrays, {"k": "v"}), mutated_safetensors, safetensors.load_file),
        Loader("quantizer states", written(lambda path: state_file.save_quant_state(model, path)), mutated_safetensors,
               lambda path: state_file.load_quant_state(model, path), state_of(model)),
        Loader("a frozen model", written(lambda path: quant_modules.save_frozen(frozen, path)), mutated_safetensors,
               lambda path: quant_modules.load_frozen(frozen, path), state_of(frozen), (*REFUSALS, RuntimeError)),
        Loader("resume of sensitivity", resume, mutated_text, lambda path: sensitivity._read(path, "m", layers)),
        *checkpoints(), rounded_weights(),
        Loader("a program", PROGRAM.read_bytes(), mutated_program, run_program),
        Loader("the digits of the demo", DIGITS.read_bytes(), mutated_zip, read_digits),
        Loader("YAML", yaml.encode(), mutated_bytes,
               lambda path: QuantDescriptor.from_yaml(path.read_bytes().decode("utf-8", "replace"))),
    ]
    for name, calibrator in (("a max calibrator", maximum), ("a histogram calibrator", histogram)):
        result.append(Loader(name, written(calibrator.save), mutated_safetensors, load_calibrator(calibrator)))
    return result


def refusal(loader: Loader, path: Path) -> Exception | None:
    """Reads the file: the error, if there was one."""
    try:
        loader.read(path)
    except Exception as error:
        return error
    return None


def traced(loader: Loader, path: Path) -> tuple[Exception | None, int]:
    """Reads the file: the error, if there was one, and the most bytes that were held meanwhile."""
    tracemalloc.start()
    try:
        return refusal(loader, path), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def attempt(loader: Loader, data: bytes, path: Path, measure: bool = True) -> str | None:
    """Reads `data`: None if all is well, else what is wrong; without `measure`, memory may be as much as is there."""
    path.write_bytes(data)
    before = loader.state()
    most = loader.least + TIMES * len(data)
    error, peak = traced(loader, path) if measure else (refusal(loader, path), 0)
    if peak > most:  # what other threads and first imports take is not taken again
        peak = min(peak, traced(loader, path)[1])
    if peak > most:
        return f"{peak} bytes of memory for a file of {len(data)}"
    if error is None:
        return None
    if not isinstance(error, loader.refusals) or isinstance(error, UnicodeError):
        return f"{type(error).__name__}: {error}"
    if len(str(error)) > 500 + len(data):
        return f"an error of {len(str(error))} characters"
    return None if loader.state() == before else f"changed by a file that is refused: {error}"
