"""Lowering of strided copies and of products of two activations."""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..nodes import is_quantizer, quantizer
from .layers import codes_of
from .natures import rank_of
from .operations import F32, Codes, Key, array_of
from .strided import Moved, Product
from .strided_nodes import is_flipped, is_product, moved_of, parts_of, sized_of, transposed

if TYPE_CHECKING:
    import onnx_ir as ir

    from .lowering import Lowering

__all__ = ["lower_strided"]


def lower_strided(lowering: Lowering, step: Any) -> bool:
    """Lowers a step if it is one of these; a Transpose before a product or behind it is part of it."""
    if step.execution != "float":
        return False
    node, value = step.node, step.outputs[0]
    name = node.name or value.name or ""
    if is_product(node):
        _lower_product(lowering, name, step, value, list(range(rank_of(value) or 0)))
        return True
    parts = parts_of(node)
    if parts is not None:
        for made, part in zip(step.outputs, parts, strict=True):
            if lowering.forms(made):
                lowering.operations.append(Moved(name, *part, [lowering.want(step.reads[0])], _stored(lowering, made)))
        return True
    found, given = moved_of(node, step.reads), None
    if found is None:
        found, given = sized_of(node, lowering.fixed), step.reads[1] if len(step.reads) > 1 else None
    if found is None:
        return False
    reads = _before_quantizers(lowering, value, step.reads if found[0] == "concat" else step.reads[:1])
    order, product = transposed(node), lowering.makers.get(reads[0])
    if (order is not None and len(order) <= 4 and order[-1] == len(order) - 1 and lowering.readers[reads[0]] == 1
            and product is not None and is_product(product.node) and product.execution == "float"):
        lowering.inside.add(product)
        _lower_product(lowering, name, product, value, order)
        return True
    moved = Moved(name, *found, [], _stored(lowering, value))
    lowering.operations.append(moved)
    moved.inputs = [lowering.want(each) for each in reads]
    moved.given = None if given is None else lowering.want(given)
    return True


def _lower_product(lowering: Lowering, name: str, product: Any, value: ir.Value, order: list[int]) -> None:
    reads = product.reads
    if len(order) > 4:  # more than two batch axes, which must be mergeable
        a_order, b_order, (a, b) = list(range(len(order))), list(range(len(order))), reads
    else:
        (a, a_order), (b, b_order) = (_before_transpose(lowering, read, rows_whole=number == 0)
                                      for number, read in enumerate(reads))
    if is_flipped(product.node):
        b_order = [*b_order[:-2], b_order[-1], b_order[-2]]
    made = Product(name, [], _stored(lowering, value), a_order, b_order, order)
    lowering.operations.append(made)
    made.inputs = [lowering.want(a), lowering.want(b)]


def _stored(lowering: Lowering, value: ir.Value) -> Key:
    """The value as an array, from which its other forms are made."""
    lowering.import_forms([value])
    return array_of(lowering.number(value))


def _only_codes(lowering: Lowering, value: ir.Value) -> Codes | None:
    """The only form in which a value is used, if that is codes of a single quantiser."""
    if value in lowering.rounded and lowering.readers[value] == 1:
        return lowering.rounded[value]
    found = {key.form for key in lowering.forms(value)}
    codes = found.pop() if len(found) == 1 else None
    return None if codes is None or codes.content == F32 else codes


def _before_quantizers(lowering: Lowering, value: ir.Value, reads: Sequence[ir.Value]) -> list[ir.Value]:
    """The inputs of a node that moves numbers, without quantisers whose codes are all that its result is used for."""
    codes, found = _only_codes(lowering, value), list(reads)
    for number, read in enumerate(reads if codes is not None else ()):
        node = read.producer()
        made = quantizer(node) if node is not None and is_quantizer(node) else None
        if made is None and codes is not None:
            lowering.rounded[read] = codes
        elif made is not None and codes_of(made) == codes:
            found[number] = made.input
    return found


def _before_transpose(lowering: Lowering, value: ir.Value, rows_whole: bool) -> tuple[ir.Value, list[int]]:
    """The input and axes of the Transpose that makes a value; the value itself if none does, or it splits rows."""
    step, rank = lowering.makers.get(value), rank_of(value) or 0
    order = None if step is None else transposed(step.node)
    if step is None or order is None or step in lowering.inside or (rows_whole and order[-1] != rank - 1):
        return value, list(range(rank))
    read = step.reads[0]
    return (value, list(range(rank))) if read is None else (read, order)
