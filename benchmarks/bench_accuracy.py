"""What the accuracy methods gain on ONNX models, against round-to-nearest and other quantisers in the same run.

    python benchmarks/bench_accuracy.py DATA [KEY ...] [--bits 8 4] [--adaround] [--packages FOLDER] [--peers]

DATA is a folder with `KEY.calibration.npz` and `KEY.test.npz` for each model, as for bench_models.py, and with
`KEY.onnx` for a model that bench_models.py does not know. Printed is SQNR of all float outputs in dB on the test data,
weights of so many bits a channel and activations of 8 bits, and the CPU seconds that quantising took. "nearest" is
round-to-nearest: ranges of the largest values, no correction.
"""
from __future__ import annotations

import argparse
import sys
import sysconfig
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from bench_models import MODELS, by_nncf, by_onnxruntime, samples, sqnr

from pytorch_quantization_c import graph
from pytorch_quantization_c.tensor_quant import QuantDescriptor

RECIPES: dict[str, dict[str, object]] = {
    "nearest": {"method": "max", "methods": ()},
    "default": {},
    "gptq": {"methods": ("weight_mse", "gptq", "bias_correction")},
    "equalised": {"methods": ("equalization", "weight_mse", "gptq", "bias_correction")},
}
ADAROUND = {"adaround": {"methods": ("weight_mse", "adaround", "bias_correction")}}


def rows(key: str, path: Path, data: Path, bits: int, recipes: dict[str, dict[str, object]]) -> None:
    """Prints a line for each recipe."""
    calibration, test = (samples(data / f"{key}.{part}.npz") for part in ("calibration", "test"))
    model = graph.load(path)
    expected = [graph.interpret(model, feeds) for feeds in test]
    for name, options in recipes.items():
        start = time.process_time()
        int8 = graph.quantize(model, calibration, weight=QuantDescriptor(bits, axis=0), **options)  # type: ignore[arg-type]
        seconds = time.process_time() - start
        run = graph.Interpreter(int8)
        found = sqnr([run.run(feeds) for feeds in test], expected)
        print(f"| {key} | {bits} | {name} | {found:.1f} | {seconds:.0f} |", flush=True)


def peers(key: str, path: Path, data: Path) -> None:
    """Prints a line for each other quantiser that is installed, at 8 bits."""
    calibration, test = (samples(data / f"{key}.{part}.npz") for part in ("calibration", "test"))
    model = graph.load(path)
    expected = [graph.interpret(model, feeds) for feeds in test]
    for package, peer in (("onnxruntime", by_onnxruntime), ("nncf", by_nncf)):
        if not find_spec(package):
            continue
        start = time.process_time()
        try:
            found = sqnr(peer(path, calibration, test, False), expected)
        except Exception as problem:
            print(f"{key}: {package} fails: {str(problem)[:200]}", file=sys.stderr)
            continue
        print(f"| {key} | 8 | {package} | {found:.1f} | {time.process_time() - start:.0f} |", flush=True)


def model_file(key: str, data: Path, packages: Path) -> Path | None:
    """Where a model is; None if it is nowhere."""
    places = [data / f"{key}.onnx", *([packages / MODELS[key]] if key in MODELS else [])]
    return next((path for path in places if path.exists()), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of calibration and test data, and of models")
    parser.add_argument("keys", nargs="*", help=f"models in DATA, or of {', '.join(MODELS)}")
    parser.add_argument("--bits", type=int, nargs="+", default=[8, 4], help="of weights")
    parser.add_argument("--adaround", action="store_true", help="AdaRound as well, which takes minutes a model")
    parser.add_argument("--peers", action="store_true", help="onnxruntime and NNCF as well, where they are installed")
    parser.add_argument("--packages", type=Path, default=Path(sysconfig.get_paths()["purelib"]),
                        help="folder of the packages, as of `pip install --no-deps --target`; default: site-packages")
    options = parser.parse_args()
    print(f"NumPy {np.__version__}\n\n| model | bits of weights | recipe | SQNR, dB | CPU seconds |")
    print("|---|---|---|---|---|")
    for key in options.keys or MODELS:
        path = model_file(key, options.data, options.packages)
        if path is None or not (options.data / f"{key}.test.npz").exists():
            continue
        for bits in options.bits:
            rows(key, path, options.data, bits, RECIPES | (ADAROUND if options.adaround else {}))
        if options.peers:
            peers(key, path, options.data)


if __name__ == "__main__":
    main()
