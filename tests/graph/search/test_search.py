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
from pytorch_quantization_c.graph.search import accuracy_control, costs
from pytorch_quantization_c.graph.search.accuracy_control import STRONGER
from pytorch_quantization_c.graph.search.budgets import dearest_first, layers_in
from pytorch_quantization_c.graph.search.costs import Stopwatch
from pytorch_quantization_c.graph.search.forms import dearest_steps
from pytorch_quantization_c.methods.budget import cheapest
from pytorch_quantization_c.methods.decisions import fewest_that_hold
from pytorch_quantization_c.model.sensitivity import Sensitivity, SensitivityRow
from pytorch_quantization_c.tensor_quant import QuantDescriptor
from tests.graph.networks import convolutional, images, network, normal, sqnr

THREE, SIX = QuantDescriptor(3, axis=0), QuantDescriptor(6, axis=0)


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
    wanted = measure(graph.quantize(model, data)) - 3       # 8 bits are enough, by whichever methods
    wide = graph.quantize(model, data, weight=THREE, max_drop=60 - wanted, metric=measure,
                          resume=tmp_path / "search.json")
    assert measure(wide) >= wanted and (tmp_path / "search.json").exists()
    assert set(quantised(wide)) == set(quantised(plain)) and 8 in quantised(wide).values()
    table = graph.decisions(wide)
    assert table is not None and {row.layer: row.format for row in table.rows} == {
        name: f"{bits} bits" for name, bits in quantised(wide).items()}
    assert [row.sensitivity for row in table.rows] == sorted(row.sensitivity for row in table.rows)
    assert table.tried[0] == ("float", 60.0) and "layers widened" in str(table)
    strict = graph.quantize(model, data, max_drop=60 - wanted - 8, metric=measure)
    assert measure(strict) >= wanted + 8        # by operands of 16 bits
    table = graph.decisions(strict)
    assert table is not None and "8 bits" in {row.format for row in table.rows} <= {
        "8 bits", "8 bits, inputs of 16", "16 bits", "16 bits, inputs of 16"}
    stricter = graph.quantize(model, data, max_drop=1, metric=measure)
    table = graph.decisions(stricter)
    assert measure(stricter) >= 59 and table is not None and "16 bits, inputs of 16" in {
        row.format for row in table.rows} and "float" not in {row.format for row in table.rows}
    assert ir.to_proto(model).SerializeToString() == before and graph.decisions(plain) is None


def test_no_layer_is_float_where_16_bits_of_all_are_enough(rng: np.random.Generator) -> None:
    """A metric that also holds with any layer float: doubling the number of steps would have passed all wide ones."""
    model, data = convolutional(rng), [images(rng, 4)]

    def metric(candidate: ir.Model) -> float:
        found = layers_in(candidate)
        return float(len(found) < 4 or all(each.weight_bits == each.input_bits == 16 for each in found.values()))

    table = graph.decisions(graph.quantize(model, data, max_drop=0, metric=metric, methods=()))
    assert table is not None and {row.format for row in table.rows} == {"16 bits, inputs of 16"}
    assert all("0 left float" in what for what, _ in table.tried[2:])


def test_stronger_methods_come_before_layers_are_given_up(rng: np.random.Generator) -> None:
    """A metric that holds where weights were rounded by GPTQ: then no layer is given up; methods asked for are kept."""
    model, data = convolutional(rng), [images(rng, 4)]

    def by_gptq(candidate: ir.Model) -> float:
        rounded = any(each.method == "gptq" for each in graph.gains(candidate))
        return float(rounded or not list(quantizers(candidate)))

    made = graph.quantize(model, data, weight=SIX, max_drop=0, metric=by_gptq)
    table = graph.decisions(made)
    assert table is not None and [value for _, value in table.tried] == [1, 0, 1] and "gptq" in table.tried[2][0]
    assert set(quantised(made).values()) == {6}
    made = graph.quantize(model, data, weight=THREE, max_drop=0, metric=lambda candidate: float(
        8 in quantised(candidate).values() or not quantised(candidate)))
    table = graph.decisions(made)       # weights of 3 bits have been rounded by then
    assert table is not None and [what for what, _ in table.tried[:3]] == [
        "float", "all layers quantised", "1 layers widened, 0 left float"]
    with pytest.raises(ValueError, match="can be met"):
        graph.quantize(model, data, weight=THREE, max_drop=0, metric=by_gptq, methods=("weight_mse",))


