"""Sensitivity of a model's layers to quantisation: one is quantised at a time, all others stay float."""
from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core.errors import is_raised_in_python, shown
from .._core.figures import axes_or_new
from .._core.files import FilePath, check_folder, read_file, write_file
from .._core.fingerprint import fingerprint
from .._core.metrics import metric_value
from .._core.models import is_frozen, is_graph
from .._core.noise import Ratio
from .._core.progress import progress
from .quantizers import named_quantizers
from .training_mode import warn_of_training

__all__ = ["Sensitivity", "SensitivityRow", "sensitivity"]

Metric = Callable[[Any], float]

FORMAT = "pytorch_quantization_c sensitivity 1"
MAX_FILE = 1 << 26   # bytes: a few hundred thousand layers
SQNR = "SQNR of the output, dB"
BATCH = ("a batch is an array, a tuple of the model's arguments or a dict of its keyword arguments, without labels: "
         "sensitivity(model, (x for x, y in loader))")


@dataclass(frozen=True)
class SensitivityRow:
    """The effect of quantising one layer alone."""

    layer: str
    value: float
    quantizers: tuple[str, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.layer, str) or not isinstance(self.value, float | int):
            raise TypeError(f"Expected a name and a number, got {shown(self.layer)} and {shown(self.value)}")


@dataclass(frozen=True)
class Sensitivity:
    """The layers, the most sensitive first.

    Attributes:
        metric: what `value` of a row is.
        baseline: the metric with nothing quantised (infinity for SQNR).
        rows: one a layer.
    """

    metric: str
    baseline: float
    rows: tuple[SensitivityRow, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.metric, str) or not isinstance(self.baseline, float | int):
            raise TypeError(f"Expected a name and a number, got {shown(self.metric)} and {shown(self.baseline)}")
        if not isinstance(self.rows, tuple) or not all(isinstance(row, SensitivityRow) for row in self.rows):
            raise TypeError(f"Expected `rows` to be a tuple of SensitivityRow, got {shown(self.rows)}")

    def __repr__(self) -> str:
        """The table."""
        return str(self)

    def __str__(self) -> str:
        """A table: rank, layer, value."""
        width = max([len("(float)"), *(len(row.layer) for row in self.rows)])
        lines = [f"{'':>4}  {'layer':<{width}}  {self.metric}", f"{'':>4}  {'(float)':<{width}}  {self.baseline:.6g}"]
        lines += [f"{rank:>4}  {row.layer:<{width}}  {row.value:.6g}" for rank, row in enumerate(self.rows, 1)]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, float]:
        """Layer name to value, the most sensitive first."""
        return {row.layer: row.value for row in self.rows}

    def plot(self, axes: Any = None) -> Any:
        """A bar for each layer, the most sensitive on top (needs matplotlib).

        Args:
            axes: matplotlib axes to draw into; None makes a figure.

        Returns:
            The axes.
        """
        axes = axes_or_new(axes, 7, 1.2 + 0.28 * len(self.rows))
        names = [row.layer for row in self.rows]
        finite = [row.value if math.isfinite(row.value) else math.nan for row in self.rows]
        bars = axes.barh(names, finite)
        axes.bar_label(bars, [f"{row.value:.4g}" for row in self.rows], padding=3, fontsize=8)
        axes.margins(x=0.12)
        if math.isfinite(self.baseline):
            axes.axvline(self.baseline, color="black", linestyle="--", label="float")
            axes.legend()
        axes.invert_yaxis()
        axes.set_xlabel(self.metric)
        axes.set_title("One layer quantised at a time")
        return axes


