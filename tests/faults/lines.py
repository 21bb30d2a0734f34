"""MemoryError at any line of the package: what a call may leave behind when memory runs out in the middle of it.

Python's own ways of failing allocations end the process inside NumPy, torch and `warnings`; a MemoryError at a line of
ours is the same to our code. Lines that clean up (`finally`, `except`, `__exit__`) are spared.
"""
from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_quantization_c
from pytorch_quantization_c import integer, nn, threads
from tests.fuzz import calls

HOME = str(Path(pytorch_quantization_c.__file__).parent)
FIRST, MOST = 3, 8      # so many of the first lines of a call fail in turn, and so many altogether, over all of it

Made = tuple[Callable[..., Any], dict[str, Any]]


class Injected(MemoryError):
    """What is raised."""


@functools.cache
def spared(path: str) -> tuple[frozenset[int], frozenset[int]]:
    """The lines of a file that clean up, with all that they call; and those of `with`, executed again as blocks end."""
    cleaning: set[int] = set()
    blocks: set[int] = set()
    for node in ast.walk(ast.parse(Path(path).read_text())):
        parts: list[ast.stmt | ast.ExceptHandler] = []
        if isinstance(node, ast.FunctionDef) and node.name == "__exit__":
            parts = [node]
        elif isinstance(node, ast.Try):
            parts = [*node.finalbody, *node.handlers]
        elif isinstance(node, ast.With):
            blocks.add(node.lineno)
        for part in parts:
            cleaning.update(range(part.lineno, (part.end_lineno or 0) + 1))
    return frozenset(cleaning), frozenset(blocks)


def cleans_up(frame: Any) -> bool:
    """Whether a frame is called, however deep, from a line of ours that cleans up."""
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(HOME) and frame.f_lineno in spared(path)[0]:
            return True
        frame = frame.f_back
    return False


class Tracer:
    """Counts the lines of ours that this thread executes, and fails number `fatal`."""

    def __init__(self, fatal: int) -> None:
        self.fatal, self.count = fatal, 0

    def __call__(self, frame: Any, event: str, argument: Any) -> Any:
        path = frame.f_code.co_filename
        if not path.startswith(HOME):
            return None
        if event == "line" and frame.f_lineno not in spared(path)[1]:
            self.count += 1
            if self.count > self.fatal >= 0 and not cleans_up(frame):
                self.fatal = -1
                raise Injected(f"at {path}:{frame.f_lineno}")
        return self

    def run(self, call: Callable[[], Any]) -> BaseException | None:
        before = sys.gettrace()
        sys.settrace(self)
        try:
            call()
        except BaseException as error:
            return error
        finally:
            sys.settrace(before)
        return None


def work(made: Made) -> Any:
    """Calls, and goes through blocks and iterators that are returned."""
    result = made[0](**made[1])
    if hasattr(type(result), "__exit__") or hasattr(type(result), "__next__"):
        calls.use(result)


def settings() -> tuple[Any, ...]:
    """What of the whole process a call that fails has to put back."""
    return integer.enabled(), threads.get_num_threads(), nn.TensorQuantizer._enable_onnx_export


def problems(name: str, make: Callable[[], Made]) -> list[str]:
    """What goes wrong with calls that `make` gives afresh, as memory runs out at one line after the other."""
    counting = Tracer(-1)
    with calls.settings_kept():
        expected = type(counting.run(functools.partial(work, make())))
    places = {*range(min(FIRST, counting.count)), *range(0, counting.count, max(1, counting.count // (MOST - FIRST)))}
    found = []
    for place in sorted(places):
        with calls.settings_kept():
            made, before = make(), settings()
            error = Tracer(place).run(functools.partial(work, made))
            if not isinstance(error, MemoryError) and type(error) is not expected:
                found.append(f"{name}: line {place} of {counting.count}: {error!r}")
            if isinstance(error, MemoryError) and settings() != before:
                found.append(f"{name}: {error!r} has changed settings of the process")
            again = type(Tracer(-1).run(functools.partial(work, made)))
            if again is not expected:
                found.append(f"{name}: {again} after {error!r}, {expected} without it")
    return found
