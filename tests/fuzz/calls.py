"""Calls of every public callable with any arguments: what may come of them, and what must not."""
from __future__ import annotations

import contextlib
import io
import itertools
import os
import tempfile
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np

from pytorch_quantization_c import _C, integer, nn, quant_modules, threads

from ..patience import TooLong, time_limit
from .arguments import arguments
from .subjects import Subject

REFUSALS = (TypeError, ValueError, IndexError, MemoryError, RuntimeError, OSError)
LIKE_TORCH = (KeyError, AttributeError)  # what torch raises for names of modules, parameters and buffers
DUCKS = ("Function.", "symbolic", "check_forward")  # what takes a context, a graph or whatever has a shape
NAMED = (*DUCKS, "module", "buffer", "parameter", "ModuleDict", "state", "pop", "_clip", "update", "freeze_parameters")
SECONDS = 20
DEFAULTS = ("default_quant_desc_input", "default_quant_desc_weight")


@contextlib.contextmanager
def settings_kept() -> Iterator[None]:
    """Puts back what a call may change for the whole process; files go to a folder of their own."""
    isas, count, allowed, folder = _C.isa_selected(), threads.get_num_threads(), integer.enabled(), os.getcwd()
    classes = [each for name in nn.__all__ if isinstance(each := getattr(nn, name), type)]
    defaults = [(each, name, each.__dict__.get(name)) for each in classes for name in DEFAULTS]
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
        os.chdir(scratch)
        try:
            yield
        finally:
            os.chdir(folder)
            quant_modules.deactivate()
            nn.TensorQuantizer._enable_onnx_export = False
            integer.float_only(not allowed)
            threads.set_num_threads(count)
            _C.isa_select(isas)
            for owner, name, value in defaults:
                if value is not None:
                    setattr(owner, name, value)
                elif name in owner.__dict__:
                    delattr(owner, name)


def open_files() -> list[int]:
    """The standard streams, by what they are: a call that takes a number for a path closes one of them."""
    return [os.fstat(number).st_ino for number in range(3)]


def use(result: Any) -> None:
    """Goes through what was returned, as its caller would."""
    if hasattr(result, "__enter__") and hasattr(result, "__exit__"):
        with result:
            pass
    elif hasattr(result, "__next__"):
        for _ in itertools.islice(result, 100):
            pass
    elif not isinstance(result, np.ndarray):
        repr(result)


def attempt(subject: Subject, random: Random) -> str | None:
    """None if the call works or is refused as it should be; else what is wrong."""
    positional, keywords = arguments(subject, random)
    given = [each for each in (*positional, *keywords.values()) if type(each) is np.ndarray and each.nbytes < 1 << 20
             and not each.dtype.hasobject]
    before = [each.tobytes() for each in given]
    error: BaseException | None = None
    files = open_files()
    try:
        with time_limit(SECONDS), settings_kept(), np.errstate(all="ignore"):
            call = subject.make()
            use(call(*positional, **keywords))
    except TooLong:
        return f"it took more than {SECONDS} s"
    except UserWarning:
        return None
    except Exception as caught:
        error = caught
    if open_files() != files:
        return "it closed a file that is not its own"
    written = error is None and keywords.keys() & {"inplace", "out", "training"}
    return wrong(subject, error) or (None if written else changed(subject, error, given, before))


def wrong(subject: Subject, error: BaseException | None) -> str | None:
    if error is None or str(error) == "mine":
        return None
    if isinstance(error, OverflowError) and subject.name.startswith("float_nn.Parameter."):
        return None  # NumPy's own methods
    named = isinstance(error, LIKE_TORCH) and any(name in subject.name for name in NAMED)
    if isinstance(error, RecursionError) or not (isinstance(error, REFUSALS) or named):
        return f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError):
        return None
    if not str(error) or len(str(error)) > 1500:
        return f"a message of {len(str(error))} characters: {str(error):.80}"
    return None


def changed(subject: Subject, error: BaseException | None, given: list[Any], before: list[bytes]) -> str | None:
    """Arguments are as they were; where the name says that one is written to, only if that was refused."""
    in_place = subject.name.endswith("_") or "Parameter" in subject.name or "batch_norm" in subject.name
    if (in_place and error is None) or [each.tobytes() for each in given] == before:
        return None
    return f"an argument was changed by a call that {error or 'worked'}"
