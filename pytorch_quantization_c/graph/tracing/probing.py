"""Which sizes of the inputs may change: a model is run in several, and has to do the same in all."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .refusal import TraceError
from .runs import Inputs, Run, Subject, difference, record
from .symbols import Axis

__all__ = ["BATCH", "Probes", "combined", "probed", "resized"]

BATCH, OTHER_BATCHES = 2, (3, 8, 9)


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
    """The inputs with other sizes of some axes, filled with their own values over and over."""
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
    for number, size in enumerate(OTHER_BATCHES):
        try:
            run = record(subject, resized(first.inputs, {batch_axis: size}, first.inputs)).light()
        except TraceError:
            raise
        except Exception:
            if number == 0:
                raise
            continue  # not a size that the model takes
        other = difference(first, run)
        if other is not None:
            raise TraceError(f"{other}: cannot trace a model whose nodes change with the batch, axis {batch_axis}; "
                             "`batch_axis` says where the batch lies, None that there is none")
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
    """The axes that change each by itself, and one of all those that do not; with the runs, none if it is fixed."""
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


def _other_sizes(subject: Subject, first: Run, axis: Axis) -> list[Run]:
    """Runs with an axis twice as long and in odd and even sizes; none if it has to stay or changes the nodes."""
    number, which = axis.places[0]
    size, found = list(first.inputs.values())[number].shape[which], []
    for other in (2 * size, size + 1, 2 * size + 1):
        try:
            run = record(subject, _with_size(first.inputs, axis, other)).light()
        except TraceError:
            return []
        except Exception:  # whatever the model says to a size that it does not take
            if other == 2 * size:
                return []
            continue
        if difference(first, run) is not None:
            return []
        found.append(run)
    return found


def _with_size(inputs: Inputs, axis: Axis, size: int) -> Inputs:
    names = list(inputs)
    for number, which in axis.places:
        inputs = resized(inputs, {which: size}, {names[number]: True})
    return inputs


def combined(inputs: Inputs, axes: Sequence[Axis]) -> Inputs:
    """The inputs with all axes in sizes that differ from those tried, each from each."""
    sizes = [list(inputs.values())[number].shape[which] for (number, which), *_ in (axis.places for axis in axes)]
    for extra, (axis, size) in enumerate(zip(axes, sizes, strict=True), 2):
        inputs = _with_size(inputs, axis, size + extra)
    return inputs
