"""`make soak`: everything over and over, good calls and refused ones, with memory that stays flat.

python -m tests.fuzz.soak [--minutes 10] [--threads 4]: on every instruction set, from several threads at once, with
changing numbers of threads of ours (at most --threads; with 1 the process computes on one CPU). After the first fifth
of the time and two cycles of inputs the resident memory may not grow by more than 2 % and 4 MB. The curve of the memory
is printed.
"""
from __future__ import annotations

import argparse
import contextlib
import gc
import resource
import sys
import tempfile
import threading
import time
import warnings
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from random import Random

from pytorch_quantization_c import demo, isa, threads

from ..faults.calls import every_call
from . import callables, calls, loaders, subjects
from .limits import address_space

SLACK, PART = 4 << 20, 0.02
CALLED = subjects.subjects()
GRAPHS_EVERY = 4
TWIN = import_module("tests.torch.twin.subjects") if find_spec("torch") else None
GRAPHS = import_module("tests.graph.fuzz.attempts") if find_spec("onnx") and find_spec("onnx_ir") else None
CYCLE = 16  # rounds after which the same inputs come again: new ones would leave new holes in the heap


def resident() -> int:
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[1]) * resource.getpagesize()


def one_round(seed: int, readers: list[loaders.Loader], folder: Path, problems: set[str]) -> None:
    """Every function of `_C`, public callable and reader once; now and then graphs, the twin and the demo's net."""
    for call in every_call(64):
        call.function(*call.arguments)
    for case in callables.CASES:
        case()
        problem = callables.attempt(case, Random(seed % CYCLE))
        if problem:
            problems.add(f"seed {seed}: {case.name}: {problem}")
    for reader in readers:
        (folder / reader.name).write_bytes(reader.data)
        reader.read(folder / reader.name)
        damaged = reader.damage(reader.data, Random(seed % CYCLE))  # not measured: each start of tracemalloc keeps 8 KB
        problem = loaders.attempt(reader, damaged, folder / reader.name, measure=False)
        if problem:
            problems.add(f"seed {seed}: {reader.name}: {problem}")
    for subject in CALLED:
        problem = calls.attempt(subject, Random(f"{seed % CYCLE} {subject.name}"))
        if problem:
            problems.add(f"seed {seed}: {subject.name}: {problem}")
    if GRAPHS is not None and seed % GRAPHS_EVERY == 0:
        with calls.settings_kept():
            for name, of_graphs in GRAPHS.SUBJECTS.items():
                of_graphs.call(**of_graphs.given())
                problem = GRAPHS.attempt(of_graphs, Random(f"{seed % CYCLE} {name}"))
                if problem:
                    problems.add(f"seed {seed}: graph.{name}: {problem}")
    if TWIN is not None and seed % GRAPHS_EVERY == 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for subject in TWIN.found():
                with calls.settings_kept(), contextlib.suppress(*calls.REFUSALS, *calls.LIKE_TORCH):
                    calls.use(subject.make()(**TWIN.needed(subject)))
    if seed % 20 == 0:
        digits = demo.load_digits()
        demo.float_net(digits)(digits.test_images[:50])


def at_once(problems: set[str], count: int) -> None:
    """All functions and layers from so many threads."""

    def work() -> None:
        try:
            for case in callables.CASES:
                case()
        except Exception as error:
            problems.add(f"from a thread: {error!r}")

    workers = [threading.Thread(target=work) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--threads", type=int, default=4)
    options = parser.parse_args()
    seconds = 60 * options.minutes
    warnings.simplefilter("error")
    problems: set[str] = set()
    readers, names = loaders.build(), isa.available()
    started, start, peak, shown = time.monotonic(), 0, 0, 0.0
    with tempfile.TemporaryDirectory() as folder, address_space():
        for seed in count():
            elapsed = time.monotonic() - started
            if elapsed > seconds:
                break
            threads.set_num_threads(1 + seed % options.threads)
            with isa.only(names[seed % len(names)]):
                one_round(seed, readers, Path(folder), problems)
                at_once(problems, options.threads)
            if elapsed >= shown:
                print(f"{elapsed:5.0f} s  round {seed:4d}  {resident() / 2**20:6.1f} MB", flush=True)
                shown += seconds / 20
            if elapsed < seconds / 5 or seed < 2 * CYCLE:  # on a busy machine that takes longer
                start = max(start, resident())
            elif seed % 5 == 0:
                peak = max(peak, resident())
    print(f"{seed} rounds in {elapsed:.0f} s: {start / 2**20:.1f} MB after a fifth of the time and "
          f"two cycles, at most {peak / 2**20:.1f} MB later")
    if not peak:
        problems.add(f"too few rounds to tell whether memory grows: more than {2 * CYCLE} would do")
    if peak > start * (1 + PART) + SLACK:
        problems.add("memory has grown")
    print(*sorted(problems), sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
