"""Where accuracy is lost: every quantised value of a graph against the same value in float."""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..._core.noise import Ratio
from ..calibration.batches import Feeds, feeds_of
from ..calibration.collecting import without_quantizers
from ..interpreter.run import Interpreter
from ..nodes import Quantizer, checked_graph, quantizers
from ..representation.arithmetic import fake_quantize
from ..representation.naming import told
from .comparison_report import drawn, page
from .node_summary import described

__all__ = ["Comparison", "ComparisonRow", "compare"]

Array = NDArray[Any]


@dataclass
class Agreement:
    """How many elements are equal, of how many."""

    equal: int = 0
    count: int = 0

    def add(self, expected: Array, got: Array) -> None:
        self.equal += int(np.count_nonzero(np.equal(expected, got))) if np.shape(expected) == np.shape(got) else 0
        self.count += np.size(expected)

    @property
    def share(self) -> float:
        """From 0 to 1; 1 of nothing."""
        return self.equal / self.count if self.count else 1.0


@dataclass(frozen=True)
class ComparisonRow:
    """One quantised value.

    Attributes:
        quantizer: its name.
        value: the value that is quantised.
        layer: the nodes that read it.
        how: bits and kind of the quantiser.
        alone: SQNR in dB when this quantiser alone is on: of the quantised value against the float one.
        running: SQNR in dB of the same value inside the running quantised graph, errors from before included.
    """

    quantizer: str
    value: str
    layer: str
    how: str
    alone: float
    running: float


@dataclass(frozen=True)
class Comparison:
    """The effect of quantisation on each value, worst first, and on the outputs.

    Attributes:
        rows: one for each quantiser, by `alone`.
        outputs: SQNR in dB of each output of floats, by name.
        samples: how many batches were run.
        agreement: of each other output, as labels, the share of elements that are equal, from 0 to 1.
    """

    rows: tuple[ComparisonRow, ...]
    outputs: dict[str, float] = field(default_factory=dict)
    samples: int = 0
    agreement: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """A table: rank, quantiser, how, SQNR alone and running; the outputs below."""
        titles = ("", "quantiser", "how", "alone, dB", "running, dB")
        table = [titles, *((str(rank), row.quantizer, row.how, f"{row.alone:.1f}", f"{row.running:.1f}")
                           for rank, row in enumerate(self.rows, 1))]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(map(str.ljust, cells, widths)).rstrip() for cells in table]
        lines += [f"output {name}: {value:.1f} dB" for name, value in self.outputs.items()]
        return "\n".join([*lines, *(f"output {name}: {100 * value:.2f} % equal" for name, value in
                                    self.agreement.items())])

    def plot(self, axes: Any = None) -> Any:
        """Two dots per value, alone and running, the worst on top (needs matplotlib); returns the axes."""
        return drawn(self.rows, axes)

    def report(self, path: Any) -> None:
        """Writes a self-contained HTML page; an existing file is replaced atomically."""
        page(self.rows, self.outputs, self.agreement, self.samples, path)


def compare(a: ir.Model, b: ir.Model, batches: Any, metric: str = "sqnr") -> Comparison:
    """Compares the values that `b` quantises with those of the float model `a`.

        print(graph.compare(model, int8, batches))

    Args:
        a: the float model.
        b: the model with quantisers that was made from it.
        batches: as for `calibrate`; iterated once.
        metric: "sqnr": the signal to quantisation noise ratio, 10 log10(sum x^2 / sum (x - x_q)^2), in dB.

    Returns:
        Rows, worst first, and the outputs, as data, text (`print`), plot (`.plot()`) and HTML page (`.report(path)`).

    Raises:
        TypeError: not two graphs.
        ValueError: another metric, models with other outputs, no batch, one that does not fit, or NaN or infinity
            in a value that is quantised (named, with its node).
    """
    if metric != "sqnr":
        raise ValueError(f"Expected `metric` to be 'sqnr', got {metric!r}")
    checked_graph(a, "a"), checked_graph(b, "b")
    names = [str(value.name) for value in a.graph.outputs]
    if names != [str(value.name) for value in b.graph.outputs]:
        raise ValueError(f"Expected models with the same outputs, got {names} and "
                         f"{[value.name for value in b.graph.outputs]}")
    run = _Run(a, b, names)
    for feeds in feeds_of(a, batches):
        run.add(feeds)
    return Comparison(tuple(sorted(run.rows(), key=lambda row: row.alone)),
                      {name: ratio.sqnr for name, ratio in run.outputs.items()}, run.count,
                      {name: found.share for name, found in run.agreement.items()})


class _Run:
    """The two models, and the quantised one without quantisers, for values that `a` does not have."""

    def __init__(self, a: ir.Model, b: ir.Model, outputs: list[str]) -> None:
        self.found = list(quantizers(b))
        self.values = {str(each.input.name) for each in self.found if not each.is_weight}
        self.names, self.count = outputs, 0
        self._float, self._quantized = Interpreter(a), Interpreter(b)
        self._inner = Interpreter(without_quantizers(b))
        self._known = {str(value.name) for node in a.graph for value in node.outputs}
        self._known |= {str(value.name) for value in a.graph.inputs}
        self.outputs: dict[str, Ratio] = {}
        self.agreement: dict[str, Agreement] = {}
        self._alone = {each.name: Ratio() for each in self.found}
        self._running = {each.name: Ratio() for each in self.found}
        for each in self.found:
            if each.is_weight:
                self._weight(each)

    def _weight(self, found: Quantizer) -> None:
        assert found.input.const_value is not None
        array = found.input.const_value.numpy()
        for ratio in (self._alone[found.name], self._running[found.name]):
            ratio.add(array, fake_quantize(array, found.amax, found.spec))

    def _watched(self, interpreter: Interpreter, feeds: Feeds, names: set[str]) -> dict[str, Array]:
        values: dict[str, Array] = {}
        interpreter.run(feeds, [], lambda name, array: values.update({name: array}), names)
        return values

    def add(self, feeds: Feeds) -> None:
        """Runs one batch through both models."""
        self.count += 1
        outputs = set(self.names)
        expected = self._watched(self._inner, feeds, self.values - self._known)
        expected |= self._watched(self._float, feeds, (self.values & self._known) | outputs)
        got = self._watched(self._quantized, feeds, self.values | outputs)
        for name in self.names:
            if np.asarray(expected[name]).dtype.kind == "f":
                self.outputs.setdefault(name, Ratio()).add(expected[name], got[name])
            else:
                self.agreement.setdefault(name, Agreement()).add(expected[name], got[name])
        for each in self.found:
            name = str(each.input.name)
            if each.is_weight or expected[name].shape != got[name].shape:
                continue
            wanted = expected[name]
            if not np.isfinite(wanted).all():
                raise ValueError(f"Expected finite values to compare, got {np.count_nonzero(np.isnan(wanted))} NaN and "
                                 f"{np.count_nonzero(np.isinf(wanted))} infinite values in {told(each.input)} of batch "
                                 f"{self.count - 1}")
            self._alone[each.name].add(wanted, fake_quantize(wanted, each.amax, each.spec))
            self._running[each.name].add(wanted, fake_quantize(got[name], each.amax, each.spec))

    def rows(self) -> Iterator[ComparisonRow]:
        """What was found, in the order of the graph."""
        for each in self.found:
            readers = ", ".join(dict.fromkeys(str(use.node.name) for use in each.output.uses()))
            yield ComparisonRow(each.name, str(each.input.name), readers, described(each),
                                self._alone[each.name].sqnr, self._running[each.name].sqnr)
