"""Calls of the graph package with arguments of any kind: what may come of them, and what must not."""
from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import onnx_ir as ir

from tests.fuzz.arguments import STRANGE
from tests.fuzz.callables import OTHERS
from tests.patience import TooLong, time_limit

from .subjects import SUBJECTS, Subject

REFUSALS = (TypeError, ValueError, IndexError, MemoryError, RuntimeError, OSError)
SECONDS = 20

__all__ = ["SUBJECTS", "attempt"]


def frozen(value: Any) -> Any:
    """What of an argument a call has to leave alone."""
    if isinstance(value, ir.Model):
        return ir.to_proto(value).SerializeToString()
    if isinstance(value, np.ndarray):
        return value.tobytes() if value.nbytes < 1 << 20 and not value.dtype.hasobject else None
    if isinstance(value, dict):
        return {key: frozen(each) for key, each in value.items()}
    return None


def strange(random: Random) -> Any:
    return random.choice(OTHERS) if random.random() < 0.6 else random.choice(STRANGE)()


def attempt(subject: Subject, random: Random) -> str | None:
    """None if the call works or is refused as it should be; else what is wrong."""
    given = subject.given()
    for name in random.sample(list(given), min(len(given), random.choice((1, 1, 2)))):
        given[name] = strange(random)
    before = {name: frozen(value) for name, value in given.items()}
    error: BaseException | None = None
    try:
        with time_limit(SECONDS), np.errstate(all="ignore"):
            repr(subject.call(**given))
    except TooLong:
        return f"it took more than {SECONDS} s"
    except UserWarning:
        return None
    except REFUSALS as caught:
        error = caught
        if isinstance(caught, RecursionError) or not (isinstance(caught, MemoryError) or 0 < len(str(caught)) < 1500):
            return f"{type(caught).__name__}, a message of {len(str(caught))} characters: {str(caught):.80}"
    except Exception as caught:
        return f"{type(caught).__name__}: {caught}"
    if before != {name: frozen(value) for name, value in given.items()}:
        return f"an argument was changed by a call that {error or 'worked'}"
    return None
