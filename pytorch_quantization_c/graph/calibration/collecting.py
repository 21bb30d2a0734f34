"""What reaches a graph's quantisers, collected in one pass over data, in memory that does not grow with its size."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import onnx_ir as ir

from ..._core.progress import progress as with_bar
from ..interpreter.run import Interpreter
from ..nodes import Quantizer, quantizers
from ..representation.naming import told
from ..representation.notes import HIDDEN
from ..representation.sharing import group_of
from .batches import Feeds, feeds_of, samples
from .collectors import Collector
from .ranges import Range, range_of


def without_quantizers(model: ir.Model) -> ir.Model:
    """A copy in which the readers of a quantiser read what it quantises, and hidden states are floats."""
    bare = model.clone()
    for found in tuple(quantizers(bare)):
        ir.convenience.replace_all_uses_with(found.output, found.input, replace_graph_outputs=True)
        bare.graph.remove(found.node, safe=True)
    for node in bare.graph:
        node.metadata_props.pop(HIDDEN, None)
    return bare


class Calibration:
    """Collectors for the inputs of quantisers, those of a group in common, filled by running the float model.

    Args:
        model: a model with quantisers; those of weights are left alone.
        histograms: whether a method needs more than the ends of the values.
    """

    def __init__(self, model: ir.Model, histograms: bool) -> None:
        self.model = model
        self.quantizers = [each for each in quantizers(model) if not each.is_weight]
        self._interpreter = Interpreter(without_quantizers(model))
        self._counts: dict[str, bool] = {}
        self._watched: dict[str, list[str]] = {}
        for each in self.quantizers:
            group = group_of(each.node)
            self._counts.setdefault(group, histograms and not _is_wide(each))
            watched = self._watched.setdefault(str(each.input.name), [])
            if group not in watched:
                watched.append(group)
        self.collectors = self.blank()

    def blank(self) -> dict[str, Collector]:
        """Collectors by group that have seen nothing."""
        return {group: Collector(counts) for group, counts in self._counts.items()}

    def collect(self, feeds: Feeds) -> None:
        """Runs one batch."""
        self._interpreter.run(feeds, [], self._observe, self._watched)

    def _observe(self, name: str, array: Any) -> None:
        for group in self._watched.get(name, ()):
            try:
                self.collectors[group].add(array)
            except ValueError as problem:
                raise ValueError(f"Expected finite values to calibrate, got {problem} in {self._described(name)}") \
                    from None

    def _described(self, name: str) -> str:
        return told(next(each.input for each in self.quantizers if each.input.name == name))

    def ranges(self, method: str, percentile: float, zero_point: Any) -> dict[str, Range]:
        """The range of each quantiser by one method, by its name; quantisers of more than 8 bits take "max".

        ValueError that names a quantiser which no value has reached.
        """
        for each in self.quantizers:
            if not self.collectors[group_of(each.node)].seen:
                raise ValueError(f"Expected values to calibrate quantiser {each.name!r} with, got none: all batches of "
                                 f"{self._described(str(each.input.name))} were empty")
        return {each.name: range_of(self.collectors[group_of(each.node)], "max" if _is_wide(each) else method,
                                    percentile, each.spec, zero_point is not False) for each in self.quantizers}


def _is_wide(quantizer: Quantizer) -> bool:
    return isinstance(quantizer.spec.bits, int) and quantizer.spec.bits > 8


def each_sample(model: ir.Model, batches: Any, progress: bool | None) -> Iterator[Feeds]:
    """The feeds of all batches, cut as small as the model takes them."""
    for feeds in _with_bar(model, batches, progress):
        yield from samples(model, feeds)


def _with_bar(model: ir.Model, batches: Any, progress: bool | None) -> Iterable[Feeds]:
    if hasattr(batches, "__len__") and not hasattr(batches, "get_next"):
        return feeds_of(model, with_bar(batches, "calibrating", progress))
    return feeds_of(model, batches)
