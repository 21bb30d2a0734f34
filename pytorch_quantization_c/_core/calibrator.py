"""Base of the calibrators. They compute on NumPy arrays; a front converts on the way in and out."""
from __future__ import annotations

import functools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .axes import Axis
from .descriptor import checked_axis
from .errors import NotFiniteError
from .files import FilePath
from .formats import known_bits
from .lazy_logger import get_logger

logger = get_logger(__name__)

F = TypeVar("F", bound=Callable[..., Any])


def one_at_a_time(method: F) -> F:
    """A calibrator's method that excludes other threads from the same calibrator."""

    @functools.wraps(method)
    def alone(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            return method(self, *args, **kwargs)

    return alone  # type: ignore[return-value]


def both_locked(one: _Calibrator, other: _Calibrator) -> ExitStack:
    """A block that holds both locks, always taken in the same order, so that threads cannot deadlock."""
    stack = ExitStack()
    for each in sorted((one, other), key=id):
        stack.enter_context(each._lock)
    return stack


class _Calibrator(ABC):
    """Collects statistics of arrays and derives an amax from them.

    Several threads may use one at once: `collect` loses nothing then. A copy or a pickle has a lock of its own.

    A front whose arrays are not NumPy's overrides `_to_array` and `_from_array`, and nothing else.

    Args:
        num_bits: bits of the quantiser, or (4, 3).
        axis: None, or the axis or axes that have an amax each.
        unsigned: whether the quantiser is unsigned.
    """

    __slots__ = ("_lock", "_nonfinite", "__dict__", "__weakref__")  # the first two are no part of the state, vars()

    _lock: threading.RLock

    #: Name of the quantiser that owns the calibrator; messages show it.
    name: str | None = None

    #: The types that attributes may have in a file; a class with attributes of its own adds them.
    _kinds: dict[str, tuple[type, ...]] = {
        "_num_bits": (int, tuple), "_axis": (int, tuple, list, type(None)), "_unsigned": (bool,), "_warned": (bool,),
        "name": (str, type(None)),
    }

    #: What a NaN or an infinity in the data does: "raise" or "ignore" as in `calibrating`, None: the class's own way.
    _nonfinite: str | None

    #: The device of amax, for fronts that have devices; None is main memory.
    _device: str | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__new__(cls)
        made._lock = threading.RLock()
        made._nonfinite = None
        return made

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            return dict(vars(self))

    def __init__(self, num_bits: int | tuple[int, int], axis: Axis, unsigned: bool) -> None:
        self._num_bits = known_bits(num_bits)
        self._axis = checked_axis(axis)
        self._unsigned = unsigned
        self._warned = False

    @property
    def axis(self) -> Axis:
        """Axis or axes with an amax each; None for one amax."""
        return self._axis

    @abstractmethod
    def collect(self, x: Any) -> None:
        """Adds the statistics of `x`."""

    @abstractmethod
    def reset(self) -> None:
        """Forgets what was collected."""

    @abstractmethod
    def compute_amax(self, method: str | None = None, **options: Any) -> Any:
        """The amax, a fresh array, or None if nothing was collected. `method` None means the calibrator's own."""

    def _start_afresh(self) -> None:
        """Returns to its initial state."""
        self.reset()

    def save(self, path: FilePath) -> None:
        """Writes settings and what was collected to a safetensors file, atomically."""
        from .calibrator_file import write_state  # on request: an import of the package is lean

        with self._lock:
            write_state(self, path)

    def load(self, path: FilePath) -> None:
        """Restores the calibrator that wrote the file: its settings and what it had collected.

        Raises:
            ValueError: no such file format, a damaged file, or one of another class; the calibrator is then unchanged.
        """
        from .calibrator_file import read_state

        state = read_state(self, path)
        with self._lock:
            self._check_state(state)
            vars(self).update(state)

    def _check_state(self, state: dict[str, Any]) -> None:
        """ValueError unless the attributes in `state`, read from a file, are ones that this class can have."""
        for key, value in state.items():
            if type(value) not in self._kinds.get(key, (type(value),)):
                raise ValueError(f"Expected a file of a calibrator, but its {key} is of type {type(value).__name__}")

    def _to_array(self, x: object) -> NDArray[Any]:
        """The front's array as NumPy's; it is only read."""
        return np.asarray(x)

    def _from_array(self, array: NDArray[Any]) -> Any:
        """A fresh array of the front with these values."""
        return np.array(array)

    def _owner(self) -> str:
        return f"quantiser {self.name!r}" if self.name else "a quantiser without a name"

    def _refuse_not_finite(self, nans: int, infs: int) -> None:
        raise NotFiniteError(f"Expected finite values to calibrate {self._owner()}, got {nans} NaN and {infs} infinite "
                             "ones: calibrating(model, nonfinite=\"ignore\") leaves them out")

    def _only_finite(self, array: NDArray[Any]) -> NDArray[Any] | None:
        """`array` with 0 for NaN and infinities, None if it has nothing else; ValueError unless they are left out."""
        finite = np.isfinite(array)
        if self._nonfinite == "raise":
            nans = int(np.isnan(array).sum())
            self._refuse_not_finite(nans, int(array.size - finite.sum()) - nans)
        self._report_not_finite()
        return np.where(finite, array, array.dtype.type(0)) if finite.any() else None

    def _report_not_finite(self) -> None:
        """Warns, once until the next reset, that what was collected holds a NaN or an infinity."""
        if not self._warned:
            self._warned = True
            logger.warning("NaN or infinity in the calibration data of %s", self._owner())

    def __repr__(self) -> str:
        return f"num_bits={self._num_bits} axis={self._axis} unsigned={self._unsigned}"
