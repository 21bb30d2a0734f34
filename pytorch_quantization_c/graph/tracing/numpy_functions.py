"""NumPy's functions on arrays as operators of ONNX."""
from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .array import Traced, plain_all
from .indexing import END, along
from .refusal import refuse

if TYPE_CHECKING:
    from .recording import Recording

__all__ = ["call_function"]

Handler = Callable[..., Any]
HANDLERS: dict[str, Handler] = {}
NO_VALUES = ("can_cast", "empty_like", "full_like", "iscomplexobj", "isrealobj", "may_share_memory", "min_scalar_type",
             "ndim", "ones_like", "result_type", "shape", "shares_memory", "size", "zeros_like")
Ints = int | Sequence[int]


def call_function(recording: Recording, function: Any, args: Any, kwargs: Any) -> Any:
    """The traced result of a NumPy function with a traced array among its arguments."""
    name = function.__name__
    if kwargs.get("out") is not None:
        refuse(f"`numpy.{name}` with `out=`", "take the result that it returns")
    if function in SIZES and isinstance((*args, *kwargs.values())[0], Traced):
        return SIZES[function](*args, **kwargs)
    if name in NO_VALUES and function.__module__.partition(".")[0] == "numpy":
        own = {"subok": False} if name.endswith("_like") else {}
        return function(*plain_all(args), **plain_all(kwargs), **own)
    is_numpys = getattr(np, name, None) is function
    if name not in HANDLERS or not is_numpys:
        refuse(f"`{function.__module__}.{name}`", "it has no counterpart in ONNX that is known here")
    made = HANDLERS[name](recording, *args, **kwargs)
    return recording.rebound(made, function(*plain_all(args), **plain_all(kwargs)))


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Registers a handler: it gets the recording and the function's own arguments."""
    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler
    return register


def _size(a: Traced, axis: Any = None) -> Any:
    return a.size if axis is None else math.prod(a.shape[each] for each in _axes(axis))


SIZES: dict[Any, Handler] = {np.shape: lambda a: a.shape, np.size: _size}


