"""`Traced`: an array of real values that records the operations on it."""
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import onnx_ir as ir

from ..._core.tracing import TracedArray
from .refusal import refuse
from .size import as_numbers, shape_of

if TYPE_CHECKING:
    from .recording import Recording

__all__ = ["Traced", "plain", "plain_all", "traced_within"]


class Traced(TracedArray):
    """The array of a value in a graph that is being recorded.

    Ufuncs, NumPy's functions, methods and indexing add nodes to the graph. Anything that would take the numbers out
    of it, or change them in place, is refused.
    """

    _value: ir.Value | None
    _recording: Recording | None

    def __array_finalize__(self, source: object) -> None:
        self._value = self._recording = None

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from .ufuncs import call_ufunc

        return call_ufunc(recording_of(inputs), ufunc, method, as_numbers(inputs), kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from .numpy_functions import call_function

        return call_function(recording_of((args, kwargs)), func, as_numbers(args), as_numbers(kwargs))

    def __getitem__(self, index: Any) -> Any:
        from .indexing import get_item

        return get_item(recording_of((self,)), self, as_numbers(index))

    def __iter__(self) -> Iterator[Any]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def reshape(self, *shape: Any, order: Any = "C", **kwargs: Any) -> Any:
        """As for any array."""
        return np.reshape(self, shape[0] if len(shape) == 1 else shape, order=order, **kwargs)

    def transpose(self, *axes: Any) -> Any:
        """As for any array."""
        return np.transpose(self, (axes[0] if len(axes) == 1 else axes) if axes else None)

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        """As for any array; always a new value unless the type is the same."""
        return recording_of((self,)).cast(self, np.dtype(dtype))

    def flatten(self, order: Any = "C") -> Any:
        """As for any array."""
        return np.ravel(self, order)

    @property
    def shape(self) -> tuple[int, ...]:
        """As for any array, with sizes that record what they are compared with."""
        shape: tuple[int, ...] = np.ndarray.shape.__get__(self)
        return shape if self._recording is None else shape_of(shape, self._recording.questions)

    @shape.setter
    def shape(self, shape: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride, reportIncompatibleMethodOverride]
        refuse("a new `shape`, a write in place", "`reshape` makes a new array")

    @property
    def size(self) -> int:
        """As for any array, a size that records what it is compared with."""
        count: int = np.ndarray.size.__get__(self)
        return count if self._recording is None else shape_of((count,), self._recording.questions)[0]

    @property
    def T(self) -> Any:
        """As for any array."""
        return np.transpose(self)

    @property
    def mT(self) -> Any:
        """As for any array."""
        return np.swapaxes(self, -1, -2)

    def __repr__(self) -> str:
        return f"Traced({self.dtype}{list(self.shape)})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)


def recording_of(values: Any) -> Recording:
    """The recording that the first traced array among nested values belongs to."""
    for found in traced_within(values):
        if found._recording is not None:
            return found._recording
    refuse("an array made of a traced one by something that is not recorded")


def traced_within(values: Any) -> Iterator[Traced]:
    """The traced arrays within nested tuples, lists and dictionaries."""
    if isinstance(values, Traced):
        yield values
    elif isinstance(values, tuple | list):
        for value in values:
            yield from traced_within(value)
    elif isinstance(values, dict):
        yield from traced_within(list(values.values()))


def plain(value: Any) -> Any:
    """A traced array as a plain one; anything else as it is."""
    return value.view(np.ndarray) if isinstance(value, Traced) else value


def plain_all(values: Any) -> Any:
    """Nested tuples, lists and dictionaries with plain arrays instead of traced ones."""
    if isinstance(values, tuple):
        plains = tuple(plain_all(value) for value in values)
        return plains if type(values) is tuple else type(values)(*plains)
    if isinstance(values, list):
        return [plain_all(value) for value in values]
    if isinstance(values, dict):
        return {name: plain_all(value) for name, value in values.items()}
    return plain(values)


def _function_method(name: str) -> Any:
    def method(self: Traced, *args: Any, **kwargs: Any) -> Any:
        return getattr(np, name)(self, *args, **kwargs)
    method.__name__, method.__doc__ = name, f"`numpy.{name}` of the array."
    return method


def _refused_method(name: str, what: str, remedy: str) -> Any:
    def method(self: Traced, *args: Any, **kwargs: Any) -> NoReturn:
        refuse(what, remedy)
    method.__name__, method.__doc__ = name, "Refused."
    return method


_ESCAPES = ("keep it an array: what a number decides in Python is the same for all inputs of the graph, so it must not "
            "depend on the values")
_IN_PLACE = "make a new array instead, as in `y = np.where(...)` or `x = x + y`"
_METHODS = ("argmax", "argmin", "clip", "copy", "cumsum", "dot", "max", "mean", "min", "prod", "ravel", "repeat",
            "round", "squeeze", "std", "sum", "swapaxes", "take", "var")
_OUT = ("__array__", "__bool__", "__complex__", "__contains__", "__deepcopy__", "__dlpack__", "__float__", "__index__",
        "__int__", "__reduce__", "__reduce_ex__", "all", "any", "dump", "dumps", "item", "tobytes", "tofile", "tolist")
_WRITES = ("__delitem__", "__setitem__", "byteswap", "fill", "itemset", "partition", "put", "resize", "setfield",
           "setflags", "sort")
_UNKNOWN = ("argpartition", "argsort", "choose", "compress", "conj", "conjugate", "cumprod", "diagonal", "getfield",
            "nonzero", "searchsorted", "to_device", "trace")

for _name in _METHODS:
    setattr(Traced, _name, _function_method(_name))
for _name in _OUT:
    setattr(Traced, _name, _refused_method(_name, f"`{_name}`, which takes the values out of the graph", _ESCAPES))
for _name in _WRITES:
    setattr(Traced, _name, _refused_method(_name, f"`{_name}`, a write in place", _IN_PLACE))
for _name in _UNKNOWN:
    setattr(Traced, _name, _refused_method(_name, f"`.{_name}()`", "it has no counterpart in ONNX that is known here"))
