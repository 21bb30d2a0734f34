"""`improve`: applies methods that reduce the quantisation error of a model, one after the other."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from .._core.errors import shown
from .._core.files import FilePath
from .._core.models import is_graph, require_module
from .._core.progress import progress
from ..model.quantizers import named_quantizers
from ..model.rollback import whole_or_not_at_all
from ..model.sensitivity import evaluating, no_grad
from ..model.training_mode import warn_of_training
from .gains import Gain, Gains
from .layer_rounding import ROUNDING, WeightProblem, scaled_noise
from .layer_rows import SAMPLE_ROWS, InputMoments, parts_in_memory
from .module_between import BETWEEN
from .module_biases import correct_biases
from .module_layers import WeightLayer, numbers, renewed, warn_of_formats, watched, weight_layers
from .module_pairs import layer_pairs
from .order import MAX_MSE_BITS, MODULE_METHODS, ROUND_WEIGHTS, checked_methods
from .rounding_state import RoundingState
from .scaling import awq_factors, scaled, smoothing

__all__ = ["improve"]

SCALING = ("smoothquant", "awq")
ALPHA, STEPS = 0.5, 20  # of SmoothQuant and AWQ


def improve(model: Any, batches: Iterable[Any], methods: Iterable[str] | None = None, *,
            resume: FilePath | None = None, show_progress: bool | None = None) -> Gains:
    """Reduces the quantisation error of a model, in place: better ranges, rounding of weights and biases.

        pq.replace(model)
        with pq.calibrating(model, load_amax=True):
            ...
        print(pq.improve(model, batches, methods=["weight_mse", "gptq", "bias_correction"]))

    Each layer is optimised on its inputs in the float model, but for biases, which are corrected layer after layer in
    the quantised one. The methods, in the recommended order:

    "equalization": equal ranges of the channels between two layers, through ReLU, LeakyReLU and pools that are modules,
        along chains; for weights with one range. Through ReLU6 of the channels that the batches do not drive to 6, so
        that the float model stays the same on them. Fixed ranges follow. Fold batch normalisation before.
    "bias_absorption": what channels ahead of a ReLU are nearly always above zero by goes into the next layer's bias.
    "activation_equalization": alike ranges of the channels that depthwise convolutions read, where weights have a range
        for each channel; through what equalization goes through, and ReLU6, which stays as it is.
    "smoothquant", "awq" (linear layers): outlier channels of the input move into the weight, which leaves a
        `pre_quant_scale` in the input's quantiser; a fixed range of the input follows. Such a layer does not run on
        integers as a module; as a compiled graph it does. "awq" also gives the weight the ranges of "weight_mse".
    "weight_mse": ranges of weights by the least squared error of the outputs, instead of the largest magnitudes; ahead
        of "gptq" and "adaround" by that of the weight, where each counts as much as the mean square of its input.
    "gptq", "adaround": weights rounded so that the outputs change little; the layer keeps the rounded weight.
    "bias_correction": the mean error of each output channel is subtracted from the bias; layers without one get one.
        The outputs that all layers have for one batch are kept meanwhile.

    But for biases, layers whose weights are shared or in other formats than symmetric integers with one range, or one
    for each output channel or whole group of a linear layer's inputs, and transposed convolutions are left alone, other
    formats with a warning if methods are named; equalization takes all formats. If a method raises, Ctrl-C included,
    the model is unchanged.

    Args:
        model: a module with quantised layers, on NumPy or of the torch twin, calibrated or with dynamic ranges.
        batches: what the model is called with: arrays, tuples of arguments or dicts of keyword arguments; iterated
            once and kept until the end.
        methods: names, done in this order; an unusual order gives a warning. None: "weight_mse" for weights of
            up to 4 bits, then "bias_correction".
        resume: a file that "gptq" and "adaround" keep weights in, so that the same call resumes from there.
        show_progress: a bar (with tqdm installed); None means: on a terminal.

    Returns:
        What each method gained in each layer, in dB; printed as a table.

    Raises:
        ValueError: an unknown method, no batch, no quantised layer, a frozen layer, NaN or infinity in a layer's input,
            a `resume` of another kind, or one without "gptq" and "adaround".
        FileNotFoundError: the folder of `resume` is not there.
        TypeError: `model` is not a module; for a graph, `graph.quantize` takes `methods`.
    """
    if is_graph(model):
        raise TypeError("Expected `model` to be a module, got a graph: graph.quantize(model, batches, methods=[...])")
    require_module(model)
    names = None if methods is None else checked_methods(methods, MODULE_METHODS)
    if resume is not None and not {"gptq", "adaround"} & set(names or ()):
        raise ValueError(f"Expected `resume` with 'gptq' or 'adaround', whose weights it keeps, got {shown(resume)} "
                         f"with {shown(names)}")
    layers, data = weight_layers(model), kept_batches(batches)
    warn_of_training(model, "improve")
    warn_of_formats(layers, {name: partial(_takes, name) for name in names or () if name in SCALING + ROUNDING})
    work = _Work(model, layers, data, MAX_MSE_BITS if names is None else 8, show_progress)
    work.is_final = not ROUND_WEIGHTS & set(names or ())
    with whole_or_not_at_all(model), evaluating(model), no_grad(model), RoundingState(resume) as work.state:
        found = [gain for name in (("weight_mse", "bias_correction") if names is None else names)
                 for gain in work.by(name)]
    return Gains(found)


def kept_batches(batches: Any) -> list[Any]:
    """Batches that can be iterated repeatedly; TypeError or ValueError for anything else."""
    if not isinstance(batches, Iterable) or hasattr(batches, "shape") or isinstance(batches, str | Mapping):
        raise TypeError(f"Expected `batches` to be a list of batches or another iterable, got {shown(batches)}")
    data = list(batches)
    if not data:
        raise ValueError("Expected `batches` to have at least one batch, got none")
    return data


class _Work:
    """The model, its layers, and their float weights."""

    def __init__(self, model: Any, layers: list[WeightLayer], data: list[Any], mse_bits: int,
                 show_progress: bool | None) -> None:
        self.model, self.layers, self.data = model, layers, data
        self.mse_bits, self.show_progress = mse_bits, show_progress
        self.state = RoundingState(None)
        self.is_final = True    # weights are rounded to nearest, by the ranges that they are given
        self.floats = {layer.name: layer.module.weight for layer in layers}

    def by(self, name: str) -> list[Gain]:
        """Does one method."""
        if name == "bias_correction":
            return self._correct_biases()
        if name in BETWEEN:
            return self._between(BETWEEN[name])
        most = self.mse_bits if name == "weight_mse" else 8
        chosen = [layer for layer in self.layers if not layer.is_shared and self._suits(layer, name, most)]
        gains = []
        for part in parts_in_memory(chosen, _numbers):
            moments = self._moments(part)
            for layer in progress(part, name, self.show_progress):
                if moments[layer.name].count:
                    gains.append(self._one(layer, name, moments[layer.name]))
        return gains

    @staticmethod
    def _suits(layer: WeightLayer, name: str, most: int) -> bool:
        return layer.bits is not None and layer.bits <= (8 if name in SCALING else most) and _takes(name, layer)

    def _call(self, batches: list[Any]) -> None:
        """The model as it is on batches."""
        for batch in batches:
            if isinstance(batch, Mapping):
                self.model(**batch)
            else:
                self.model(*batch) if isinstance(batch, tuple) else self.model(batch)

    def _run(self, batches: list[Any] | None = None) -> None:
        """The float model on batches, None: on all; no quantiser quantises, and weights are the float ones."""
        quantizers = [quantizer for _, quantizer in named_quantizers(self.model) if not quantizer._disabled]
        rounded = [(layer.module, layer.module.weight) for layer in self.layers]
        try:
            for quantizer in quantizers:
                quantizer._disabled = True
            for layer in self.layers:
                layer.module.weight = self.floats[layer.name]
            self._call(self.data if batches is None else batches)
        finally:
            for quantizer in quantizers:
                quantizer._disabled = False
            for module, weight in rounded:
                module.weight = weight

    def _moments(self, part: list[WeightLayer]) -> dict[str, InputMoments]:
        moments = {layer.name: InputMoments(_columns(layer), layer.groups, SAMPLE_ROWS, number)
                   for number, layer in enumerate(part)}

        def observe(layer: WeightLayer, input: Any, call: Any) -> Any:
            x, windows = layer.rows(numbers(input))
            moments[layer.name].add(x, windows)
            return call()

        with watched(part, observe):
            self._run()
        return moments

    def _one(self, layer: WeightLayer, name: str, seen: InputMoments) -> Gain:
        if name in SCALING:
            return self._scale(layer, name, seen)
        assert layer.bits is not None
        problem = WeightProblem(layer.weight, layer.amax(), layer.bits, seen.mean(), layer.groups)
        made = problem.ranged(self.is_final) if name == "weight_mse" else self.state.rounded(problem, name)
        layer.set_amax(made.amax)
        if name in ROUNDING[1:]:
            layer.module.weight = renewed(layer.module.weight, made.weight)
        return Gain(name, layer.name, made.before, made.after)

    def _scale(self, layer: WeightLayer, name: str, seen: InputMoments) -> Gain:
        weight, bits, module = layer.weight, layer.bits or 8, layer.module
        whole, kept, size = layer.amax().ndim == 0, module.input_quantizer, layer.group_size or weight.shape[1]
        inputs = kept.num_bits if isinstance(kept.num_bits, int) and not kept._disabled else None
        none = np.ones(len(seen.largest), np.float32)
        before = scaled_noise(weight, seen.mean(), seen.largest, none, bits, whole, inputs, size)
        if name == "smoothquant":
            factor = smoothing(seen.largest, weight, ALPHA)
        else:
            factor = awq_factors(seen.mean_magnitude(), seen.mean()[0], weight, bits, size, STEPS)
        wide, inverse = scaled(weight, factor)
        module.weight = self.floats[layer.name] = renewed(module.weight, wide)
        kept.pre_quant_scale = inverse
        _scale_range(kept, (seen.least.min(), seen.most.max()),
                     ((seen.least * inverse).min(), (seen.most * inverse).max()))
        layer.reset_range()
        amax = None
        if name == "awq":
            moment = seen.mean() * np.outer(inverse, inverse).astype(np.float64)
            amax = WeightProblem(layer.weight, layer.amax(), bits, moment).ranged(self.is_final).amax
            layer.set_amax(amax)
        after = scaled_noise(layer.weight, seen.mean(), seen.largest, inverse, bits, whole, inputs, size, amax)
        return Gain(name, layer.name, before, after)

    def _between(self, change: Callable[..., list[Gain]]) -> list[Gain]:
        """Changes what lies between pairs of layers; ranges that were fixed follow."""
        pairs = layer_pairs(self.model, self.layers)
        chosen = {layer.name: layer for pair in pairs for layer in (pair.first, pair.second)}
        ends = self._ends(list(chosen.values()))
        gains = change(pairs, self._run)
        self.floats.update({name: layer.module.weight for name, layer in chosen.items()})
        after = self._ends(list(chosen.values()))
        for name, layer in chosen.items():
            layer.reset_range()
            _scale_range(layer.module.input_quantizer, ends[name], after[name])
        return gains

    def _ends(self, layers: list[WeightLayer]) -> dict[str, tuple[float, float]]:
        """The least and the largest of what each layer is given, and 0."""
        found = dict.fromkeys((layer.name for layer in layers), (0.0, 0.0))

        def observe(layer: WeightLayer, input: Any, call: Any) -> Any:
            (low, high), x = found[layer.name], numbers(input)
            found[layer.name] = float(x.min(initial=low)), float(x.max(initial=high))
            return call()

        with watched(layers, observe):
            self._run()
        return found

    def _correct_biases(self) -> list[Gain]:
        chosen = [layer for layer in self.layers if not layer.module.weight_quantizer._disabled
                  or not layer.module.input_quantizer._disabled]
        return correct_biases(chosen, self.data, self._run, self._call)


def _takes(name: str, layer: WeightLayer) -> bool:
    """Whether a method of SCALING or ROUNDING treats layers of this kind, whatever their formats."""
    if name in SCALING:
        return not layer.is_conv and layer.module.input_quantizer.pre_quant_scale is None
    return not layer.is_transposed


def _scale_range(quantizer: Any, before: tuple[float, float], after: tuple[float, float]) -> None:
    """A fixed range with one amax follows the ends of the input; with a zero point each end its own."""
    whole = max(-before[0], before[1])
    if quantizer.amax is None or np.size(numbers(quantizer.amax)) != 1 or not whole > 0:
        return
    share = low = high = max(-after[0], after[1]) / whole
    if quantizer.amin is not None:
        low, high = (new / old if old else share for new, old in zip(after, before, strict=True))
        quantizer.amin = numbers(quantizer.amin) * np.float32(low)
    quantizer.amax = numbers(quantizer.amax) * np.float32(high)


def _columns(layer: WeightLayer) -> int:
    weight = layer.weight
    return weight.size // max(len(weight), 1)


def _numbers(layer: WeightLayer) -> int:
    return layer.groups * _columns(layer) ** 2
