"""The values of a metric for the models of a search, kept in a file so that the same search can be resumed."""
from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import onnx_ir as ir

from ..._core.files import FilePath, read_file, write_file
from ..._core.fingerprint import fingerprint
from ..._core.metrics import ordered_metric_value

FORMAT = "pytorch_quantization_c metric 1"
MAX_FILE = 1 << 24      # bytes: some hundred thousand trials


class Trials:
    """A metric that is called once for each model; models are told apart by all their bytes.

    Args:
        metric: gives a number for a graph; it is identified by its name alone.
        path: a JSON file, written after each call; None: nothing is kept.

    Raises:
        ValueError: a file of another kind, or of a metric of another name.
    """

    def __init__(self, metric: Callable[[Any], float], path: FilePath | None) -> None:
        self._metric, self._path = metric, path
        self._name = getattr(metric, "__name__", type(metric).__name__)
        self._values = {} if path is None else self._read(path)

    def value(self, model: ir.Model) -> float:
        """The metric of a model, from the file if it has it."""
        if self._path is None:
            return ordered_metric_value(self._metric(model))
        key = fingerprint(ir.to_proto(model).SerializeToString(deterministic=True))
        if key not in self._values:
            self._values[key] = ordered_metric_value(self._metric(model))
            data = {"format": FORMAT, "metric": self._name, "values": self._values}
            write_file(self._path, json.dumps(data, indent=1).encode())
        return self._values[key]

    def _read(self, path: FilePath) -> dict[str, float]:
        try:
            data = json.loads(read_file(path, MAX_FILE), parse_int=float)
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError) as problem:
            raise ValueError(f"Expected the file beside `resume` to hold a metric's values, got {path!r}: "
                             f"{problem}") from None
        values = data.get("values") if isinstance(data, dict) and data.get("format") == FORMAT else None
        if not isinstance(values, dict) or not all(
                isinstance(each, float) and not math.isnan(each) for each in values.values()):
            raise ValueError(f"Expected the file beside `resume` to hold a metric's values, got {path!r}")
        if data.get("metric") != self._name:
            raise ValueError(f"Expected the file beside `resume` to hold values of the metric {self._name!r}, got "
                             f"{path!r} of {data.get('metric')!r}: remove it to start over")
        return dict(values)
