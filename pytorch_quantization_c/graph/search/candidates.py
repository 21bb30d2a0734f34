"""Models with some layers left float or given wide operands, made from one that is quantised already."""
from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ...methods.gains import Gains, to_text
from ...methods.order import ROUND_WEIGHTS
from ..analysis.layer_noise import give_weights, weights_of, with_only
from ..calibration.batches import Feeds
from ..calibration.batches import samples as samples_of
from ..calibration.ranges import widened
from ..interpreter.run import Interpreter
from ..methods.bias import give_biases, input_quantizer, quantized_layer, remove_unread, settle
from ..methods.halves import INPUT, WEIGHT
from ..methods.method_steps import RECORD, gains
from ..nodes import QuantizerSpec, fake_quant, is_quantizer, quantizer, quantizers
from ..passes.editing import bypass
from ..placement.choices import Override
from ..placement.insertion import RESIDUAL, is_residual, largest
from ..placement.sites import layers_of, residual_sites
from ..representation.naming import free_node_name
from .budgets import WIDE_BITS, corrections
from .forms import Form, wide_form

__all__ = ["Candidates"]

WIDE = QuantizerSpec(WIDE_BITS)
NARROW: Form = frozenset()
ROUNDED = ROUND_WEIGHTS | {"weight_mse"}   # methods that leave weights of 16 bits as they are
Biases = Mapping[str, NDArray[Any]]


class Candidates:
    """The quantised model with some layers float, or with operands of 16 bits, without calibrating again.

    Ranges, rounded weights and corrections of a layer are found for inputs of the float model, so they do not depend on
    which others are quantised; weights that are rounded in sequence do. `quantize` would also equalise no channels for
    layers that are float.

    Args:
        plain: the quantised model before its weights were rounded and its biases corrected.
        made: the same after that, whose metadata are taken over, and the weights if methods have rounded them.
        data: what the model was calibrated with.
        is_rounded, is_corrected: whether methods round weights, and correct biases.
    """

    def __init__(self, plain: ir.Model, made: ir.Model, data: Sequence[Feeds], is_rounded: bool,
                 is_corrected: bool) -> None:
        self._plain, self._weights = plain, weights_of(made) if is_rounded else {}
        self._gains, self._metadata = gains(made), dict(made.metadata_props)
        self._ranges = _largest(plain, data)
        self._has_residuals = any(map(is_residual, quantizers(plain)))
        self._data, self._is_corrected = data, is_corrected
        self._biases: dict[Form, Biases] = {}

    def are_direct(self, overrides: Collection[str]) -> bool:
        """Whether the quantisers of these layers' inputs directly precede the layers."""
        return all(_is_direct(node) for node in self._plain.graph if node.name in overrides)

    def wide(self, form: Form) -> ir.Model:
        """The model before rounding and correcting, with these operands of 16 bits."""
        made = self._plain.clone()
        if form:
            settle(made)
        self._widen(made, {node: form for node in made.graph if quantized_layer(node) is not None})
        remove_unread(made)
        return made

    def given(self, overrides: Mapping[str, Override]) -> ir.Model:
        """The model in which these layers are float or, where there is an override, have operands of 16 bits.

        Unless they `are_direct`, quantisers of inputs are moved down to the layers first: the same bits, but nodes that
        move data before them move floats.
        """
        made = self._plain.clone()
        if not self.are_direct(overrides):
            settle(made)
        nodes = [node for node in made.graph if node.name in overrides]
        forms = {name: wide_form(override) or NARROW for name, override in overrides.items()}
        self._widen(made, {node: forms[str(node.name)] for node in nodes})
        floats = {str(node.name) for node in nodes if overrides[str(node.name)] is None}
        for node in (node for node in nodes if node.name in floats):
            for index in (0, 1):
                value = node.inputs[index]
                source = None if value is None else value.producer()
                assert source is not None and is_quantizer(source)
                node.replace_input_with(index, source.inputs[0])
        remove_unread(made)
        if floats and self._has_residuals:
            self._place_residuals(made)
        give_weights(made, self._weights)
        give_biases(made, {name: self._corrections(forms.get(name, NARROW))[name]
                           for name in self._corrections(NARROW) if name not in floats})
        made.metadata_props.update(self._metadata)
        if self._gains:
            rounded = {name for name, form in forms.items() if WEIGHT not in form} - floats
            made.metadata_props[RECORD] = to_text(Gains(
                row for row in self._gains if row.layer not in forms or row.layer in rounded or (
                    row.layer not in floats and row.method not in ROUNDED)))
        return made

    def _corrections(self, form: Form) -> Biases:
        """What bias correction adds to layers whose operands have that form."""
        if form not in self._biases:
            weights = {} if WEIGHT in form else self._weights
            self._biases[form] = corrections(self.wide(form), self._data, weights) if self._is_corrected else {}
        return self._biases[form]

    def _widen(self, model: ir.Model, layers: Mapping[ir.Node, Form]) -> None:
        """Has layers read 16 bits, those of one value the same ones."""
        made: dict[ir.Value, ir.Value] = {}
        for node, form in layers.items():
            if WEIGHT in form:
                _widen_weight(model.graph, node)
            if INPUT not in form:
                continue
            value = node.inputs[0]
            source = None if value is None else value.producer()
            assert source is not None and is_quantizer(source)
            found = quantizer(source)
            if found.input not in made:
                wide = fake_quant(model.graph, found.input, self._ranges[str(found.input.name)], WIDE,
                                  free_node_name(model.graph, f"{node.name}.input", ".", 2))
                model.graph.insert_before(source, wide)
                made[found.input] = wide.outputs[0]
            node.replace_input_with(0, made[found.input])

    def _place_residuals(self, model: ir.Model) -> None:
        """Has those operands of Adds in 16 bits that `quantize` would, with these layers quantised."""
        for found in tuple(quantizers(model)):
            if is_residual(found):
                bypass(found.node, found.input)
        bare = with_only(model, ())
        nodes = {str(node.name): node for node in model.graph}
        layers = [node for node in layers_of(bare) if input_quantizer(nodes[str(node.name)]) is not None]
        for site in residual_sites(bare, layers):
            uses = [(nodes[str(node.name)], index) for node, index in site.uses]
            first, index = uses[0]
            value = first.inputs[index]
            assert value is not None
            added = fake_quant(model.graph, value, widened(RESIDUAL, self._ranges[str(value.name)]), RESIDUAL,
                               free_node_name(model.graph, f"{site.owner.name}.residual", ".", 2))
            model.graph.insert_before(first, added)
            for node, index in uses:
                node.replace_input_with(index, added.outputs[0])


