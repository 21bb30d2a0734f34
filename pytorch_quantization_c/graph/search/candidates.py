"""Models with some layers left float, made from one that is quantised already."""
from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from ...methods.gains import Gains, to_text
from ..analysis.layer_noise import give_weights, weights_of
from ..methods.bias import give_biases, settle
from ..methods.method_steps import RECORD, gains
from ..nodes import is_quantizer, quantizers

__all__ = ["Candidates"]


class Candidates:
    """The quantised model with float weights, inputs and biases of some layers, without calibrating again.

    Ranges, rounded weights and corrections of a layer are found for inputs of the float model, so they do not depend on
    which others are quantised; weights that are rounded in sequence do. `quantize` would also leave out 16-bit
    residuals that such layers read, and equalise no channels for them.

    Args:
        plain: the quantised model before its weights were rounded and its biases corrected.
        made: the same after that, whose rounded weights and metadata are taken over.
        biases: corrections by layer.
    """

    def __init__(self, plain: ir.Model, made: ir.Model, biases: Mapping[str, NDArray[Any]]) -> None:
        self._plain, self._biases, self._weights = plain, biases, weights_of(made)
        self._gains, self._metadata = gains(made), dict(made.metadata_props)

    def are_direct(self, floats: Collection[str]) -> bool:
        """Whether the quantisers of these layers' inputs stand right ahead of them."""
        return all(_is_direct(node) for node in self._plain.graph if node.name in floats)

    def without(self, floats: Collection[str]) -> ir.Model:
        """The model with these layers left float.

        Unless they `are_direct`, quantisers of inputs are moved down to the layers first: the same bits, but nodes that
        move data before them move floats.
        """
        made = self._plain.clone()
        if not self.are_direct(floats):
            settle(made)
        for node in made.graph:
            if node.name in floats:
                for index in (0, 1):
                    value = node.inputs[index]
                    source = None if value is None else value.producer()
                    assert source is not None and is_quantizer(source)
                    node.replace_input_with(index, source.inputs[0])
        for found in tuple(quantizers(made)):
            if not found.output.uses() and not found.output.is_graph_output():
                made.graph.remove(found.node, safe=True)
        give_weights(made, self._weights)
        give_biases(made, {name: amount for name, amount in self._biases.items() if name not in floats})
        made.metadata_props.update(self._metadata)
        if self._gains:
            made.metadata_props[RECORD] = to_text(Gains(row for row in self._gains if row.layer not in floats))
        return made


def _is_direct(node: ir.Node) -> bool:
    value = node.inputs[0]
    return value is not None and is_quantizer(value.producer())
