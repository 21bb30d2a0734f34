"""Whole networks on integers against other libraries, each in a process of its own that is alone while it runs.

    python benchmarks/bench_networks.py [--wheels FOLDER] [--files FOLDER] [--only NAME ...] [--quick]

Seeded ResNet-50, MobileNetV2, EfficientNet-Lite0, LeNet and a BERT-base encoder (128 tokens), and with `--wheels`
networks that packages ship: images, text, sound. Ours runs the saved program (ResNet-50 with its residuals in 16 and in
8 bits); each peer the faster of two int8 files, one by its own tool (onnxruntime's quantize_static, u8s8 per channel;
NNCF) and one that `graph.save` wrote for it; torch and onnxruntime also in float. Printed for each batch and number of
threads: our times, the share of this machine's peak for products of small integers, and our time in those of the best
int8 peer (below 1, ours is faster); then what setting up takes, and where the time goes in the three networks with the
largest share.
"""
from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import harness
import layer_turns
import network_report
import numpy as np
import onnx
from network_files import FILES, FLOAT, OURS, OURS_U8, prepared
from network_inputs import feeds
from network_models import SEEDED, SHIPPED, operations
from network_worker import LIBRARIES, PROBLEMS
from product_peak import Meter

from pytorch_quantization_c import graph, isa

PACKAGES = ("torch", "onnxruntime", "openvino", "nncf")
QUICK = ("lenet",)


def gathered(networks: Sequence[str], batch: int, threads: int, options: argparse.Namespace, folder: Path,
             meter: Meter) -> dict[str, dict[str, float]]:
    """The least time of each library for each network."""
    clock = "cpu" if options.cpu and threads == 1 else "wall"
    wanted = {name: (name, {"NETWORKS": str(folder), "NETWORKS_CLOCK": clock}) for name in options.libraries}
    begin = time.monotonic()

    def progress(what: str) -> None:
        meter.measure()
        print(f"{time.monotonic() - begin:4.0f} s  batch {batch}, threads {threads}, {what}", file=sys.stderr,
              flush=True)

    with layer_turns.started(wanted, batch, threads, script="network_worker.py") as workers:
        return layer_turns.least(workers, networks, options.rounds, options.seconds, progress)


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--only", nargs="+", default=[], choices=[*SEEDED, *SHIPPED], metavar="NETWORK")
    parser.add_argument("--libraries", nargs="+", default=list(LIBRARIES), choices=list(LIBRARIES), metavar="LIBRARY")
    parser.add_argument("--wheels", type=Path, help="a folder of wheels that ship networks")
    parser.add_argument("--files", type=Path, help="where the files are made and kept (default: a temporary folder)")
    parser.add_argument("--seconds", type=float, default=0.1, help="of a turn, for each file of a network")
    parser.add_argument("--rounds", type=int, default=12, help="turns of each library for each network")
    parser.add_argument("--cpu", action="store_true", help="processor time with one thread: for a busy machine")
    parser.add_argument("--quick", action="store_true", help="LeNet alone, batch 1, one thread, few rounds")
    options = parser.parse_args(given)
    if options.quick:
        options.rounds, options.seconds, options.batch, options.threads = layer_turns.PASSES, 0.005, [1], [1]
        options.only = options.only or list(QUICK)
    if options.rounds < layer_turns.PASSES:
        parser.error(f"--rounds has to be {layer_turns.PASSES} or more")
    return options


def chosen(options: argparse.Namespace, folder: Path) -> list[str]:
    """The networks whose files are there now."""
    names = options.only or [*SEEDED, *(SHIPPED if options.wheels else ())]
    there = []
    for name in names:
        wanted = set(FILES) - (set() if name == "resnet50" else {OURS_U8})
        try:
            prepared(name, folder, options.wheels, wanted, [n for n in options.batch if for_batch([name], n)])
            there.append(name)
        except FileNotFoundError as why:
            print(f"{name} left out: {why}", file=sys.stderr)
    return there


