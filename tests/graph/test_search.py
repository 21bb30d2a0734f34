"""Searches: what they return keeps the budget, by a metric computed here, and their table says how."""
from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import graph
from pytorch_quantization_c.graph.nodes import quantizers
from pytorch_quantization_c.graph.search import by_size
from pytorch_quantization_c.tensor_quant import QuantDescriptor
from tests.graph.networks import convolutional, images, network, normal, sqnr

THREE = QuantDescriptor(3, axis=0)


def quantised(model: ir.Model) -> dict[str, Any]:
    return {each.name.removesuffix(".weight"): each.spec.bits for each in quantizers(model) if each.is_weight}


def agreement(model: ir.Model, x: Any) -> Any:
    """The metric of these tests: SQNR of a graph's outputs against the float model's, at most 60."""
    expected, = graph.interpret(model, {"x": x})

    def measure(candidate: ir.Model) -> float:
        got, = graph.interpret(candidate, {"x": x})
        return 60.0 if np.array_equal(got, expected) else min(60.0, sqnr(expected, got))
    return measure


def test_layers_are_given_up_until_the_metric_holds(rng: np.random.Generator, tmp_path: Path) -> None:
    model, data, x = convolutional(rng), [images(rng, 4)], images(rng, 8)
    measure, before = agreement(model, x), ir.to_proto(model).SerializeToString()
    plain = graph.quantize(model, data, weight=THREE)
    loose = graph.quantize(model, data, weight=THREE, max_drop=60 - measure(plain) + 0.1, metric=measure)
    assert quantised(loose) == quantised(plain)
    wanted = measure(graph.quantize(model, data)) - 1       # 8 bits are enough
    wide = graph.quantize(model, data, weight=THREE, max_drop=60 - wanted, metric=measure,
                          resume=tmp_path / "search.json")
    assert measure(wide) >= wanted and (tmp_path / "search.json").exists()
    assert set(quantised(wide)) == set(quantised(plain)) and 8 in quantised(wide).values()
    table = graph.decisions(wide)
    assert table is not None and {row.layer: row.format for row in table.rows} == {
        name: f"{bits} bits" for name, bits in quantised(wide).items()}
    assert [row.sensitivity for row in table.rows] == sorted(row.sensitivity for row in table.rows)
    assert table.tried[0] == ("float", 60.0) and "layers widened" in str(table)
    strict = graph.quantize(model, data, max_drop=60 - wanted - 6, metric=measure)
    assert measure(strict) >= wanted + 6 and 0 < len(quantised(strict)) < 4
    assert ir.to_proto(model).SerializeToString() == before and graph.decisions(plain) is None


