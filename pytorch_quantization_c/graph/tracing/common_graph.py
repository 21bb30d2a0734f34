"""`trace`: recording a model several times, and the graph that all its runs have in common."""
from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..analysis.node_summary import FIXED, INEXACT
from ..errors import GraphError
from ..files.bodies import give_bodies
from ..interpreter.run import Interpreter
from ..interpreter.values import TIED
from ..nodes import DOMAIN, is_quantizer
from .array import plain
from .probing import BATCH, Probes, combined, probed, resized, size_of, with_size
from .recording import Recording
from .refusal import TraceError
from .runs import Inputs, Run, Subject, changed_constants, check_mode, difference, flattened, input_names, record
from .symbols import Axis, Sizes, Unexplained, make_symbolic

__all__ = ["trace"]

logger = logging.getLogger(__name__)

Array = NDArray[Any]
SEED = 20
TOLERANCE = 1e-6  # of the largest number of an output, where the bits differ


class Disagreement(TraceError):
    """Graph and model disagree on these inputs."""

    def __init__(self, message: str, inputs: Inputs) -> None:
        super().__init__(message)
        self.inputs = inputs


def trace(net: Callable[..., Any], x: Any, *, batch_axis: int | None = 0) -> ir.Model:
    """A model of NumPy arrays as a graph, by running it.

    The model is run on arrays of real values that record what is done with them: with batches of 2, 3, 8 and 9, on
    other values, and with each other axis of n elements in sizes of 1, n + 1, 2n, 2n + 1, a large one (4n + 3, at least
    259), and in those at which the model compares or divides its sizes otherwise (as in `if x.shape[1] > 100`), up to
    262,144 elements. Sizes that may change become symbolic axes of the inputs; `metadata_props` of the graph names
    those that stay fixed under "trace.fixed_axes". Only a size that is looked up in a dictionary can be missed. Axes of
    several inputs that cannot change alone share a symbol, and then a call has to give them the same size. At last
    model and graph are compared on `x` itself, with a batch of 1, on fresh values and in all those sizes: they have to
    agree to the bit, or to 1e-6 of the largest number; then the nodes that differ are logged as a warning, and named in
    `metadata_props` under "trace.inexact_nodes".

    Args:
        net: a `float_nn.Module` in evaluation mode, quantised layers included, or any function of arrays.
        x: an array as the model takes it, a tuple of arrays for several inputs, or a dictionary of them by name. Of
            floats or integers; all with the same batch.
        batch_axis: the axis of the inputs that the batch lies on; None: they have no batch.

    Returns:
        The graph. Its nodes are named after the modules, its constants after the parameters.

    Raises:
        TraceError: something that a graph cannot hold, with its place in the model's code: values that leave the
            arrays (`float(x)`, `if x > 0`), writes in place, random numbers, training mode, functions without a
            counterpart in ONNX, constants that follow the input; or a graph and a model that do not agree.
    """
    check_mode(net)
    given = _inputs_of(net, x)
    subject = Subject(net, isinstance(x, Mapping))
    base = resized(given, {batch_axis: BATCH} if batch_axis is not None else {}, given)
    first = _first(subject, base, batch_axis)
    _check_values(subject, first)
    probes = probed(subject, first.light(), batch_axis)
    while True:
        trial = [record(subject, first.inputs), *(run for _, run in probes.runs)]
        try:
            sizes = make_symbolic(trial)
        except Unexplained as error:
            axis, _ = probes.runs[error.run - 1]
            if batch_axis is not None and axis == probes.axes[0]:
                raise TraceError(f"{error.place}: a constant changes with the batch in a way that no size explains; "
                                 "make it of the input's shape by `np.zeros` or `np.full`") from None
            probes.drop(axis)
            continue
        model = _finished(trial[0], sizes, probes)
        cases = list(_fresh_cases(subject, first.inputs, given, probes.axes, batch_axis))
        try:
            _check_agreement(subject, model, trial, cases)
            return model
        except Disagreement as error:
            guilty = _guilty(subject, model, trial[0], probes.axes[batch_axis is not None:], error.inputs)
            if not guilty:
                raise
            for axis in guilty:
                probes.drop(axis)


