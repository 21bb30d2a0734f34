"""Prepared programs: segments with packed weights, planned for each set of input shapes."""
from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import _C
from ..interpreter.results import own_results
from .batches import images_a_call
from .lowered import Lowered
from .operations import Conv, Key, Python, array_of
from .plan import NO_BORDER, Border, Plan, bind
from .recurrent import Recurrent
from .segments import Segment, needed_for, segments_of
from .shapes import Dims, Unsupported, dims_of

__all__ = ["Program", "Unsupported"]

KEPT_PLANS = 64  # shapes of a segment's inputs
MAX_KEPT = 2 ** 26  # bytes of what calls with inputs of the same shapes share, of all such shapes
FREE_BYTES, MAX_GROWTH = 2 ** 28, 4096  # what a plan may need, beyond and for each byte of inputs and weights


class _Images:
    """Images passed from one segment to another."""

    def __init__(self, array: NDArray[np.uint8], dims: Dims) -> None:
        self.array, self.dims = array, dims


class _Sizes(NamedTuple):
    """The numbers of an array that is a shape."""

    numbers: tuple[int, ...]


class _Places(dict[Key, int]):
    """A number for each value in a form: faster to look up than the form itself."""

    def __missing__(self, key: Key) -> int:
        return self.setdefault(key, len(self))


class _Run(NamedTuple):
    """A segment, or what Python computes, with the places of what it reads, writes, and is the last to read.

    types: of the arrays that it reads.
    sizes: whether they are shapes that a plan has to know.
    """

    number: int
    operation: Segment | Python
    reads: list[int]
    writes: list[int]
    dead: list[int]
    types: list[type[np.generic]]
    sizes: list[bool]