def test_a_layer_of_few_bits_leaves_the_others_stronger_methods(rng: np.random.Generator) -> None:
    """Of 3 bits it has been rounded in sequence by default; then those of 6 bits are so too."""
    model, data = convolutional(rng), [images(rng, 4)]

    def rounded(candidate: ir.Model) -> float:
        names = {each.layer for each in graph.gains(candidate) if each.method == "sequential_gptq"}
        return float(names == set(quantised(candidate)))

    made = graph.quantize(model, data, weight=SIX, overrides={"conv3": {"weight": THREE}}, max_drop=0, metric=rounded)
    table = graph.decisions(made)
    assert table is not None and [value for _, value in table.tried] == [1, 0, 1]
    assert "sequential_gptq" in table.tried[2][0] and quantised(made) == {"conv0": 6, "conv3": 3, "conv5": 6,
                                                                          "gemm10": 6}


def test_the_methods_with_less_noise_are_kept_where_both_miss_the_metric(rng: np.random.Generator) -> None:
    """A coarse metric, in which GPTQ is worse as long as no layer has been widened."""
    model, data = convolutional(rng), [images(rng, 4)]
    expected, = graph.interpret(model, {"x": data[0]})

    def coarse(candidate: ir.Model) -> float:
        if 8 in quantised(candidate).values() or not list(quantizers(candidate)):
            return 1.0
        return 0.5 if any(each.method == "gptq" for each in graph.gains(candidate)) else 0.6

    def noise(methods: Any) -> float:
        return sqnr(expected, graph.interpret(graph.quantize(model, data, weight=SIX, methods=methods),
                                              {"x": data[0]})[0])

    assert noise(STRONGER) > noise(None)
    made = graph.quantize(model, data, weight=SIX, max_drop=0, metric=coarse)
    table = graph.decisions(made)
    assert table is not None and [value for _, value in table.tried] == [1, 0.6, 0.5, 1]
    assert any(each.method == "gptq" for each in graph.gains(made))


def test_layers_are_ranked_by_the_weights_that_gptq_gives_them(rng: np.random.Generator) -> None:
    """The float model with one layer's rounded weight and quantised input, by hand, gives that layer's row."""
    model, data = convolutional(rng), [images(rng, 4)]
    kept = graph.quantize(model, data, weight=THREE, methods=("gptq",), max_drop=70, metric=agreement(model, data[0]))
    table = graph.decisions(kept)
    plain = graph.quantize(model, data, weight=THREE, methods=())
    rounded = {each.name: each.input.const_value for each in quantizers(kept) if each.is_weight}
    expected, = graph.interpret(model, {"x": data[0]})
    assert table is not None and len(table.rows) == 4
    for row in table.rows:
        alone = plain.clone()
        for each in tuple(quantizers(alone)):
            if each.name.startswith(f"{row.layer}."):
                if each.is_weight:
                    each.input.const_value = rounded[each.name]
                continue
            ir.convenience.replace_all_uses_with(each.output, each.input)
        got, = graph.interpret(alone, {"x": data[0]})
        assert row.sensitivity == pytest.approx(sqnr(expected, got), abs=1e-3)


def test_layers_are_ranked_with_their_biases_corrected(rng: np.random.Generator) -> None:
    """The float model with one layer quantised and that layer's corrected bias, by hand, gives that layer's row."""
    model, data = convolutional(rng), [images(rng, 4)]
    plain = graph.quantize(model, data, weight=THREE, methods=(), method="max")
    corrected = graph.quantize(model, data, weight=THREE, methods=("bias_correction",), method="max")
    biases = {node.name: node.inputs[2].const_value for node in corrected.graph if node.op_type in ("Conv", "Gemm")}
    expected, = graph.interpret(model, {"x": data[0]})
    rows = {}
    for layer in biases:
        alone = plain.clone()
        for each in tuple(quantizers(alone)):
            if not each.name.startswith(f"{layer}."):
                ir.convenience.replace_all_uses_with(each.output, each.input)
        before, = graph.interpret(alone, {"x": data[0]})
        node = next(node for node in alone.graph if node.name == layer)
        node.inputs[2].const_value = biases[layer]
        got, = graph.interpret(alone, {"x": data[0]})
        rows[layer] = sqnr(expected, got)
        assert not np.array_equal(before, got)
    for search in (lambda: graph.quantize(model, data, weight=THREE, methods=("bias_correction",), method="max",
                                          max_drop=70, metric=agreement(model, data[0])),
                   lambda: graph.auto_quantize(model, data, 8, formats=("float", 3), methods=("bias_correction",),
                                               method="max")):
        table = graph.decisions(search())
        assert table is not None and {row.layer: row.sensitivity for row in table.rows} == pytest.approx(rows, abs=1e-3)