def test_a_drop_that_cannot_be_met_and_bad_arguments(rng: np.random.Generator) -> None:
    model, data = network("y = Conv (x, w)", w=normal(rng, 3, 4, 1, 1)), [normal(rng, 2, 4, 9, 9)]
    measure = agreement(model, data[0])
    with pytest.raises(ValueError, match="Expected a `max_drop` that can be met, got 0: .* float model is 60"):
        graph.quantize(model, data, max_drop=0, metric=measure)
    cases: list[tuple[dict[str, Any], Any, str]] = [
        ({"max_drop": 1}, TypeError, "together"), ({"metric": measure}, TypeError, "together"),
        ({"max_drop": -1, "metric": measure}, ValueError, "`max_drop`"),
        ({"max_drop": 1, "metric": 3}, TypeError, "`metric`"),
        ({"max_drop": 1, "metric": lambda model: "x"}, TypeError, "`metric`"),
        ({"max_drop": 1, "metric": lambda model: float("nan")}, ValueError, "`metric`")]
    for arguments, kind, message in cases:
        with pytest.raises(kind, match=message):
            graph.quantize(model, data, **arguments)
    with pytest.raises(ValueError, match="`batches` of this process"):
        graph.quantize(model, None, max_drop=1, metric=measure)
    with pytest.raises(TypeError, match="Expected `model`"):
        graph.decisions(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("input, weight", [(16, 4), (4, 16), (8, 3)])
def test_nothing_is_narrowed(rng: np.random.Generator, input: int, weight: int) -> None:
    model, data = convolutional(rng), [images(rng, 4)]
    bits = {"weight": weight, "input": input}

    def metric(candidate: ir.Model) -> float:
        """Good of the float model and of one in which some layer has 8 bits where it had fewer."""
        found = [(each.spec.bits, bits["weight" if each.is_weight else "input"]) for each in quantizers(candidate)
                 if each.is_weight or each.name.endswith(".input")]
        assert all(now == max(before, 8) or now == before for now, before in found)
        return float(not found or any(now != before for now, before in found))

    made = graph.quantize(model, data, input=QuantDescriptor(input), weight=QuantDescriptor(weight, axis=0),
                          max_drop=0.5, metric=metric, methods=(), residual="float")
    table = graph.decisions(made)
    assert table is not None and {row.format for row in table.rows} <= {f"{weight} bits", f"{max(weight, 8)} bits"}


def test_bits_go_where_they_matter(rng: np.random.Generator, tmp_path: Path) -> None:
    model, data, x = convolutional(rng), [images(rng, 8)], images(rng, 16)
    mixed = graph.auto_quantize(model, data, 5.0, formats=(8, 3), resume=tmp_path / "auto.json")
    found, sizes = quantised(mixed), {each.name.removesuffix(".weight"): each.input.const_value.numpy().size  # type: ignore
                                      for each in quantizers(mixed) if each.is_weight}
    mean = sum(found[name] * sizes[name] for name in found) / sum(sizes.values())
    assert mean <= 5.0 and len(set(found.values())) > 1
    table = graph.decisions(mixed)
    assert table is not None and table.tried[0][1] == pytest.approx(mean)
    assert {row.layer: row.format for row in table.rows} == {name: f"{bits} bits" for name, bits in found.items()}
    measure = agreement(model, x)
    assert measure(mixed) > measure(graph.quantize(model, data, weight=THREE)) + 0.5
    assert sorted(each.name for each in tmp_path.iterdir()) == ["auto.3bits.json", "auto.8bits.json"]
    again = graph.auto_quantize(model, data, 5.0, formats=(3, 8), resume=tmp_path / "auto.json")
    assert quantised(again) == found


def test_the_greedy_choice_is_the_best_of_all_on_equal_sizes(rng: np.random.Generator) -> None:
    noise = {str(layer): dict(zip((8, 4), (0.0, value), strict=True)) for layer, value in enumerate(rng.random(6))}
    sizes = dict.fromkeys(noise, 10)
    chosen = by_size(noise, sizes, 6.0)
    best = min((sum(noise[str(i)][bits] for i, bits in enumerate(each)), each)
               for each in itertools.product((8, 4), repeat=6) if sum(each) <= 36)
    assert tuple(chosen.values()) == best[1]
    with pytest.raises(ValueError, match="`effective_bits` >= 4"):
        by_size(noise, sizes, 3.0)


def test_bad_arguments_of_auto_quantize(rng: np.random.Generator) -> None:
    model, data = network("y = Conv (x, w)", w=normal(rng, 3, 4, 1, 1)), [normal(rng, 2, 4, 9, 9)]
    for bits in (0, float("nan"), "4", True):
        with pytest.raises(ValueError, match="`effective_bits`"):
            graph.auto_quantize(model, data, bits)  # type: ignore[arg-type]
    for formats in ((), (1,), (16, 8), 8, "84", np.array(8), np.array([8.0])):
        with pytest.raises(ValueError, match="`formats`"):
            graph.auto_quantize(model, data, 5, formats=formats)  # type: ignore[arg-type]
    for name in ("weight", "overrides", "max_drop", "metric"):
        with pytest.raises(TypeError, match=f"no `{name}`"):
            graph.auto_quantize(model, data, 5, **{name: None})


def test_numbers_may_be_those_of_numpy(rng: np.random.Generator) -> None:
    model, data = network("y = Conv (x, w)", w=normal(rng, 3, 4, 1, 1)), [normal(rng, 2, 4, 9, 9)]
    made = graph.auto_quantize(model, data, np.float32(4), formats=np.array([8, 4]))  # type: ignore[arg-type]
    assert quantised(made) == {"conv0": 4}
    graph.quantize(model, data, max_drop=np.float32(60), metric=agreement(model, data[0]))  # type: ignore[arg-type]
