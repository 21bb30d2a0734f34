"""Whether layers may compute on integers at all: for the process, by PQC_INTEGER=0 or a `with` block."""
from __future__ import annotations

import functools
import os
from types import TracebackType
from typing import Any

from .._core.switches import Switch

__all__ = ["enabled", "float_only"]

# What calls depend on: whether integers are allowed (`_environment` refuses anything but 0 and 1), and an object made
# when a step of a layer or of a quantiser was last set on an instance.
STATE: dict[str, Any] = {"allowed": os.environ.get("PQC_INTEGER", "") != "0", "steps": None}
_switch = Switch(functools.partial(STATE.__setitem__, "allowed"), STATE["allowed"])


def enabled() -> bool:
    """False inside `float_only`, or if the environment variable PQC_INTEGER was 0 when the package was imported."""
    return bool(STATE["allowed"])


class float_only:
    """Layers compute on floats from now on: fake quantised arrays, and NumPy's product.

    As a context manager, `with integer.float_only():`, it restores the previous state at the end. It holds for the
    whole process, not for one thread. `float_only(False)` allows integers.
    """

    def __init__(self, flag: bool = True) -> None:
        self._value = not flag
        _switch.ask(self, self._value)

    def __enter__(self) -> float_only:
        _switch.enter(self, self._value)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        _switch.leave(self)
