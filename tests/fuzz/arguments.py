"""Arguments for any public callable: ones that fit by name, and ones that nobody would think of."""
from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from pytorch_quantization_c import calib, float_nn, nn
from pytorch_quantization_c.tensor_quant import FunctionCtx, QuantDescriptor

from ..contract import surface
from .callables import OTHERS, any_array
from .subjects import Subject, X, histogram, maximum, model

HUGE = np.broadcast_to(np.float32(1), (2**20, 2**20))  # a view of one number
COMPUTES = ("float_nn.", "sensitivity")  # what sets out to go through all of it
SMALL = np.array([[0, 1, 1], [1, 0, 0]])
FITTING: dict[str, Callable[[], Any]] = {
    "model": model, "module": model, "calibrator": histogram, "other": histogram, "model_or_calibrator": model,
    "quant_desc": QuantDescriptor, "quant_desc_input": QuantDescriptor, "quant_desc_weight": QuantDescriptor,
    "ctx": FunctionCtx, "path": lambda: "file", "patterns": lambda: ["weight"], "patterns_list": lambda: [["weight"]],
    "batches": lambda: [X], "yaml_str": lambda: "num_bits: 4\naxis: 0\n", "num_bits": lambda: 8, "axis": lambda: 1,
    "amax": lambda: np.float32(2), "inputs": lambda: X, "input": lambda: X, "x": lambda: X, "tensor": lambda: X.copy(),
    "weight": lambda: np.ones((4, 4, 3, 3), np.float32), "data": lambda: X, "value": lambda: 1.5, "name": lambda: "b",
    "module_list": lambda: [model()], "modules": lambda: [model()], "index": lambda: 0, "key": lambda: "a",
    "state_dict": lambda: model().state_dict(), "target": lambda: "0.weight", "fn": lambda: lambda module: None,
    "dtype": lambda: np.float32, "sequences": lambda: [X[0], X[0, :2]], "lengths": lambda: [6, 4],
    "sequence": lambda: float_nn.utils.rnn.pack_sequence([np.ones((3, 2), np.float32)]),
}
STRANGE: list[Callable[[], Any]] = [
    lambda: itertools.count(), lambda: itertools.repeat("a"), lambda: (i for i in range(3)), lambda: iter([X]),
    lambda: [[1]] * 3, lambda: endless(), lambda: deep(), lambda: Nasty(), lambda: np.ma.masked_array(X, X > 0),
    lambda: X[0, 0].view(np.matrix), lambda: np.array(3.0, np.float32), lambda: X[:0], lambda: X[::-1], lambda: X.T,
    lambda: HUGE, lambda: X.astype(">f8"), lambda: X.astype(object),
    lambda: float_nn.Parameter(X.copy()), lambda: nn.QuantLinear, lambda: nn.QuantLinear(6, 2), maximum, model,
    lambda: calib, lambda: Path("nowhere/file"), lambda: "a\0b", lambda: "", lambda: {"weight": X, "": None, 3: 4},
    lambda: {"0.weight": X, "0.bias": "x"}, lambda: SMALL, lambda: range(10**9), lambda: bytearray(b"x" * 100),
    lambda: memoryview(b"abc"), lambda: lambda *given: given, lambda: slice(None),
]


def endless() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(300):
        value = [value]
    return value


class Nasty:
    """Answers everything with an error, its own text included."""

    def __getattr__(self, name: str) -> Any:
        raise ValueError("mine")

    def __repr__(self) -> str:
        raise ValueError("mine")

    def __len__(self) -> int:
        raise ValueError("mine")

    def __bool__(self) -> bool:
        raise ValueError("mine")


def fitting(path: str, parameter: inspect.Parameter) -> Any:
    """A value that the parameter's name, or else its annotation, asks for; no array of it is anybody else's."""
    value = shared(path, parameter)
    return value.copy() if isinstance(value, np.ndarray) else value


def shared(path: str, parameter: inspect.Parameter) -> Any:
    owner, _, method = path.rpartition(".")
    if method == "forward" and parameter.name in ("input", "x", "inputs") and "." in owner:
        return surface.layer_input(owner)
    arrays, others = surface.examples(path)
    for table in (others, arrays, surface.CONSTRUCTOR):
        if parameter.name in table:
            return table[parameter.name]
    if parameter.name in FITTING:
        return FITTING[parameter.name]()
    if parameter.name in surface.ARRAYS:
        return surface.ARRAYS[parameter.name]
    annotation = str(parameter.annotation)
    for part, value in (("Array", X), ("bool", True), ("int", 2), ("float", 0.5), ("str", "a")):
        if part in annotation:
            return value
    return None


def strange(random: Random, like: Any) -> Any:
    choice = random.random()
    if choice < 0.3:
        return random.choice(OTHERS)
    if choice < 0.6:
        return random.choice(STRANGE)()
    return any_array(random, like if isinstance(like, np.ndarray) else X, 3)


def arguments(subject: Subject, random: Random) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments; at least one of them often does not fit."""
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    if subject.signature is None:
        return [strange(random, X) for _ in range(random.randrange(3))], {}
    odd = random.choice((0.0, 0.2, 0.5, 1.0))
    for parameter in subject.signature.parameters.values():
        needed = parameter.default is parameter.empty
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            count = random.choice((0, 0, 1, 2))
            if parameter.kind is parameter.VAR_POSITIONAL and not keywords:
                positional += [strange(random, X) for _ in range(count)]
            elif parameter.kind is parameter.VAR_KEYWORD:
                keywords.update({f"option{number}": strange(random, X) for number in range(count // 2)})
            continue
        if random.random() < (0.02 if needed else 0.75):
            continue
        value = fitting(subject.name, parameter)
        given = strange(random, value) if random.random() < odd else value
        endless = given is HUGE or (isinstance(given, range) and ".utils." in subject.name)
        keywords[parameter.name] = value if endless and subject.name.startswith(COMPUTES) else given
        if needed and parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(keywords.pop(parameter.name))
    return positional, keywords