class Program:
    """A lowered graph that is run.

    Args:
        lowered: what `lower` returns.

    Raises:
        ValueError: operations that depend on each other in a cycle, or weights that do not fit together.
    """

    def __init__(self, lowered: Lowered) -> None:
        self.lowered = lowered
        constants = {array_of(number): array for number, array in lowered.constants.items()}
        outputs = {name: array_of(number) for name, number in lowered.outputs.items()}
        known, wanted = [*map(array_of, lowered.inputs.values()), *constants], set(outputs.values())
        self.order = segments_of(lowered.operations, known, list(wanted))
        self.weights = {each: _packed(each) for each in lowered.operations if isinstance(each, Conv | Recurrent)}
        self.borders = _borders(lowered.operations)
        self._places = _Places()
        self._constants = {self._places[key]: array for key, array in constants.items()}
        self._inputs = {name: self._places[array_of(number)] for name, number in lowered.inputs.items()}
        self._outputs = {name: self._places[key] for name, key in outputs.items()}
        self._plans: list[dict[tuple[Any, ...], Plan]] = []  # by the shapes of a segment's inputs
        self._runs = self._made_ready(self.order, wanted)
        self._arenas: object = None  # a plan: all share their memory
        self._fixed = _places_of_fixed(self._runs, [*self._outputs.values()])
        fixed = [each for each in lowered.operations if isinstance(each, Python) and each.fixed]
        self._shared = [(each, 0) for each in fixed]  # operations of other calls, which take no time
        self._later = self._runs
        if fixed:
            known = [*known, *(key for each in fixed for key in each.writes())]
            rest = needed_for(wanted, known, lowered.operations)
            self._later = self._made_ready(segments_of(rest, known, list(wanted)), wanted)
        self._kept: dict[tuple[Any, ...], dict[int, Any]] = {}  # what they hold, by the shapes of the inputs
        self._bytes = sum(each.nbytes if isinstance(each, Recurrent) else each.weight.nbytes for each in self.weights)
        made = {key for each in self.order if isinstance(each, Segment) for key in each.outputs}
        self._only_c = made.issuperset(wanted) and len(wanted) == len(outputs)

    def _made_ready(self, order: Sequence[Segment | Python], wanted: set[Key]) -> list[_Run]:
        made = [self._run_of(len(self._plans) + number, each, dead) for number, (each, dead) in
                enumerate(zip(order, _last_uses(order, wanted), strict=True))]
        self._plans.extend({} for _ in order)
        return made

    def _run_of(self, number: int, each: Segment | Python, dead: Sequence[Key]) -> _Run:
        reads, writes = (each.inputs, each.outputs) if isinstance(each, Segment) else (each.reads(), each.writes())
        places = self._places
        return _Run(number, each, [places[key] for key in reads], [places[key] for key in writes],
                    [places[key] for key in dead],
                    [each.integers.get(key, np.float32) if isinstance(each, Segment) else np.generic for key in reads],
                    [isinstance(each, Segment) and key in each.sizes for key in reads])

    def run(self, feeds: dict[str, Any], outputs: Sequence[str], times: list[Any] | None = None) -> list[Any] | None:
        """The outputs; None if a value had no code (NaN, for example) or an index was out of range.

        Args:
            feeds: arrays that fit the inputs, by name.
            outputs: names of outputs.
            times: gets (operation, nanoseconds) of each operation.

        Raises:
            Unsupported: shapes or types that the program has not been lowered for.
        """
        values: dict[int, Any] = dict(self._constants)
        for name, array in feeds.items():
            values[self._inputs[name]] = array
        shapes = tuple([(name, array.shape) for name, array in feeds.items()]) if self._fixed else ()
        kept = self._kept.get(shapes)
        if kept is not None:
            values.update(kept)
            if times is not None:
                times.extend(self._shared)
        for each in self._runs if kept is None else self._later:
            if isinstance(each.operation, Python):
                _run_python(each, each.operation, values, times)
            elif not self._run_segment(each, each.operation, values, times):
                return None
            for place in each.dead:
                if place not in self._fixed:
                    values.pop(place, None)
        if self._fixed and kept is None:
            self._keep(shapes, {place: _alone(values[place]) for place in self._fixed})
        found = [values[self._outputs[name]] for name in outputs]
        if self._only_c and (len(outputs) == 1 or len({*outputs}) == len(outputs)):
            return found
        others = (*feeds.values(), *self._constants.values(), *(values[place] for place in self._fixed))
        return own_results(found, others)

    def _keep(self, shapes: tuple[Any, ...], found: dict[int, Any]) -> None:
        """Keeps what calls with inputs of these shapes share; evicts the least recent of other shapes to make room."""
        left, kept = MAX_KEPT - _bytes_of(found), [(shapes, found)]
        for each in list(self._kept.items())[:-KEPT_PLANS:-1]:
            left -= _bytes_of(each[1])
            if left >= 0:
                kept.append(each)
        if _bytes_of(found) <= MAX_KEPT:
            self._kept = dict(kept[::-1])  # as with plans

    def _run_segment(self, each: _Run, segment: Segment, values: dict[int, Any], times: list[Any] | None) -> bool:
        arrays: list[NDArray[Any]] = []
        shapes: list[Any] = []
        for place, kind, sizes in zip(each.reads, each.types, each.sizes, strict=True):
            value = values[place]
            if sizes:
                arrays.append(_plain(value, kind))
                shapes.append(_Sizes(tuple(value.reshape(-1).tolist())))
            elif isinstance(value, _Images):
                arrays.append(value.array)
                shapes.append(value.dims)
            else:
                arrays.append(_plain(value, kind))
                shapes.append(value.shape)
        plan = self._plans[each.number].get(tuple(shapes)) or self._plan(each, segment, tuple(shapes))
        for place, (key, (dims, size)) in zip(each.writes, plan.outputs.items(), strict=True):
            array: NDArray[Any] = np.empty(dims.shape, np.float32) if key.form is None else np.empty(size, np.uint8)
            values[place] = array if key.form is None else _Images(array, dims)
            arrays.append(array)
        clock = None if times is None else np.zeros(len(plan.steps), np.int64)
        if plan.part:
            flags = self._run_parts(each, segment, plan, arrays, clock)
        else:
            flags = _C.program_run(plan.capsule, (*arrays, *plan.tables), clock)
        if times is not None and clock is not None:
            times.extend(zip(plan.steps, clock.tolist(), strict=True))
        return flags == 0

    def _run_parts(self, each: _Run, segment: Segment, whole: Plan, arrays: list[NDArray[Any]],
                   clock: NDArray[np.int64] | None) -> int:
        """Runs a batch a few images at a time."""
        batch = [*self._belong_to_batch(each), *[True] * len(each.writes)]
        count, flags = arrays[-1].shape[0], 0
        for first in range(0, count, whole.part):
            part = [array[first:first + whole.part] if split else array
                    for array, split in zip(arrays, batch, strict=True)]
            shapes = tuple(array.shape for array in part[:len(each.reads)])
            plan = self._plans[each.number].get(shapes) or self._plan(each, segment, shapes)
            taken = None if clock is None else np.zeros_like(clock)
            flags |= _C.program_run(plan.capsule, (*part, *plan.tables), taken)
            if clock is not None and taken is not None:
                clock += taken
        return flags

    def _belong_to_batch(self, each: _Run) -> list[bool]:
        return [place not in self._constants for place in each.reads]

    def _plan(self, each: _Run, segment: Segment, shapes: tuple[Any, ...]) -> Plan:
        return _C.in_default_float_mode(partial(self._new_plan, each, segment, shapes))

    def _new_plan(self, each: _Run, segment: Segment, shapes: tuple[Any, ...]) -> Plan:
        given = {key: shape.numbers for key, shape in zip(segment.inputs, shapes, strict=True) if type(shape) is _Sizes}
        if segment.sizes != given.keys():
            raise Unsupported("shapes that are not known")
        dims = [shape if isinstance(shape, Dims) else dims_of((len(shape.numbers),) if type(shape) is _Sizes else shape,
                                                              matrix=True) for shape in shapes]
        segment = segment.with_sizes(given) if given else segment
        plan = bind(segment, dict(zip(segment.inputs, dims, strict=True)), self.borders, self.weights, self._arenas)
        self._check_size(plan, dims)
        self._arenas = self._arenas or plan.capsule
        plan = plan._replace(part=images_a_call(segment, dims, self._belong_to_batch(each), plan))
        known = self._plans[each.number]
        kept = dict(list(known.items())[1 - KEPT_PLANS:])
        self._plans[each.number] = {**kept, shapes: plan}  # a new dictionary: others may be reading the old one
        return plan

    def _check_size(self, plan: Plan, dims: Sequence[Dims]) -> None:
        """Unsupported if a plan needs more memory than inputs and weights justify, which only malicious files do."""
        size = plan.arena + sum(4 * math.prod(shape[:4]) for shape, _ in plan.outputs.values())
        given = self._bytes + sum(4 * math.prod(each[:4]) for each in dims)
        if size > FREE_BYTES + MAX_GROWTH * given:
            raise Unsupported(f"{given} bytes of inputs and weights that need {size} bytes of memory")


