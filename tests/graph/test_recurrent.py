"""LSTM and GRU whose hidden state is quantised."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx.helper import make_node

from pytorch_quantization_c import graph, tensor_quant
from pytorch_quantization_c.graph.coding import hidden_quantizer, set_hidden_quantizer
from pytorch_quantization_c.graph.nodes import QuantizerSpec

from .models import model_of

SIZE, FEATURES = 6, 5
GATES = {"LSTM": 4, "GRU": 3}


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def steps(op: str, x: Any, w: Any, r: Any, rounded: Any) -> np.ndarray:
    """The outputs in float64, `rounded` being what the state goes through before it is multiplied."""
    h, c, found = np.zeros((x.shape[1], SIZE)), np.zeros((x.shape[1], SIZE)), []
    for now in x:
        if op == "LSTM":
            i, o, f, g = np.split(now @ w.T + rounded(h) @ r.T, 4, axis=-1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        else:
            z, s = np.split(sigmoid(now @ w[:2 * SIZE].T + rounded(h) @ r[:2 * SIZE].T), 2, axis=-1)
            inner = np.tanh(now @ w[2 * SIZE:].T + s * (rounded(h) @ r[2 * SIZE:].T))
            h = (1 - z) * inner + z * h
        found.append(h)
    return np.stack(found)


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_quantised_state(rng: np.random.Generator, tmp_path: Any, op: str) -> None:
    """The state is rounded ahead of its product alone; a file keeps that."""
    w, r = (rng.normal(size=(GATES[op] * SIZE, n)).astype(np.float32) for n in (FEATURES, SIZE))
    more = {} if op == "LSTM" else {"linear_before_reset": 1}
    node = make_node(op, ["x", "w", "r"], ["y"], "layer", hidden_size=SIZE, **more)
    model = graph.load(model_of([node], {"x": [7, 2, FEATURES]}, {"y": [7, 1, 2, SIZE]}, {"w": w[None], "r": r[None]}))
    (layer,) = model.graph
    assert hidden_quantizer(layer) is None
    x = rng.normal(size=(7, 2, FEATURES)).astype(np.float32)
    plain = graph.interpret(model, {"x": x})[0][:, 0]
    assert np.abs(plain - steps(op, x, w, r, lambda h: h)).max() < 1e-5
    set_hidden_quantizer(layer, 1.0, QuantizerSpec(4))
    got = graph.interpret(model, {"x": x})[0]

    def rounded(h: Any) -> Any:
        return tensor_quant.fake_tensor_quant(h.astype(np.float32), np.float32(1), 4, False, True)

    assert np.abs(got[:, 0] - steps(op, x, w, r, rounded)).max() < 1e-4 < np.abs(got[:, 0] - plain).max()
    graph.save(model, tmp_path / "saved.onnx")
    assert np.array_equal(graph.interpret(graph.load(tmp_path / "saved.onnx"), {"x": x})[0], got)
