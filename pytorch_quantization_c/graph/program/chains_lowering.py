"""Lowering of elementwise chains, and of quantisers, whose codes a chain stores."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from ..interpreter.table import constant
from ..nodes import is_quantizer, quantizer
from .broadcasts import has_four_axes
from .chains import Chained, is_float
from .layers import codes_of
from .maxima import clamped_pool
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
    for each in chain.operands:
        if not isinstance(each, ir.Value):
            made.operands.append(lowering.constant(each, rank_of(value) if image else None))
        else:
            made.operands.append(lowering.want_operand(each, image))
    return True


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
