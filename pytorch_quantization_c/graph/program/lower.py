"""From the interpreter's steps, the last first, to the operations of a program."""
from __future__ import annotations

from typing import Any

from ..interpreter.run import Interpreter
from ..interpreter.steps import named
from .blocks import pixels_of_blocks
from .calls import Call
from .chains import Chained, built
from .chains_lowering import lower_chain, lower_quantizer
from .float_conv_lowering import lower_float_conv
from .float_layers import FloatLayer
from .fusing import Fused
from .gather_lowering import lower_gather
from .layers_lowering import lower_layer
from .lowered import Lowered
from .lowering import Lowering
from .moves_lowering import lower_move
from .norms_lowering import lower_norm
from .operations import Python
from .padding_lowering import lower_padding
from .pooling_lowering import lower_average, lower_flatten
from .recurrent_lowering import lower_recurrent
from .reductions_lowering import lower_reduction
from .rows_lowering import lower_rows
from .sampling_lowering import lower_sampling
from .strided_lowering import lower_strided
from .truths_lowering import lower_masks, lower_truths

__all__ = ["lower"]

#: Each returns whether it has lowered a step; one that none of them lowers becomes a call of Python.
RULES = (lower_quantizer, lower_rows, lower_average, lower_strided, lower_reduction, lower_gather, lower_padding,
         lower_sampling, lower_masks, lower_recurrent, lower_norm)


def lower(interpreter: Interpreter) -> Lowered:
    """The program of a graph that the interpreter has made ready."""
    lowering = Lowering(interpreter)
    graph, plan = lowering.graph, lowering.plan
    outputs = {value.name or "": lowering.want(value).value for value in graph.outputs}
    for step in reversed(plan.steps):
        if step in lowering.tails:
            _lower_layer(lowering, *lowering.tails[step])
        elif step in lowering.fused:
            _lower_layer(lowering, lowering.fused[step])
        elif step in lowering.floats:
            _lower_layer(lowering, lowering.floats[step])
        elif step in lowering.chains:
            _lower_chain(lowering, lowering.chains[step])
        elif step not in lowering.inside:
            _lower_step(lowering, step)
    lowering.import_forms([*graph.inputs, *plan.constants])
    inputs = {value.name or "": lowering.number(value) for value in graph.inputs}
    constants = {lowering.number(value): array for value, array in plan.constants.items() if value in lowering.wanted}
    constants.update(lowering.more_constants)
    return Lowered(pixels_of_blocks(lowering.operations[::-1]), inputs, outputs, constants)


def _lower_layer(lowering: Lowering, layer: Fused | FloatLayer, chain: Chained | None = None) -> None:
    if isinstance(layer, Fused):
        lower_layer(lowering, layer, chain)
    else:
        lower_float_conv(lowering, layer, chain)


def _lower_chain(lowering: Lowering, chain: Chained) -> None:
    """A chain, or each of its steps alone."""
    if lower_chain(lowering, chain):
        return
    for step in reversed(chain.steps):
        alone = built([step], chain.unsigned) if len(chain.steps) > 1 else None
        if alone is None or not lower_chain(lowering, alone):
            _lower_step(lowering, step)


def _lower_step(lowering: Lowering, step: Any) -> None:
    if step.outputs and step.outputs[0] in lowering.truths and step.outputs[0] in lowering.truth_numbers:
        lower_truths(lowering, step, lowering.want_truth(step.outputs[0]))
    forms = [key for value in step.outputs if value is not None for key in lowering.forms(value)]
    if (not forms or _lower_constant(lowering, step) or lower_move(lowering, step, forms)
            or lower_flatten(lowering, step, forms) or any(rule(lowering, step) for rule in RULES)):
        return
    lowering.import_forms([value for value in step.outputs if value is not None])
    operands = [None if value is None else lowering.want(value).value for value in step.reads]
    call = Call(named(step.node), operands, step.names(), step.compute)
    outputs = [lowering.number(value) for value in step.outputs]
    fixed = all(value in lowering.fixed for value in step.outputs)
    lowering.operations.append(Python(step.node.name or step.node.op_type, outputs, call, fixed))


def _lower_constant(lowering: Lowering, step: Any) -> bool:
    """Lowers a value that depends on constants alone."""
    value = step.outputs[0]
    array = lowering.known[value]
    if array is not None:
        lowering.more_constants[lowering.number(value)] = array
        lowering.import_forms([value])
    return array is not None