def _alone(value: Any) -> Any:
    """The array, copied if it is a view of a larger one, so that the latter can be freed."""
    whole = value.base if isinstance(value, np.ndarray) else None
    return value.copy() if isinstance(whole, np.ndarray) and whole.nbytes > value.nbytes else value


def _bytes_of(values: dict[int, Any]) -> int:
    return sum(each.nbytes if isinstance(each, np.ndarray) else MAX_KEPT + 1 for each in values.values())


def _places_of_fixed(runs: Sequence[_Run], outputs: Sequence[int]) -> frozenset[int]:
    """The values that calls with inputs of the same shapes share and something else reads."""
    fixed = {place for each in runs if isinstance(each.operation, Python) and each.operation.fixed
             for place in each.writes}
    others = {place for each in runs if not (isinstance(each.operation, Python) and each.operation.fixed)
              for place in each.reads}
    return frozenset(fixed & {*others, *outputs})


def _run_python(each: _Run, operation: Python, values: dict[int, Any], times: list[Any] | None) -> None:
    begin = 0 if times is None else time.perf_counter_ns()
    given = {key.value: values[place] for key, place in zip(operation.reads(), each.reads, strict=True)}
    with np.errstate(all="ignore"):
        found = operation.call(given)
    values.update(zip(each.writes, found, strict=False))
    if times is not None:
        times.append((operation, time.perf_counter_ns() - begin))


def _plain(array: Any, dtype: type[np.generic]) -> NDArray[Any]:
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        raise Unsupported(f"an array of {getattr(array, 'dtype', type(array).__name__)}")
    return np.ascontiguousarray(array)


def _packed(each: Conv | Recurrent) -> object:
    if isinstance(each, Recurrent):
        return each.packed()
    zero = 0 if each.input.form is None else each.input.form.zero
    return _C.program_weights(each.weight, each.groups, each.depthwise, each.merged, zero, each.scale, each.bias)


def _borders(operations: Sequence[Any]) -> dict[Key, Border]:
    """The border of each image: enough for the padding of every reader."""
    found: dict[Key, Border] = {}
    for each in operations:
        if isinstance(each, Conv):
            needed = each.y.border() + each.x.border()
            known = found.get(each.input, NO_BORDER)
            top, bottom, left, right = (max(a, b) for a, b in zip(needed, known, strict=True))
            found[each.input] = top, bottom, left, right
    return found


def _last_uses(order: Sequence[Segment | Python], kept: set[Key]) -> list[list[Key]]:
    """The values that are dead after each operation."""
    seen, dead = set(kept), []
    for each in reversed(order):
        keys = [*each.inputs, *each.outputs] if isinstance(each, Segment) else [*each.reads(), *each.writes()]
        dead.append([key for key in dict.fromkeys(keys) if key not in seen])
        seen.update(keys)
    return dead[::-1]
