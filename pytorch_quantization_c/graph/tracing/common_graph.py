"""`trace`: recording a model several times, and the graph that all its runs have in common."""
from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..interpreter.run import Interpreter
from ..node_summary import FIXED, INEXACT
from ..nodes import DOMAIN, is_quantizer
from .array import plain
from .recording import Recording
from .refusal import TraceError
from .runs import Inputs, Run, Subject, changed_constants, check_mode, difference, flattened, input_names, record
from .symbols import Axis, Sizes, Unexplained, make_symbolic

__all__ = ["trace"]

logger = logging.getLogger(__name__)

Array = NDArray[Any]
SEED = 20
TOLERANCE = 1e-6  # of the largest number of an output, where the bits differ


def trace(net: Callable[..., Any], x: Any, *, batch_axis: int | None = 0) -> ir.Model:
    """A model of NumPy arrays as a graph, by running it.

    The model is run on arrays of real values that record what is done with them: with a batch of 2 and of 3, on other
    values, and with each other axis twice as long. Sizes that may change become symbolic axes of the inputs;
    `metadata_props` of the graph names those that stay fixed under "trace.fixed_axes". At last model and graph are
    compared on fresh values: they have to agree to the bit, or to 1e-6 of the largest number; then the nodes that
    differ are logged as a warning, and named in `metadata_props` under "trace.inexact_nodes".

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
    base = _resized(given, {batch_axis: 2} if batch_axis is not None else {}, given)
    first = _first(subject, base, batch_axis)
    _check_values(subject, first)
    runs, axes, fixed = _runs(subject, first, batch_axis)
    while True:
        trial = [record(subject, first.inputs), *runs]
        try:
            sizes = make_symbolic(trial)
            break
        except Unexplained as error:
            if batch_axis is not None and error.run == 1:
                raise TraceError(f"{error.place}: a constant changes with the batch in a way that no size explains; "
                                 "make it of the input's shape by `np.zeros` or `np.full`") from None
            fixed.append(axes.pop(error.run - 1).name)
            runs.pop(error.run - 1)
    model = _finished(trial[0], sizes, axes, fixed)
    _check_agreement(subject, model, trial)
    return model


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


def _resized(inputs: Inputs, sizes: Mapping[int, int], which: Mapping[str, Any]) -> Inputs:
    """The inputs with other sizes of some axes, filled with their own values over and over."""
    made = {}
    for name, array in inputs.items():
        for axis, size in sizes.items():
            if name in which and -array.ndim <= axis < array.ndim:
                array = np.take(array, np.arange(size) % array.shape[axis], axis)
        made[name] = np.ascontiguousarray(array)
    return made


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
    """Refuses a model whose nodes or constants hang on the values, or on chance."""
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
    raise TraceError(f"{where}: cannot trace what hangs on the values of the input: other values make other constants "
                     "or nodes. `np.asarray(x)`, `table[x]` and `array[...] = x` take values out of the graph; "
                     "`np.asanyarray`, `np.take(table, x, axis=0)` and `np.concatenate` do not")


def _runs(subject: Subject, first: Run, batch_axis: int | None) -> tuple[list[Run], list[Axis], list[str]]:
    """A run with each axis of another size, as far as the nodes stay the same, and the names of the other axes."""
    runs, axes, fixed = [], [], []
    inputs = list(first.inputs.items())
    if batch_axis is not None:
        second = record(subject, _resized(first.inputs, {batch_axis: 3}, first.inputs))
        other = difference(first, second)
        if other is not None:
            raise TraceError(f"{other}: cannot trace a model whose nodes change with the batch, axis {batch_axis}; "
                             "`batch_axis` says where the batch lies, None that there is none")
        runs.append(second)
        axes.append(Axis(tuple((i, batch_axis % array.ndim) for i, (_, array) in enumerate(inputs)), "batch"))
    for axis in _candidates(first.inputs, batch_axis):
        run = _longer(subject, first, axis)
        if run is None:
            fixed.append(axis.name)
        else:
            runs.append(run)
            axes.append(axis)
    return runs, axes, fixed


def _candidates(inputs: Inputs, batch_axis: int | None) -> list[Axis]:
    """All axes but the batch; those of several inputs with the same number and size are one."""
    groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for number, array in enumerate(inputs.values()):
        for axis, size in enumerate(array.shape):
            if batch_axis is None or axis != batch_axis % array.ndim:
                groups.setdefault((axis, size), []).append((number, axis))
    names, found = list(inputs), []
    for (axis, _), places in groups.items():
        found.append(Axis(tuple(places), f"{names[places[0][0]]}_{axis}"))
    return found


def _longer(subject: Subject, first: Run, axis: Axis) -> Run | None:
    """A run with an axis twice as long; None if that cannot be, or makes other nodes."""
    inputs, names = first.inputs, list(first.inputs)
    for number, which in axis.places:
        size = 2 * inputs[names[number]].shape[which]
        inputs = _resized(inputs, {which: size}, {names[number]: True})
    try:
        run = record(subject, inputs)
    except Exception:  # whatever the model says to another size
        return None
    return run if difference(first, run) is None else None


def _finished(run: Run, sizes: Sizes, axes: Sequence[Axis], fixed: Sequence[str]) -> ir.Model:
    """The graph of a run with its outputs and symbolic shapes, as a model."""
    recording, graph = run.recording, run.recording.graph
    names = {sizes.vector(graph.inputs[axis.places[0][0]], axis.places[0][1]): axis.name for axis in axes}
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
    if fixed:
        graph.metadata_props[FIXED] = ", ".join(fixed)
    return model


def _output(recording: Recording, output: Any, name: str) -> ir.Value:
    """An output of the graph of this name, if nothing else has it."""
    value = recording.value(output)
    node = value.producer()
    if node is None or value.is_graph_output() or value.const_value is not None:
        value = recording.value(recording.emit("Identity", output))
    value.name = recording.unique(name)
    return value


def _check_agreement(subject: Subject, model: ir.Model, runs: Sequence[Run]) -> None:
    """The graph gives what the model gives, on fresh values and in all sizes. TraceError, or a warning logged."""
    interpreter, first = Interpreter(model), runs[0]
    fresh = _fresh(first.inputs)
    real = [np.asarray(output) for _, output in flattened(subject.call(fresh))]
    exact = True
    for inputs, outputs in ((fresh, real), *((run.inputs, [plain(x) for x in run.outputs]) for run in runs)):
        for name, got, wanted in zip(first.names, interpreter.run(inputs), outputs, strict=True):
            if got.tobytes() == wanted.tobytes() and got.dtype == wanted.dtype:
                continue
            exact = False
            largest = np.max(np.abs(wanted), initial=0)
            if got.shape != wanted.shape or not np.allclose(got, wanted, rtol=0, atol=TOLERANCE * largest,
                                                            equal_nan=True):
                nodes = _differing(interpreter, first)
                raise TraceError(f"The graph does not agree with the model in {name!r}; the first node that differs is "
                                 f"{nodes[0] if nodes else 'none on the first input'}")
    nodes = [] if exact else _differing(interpreter, first)
    if not exact:
        model.graph.metadata_props[INEXACT] = ", ".join(nodes) or "?"
        logger.warning("The graph agrees with the model to 1e-6, not to the bit. Nodes that differ: %s.",
                       ", ".join(nodes) or "none on the first input")


def _differing(interpreter: Interpreter, run: Run) -> list[str]:
    """The nodes that make other bits of the same inputs than the traced run had."""
    got: dict[str, Array] = {}
    interpreter.run(run.inputs, observe=got.__setitem__)
    arrays = {value.name: array for value, array in run.recording.arrays.items()}
    wrong = {name for name, array in got.items() if name in arrays and
             np.asarray(array).tobytes() != arrays[name].tobytes()}
    return [node.name or "" for node in interpreter.model.graph if any(value.name in wrong for value in node.outputs)
            and not any(value is not None and value.name in wrong for value in node.inputs)]