def test_ranges_are_found_as_with_all_layers_quantised(rng: np.random.Generator) -> None:
    """Which of both methods "auto" has taken stands in the metadata, and no trial of `max_drop` takes the other."""
    model, data = convolutional(rng), [images(rng, 4)]
    kept = graph.quantize(model, data, weight=THREE)
    name = kept.metadata_props["pytorch_quantization_c.ranges"]
    others = {each: graph.quantize(model, data, weight=THREE, method=each) for each in ("max", "mse")}
    ranges = {each: repr([found.amax for found in quantizers(made)]) for each, made in others.items()}
    assert repr([found.amax for found in quantizers(kept)]) == ranges[name] and ranges["max"] != ranges["mse"]
    seen = []

    def metric(candidate: ir.Model) -> float:
        seen.append(candidate.metadata_props.get("pytorch_quantization_c.ranges", "float"))
        return float(len(seen) in (1, 5))

    graph.quantize(model, data, weight=THREE, max_drop=0, metric=metric, methods=())
    assert seen[0] == "float" and len(seen) > 4 and len(set(seen[1:])) == 1


def test_methods_are_chosen_by_the_noise_of_layers_alone(rng: np.random.Generator, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """Here two layers at 20 dB spoil one, four at 28 the other: added up that one has more noise, the more so with a
    layer float."""
    model, data = convolutional(rng), [images(rng, 4)]
    files: list[Any] = []

    def values(made: ir.Model, *args: Any) -> Sensitivity:
        files.append(args[1])
        found = [28.0] * 4 if args[-1] is None else [20.0, 20.0, 60.0, 60.0]
        rows = [SensitivityRow(name, value, ()) for name, value in zip(quantised(made), found, strict=True)]
        return Sensitivity("SQNR", float("inf"), tuple(rows))

    def metric(candidate: ir.Model) -> float:
        return float(len(quantised(candidate)) < 4)

    monkeypatch.setattr(accuracy_control, "ranked", values)
    kept = graph.quantize(model, data, weight=SIX, max_drop=0, metric=metric, resume=tmp_path / "search.json")
    assert not any(each.method == "gptq" for each in graph.gains(kept)) and len(quantised(kept)) == 3
    assert [Path(each).name for each in files] == [
        "search.json", "search.methods1.json", "search.wide.json", "search.wide_weights.json"]


def test_the_fewest_that_hold() -> None:
    for most in range(12):
        for least in range(most + 2):
            tried: list[int] = []

            def holds(count: int, least: int = least, tried: list[int] = tried) -> bool:
                tried.append(count)
                return count >= least

            assert fewest_that_hold(most, holds) == (least if least <= most else None)
            assert len(set(tried)) == len(tried) and set(tried) <= set(range(most + 1))
    assert fewest_that_hold(40, lambda count: count in (4, 20, 40)) == 4


def test_rounded_weights_do_not_hide_what_a_layer_costs(rng: np.random.Generator) -> None:
    """GPTQ puts weights on their grid: measured on such a model, no weight would make noise, whatever its bits."""
    model, data, tables = convolutional(rng), [images(rng, 8)], []
    for methods in ((), ("gptq",)):
        mixed = graph.auto_quantize(model, data, 4, formats=(8, 4, 2), methods=methods)
        found = graph.decisions(mixed)
        assert found is not None
        tables.append({row.layer: (row.sensitivity, row.format) for row in found.rows})
    assert tables[0] == tables[1] and all(value < 40 for value, _ in tables[1].values())


class Broken:
    """A number that raises."""

    def __float__(self) -> float:
        raise OverflowError("of its own")


def test_a_drop_that_cannot_be_met_and_bad_arguments(rng: np.random.Generator) -> None:
    model, data = network("y = Conv (x, w)", w=normal(rng, 3, 4, 1, 1)), [normal(rng, 2, 4, 9, 9)]
    measure = agreement(model, data[0])
    with pytest.raises(ValueError, match="Expected a `max_drop` that can be met, got 0: .* float model is 60"):
        graph.quantize(model, data, max_drop=0, metric=measure, target="onnxruntime")
    cases: list[tuple[dict[str, Any], Any, str]] = [
        ({"max_drop": 1}, TypeError, "together"), ({"metric": measure}, TypeError, "together"),
        ({"max_drop": -1, "metric": measure}, ValueError, "`max_drop`"),
        ({"max_drop": 1, "metric": 3}, TypeError, "`metric`"),
        ({"max_drop": 1, "metric": lambda model: "x"}, TypeError, "`metric`"),
        ({"max_drop": 1, "metric": lambda model: float("nan")}, ValueError, "`metric`"),
        ({"max_drop": 1, "metric": lambda model: Broken()}, OverflowError, "of its own")]
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

    def metric(candidate: ir.Model) -> float:
        """Good of the float model and of one in which some layer has 8 bits where it had fewer."""
        found = [(now, before) for each in layers_in(candidate).values()
                 for now, before in ((each.weight_bits, weight), (each.input_bits, input))]
        assert all(now == max(before, 8) or now == before for now, before in found)
        return float(not found or any(now != before for now, before in found))

    made = graph.quantize(model, data, input=QuantDescriptor(input), weight=QuantDescriptor(weight, axis=0),
                          max_drop=0.5, metric=metric, methods=(), residual="float")
    table = graph.decisions(made)
    assert table is not None and {row.format for row in table.rows} <= {f"{weight} bits", f"{max(weight, 8)} bits"}


def test_bits_go_where_they_matter(rng: np.random.Generator, tmp_path: Path) -> None:
    model, data, x = convolutional(rng), [images(rng, 8)], images(rng, 16)
    other = convolutional(rng)
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
    for call in (lambda: graph.auto_quantize(model, [2 * data[0]], 5.0, formats=(8, 3), resume=tmp_path / "auto.json"),
                 lambda: graph.auto_quantize(other, data, 5.0, formats=(8, 3), resume=tmp_path / "auto.json")):
        with pytest.raises(ValueError, match="`resume` to belong"):
            call()
    missing: Any = {"resume": tmp_path / "nowhere" / "auto.json"}
    for arguments in ({"max_drop": 1, "metric": Broken}, {"methods": ["gptq"]}):
        with pytest.raises(FileNotFoundError, match="`resume` to be in a folder"):
            graph.quantize(model, Broken(), **arguments, **missing)     # found before data are looked at
    with pytest.raises(FileNotFoundError, match="`resume` to be in a folder"):
        graph.auto_quantize(model, Broken(), 5.0, **missing)


def test_the_greedy_choice_is_the_best_of_all_on_equal_sizes(rng: np.random.Generator) -> None:
    noise = {str(layer): dict(zip((8, 4), (0.0, value), strict=True)) for layer, value in enumerate(rng.random(6))}
    costs = {name: {8: 8.0, 4: 4.0} for name in noise}
    chosen = cheapest(noise, costs, 36)
    best = min((sum(noise[str(i)][bits] for i, bits in enumerate(each)), each)
               for each in itertools.product((8, 4), repeat=6) if sum(each) <= 36)
    assert tuple(chosen.values()) == best[1]
    with pytest.raises(ValueError, match="a budget >= 24"):
        cheapest(noise, costs, 23)
    same = {name: {8: 4.0, 4: 4.0} for name in noise}
    assert set(cheapest(noise, same, 24).values()) == {8}       # what saves nothing is not done
    with pytest.raises(ValueError, match="a budget >= 24"):
        cheapest(noise, same, 23)


def test_the_order_is_that_of_the_noise_for_what_a_float_layer_costs() -> None:
    """A layer of one multiplication and little noise does not come before one of few and much noise."""
    values, costs = {"a": 20.0, "b": 10.0, "c": 35.0, "d": float("inf")}, {"a": 1e2, "b": 1e6, "c": 1.0}
    cost = {name: costs.get(name, 1) + 0.002 * sum(costs.values()) for name in values}
    noise = {name: 10 ** (-value / 10) / cost[name] for name, value in values.items()}
    assert dearest_first(values, costs) == sorted(values, key=lambda name: -noise[name]) == ["a", "c", "b", "d"]
    assert dearest_first(values, {}) == ["b", "a", "c", "d"]


def test_steps_to_wide_operands_and_to_float() -> None:
    """By hand: "a" makes noise of 0.01, nine tenths of it by its input; "b" 0.001, by its weight."""
    weight, both = frozenset({"weight"}), frozenset({"input", "weight"})
    read = frozenset({"input"})
    wide = {read: {"a": 30.0, "b": 30.0}, weight: {"a": 20.5, "b": 50.0}}
    found = dearest_steps({"a": 20.0, "b": 30.0, "c": 40.0}, wide, {"a": 100.0, "b": 100.0, "c": 100.0})
    # a: 0.009 for 1.7, 0.001 for 0.8 more; b: 0.00099 for 1.1, 0.00001 for 1.4 more; c, never wide: 0.0001 for 3.2
    assert found == [("a", read), ("a", both), ("b", weight), ("c", None), ("b", both), ("a", None), ("b", None)]
    assert dearest_steps({"c": float("inf"), "d": -4000.0}, {}, {}) == [("d", None), ("c", None)]
    useless = {read: {"a": 20.0}, weight: {"a": 20.0}}
    assert dearest_steps({"a": 20.0}, useless, {}) == [("a", both), ("a", None)]


PRODUCTS = {"conv0": 16 * 16 * 8 * 27, "conv3": 16 * 16 * 8 * 9, "conv5": 16 * 16 * 8 * 8, "gemm10": 5 * 8}


def test_a_budget_of_multiplications(rng: np.random.Generator) -> None:
    model, data = convolutional(rng), [images(rng, 4)]
    total = sum(PRODUCTS.values())
    for budget, limit in ((0.2 * total, 0.2 * total), ("20%", 0.2 * total)):
        mixed = graph.auto_quantize(model, data, macs=budget, formats=(8, 4))
        found = quantised(mixed)
        spent = sum(PRODUCTS[name] * bits / 32 for name, bits in found.items())
        table = graph.decisions(mixed)
        assert spent <= limit and set(found.values()) == {8, 4} and table is not None
        assert table.tried[0][1] == pytest.approx(spent if budget != "20%" else spent / total)
    partly = graph.auto_quantize(model, data, macs="60%", formats=("float", 8), residual="float")
    table = graph.decisions(partly)
    assert table is not None and {row.format for row in table.rows} == {"float", "8 bits"}
    assert {row.layer for row in table.rows if row.format == "8 bits"} == set(quantised(partly))
    with pytest.raises(ValueError, match="`macs` >= 0.125, that of the narrowest formats, got 0.1"):
        graph.auto_quantize(model, data, macs="10%")


def test_a_budget_of_milliseconds_with_given_times(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program takes 1 ms, a float layer 2, a quantised one 1, and together a tenth more than predicted."""
    def parts(self: Any, model: ir.Model, names: Any) -> tuple[float, dict[str, float]]:
        found = {name: 1.0 if name in quantised(model) else 2.0 for name in names}
        return 1 + sum(found.values()), found

    monkeypatch.setattr(Stopwatch, "layers", parts)
    monkeypatch.setattr(Stopwatch, "whole", lambda self, model: 1.1 * parts(self, model, PRODUCTS)[0])
    model, data = convolutional(rng), [images(rng, 4)]
    for limit, count in ((100, 1), (9.9, 1), (7.0, 3), (5.5, 4)):
        made = graph.auto_quantize(model, data, milliseconds=limit)
        table = graph.decisions(made)
        assert len(quantised(made)) == count and table is not None and table.tried[-1][1] <= limit
    with pytest.raises(ValueError, match="`milliseconds` >= 5.* the fastest that was found, got 4"):
        graph.auto_quantize(model, data, milliseconds=4)


def test_a_budget_of_milliseconds_by_the_clock(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "SECONDS", 0.0)
    model, data = convolutional(rng), [images(rng, 1)]
    made = graph.auto_quantize(model, data, milliseconds=10_000)
    table = graph.decisions(made)
    assert table is not None and 0 < table.tried[-1][1] <= 10_000 and len(quantised(made)) == 1
    assert table.goal == "at most 10000 milliseconds" and [what for what, _ in table.tried] == [
        "milliseconds, all float", "milliseconds, all 8 bits", "milliseconds"]
    with pytest.raises(ValueError, match="`milliseconds` >= "):
        graph.auto_quantize(model, data, milliseconds=1e-6)


def test_bad_arguments_of_auto_quantize(rng: np.random.Generator) -> None:
    model, data = network("y = Conv (x, w)", w=normal(rng, 3, 4, 1, 1)), [normal(rng, 2, 4, 9, 9)]
    for bits in (0, float("nan"), "4", True):
        with pytest.raises(ValueError, match="`effective_bits`"):
            graph.auto_quantize(model, data, bits)  # type: ignore[arg-type]
    for arguments in ({}, {"effective_bits": 5, "macs": 5}, {"milliseconds": 1, "macs": "5%"}):
        with pytest.raises(TypeError, match="one of `effective_bits`, `macs`, `milliseconds`"):
            graph.auto_quantize(model, data, **arguments)
    for name, value in (("macs", "5"), ("macs", "x%"), ("macs", -1), ("macs", "nan%"), ("milliseconds", "5%"),
                        ("milliseconds", np.inf)):
        with pytest.raises(ValueError, match=f"`{name}`"):
            graph.auto_quantize(model, data, **{name: value})
    for formats in ((), (1,), (16, 8), 8, "84", np.array(8), np.array([8.0]), ("float",), (8, "int")):
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
