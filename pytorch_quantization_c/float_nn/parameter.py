"""`Parameter`: the ndarray subclass that modules register, with the flag `requires_grad`."""
from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arrays import is_floating
from .._core.errors import is_raised_in_python
from .._core.tracing import TracedArray

__all__ = ["Parameter", "as_array", "as_plain", "own_copy"]


def as_plain(value: Any) -> Any:
    """The same memory as a plain ndarray if `value` is a Parameter, else `value`."""
    return value.view(np.ndarray) if isinstance(value, Parameter) else value


def as_array(value: Any) -> Any:
    """`value` as a plain ndarray; one that is being traced stays what it is."""
    return value if isinstance(value, TracedArray) else np.asarray(as_plain(value))


def own_copy(parameter: Parameter) -> Parameter:
    """A copy that owns its memory: made read-only, it has no base through which it could be written."""
    return np.array(parameter, copy=True, subok=True)


class Parameter(np.ndarray):
    """An array that a Module registers as its parameter when it is assigned to an attribute.

    Args:
        data: an array, whose memory is shared, or a list or number, which becomes float32.
        requires_grad: a mark only; nothing here computes gradients. It needs a floating type.

    Arithmetic, NumPy functions, indexing and reshaping give plain arrays; `copy`, `astype`, `view` and pickling keep a
    Parameter.
    """

    requires_grad: bool

    def __new__(cls, data: ArrayLike, requires_grad: bool = True) -> Parameter:
        try:
            array = data if isinstance(data, np.ndarray | np.generic) else np.asarray(data, dtype=np.float32)
        except (TypeError, ValueError) as error:
            if is_raised_in_python(error):
                raise
            array = None
        if array is None or data is None:
            raise TypeError(f"Expected an array, a list or a number for a Parameter, got {type(data).__name__}")
        parameter = np.asarray(array).view(cls)
        parameter.requires_grad_(requires_grad)
        return parameter

    def __array_finalize__(self, source: object) -> None:
        self.requires_grad = getattr(source, "requires_grad", True)

    def requires_grad_(self, requires_grad: bool = True) -> Parameter:
        """Sets the flag and returns the parameter itself. RuntimeError if the type is not a floating one."""
        if requires_grad and not is_floating(self.dtype):
            raise RuntimeError(f"Expected a floating type for a Parameter that requires gradients, got {self.dtype}; "
                               "pass requires_grad=False")
        self.requires_grad = bool(requires_grad)
        return self

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        out = kwargs.get("out")
        if out is not None:
            kwargs["out"] = tuple(as_plain(each) for each in out)
        if isinstance(kwargs.get("where"), Parameter):
            kwargs["where"] = as_plain(kwargs["where"])
        result = getattr(ufunc, method)(*(as_plain(each) for each in inputs), **kwargs)
        if out is None or result is NotImplemented:
            return result
        if not isinstance(result, tuple):
            return result if out[0] is None else out[0]
        return tuple(new if given is None else given for given, new in zip(out, result, strict=True))

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        result = super().__array_function__(func, types, args, kwargs)
        out = kwargs.get("out")
        return result if result is out else as_plain(result)

    def __getitem__(self, index: Any) -> Any:
        return as_plain(self)[index]

    def __deepcopy__(self, memo: dict[int, Any] | None) -> Parameter:
        return own_copy(self)

    def __reduce__(self) -> tuple[Any, ...]:
        reduced: Any = super().__reduce__()
        return reduced[0], reduced[1], (*reduced[2], self.requires_grad)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state[:-1])
        self.requires_grad = state[-1]

    def __repr__(self) -> str:
        return "Parameter containing:\n" + repr(as_plain(self))

    def __format__(self, spec: str) -> str:
        return format(as_plain(self), spec)


def _plain_method(name: str) -> Any:
    @functools.wraps(getattr(np.ndarray, name))
    def method(self: Parameter, *args: Any, **kwargs: Any) -> Any:
        return getattr(as_plain(self), name)(*args, **kwargs)
    return method


# Methods whose results NumPy gives the class of the array.
for _name in ("argmax", "argmin", "argsort", "choose", "compress", "diagonal", "dot", "flatten", "ravel", "repeat",
              "reshape", "squeeze", "swapaxes", "take", "transpose"):
    setattr(Parameter, _name, _plain_method(_name))
for _name in ("T", "mT"):
    setattr(Parameter, _name, property(functools.partial(lambda name, self: getattr(as_plain(self), name), _name)))
