"""Graphs as onnxruntime's sessions: made once, run often."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx_ir as ir

from ..integer.float_only import enabled
from .errors import GraphError
from .interpreter.feeds import checked_feeds, described_type
from .interpreter.run import Interpreter
from .program.lower import lower
from .program.profile import Profile, Row, profiled, rows_of
from .program.run import Program, Unsupported
from .reader import load

__all__ = ["NodeArg", "Session", "compile"]


class NodeArg(NamedTuple):
    """An input or an output: its name, its shape (integers, names of axes, or None), and its type."""

    name: str
    shape: list[int | str | None] | None
    type: str


def _described(value: ir.Value) -> NodeArg:
    shape = None if value.shape is None else [dim if isinstance(dim, int) else dim.value for dim in value.shape]
    return NodeArg(value.name or "", shape, described_type(value))


class Session:
    """A graph that is run, with the methods of `onnxruntime.InferenceSession`.

    Its convolutions and linear layers on integers, with what their output stages and the bytes between them allow, run
    as a program in C, whose outputs have the bits of `interpret`; what has no kernel is computed by the interpreter's
    functions, and so is a whole call with NaN in it, with arrays that broadcast where the model does not say so, or
    within `float_only`. A session may be run from several threads at once, survives a fork, and can be pickled.

    Args:
        model: what `compile` takes.

    Raises:
        GraphError: as `load`, or a node that nothing here can run.
    """

    def __init__(self, model: str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model) -> None:
        self.model = load(model)
        self._interpreter = Interpreter(self.model)
        self._program = Program(lower(self._interpreter))
        self._outputs = [value.name or "" for value in self.model.graph.outputs]

    def get_inputs(self) -> list[NodeArg]:
        """The inputs that a call has to give; one with a value of its own is not among them."""
        return [_described(value) for value in self.model.graph.inputs if value.const_value is None]

    def get_outputs(self) -> list[NodeArg]:
        """The outputs, in the order of `run`."""
        return [_described(value) for value in self.model.graph.outputs]

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any],
            out: Sequence[Any] | None = None) -> list[Any]:
        """The outputs of a call.

        Args:
            output_names: those that are wanted; None: all.
            input_feed: an array for each input, by name; lists take the type that the input has.
            out: arrays that the results are written into and that are returned, one for each output that is wanted.

        Raises:
            GraphError: feeds that do not fit, an unknown output, arrays in `out` of another shape or type, or a node
                that cannot be computed.
        """
        names = self._outputs if output_names is None else list(output_names)
        for name in names:
            if name not in self._outputs:
                raise GraphError(f"Expected outputs among {self._outputs}, got {name!r}")
        results = self._results(input_feed, names)
        return results if out is None else _written(names, results, out)

    def _results(self, feeds: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
        checked = {value.name or "": array for value, array in checked_feeds(self.model.graph, feeds).items()}
        found = None
        if enabled():
            try:
                found = self._program.run(checked, names)
            except Unsupported:
                pass
        return self._interpreter.run(feeds, names) if found is None else found

    def summary(self) -> list[Row]:
        """What runs in the order of a call: the node's name, its kernel or how Python computes it."""
        return rows_of(self._program)

    def profile(self, input_feed: Mapping[str, Any], repeats: int = 10) -> Profile:
        """The median times of calls with these inputs, operation by operation; printed, a table.

        Raises:
            GraphError: as `run`, or inputs that the program leaves to the interpreter.
        """
        checked = {value.name or "": array for value, array in checked_feeds(self.model.graph, input_feed).items()}
        try:
            return profiled(self._program, checked, self._outputs, repeats)
        except Unsupported as error:
            raise GraphError(f"Expected inputs that the program runs, got {error}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (ir.to_proto(self.model).SerializeToString(),)

    def __repr__(self) -> str:
        return f"Session({', '.join(each.name for each in self.get_inputs())} -> {', '.join(self._outputs)})"


def _restored(data: bytes) -> Session:
    return Session(onnx.load_model_from_string(data))


def _written(names: Sequence[str], results: list[Any], out: Sequence[Any]) -> list[Any]:
    if len(out) != len(results):
        raise GraphError(f"Expected {len(results)} arrays in `out`, got {len(out)}")
    for name, result, place in zip(names, results, out, strict=True):
        fits = isinstance(place, np.ndarray) and (place.shape, place.dtype) == (result.shape, result.dtype)
        if not fits or not place.flags.writeable:
            what = f"{place.dtype}{list(place.shape)}" if isinstance(place, np.ndarray) else type(place).__name__
            raise GraphError(f"Expected a writeable array of {result.dtype}{list(result.shape)} in `out` for output "
                             f"{name!r}, got {what}")
    for result, place in zip(results, out, strict=True):
        np.copyto(place, result)
    return list(out)


def compile(model: str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model) -> Session:
    """A session that runs a graph.

    Args:
        model: what `load` takes: float networks, networks of `quantize`, and files that other tools have quantised.

    Raises:
        GraphError: as `load`, or a node that nothing here can run.
    """
    return Session(model)
