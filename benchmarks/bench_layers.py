"""Quantised layers against torch and onnxruntime, each alone in a process; fp32 in and out, amax in flight.

A table per batch size and number of threads: our time and speed, the share of the machine's dot product peak measured
in the same run, and how many times as long each peer takes. `--readme` writes the tables into README.md.
"""
from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness
from layer_shapes import shapes

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- bench-layers -->", "<!-- /bench-layers -->"
PEERS = {"torch fp32": {}, "ORT fp32": {}, "ORT int8": {}}
AVX2 = {"ours, AVX2": ("ours", {"PQC_ISA": "avx2"}),
        "torch fp32, AVX2": ("torch fp32", {"ATEN_CPU_CAPABILITY": "avx2"})}


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


def peak() -> float | None:
    """Operations a second of one core; None without AVX-512 VNNI or a compiler."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "peak.so"
        try:
            flags = "avx512_vnni" in Path("/proc/cpuinfo").read_text()
            subprocess.run(["cc", "-O2", "-shared", "-fPIC", str(HERE / "vnni_peak.c"), "-o", str(library)], check=True,
                           capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        if not flags:
            return None
        run = ctypes.CDLL(str(library)).pqc_peak
        best, rounds = 0.0, 200_000
        for _ in range(20):
            start = time.perf_counter()
            run(ctypes.c_long(rounds))
            best = max(best, rounds * 20 * 128 / (time.perf_counter() - start))
        return best


def gathered(batch: int, threads: int, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """The best of some rounds in which every library has its turn."""
    wanted = {"ours": ("ours", {}), **{name: (name, {}) for name in PEERS}}
    if options.avx2 and batch == 1:
        wanted |= AVX2
    best: dict[str, dict[str, float]] = {name: {} for name in wanted}
    for _ in range(options.rounds):
        for name, (library, environment) in wanted.items():
            for shape, seconds in measured(library, batch, threads, options.seconds, options.only, environment).items():
                best[name][shape] = min(seconds, best[name].get(shape, float("inf")))
    return best


def table(batch: int, threads: int, times: dict[str, dict[str, float]], most: float | None) -> list[str]:
    peers = [name for name in times if name != "ours" and times[name]]
    head = ["layer", "time", "GOPS", "of peak", *(f"{name} /" for name in peers)]
    lines = [f"Batch {batch}, {threads} thread{'s' * (threads > 1)}:", "", f"| {' | '.join(head)} |",
             "|" + "---|" * len(head)]
    for shape in shapes(batch):
        if shape.name not in times["ours"]:
            continue
        ours = times["ours"][shape.name]
        speed = shape.operations(batch) / ours
        share = "-" if most is None else f"{100 * speed / (most * threads):.0f} %"
        ratios = [f"{times[name][shape.name] / ours:.2f}" if shape.name in times[name] else "-" for name in peers]
        lines.append(f"| {' | '.join([shape.name, harness.duration(ours), f'{speed / 1e9:.0f}', share, *ratios])} |")
    return [*lines, ""]


def write_readme(text: str) -> None:
    readme = README.read_text()
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or not after:
        raise SystemExit(f"README.md has no section between {BEGIN} and {END}")
    README.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--only", nargs="+", default=[], help="shapes whose name has one of these texts")
    parser.add_argument("--seconds", type=float, default=0.3, help="for one shape of one library")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--avx2", action="store_true", help="also with AVX2 alone, against torch pinned to it")
    parser.add_argument("--quick", action="store_true", help="one round, batch 1, one thread")
    parser.add_argument("--readme", action="store_true", help="write the tables into README.md")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.batch, options.threads, options.seconds = 1, [1], [1], 0.1
    most = peak()
    lines = [harness.headline("torch", "onnxruntime"), ""]
    if most:
        lines += [f"Peak of the dot product instruction, one core: {most / 1e9:.0f} GOPS.", ""]
    for batch in options.batch:
        for threads in options.threads:
            lines += table(batch, threads, gathered(batch, threads, options), most)
    text = "\n".join(lines)
    print(text)
    if options.readme:
        write_readme(text)


if __name__ == "__main__":
    main()
