"""A range that is put into `_amax` counts, whether a buffer of that name was there or not."""
from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c.nn import TensorQuantizer
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .. import oracle

X = np.float32([4, 1, -0.3])
VALUES = {"array": lambda: np.float32(2).reshape(()), "double": lambda: np.array([2.0]), "number": lambda: 2.0,
          "parameter": lambda: float_nn.Parameter(np.float32([2]))}


@pytest.mark.parametrize("kind", VALUES)
def test_a_range_assigned_to_amax_is_used(kind: str) -> None:
    quantizer = TensorQuantizer()
    quantizer._amax = VALUES[kind]()
    wanted = oracle.integer(X, np.float32(2), 8, False, False)[1]
    for each in (quantizer, copy.deepcopy(quantizer), pickle.loads(pickle.dumps(quantizer))):
        oracle.same(each(X), wanted)
        assert "amax=2.0000" in each.extra_repr() and each.amax.item() == 2
        assert [key for key in each.state_dict() if key == "_amax"]
    fresh = TensorQuantizer()
    fresh.load_state_dict(quantizer.state_dict())
    oracle.same(fresh(X), wanted)


def test_a_range_that_is_deleted_or_none_is_dynamic_again() -> None:
    quantizer = TensorQuantizer(QuantDescriptor(amax=2.0))
    quantizer._amax = None
    oracle.same(quantizer(X), TensorQuantizer()(X))
    quantizer.amax = 1.0
    assert float(quantizer.amax) == 1
    del quantizer._amax
    oracle.same(quantizer(X), TensorQuantizer()(X))


def test_a_parameter_is_set_calibrated_and_loaded_in_place(tmp_path: object) -> None:
    quantizer = TensorQuantizer()
    parameter = quantizer._amax = float_nn.Parameter(np.float32(2))
    quantizer.amax = 3.0
    assert quantizer.amax is parameter and float(parameter) == 3
    with pq.calibrating(quantizer, load_amax=True):
        quantizer(X)
    assert quantizer.amax is parameter and float(parameter) == 4
    pq.save_quant_state(quantizer, f"{tmp_path}/state")
    other = TensorQuantizer()
    pq.load_quant_state(other, f"{tmp_path}/state")
    assert float(other.amax) == 4


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("kind", VALUES)
def test_integer_layers_use_it(kind: str, frozen: bool, rng: np.random.Generator) -> None:
    layer, twin = nn.QuantLinear(8, 4), nn.QuantLinear(8, 4)
    twin.load_state_dict(layer.state_dict())
    twin.input_quantizer.amax = 2.0
    x = rng.normal(size=(5, 8)).astype(np.float32) * 3
    if frozen:
        pq.freeze(layer)
    for _ in range(3):
        layer(x)
    layer.input_quantizer._amax = VALUES[kind]()
    for _ in range(3):
        oracle.same(layer(x), twin(x))
    assert layer.execution == "int8"


def test_a_pre_quant_scale_assigned_to_its_buffer_is_used() -> None:
    quantizer = TensorQuantizer(disabled=True)
    quantizer._pre_quant_scale = np.float32(2)
    oracle.same(quantizer(X), X * 2)
