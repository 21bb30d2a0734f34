"""Values that depend on constants alone, computed once by the interpreter's own functions."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from ..interpreter.plain import Plain

__all__ = ["ConstantValues"]

MAX_BYTES = 2 ** 22  # of a value


class ConstantValues:
    """The arrays of values, as far as they are known.

    Args:
        given: the constants of a graph.
        makers: the interpreter's step that makes each other value.
    """

    def __init__(self, given: Mapping[ir.Value, Any], makers: Mapping[ir.Value, Any]) -> None:
        self._makers = makers
        self._known: dict[ir.Value, Any] = dict(given)

    def __getitem__(self, value: ir.Value) -> Any:
        """The array of a value, or None."""
        if value not in self._known:
            self._known[value] = None
            step = self._makers.get(value)
            if step is not None and step.reads and isinstance(step.compute, Plain) and len(step.outputs) == 1:
                self._known[value] = self._computed(step)
        return self._known[value]

    def _computed(self, step: Any) -> Any:
        arrays = [None if read is None else self[read] for read in step.reads]
        if any(array is None for array, read in zip(arrays, step.reads, strict=True) if read is not None):
            return None
        with np.errstate(all="ignore"):
            found, = step.compute(arrays)
        return found if isinstance(found, np.ndarray) and found.nbytes <= MAX_BYTES else None
