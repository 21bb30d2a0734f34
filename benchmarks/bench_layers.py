"""Quantised layers against other libraries, each alone in a process; fp32 in and out, our amax in flight.

A table per batch size and number of threads: our time and speed, the share of this machine's peak for products of small
integers, measured in the same run, and how many times as long each peer takes. Peers that are not installed are left
out: torch, onnxruntime, openvino, onednn-cpu-gomp with onednn-devel-cpu-gomp. `--write` puts one thread and batch 1
into README.md and everything into docs/performance.md, in the section of this kind of machine.
"""
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import layer_report
import product_peak
from layer_shapes import IN_README

from pytorch_quantization_c import isa

HERE = Path(__file__).parent
README, PAGE = HERE.parent / "README.md", HERE.parent / "docs" / "performance.md"
LIBRARIES = ("ours", "torch fp32", "ORT fp32", "torch int8", "ORT int8", "OpenVINO int8", "oneDNN int8")
# torch's own kernels, and those of oneDNN and MKL inside it; onnxruntime has no such setting.
TORCH_AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2",
              "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
AVX2 = {"ours, AVX2": ("ours", {"PQC_ISA": "avx2"}), "torch fp32, AVX2": ("torch fp32", TORCH_AVX2)}


def measured(library: str, batch: int, threads: int, seconds: float, only: list[str],
             environment: dict[str, str]) -> dict[str, float]:
    """Seconds of each shape; none if the library is not installed."""
    command = [sys.executable, str(HERE / "layer_worker.py"), library, str(batch), str(threads), str(seconds), *only]
    paths = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, **environment}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        print(f"{library} left out: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return {}
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def gathered(batch: int, threads: int, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """The best of some rounds in which every library has its turn."""
    wanted = {name: (name, {}) for name in LIBRARIES}
    if options.avx2 and batch == 1 and isa.available()[-1] != "avx2":
        wanted |= AVX2
    best: dict[str, dict[str, float]] = {name: {} for name in wanted}
    for _ in range(options.rounds):
        for name, (library, environment) in wanted.items():
            for shape, seconds in measured(library, batch, threads, options.seconds, options.only, environment).items():
                best[name][shape] = min(seconds, best[name].get(shape, float("inf")))
    return best


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--only", nargs="+", default=[], help="shapes whose name has one of these texts")
    parser.add_argument("--seconds", type=float, default=0.3, help="for one shape of one library")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--avx2", action="store_true", help="also with AVX2 alone, against torch pinned to it")
    parser.add_argument("--quick", action="store_true", help="one round, batch 1, one thread")
    parser.add_argument("--write", action="store_true", help="write the tables into README.md and docs/performance.md")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.batch, options.threads, options.seconds = 1, [1], [1], 0.1
    if options.write and (options.only or (1 not in options.batch) or (1 not in options.threads)):
        parser.error("--write needs all shapes, batch 1 and one thread among the others")
    if isa.selected() != isa.available():
        parser.error("PQC_ISA is set: the tables belong to what the machine has")
    return options


def main() -> None:
    options = arguments()
    kind, peak = isa.available()[-1], product_peak.measured()
    head = layer_report.headline(kind, peak)
    print(head, flush=True)
    parts, brief = [head], ""
    for batch in options.batch:
        for threads in options.threads:
            times = gathered(batch, threads, options)
            parts += [layer_report.title(batch, threads), layer_report.table(batch, threads, times, peak)]
            print("", *parts[-2:], sep="\n", flush=True)
            if batch == threads == 1:
                brief = f"{head}\n\n{layer_report.table(batch, threads, times, peak, IN_README)}"
    if options.write:
        for page, text in ((README, brief), (PAGE, "\n\n".join(parts))):
            page.write_text(layer_report.with_section(page.read_text(), kind, text))


if __name__ == "__main__":
    main()
