"""The methods of `quantize` in order, and the record in the model's metadata of what each gained."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..._core.files import FilePath
from ...methods.gains import Gain, Gains, from_text, to_text
from ...methods.layer_rounding import ROUNDING
from ...methods.order import MAX_MSE_BITS, NEED_DATA, ROUND_WEIGHTS, checked_methods
from ..calibration.batches import Feeds
from ..calibration.calibrating import first_samples
from ..nodes import DOMAIN, checked_graph
from ..placement.choices import Choices
from ..representation.naming import names_remembered
from .absorbing import absorb_biases
from .activation_equalizing import equalizable, equalize_activations
from .bias import correct_biases
from .equalizing import equalize_layers
from .outliers import move_outliers
from .rounding import float_weights, improve_ranges, linear_ranges, round_weights, weight_noise
from .sequential import SEQUENTIAL, round_in_sequence

__all__ = ["Methods", "gains"]

Weights = Mapping[str, NDArray[np.float32]]
RECORD = f"{DOMAIN}.methods"
MAX_BITS = 8
SCALING = ("smoothquant", "awq")
BETWEEN = {"bias_absorption": absorb_biases, "activation_equalization": equalize_activations}
DEFAULTS = ("activation_equalization", "weight_mse", "sequential_gptq", "bias_correction")
KEPT = 64           # samples that methods see


class Replaced(NamedTuple):
    """What biases make up for: float weights that were replaced, and mean errors already known, by names of nodes."""

    weights: Weights
    shifts: Mapping[str, NDArray[np.float64]]


class Methods(NamedTuple):
    """The requested methods, in order, and the largest width of weights that methods for weights apply to.

    `ranges_are_final`: no method rounds weights by other means than to the nearest value in the ranges.
    """

    names: tuple[str, ...]
    most_bits: int
    ranges_are_final: bool

    @classmethod
    def of(cls, given: Any, has_data: bool) -> Methods:
        """By the argument `methods` of `quantize`; errors as `checked_methods`, ValueError for one that needs data."""
        if isinstance(given, Methods):
            return given
        if given is None:
            return cls(DEFAULTS if has_data else ("weight_mse",), MAX_MSE_BITS, not has_data)
        names = checked_methods(given)
        wanting = [] if has_data or names == ("bias_correction",) else [each for each in names if each in NEED_DATA]
        if wanting:
            raise ValueError(f"Expected `batches` for the method {wanting[0]!r}, got None")
        return cls(names, MAX_BITS, not ROUND_WEIGHTS & set(names))

    @property
    def measurable(self) -> Methods:
        """Without those that change weights and biases, so that layers can be measured one by one.

        Rounded weights hide what quantising them costs, and a bias that is corrected is wrong in a float layer. Ranges
        stay those that the weights were rounded in.
        """
        hiding = ROUND_WEIGHTS | {"bias_correction"}
        return self._replace(names=tuple(each for each in self.names if each not in hiding))

    @property
    def take_long(self) -> bool:
        """Whether any of them keeps its findings in a file: those that were asked for."""
        return bool(ROUND_WEIGHTS & set(self.names)) and self.most_bits == MAX_BITS

    def for_floats(self, model: ir.Model, layers: Sequence[ir.Node], choices: Choices, batches: Any) -> Any:
        """The methods that change the float model before quantisation, in place; its function is unchanged.

        Returns the batches to calibrate with, where those given had to be begun.
        """
        samples: list[Feeds] = []
        for name in self.names:
            if name == "activation_equalization" and not equalizable(layers, choices):
                continue
            if name in (*SCALING, *BETWEEN) and not samples:
                samples, batches = first_samples(model, batches, KEPT)
            with names_remembered():
                if name == "equalization":
                    note(model, _equalized(model, layers, choices))
                elif name in BETWEEN:
                    note(model, BETWEEN[name](model, layers, samples, choices))
                elif name in SCALING:
                    note(model, move_outliers(model, layers, samples, name, choices))
        return batches

    def for_weights(self, model: ir.Model, bare: ir.Model, samples: Sequence[Feeds],
                    progress: bool | None, resume: FilePath | None = None) -> Replaced:
        """The methods that change weights and their ranges, in place; returns what they replaced.

        Args:
            bare: the float model, the same without quantisers.
            resume: a file that the weights of methods that take long are kept in.
        """
        before = Replaced(float_weights(model) if set(ROUNDING) & set(self.names) else {}, {})
        with names_remembered():
            for name in self.names:
                if name == "weight_mse":
                    note(model, improve_ranges(model, bare, samples, self.most_bits, self.ranges_are_final))
                elif name == "awq" and "weight_mse" not in self.names:
                    note(model, linear_ranges(model, bare, samples, self.ranges_are_final))
                elif name in ROUNDING:
                    note(model, round_weights(model, bare, samples, name, progress, resume))
                elif name == SEQUENTIAL:
                    found, shifts = round_in_sequence(model, bare, samples, "bias_correction" in self.names, progress,
                                                      resume, self.most_bits)
                    before = Replaced({}, shifts)
                    note(model, found)
        return before

    def for_biases(self, model: ir.Model, samples: Sequence[Feeds], replaced: Replaced) -> None:
        """The methods that also need activation ranges, in place."""
        if "bias_correction" in self.names and samples:
            with names_remembered():
                note(model, correct_biases(model, samples, *replaced))


def _equalized(model: ir.Model, layers: Sequence[ir.Node], choices: Choices) -> list[Gain]:
    before = weight_noise(layers, choices)
    changed = {name for pair in equalize_layers(model, layers) for name in pair}
    after = weight_noise(layers, choices)
    return [Gain("equalization", name, before[name], after[name]) for name in before if name in changed]


def note(model: ir.Model, found: Sequence[Gain]) -> None:
    """Adds rows to the model's record."""
    if found:
        model.metadata_props[RECORD] = to_text((*gains(model), *found))


def gains(model: ir.Model) -> Gains:
    """What each method of `quantize` gained in each layer, in the order in which they were applied.

    Args:
        model: what `quantize` returned; other models have no rows.

    Returns:
        A tuple of `methods.gains.Gain` (method, layer, dB before and after), printed as a table.

    Raises:
        TypeError: no graph. ValueError: metadata that `quantize` did not write.
    """
    return from_text(checked_graph(model).metadata_props.get(RECORD, "[]"))


def is_in_sequence(model: ir.Model) -> bool:
    """Whether the weight of some layer was rounded for what rounding the layers before it has done to its inputs."""
    return any(each.method == SEQUENTIAL for each in gains(model))