def for_batch(networks: Sequence[str], batch: int) -> list[str]:
    """Those that take this batch: what is shipped is made for one sample."""
    return [name for name in networks if batch == 1 or name in SEEDED]


def set_up(name: str, folder: Path) -> str:
    """The processor time in which a network is lowered, its program loaded and another batch planned."""
    model = onnx.load(folder / name / FLOAT)
    given = [feeds(model, batch, np.random.default_rng(0)) for batch in (1, 2, 3, 4)]
    int8 = graph.quantize(graph.load(model), given[:1], method="max", methods=())
    lowered = min(_processor_time(lambda: graph.compile(int8)) for _ in range(3))
    loaded = min(_processor_time(lambda: graph.load_session(folder / name / OURS)) for _ in range(3))
    session = graph.load_session(folder / name / OURS, num_threads=1)
    planned = min(_processor_time(lambda one=one: session.run(None, one))
                  - min(_processor_time(lambda one=one: session.run(None, one)) for _ in range(3)) for one in given)
    return (f"{name}: lowered in {harness.duration(lowered)}, loaded in {harness.duration(loaded)}, "
            f"another batch planned in {harness.duration(max(planned, 0.0))}")


def _processor_time(function: Callable[[], object]) -> float:
    begin = time.process_time()
    function()
    return time.process_time() - begin


def where_the_time_goes(name: str, folder: Path, threads: int) -> str:
    model = onnx.load(folder / name / FLOAT)
    session = graph.load_session(folder / name / OURS, num_threads=threads)
    profile = session.profile(feeds(model, 1, np.random.default_rng(0)))
    kinds: dict[str, list[float]] = {}
    for row in profile:
        kinds.setdefault(row.kernel, []).append(row.microseconds or 0.0)
    text = ", ".join(f"{kernel} {sum(times):.0f} us in {len(times)}" for kernel, times in
                     sorted(kinds.items(), key=lambda each: -sum(each[1])))
    slowest = sorted(profile, key=lambda row: -(row.microseconds or 0.0))[:5]
    return f"{name}: {text}. Longest: " + ", ".join(f"{row.name} {row.microseconds:.0f} us" for row in slowest)


def measure(options: argparse.Namespace, folder: Path) -> None:
    networks, meter = chosen(options, folder), Meter(isa.available())
    print(harness.machine(*PACKAGES))
    first: dict[str, dict[str, float]] = {}
    for batch in options.batch:
        for threads in options.threads:
            names = for_batch(networks, batch)
            times = gathered(names, batch, threads, options, folder, meter)
            first = first or times
            counts = {name: operations(onnx.load(folder / name / FLOAT), batch) for name in names}
            print("", f"Batch {batch}, {threads} thread{'s' * (threads > 1)}:", "",
                  network_report.table(times, counts, meter.peak, threads), sep="\n")
            share = network_report.mean(times, names, "ours")
            print(*([] if share is None else ["", f"Mean share of the best int8 peer's time: {share:.2f}"]), sep="\n",
                  flush=True)
    if meter.peak:
        print(f"\nPeak of {meter.peak.instruction}, one core: {meter.peak.speed / 1e9:.0f} GOPS.")
    for name in networks:
        if name in SEEDED:
            print(set_up(name, folder))
    for path in sorted(folder.glob(f"*/{PROBLEMS}")):
        print(path.read_text().strip())
        path.unlink()
    for name in network_report.worst(first):
        print(where_the_time_goes(name, folder, options.threads[0]))


def main(given: Sequence[str] | None = None) -> None:
    options = arguments(given)
    if isa.selected() != isa.available() and "PQC_ISA" not in os.environ:
        sys.exit("another instruction set has been selected")
    with tempfile.TemporaryDirectory() as temporary:
        measure(options, (options.files or Path(temporary)).resolve())


if __name__ == "__main__":
    main()
