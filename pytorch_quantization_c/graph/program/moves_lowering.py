"""Lowering of what only moves pixels or channels of images, and of max pools."""
from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from .chains import is_float
from .maxima import MaxPool, max_pool
from .moves import cuts_of, depth_to_space, is_channels_last, joins_channels, resize_factors
from .natures import rank_of
from .operations import FLOATS, U8, Chain, Concat, Key, Operation, Pool, Rearranged, Sliced

if TYPE_CHECKING:
    from .lowering import Lowering

__all__ = ["lower_move"]


def lower_move(lowering: Lowering, step: Any, forms: list[Key]) -> bool:
    """Images of the same codes, or floats: repeated pixels, channels as pixels, concatenated channels."""
    node, value = step.node, step.outputs[0]
    if node.domain not in ("", "ai.onnx"):
        return False
    if is_channels_last(node, rank_of(value)) and all(key.form is not None and not key.matrix for key in forms):
        operand = lowering.want(step.reads[0])  # an array whose channels lie as those of an image
        stored = lowering.split(value, matrix=False)
        lowering.operations.append(Chain(node.name or "", [operand], [], stored, image=True))
        return True
    if _cut(lowering, step, forms) or _float_maxima(lowering, step, forms):
        return True
    if value not in lowering.images:
        return _moved_codes(lowering, step, forms)
    name, factors, block = node.name or value.name or "", resize_factors(node), depth_to_space(node)
    if factors is None and block is None and not joins_channels(node, rank_of(value)):
        return _moved_codes(lowering, step, forms)
    for key in lowering.split(value, matrix=False):
        made: Operation
        if factors is not None:
            made = Rearranged(name, lowering.want(step.reads[0], key.form), key, *factors)
        elif block is not None:
            made = Rearranged(name, lowering.want(step.reads[0], key.form), key, block, block, True)
        else:
            made = Concat(name, [lowering.want(each, key.form) for each in step.reads], key)
        lowering.operations.append(made)
    return True


def _cut(lowering: Lowering, step: Any, forms: list[Key]) -> bool:
    """Slices channels or pixels of images; other slices only if nothing but images of bytes is wanted."""
    cuts = cuts_of(step.node, rank_of(step.outputs[0]))
    bytes_alone = all(key.form is not None and not key.matrix and key.form.content == U8 for key in forms)
    if cuts is None or not (bytes_alone or step.outputs[0] in lowering.images):
        return False
    for value, cut in zip(step.outputs, cuts, strict=True):
        keys = [] if value is None else lowering.forms(value) if bytes_alone else lowering.split(value, matrix=False)
        lowering.operations.extend(Sliced(step.node.name or "", lowering.want(step.reads[0], key.form), key, *cut)
                               for key in tuple(keys))
    return True


def _float_maxima(lowering: Lowering, step: Any, forms: list[Key]) -> bool:
    """A max pool of images, where more is wanted than bytes."""
    value, pool = step.outputs[0], max_pool(step.node)
    if pool is None or value not in lowering.images or not is_float(value) or rank_of(value) not in (4, 5) or all(
            key.form is not None and not key.matrix and key.form.content == U8 for key in forms):
        return False
    name, stored = step.node.name or value.name or "", lowering.split(value, False)
    floats = Key(lowering.number(value), FLOATS)
    made = floats if stored == [floats] else Key(lowering.fresh(), FLOATS)
    if made != floats:
        lowering.operations.append(Chain(name, [made], [], stored, image=True))
    _pool(lowering, name, pool, lowering.want(step.reads[0], FLOATS), made)
    return True


def _pool(lowering: Lowering, name: str, pool: MaxPool, source: Key, target: Key) -> None:
    """A max pool; of volumes, first of each frame."""
    made = [Pool(name, source, target, *each) for each in pool.pools()]
    for first, then in pairwise(made):
        then.input = first.output = target._replace(value=lowering.fresh())
    lowering.operations.extend(made[::-1])


def _moved_codes(lowering: Lowering, step: Any, forms: list[Key]) -> bool:
    """Pools and concatenations of which only bytes of images are wanted."""
    node, value = step.node, step.outputs[0]
    if any(key.form is None or key.matrix or key.form.content != U8 for key in forms):
        return False
    pool = max_pool(node)
    if pool is not None:
        for key in forms:
            _pool(lowering, node.name or "", pool, lowering.want(step.reads[0], key.form), key)
        return True
    if not joins_channels(node, rank_of(value) or 4):
        return False
    for key in forms:
        lowering.operations.append(Concat(node.name or "", [lowering.want(each, key.form) for each in step.reads], key))
    return True
