"""Each network as the files that the libraries run: float, ours, and each peer's int8 by its own tools and by ours."""
from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from network_inputs import feeds
from network_models import SEEDED, shipped

from pytorch_quantization_c import graph

SAMPLES = 2
FLOAT = "float.onnx"
OURS, OURS_U8 = "ours.pqc", "ours_u8.pqc"
ORT_STATIC, ORT_OURS = "ort_static.onnx", "ort_ours.onnx"
OPENVINO_NNCF, OPENVINO_OURS = "openvino_nncf.xml", "openvino_ours.onnx"


def samples(model: Any, count: int = SAMPLES, seed: int = 0) -> list[Any]:
    """Inputs of one image, sentence or sound, by name."""
    rng = np.random.default_rng(seed)
    return [feeds(model, 1, rng) for _ in range(count)]


def _static(model: Any, target: Path) -> None:
    """onnxruntime's quantize_static: QDQ, u8 activations, s8 weights per channel, min-max."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    rest = iter(samples(model))

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Any:
            return next(rest, None)

    source = target.with_name("prepared.onnx")
    try:
        quant_pre_process(str(target.with_name(FLOAT)), str(source), skip_symbolic_shape=True)
    except Exception as why:  # whatever its optimizer trips over: then without it
        print(f"quant_pre_process: {str(why)[:100]}", file=sys.stderr)
        onnx.save(model, source)
    quantization.quantize_static(str(source), str(target), Reader(), per_channel=True,
                                 activation_type=quantization.QuantType.QUInt8,
                                 weight_type=quantization.QuantType.QInt8)


def _nncf(model: Any, target: Path) -> None:
    import nncf
    import openvino

    source = target.with_name(FLOAT)
    data = nncf.Dataset(samples(model))
    openvino.save_model(nncf.quantize(openvino.Core().read_model(str(source)), data, subset_size=SAMPLES), str(target),
                        compress_to_fp16=False)


def _ours(model: Any, target: Path, residual: str = "auto") -> None:
    int8 = graph.quantize(graph.load(model), samples(model), residual=residual, method="max", methods=())
    graph.compile(int8).save(target)


def _for_peer(name: str) -> Callable[[Any, Path], None]:
    def make(model: Any, target: Path) -> None:
        int8 = graph.quantize(graph.load(model), samples(model), method="max", methods=(), target=name)
        graph.save(int8, str(target))
    return make


FILES: dict[str, tuple[Callable[[Any, Path], None], tuple[str, ...]]] = {
    OURS: (_ours, ()), OURS_U8: (lambda model, target: _ours(model, target, "u8"), ()),
    ORT_STATIC: (_static, ("onnxruntime",)), ORT_OURS: (_for_peer("onnxruntime"), ("onnxruntime",)),
    OPENVINO_NNCF: (_nncf, ("openvino", "nncf")), OPENVINO_OURS: (_for_peer("openvino"), ("openvino",)),
}


def _answer(model: Any, path: Path, batch: int) -> None:
    """What the float network gives, in onnxruntime or else here."""
    x = feeds(model, batch, np.random.default_rng(0))
    if find_spec("onnxruntime"):
        import onnxruntime

        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        found = session.run(None, x)[0]
    else:
        found = graph.interpret(graph.load(model), x)[0]
    np.save(path, np.asarray(found))


def prepared(key: str, folder: Path, wheels: Path | None, wanted: set[str], batches: Sequence[int]) -> Path:
    """The folder of a network's files; those that are there already are kept. What cannot be made is left out."""
    place = folder / key
    place.mkdir(parents=True, exist_ok=True)
    if not (place / FLOAT).exists():
        if key not in SEEDED and wheels is None:
            raise FileNotFoundError(f"Expected --wheels FOLDER for {key}")
        onnx.save(SEEDED[key]() if key in SEEDED else shipped(key, wheels or Path()), place / FLOAT)
    model = onnx.load(place / FLOAT)
    for name, (make, packages) in FILES.items():
        if name in wanted and not (place / name).exists() and all(map(find_spec, packages)):
            print(f"{key}: {name}", file=sys.stderr, flush=True)
            try:
                make(model, place / name)
            except Exception as why:  # a peer's tool that fails on a network is no reason to measure nothing
                print(f"{key}: no {name}: {type(why).__name__}: {str(why)[:200]}", file=sys.stderr)
    for batch in batches:
        if not (place / f"answer_{batch}.npy").exists():
            _answer(model, place / f"answer_{batch}.npy", batch)
    return place
