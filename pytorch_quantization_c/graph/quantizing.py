"""`quantize`: from a float model to the same model with quantisers."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any

import onnx_ir as ir

from .._core.descriptor import QuantDescriptor
from .._core.errors import shown
from .._core.files import FilePath, check_folder, part_file
from .calibration.calibrating import collected
from .calibration.collecting import without_quantizers
from .calibration.ranges import AUTO, Range, checked_method, fitted, widened
from .calibration.ranges import METHODS as RANGES
from .files.opset import raise_opset
from .methods.method_steps import KEPT, Methods
from .nodes import Quantizer, checked_graph, declare, fake_quant, quantizers
from .passes import prepare
from .passes.editing import substitute
from .passes.weights import dequantize_weights
from .placement.choices import Choices, Override, Patterns, nothing_left
from .placement.insertion import insert_quantizers, is_residual, quantize_states
from .placement.sites import is_spectral, layers_of, reads_spectrum
from .placement.targets import Target, target_of
from .representation.naming import free_node_name, names_remembered
from .search.accuracy_control import MethodNames, checked_drop, within_drop
from .search.budgets import as_data
from .search.finishing import TARGET, finished, warn_of_floats
from .search.selection import FOUND_BY, best_of

__all__ = ["quantize"]

INPUT, WEIGHT = QuantDescriptor(8), QuantDescriptor(8, axis=0)
PERCENTILE = 99.99


def quantize(model: ir.Model, batches: Any, *, input: QuantDescriptor = INPUT,
             weight: QuantDescriptor = WEIGHT, method: str = AUTO, percentile: float = PERCENTILE,
             zero_point: Any = "auto", residual: str = "auto", target: str = "here", exclude: Patterns = (),
             overrides: Mapping[str, Override] | None = None, methods: Iterable[str] | None = None,
             max_drop: float | None = None, metric: Callable[[ir.Model], float] | None = None,
             resume: FilePath | None = None, progress: bool | None = None) -> ir.Model:
    """A folded copy of the model with a quantiser wherever a layer reads integers.

    Args:
        model: a float model, as `load` or `trace` returns it; it is not changed.
        batches: calibration data: arrays (one input), tuples or dicts by input name, in any iterable, which is
            iterated once, or anything with `get_next()`. A dask bag of batches, a dask array, or a list of dask.delayed
            that give batches: ranges are found on the workers of the active client. None: no data; ranges are then
            found at every call, biases stay as they are, and what needs data (`method`, `percentile`,
            `residual="u8"`) is refused.
        input, weight: how activations and weights of layers are quantised. What has more than 8 bits becomes the sum of
            two of 8 bits, which the layer multiplies one after the other, for the target "here": two products where the
            input or the weight has 16 bits, three where both have. Inputs then take numbers up to twice the range that
            calibration found. With a range that is found at every call, in LSTM and GRU, and of weights in groups it
            stays as it is; a warning names such layers, which run in float. Axis 0 of `weight` means one range for
            each output channel, `block_sizes={-1: 32}` one for each 32 inputs of it in Gemm and MatMul.
        method: how ranges of activations are found: "max", "mse", "entropy" or "percentile"; "auto" makes the model by
            "max" and by "mse" and keeps the one whose outputs have less noise on the first samples.
        percentile: how many percent of the values the method "percentile" keeps.
        zero_point: "auto": unsigned where nothing is negative, a zero point for skewed ranges, else symmetric;
            False: always symmetric.
        residual: "auto" keeps values that only Adds and layers read as 16-bit integers, whose step is a power of two,
            if the target supports that;
            "u8" quantises both inputs of an Add to 8 bits; "float" leaves them in float.
        target: "here", "onnxruntime", "openvino" or "tensorrt": decides where quantisers go, and what a file may hold.
        exclude: patterns (globs, or `re:` and an expression) for names or operators of layers that stay float.
        overrides: by pattern, other descriptors: {"input": ..., "weight": ...}, one for both, or None for float.
        methods: applied in this order, besides finding ranges: "equalization" (equal ranges of the channels between two
            layers), "bias_absorption" (high biases before a ReLU move to the next layer), "activation_equalization"
            (equalised ranges of the channels that depthwise convolutions read), "smoothquant" or "awq" (outlier
            channels of the inputs of linear layers move into their weights; "awq" then gives these the ranges of
            "weight_mse"); then "weight_mse" (ranges of weights by least squared error, of the outputs where no method
            below rounds the weight, not by the largest magnitude), "gptq" or "adaround" (optimised rounding of weights,
            on the first samples), or "sequential_gptq" (layer after layer, each making up for those before), and
            "bias_correction". docs/methods.md gives gains and costs. None:
            "activation_equalization", "weight_mse" and "sequential_gptq" for weights of up to 4 bits, and
            "bias_correction"; () for nothing.
            `graph.gains` tells what each gained.
        max_drop, metric: `metric(model)` rates a graph, higher is better. Layers are given up, those with the most
            noise for their cost first, until the metric is at most `max_drop` below that of the float model: layers of
            fewer than 8 bits get 8, then inputs, weights or both get 16 bits (for the target "here"), then layers stay
            float. Their number is found by doubling, then bisection; steps to 16 bits or float do not calibrate again.
            Then each float layer with at least 1 % of the multiplications, the largest first, is quantised again if the
            metric still holds, or if it holds with smaller layers left float instead, with at most half as many;
            `graph.decisions` gives the table. If `methods` is None and the defaults miss the metric with all layers
            quantised, "activation_equalization", "weight_mse", "gptq" and "bias_correction" are tried first, and kept
            if they meet it or lower the sum of the layers' noises; "sequential_gptq" where some weights have up to 4
            bits, nothing where all have.
        resume: with `max_drop`, a JSON file that keeps the layers' sensitivities as they are measured, and beside it
            more of them, one that keeps weights and one that keeps values of the metric, to be removed if the metric
            has changed;
            without, with "gptq" or "adaround" in `methods`, a file that keeps the rounded weights. The same call
            resumes from there.
        progress: a bar (with tqdm installed); None means: on a terminal.

    Returns:
        The model with `FakeQuant` nodes, or `DynamicFakeQuant` ones without data; inputs, outputs, names and metadata
        are those of `model`.

    Raises:
        ValueError: nothing to quantise, a `max_drop` that even one quantised layer misses, a pattern that matches
            nothing, a batch that does not fit, NaN or infinity in a value (named, with its node), a descriptor with a
            field that graphs do not have, `resume` without `max_drop`, "gptq" and "adaround", or a file of another
            kind, or an argument out of range.
        TypeError: an argument of the wrong type.
    """
    checked_graph(model)
    checked_method(method, percentile, (AUTO, *RANGES))
    steps = Methods.of(methods, batches is not None)
    methods = None if methods is None else steps.names
    checked_drop(max_drop, metric, None if steps.take_long else resume)
    check_folder(resume, "resume")
    _checked(zero_point, residual, target)
    options: dict[str, Any] = {
        "input": input, "weight": weight, "percentile": percentile, "zero_point": zero_point, "residual": residual,
        "target": target, "exclude": exclude, "progress": progress}
    if max_drop is None or metric is None:
        return warn_of_floats(finished(whole(model, batches, method=method, overrides=overrides, methods=steps,
                                             resume=resume, **options)))
    data, folders = as_data(model, batches, "max_drop"), ExitStack()
    rounded = part_file(resume, "weights")

    def again(more: dict[str, Override], names: MethodNames, ranges: str | None = None,
              is_measured: bool = False) -> ir.Model:
        steps = Methods.of(names, True)
        done: Any = steps.measurable if is_measured else steps
        nonlocal rounded
        if done.take_long and rounded is None:
            rounded = f"{folders.enter_context(TemporaryDirectory())}/weights"
        return whole(model, data, method=ranges or method, overrides={**(overrides or {}), **more}, methods=done,
                     resume=rounded if done.take_long else None, **options)

    with folders:
        return warn_of_floats(within_drop(model, data, float(max_drop), metric, again, methods, resume, progress))


def whole(model: ir.Model, batches: Any, *, input: QuantDescriptor = INPUT, weight: QuantDescriptor = WEIGHT,
          method: str = AUTO, percentile: float = PERCENTILE, zero_point: Any = "auto", residual: str = "auto",
          target: str = "here", exclude: Patterns = (), overrides: Mapping[str, Override] | None = None,
          methods: Methods | Iterable[str] | None = None, resume: FilePath | None = None,
          progress: bool | None = None) -> ir.Model:
    """As `quantize` without a metric, but not `finished`: each layer reads one quantiser, however many bits it has."""
    checked_graph(model)
    checked_method(method, percentile, (AUTO, *RANGES))
    steps, wanted = Methods.of(methods, batches is not None), _checked(zero_point, residual, target)
    if batches is None:
        _check_without_data(method=(method, AUTO), percentile=(percentile, PERCENTILE),
                            residual=("auto" if residual == "float" else residual, "auto"))
    made = _prepared(model, wanted, target)
    eligible = layers_of(made)
    choices = Choices(eligible, input, weight, exclude, overrides or {})
    layers = [node for node in eligible if choices.wanted(node) and not is_spectral(node) and not reads_spectrum(node)]
    if not layers:
        raise ValueError(nothing_left(made, eligible))
    declare(made)
    batches = steps.for_floats(made, layers, choices, batches)
    with names_remembered():
        insert_quantizers(made, layers, choices, wanted, residual if batches is not None else "float")
    if batches is not None and target == "here":
        quantize_states(layers, choices)
    if batches is None:
        steps.for_weights(made, made, (), progress)
        _leave_dynamic(made, wanted.zero_points and zero_point == "auto")
        return made
    return _calibrated(made, batches, method, percentile, zero_point if wanted.zero_points else False, steps, resume,
                       progress)


def _checked(zero_point: Any, residual: str, target: str) -> Target:
    if zero_point not in ("auto", False):
        raise ValueError(f"Expected `zero_point` to be 'auto' or False, got {shown(zero_point)}")
    if residual not in ("auto", "u8", "float"):
        raise ValueError(f"Expected `residual` to be 'auto', 'u8' or 'float', got {shown(residual)}")
    return target_of(target)


def _prepared(model: ir.Model, wanted: Target, target: str) -> ir.Model:
    """A folded copy for a target, whose nodes have names."""
    made = model.clone()
    dequantize_weights(made)
    made = raise_opset(made, wanted.opset)
    made.metadata_props[TARGET] = target
    prepare(made)
    _name_nodes(made)
    return made


def _calibrated(made: ir.Model, batches: Any, method: str, percentile: float, points: Any, steps: Methods,
                resume: FilePath | None, progress: bool | None) -> ir.Model:
    """The model with constant ranges, found in one pass over the batches, and with what methods do after that."""
    calibration, kept = collected(made, batches, method != "max", progress, KEPT)
    bare = without_quantizers(made)
    weights = steps.for_weights(made, bare, kept, progress, resume)
    kinds = ("max", "mse") if method == AUTO else (method,)
    found = [calibration.ranges(each, percentile, points) for each in kinds]
    candidates = [_with_ranges(made, ranges, points) for number, ranges in enumerate(found)
                  if ranges not in found[:number]]
    for kind, candidate in zip(kinds, candidates, strict=False):
        candidate.metadata_props[FOUND_BY] = kind
    for candidate in candidates:
        steps.for_biases(candidate, kept, weights)
    return best_of(candidates, bare, kept)


def _check_without_data(**given: tuple[Any, Any]) -> None:
    """ValueError for an option that needs data; each with its default."""
    for name, (value, default) in given.items():
        if value != default:
            raise ValueError(f"Expected `batches` with {name}={shown(value)}, got none: without data the range of an "
                             "activation is that of each call's values")


def _name_nodes(model: ir.Model) -> None:
    """Every node gets a name of its own; the first of those with the same name keeps it."""
    taken: set[str] = set()
    with names_remembered():
        for number, node in enumerate(model.graph):
            if not node.name or node.name in taken:
                node.name = free_node_name(model.graph, node.name or f"{node.op_type}_{number}")
            taken.add(node.name)


def _leave_dynamic(model: ir.Model, two_sided: bool) -> None:
    for found in tuple(quantizers(model)):
        if found.is_dynamic and two_sided and isinstance(found.spec.bits, int):
            spec = replace(found.spec, unsigned=True, narrow=False, zero_point=None, two_sided=True)
            substitute(found.node, fake_quant(model.graph, found.input, None, spec, found.name))


def _with_ranges(model: ir.Model, ranges: dict[str, Range], zero_point: Any) -> ir.Model:
    """A copy whose quantisers of activations have these ranges."""
    made = model.clone()
    with names_remembered():
        for found in tuple(quantizers(made)):
            if found.name in ranges:
                fix(made, found, ranges[found.name], zero_point)
    return made


def fix(model: ir.Model, found: Quantizer, ends: Range, zero_point: Any) -> None:
    """Gives a quantiser of an activation a constant range."""
    symmetric = isinstance(found.spec.bits, tuple) or found.spec.bits > 8
    spec, amax = fitted(found.spec, ends, False if symmetric else zero_point)
    if is_residual(found):
        amax = widened(spec, amax)
    node = fake_quant(model.graph, found.input, amax, spec, found.name)
    node.metadata_props.update(found.node.metadata_props)
    substitute(found.node, node)
