"""The bytes of a saved program: a safetensors file whose metadata hold the format, its version, and the program.

`serialized` and `deserialized` are each other's inverse; neither knows a graph, and both need NumPy alone.
"""
from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import _C
from ..._core.errors import shown
from ..._core.files import FilePath, errors_of_file
from ..._core.safetensors import deserialize, load_file, serialize
from ...model.file_kinds import PROGRAM, loader_of
from ..errors import GraphError
from ..interpreter.feeds import Wanted
from ..interpreter.record import Compute
from .codec import Arrays, Converters, decoded, encoded
from .lowered import Lowered
from .operations import Key, Operation, Python, array_of
from .records import Unsaved, computed, record_of

__all__ = ["Document", "deserialized", "read", "serialized"]

VERSION = "1"
TYPES = {f"tensor({name})": np.dtype(kind) for name, kind in (
    ("float", "f4"), ("double", "f8"), ("float16", "f2"), ("bool", "?"), ("int8", "i1"), ("int16", "i2"),
    ("int32", "i4"), ("int64", "i8"), ("uint8", "u1"), ("uint16", "u2"), ("uint32", "u4"), ("uint64", "u8"))}
SAVING: Converters = {Compute: record_of}
LOADING: Converters = {Compute: computed}


class Document(NamedTuple):
    """A program, and the names, shapes and types of its inputs and outputs."""

    lowered: Lowered
    inputs: list[Wanted]
    outputs: list[Wanted]
    tied: list[str]


class _Value(NamedTuple):
    name: str
    shape: list[int | str | None] | None
    type: str
    optional: bool

    def wanted(self) -> Wanted:
        if self.type not in TYPES:
            raise ValueError(f"no array is a {self.type[:40]}")
        return Wanted(self.name, self.shape, self.type, TYPES[self.type], self.optional)


@dataclass
class ProgramBody:
    inputs: list[_Value]
    outputs: list[_Value]
    tied: list[str]
    input_numbers: dict[str, int]
    output_numbers: dict[str, int]
    constants: dict[int, NDArray[Any]]
    operations: list[Operation]


# Saving

def serialized(document: Document) -> bytes:
    """The bytes of a file. GraphError for what no file can hold: nodes that need onnx, and inputs of ONNX's own types.
    """
    values = [_value(each) for each in (*document.inputs, *document.outputs)]
    lowered, count = document.lowered, len(document.inputs)
    _refuse_unsaved(lowered.operations)
    body = ProgramBody(values[:count], values[count:], document.tied, lowered.inputs, lowered.outputs,
                 lowered.constants, lowered.operations)
    arrays: Arrays = {}
    try:
        text = json.dumps(encoded(body, "program", arrays, SAVING), separators=(",", ":"), allow_nan=False)
        metadata = {"format": PROGRAM, "version": VERSION, "program": text, "mark": _mark(text, arrays)}
        return serialize(arrays, metadata)
    except TypeError as error:
        raise GraphError(f"Expected a program that a file can hold: {error}") from None


def _mark(text: str, arrays: Arrays) -> str:
    """A fingerprint of the whole file, which detects accidental changes."""
    lines = [text, *(f"{name} {array.dtype} {array.shape} {_C.fingerprint(array).hex()}"
                     for name, array in sorted(arrays.items()))]
    return _C.fingerprint(np.frombuffer("\n".join(lines).encode(errors="surrogatepass"), np.uint8)).hex()


def _value(each: Wanted) -> _Value:
    if TYPES.get(each.type) != each.dtype or each.dtype is None:
        raise GraphError(f"Expected inputs and outputs of the types of NumPy, got {each.type} for {each.name!r}")
    return _Value(each.name, each.shape, each.type, each.optional)


def _refuse_unsaved(operations: Sequence[Operation]) -> None:
    problems = []
    for each in operations:
        if isinstance(each, Python):
            try:
                record_of(each.call.compute)
            except Unsaved as error:
                problems.append(f"{each.call.shown}: {error}")
    if problems:
        more = f", and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise GraphError("Expected a program that runs with NumPy alone, but this one needs the package onnx. "
                         f"{'; '.join(problems[:10])}{more}")


# Loading

def read(path: FilePath) -> Document:
    """The program in a file. ValueError if it is not one, OSError from the system."""
    with errors_of_file(path):
        return _document(*load_file(path, _check))


def deserialized(data: bytes) -> Document:
    """The program in the bytes of a file. ValueError if they are not one."""
    arrays, metadata = deserialize(data)
    _check(metadata)
    return _document(arrays, metadata)


def _damaged(problem: str) -> GraphError:
    return GraphError(f"Expected a file of a program, but {problem}")


def _check(metadata: dict[str, str]) -> None:
    if metadata.get("format") != PROGRAM:
        raise _damaged(f"its format is {shown(metadata.get('format'))}{loader_of(metadata)}")
    if metadata.get("version") != VERSION:
        raise _damaged(f"its version is {shown(metadata.get('version'))}, and this library reads {VERSION!r}: "
                       "save the program once more, with `graph.compile(model).save(path)`")


def _document(arrays: Arrays, metadata: dict[str, str]) -> Document:
    text = metadata.get("program", "")
    if metadata.get("mark") != _mark(text, arrays):
        raise _damaged("it is corrupt: its fingerprint does not match")
    try:
        body = decoded(ProgramBody, json.loads(text), arrays, LOADING)
        inputs, outputs = ([each.wanted() for each in values] for values in (body.inputs, body.outputs))
        lowered = Lowered(body.operations, body.input_numbers, body.output_numbers, body.constants)
        _check_values(lowered, inputs, outputs)
    except (ValueError, RecursionError) as error:
        raise _damaged(str(error)) from None
    return Document(lowered, inputs, outputs, body.tied)


def _check_values(lowered: Lowered, inputs: list[Wanted], outputs: list[Wanted]) -> None:
    """Checks that each value is made once, before it is read; else ValueError."""
    for values, numbers, what in ((inputs, lowered.inputs, "inputs"), (outputs, lowered.outputs, "outputs")):
        if sorted({each.name for each in values}) != sorted(numbers):
            raise ValueError(f"the names of its {what} do not match")
    required = {lowered.inputs[each.name] for each in inputs if not each.optional}
    known = {array_of(number) for number in required} | {array_of(number) for number in lowered.constants}
    made = Counter(key for each in lowered.operations for key in each.writes())
    twice = [key for key, count in made.items() if count > 1 or key in known]
    if twice:
        raise ValueError(f"value {twice[0].value} is made twice")
    missing = [key for key in (*_wanted(lowered),) if key not in made and key not in known]
    if missing:
        raise ValueError(f"nothing makes value {missing[0].value}")


def _wanted(lowered: Lowered) -> list[Key]:
    keys = [key for each in lowered.operations for key in each.reads()]
    return [*keys, *(array_of(number) for number in lowered.outputs.values())]
