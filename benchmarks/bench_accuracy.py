"""What the accuracy methods gain on networks that packages ship, against round-to-nearest and other quantisers.

    python benchmarks/bench_accuracy.py DATA [KEY ...] [--bits 8 4] [--recipes NAME ...] [--packages FOLDER] [--peers]

DATA is a folder with a folder for each set of data, as for bench_models.py; `KEY.onnx` in a set stands for a model that
no package here ships. Printed is, for weights of so many bits a channel and activations of 8 bits, the median over the
sets of the SQNR of all float outputs in dB on the test data, the least of the sets, and the CPU seconds that quantising
took. "nearest" is round-to-nearest: ranges of the largest values, no correction. Brevitas needs onnx2torch beside it,
and is run with equalization and bias correction, "brevitas_gptq" with GPTQ as well.
"""
from __future__ import annotations

import argparse
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
from bench_models import MODELS, PEERS, Feeds, Outputs, for_peers, samples, sqnr
from brevitas_peer import by_brevitas
from checkpoint_networks import CHECKPOINTS

from pytorch_quantization_c import graph
from pytorch_quantization_c.tensor_quant import QuantDescriptor

ALIKE = "activation_equalization"
RECIPES: dict[str, dict[str, Any]] = {
    "nearest": {"method": "max", "methods": ()},
    "default": {},
    "gptq": {"methods": ("weight_mse", "gptq", "bias_correction")},
    "alike": {"methods": (ALIKE, "bias_correction")},
    "alike_gptq": {"methods": (ALIKE, "weight_mse", "gptq", "bias_correction")},
    "equalized_gptq": {"methods": ("equalization", "weight_mse", "gptq", "bias_correction")},
    "alike_sequential": {"methods": (ALIKE, "weight_mse", "sequential_gptq", "bias_correction")},
    "adaround": {"methods": (ALIKE, "weight_mse", "adaround", "bias_correction")},
}
USUAL = ["nearest", "default", "gptq", "alike_gptq", "alike_sequential"]
Quantizer = Callable[[Any, Feeds, Feeds, Path], Outputs]


def ours(bits: int, recipe: str, model: Any, calibration: Feeds, test: Feeds, path: Path) -> Outputs:
    """The answers of a compiled program, which are those of `graph.interpret` to the bit."""
    weight = QuantDescriptor(bits, axis=0)
    session = graph.compile(graph.quantize(model, calibration, weight=weight, **RECIPES[recipe]))
    return [session.run(None, feeds) for feeds in test]


def theirs(package: str, model: Any, calibration: Feeds, test: Feeds, path: Path) -> Outputs:
    """Another quantiser's, at 8 bits, where no sum saturates."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "model.onnx"
        for_peers(path, test[0], prepared)
        return PEERS[package](prepared, calibration, test, False)


def brevitas(bits: int, gptq: bool, model: Any, calibration: Feeds, test: Feeds, path: Path) -> Outputs:
    """Brevitas', on torch."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "model.onnx"
        for_peers(path, test[0], prepared)
        return by_brevitas(prepared, calibration, test, bits, gptq)


def line(key: str, bits: int, name: str, path: Path, sets: list[Path], quantizer: Quantizer) -> str:
    """One line of the table."""
    found, seconds = [], []
    for each in sets:
        model = graph.load(path)
        inputs = [value.name or "" for value in model.graph.inputs]
        calibration, test = (samples(each / f"{key}.{part}.npz", inputs) for part in ("calibration", "test"))
        plain = graph.compile(model)
        expected = [plain.run(None, feeds) for feeds in test]
        start = time.process_time()
        try:
            found.append(sqnr(quantizer(model, calibration, test, path), expected))
        except Exception as problem:
            print(f"{key}: {name} fails: {str(problem)[:200]}", file=sys.stderr)
            return f"| {key} | {bits} | {name} | - | - | - |"
        seconds.append(time.process_time() - start)
    return f"| {key} | {bits} | {name} | {median(found):.1f} | {min(found):.1f} | {median(seconds):.0f} |"


def model_file(key: str, data: Path, packages: Path, folder: Path) -> Path | None:
    """Where a model is, as ONNX; None if it is nowhere."""
    own = next(iter(sorted(data.glob(f"*/{key}.onnx"))), None)
    if own is not None or key not in MODELS:
        return own
    path = packages / MODELS[key]
    if path.exists() and key in CHECKPOINTS:
        onnx.save(CHECKPOINTS[key](path), folder / f"{key}.onnx")
        return folder / f"{key}.onnx"
    return path if path.exists() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of sets of calibration and test data")
    parser.add_argument("keys", nargs="*", help=f"models in DATA, or of {', '.join(MODELS)}")
    parser.add_argument("--bits", type=int, nargs="+", default=[8, 4], help="of weights")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=USUAL, help=f"default: {' '.join(USUAL)}")
    parser.add_argument("--peers", action="store_true",
                        help="onnxruntime, NNCF and brevitas as well, where they are installed")
    parser.add_argument("--packages", type=Path, default=Path(sysconfig.get_paths()["purelib"]),
                        help="folder of the packages, as of `pip install --no-deps --target`; default: site-packages")
    options = parser.parse_args()
    has_brevitas = find_spec("brevitas") is not None and find_spec("onnx2torch") is not None
    print(f"NumPy {np.__version__}\n\n| model | bits of weights | recipe | SQNR, dB | least | CPU seconds |")
    print("|---|---|---|---|---|---|")
    for key in options.keys or MODELS:
        sets = sorted(each.parent for each in options.data.glob(f"*/{key}.test.npz"))
        with tempfile.TemporaryDirectory() as folder:
            path = model_file(key, options.data, options.packages, Path(folder))
            if path is None or not sets:
                continue
            for bits in options.bits:
                for name in options.recipes:
                    print(line(key, bits, name, path, sets, partial(ours, bits, name)), flush=True)
                for name in ("brevitas", "brevitas_gptq") if has_brevitas and options.peers else ():
                    print(line(key, bits, name, path, sets, partial(brevitas, bits, name.endswith("gptq"))), flush=True)
            for package in PEERS if options.peers else ():
                if find_spec(package):
                    print(line(key, 8, package, path, sets, partial(theirs, package)), flush=True)


if __name__ == "__main__":
    main()
