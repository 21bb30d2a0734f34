"""Compile the LeNet of the demo, calibrated, into `pytorch_quantization_c/data/lenet.pqc`.

    python examples/compile_lenet.py [--output FILE]

Needs the extra `onnx`. The demo runs the file with NumPy alone.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import pytorch_quantization_c as pq
from pytorch_quantization_c import demo

DEFAULT_OUTPUT = Path(demo.__file__).parent / "data" / "lenet.pqc"


def main() -> None:
    parser = argparse.ArgumentParser(description="Compile the LeNet of the demo.")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    options = parser.parse_args()
    digits = demo.load_digits()
    net = demo.quantised_net(digits)
    demo.calibrate(net, digits.calibration_images)
    pq.compile(net, digits.calibration_images[:1]).save(options.output)
    print(f"wrote {options.output} ({options.output.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
