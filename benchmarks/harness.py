"""Timing and printing shared by the benchmarks: interleaved candidates, minima, ratios."""
from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

Call = Callable[[], Any]
SHORTEST_BLOCK = 500e-6  # seconds: many calls are timed together until they take at least this long


clock = time.perf_counter  # `time.process_time` on a machine that is busy with other things


def timed(call: Call, times: int) -> float:
    start = clock()
    for _ in range(times):
        call()
    return (clock() - start) / times


def calls_in_a_block(call: Call) -> int:
    call()
    times = 1
    while (spent := timed(call, times) * times) < SHORTEST_BLOCK:
        times = max(times * 2, int(times * SHORTEST_BLOCK / max(spent, 1e-7)))
    return times


def interleaved(candidates: Mapping[str, Call], seconds: float = 1.0, rounds: int = 5) -> dict[str, float]:
    """Seconds of one call of each, the minimum over rounds in which every candidate has its turn.

    Goes on until `seconds` are spent and at least `rounds` are done. All run in one process on the same machine
    state, so the ratios hold even where the absolute figures drift.
    """
    times = {name: calls_in_a_block(call) for name, call in candidates.items()}
    best = dict.fromkeys(candidates, float("inf"))
    start, done = time.perf_counter(), 0
    while done < rounds or time.perf_counter() - start < seconds:
        for name, call in candidates.items():
            call()  # its own data in the caches, not its neighbour's
            best[name] = min(best[name], timed(call, times[name]))
        done += 1
    return best


def duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


class Table:
    """Rows of one kind of measurement: ours as a time, every other candidate as `its time / ours`."""

    def __init__(self, title: str, labels: Sequence[str], ours: str, others: Sequence[str]) -> None:
        self.title, self.labels, self.ours, self.others = title, list(labels), ours, list(others)
        self.rows: list[list[str]] = []

    def add(self, labels: Sequence[object], measured: Mapping[str, float]) -> None:
        ours = measured[self.ours]
        ratios = [f"{measured[name] / ours:.2f}" if name in measured else "-" for name in self.others]
        self.rows.append([str(label) for label in labels] + [duration(ours)] + ratios)

    def __str__(self) -> str:
        header = [*self.labels, self.ours, *(f"{name} /" for name in self.others)]
        rows = [header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([self.title, *lines, ""])


def version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def machine(*packages: str) -> str:
    """The machine and the versions every table must carry; of packages that are installed."""
    found = [f"{package} {version(package)}" for package in ("numpy", *packages) if version(package)]
    return f"{cpu_name()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, {', '.join(found)}"


def headline(*packages: str) -> str:
    return f"{machine(*packages)}\n" \
           "ours as a time, the others as (their time / ours): above 1, ours is faster. Minimum of interleaved runs.\n"


def options(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer sizes, a fraction of the time")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="thread counts to measure")
    return parser.parse_args()
