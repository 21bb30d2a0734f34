"""Every public callable of the package: functions, constructors, methods and settable properties, by introspection.

A subject is made afresh for each call, since a call may change the object that it belongs to. A method that several
classes inherit is taken from the first of them. What is left out stands in `ELSEWHERE`, with the reason.
"""
from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import pytorch_quantization_c
from pytorch_quantization_c import calib, float_nn, integer, layer_sensitivity, nn, quant_state, summary, tensor_quant
from pytorch_quantization_c.calib import overview

from ..contract import surface

PACKAGE = pytorch_quantization_c.__name__
WHOLE = ("float_nn", "float_nn.functional", "integer", "interchange", "methods", "model")
PROGRAMS = ("demo", "info")  # what `python -m` runs; the file that demo reads is among the loaders
APART = {  # packages that an extra brings, and where each of their callables is
    "graph": "tests/graph/fuzz/subjects.py", "torch": "tests/torch/twin/subjects.py",
}

ELSEWHERE = {
    "compile": "needs the extra onnx; tests/graph/fuzz/subjects.py",
    "calib.distributed.calibrate": "needs Dask; tests/dask/test_faults.py",
    "calib.merging.check_same": "compares settings that the calibrators name",
    "calib.plot": "needs matplotlib; tests/plot/test_any_arguments.py",
    "layer_sensitivity.Sensitivity.plot": "needs matplotlib; tests/plot/test_any_arguments.py",
    "utils.quant_logging.reset_logger_handler": "takes nothing, and takes the test runner's log away",
    "float_nn.Module.__call__": "calls forward, which each layer defines",
}

X = surface.floats(2, 4, 6, 6)


class Subject(NamedTuple):
    """`make()` gives a fresh callable; `signature` is its own, or None where Python does not know it."""

    name: str
    make: Callable[[], Callable[..., Any]]
    signature: inspect.Signature | None


def model() -> Any:
    made = float_nn.Sequential(nn.QuantConv2d(4, 4, 3), float_nn.Flatten(), nn.QuantLinear(64, 3),
                               float_nn.Linear(3, 2))
    made(X)
    return made


def histogram() -> Any:
    made = calib.HistogramCalibrator(8, None, False, num_bins=64)
    made.collect(X)
    return made


def maximum() -> Any:
    made = calib.MaxCalibrator(8, 1, False, track_amax=True)
    made.collect(X)
    return made


def two_sided() -> Any:
    made = calib.RangeCalibrator(8, None, False)
    made.collect(X)
    return made


def packed() -> Any:
    return integer.PackedWeights(np.ones((3, 6), np.int8), np.ones(3, np.float32), integer.Geometry(), integer.Int(8))


OBJECTS: dict[str, Callable[[], Any]] = {  # an object of each class that its constructor alone does not make useful
    "float_nn.Module": model, "float_nn.Sequential": model,
    "float_nn.ModuleList": lambda: float_nn.ModuleList([model()]),
    "float_nn.ModuleDict": lambda: float_nn.ModuleDict({"a": model()}),
    "float_nn.Parameter": lambda: float_nn.Parameter(X.copy()),
    "calib.HistogramCalibrator": histogram, "calib.MaxCalibrator": maximum, "calib.RangeCalibrator": two_sided,
    "calib.calibrator._Calibrator": maximum,
    "calib.overview.Overview": lambda: overview.overviews(histogram())[0],
    "calib.overview.MethodResult": lambda: overview.overviews(histogram())[0].results[0],
    "integer.PackedWeights": packed, "formats.Float": lambda: integer.Float(4, 3),
    "integer.PackedInt4": lambda: integer.PackedInt4(np.ones((3, 32), np.int8), np.ones((3, 1), np.float32),
                                                     integer.Int(8)),
    "formats.Quantization": lambda: integer.Quantization(integer.Int(8), None, None, np.ones(1, np.float32)),
    "float_nn.utils.rnn.PackedSequence": lambda: float_nn.utils.rnn.pack_padded_sequence(X[0], [6, 5, 2, 1, 1, 1]),
    "layer_sensitivity.Sensitivity": lambda: layer_sensitivity.Sensitivity("m", 1.0, (ROW,)),
    "layer_sensitivity.SensitivityRow": lambda: ROW,
    "quant_state.LoadedQuantState": lambda: quant_state.LoadedQuantState([], []),
    "summary.QuantizerRow": lambda: summary.QuantizerRow("a", 8, False, None, None, "quant"),
    "tensor_quant.FunctionCtx": tensor_quant.FunctionCtx,
}
ROW = layer_sensitivity.SensitivityRow("a", 1.0, ("a._input_quantizer",))