def _inputs_of(net: Any, x: Any) -> Inputs:
    if isinstance(x, Mapping):
        found = dict(x)
    else:
        arrays = list(x) if isinstance(x, tuple | list) else [x]
        found = dict(zip(input_names(net, len(arrays)), arrays, strict=True))
    for name, array in found.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub" or not array.size:
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise TraceError(f"Expected `x` to be an array of numbers that is not empty (or several), got {kind} "
                             f"for {name!r}")
    return found


def _fresh(inputs: Inputs) -> Inputs:
    """Other values of the same kind."""
    rng, made = np.random.default_rng(SEED), {}
    for name, array in inputs.items():
        other = rng.permuted(array.reshape(-1)).reshape(array.shape)
        if array.dtype.kind == "f":
            same = np.ptp(array) == 0
            other = (rng.random(array.shape) if same else other * rng.uniform(0.5, 1, array.shape)).astype(array.dtype)
        made[name] = other
    return made


def _first(subject: Subject, inputs: Inputs, batch_axis: int | None) -> Run:
    """The run that all others are compared with."""
    try:
        return record(subject, inputs)
    except TraceError:
        raise
    except (ValueError, TypeError, IndexError) as error:
        if batch_axis is None:
            raise
        shapes = ", ".join(f"{name!r} {list(array.shape)}" for name, array in inputs.items())
        raise TraceError(f"The model does not take a batch of 2 on axis {batch_axis}, inputs {shapes}: {error}. "
                         "`batch_axis` says where the batch lies, None that there is none") from error


def _check_values(subject: Subject, first: Run) -> None:
    """Refuses a model whose nodes or constants depend on the values, or on random numbers."""
    second = record(subject, _fresh(first.inputs))
    other = difference(first, second)
    changed = [] if other else changed_constants([first, second])
    if other is None and not changed:
        return
    again = record(subject, first.inputs)
    by_chance = difference(first, again) is not None or changed_constants([first, again])
    where = other or list(first.recording.constants.values())[changed[0]]
    if by_chance:
        raise TraceError(f"{where}: cannot trace random numbers: two runs on the same input differ")
    raise TraceError(f"{where}: cannot trace what depends on the values of the input: other values give other "
                     "constants or nodes. `np.asarray(x)`, `table[x]` and `array[...] = x` take values out of the "
                     "graph; `np.asanyarray`, `np.take(table, x, axis=0)` and `np.concatenate` do not")


def _finished(run: Run, sizes: Sizes, probes: Probes) -> ir.Model:
    """The graph of a run with its outputs and symbolic shapes, as a model."""
    recording, graph = run.recording, run.recording.graph
    names = {sizes.vector(graph.inputs[axis.places[0][0]], axis.places[0][1]): axis.name for axis in probes.axes}
    for value, vectors in sizes.shapes.items():
        if value.const_value is None:
            value.shape = ir.Shape([sizes_of[0] if len(set(sizes_of)) == 1 else names.get(sizes_of)
                                    for sizes_of in vectors])
    for name, output in zip(run.names, run.outputs, strict=True):
        graph.outputs.append(_output(recording, output, name))
    if not any(is_quantizer(node) for node in graph):
        graph.opset_imports.pop(DOMAIN)
    model = ir.Model(graph, ir_version=10, producer_name="pytorch_quantization_c")
    recording.tidy()
    tied = [axis.name for axis in probes.axes if len(axis.places) > 1]
    for key, names_of in ((FIXED, probes.fixed), (TIED, tied)):
        if names_of:
            graph.metadata_props[key] = ", ".join(names_of)
    give_bodies(model)
    return model


def _output(recording: Recording, output: Any, name: str) -> ir.Value:
    """An output of the graph of this name, if nothing else has it."""
    value = recording.value(output)
    node = value.producer()
    if node is None or value.is_graph_output() or value.const_value is not None:
        value = recording.value(recording.emit("Identity", output))
    value.name = recording.unique(name)
    return value


