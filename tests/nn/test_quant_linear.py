"""The linear layer on quantised arrays."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .. import oracle


def product(x: Any, weight: Any, bias: Any) -> Any:
    y = x.astype(np.float64) @ weight.astype(np.float64).T
    return (y if bias is None else y + bias).astype(x.dtype)


@given(shape=st.lists(st.integers(0, 4), max_size=3), inputs=st.integers(1, 9), outputs=st.integers(1, 9),
       bits=st.sampled_from([2, 4, 8, 16]), unsigned=st.booleans(), bias=st.booleans(), seed=st.integers(0, 99))
def test_linear(shape: list[int], inputs: int, outputs: int, bits: int, unsigned: bool, bias: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = nn.QuantLinear(inputs, outputs, bias, quant_desc_input=QuantDescriptor(bits, amax=1.5, unsigned=unsigned),
                           quant_desc_weight=QuantDescriptor(bits, axis=0))
    weight = rng.normal(size=(outputs, inputs)).astype(np.float32)
    layer.weight[...] = weight
    x = rng.normal(size=(*shape, inputs)).astype(np.float32)
    x = np.abs(x) if unsigned else x
    wanted = product(oracle.integer(x, np.float32(1.5), bits, unsigned, False)[1],
                     oracle.integer(weight, oracle.largest(weight, [0]), bits, narrow_range=False)[1], layer.bias)
    got = layer(x)
    assert got.dtype == wanted.dtype and got.shape == wanted.shape and type(got) is np.ndarray
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def test_e4m3(rng: np.random.Generator) -> None:
    eight = QuantDescriptor(num_bits=(4, 3))
    layer = nn.QuantLinear(5, 3, quant_desc_input=eight, quant_desc_weight=eight)
    x, weight = rng.normal(size=(4, 5)).astype(np.float32), np.asarray(layer.weight)
    wanted = product(oracle.e4m3(x, np.abs(x).max()), oracle.e4m3(weight, np.abs(weight).max()), layer.bias)
    np.testing.assert_allclose(layer(x), wanted, rtol=1e-5, atol=1e-6)


def test_negative_inputs_of_an_unsigned_quantiser_are_refused() -> None:
    layer = nn.QuantLinear(3, 2, quant_desc_input=QuantDescriptor(unsigned=True))
    with pytest.raises(TypeError, match="Negative values encountered in unsigned quantization"):
        layer(-np.ones((1, 3), np.float32))


def test_a_float_layer_patched_away_is_still_the_base() -> None:
    assert issubclass(nn.QuantLinear, float_nn.Linear) and nn.Linear is nn.QuantLinear