def _largest(model: ir.Model, data: Sequence[Feeds]) -> dict[str, np.float32]:
    """The largest magnitude of each value that layers or Adds read, in the float model."""
    bare = with_only(model, ())
    layers = {str(node.name) for node in model.graph if input_quantizer(node) is not None}
    names = {str(value.name) for node in bare.graph for value in node.inputs if value is not None and (
        node.op_type == "Add" or (node.name in layers and value is node.inputs[0]))}
    found: dict[str, np.float32] = {}

    def observe(name: str, array: Any) -> None:
        largest = np.abs(array).max(initial=0)
        found[name] = np.float32(max(found.get(name, np.float32(0)), largest))

    run = Interpreter(bare)
    for feeds in (each for batch in data for each in samples_of(model, batch)):
        run.run(feeds, [], observe, names)
    return found


def _widen_weight(graph: ir.Graph, node: ir.Node) -> None:
    """Gives the weight of a quantised layer 16 bits, as `quantize` does."""
    layer, value = quantized_layer(node), node.inputs[1]
    assert layer is not None and value is not None
    before = quantizer(value.producer())    # type: ignore[arg-type]
    spec = QuantizerSpec(WIDE_BITS, narrow=False, axis=None if before.spec.axis is None else layer.out_axis)
    wide = fake_quant(graph, before.input, largest(layer.weight, spec), spec,
                      free_node_name(graph, f"{node.name}.weight", ".", 2))
    graph.insert_before(node, wide)
    node.replace_input_with(1, wide.outputs[0])


def _is_direct(node: ir.Node) -> bool:
    value = node.inputs[0]
    return value is not None and is_quantizer(value.producer())
