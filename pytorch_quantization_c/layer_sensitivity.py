"""Which layers of a model suffer from quantisation: one is quantised at a time, all others stay float."""
from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._core.errors import shown
from ._core.files import read_file
from ._core.progress import progress
from .summary import named_quantizers

__all__ = ["Sensitivity", "SensitivityRow", "sensitivity"]

Metric = Callable[[Any], float]

FORMAT = "pytorch_quantization_c sensitivity 1"
SQNR = "SQNR of the output, dB"


@dataclass(frozen=True)
class SensitivityRow:
    """What quantising one layer alone does to the model."""

    layer: str
    value: float
    quantizers: tuple[str, ...]


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

    def __str__(self) -> str:
        """A table: rank, layer, value."""
        width = max([len("layer"), *(len(row.layer) for row in self.rows)])
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
        if axes is None:
            import matplotlib.pyplot as plt

            _, axes = plt.subplots(figsize=(7, 1.2 + 0.28 * len(self.rows)), layout="constrained")
        names = [row.layer for row in self.rows]
        finite = [row.value if math.isfinite(row.value) else math.nan for row in self.rows]
        axes.barh(names, finite)
        if math.isfinite(self.baseline):
            axes.axvline(self.baseline, color="black", linestyle="--", label="float")
            axes.legend()
        axes.invert_yaxis()
        axes.set_xlabel(self.metric)
        axes.set_title("One layer quantised at a time")
        return axes


def sensitivity(model: Any, batches: Iterable[Any] | None = None, metric: Metric | None = None, *,
                higher_is_better: bool = True, resume: str | os.PathLike[str] | None = None,
                show_progress: bool | None = None) -> Sensitivity:
    """Quantises one layer at a time and ranks the layers by what that costs.

        report = sensitivity(model, batches)
        print(report)

    The quantisers keep the settings and ranges they have (calibrate first, or leave them dynamic); disabled ones stay
    disabled. Afterwards, after an exception too, the model is as it was.

    Args:
        model: a module with quantisers.
        batches: what the model is called with: arrays, tuples of arguments or dicts of keyword arguments. It is gone
            through once for each layer and once more, so a list or the like, not a generator. Not needed with `metric`.
        metric: `metric(model)` gives a number, say the accuracy on a test set. None means the signal to quantisation
            noise ratio of the model's output against that of the float model, 10 log10(sum y^2 / sum (y - y_q)^2), in
            dB; the output may be one array or a tuple or list of arrays.
        higher_is_better: False for a metric such as a loss.
        resume: a JSON file that is written after each layer; if it is there, the layers in it are not measured again.
        show_progress: a bar (with tqdm installed); None means: on a terminal.

    Raises:
        ValueError: no quantiser is enabled, a layer is frozen (its weight stays quantised whatever its quantiser says),
            there are no batches, or `resume` belongs to other layers.
        TypeError: neither batches nor metric, both, or batches that can be gone through but once.
    """
    layers = _layers(model)
    _refuse_frozen(model)
    name = SQNR if metric is None else getattr(metric, "__name__", type(metric).__name__)
    with _only(layers, None):
        measure, baseline = _measure(model, batches, metric)
    found = {} if resume is None else _read(Path(resume), name, layers)
    for layer in progress(layers, "sensitivity", show_progress, long=1):
        if layer in found:
            continue
        with _only(layers, layer):
            found[layer] = measure()
        if resume is not None:
            _write(Path(resume), name, found)
    sign = 1.0 if higher_is_better else -1.0
    ranked = sorted(layers, key=lambda layer: (not math.isnan(found[layer]), sign * found[layer]))
    rows = tuple(SensitivityRow(layer, found[layer], tuple(each for each, _ in layers[layer])) for layer in ranked)
    return Sensitivity(name, baseline, rows)


Layers = dict[str, list[tuple[str, Any]]]


def _layers(model: Any) -> Layers:
    """Enabled quantisers by layer: a layer's own have names that begin with an underscore; others are layers."""
    layers: Layers = {}
    for name, quantizer in named_quantizers(model):
        if quantizer._disabled:
            continue
        parts = name.split(".")
        private = next((at for at, part in enumerate(parts) if part.startswith("_")), len(parts))
        layers.setdefault(".".join(parts[:private]) or "(model)", []).append((name, quantizer))
    if not layers:
        raise ValueError("Expected `model` to have quantizers that are enabled, got none")
    return layers


def _refuse_frozen(model: Any) -> None:
    for name, module in model.named_modules():
        if getattr(module, "_frozen", None) is not None:
            raise ValueError(f"Expected `model` without frozen layers, got one at {name or '(model)'!r}: "
                             "measure the model before it is frozen")


@contextmanager
def _only(layers: Layers, chosen: str | None) -> Iterator[None]:
    """Disables all quantisers but those of one layer, for the time of the block."""
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
    """How to measure the model as it is then, and the measure of the model as it is now: float."""
    if metric is not None:
        if not callable(metric):
            raise TypeError(f"Expected `metric` to be callable, got {type(metric).__name__}")
        if batches is not None:
            raise TypeError("Expected `batches` or `metric`, got both: a metric brings its own data")
        return lambda: _number(metric(model)), _number(metric(model))
    if batches is None:
        raise TypeError("Expected `batches` or `metric`, got neither")
    if not isinstance(batches, Iterable) or iter(batches) is batches:
        raise TypeError("Expected `batches` to be a list or another iterable that can be gone through several times, "
                        f"got {type(batches).__name__}")
    references = [_outputs(model, batch) for batch in batches]
    if not references:
        raise ValueError("Expected `batches` to have at least one batch, got none")
    return lambda: _sqnr(model, batches, references), math.inf


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"Expected `metric` to return a number, got {shown(value)}") from None


def _is_float(value: Any) -> bool:
    """Whether it is a number of JSON that a float can hold."""
    return type(value) is float or (type(value) is int and value.bit_length() < 1000)


def _outputs(model: Any, batch: Any) -> list[NDArray[Any]]:
    """What the model gives, as a list of float64 arrays."""
    if isinstance(batch, Mapping):
        result = model(**batch)
    else:
        result = model(*batch) if isinstance(batch, tuple) else model(batch)
    results = result if isinstance(result, tuple | list) else [result]
    return [np.asarray(each.detach() if hasattr(each, "detach") else each, dtype=np.float64) for each in results]


def _sqnr(model: Any, batches: Iterable[Any], references: list[list[NDArray[Any]]]) -> float:
    signal = noise = 0.0
    for batch, wanted in zip(batches, references, strict=True):
        for y, y_q in zip(wanted, _outputs(model, batch), strict=True):
            signal += float(np.sum(y * y))
            noise += float(np.sum((y - y_q) ** 2))
    if noise == 0.0:
        return math.inf
    return 10.0 * math.log10(signal / noise) if signal > 0.0 else -math.inf


def _read(path: Path, metric: str, layers: Layers) -> dict[str, float]:
    """What an earlier run found, or nothing if there is no such file."""
    try:
        data = json.loads(read_file(path))
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
    return {layer: float(value) for layer, value in values.items()}


def _write(path: Path, metric: str, values: dict[str, float]) -> None:
    """Replaces the file in one step: an interrupted run leaves the one before."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps({"format": FORMAT, "metric": metric, "layers": values}, indent=1), encoding="utf-8")
    fresh.replace(path)