def _fresh_cases(subject: Subject, base: Inputs, given: Inputs, axes: Sequence[Axis],
                 batch_axis: int | None) -> Iterator[tuple[Inputs, list[Array]]]:
    """Inputs that were not traced, and the model's outputs: other values, the user's own, one alone, other sizes."""
    own = resized(given, {}, given)
    single = own if batch_axis is None else resized(given, {batch_axis: 1}, given)
    for inputs, has_to_work in ((_fresh(base), True), (own, True), (single, False), (combined(base, axes), False)):
        try:
            answer = subject.call(inputs)
        except Exception:
            if has_to_work:
                raise
            continue  # not a size that the model accepts
        yield inputs, [np.asarray(output) for _, output in flattened(answer)]


def _check_agreement(subject: Subject, model: ir.Model, runs: Sequence[Run],
                     cases: Sequence[tuple[Inputs, list[Array]]]) -> None:
    """Checks that graph and model agree in all sizes: TraceError, or a logged warning."""
    interpreter, first = Interpreter(model), runs[0]
    exact = True
    for inputs, outputs in (*cases, *((run.inputs, [plain(x) for x in run.outputs]) for run in runs)):
        for name, got, wanted in zip(first.names, _interpreted(interpreter, inputs), outputs, strict=True):
            if got.tobytes() == wanted.tobytes() and (got.dtype, got.shape) == (wanted.dtype, wanted.shape):
                continue
            exact = False
            largest = np.max(np.abs(wanted), initial=0)
            if got.shape != wanted.shape or not np.allclose(got, wanted, rtol=0, atol=TOLERANCE * largest,
                                                            equal_nan=True):
                nodes = _differing(interpreter, first)
                raise Disagreement(f"The graph does not agree with the model in {name!r}{_of_sizes(inputs, first)}; "
                                   f"the first node that differs is {nodes[0] if nodes else 'none on the first input'}",
                                   inputs)
    nodes = [] if exact else _differing(interpreter, first)
    if not exact:
        model.graph.metadata_props[INEXACT] = ", ".join(nodes) or "?"
        logger.warning("The graph agrees with the model to 1e-6, not to the bit. Nodes that differ: %s.",
                       ", ".join(nodes) or "none on the first input")


def _guilty(subject: Subject, model: ir.Model, first: Run, axes: Sequence[Axis], inputs: Inputs) -> list[Axis]:
    """The axes whose sizes in these inputs make graph and model disagree: a single one if possible, else all that
    other than in the first run."""
    changed = [axis for axis in axes if size_of(inputs, axis) != size_of(first.inputs, axis)]
    for axis in changed:
        alone = with_size(first.inputs, axis, size_of(inputs, axis))
        try:
            answer = [np.asarray(output) for _, output in flattened(subject.call(alone))]
        except Exception:  # not a size that the model accepts, alone
            continue
        try:
            _check_agreement(subject, model, [first], [(alone, answer)])
        except Disagreement:
            return [axis]
    return changed


def _interpreted(interpreter: Interpreter, inputs: Inputs) -> list[Array]:
    try:
        return interpreter.run(inputs)
    except GraphError as error:
        shapes = ", ".join(f"{name!r} {list(array.shape)}" for name, array in inputs.items())
        raise Disagreement(f"The graph cannot do what the model does with inputs {shapes}: {error}", inputs) from error


def _of_sizes(inputs: Inputs, first: Run) -> str:
    """The sizes concerned, if not those of the first run."""
    shapes = {name: list(array.shape) for name, array in inputs.items()}
    if all(list(array.shape) == shapes[name] for name, array in first.inputs.items()):
        return ""
    return " for inputs " + ", ".join(f"{name!r} {shape}" for name, shape in shapes.items())


def _differing(interpreter: Interpreter, run: Run) -> list[str]:
    """The nodes whose bits differ from the traced run for the same inputs."""
    got: dict[str, Array] = {}
    interpreter.run(run.inputs, observe=got.__setitem__)
    arrays = {value.name: array for value, array in run.recording.arrays.items()}
    wrong = {name for name, array in got.items() if name in arrays and
             np.asarray(array).tobytes() != arrays[name].tobytes()}
    return [node.name or "" for node in interpreter.model.graph if any(value.name in wrong for value in node.outputs)
            and not any(value is not None and value.name in wrong for value in node.inputs)]
