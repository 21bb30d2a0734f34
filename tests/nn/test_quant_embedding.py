"""Embeddings with a quantised table, and products and sums of quantised operands."""
from __future__ import annotations

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, nn
from pytorch_quantization_c.nn import functional as quant_f
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .. import oracle


def test_rows_of_the_quantised_table() -> None:
    layer = nn.QuantEmbedding(7, 5, padding_idx=2)
    tokens = np.array([[1, 6, 2], [0, 3, 1]])
    table = oracle.integer(layer.weight, oracle.largest(layer.weight, (0,)), 8, False, False)[1]
    oracle.same(layer(tokens), table[tokens])
    whole = nn.QuantEmbedding(7, 5, quant_desc_weight=QuantDescriptor(4))
    oracle.same(whole(tokens), oracle.integer(whole.weight, np.abs(whole.weight).max(), 4, False, False)[1][tokens])
    for wrong, error in (({"quant_desc_input": QuantDescriptor()}, TypeError), ({"quant_desc_weight": 8}, TypeError),
                         ({"quant_desc_weight": QuantDescriptor(fake_quant=False)}, ValueError)):
        with pytest.raises(error):
            nn.QuantEmbedding(7, 5, **wrong)


def test_tied_heads_stay_tied() -> None:
    model = float_nn.Sequential(float_nn.Embedding(9, 6), float_nn.Linear(6, 9, bias=False))
    model[1].weight = model[0].weight
    pq.replace(model, custom_quant_modules=[(float_nn, "Embedding", nn.QuantEmbedding)])
    assert isinstance(model[0], nn.QuantEmbedding) and model[1].weight is model[0].weight
    with pq.calibrating(model, load_amax=True):
        model(np.array([[1, 2, 8]]))
    oracle.same(model[0].weight_quantizer.amax, oracle.largest(model[0].weight, (0,)))
    state = model.state_dict()
    other = float_nn.Sequential(nn.QuantEmbedding(9, 6), nn.QuantLinear(6, 9, bias=False))
    other.load_state_dict(state)
    oracle.same(other(np.array([[1, 2, 8]])), model(np.array([[1, 2, 8]])))


def test_products_and_sums(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(2, 3, 4)).astype(np.float32), rng.normal(size=(2, 4, 5)).astype(np.float32)
    quantizer = nn.TensorQuantizer()
    a, b = (oracle.integer(each, np.abs(each).max(), 8, False, False)[1] for each in (x, y))
    oracle.same(quant_f.matmul(x, y, quantizer, quantizer), np.matmul(a, b))
    oracle.same(quant_f.add(x, x[:1], quantizer), a + x[:1])
    oracle.same(quant_f.matmul(x, y), np.matmul(x, y))
    with pytest.raises(TypeError, match="`other`"):
        quant_f.add(x, np.zeros((2, 3, 4), int))
