"""Lowering of averages of images, and of images that become rows."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .operations import U8, Conv, Flat, Key
from .pooling import average_of, pixels_first, row_of

if TYPE_CHECKING:
    from .lowering import Lowering

__all__ = ["lower_average", "lower_flatten"]


def lower_average(lowering: Lowering, step: Any) -> bool:
    """Averages of images over windows, or over all pixels."""
    made = average_of(step) if step.outputs[0] in lowering.images else None
    if made is None:
        return False
    made.outputs = lowering.split(step.outputs[0], matrix=False)
    lowering.operations.append(made)
    made.input = lowering.want_operand(step.reads[0], image=True)
    return True


def lower_flatten(lowering: Lowering, step: Any, forms: list[Key]) -> bool:
    """Images as rows, where only bytes are wanted: of one pixel, or for a layer whose weights take that order."""
    source, row = step.reads[0] if step.reads else None, row_of(step)
    if row is None or source not in lowering.images or any(
            key.form is None or not key.matrix or key.form.content != U8 for key in forms):
        return False
    channels, pixels = row
    layers = [_only_layer(lowering, key) for key in forms] if pixels > 1 else []
    if None in layers:
        return False
    for layer in layers:
        assert layer is not None
        layer.weight = pixels_first(layer.weight, channels)
    for key in forms:
        assert key.form is not None
        lowering.operations.append(Flat(step.node.name or "", lowering.want(source, key.form), key, pixels))
    return True


def _only_layer(lowering: Lowering, key: Key) -> Conv | None:
    """The layer that multiplies rows which nothing else reads."""
    readers = [each for each in lowering.operations if key in each.reads()]
    reader = readers[0] if len(readers) == 1 else None
    return reader if isinstance(reader, Conv) and reader.residual != key else None
