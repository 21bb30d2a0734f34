"""Every public callable of the twin, found as those of the package are, with tensors that it accepts."""
from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

import pytorch_quantization_c.torch as twin
from pytorch_quantization_c.torch import calib, nn
from tests.contract import surface
from tests.fuzz import arguments, subjects

ELSEWHERE = {
    "compile": "needs the extra onnxscript; tests/torch/graph",
    "install": "changes what later imports find; test_surface",
}
X = torch.from_numpy(np.array(subjects.X))


def model() -> torch.nn.Module:
    made = torch.nn.Sequential(nn.QuantConv2d(4, 4, 3), torch.nn.Flatten(), nn.QuantLinear(64, 3),
                               torch.nn.Linear(3, 2))
    made(X)
    return made


def collected(make: Callable[[], Any]) -> Callable[[], Any]:
    def made() -> Any:
        calibrator = make()
        calibrator.collect(X)
        return calibrator

    return made


maximum = collected(lambda: calib.MaxCalibrator(8, 1, False, track_amax=True))
histogram = collected(lambda: calib.HistogramCalibrator(8, None, False, num_bins=64))
OBJECTS: dict[str, Callable[[], Any]] = {
    "calib.HistogramCalibrator": histogram, "calib.MaxCalibrator": maximum,
    "calib.calibrator.TensorCalibrator": maximum,
    "calib.RangeCalibrator": collected(lambda: calib.RangeCalibrator(8, None, False)),
}
FITTING: dict[str, Callable[[], Any]] = {
    "model": model, "module": model, "calibrator": histogram, "other": histogram, "model_or_calibrator": model,
    "batches": lambda: [X], "state_dict": lambda: model().state_dict(), "dtype": lambda: torch.float32,
    "hx": lambda: None, "modules": lambda: [model()], "module_list": lambda: [model()],
}


def public_modules() -> Iterator[Any]:
    yield twin
    for found in pkgutil.walk_packages(twin.__path__, twin.__name__ + "."):
        if "._" not in found.name:
            yield importlib.import_module(found.name)


def public_names() -> dict[str, Any]:
    """What the twin itself has; what it shares with the package is among that one's subjects."""
    mine = twin.__name__ + "."
    return {path.removeprefix("torch."): thing for path, thing in surface.public_names(public_modules()).items()
            if f"{thing.__module__}.".startswith(mine) or path.removeprefix("torch.") in twin.__all__}


def is_abstract(cls: type) -> bool:
    return cls in (nn.QuantMixin, nn.QuantInputMixin) or issubclass(cls, torch.autograd.Function)


def maker(path: str, cls: type) -> Callable[[], Any]:
    if path in OBJECTS:
        return OBJECTS[path]
    if is_abstract(cls):
        return lambda: cls
    return functools.partial(subjects.new_layer, path, cls) if issubclass(cls, torch.nn.Module) else cls


def found() -> list[subjects.Subject]:
    return [each for each in subjects.subjects_of(public_names(), maker) if each.name not in ELSEWHERE]


def fitting(path: str, parameter: inspect.Parameter) -> Any:
    """A value that the parameter asks for, arrays as tensors."""
    if parameter.name in FITTING:
        return FITTING[parameter.name]()
    value = arguments.fitting(path, parameter)
    return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value


def needed(subject: subjects.Subject) -> dict[str, Any]:
    return subjects.needed(subject, fitting)
