"""The methods of `quantize` in their order, and the record of what each has gained in the model's metadata."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..methods.gains import Gain, Gains, from_text, to_text
from ..methods.layer_rounding import ROUNDING
from ..methods.order import MOST_MSE_BITS, NEED_DATA, checked_methods
from .batches import Feeds
from .bias import correct_biases
from .choices import Choices
from .equalizing import equalize_layers
from .naming import names_remembered
from .nodes import DOMAIN
from .rounding import float_weights, improve_ranges, round_weights, weight_noise

__all__ = ["Methods", "gains"]

Weights = Mapping[str, NDArray[np.float32]]
RECORD = f"{DOMAIN}.methods"
MAX_BITS = 8
GRAPH_METHODS = ("equalization", "weight_mse", "gptq", "adaround", "bias_correction")


class Methods(NamedTuple):
    """The methods that were asked for, in order, and up to how many bits weights take "weight_mse"."""

    names: tuple[str, ...]
    mse_bits: int

    @classmethod
    def of(cls, given: Any, has_data: bool) -> Methods:
        """By the argument `methods` of `quantize`; errors as `checked_methods`, ValueError for one that needs data."""
        if given is None:
            return cls(("weight_mse", "bias_correction") if has_data else ("weight_mse",), MOST_MSE_BITS)
        names = checked_methods(given, GRAPH_METHODS)
        wanting = [] if has_data or names == ("bias_correction",) else [each for each in names if each in NEED_DATA]
        if wanting:
            raise ValueError(f"Expected `batches` for the method {wanting[0]!r}, got None")
        return cls(names, MAX_BITS)

    def for_floats(self, model: ir.Model, layers: Sequence[ir.Node], choices: Choices) -> None:
        """What changes the float model that is to be quantised, in place; it computes what it did."""
        if "equalization" in self.names:
            before = weight_noise(layers, choices)
            with names_remembered():
                changed = {name for pair in equalize_layers(model, layers) for name in pair}
            after = weight_noise(layers, choices)
            note(model, [Gain("equalization", name, before[name], after[name]) for name in before if name in changed])

    def for_weights(self, model: ir.Model, bare: ir.Model, samples: Sequence[Feeds],
                    progress: bool | None) -> Weights:
        """What changes weights and their ranges, in place; returns the float weights of layers that have others now.

        Args:
            bare: the float model, the same without quantisers.
        """
        before = float_weights(model) if set(ROUNDING) & set(self.names) else {}
        for name in self.names:
            if name == "weight_mse":
                note(model, improve_ranges(model, bare, samples, self.mse_bits))
            elif name in ROUNDING:
                note(model, round_weights(model, bare, samples, name, progress))
        return before

    def for_biases(self, model: ir.Model, samples: Sequence[Feeds], weights: Weights) -> None:
        """What needs the ranges of activations as well, in place."""
        if "bias_correction" in self.names and samples:
            with names_remembered():
                note(model, correct_biases(model, samples, weights))


def note(model: ir.Model, found: Sequence[Gain]) -> None:
    """Adds rows to the model's record."""
    if found:
        model.metadata_props[RECORD] = to_text((*gains(model), *found))


def gains(model: ir.Model) -> Gains:
    """What the methods of `quantize` have gained, a row a method and layer, in the order in which they were done.

    Args:
        model: what `quantize` returned; of another model there are no rows.

    Returns:
        A tuple of `methods.gains.Gain` (method, layer, dB before and after), printed as a table.

    Raises:
        TypeError: no graph. ValueError: metadata that `quantize` did not write.
    """
    if not isinstance(model, ir.Model):
        raise TypeError(f"Expected `model` to be an onnx_ir.Model, got {type(model).__name__}")
    return from_text(model.metadata_props.get(RECORD, "[]"))