def sensitivity(model: Any, batches: Iterable[Any] | None = None, metric: Metric | None = None, *,
                higher_is_better: bool = True, resume: FilePath | None = None,
                show_progress: bool | None = None) -> Sensitivity:
    """Quantises one layer at a time and ranks the layers by the loss.

        report = sensitivity(model, batches)
        print(report)

    The quantisers keep the settings and ranges they have (calibrate first, or leave them dynamic); those that are
    disabled or do not quantise are left out. The model is measured in evaluation mode, and without gradients if there
    is no `metric`; nothing is collected for calibration. Afterwards, after an exception too, every switch is as it was.

    Args:
        model: a module with quantisers, on NumPy or of the torch twin, or a graph that `graph.quantize` returned.
        batches: what the model is called with: arrays, tuples of arguments or dicts of keyword arguments; any iterable,
            iterated once and kept until the end, so that a loader may shuffle. With `metric`, leave it out.
        metric: `metric(model)` gives a number, such as the accuracy on a test set. None means the signal-to-
            quantisation-noise ratio of the model's output against that of the float model, in dB,
            10 log10(sum y^2 / sum (y - y_q)^2); the output may be one array or a tuple, list or dict of arrays.
        higher_is_better: False for a metric such as a loss.
        resume: a JSON file that is written after each layer; if it is there, the layers in it are not measured again.
            It belongs to the quantisers' settings and ranges, the weights and the batches, in their order; the
            data that `metric` uses are not checked.
        show_progress: a bar (with tqdm installed); None means: on a terminal.

    Returns:
        The layers and their values, the most sensitive first; a layer whose value is NaN before all others.

    Raises:
        ValueError: no quantiser quantises, a layer is frozen (its weight stays quantised whatever its quantiser says),
            there are no batches, or `resume` belongs to other layers, settings, weights or batches, or another metric.
        TypeError: neither batches nor metric, both, or a metric that gives no number.
        FileNotFoundError: the folder of `resume` is not there.
    """
    if is_graph(model):
        from ..graph.analysis.layer_noise import GraphSensitivity

        return sensitivity_of_graph(GraphSensitivity(model, batches, metric), _metric_name(metric), higher_is_better,
                                    resume, show_progress)
    layers = _layers(model)
    _refuse_frozen(model)
    name = _metric_name(metric)
    path = None if resume is None else Path(os.fsdecode(resume))
    if path is not None and batches is not None and metric is None:
        batches = list(batches)
    settings = "" if path is None else fingerprint(_settings(layers), model.state_dict(), batches)
    found = {} if path is None else _read(path, name, layers, settings)
    warn_of_training(model, "sensitivity")
    with evaluating(model), nullcontext() if metric is not None else no_grad(model):
        with _only(layers, None):
            measure, baseline = _measure(model, batches, metric)
        for layer in progress(layers, "sensitivity", show_progress, long=1):
            if layer in found:
                continue
            with _only(layers, layer), _saying_what_is_kept(found, layers, path):
                found[layer] = measure()
            if path is not None:
                _write(path, name, found, settings)
    return Sensitivity(name, baseline, _ranked(layers, found, higher_is_better))


Layers = dict[str, list[tuple[str, Any]]]


def _ranked(layers: Layers, found: dict[str, float], higher_is_better: bool) -> tuple[SensitivityRow, ...]:
    sign = 1.0 if higher_is_better else -1.0
    order = sorted(layers, key=lambda layer: (not math.isnan(found[layer]), sign * found[layer]))
    return tuple(SensitivityRow(layer, found[layer], tuple(each for each, _ in layers[layer])) for layer in order)


def _metric_name(metric: Metric | None) -> str:
    return SQNR if metric is None else getattr(metric, "__name__", type(metric).__name__)


def sensitivity_of_graph(measured: Any, name: str, higher_is_better: bool, resume: FilePath | None,
                         show_progress: bool | None) -> Sensitivity:
    """As `sensitivity`, of a `GraphSensitivity` whose metric has this name."""
    path = None if resume is None else Path(os.fsdecode(resume))
    settings = "" if path is None else measured.settings()
    found = {} if path is None else _read(path, name, measured.layers, settings)
    for layer in progress(measured.layers, "sensitivity", show_progress, long=1):
        if layer in found:
            continue
        with _saying_what_is_kept(found, measured.layers, path):
            found[layer] = measured.measure(layer)
        if path is not None:
            _write(path, name, found, settings)
    return Sensitivity(name, measured.baseline, _ranked(measured.layers, found, higher_is_better))


@contextmanager
def _saying_what_is_kept(found: dict[str, float], layers: Layers, path: Path | None) -> Iterator[None]:
    """On Ctrl-C, logs how much is kept for another call."""
    try:
        yield
    except KeyboardInterrupt as stop:
        done = f"{len(found)} of {len(layers)} layers are measured"
        stop.args = (f"{done} and kept in {path}: the same call resumes from there" if path is not None else
                     f"{done} and lost: resume='file.json' keeps them",)
        raise


def _layers(model: Any) -> Layers:
    """Active quantisers by layer: a layer's own have names that begin with an underscore; others count as layers."""
    layers: Layers = {}
    for name, quantizer in named_quantizers(model):
        if quantizer._disabled or not (quantizer._if_quant or quantizer._if_clip):
            continue
        parts = name.split(".")
        private = next((at for at, part in enumerate(parts) if part.startswith("_")), len(parts))
        layers.setdefault(".".join(parts[:private]) or "(model)", []).append((name, quantizer))
    if not layers:
        remedy = "" if any(named_quantizers(model)) else ": call pq.replace(model) first"
        raise ValueError(f"Expected `model` to have quantisers that are enabled and quantise, got none{remedy}")
    return layers


def _settings(layers: Layers) -> list[Any]:
    """The settings of the quantisers that a state_dict lacks."""
    return [(name, quantizer.num_bits, quantizer.unsigned, quantizer.narrow_range, quantizer.axis, quantizer.fake_quant,
             quantizer._scale_amax) for members in layers.values() for name, quantizer in members]


