"""Lowering of elementwise chains, and of quantisers, whose codes a chain stores."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from ..interpreter.table import constant
from ..nodes import is_quantizer, quantizer
from .broadcasts import has_four_axes
from .chains import Chained, has_same_shape, is_float
from .layers import codes_of
from .maxima import clamped_pool
from .moves import resize_factors
from .natures import are_image_operands, rank_of
from .operations import U8, Chain, Export, Key, Pool, array_of

if TYPE_CHECKING:
    from .lowering import Lowering

__all__ = ["lower_chain", "lower_quantizer"]


def lower_chain(lowering: Lowering, chain: Chained) -> bool:
    """Elementwise operations in one pass; False if a program has none over operands of such shapes."""
    value, forms = chain.output, lowering.forms(chain.output)
    if not forms or _clamped_pool(lowering, chain, forms):
        return True
    image = value in lowering.images and are_image_operands(chain.operands, value)
    if not image and not has_four_axes([*chain.operands, value]):
        return False
    name, outputs = chain.steps[-1].node.name or value.name or "", lowering.split(value, not image)
    made = Chain(name, [], chain.operations, outputs, image)
    lowering.operations.append(made)
    enlarged = _enlarged(lowering, chain) if image else {}
    for each in chain.operands:
        if not isinstance(each, ir.Value):
            made.operands.append(lowering.constant(each, rank_of(value) if image else None))
        else:
            made.operands.append(lowering.want_operand(enlarged[each][0] if each in enlarged else each, image))
    if enlarged:
        made.repeats = [enlarged[each][1] if isinstance(each, ir.Value) and each in enlarged else (1, 1)
                        for each in chain.operands]
    return True


def _enlarged(lowering: Lowering, chain: Chained) -> dict[ir.Value, tuple[ir.Value, tuple[int, int]]]:
    """Operands that repeat the pixels of another image and that only the chain reads: that image, and how often.

    The chain repeats them itself, if another operand is as large as its result.
    """
    found, values = {}, [each for each in chain.operands if isinstance(each, ir.Value)]
    for each in values:
        maker = lowering.makers.get(each)
        factors = None if maker is None else resize_factors(maker.node)
        source = None if maker is None else maker.reads[0]
        inside = sum(list(step.reads).count(each) for step in chain.steps)
        if source is not None and factors is not None and lowering.readers[each] == inside:
            found[each] = source, factors
    whole = any(each not in found and has_same_shape(each, chain.output) for each in values)
    return found if whole else {}


def _clamped_pool(lowering: Lowering, chain: Chained, forms: list[Key]) -> bool:
    """A clamp behind a max pool, where only codes are needed: pools codes that are clamped first."""
    found = None if any(key.form is None or key.matrix or key.form.content != U8 for key in forms) else \
        clamped_pool(chain)
    if found is None:
        return False
    for key in forms:
        assert key.form is not None
        source = lowering.want(found.source, found.codes(key.form))
        lowering.operations.append(Pool(chain.steps[-1].node.name or "", source, key, found.y, found.x, found.ceil))
    return True


def lower_quantizer(lowering: Lowering, step: Any) -> bool:
    """Floats of a quantised value are decoded from its codes, unless its zeros have signs: codes have none."""
    if not is_quantizer(step.node):
        return False
    found = quantizer(step.node)
    given = constant(step.node, 0)
    if given is not None and found.amax is not None:  # computed once
        lowering.more_constants[lowering.number(found.output)], = step.compute([given])
        lowering.import_forms([found.output])
        return True
    codes = codes_of(found)
    if (codes is None or lowering.has_signed_zeros(found) or not is_float(found.input)
            or found.input.const_value is not None):
        return False
    image, forms = found.output in lowering.images, lowering.forms(found.output)
    key = lowering.want(found.input, codes, matrix=not image)
    if image and forms == [array_of(lowering.number(found.output))]:
        lowering.operations.append(Export(found.name, key, lowering.number(found.output)))
    else:
        lowering.operations.append(Chain(found.name, [key], [], lowering.split(found.output, not image), image))
    return True
