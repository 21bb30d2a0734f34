"""A layer of LSTM or GRU cells on integers, for layers on NumPy arrays.

The products of the input, of all steps in one go, and that of each state are those of integer linear layers, which
share a range for input and state and a scale for each row of both weights; their float32 results are then added. A
projection is an integer linear layer of its own.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ... import _C
from ..._core.formats import Int
from ..._core.rnn_rules import Direction, State
from ...float_nn.functional.recurrent import Remembered
from ...integer.eligibility import format_or_refusal, range_refusal
from ...integer.float_only import enabled
from ...integer.packed import Geometry, PackedWeights
from ...integer.settings import fixed
from ...integer.weights import quantized_weight
from ._integer import ArrayEngine

__all__ = ["layer_on_integers"]

Array = NDArray[Any]
LIBRARY = "pytorch_quantization_c."
SETTINGS = ("_axis", "_scale_amax", "_num_bits", "_unsigned", "_narrow_range")


_KNOWN: WeakKeyDictionary[Any, Remembered[tuple[PackedWeights, ...] | str]] = WeakKeyDictionary()  # by weight quantiser


def _refusal(layer: Any, direction: Direction[Array], x: Any) -> str | None:
    """Why integers cannot compute a direction, judging by arrays and quantisers."""
    if not enabled():
        return "integers are switched off"
    if layer.mode not in ("LSTM", "GRU"):
        return "there are no cells of this kind on integers"
    quantizers = [direction.input_quantizer, direction.weight_quantizer]
    if direction.weight_hr is not None:
        quantizers += [direction.state_quantizer, direction.projection_quantizer]
    if not type(layer).__module__.startswith(LIBRARY) or any(
            type(each).__module__ != ArrayEngine.quantizers for each in quantizers):
        return "a class of its own"
    arrays = (x, *direction.arrays)
    if type(x) is not np.ndarray or any(each is not None and each.dtype.char != "f" for each in arrays):
        return "not all arrays are of float32"
    if not x.size:
        return "empty input"
    return None


def _joined(quantizer: Any, given: Sequence[Any], input_format: Int) -> tuple[PackedWeights, ...] | str:
    """Weights that share one quantiser, each packed separately; or why integers cannot do it."""
    format = format_or_refusal(quantizer, "weight")
    if isinstance(format, str):
        return format
    if quantizer._block_sizes is not None:
        return "the weight has a scale for each block"
    weights = [np.ascontiguousarray(np.asarray(each)) for each in given]
    amax = quantizer._state("_amax")
    ranges = [] if amax is None else [np.asarray(amax)]
    settings = np.frombuffer(repr((input_format, format, *(fixed(getattr(quantizer, name)) for name in SETTINGS))
                                  ).encode(), np.uint8)

    def make() -> tuple[PackedWeights, ...] | str:
        joined = np.concatenate(weights, 1)
        found = quantized_weight(joined, np.asarray(quantizer._get_amax(joined)), format, False)
        if isinstance(found, str):
            return found
        parts = np.split(found.values, np.cumsum([each.shape[1] for each in weights])[:-1], 1)
        return tuple(PackedWeights(np.ascontiguousarray(part), found.scale, Geometry(), input_format) for part in parts)

    return _KNOWN.setdefault(quantizer, Remembered())([*weights, *ranges, settings], make)


def _range_of(quantizer: Any, x: Array) -> tuple[Int, float] | str:
    """The format and the range of input and state, or of what is projected; or why there is none."""
    format, amax = format_or_refusal(quantizer, "input"), quantizer._state("_amax")
    if isinstance(format, str):
        return format
    if quantizer._zero_point or amax is None:
        return "the input has a zero point" if quantizer._zero_point else "the input has no fixed range"
    why = range_refusal(quantizer, amax)
    return why or (format, float(np.asarray(quantizer._get_amax(x)).reshape(-1)[0]))


Product = tuple[Any, float, Any]  # as `_C.recurrent` has it


def _direction_on_integers(layer: Any, direction: Direction[Array], x: Array) -> tuple[Array, list[Product]] | str:
    """The products of the input, and what multiplies each state."""
    found = _refusal(layer, direction, x) or _range_of(direction.input_quantizer, x)
    if isinstance(found, str):
        return found
    format, amax = found
    packed = _joined(direction.weight_quantizer, [direction.weight_ih, direction.weight_hh], format)
    if isinstance(packed, str):
        return packed
    of_x, of_h = (None if each is None else np.ascontiguousarray(np.asarray(each)) 
                  for each in (direction.bias_ih, direction.bias_hh))
    if layer.mode == "LSTM" and of_x is not None:
        of_x, of_h = of_x + of_h, None
    products: list[Product] = [(packed[1]._packed, amax, of_h)]
    if direction.weight_hr is not None:
        projected = _range_of(direction.state_quantizer, x)
        if isinstance(projected, str):
            return projected
        projection = _joined(direction.projection_quantizer, [direction.weight_hr], projected[0])
        if isinstance(projection, str):
            return projection
        products.append((projection[0]._packed, projected[1], None))
    rows = packed[0].product(np.ascontiguousarray(x), amax, of_x)
    return rows if isinstance(rows, str) else (rows, products)


def layer_on_integers(layer: Any, directions: Sequence[Direction[Array]], x: Array, batch_sizes: Sequence[int],
                      states: Sequence[State[Array]]) -> tuple[Array, list[State[Array]]] | str:
    """One layer, both directions: packed outputs and the final state of each direction; or why integers cannot do it.

    Args:
        layer: the module.
        directions: its directions, forwards first.
        x: packed steps (sum of batch_sizes, inputs).
        states: initial ones of each direction, of arrays (batch, hidden).
    """
    ahead: list[Array] = []
    products: list[Product] = []
    for direction in directions:
        made = _direction_on_integers(layer, direction, x)
        if isinstance(made, str):
            return made
        ahead.append(made[0])
        products += made[1]
    h, *c = (np.stack(parts) for parts in zip(*states, strict=True))
    sizes = None if len(set(batch_sizes)) == 1 else np.array(batch_sizes, np.int64)
    kind = layer.mode if directions[0].weight_hr is None else "LSTM_PROJECTED"
    found = _C.recurrent(kind, ahead[0] if len(ahead) == 1 else np.concatenate(ahead, 1), tuple(products), h,
                         c[0] if c else None, sizes, False, False)
    return found if isinstance(found, str) else (found[0], list(zip(*found[1:], strict=True)))
