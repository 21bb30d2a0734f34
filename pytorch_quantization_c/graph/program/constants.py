"""Values that depend on constants alone, computed once by the interpreter's own functions."""
from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from ..interpreter.plain import Plain

__all__ = ["ConstantValues"]

MAX_BYTES = 2 ** 22  # of a value
MAX_TOTAL = 2 ** 26  # of all that are computed


class ConstantValues:
    """The arrays of values, as far as they are known.

    Args:
        given: the constants of a graph.
        makers: the interpreter's step that makes each other value.
    """

    def __init__(self, given: Mapping[ir.Value, Any], makers: Mapping[ir.Value, Any]) -> None:
        self._makers = makers
        self._known: dict[ir.Value, Any] = dict(given)
        self._left = MAX_TOTAL

    def __getitem__(self, value: ir.Value) -> Any:
        """The array of a value, or None."""
        wanted = [value]
        while wanted:  # a chain of values may be longer than Python's stack
            each = wanted[-1]
            step = None if each in self._known else self._maker(each)
            missing = [] if step is None else [read for read in step.reads
                                               if read is not None and read not in self._known]
            if missing:
                wanted.extend(missing)
                continue
            wanted.pop()
            if each not in self._known:
                self._known[each] = None if step is None else self._computed(step)
        return self._known[value]

    def _maker(self, value: ir.Value) -> Any:
        """The step that makes a value of others, if it can be computed once."""
        step = self._makers.get(value)
        if step is None or not step.reads or not isinstance(step.compute, Plain) or len(step.outputs) != 1:
            return None
        return None if _bytes(value) > min(MAX_BYTES, self._left) else step

    def _computed(self, step: Any) -> Any:
        arrays = [None if read is None else self._known[read] for read in step.reads]
        if any(array is None for array, read in zip(arrays, step.reads, strict=True) if read is not None):
            return None
        try:
            with np.errstate(all="ignore"):
                found, = step.compute(arrays)
        except Exception:  # the step raises it when it runs, and names its node
            return None
        if not isinstance(found, np.ndarray) or found.nbytes > min(MAX_BYTES, self._left):
            return None
        self._left -= found.nbytes
        return found


def _bytes(value: ir.Value) -> int:
    """The size of an array of float32 of this shape; 0 if a dimension is not known."""
    dims = () if value.shape is None else value.shape.dims
    return 4 * math.prod(size if isinstance(size, int) else 0 for size in dims)
