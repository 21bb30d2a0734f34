"""Which sizes of the inputs may change: a model is run in several, and must do the same in all."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .refusal import TraceError
from .runs import Inputs, Run, Subject, difference, record
from .symbols import Axis

__all__ = ["BATCH", "Probes", "combined", "probed", "resized", "size_of", "with_size"]

BATCH, OTHER_BATCHES = 2, (3, 8, 9)
STEPS = (1, 2, 4, 8, 16, 32, 64)
LARGE = 259            # beyond what a short example has
MAX_ASKED = 12       # sizes that are tried for an axis because the model compares with them
MAX_ELEMENTS = 2**18  # of an input in sizes beyond twice its own


class Probes(NamedTuple):
    """Runs in other sizes.

    Attributes:
        axes: those that may change.
        runs: each with the axis whose size it changes.
        fixed: the names of the other axes.
    """

    axes: list[Axis]
    runs: list[tuple[Axis, Run]]
    fixed: list[str]

    def drop(self, axis: Axis) -> None:
        """The axis stays fixed after all."""
        self.axes.remove(axis)
        self.runs[:] = [each for each in self.runs if each[0] != axis]
        self.fixed.append(axis.name)


def resized(inputs: Inputs, sizes: Mapping[int, int], which: Mapping[str, Any]) -> Inputs:
    """The inputs with other sizes of some axes, filled by repeating their values."""
    made = {}
    for name, array in inputs.items():
        for axis, size in sizes.items():
            if name in which and -array.ndim <= axis < array.ndim:
                array = np.take(array, np.arange(size) % array.shape[axis], axis)
        made[name] = np.ascontiguousarray(array)
    return made


def probed(subject: Subject, first: Run, batch_axis: int | None) -> Probes:
    """Runs with each axis in several other sizes, even and odd, as far as the nodes stay the same.

    TraceError if they do not with another batch.
    """
    found = Probes([], [], [])
    if batch_axis is not None:
        axis = Axis(tuple((i, batch_axis % array.ndim) for i, array in enumerate(first.inputs.values())), "batch")
        found.axes.append(axis)
        found.runs.extend((axis, run) for run in _other_batches(subject, first, batch_axis))
    for places in _groups(first.inputs, batch_axis):
        for axis, runs in _split(subject, first, places):
            if runs:
                found.axes.append(axis)
                found.runs.extend((axis, run) for run in runs)
            else:
                found.fixed.append(axis.name)
    return found


def _other_batches(subject: Subject, first: Run, batch_axis: int) -> Iterator[Run]:
    asked, tried = [*OTHER_BATCHES], {BATCH, *OTHER_BATCHES}
    most = MAX_ELEMENTS * BATCH // max(array.size for array in first.inputs.values())
    while asked:
        size = asked.pop(0)
        try:
            run = record(subject, resized(first.inputs, {batch_axis: size}, first.inputs)).light()
        except TraceError:
            raise
        except Exception:
            if size == OTHER_BATCHES[0]:
                raise
            continue  # not a size that the model accepts
        other = difference(first, run)
        if other is not None:
            raise TraceError(f"{other}: cannot trace a model whose nodes change with the batch, axis {batch_axis}; "
                             "`batch_axis` says where the batch lies, None that there is none")
        for more in run.recording.questions.sizes_for(size):
            if 1 < more <= most and more not in tried and len(tried) < MAX_ASKED:
                asked.append(more)
                tried.add(more)
        yield run


def _groups(inputs: Inputs, batch_axis: int | None) -> list[list[tuple[int, int]]]:
    """All axes but the batch as (number of the input, axis); those with the same number and size together."""
    groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for number, array in enumerate(inputs.values()):
        for axis, size in enumerate(array.shape):
            if batch_axis is None or axis != batch_axis % array.ndim:
                groups.setdefault((axis, size), []).append((number, axis))
    return list(groups.values())


def _split(subject: Subject, first: Run,
           places: Sequence[tuple[int, int]]) -> Iterator[tuple[Axis, list[Run]]]:
    """The axes that change independently, and one of all others; with their runs, none if an axis is fixed."""
    names = list(first.inputs)

    def axis_of(some: Sequence[tuple[int, int]]) -> Axis:
        return Axis(tuple(some), f"{names[some[0][0]]}_{some[0][1]}")

    tied = []
    for place in places if len(places) > 1 else ():
        runs = _other_sizes(subject, first, axis_of([place]))
        if runs:
            yield axis_of([place]), runs
        else:
            tied.append(place)
    if len(places) == 1 or len(tied) > 1:
        axis = axis_of(tied or places)
        yield axis, _other_sizes(subject, first, axis)
    elif tied:
        yield axis_of(tied), []


class _Differs(Exception):
    """The model behaves differently in another size."""


class _Trials:
    """Runs with an axis in other sizes, all of which do what the first run did."""

    def __init__(self, subject: Subject, first: Run, axis: Axis) -> None:
        self.subject, self.first, self.axis = subject, first, axis
        array = list(first.inputs.values())[axis.places[0][0]]
        self.size = size_of(first.inputs, axis)
        self.most = max(2 * self.size + 1, MAX_ELEMENTS * self.size // array.size)
        self.tried, self.runs = {self.size}, [first]

    def takes(self, size: int) -> bool:
        """Whether the model accepts the size. Raises _Differs."""
        self.tried.add(size)
        try:
            run = record(self.subject, with_size(self.first.inputs, self.axis, size)).light()
        except TraceError as error:
            raise _Differs from error
        except Exception:  # whatever the model raises for a size that it does not accept
            return False
        if difference(self.first, run) is not None:
            raise _Differs
        self.runs.append(run)
        return True

    def asked(self) -> list[int]:
        """Untried sizes that runs have compared with, the nearest first."""
        found = dict.fromkeys(n for run in self.runs for n in run.recording.questions.sizes_for(self.size))
        return [n for n in found if n not in self.tried and n <= self.most]


def _other_sizes(subject: Subject, first: Run, axis: Axis) -> list[Run]:
    """Runs with an axis twice as long and in other sizes; none if it has to stay or changes the nodes."""
    trials = _Trials(subject, first, axis)
    size, large = trials.size, max(4 * trials.size + 3, LARGE)
    try:
        if not trials.takes(2 * size):
            return []
        trials.takes(2 * size + 1)
        any(trials.takes(size + step) for step in STEPS)
        for other in (1, large):
            if other not in trials.tried and other <= trials.most:
                trials.takes(other)
        for _ in range(MAX_ASKED):
            for other in trials.asked()[:1]:
                trials.takes(other)
    except _Differs:
        return []
    return trials.runs[1:]


def size_of(inputs: Inputs, axis: Axis) -> int:
    """How many elements an axis has."""
    number, which = axis.places[0]
    return int(list(inputs.values())[number].shape[which])


def with_size(inputs: Inputs, axis: Axis, size: int) -> Inputs:
    """The inputs with another size of an axis."""
    names = list(inputs)
    for number, which in axis.places:
        inputs = resized(inputs, {which: size}, {names[number]: True})
    return inputs


def combined(inputs: Inputs, axes: Sequence[Axis]) -> Inputs:
    """The inputs with all axes in untried, mutually different sizes."""
    for extra, axis in enumerate(axes, 2):
        inputs = with_size(inputs, axis, size_of(inputs, axis) + extra)
    return inputs