def _ints(values: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.atleast_1d(np.asarray(values, np.int64))


def _axes(axis: Any) -> tuple[int, ...]:
    return tuple(operator.index(each) for each in axis) if isinstance(axis, tuple | list) else (operator.index(axis),)


# Shapes and orders

@handles("reshape")
def _reshape(recording: Recording, a: Any, /, shape: Any = None, order: str = "C", *, newshape: Any = None,
             copy: Any = None) -> Any:
    if order != "C":
        refuse(f"`reshape` in the order {order!r}")
    return recording.emit("Reshape", a, _ints(newshape if shape is None else shape))


@handles("ravel")
def _ravel(recording: Recording, a: Any, order: str = "C") -> Any:
    return _reshape(recording, a, -1, order)


@handles("transpose", "permute_dims")
def _transpose(recording: Recording, a: Any, axes: Any = None) -> Any:
    order = range(a.ndim)[::-1] if axes is None else [axis % a.ndim for axis in _axes(axes)]
    return recording.emit("Transpose", a, perm=list(order))


@handles("swapaxes")
def _swapaxes(recording: Recording, a: Any, axis1: int, axis2: int) -> Any:
    order = list(range(a.ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return _transpose(recording, a, order)


@handles("matrix_transpose")
def _matrix_transpose(recording: Recording, x: Any) -> Any:
    return _swapaxes(recording, x, -1, -2)


@handles("moveaxis")
def _moveaxis(recording: Recording, a: Any, source: Any, destination: Any) -> Any:
    places = np.moveaxis(np.empty(range(1, a.ndim + 1)), source, destination).shape
    return _transpose(recording, a, [size - 1 for size in places])


@handles("expand_dims")
def _expand_dims(recording: Recording, a: Any, axis: Any) -> Any:
    return recording.emit("Unsqueeze", a, _ints(_axes(axis)))


@handles("squeeze")
def _squeeze(recording: Recording, a: Any, axis: Any = None) -> Any:
    axes = [i for i, size in enumerate(a.shape) if size == 1] if axis is None else _axes(axis)
    return recording.emit("Squeeze", a, _ints(axes)) if axes else a


@handles("atleast_1d", "atleast_2d")
def _atleast(recording: Recording, a: Any, *others: Any) -> Any:
    refuse("`numpy.atleast_1d` and its kin", "index with None instead")


@handles("copy")
def _copy(recording: Recording, a: Any, order: str = "K", subok: bool = False) -> Any:
    return recording.emit("Identity", a)


@handles("broadcast_to")
def _broadcast_to(recording: Recording, array: Any, shape: Any, subok: bool = False) -> Any:
    return recording.emit("Expand", array, _ints(shape))


@handles("tile")
def _tile(recording: Recording, A: Any, reps: Any) -> Any:
    repeats = _ints(reps)
    if len(repeats) > A.ndim:
        A = recording.emit("Unsqueeze", A, _ints(range(len(repeats) - A.ndim)))
    return recording.emit("Tile", A, np.concatenate([np.ones(A.ndim - len(repeats), np.int64), repeats]))


@handles("flip")
def _flip(recording: Recording, m: Any, axis: Any = None) -> Any:
    axes = range(m.ndim) if axis is None else _axes(axis)
    ones = np.ones(len(axes), np.int64)
    return recording.emit("Slice", m, END * ones, -END * ones, _ints(axes), -ones)


@handles("roll")
def _roll(recording: Recording, a: Any, shift: Any, axis: Any = None) -> Any:
    if axis is None:
        refuse("`numpy.roll` without an axis")
    for by, along_axis in zip(_axes(shift), _axes(axis), strict=True):
        if by % a.shape[along_axis]:
            where = _ints(along_axis)
            parts = [recording.emit("Slice", a, _ints(begin), _ints(end), where)
                     for begin, end in ((-by, END), (0, -by))]
            a = recording.emit("Concat", *parts, axis=along_axis % a.ndim)
    return a


@handles("pad")
def _pad(recording: Recording, array: Any, pad_width: Any, mode: Any = "constant", constant_values: Any = 0) -> Any:
    modes = {"constant": "constant", "reflect": "reflect", "edge": "edge", "wrap": "wrap"}
    if mode not in modes or np.size(constant_values) != 1:
        refuse(f"`numpy.pad` in mode {mode!r}, or with several constants")
    pairs = np.broadcast_to(np.asarray(pad_width, np.int64), (array.ndim, 2))
    fill = np.asarray(constant_values, array.dtype).reshape(()) if mode == "constant" else None
    return recording.emit("Pad", array, pairs.T.reshape(-1), fill, mode=modes[mode])


# Several arrays

def _together(recording: Recording, arrays: Any) -> list[Any]:
    dtype = np.result_type(*(each.dtype if isinstance(each, Traced) else each for each in arrays))
    return [recording.cast(each, dtype) for each in arrays]


@handles("concatenate", "concat")
def _concatenate(recording: Recording, arrays: Any, axis: Any = 0, **kwargs: Any) -> Any:
    arrays = _together(recording, arrays)
    if axis is None:
        arrays, axis = [recording.emit("Reshape", each, _ints(-1)) for each in arrays], 0
    return recording.emit("Concat", *arrays, axis=axis % np.ndim(arrays[0]))


@handles("stack")
def _stack(recording: Recording, arrays: Any, axis: int = 0, **kwargs: Any) -> Any:
    arrays = list(arrays)
    axis %= np.ndim(arrays[0]) + 1
    wide = [recording.emit("Unsqueeze", each, _ints(axis)) for each in _together(recording, arrays)]
    return recording.emit("Concat", *wide, axis=axis)


@handles("vstack", "hstack")
def _refused_stack(recording: Recording, tup: Any, **kwargs: Any) -> Any:
    refuse("`numpy.vstack` and `numpy.hstack`", "`numpy.concatenate` says the axis")


@handles("split", "array_split")
def _split(recording: Recording, ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    axis %= ary.ndim
    if np.ndim(indices_or_sections) == 0:
        count = operator.index(indices_or_sections)
        if ary.shape[axis] % count:
            refuse(f"a split of {ary.shape[axis]} elements into {count} parts", "name the places where it is split")
        made = recording.emit("Split", ary, outputs=count, axis=axis, num_outputs=count)
        return list(made) if count > 1 else [made]
    ends = [0, *(operator.index(each) for each in indices_or_sections), END]
    return [recording.emit("Slice", ary, _ints(begin), _ints(end), _ints(axis))
            for begin, end in zip(ends, ends[1:], strict=False)]


@handles("where")
def _where(recording: Recording, condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None or y is None:
        refuse("`numpy.where` without two values", "the result has another size each time")
    dtype = np.result_type(*(each.dtype if isinstance(each, Traced) else each for each in (x, y)))
    kinds = [recording.cast(each, dtype) for each in (x, y)]
    return recording.emit("Where", recording.cast(condition, np.dtype(bool)), *kinds)


@handles("dot")
def _dot(recording: Recording, a: Any, b: Any) -> Any:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return np.multiply(a, b)
    if np.ndim(b) > 2:
        refuse("`numpy.dot` with an array of more than 2 dimensions", "use `@`")
    return np.matmul(a, b)


@handles("einsum")
def _einsum(recording: Recording, equation: Any, *operands: Any, optimize: Any = False) -> Any:
    if not isinstance(equation, str):
        refuse("`numpy.einsum` without an equation of letters")
    return recording.emit("Einsum", *_together(recording, operands), by_numpy=True, equation=equation)


# Picking

@handles("take")
def _take(recording: Recording, a: Any, indices: Any, axis: Any = None, mode: str = "raise") -> Any:
    if axis is None:
        a, axis = recording.emit("Reshape", a, _ints(-1)), 0
    return along(recording, a, indices, axis % np.ndim(a))


@handles("take_along_axis")
def _take_along_axis(recording: Recording, arr: Any, indices: Any, axis: Any = -1) -> Any:
    if axis is None:
        refuse("`numpy.take_along_axis` without an axis")
    return recording.emit("GatherElements", arr, recording.cast(indices, np.dtype(np.int64)),
                          axis=axis % np.ndim(arr))


@handles("repeat")
def _repeat(recording: Recording, a: Any, repeats: Any, axis: Any = None) -> Any:
    if axis is None:
        a, axis = recording.emit("Reshape", a, _ints(-1)), 0
    places = np.repeat(np.arange(a.shape[axis]), repeats)
    return recording.emit("Gather", a, places, axis=axis % a.ndim)


@handles("tril", "triu")
def _triangle(recording: Recording, m: Any, k: int = 0) -> Any:
    refuse("`numpy.tril` and `numpy.triu` of a traced array", "`np.where` with a constant mask")


# Along axes

def _reduction(op: str) -> Handler:
    def reduce(recording: Recording, a: Any, axis: Any = None, dtype: Any = None, out: None = None,
               keepdims: Any = False, **others: Any) -> Any:
        if any(value is not np._NoValue and value is not True for value in others.values()):
            refuse(f"a reduction with {', '.join(f'`{name}`' for name in others)}")
        keepdims = keepdims is not np._NoValue and bool(keepdims)
        if op in ("ReduceSum", "ReduceProd", "ReduceMean"):
            a = recording.cast(a, _summed(a.dtype, dtype, op))
        axes = None if axis is None else _ints([each % a.ndim for each in _axes(axis)])
        return recording.emit(op, a, axes, by_numpy=True, keepdims=int(keepdims))
    return reduce


def _summed(dtype: np.dtype[Any], wanted: Any, op: str) -> np.dtype[Any]:
    if wanted is not None:
        named: np.dtype[Any] = np.dtype(wanted)
        return named
    if op == "ReduceMean":
        return dtype if dtype.kind == "f" else np.dtype(np.float64)
    summed: np.dtype[Any] = np.dtype(np.cumsum(np.zeros(1, dtype)).dtype.str) if dtype.kind in "bui" else dtype
    return summed


for _name, _op in (("sum", "ReduceSum"), ("mean", "ReduceMean"), ("prod", "ReduceProd"), ("max", "ReduceMax"),
                   ("min", "ReduceMin"), ("amax", "ReduceMax"), ("amin", "ReduceMin")):
    HANDLERS[_name] = _reduction(_op)


@handles("var")
def _var(recording: Recording, a: Any, axis: Any = None, dtype: Any = None, out: None = None, ddof: Any = 0,
         keepdims: Any = False, **others: Any) -> Any:
    if ddof or dtype is not None or any(value is not np._NoValue for value in others.values()):
        refuse("a variance with other arguments than `axis` and `keepdims`")
    distance = a - np.mean(a, axis=axis, keepdims=True)
    return np.mean(distance * distance, axis=axis, keepdims=keepdims is True)


@handles("std")
def _std(recording: Recording, a: Any, *args: Any, **kwargs: Any) -> Any:
    return np.sqrt(np.var(a, *args, **kwargs))


@handles("argmax")
def _arg(recording: Recording, a: Any, axis: Any = None, out: None = None, *, keepdims: Any = False) -> Any:
    if axis is None:
        a, axis = recording.emit("Reshape", a, _ints(-1)), 0
    return recording.emit("ArgMax", a, axis=axis % a.ndim, keepdims=int(keepdims is True))


@handles("argmin")
def _argmin(recording: Recording, a: Any, axis: Any = None, out: None = None, *, keepdims: Any = False) -> Any:
    return np.argmax(-a, axis, keepdims=keepdims)


@handles("cumsum")
def _cumsum(recording: Recording, a: Any, axis: Any = None, dtype: Any = None) -> Any:
    if axis is None:
        a, axis = recording.emit("Reshape", a, _ints(-1)), 0
    return recording.emit("CumSum", recording.cast(a, _summed(a.dtype, dtype, "")), np.asarray(axis, np.int64))


@handles("clip")
def _clip(recording: Recording, a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None,
          **others: Any) -> Any:
    low, high = (other if given is None or given is np._NoValue else given
                 for given, other in ((a_min, min), (a_max, max)))
    if isinstance(low, float | int) and isinstance(high, float | int) and a.dtype.kind == "f":
        return recording.emit("Clip", a, a.dtype.type(low), a.dtype.type(high))
    a = a if low is None else np.maximum(a, low)
    return a if high is None else np.minimum(a, high)


@handles("round", "around")
def _round(recording: Recording, a: Any, decimals: int = 0) -> Any:
    if decimals:
        refuse("rounding to decimals")
    return np.rint(a)
