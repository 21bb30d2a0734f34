"""From the interpreter's steps to the operations of a program.

Demands are propagated from the outputs backwards: which values are needed in which forms. A layer stores its output in
every form that is needed, in one pass; unneeded values are not computed.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import onnx_ir as ir

from ..interpreter.run import Interpreter
from ..interpreter.steps import named
from ..interpreter.table import constant
from ..nodes import is_quantizer, quantizer
from ..representation.arithmetic import signs_zeros
from .blocks import pixels_of_blocks
from .broadcasts import has_four_axes
from .calls import Call
from .chains import Chained, built, chains_of, is_float
from .constants import ConstantValues
from .float_conv_lowering import FloatLayer, float_layer, lower_float_conv
from .fusing import Fused, fused_layers
from .gather_lowering import lower_gather
from .layers import codes_of
from .lowered import Lowered
from .maxima import MaxPool, clamped_pool, max_pool
from .moves import cuts_of, depth_to_space, is_channels_last, joins_channels, resize_factors
from .natures import are_image_operands, image_values, rank_of
from .norms_lowering import lower_norm
from .operations import (
    FLOATS,
    U8,
    Chain,
    Codes,
    Concat,
    Conv,
    Cropped,
    Export,
    Flat,
    Import,
    Key,
    Operation,
    Pool,
    Python,
    Rearranged,
    Rows,
    Sliced,
    Window,
    array_of,
)
from .padding_lowering import lower_padding
from .pooling import average_of, pixels_first, row_of
from .recurrent_lowering import lower_recurrent
from .reductions_lowering import lower_reduction
from .row_functions import row_function
from .sampling_lowering import lower_sampling
from .strided_lowering import lower_strided
from .tails import tails_of
from .transposed import Spread
from .truths_lowering import lower_masks, lower_truths, truths_of
from .volumes import Stacked

__all__ = ["Lowering", "lower"]

LOWERED = (lower_strided, lower_reduction, lower_gather, lower_padding, lower_sampling, lower_masks, lower_recurrent,
           lower_norm)
ONE = Window(1)
MAX_CODES = 2  # forms that a layer stores beside floats


class Lowering:
    """A graph being lowered to a program."""

    def __init__(self, interpreter: Interpreter) -> None:
        self.plan = interpreter.plan
        self.graph = interpreter.model.graph
        self.numbers: dict[ir.Value, int] = {}
        self.wanted: dict[ir.Value, list[Key]] = {}
        self.operations: list[Operation] = []  # the last first
        self.fused = fused_layers(self.plan.steps, self.graph.outputs)
        self.inside = {step for fused in self.fused.values() for step in fused.steps}
        self.chains = chains_of(self.plan.steps, self.graph.outputs, self.inside)
        self.inside.update(step for chain in self.chains.values() for step in chain.steps)
        floats = map(float_layer, self.plan.steps)
        self.floats = {each.step: each for each in floats if each is not None}
        self.images = image_values(self.plan.steps, self.fused, self.floats)
        self.tails = tails_of(self.plan.steps, self.graph.outputs, self.fused.values(), self.floats.values(),
                              self.chains, self.images)
        followed = {tail.layer.step for tail in self.tails.values()}
        self.fused = {step: each for step, each in self.fused.items() if each.step not in followed}
        self.floats = {step: each for step, each in self.floats.items() if step not in followed}
        self.inside.update(followed)
        self.truths = truths_of(self.plan.steps)
        self.truth_numbers: dict[ir.Value, int] = {}  # of those that are wanted as floats
        self.more_constants: dict[int, Any] = {}
        self.makers = {value: step for step in self.plan.steps for value in step.outputs if value is not None}
        self.known = ConstantValues(self.plan.constants, self.makers)
        self.readers = Counter(value for step in self.plan.steps for value in step.reads if value is not None)
        self.readers.update(self.graph.outputs)
        self.rounded: dict[ir.Value, Codes] = {}  # values whose only reader quantises them

    # Demands

    def number(self, value: ir.Value) -> int:
        return self.numbers.setdefault(value, len(self.numbers))

    def fresh(self) -> int:
        """A number for a value that is not in the graph."""
        return self.number(ir.Value())

    def want(self, value: ir.Value, form: Codes | None = None, matrix: bool = False) -> Key:
        """Records that a value is needed in a form, and returns its key."""
        node = value.producer()
        if form is not None and node is not None and is_quantizer(node):
            found = quantizer(node)
            if codes_of(found) == form and form != FLOATS:
                return self.want(found.input, form, matrix)  # quantising again changes nothing
        key = Key(self.number(value), form, matrix and form is not None)
        known = self.wanted.setdefault(value, [])
        if key not in known:
            known.append(key)
        return key

    def want_truth(self, value: ir.Value) -> Key:
        """A truth value as floats, 1 or 0."""
        if value not in self.truth_numbers:
            self.truth_numbers[value] = self.fresh()
        return array_of(self.truth_numbers[value])

    def want_operand(self, value: ir.Value, image: bool) -> Key:
        """What a chain reads: the codes of a quantiser without signed zeros, else floats."""
        node = value.producer()
        found = quantizer(node) if node is not None and is_quantizer(node) else None
        codes = None if found is None or signs_zeros(found.spec) else codes_of(found)
        if image:
            return self.want(value, FLOATS if codes is None else codes)
        return self.want(value, codes, matrix=codes is not None)

    def want_residual(self, value: ir.Value, matrix: bool) -> Key:
        """The value that an output stage adds: as codes if a quantiser made it, else as floats."""
        node = value.producer()
        codes = codes_of(quantizer(node)) if node is not None and is_quantizer(node) else None
        if matrix:
            return self.want(value, codes, matrix=codes is not None)
        return self.want(value, FLOATS if codes is None else codes)

    def forms(self, value: ir.Value) -> list[Key]:
        return self.wanted.get(value, [])

    # Steps, from the last to the first

    def run(self) -> Lowered:
        outputs = {value.name or "": self.want(value).value for value in self.graph.outputs}
        for step in reversed(self.plan.steps):
            if step in self.tails:
                self.lower_tail(*self.tails[step])
            elif step in self.fused:
                self.lower_layer(self.fused[step])
            elif step in self.floats:
                lower_float_conv(self, self.floats[step])
            elif step in self.chains:
                self.lower_chain(self.chains[step])
            elif step not in self.inside:
                self.lower_step(step)
        self.import_forms([*self.graph.inputs, *self.plan.constants])
        inputs = {value.name or "": self.number(value) for value in self.graph.inputs}
        constants = {self.number(value): array for value, array in self.plan.constants.items() if value in self.wanted}
        constants.update(self.more_constants)
        return Lowered(pixels_of_blocks(self.operations[::-1]), inputs, outputs, constants)

    def import_forms(self, values: Sequence[ir.Value]) -> None:
        """Makes the needed images from arrays."""
        for value in values:
            for key in tuple(self.forms(value)):
                if key.form is not None:
                    self.operations.append(Import(f"{value.name}", self.number(value), key))
                    self.want(value)

    def lower_tail(self, layer: Fused | FloatLayer, chain: Chained) -> None:
        if isinstance(layer, Fused):
            self.lower_layer(layer, chain)
        else:
            lower_float_conv(self, layer, chain)

    def tail_operands(self, chain: Chained, matrix: bool) -> list[Key]:
        """The operands of a layer's chain, other than the layer's results."""
        rank = None if matrix else rank_of(chain.output)
        return [self.constant(each, rank) if not isinstance(each, ir.Value) else self.want_operand(each, not matrix)
                for each in chain.operands[1:]]

    def lower_layer(self, fused: Fused, chain: Chained | None = None) -> None:
        layer, value = fused.layer, fused.output if chain is None else chain.output
        stored = self.split(value, layer.matrix)
        if not stored:
            return
        name = fused.step.node.name or value.name or ""
        conv = Conv(name, Key(-1, None), layer.weight, layer.scale, layer.bias, layer.groups, layer.y, layer.x,
                    first=fused.first, second=fused.second, hard_swish=fused.hard_swish, outputs=stored)
        if layer.spread is not None:
            conv.outputs = self.spread(name, layer.spread, stored)
        self.operations.append(conv)
        z = layer.z
        if fused.residual is not None:
            conv.residual = self.want_residual(fused.residual, layer.matrix)
            conv.between = fused.between
        if chain is not None:
            conv.chain = chain.operations
            conv.operands = self.tail_operands(chain, layer.matrix)
        conv.input = self.want(fused.step.reads[0], layer.codes, layer.matrix)
        if z is not None and {z, layer.y, layer.x} != {ONE}:
            frames = Stacked(name, conv.input, conv.input._replace(value=self.fresh()), z, layer.groups)
            self.operations.append(frames)
            conv.input = frames.output

    def spread(self, name: str, spread: Spread, stored: list[Key]) -> list[Key]:
        """Makes what a layer stores of channels that become the pixels of blocks; those channels."""
        y, x, *cuts = spread
        if spread.cuts:
            whole = self.fresh()
            self.operations.extend(Cropped(name, Key(whole, key.form), key, *cuts) for key in stored)
            stored = [Key(whole, key.form) for key in stored]
        if y * x > 1:
            middle = self.fresh()
            self.operations.extend(Rearranged(name, Key(middle, key.form), key, y, x, True) for key in stored)
            stored = [Key(middle, key.form) for key in stored]
        return stored

    def split(self, value: ir.Value, matrix: bool) -> list[Key]:
        """The forms that an operation stores; others are made from the array, and the array from the floats."""
        forms = self.forms(value)
        images = [key for key in forms if key.form is not None and key.form != FLOATS and key.matrix == matrix]
        stored = images[:MAX_CODES]
        rest = [key for key in forms if key.form is not None and key not in stored]
        floats = Key(self.number(value), FLOATS)
        rest = [key for key in rest if matrix or key != floats]
        for key in rest:
            self.operations.append(Import(f"{value.name}", key.value, key))
        plain = bool(rest) or array_of(self.number(value)) in forms
        if matrix:
            return [*stored, *([array_of(self.number(value))] if plain else [])]
        if plain:
            self.operations.append(Export(value.name or "", floats, floats.value))
        return [*stored, *([floats] if plain or floats in forms else [])]

    def lower_chain(self, chain: Chained) -> None:
        value, forms = chain.output, self.forms(chain.output)
        if not forms or self.lower_clamped_pool(chain, forms):
            return
        image = value in self.images and are_image_operands(chain.operands, value)
        if not image and not has_four_axes([*chain.operands, value]):
            for step in reversed(chain.steps):
                alone = built([step]) if len(chain.steps) > 1 else None
                self.lower_step(step) if alone is None else self.lower_chain(alone)
            return
        name, outputs = chain.steps[-1].node.name or value.name or "", self.split(value, not image)
        made = Chain(name, [], chain.operations, outputs, image)
        self.operations.append(made)
        for each in chain.operands:
            if not isinstance(each, ir.Value):
                made.operands.append(self.constant(each, rank_of(value) if image else None))
            else:
                made.operands.append(self.want_operand(each, image))

    def lower_clamped_pool(self, chain: Chained, forms: list[Key]) -> bool:
        """A clamp of maxima of which only codes are needed: the codes are clamped first."""
        found = None if any(key.form is None or key.matrix or key.form.content != U8 for key in forms) else \
            clamped_pool(chain)
        if found is None:
            return False
        for key in forms:
            assert key.form is not None
            source = self.want(found.source, found.codes(key.form))
            self.operations.append(Pool(chain.steps[-1].node.name or "", source, key, found.y, found.x, found.ceil))
        return True

    def constant(self, array: Any, rank: int | None = None) -> Key:
        """A constant of a chain; over images, which have a rank, its channels last."""
        if rank is not None:
            array = array.reshape((1,) * (rank - array.ndim) + array.shape)
            array = array.reshape(*array.shape[:2], -1, array.shape[-1]).transpose(0, 2, 3, 1)
        number = self.fresh()
        self.more_constants[number] = np.ascontiguousarray(array)
        return array_of(number)

    def lower_step(self, step: Any) -> None:
        if step.outputs and step.outputs[0] in self.truth_numbers:
            lower_truths(self, step, self.want_truth(step.outputs[0]))
        forms = [key for value in step.outputs if value is not None for key in self.forms(value)]
        if (not forms or self.lower_constant(step) or self.lower_move(step, forms) or self.lower_quantizer(step)
                or self.lower_rows(step) or self.lower_average(step) or self.lower_flatten(step, forms)
                or any(lower(self, step) for lower in LOWERED)):
            return
        self.import_forms([value for value in step.outputs if value is not None])
        operands = [None if value is None else self.want(value).value for value in step.reads]
        call = Call(named(step.node), operands, step.names(), step.compute)
        outputs = [self.number(value) for value in step.outputs]
        self.operations.append(Python(step.node.name or step.node.op_type, outputs, call))

    def lower_constant(self, step: Any) -> bool:
        """What depends on constants alone."""
        value = step.outputs[0]
        array = self.known[value]
        if array is not None:
            self.more_constants[self.number(value)] = array
            self.import_forms([value])
        return array is not None

    def lower_rows(self, step: Any) -> bool:
        """Softmax and layer normalisation along the last axis of arrays."""
        value = step.outputs[0]
        found = row_function(step.node)
        if found is None or any(map(self.forms, step.outputs[1:])):
            return False
        weight, bias = (None if each is None else self.constant(each) for each in found.vectors)
        made = Rows(step.node.name or value.name or "", found.kind, array_of(-1), self.split(value, True), weight, bias,
                    found.epsilon)
        self.operations.append(made)
        made.input = self.want(step.node.inputs[0])
        return True

    def lower_quantizer(self, step: Any) -> bool:
        """Floats of a quantised value are decoded from its codes, unless its zeros have signs: codes have none."""
        if not is_quantizer(step.node):
            return False
        found = quantizer(step.node)
        given = constant(step.node, 0)
        if given is not None and found.amax is not None:  # computed once
            self.more_constants[self.number(found.output)], = step.compute([given])
            self.import_forms([found.output])
            return True
        codes = codes_of(found)
        if (codes is None or signs_zeros(found.spec) or not is_float(found.input)
                or found.input.const_value is not None):
            return False
        image, forms = found.output in self.images, self.forms(found.output)
        key = self.want(found.input, codes, matrix=not image)
        if image and forms == [array_of(self.number(found.output))]:
            self.operations.append(Export(found.name, key, self.number(found.output)))
        else:
            self.operations.append(Chain(found.name, [key], [], self.split(found.output, not image), image))
        return True

    def lower_average(self, step: Any) -> bool:
        """Averages of images over windows, or over all pixels."""
        made = average_of(step) if step.outputs[0] in self.images else None
        if made is None:
            return False
        made.outputs = self.split(step.outputs[0], matrix=False)
        self.operations.append(made)
        made.input = self.want_operand(step.reads[0], image=True)
        return True

    def lower_flatten(self, step: Any, forms: list[Key]) -> bool:
        """Images as rows, where only bytes are wanted: of one pixel, or for a layer whose weights take that order."""
        source, row = step.reads[0] if step.reads else None, row_of(step)
        if row is None or source not in self.images or any(
                key.form is None or not key.matrix or key.form.content != U8 for key in forms):
            return False
        channels, pixels = row
        layers = [self.only_layer(key) for key in forms] if pixels > 1 else []
        if None in layers:
            return False
        for layer in layers:
            assert layer is not None
            layer.weight = pixels_first(layer.weight, channels)
        for key in forms:
            assert key.form is not None
            self.operations.append(Flat(step.node.name or "", self.want(source, key.form), key, pixels))
        return True

    def only_layer(self, key: Key) -> Conv | None:
        """The layer that multiplies rows which nothing else reads."""
        readers = [each for each in self.operations if key in each.reads()]
        reader = readers[0] if len(readers) == 1 else None
        return reader if isinstance(reader, Conv) and reader.residual != key else None

    def lower_move(self, step: Any, forms: list[Key]) -> bool:
        """Images of the same codes, or floats: repeated pixels, channels as pixels, concatenated channels."""
        node, value = step.node, step.outputs[0]
        if node.domain not in ("", "ai.onnx"):
            return False
        if is_channels_last(node, rank_of(value)) and all(key.form is not None and not key.matrix for key in forms):
            operand = self.want(step.reads[0])  # an array whose channels lie as those of an image
            self.operations.append(Chain(node.name or "", [operand], [], self.split(value, matrix=False), image=True))
            return True
        if self.lower_cut(step, forms) or self.lower_float_maxima(step, forms):
            return True
        if value not in self.images:
            return self.lower_moved_codes(step, forms)
        name, factors, block = node.name or value.name or "", resize_factors(node), depth_to_space(node)
        if factors is None and block is None and not joins_channels(node, rank_of(value)):
            return self.lower_moved_codes(step, forms)
        for key in self.split(value, matrix=False):
            if factors is not None:
                self.operations.append(Rearranged(name, self.want(step.reads[0], key.form), key, *factors))
            elif block is not None:
                self.operations.append(Rearranged(name, self.want(step.reads[0], key.form), key, block, block, True))
            else:
                self.operations.append(Concat(name, [self.want(each, key.form) for each in step.reads], key))
        return True

    def lower_cut(self, step: Any, forms: list[Key]) -> bool:
        """Some channels or pixels of images; of anything else if only images of bytes are wanted."""
        cuts = cuts_of(step.node, rank_of(step.outputs[0]))
        bytes_alone = all(key.form is not None and not key.matrix and key.form.content == U8 for key in forms)
        if cuts is None or not (bytes_alone or step.outputs[0] in self.images):
            return False
        for value, cut in zip(step.outputs, cuts, strict=True):
            keys = [] if value is None else self.forms(value) if bytes_alone else self.split(value, matrix=False)
            self.operations.extend(Sliced(step.node.name or "", self.want(step.reads[0], key.form), key, *cut)
                                   for key in tuple(keys))
        return True

    def lower_float_maxima(self, step: Any, forms: list[Key]) -> bool:
        """A max pool of images of which something else is wanted than bytes."""
        value, pool = step.outputs[0], max_pool(step.node)
        if pool is None or value not in self.images or not is_float(value) or rank_of(value) not in (4, 5) or all(
                key.form is not None and not key.matrix and key.form.content == U8 for key in forms):
            return False
        name, stored = step.node.name or value.name or "", self.split(value, False)
        floats = Key(self.number(value), FLOATS)
        made = floats if stored == [floats] else Key(self.fresh(), FLOATS)
        if made != floats:
            self.operations.append(Chain(name, [made], [], stored, image=True))
        self.pool(name, pool, self.want(step.reads[0], FLOATS), made)
        return True

    def pool(self, name: str, pool: MaxPool, source: Key, target: Key) -> None:
        """A max pool; of volumes, first of each frame."""
        made = [Pool(name, source, target, *each) for each in pool.pools()]
        for first, then in pairwise(made):
            then.input = first.output = target._replace(value=self.fresh())
        self.operations.extend(made[::-1])

    def lower_moved_codes(self, step: Any, forms: list[Key]) -> bool:
        """Pools and concatenations of which only bytes of images are wanted."""
        node, value = step.node, step.outputs[0]
        if any(key.form is None or key.matrix or key.form.content != 2 for key in forms):
            return False
        pool = max_pool(node)
        if pool is not None:
            for key in forms:
                self.pool(node.name or "", pool, self.want(step.reads[0], key.form), key)
            return True
        if not joins_channels(node, rank_of(value) or 4):
            return False
        for key in forms:
            self.operations.append(Concat(node.name or "", [self.want(each, key.form) for each in step.reads], key))
        return True


def lower(interpreter: Interpreter) -> Lowered:
    """The program of a graph that the interpreter has made ready."""
    return Lowering(interpreter).run()