def is_public(path: str) -> bool:
    """No part begins with an underscore; of the packages in WHOLE only what they list is public."""
    parent, _, name = path.rpartition(".")
    if name.startswith("_") or path in (*APART, *PROGRAMS):
        return False
    listed = parent not in WHOLE or name in importlib.import_module(f"{PACKAGE}.{parent}").__all__
    return listed and (not parent or is_public(parent))


def public_modules() -> Iterator[Any]:
    yield pytorch_quantization_c
    for found in pkgutil.walk_packages(pytorch_quantization_c.__path__, PACKAGE + "."):
        if is_public(found.name.removeprefix(PACKAGE + ".")):
            yield importlib.import_module(found.name)


def public_names() -> dict[str, Any]:
    """Path without the package's name -> function or class, each once, under its shortest path."""
    return surface.public_names(public_modules())


def signature_of(thing: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(thing)
    except (TypeError, ValueError):
        return None


def new_layer(path: str, cls: type) -> Any:
    needed = {name: surface.CONSTRUCTOR[name] for name, each in inspect.signature(cls).parameters.items()
              if name == "dim" or (each.default is each.empty and name in surface.CONSTRUCTOR)}
    return cls(**{**needed, **surface.LAYERS.get(path.rsplit(".", 1)[-1], {})})


def maker(path: str, cls: type) -> Callable[[], Any]:
    """Makes an object of a public class."""
    if path in OBJECTS:
        return OBJECTS[path]
    return functools.partial(new_layer, path, cls) if issubclass(cls, float_nn.Module) else cls


def is_ours(function: Any) -> bool:
    return (getattr(function, "__module__", None) or "").startswith(PACKAGE)


def members(path: str, cls: type, make: Callable[[], Any], seen: set[Any]) -> Iterator[Subject]:
    """The public methods and settable properties of a class, of which `make` makes an object, that none before had."""
    for name in sorted(dir(cls)):
        raw = inspect.getattr_static(cls, name)
        function = getattr(raw, "__func__", getattr(raw, "fset", None) if isinstance(raw, property) else raw)
        public = not name.startswith("_") or name == "__call__"
        if not (public and inspect.isfunction(function) and is_ours(function)) or function in seen:
            continue
        seen.add(function)
        if isinstance(raw, property):
            one = inspect.Signature([inspect.Parameter("value", inspect.Parameter.POSITIONAL_OR_KEYWORD)])
            yield Subject(f"{path}.{name}", lambda name=name: lambda value: setattr(make(), name, value), one)
        else:
            method = signature_of(getattr(make(), name))
            yield Subject(f"{path}.{name}", lambda name=name: getattr(make(), name), method)


def subjects_of(names: dict[str, Any], maker: Callable[[str, type], Callable[[], Any]]) -> list[Subject]:
    """Functions and classes by their paths, and what the classes have, on objects by `maker(path, cls)`."""
    found: list[Subject] = []
    functions: set[Any] = set()
    for path, thing in names.items():
        found.append(Subject(path, lambda thing=thing: thing, signature_of(thing)))
        if inspect.isclass(thing):
            found += members(path, thing, maker(path, thing), functions)
    return found


def subjects() -> list[Subject]:
    return [subject for subject in subjects_of(public_names(), maker) if subject.name not in ELSEWHERE]


def needed(subject: Subject, fitting: Callable[[str, inspect.Parameter], Any]) -> dict[str, Any]:
    """A value for each argument that a call needs."""
    return {} if subject.signature is None else {
        name: fitting(subject.name, each) for name, each in subject.signature.parameters.items()
        if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD}
