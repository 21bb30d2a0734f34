"""Processes that measure a library each, in turns: all but the one whose turn it is are stopped.

A stopped process takes no time, whatever its threads were doing; in its own turn a library may spin as it likes. So the
libraries take turns within a second or so (the first turn makes the layer, too), in which a busy machine is the same
for all.
"""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytorch_quantization_c

HERE = Path(__file__).parent
HOME = str(Path(pytorch_quantization_c.__file__).resolve().parent.parent)  # where the workers find the same package
PASSES = 4  # over all shapes, so that a shape's rounds are minutes apart and not all in a bad one


class Gone(Exception):
    """The process has ended: the library is not installed, or gave a wrong answer."""


class Worker:
    """A script on one library, stopped between its turns."""

    def __init__(self, library: str, batch: int, threads: int, environment: Mapping[str, str],
                 tiles: bool = True, script: str = "layer_worker.py") -> None:
        paths = os.pathsep.join(filter(None, [HOME, os.environ.get("PYTHONPATH")]))
        self.errors = tempfile.TemporaryFile("w+")
        scripts = [] if tiles else [str(HERE / "without_tiles.py")]
        self.process = subprocess.Popen(
            [sys.executable, *scripts, str(HERE / script), library, str(batch), str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env={**os.environ, "PYTHONPATH": paths, **environment})
        self.stop()

    def stop(self) -> None:
        """Returns when no thread of it runs any more."""
        self.process.send_signal(signal.SIGSTOP)
        with suppress(ChildProcessError):  # it has ended: whoever asks next is told
            os.waitpid(self.process.pid, os.WUNTRACED)

    def ask(self, shape: str, seconds: float) -> float | None:
        """Seconds of a call, the least of a turn of `seconds` for each form; None if there is no such layer."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.send_signal(signal.SIGCONT)
        try:
            print(json.dumps([shape, seconds]), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.process.wait()
            self.errors.seek(0)
            raise Gone((self.errors.read().strip().splitlines() or [f"it ended with {self.process.returncode}"])[-1])
        self.stop()
        found: float | None = json.loads(answer)
        return found

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()


@contextmanager
def started(wanted: Mapping[str, tuple[str, Mapping[str, str]]], batch: int, threads: int,
            tiles: bool = True, script: str = "layer_worker.py") -> Iterator[dict[str, Worker]]:
    """A worker for each name: of a library, with some environment; without `tiles` none has a right to AMX."""
    workers: dict[str, Worker] = {}
    try:
        for name, (library, environment) in wanted.items():
            workers[name] = Worker(library, batch, threads, environment, tiles, script)
        yield workers
    finally:
        for worker in workers.values():
            worker.end()


def least(workers: Mapping[str, Worker], shapes: Sequence[str], rounds: int, seconds: float,
          between: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """The least time of every worker for every shape; `between` is told what is measured next.

    In each of the rounds every worker has a turn, none always first.  A worker that ends is left out, with a line.
    """
    best: dict[str, dict[str, float]] = {name: {} for name in workers}
    there = list(workers)
    for part in range(PASSES):
        for number, shape in enumerate(shapes):
            between(f"pass {part + 1} of {PASSES}, {number + 1} of {len(shapes)}: {shape}")
            for _ in range((rounds + part) // PASSES):
                there = there[1:] + there[:1]
                for name in tuple(there):
                    try:
                        found = workers[name].ask(shape, seconds)
                    except Gone as why:
                        print(f"{name} left out: {why}", file=sys.stderr)
                        there.remove(name)
                        best[name] = {}
                        continue
                    if found is not None:
                        best[name][shape] = min(found, best[name].get(shape, float("inf")))
    return best
