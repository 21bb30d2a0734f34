"""Graphs with the interface of onnxruntime's sessions: made once, run often. Saved programs need only NumPy."""
from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _C
from .._core.files import FilePath, write_file
from ..integer.float_only import enabled
from .errors import GraphError
from .extra import require_extra
from .interpreter.feeds import Wanted, checked
from .program.document import Document, deserialized, read, serialized
from .program.profile import Profile, Summary, profiled, summary_of
from .program.run import Program, Unsupported

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

    from .compiling import Compiled

__all__ = ["NodeArg", "Session", "compile", "load_session"]

MAX_THREADS = 256  # PQC_MAX_THREADS
SMALL = 4096  # up to this many elements, a sum of squares is faster than isfinite


class NodeArg(NamedTuple):
    """An input or an output: its name, its shape (integers, names of axes, or None), and its type."""

    name: str
    shape: list[int | str | None] | None
    type: str


def _described(each: Wanted) -> NodeArg:
    return NodeArg(each.name, None if each.shape is None else list(each.shape), each.type)


class Session:
    """A graph that is run, with the methods of `onnxruntime.InferenceSession`.

    Its convolutions and linear layers on integers, with what their output stages and the bytes between them allow, run
    as a program in C, whose outputs have the bits of `interpret`; what has no kernel is computed by the interpreter's
    functions, and so is a whole call with NaN in it, with arrays that broadcast where the model does not say so, or
    within `float_only`. A session from `load_session` has no graph to interpret, and refuses such calls. A session may
    be run from several threads at once, survives a fork, and can be pickled.

    Args:
        model: what `compile` takes.
        num_threads: how many threads a call may use; None: as `threads.set_num_threads` says at that time.

    Raises:
        GraphError: as `load`, or a node that cannot be run.
        TypeError, ValueError: `num_threads` is not a number of threads.
    """

    def __init__(self, model: str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model,
                 num_threads: int | None = None) -> None:
        require_extra("compile")
        from .compiling import Compiled

        self._start(Compiled(model), num_threads)

    def _start(self, source: Compiled | Document, num_threads: int | None) -> None:
        self.num_threads = _checked_threads(num_threads)
        self._source = source
        self._document = source if isinstance(source, Document) else source.document
        self._interpreter = None if isinstance(source, Document) else source.interpreter
        self._program = Program(self._document.lowered)
        self._outputs = [each.name for each in self._document.outputs]
        self._last: tuple[tuple[str, Any, tuple[int, ...]], ...] | None = None  # what the last inputs were

    @property
    def model(self) -> ir.Model:
        """The graph. AttributeError of a session from `load_session`, which has none."""
        if isinstance(self._source, Document):
            raise AttributeError("Expected a session that `compile` made, got a saved program, which holds no graph")
        return self._source.model

    def get_inputs(self) -> list[NodeArg]:
        """The inputs that a call has to give; one with a value of its own is not among them."""
        return [_described(each) for each in self._document.inputs if not each.optional]

    def get_outputs(self) -> list[NodeArg]:
        """The outputs, in the order of `run`."""
        return [_described(each) for each in self._document.outputs]

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any],
            out: Sequence[Any] | None = None) -> list[Any]:
        """The outputs of a call.

        Args:
            output_names: those that are wanted; None: all.
            input_feed: an array for each input, by name; lists take the type that the input has.
            out: arrays that the results are written into and that are returned, one for each output that is wanted.

        Raises:
            GraphError: feeds that do not fit, an unknown output, arrays in `out` of another shape or type, or a node
                that cannot be computed. From `load_session` also NaN or infinity in an input, shapes that the program
                has not been made for, and calls within `float_only`.
        """
        names = self._outputs if output_names is None else _listed("output_names", output_names)
        places = None if out is None else _listed("out", out)
        for name in names:
            if name not in self._outputs:
                raise GraphError(f"Expected outputs among {self._outputs}, got {name!r}")
        before = None if self.num_threads is None else _C.set_own_threads(self.num_threads)
        try:
            results = self._results(self._checked(input_feed), names)
        finally:
            if before is not None:
                _C.set_own_threads(before)
        return results if places is None else _written(names, results, places)

    def _checked(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """The checked arrays; checks are skipped if names, types and shapes equal those of the last call."""
        if type(feeds) is dict:
            known = tuple((name, each.dtype, each.shape) for name, each in feeds.items() if type(each) is np.ndarray)
            if known == self._last and len(known) == len(feeds):
                return feeds
        found = checked(self._document.inputs, feeds, self._document.tied, "input_feed")
        if all(type(array) is np.ndarray and array is feeds[name] for name, array in found.items()):
            self._last = tuple((name, array.dtype, array.shape) for name, array in found.items())
        return found

    def _results(self, feeds: dict[str, Any], names: Sequence[str]) -> list[Any]:
        if self._interpreter is None:
            return self._without_a_graph(feeds, names)
        found = None
        if enabled():
            try:
                found = self._program.run(feeds, names)
            except Unsupported:
                pass
        return self._interpreter.run(feeds, names) if found is None else found

    def _without_a_graph(self, feeds: dict[str, Any], names: Sequence[str]) -> list[Any]:
        if not enabled():
            raise GraphError("Expected integers to be allowed: a saved program cannot compute within `float_only`")
        for name, array in feeds.items():
            if isinstance(array, np.ndarray) and array.dtype.kind == "f" and not _is_finite(array):
                bad = array[~np.isfinite(array)].ravel()[0]
                raise GraphError(f"Expected finite numbers as input {name!r} of a saved program, got {bad}")
        try:
            found = self._program.run(feeds, names)
        except Unsupported as error:
            raise GraphError(f"Expected inputs that this program has been made for, got {error}") from None
        except (GraphError, MemoryError):
            raise
        except Exception as error:
            raise GraphError(f"Expected a file of a program, but its parts do not fit together: {error}") from error
        if found is None:
            raise GraphError("Expected inputs that lead to numbers which have codes, got some that lead to NaN, to "
                             "a negative number where a quantiser refuses that, or to an index out of range")
        return found

    def save(self, path: FilePath) -> None:
        """Writes the program, without the graph, to a file that `load_session` reads with NumPy alone.

        Args:
            path: a file in the safetensors format; it appears whole or not at all. Weights are in it as int8, so that
                every instruction set runs it.

        Raises:
            GraphError: nodes that only the package onnx can compute, which the message names.
            OSError: the file cannot be written.
        """
        write_file(path, serialized(self._document))

    def summary(self, input_feed: Mapping[str, Any] | None = None) -> Summary:
        """What runs, in the order of a call: each node's kernel, or why it has none, and the bytes of its weights.

        Args:
            input_feed: inputs of some calls whose median times are then there, in microseconds; None: no times.

        Raises:
            GraphError: as `profile`.
        """
        return summary_of(self._program) if input_feed is None else Summary(self.profile(input_feed))

    def profile(self, input_feed: Mapping[str, Any], repeats: int = 10) -> Profile:
        """The median times of calls with these inputs, operation by operation; printed, a table; `plot()`, a picture.

        Raises:
            GraphError: as `run`, or inputs that the program leaves to the interpreter.
        """
        if isinstance(repeats, bool) or not isinstance(repeats, int | np.integer):
            raise TypeError(f"Expected `repeats` to be an integer, got {type(repeats).__name__}")
        feeds = self._checked(input_feed)
        before = _C.set_own_threads(self.num_threads or 0)
        try:
            return profiled(self._program, feeds, self._outputs, repeats)
        except Unsupported as error:
            raise GraphError(f"Expected inputs that the program runs, got {error}") from None
        finally:
            _C.set_own_threads(before)

    def __reduce__(self) -> tuple[Any, ...]:
        source = self._source
        return _restored, (serialized(source) if isinstance(source, Document) else source, self.num_threads)

    def __repr__(self) -> str:
        return f"Session({', '.join(each.name for each in self.get_inputs())} -> {', '.join(self._outputs)})"


def _is_finite(array: np.ndarray[Any, Any]) -> bool:
    """Whether all numbers are; of a small array the sum of squares says so sooner, if it is finite."""
    if array.size <= SMALL and array.flags.c_contiguous:
        flat = array.reshape(-1)
        if math.isfinite(np.dot(flat, flat)):
            return True
    return bool(np.isfinite(array).all())


def _checked_threads(count: Any) -> int | None:
    if count is None:
        return None
    if isinstance(count, bool) or not hasattr(type(count), "__index__"):
        raise TypeError(f"Expected `num_threads` to be an integer or None, got {type(count).__name__}")
    if not 1 <= count.__index__() <= MAX_THREADS:
        raise ValueError(f"Expected `num_threads` from 1 to {MAX_THREADS}, got {count}")
    return int(count)


def _restored(source: Compiled | bytes, num_threads: int | None) -> Session:
    return _session(deserialized(source) if isinstance(source, bytes) else source, num_threads)


def _session(source: Compiled | Document, num_threads: int | None) -> Session:
    session = Session.__new__(Session)
    session._start(source, num_threads)
    return session


def _listed(name: str, given: Any) -> list[Any]:
    try:
        return list(given)
    except TypeError:
        raise TypeError(f"Expected `{name}` to be a list or None, got {type(given).__name__}") from None


def _written(names: Sequence[str], results: list[Any], out: list[Any]) -> list[Any]:
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
    return out


def compile(model: str | os.PathLike[str] | bytes | onnx.ModelProto | ir.Model,
            num_threads: int | None = None) -> Session:
    """A session that runs a graph.

    Args:
        model: what `load` takes: float networks, networks of `quantize`, and files that other tools have quantised.
        num_threads: how many threads a call may use; None: as `threads.set_num_threads` says at that time.

    Raises:
        GraphError: as `load`, or a node that cannot be run.
        TypeError, ValueError: `num_threads` is not a number of threads.
    """
    return Session(model, num_threads)


def load_session(path: FilePath, num_threads: int | None = None) -> Session:
    """The session of a program that `Session.save` wrote; it needs only NumPy.

    Args:
        path: the file.
        num_threads: as for `compile`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another format, another version of it, or a damaged file.
        TypeError: `path` or `num_threads` are of another type.
    """
    return _session(read(path), num_threads)