def _refuse_frozen(model: Any) -> None:
    for name, module in model.named_modules():
        if is_frozen(module):
            raise ValueError(f"Expected `model` without frozen layers, got one at {name or '(model)'!r}: "
                             "measure the model before it is frozen")


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode, and no collecting quantiser, for the duration of the block."""
    training = [(module, module.training) for _, module in model.named_modules()]
    collecting = [quantizer for _, quantizer in named_quantizers(model) if quantizer._if_calib]
    try:
        model.eval()
        for quantizer in collecting:
            quantizer._if_calib = False
        yield
    finally:
        for quantizer in collecting:
            quantizer._if_calib = True
        for module, mode in training:
            module.training = mode


def no_grad(model: Any) -> AbstractContextManager[Any]:
    torch: Any = sys.modules.get("torch")
    return torch.no_grad() if torch is not None and isinstance(model, torch.nn.Module) else nullcontext()


@contextmanager
def _only(layers: Layers, chosen: str | None) -> Iterator[None]:
    """Disables all quantisers but those of one layer, for the duration of the block."""
    quantizers = [(layer, quantizer) for layer, members in layers.items() for _, quantizer in members]
    try:
        for layer, quantizer in quantizers:
            if layer != chosen:
                quantizer.disable()
        yield
    finally:
        for _, quantizer in quantizers:
            quantizer.enable()


def _measure(model: Any, batches: Iterable[Any] | None, metric: Metric | None) -> tuple[Callable[[], float], float]:
    """The function that measures the model, and the measure of the float model."""
    if metric is not None:
        if not callable(metric):
            raise TypeError(f"Expected `metric` to be callable, got {type(metric).__name__}")
        if batches is not None:
            raise TypeError("Expected `batches` or `metric`, got both: a metric brings its own data")
        return lambda: metric_value(metric(model)), metric_value(metric(model))
    if batches is None:
        raise TypeError("Expected `batches` or `metric`, got neither")
    if not isinstance(batches, Iterable):
        raise TypeError(f"Expected `batches` to be a list or another iterable, got {type(batches).__name__}")
    if hasattr(batches, "shape") or isinstance(batches, str | Mapping):
        raise TypeError(f"Expected `batches` to be a list of batches, got one {type(batches).__name__}: [x] is a list "
                        f"of one; {BATCH}")
    kept = list(batches)
    if not kept:
        raise ValueError("Expected `batches` to have at least one batch, got none")
    references = [_reference(model, batch) for batch in kept]
    return lambda: _sqnr(model, kept, references), math.inf


def _reference(model: Any, batch: Any) -> list[NDArray[np.float64]]:
    """The outputs of the float model. A batch that it rejects may be inputs and labels."""
    try:
        return _outputs(model, batch)
    except (TypeError, AttributeError) as problem:
        if isinstance(batch, list | tuple) and len(batch) > 1:
            raise TypeError(f"The model does not take a batch of {len(batch)} items ({problem}). {BATCH}") from problem
        raise


def _is_float(value: Any) -> bool:
    """Whether it is a JSON number that a float can hold."""
    return type(value) is float or (type(value) is int and value.bit_length() < 1000)


def _outputs(model: Any, batch: Any) -> list[NDArray[np.float64]]:
    """The model's outputs as a list of arrays."""
    if isinstance(batch, Mapping):
        result = model(**batch)
    else:
        result = model(*batch) if isinstance(batch, tuple) else model(batch)
    if isinstance(result, Mapping):
        result = list(result.values())
    return [_array(each) for each in (result if isinstance(result, tuple | list) else [result])]


def _array(output: Any) -> NDArray[np.float64]:
    try:
        return np.asarray(output.detach().cpu().double() if hasattr(output, "detach") else output, dtype=np.float64)
    except (TypeError, ValueError) as error:
        if is_raised_in_python(error):
            raise
        raise TypeError("Expected `model` to return an array, or a tuple, list or dict of arrays, got "
                        f"{type(output).__name__}") from None


def _sqnr(model: Any, batches: list[Any], references: list[list[NDArray[np.float64]]]) -> float:
    ratio = Ratio()
    for batch, wanted in zip(batches, references, strict=True):
        for y, y_q in zip(wanted, _outputs(model, batch), strict=True):
            ratio.add(y, y_q)
    return ratio.sqnr


def _read(path: Path, metric: str, layers: Layers, settings: str = "") -> dict[str, float]:
    """The findings of an earlier run; empty if there is no such file."""
    check_folder(path, "resume")
    try:
        data = json.loads(read_file(path, MAX_FILE))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"Expected `resume` to be a file of this function, got {path}: {problem}") from None
    values = data.get("layers") if isinstance(data, dict) and data.get("format") == FORMAT else None
    if not isinstance(values, dict) or not all(map(_is_float, values.values())):
        raise ValueError(f"Expected `resume` to be a file of this function, got {path}")
    strangers = sorted(values.keys() - layers.keys())
    if strangers or data.get("metric") != metric:
        what = f"layer {shown(strangers[0])}" if strangers else f"metric {shown(data.get('metric'))}"
        raise ValueError(f"Expected `resume` to belong to this model and metric, got {path} with {what}")
    if data.get("settings") != settings:
        raise ValueError("Expected `resume` to belong to the quantisers' settings and ranges, the weights and the "
                         f"batches of this call, got {path} of others: remove it to start over")
    return {layer: float(value) for layer, value in values.items()}


def _write(path: Path, metric: str, values: dict[str, float], settings: str = "") -> None:
    """Replaces the file atomically: an interrupted run leaves the previous one."""
    data = {"format": FORMAT, "metric": metric, "settings": settings, "layers": values}
    write_file(path, json.dumps(data, indent=1).encode())
