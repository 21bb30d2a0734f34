"""Running a model under the tracer, and comparing two runs."""
from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ...float_nn.module import Module
from .array import Traced
from .recording import Recording
from .refusal import TraceError, refuse
from .tracer import tracing_with

__all__ = ["Inputs", "Run", "Subject", "changed_constants", "check_mode", "difference", "flattened", "input_names",
           "keys_of", "record"]

Array = NDArray[Any]
Inputs = dict[str, Array]


class Run(NamedTuple):
    """A recorded run: its graph has inputs but no outputs yet."""

    recording: Recording
    inputs: Inputs
    outputs: list[Traced]
    names: list[str]

    @property
    def nodes(self) -> list[ir.Node]:
        """In the order in which they were made."""
        return list(self.recording.graph)

    def light(self) -> Run:
        """The run without the numbers of its inner values, whose shapes are kept."""
        self.recording.forget()
        return self


class Subject:
    """A model to be traced, and how it takes its inputs."""

    def __init__(self, net: Callable[..., Any], by_name: bool) -> None:
        self.net, self.by_name = net, by_name
        modules = list(net.named_modules()) if isinstance(net, Module) else []
        self.module_names = {id(module): name for name, module in reversed(modules)}
        self.parameters = dict((*net.named_parameters(), *net.named_buffers())) if isinstance(net, Module) else {}

    def call(self, inputs: dict[str, Any]) -> Any:
        """The model's result."""
        return self.net(**inputs) if self.by_name else self.net(*inputs.values())


def record(subject: Subject, inputs: Inputs) -> Run:
    """One traced run."""
    recording = Recording(subject.module_names, subject.parameters)
    traced = {name: recording.input(name, array) for name, array in inputs.items()}
    with tracing_with(recording):
        answer = subject.call(traced)
    outputs, names = [], []
    for name, output in flattened(answer):
        if not isinstance(output, Traced) or output._value is None:
            kind = type(output).__name__
            raise TraceError(f"Expected a model whose outputs are made of traced arrays, got {name!r}, a {kind} that "
                             "is none: `np.asarray` and copies into other arrays take values out of a graph")
        outputs.append(output)
        names.append(name)
    return Run(recording, inputs, outputs, names)


def flattened(answer: Any) -> list[tuple[str, Any]]:
    """The arrays of nested outputs with their names: keys, or "output" and numbers. None is left out."""
    found = list(_leaves(answer, ""))
    return [(name or (f"output_{number}" if number else "output"), array) for number, (name, array) in enumerate(found)]


def _leaves(answer: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(answer, dict):
        for key, value in answer.items():
            yield from _leaves(value, str(key))
    elif isinstance(answer, tuple | list):
        for value in answer:
            yield from _leaves(value, name)
    elif answer is not None:
        yield name, answer


def input_names(net: Callable[..., Any], count: int) -> list[str]:
    """The names of the first parameters of a model."""
    try:
        signature = inspect.signature(net.forward if isinstance(net, Module) else net)
    except (TypeError, ValueError):
        return [f"input_{i}" if i else "input" for i in range(count)]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found = [name for name, parameter in signature.parameters.items() if parameter.kind in kinds]
    return [found[i] if i < len(found) else f"input_{i}" for i in range(count)]


def keys_of(run: Run) -> dict[ir.Value, tuple[Any, ...]]:
    """What identifies a value in every run of the same model."""
    keys: dict[ir.Value, tuple[Any, ...]] = {value: ("input", i) for i, value in
                                             enumerate(run.recording.graph.inputs)}
    keys.update({value: ("constant", i) for i, value in enumerate(run.recording.constants)})
    keys.update({value: ("node", i, j) for i, node in enumerate(run.nodes) for j, value in enumerate(node.outputs)})
    return keys


def _described(node: ir.Node, keys: dict[ir.Value, tuple[Any, ...]]) -> tuple[Any, ...]:
    attributes = {name: tuple(value) if isinstance(value := attribute.value, list | tuple) else value
                  for name, attribute in node.attributes.items()}
    return node.domain, node.op_type, attributes, [None if value is None else keys[value] for value in node.inputs]


def difference(first: Run, second: Run) -> str | None:
    """Where the nodes of two runs differ, in words; None if they do not. Constants may."""
    keys = keys_of(first), keys_of(second)
    for a, b in zip(first.nodes, second.nodes, strict=False):
        if _described(a, keys[0]) != _described(b, keys[1]):
            return f"{first.recording.places[a]}: {a.op_type} in one run, {b.op_type} in the other"
    if len(first.nodes) != len(second.nodes):
        longer = first if len(first.nodes) > len(second.nodes) else second
        node = longer.nodes[min(len(first.nodes), len(second.nodes))]
        return f"{longer.recording.places[node]}: {node.op_type} in one run alone"
    if [keys[0][x._value] for x in first.outputs] != [keys[1][x._value] for x in second.outputs]:  # type: ignore[index]
        return "other outputs"
    constants = first.recording.constants, second.recording.constants
    if len(constants[0]) != len(constants[1]):
        return "more constants in one run"
    return None


def changed_constants(runs: Sequence[Run]) -> list[int]:
    """The numbers of the constants that are not the same in all runs."""
    lists = [list(run.recording.constants) for run in runs]
    changed = []
    for number, values in enumerate(zip(*lists, strict=True)):
        arrays = [run.recording.arrays[value] for run, value in zip(runs, values, strict=True)]
        first = arrays[0]
        if any(each.dtype != first.dtype or not np.array_equal(each, first, equal_nan=first.dtype.kind == "f")
               for each in arrays[1:]):
            changed.append(number)
    return changed


def check_mode(net: Any) -> None:
    """Refuses a model in training mode."""
    if isinstance(net, Module):
        for name, module in net.named_modules():
            if module.training:
                refuse(f"a model in training mode ({name or type(net).__name__} is)", "call `eval()` first")
