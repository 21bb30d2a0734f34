"""Layers of every kind with NaN, infinities, zeros, tiny and huge numbers and empty batches: on integers as on floats.

That the two agree is the claim (docs/integers.md); what either of them computes is compared with formulas elsewhere.
"""
from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import integer, nn
from pytorch_quantization_c.tensor_quant import QuantDescriptor

VALUES = np.float32([0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-45, 1e-38, 3.4e38, -3.4e38, 1, -1, 127.5, 0.5])
AMAX = [None, None, 0.0, 1.0, 1e-40, 1e38, np.nan, np.inf]
LAYERS = 150
KINDS = ["Linear", *(f"Conv{way}{n}d" for way in ("", "Transpose") for n in (1, 2, 3)), "depthwise", "pointwise"]


def descriptors(random: Random, channel: int) -> dict[str, Any]:
    axis = random.choice((None, channel))
    return {
        "quant_desc_input": QuantDescriptor(random.choice((2, 4, 8, 8)), unsigned=random.random() < 0.2,
                                            narrow_range=random.random() < 0.5, amax=random.choice(AMAX)),
        "quant_desc_weight": QuantDescriptor(random.choice((2, 4, 8, 8)), axis=axis), "bias": random.random() < 0.7,
    }


def linear(random: Random) -> tuple[Any, tuple[int, ...]]:
    inputs = random.randint(1, 40)
    shape = random.choice(((inputs,), (1, inputs), (random.randint(0, 9), inputs), (2, 3, inputs)))
    return nn.QuantLinear(inputs, random.randint(1, 70), **descriptors(random, 0)), shape


def convolution(kind: str, random: Random) -> tuple[Any, tuple[int, ...]]:
    n = int(kind[-2]) if kind.startswith("Conv") else 2
    transposed = "Transpose" in kind
    groups = random.choice((1, 1, 2))
    inputs, outputs = groups * random.randint(1, 9), groups * random.randint(1, 20)
    if kind == "depthwise":
        inputs = outputs = groups = random.randint(1, 20)
    kernel = (1,) * n if kind == "pointwise" else tuple(random.randint(1, 4) for _ in range(n))
    dilation = tuple(random.randint(1, 3) for _ in range(n))
    most = [d * (k - 1) if transposed else 3 for d, k in zip(dilation, kernel, strict=True)]
    cls = getattr(nn, f"QuantConv{'Transpose' * transposed}{n}d")
    layer = cls(inputs, outputs, kernel, stride=tuple(random.randint(1, 3) for _ in range(n)), dilation=dilation,
                padding=tuple(random.randint(0, min(3, each)) for each in most), groups=groups,
                **descriptors(random, int(transposed)))
    shape = (random.choice((0, 1, 1, 2, 3)), inputs, *(random.randint(1, 14) for _ in range(n)))
    return layer, shape[1:] if random.random() < 0.2 else shape


def spoil(array: Any, random: Random) -> None:
    """Zeros everywhere, or in the first row, or a few values of the worst kind."""
    choice = random.choice(("nothing", "zeros", "row", "some", "one"))
    if choice == "zeros":
        array[...] = 0
    elif choice == "row" and len(array):
        array[0] = 0
    elif choice in ("some", "one") and array.size:
        for _ in range(1 if choice == "one" else 1 + array.size // 8):
            array.flat[random.randrange(array.size)] = random.choice(VALUES)


def outcome(layer: Any, x: Any) -> Any:
    """The result, or the type of the exception."""
    try:
        with np.errstate(all="ignore"):
            return layer(x)
    except Exception as error:
        return type(error)


def agree(one: Any, other: Any) -> bool:
    """Both raise the same, or NaN and infinities lie in the same places and all else is within roundings."""
    if isinstance(one, type) or isinstance(other, type):
        return one is other
    if one.shape != other.shape or not np.array_equal(np.isnan(one), np.isnan(other)):
        return False
    finite = np.isfinite(other)
    if not np.array_equal(one[~finite], other[~finite], equal_nan=True):
        return False
    largest = float(abs(other[finite]).max()) if finite.any() else 0.0
    return bool((abs(one[finite].astype(float) - other[finite]) <= 1e-5 * largest + 1e-37).all())


@pytest.mark.parametrize("kind", KINDS)
def test_integers_and_floats_agree(kind: str) -> None:
    executions: Counter[str] = Counter()
    for seed in range(LAYERS):
        random = Random(f"{kind} {seed}")
        layer, shape = linear(random) if kind == "Linear" else convolution(kind, random)
        x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        x *= np.float32(random.choice((1, 1, 1e-30, 1e30, 1e-44)))
        x = abs(x) if random.random() < 0.3 else x
        spoil(x, random)
        spoil(layer.weight, random)
        on_integers = outcome(layer, x)
        executions[layer.execution] += 1
        with integer.float_only():
            on_floats = outcome(layer, x)
        assert agree(on_integers, on_floats), f"seed {seed}: {layer.execution}"
        if layer.execution == "int8":
            frozen = outcome(pq.freeze(layer, keep_float=random.random() < 0.5), x)
            assert np.array_equal(frozen, on_integers, equal_nan=True), f"seed {seed}, frozen"
    assert executions["int8"] > LAYERS / 10 and executions["float: NaN in the input"] > 0
    assert executions["float: amax is negative or not finite"] > 0
    assert executions["float: empty input"] > 0
