"""Searches on modules: what they leave keeps the budget, counted here, and their tables say how."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c.tensor_quant import QuantDescriptor

Array = Any
SIZES = {"0": 16 * 27, "2": 16 * 9, "6": 16 * 10}
PRODUCTS = {"0": 8 * 8 * 16 * 27, "2": 6 * 6 * 16 * 9, "6": 160}


def made(rng: np.random.Generator, bits: int = 8) -> tuple[Any, list[Array], Array]:
    """A convolution, a depthwise one and a linear layer, calibrated; data, and other data."""
    few = {"quant_desc_weight": QuantDescriptor(bits, axis=0)}
    model = float_nn.Sequential(nn.QuantConv2d(3, 16, 3, **few), float_nn.ReLU(), nn.QuantConv2d(16, 16, 3, groups=16,
                                **few), float_nn.ReLU(), float_nn.AvgPool2d(6), float_nn.Flatten(),
                                nn.QuantLinear(16, 10, **few))
    for name in SIZES:
        weight = model[int(name)].weight
        weight[...] = rng.standard_normal(weight.shape) / np.sqrt(weight[0].size)
    x = rng.standard_normal((3, 8, 3, 10, 10)).astype(np.float32)
    with pq.calibrating(model, load_amax=True):
        model(x[0])
    return model.eval(), [x[0], x[1]], x[2]


def bits_of(model: Any) -> dict[str, int]:
    return {name: 32 if model[int(name)].weight_quantizer._disabled else model[int(name)].weight_quantizer.num_bits
            for name in SIZES}


def state(model: Any) -> list[Any]:
    return [np.array(array).tolist() for array in model.state_dict().values()] + [bits_of(model)]


def test_bits_within_a_mean(rng: np.random.Generator, tmp_path: Path) -> None:
    model, data, _ = made(rng)
    table = pq.auto_quantize(model, data, 5.0, formats=(8, 3), resume=tmp_path / "s.json")
    found = bits_of(model)
    mean = sum(found[name] * SIZES[name] for name in SIZES) / sum(SIZES.values())
    assert mean <= 5 and set(found.values()) == {8, 3} and table.tried == (("mean bits", pytest.approx(mean)),)
    assert {row.layer: row.format for row in table.rows} == {name: f"{bits} bits" for name, bits in found.items()}
    assert [row.sensitivity for row in table.rows] == sorted(row.sensitivity for row in table.rows)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["s.3bits.json", "s.8bits.json"]
    for name, bits in found.items():
        layer = model[int(name)]
        largest = np.abs(layer.weight).reshape(len(layer.weight), -1).max(1)
        amax = np.ravel(layer.weight_quantizer.amax)
        assert (amax <= largest).all() and np.array_equal(amax, largest) == (bits == 8)
    again = made(np.random.default_rng(1))[0]
    with pytest.raises(ValueError, match="`resume`"):
        pq.auto_quantize(again, data, 5.0, formats=(8, 3), resume=tmp_path / "s.json")


def test_a_budget_of_multiplications(rng: np.random.Generator) -> None:
    model, data, _ = made(rng)
    total = 16 * sum(PRODUCTS.values())
    table = pq.auto_quantize(model, data, macs=0.6 * total, formats=("float", 8))
    found = bits_of(model)
    spent = 16 * sum(PRODUCTS[name] * bits / 32 for name, bits in found.items())
    assert spent <= 0.6 * total and set(found.values()) == {32, 8} and table.tried[0][1] == pytest.approx(spent)
    assert all(model[int(name)].input_quantizer._disabled for name, bits in found.items() if bits == 32)
    other, data, _ = made(rng)
    assert pq.auto_quantize(other, data, macs="14%").tried[0][1] <= 0.14
    before = state(other)
    with pytest.raises(ValueError, match="`macs` >= 0.125, that of the narrowest formats, got 0.1"):
        pq.auto_quantize(other, data, macs="10%")
    assert state(other) == before


def test_layers_are_given_up_until_the_metric_holds(rng: np.random.Generator) -> None:
    model, data, x = made(rng, bits=2)
    for each in (layer for layer in model.modules() if isinstance(layer, nn.TensorQuantizer)):
        each.disable()
    expected = model(x)
    for each in (layer for layer in model.modules() if isinstance(layer, nn.TensorQuantizer)):
        each.enable()

    def agreement(model: Any) -> float:
        noise = float(np.square(model(x) - expected).sum())
        return 60.0 if noise == 0 else min(60.0, 10 * np.log10(float(np.square(expected).sum()) / noise))

    before, low = state(model), agreement(model)
    loose = pq.accuracy_control(model, data, agreement, 60 - low + 0.1)
    assert state(model) == before and {row.format for row in loose.rows} == {"2 bits"} and len(loose.tried) == 2
    table = pq.accuracy_control(model, data, agreement, 60 - low - 6)
    assert agreement(model) >= low + 6 and 8 in bits_of(model).values()
    formats = {row.layer: row.format for row in table.rows}
    assert formats == {name: f"{bits} bits" for name, bits in bits_of(model).items()}
    assert table.tried[0] == ("float", 60.0)
    strict = pq.accuracy_control(model, data, agreement, 60 - 33)
    assert agreement(model) >= 33 and len(strict.rows) == 3
    before = state(model)
    with pytest.raises(ValueError, match="Expected a `max_drop` that can be met, got 0: .* float model is 60"):
        pq.accuracy_control(model, data, agreement, 0)
    for bad, kind in ((lambda model: "x", TypeError), (lambda model: float("nan"), ValueError)):
        with pytest.raises(kind, match="`metric` to return a number"):
            pq.accuracy_control(model, data, bad, 1)     # type: ignore[arg-type]

    def stopped(model: Any) -> float:
        if bits_of(model) != before[-1]:
            raise KeyboardInterrupt
        return 0.0

    with pytest.raises(KeyboardInterrupt):
        pq.accuracy_control(model, data, stopped, 1)
    assert state(model) == before


def test_bad_calls(rng: np.random.Generator) -> None:
    model, data, _ = made(rng)
    for arguments in ({}, {"effective_bits": 5, "macs": 5}):
        with pytest.raises(TypeError, match="one of `effective_bits`, `macs`, `milliseconds`, got"):
            pq.auto_quantize(model, data, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one batch"):
        pq.auto_quantize(model, [], 5)
    with pytest.raises(ValueError, match="`max_drop`"):
        pq.accuracy_control(model, data, lambda model: 0.0, -1)
    with pytest.raises(TypeError, match="`metric` to be callable"):
        pq.accuracy_control(model, data, 3, 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="`model` to be a module"):
        pq.auto_quantize(3, data, 5)
    with pytest.raises(ValueError, match="to have weights of symmetric integers"):
        pq.auto_quantize(float_nn.Sequential(nn.QuantLinear(4, 4, quant_desc_weight=QuantDescriptor((4, 3)))), data, 5)
