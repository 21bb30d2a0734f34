"""Which instruction sets the kernels use. All give the same results.

The environment variable PQC_ISA, read once at import, restricts them in the same way: `PQC_ISA=avx2`.
"""
from __future__ import annotations

from types import TracebackType

from . import _C
from ._core.errors import shown
from ._core.switches import Switch

__all__ = ["available", "known", "only", "selected"]


def known() -> tuple[str, ...]:
    """Names of all instruction sets with kernels, slowest first."""
    return tuple(_C.isa_known())


def available() -> tuple[str, ...]:
    """The instruction sets that this machine runs; "scalar" is always one of them."""
    return tuple(_C.isa_detected())


def selected() -> tuple[str, ...]:
    """The instruction sets in use."""
    return tuple(_C.isa_selected())


_switch: Switch[tuple[str, ...]] = Switch(_C.isa_select, selected())


class only:
    """From now on restricts the kernels to some instruction sets ("scalar" is always allowed).

    Weights packed for AMX still use it even if it is not among them: the results are the same.

    As a context manager, `with isa.only("avx2"):`, it restores the previous selection at the end.
    It holds for the whole process, not for one thread.

    Raises:
        TypeError: a name is not a string.
        ValueError: a name is unknown, or this machine does not run that instruction set.
    """

    def __init__(self, *names: str) -> None:
        for name in names:
            if not isinstance(name, str):
                raise TypeError(f"Expected `names` to be strings, got {type(name).__name__}")
            if name not in known():
                raise ValueError(f"Expected one of {', '.join(known())}, got {shown(name)}")
            if name not in available():
                raise ValueError(f"This machine runs {', '.join(available())}, not {shown(name)}")
        self._names = names
        _switch.ask(self, names)

    def __enter__(self) -> only:
        _switch.enter(self, self._names)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        _switch.leave(self)
