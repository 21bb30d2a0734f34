"""A graph that is being lowered: which values are needed in which forms, and the operations so far.

Demands are propagated from the outputs backwards. A layer stores its output in every form that is needed, in one pass;
unneeded values are not computed.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from ..interpreter.plain import plain
from ..interpreter.run import Interpreter
from ..nodes import Quantizer, is_quantizer, quantizer
from ..representation.arithmetic import signs_zeros
from .calls import Call
from .chains import Chained, chains_of
from .constants import ConstantValues
from .float_layers import float_layer
from .fusing import fused_layers
from .layers import codes_of
from .natures import image_values, rank_of
from .operations import FLOATS, Codes, Export, Import, Key, Operation, Python, array_of
from .signs import unsigned_zeros
from .sized import fixed_values
from .tails import tails_of
from .truths import is_fixed_truth, truths_of

__all__ = ["Lowering"]

OPSET = 21  # of operators that are added
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
        self.unsigned = unsigned_zeros(self.plan.steps, self.graph.outputs)
        self.chains = chains_of(self.plan.steps, self.graph.outputs, self.inside, self.unsigned)
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
        constants = {value: array for value, array in self.plan.constants.items() if not value.is_graph_input()}
        self.fixed = fixed_values(self.plan.steps, self.graph.inputs, constants)
        self.truths = truths_of(self.plan.steps, self.fixed)
        self.truth_numbers: dict[ir.Value, int] = {}  # of those that are wanted as floats
        self.more_constants: dict[int, Any] = {}
        self.makers = {value: step for step in self.plan.steps for value in step.outputs if value is not None}
        self.known = ConstantValues(constants, self.makers)
        self.readers = Counter(value for step in self.plan.steps for value in step.reads if value is not None)
        self.readers.update(self.graph.outputs)
        self.rounded: dict[ir.Value, Codes] = {}  # values whose only reader quantises them

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

    def is_truth(self, value: ir.Value | None) -> bool:
        """Whether `want_truth` knows a value."""
        return value in self.truths or is_fixed_truth(value, self.fixed)

    def want_truth(self, value: ir.Value) -> Key:
        """A truth value as floats, 1 or 0."""
        if value not in self.truth_numbers:
            number = self.truth_numbers[value] = self.fresh()
            array = self.known[value] if value not in self.truths else None
            if array is not None:
                self.more_constants[number] = array.astype(np.float32)
            elif value not in self.truths:
                cast = plain(ir.node("Cast", [value], attributes={"to": ir.DataType.FLOAT}), OPSET, None)
                assert cast is not None
                call = Call(value.name or "", [self.want(value).value], [value.name], cast)
                self.operations.append(Python(value.name or "", [number], call, fixed=True))
        return array_of(self.truth_numbers[value])

    def want_operand(self, value: ir.Value, image: bool) -> Key:
        """The form in which a chain reads a value: codes of a quantiser, unless its zeros have signs; else floats."""
        node = value.producer()
        found = quantizer(node) if node is not None and is_quantizer(node) else None
        codes = None if found is None or self.has_signed_zeros(found) else codes_of(found)
        if image:
            return self.want(value, FLOATS if codes is None else codes)
        return self.want(value, codes, matrix=codes is not None)

    def has_signed_zeros(self, found: Quantizer) -> bool:
        """Whether the sign of a quantised value's zeros has to be kept."""
        return signs_zeros(found.spec) and found.output not in self.unsigned

    def want_residual(self, value: ir.Value, matrix: bool) -> Key:
        """The value that an output stage adds: as codes if a quantiser made it, else as floats."""
        node = value.producer()
        codes = codes_of(quantizer(node)) if node is not None and is_quantizer(node) else None
        if matrix:
            return self.want(value, codes, matrix=codes is not None)
        return self.want(value, FLOATS if codes is None else codes)

    def forms(self, value: ir.Value) -> list[Key]:
        return self.wanted.get(value, [])

    def import_forms(self, values: Sequence[ir.Value]) -> None:
        """Adds the imports that make the needed images from arrays."""
        for value in values:
            for key in tuple(self.forms(value)):
                if key.form is not None:
                    self.operations.append(Import(f"{value.name}", self.number(value), key))
                    self.want(value)

    def split(self, value: ir.Value, matrix: bool) -> list[Key]:
        """Which needed forms an operation stores; others are made from the array, and that from the floats."""
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

    def constant(self, array: Any, rank: int | None = None) -> Key:
        """A constant of a chain; over images, which have a rank, its channels last."""
        if rank is not None:
            array = array.reshape((1,) * (rank - array.ndim) + array.shape)
            array = array.reshape(*array.shape[:2], -1, array.shape[-1]).transpose(0, 2, 3, 1)
        number = self.fresh()
        self.more_constants[number] = np.ascontiguousarray(array)
        return array_of(number)

    def tail_operands(self, chain: Chained, matrix: bool) -> list[Key]:
        """The operands of a layer's chain, other than the layer's results."""
        rank = None if matrix else rank_of(chain.output)
        return [self.constant(each, rank) if not isinstance(each, ir.Value) else self.want_operand(each, not matrix)
                for each in chain.operands[1:]]
