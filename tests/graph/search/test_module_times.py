"""`auto_quantize` of modules within milliseconds: what is left keeps them, by given times and by the clock."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c.graph import nodes
from pytorch_quantization_c.graph.search import costs
from pytorch_quantization_c.graph.search.costs import Stopwatch

Network = tuple[Any, list[Any]]


def made(rng: np.random.Generator) -> Network:
    """Three layers in modules of modules, one of them with its input left alone by its owner; and data."""
    model = float_nn.Sequential(nn.QuantConv2d(3, 16, 3), float_nn.ReLU(), float_nn.Sequential(
        nn.QuantConv2d(16, 8, 1), float_nn.ReLU()), float_nn.AvgPool2d(6), float_nn.Flatten(), nn.QuantLinear(8, 10))
    for layer in layers(model).values():
        layer.weight[...] = rng.standard_normal(layer.weight.shape)
    x = rng.standard_normal((2, 4, 3, 8, 8)).astype(np.float32)
    with pq.calibrating(model, load_amax=True):
        model(x[0])
    model[5].input_quantizer.disable()
    return model.eval(), list(x)


def layers(model: Any) -> dict[str, Any]:
    return {name: each for name, each in model.named_modules() if isinstance(each, nn.QuantConv2d | nn.QuantLinear)}


def quantised(model: Any) -> set[str]:
    return {name for name, each in layers(model).items() if not each.weight_quantizer._disabled}


def test_given_times(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program takes 1 ms, a float layer 2, a quantised one 1, and together a tenth more than predicted."""
    def parts(self: Any, model: Any, names: Any) -> tuple[float, dict[str, float]]:
        on = {each.name.removesuffix("._weight_quantizer") for each in nodes.quantizers(model) if each.is_weight}
        assert on <= set(names) == {"0", "2.0", "5"}
        found = {name: 1.0 if name in on else 2.0 for name in names}
        return 1 + sum(found.values()), found

    monkeypatch.setattr(Stopwatch, "layers", parts)
    monkeypatch.setattr(Stopwatch, "whole", lambda self, model: 1.1 * parts(self, model, ["0", "2.0", "5"])[0])
    for limit, count in ((100, 1), (7.0, 1), (5.6, 2), (4.5, 3)):
        model, data = made(rng)
        table = pq.auto_quantize(model, data, milliseconds=limit)
        kept = quantised(model)
        assert len(kept) == count and table.tried[-1] == ("milliseconds", pytest.approx(1.1 * (7 - count)))
        assert {row.layer for row in table.rows if row.format == "8 bits"} == kept
        for name, each in layers(model).items():
            assert each.input_quantizer._disabled == (name not in kept or name == "5")
    with pytest.raises(ValueError, match="`milliseconds` >= 4.* the fastest that was found, got 3"):
        pq.auto_quantize(model, data, milliseconds=3)
    assert len(quantised(model)) == 3


def test_by_the_clock(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "SECONDS", 0.0)
    for formats, said in ((None, ["milliseconds, all float", "milliseconds, all 8 bits"]),
                          ((8, 4), ["milliseconds, all 8 bits", "milliseconds, all 4 bits"])):
        model, data = made(rng)
        table = pq.auto_quantize(model, data, milliseconds=10_000, formats=formats)
        assert table.goal == "at most 10000 milliseconds"
        assert [what for what, _ in table.tried] == [*said, "milliseconds"]
        assert 0 < table.tried[-1][1] <= 10_000 and quantised(model)
    before = model(data[0])
    with pytest.raises(ValueError, match="`milliseconds` >= "):
        pq.auto_quantize(model, data, milliseconds=1e-6)
    assert np.array_equal(model(data[0]), before)
