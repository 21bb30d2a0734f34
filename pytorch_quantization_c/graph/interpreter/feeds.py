"""The inputs of a graph: names, types and shapes."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import GraphError

__all__ = ["Wanted", "checked"]


class Wanted(NamedTuple):
    """An input or an output.

    shape: integers, names of axes, None for those that have none; None if it is not known.
    type: as onnxruntime names it.
    dtype: of its array; None: it is not checked.
    optional: an input that has a default value.
    """

    name: str
    shape: list[int | str | None] | None
    type: str
    dtype: np.dtype[Any] | None
    optional: bool = False


def _array(wanted: Wanted, given: Any) -> Any:
    dtype = wanted.dtype
    if dtype is None:
        return given
    try:
        array = np.asarray(given) if isinstance(given, np.ndarray | np.generic) else np.asarray(given, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise GraphError(f"Expected input {wanted.name!r} of {dtype}, got {type(given).__name__}: {error}") from None
    if array.dtype != dtype:
        raise GraphError(f"Expected input {wanted.name!r} of {dtype}, got {array.dtype}")
    shape = wanted.shape
    fits = shape is None or (len(shape) == array.ndim and all(
        not isinstance(n, int) or n == m for n, m in zip(shape, array.shape, strict=True)))
    if not fits:
        raise GraphError(f"Expected input {wanted.name!r} of shape {shape}, got {list(array.shape)}")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def checked(inputs: Sequence[Wanted], feeds: Mapping[str, Any], tied: Sequence[str] = (),
            argument: str = "feeds") -> dict[str, Any]:
    """The arrays of the inputs. GraphError that names the input if one is missing, unknown or does not fit.

    `tied`: names of axes that have the same size in all inputs that have them. `argument`: what the caller calls feeds.
    """
    if not isinstance(feeds, Mapping):
        raise GraphError(f"Expected `{argument}` to be a dictionary of arrays by input name, got "
                         f"{type(feeds).__name__}")
    names = {each.name: each for each in inputs}
    for name in feeds:
        if name not in names:
            raise GraphError(f"Expected inputs {sorted(names)}, got {name!r}")
    missing = [each.name for each in inputs if each.name not in feeds and not each.optional]
    if missing:
        raise GraphError(f"Expected inputs {sorted(names)}, got none for {missing[0]!r}")
    arrays = {name: _array(names[name], given) for name, given in feeds.items()}
    if tied:
        _check_tied(tied, names, arrays)
    return arrays


def _check_tied(tied: Sequence[str], names: Mapping[str, Wanted], arrays: Mapping[str, Any]) -> None:
    """GraphError if an axis that a traced model takes in one size alone has two."""
    known: dict[str, tuple[int, str]] = {}
    for input_name, array in arrays.items():
        for name, size in zip(names[input_name].shape or (), np.shape(array), strict=False):
            if not isinstance(name, str) or name not in tied:
                continue
            other, first = known.setdefault(name, (size, input_name))
            if other != size:
                raise GraphError(f"Expected inputs {first!r} and {input_name!r} with the same axis {name!r}, got "
                                 f"{other} and {size}")
