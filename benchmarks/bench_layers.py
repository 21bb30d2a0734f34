"""Quantised layers against other libraries, each in a process of its own; fp32 in and out, our amax in flight.

A table per batch size and number of threads: our time and speed, the share of this machine's peak for products of small
integers, measured all through the run, and how many times as long each peer takes. Peers that are not installed are
left out: torch, onnxruntime, openvino, onednn-cpu-gomp with onednn-devel-cpu-gomp. `--write` puts everything into
docs/performance_layers.md, in the section of this kind of machine.
"""
from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import layer_report
import layer_turns
from layer_shapes import shapes
from product_peak import Meter

from pytorch_quantization_c import isa

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance_layers.md"
LIBRARIES = ("ours", "torch fp32", "ORT fp32", "torch int8", "ORT int8", "OpenVINO int8", "oneDNN int8")
# torch's own kernels, and those of oneDNN and MKL inside it; onnxruntime has no such setting.
TORCH_AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2",
              "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
# For libraries that ask for AMX in ways of their own, beside without_tiles.py.
NO_TILES = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI", "DNNL_MAX_CPU_ISA": "AVX512_CORE_VNNI"}
AVX2 = {"ours, AVX2": ("ours", {"PQC_ISA": "avx2"}), "torch fp32, AVX2": ("torch fp32", TORCH_AVX2)}


def kinds_of(options: argparse.Namespace) -> tuple[str, ...]:
    """The instruction sets that the layers are measured with."""
    return tuple(name for name in isa.available() if options.tiles or name != "amx")


def gathered(batch: int, threads: int, options: argparse.Namespace, meter: Meter) -> dict[str, dict[str, float]]:
    """The least time of each library for each shape."""
    limits = {} if options.tiles else NO_TILES
    wanted: dict[str, tuple[str, dict[str, str]]] = {name: (name, limits) for name in LIBRARIES}
    if options.avx2 and batch == 1 and kinds_of(options)[-1] != "avx2":
        wanted |= AVX2
    names = [shape.name for shape in shapes(batch)
             if not options.only or any(text in shape.name for text in options.only)]
    begin = time.monotonic()

    def progress(what: str) -> None:
        meter.measure()
        spent = time.monotonic() - begin
        print(f"{spent:4.0f} s  batch {batch}, threads {threads}, {what}", file=sys.stderr, flush=True)

    with layer_turns.started(wanted, batch, threads, options.tiles) as workers:
        found = layer_turns.least(workers, names, options.rounds, options.seconds, progress)
    if found["ours"].keys() != set(names):
        sys.exit("ours has not been measured: the reason is above")
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--only", nargs="+", default=[], help="shapes whose name has one of these texts")
    parser.add_argument("--seconds", type=float, default=0.01, help="of a turn, for each form of a layer")
    parser.add_argument("--rounds", type=int, default=20, help="turns of each library for each shape")
    parser.add_argument("--avx2", action="store_true", help="also with AVX2 alone, against torch pinned to it")
    parser.add_argument("--no-tiles", dest="tiles", action="store_false",
                        help="all libraries without AMX, as on a machine with AVX-512 VNNI only")
    parser.add_argument("--quick", action="store_true", help="few rounds, batch 1, one thread")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/performance_layers.md")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.batch, options.threads = layer_turns.PASSES, [1], [1]
    if options.rounds < layer_turns.PASSES:
        parser.error(f"--rounds has to be {layer_turns.PASSES} or more")
    if options.write and (options.only or (1 not in options.batch) or (1 not in options.threads)):
        parser.error("--write needs all shapes, batch 1 and one thread among the others")
    if isa.selected() != isa.available():
        parser.error("PQC_ISA is set: the tables belong to what the machine has")
    return options


def main() -> None:
    options = arguments()
    kinds = kinds_of(options)
    meter, kind = Meter(kinds), kinds[-1]
    times: dict[tuple[int, int], dict[str, dict[str, float]]] = {}
    for batch in options.batch:
        for threads in options.threads:
            times[batch, threads] = gathered(batch, threads, options, meter)
            print("", layer_report.title(batch, threads), "",
                  layer_report.table(batch, threads, times[batch, threads], meter.peak), sep="\n", flush=True)
    head = layer_report.headline(kind, meter.peak)
    print("", head, sep="\n")
    if options.write:  # with the peak of the whole run
        parts = [head, *(part for setting, found in times.items() for part in (
            layer_report.title(*setting), layer_report.table(*setting, found, meter.peak)))]
        PAGE.write_text(layer_report.with_section(PAGE.read_text(), kind, "\n\n".join(parts)))


if __name__ == "__main__":
    main()
