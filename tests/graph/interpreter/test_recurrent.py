"""LSTM and GRU whose hidden state is quantised."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx.helper import make_node

from pytorch_quantization_c import graph, integer, tensor_quant
from pytorch_quantization_c.graph.nodes import QuantizerSpec
from pytorch_quantization_c.graph.representation.coding import hidden_quantizer, set_hidden_quantizer

from ..models import model_of

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


def onnx_model(rng: np.random.Generator, op: str, direction: str, batch: int, lengths: Any, **more: Any) -> Any:
    """A node with a bias, initial states and sequence_lens (None: without), and nodes for its outputs."""
    directions, gates = 2 if direction == "bidirectional" else 1, GATES[op]
    arrays = {"w": rng.normal(size=(directions, gates * SIZE, FEATURES)),
              "r": rng.normal(size=(directions, gates * SIZE, SIZE)),
              "b": rng.normal(size=(directions, 2 * gates * SIZE)), "h": rng.normal(size=(directions, batch, SIZE)) / 3}
    arrays |= {"c": rng.normal(size=(directions, batch, SIZE))} if op == "LSTM" else {}
    initial = {name: (array / 2).astype(np.float32) for name, array in arrays.items()}
    if lengths is not None:
        initial["n"] = np.array(lengths, np.int32)
    if more.get("layout"):
        initial |= {name: initial[name].swapaxes(0, 1).copy() for name in ("h", "c") if name in initial}
    inputs = ["x", "w", "r", "b", "" if lengths is None else "n", "h", *(["c"] if op == "LSTM" else [])]
    names = ["y", "hn", "cn"][:3 if op == "LSTM" else 2]
    node = make_node(op, inputs, names, "layer", hidden_size=SIZE, direction=direction, **more)
    shape = [batch, 7, FEATURES] if more.get("layout") else [7, batch, FEATURES]
    return model_of([node], {"x": shape}, dict.fromkeys(names), initial), shape


def _again(model: Any, folder: Any) -> Any:
    graph.save(model, folder / "again.onnx")
    return graph.load(folder / "again.onnx")


def _saved(session: Any, folder: Any) -> Any:
    session.save(folder / "saved.pqc")
    return graph.load_session(folder / "saved.pqc")


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_a_graph_of_integers(rng: np.random.Generator, tmp_path: Any, op: str, direction: str) -> None:
    """Near the float graph, and exactly the products of integers: what the reference makes of fake quantised weights
    and rounded states is nearer by far."""
    for lengths, more in ((None, {}), ([7, 0, 3], {}), (None, {"linear_before_reset": 1})):
        if op == "LSTM" and more:
            continue
        float_model, shape = onnx_model(rng, op, direction, 3, lengths, **more)
        model = graph.load(float_model)
        x = rng.normal(size=shape).astype(np.float32)
        int8 = graph.quantize(model, [x], methods=(), method="max")
        (layer,) = (node for node in int8.graph if node.op_type == op)
        assert hidden_quantizer(layer) is not None
        got, plain = graph.interpret(int8, {"x": x}), graph.interpret(model, {"x": x})
        with integer.float_only():
            floats = graph.interpret(int8, {"x": x}) if lengths is None else got
        for a, b, c in zip(got, plain, floats, strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape and 0 < np.abs(a - b).max() < 0.1
            assert np.median(np.abs(a - c)) < 1e-5
        session = graph.compile(int8)
        for found in (session.run(None, {"x": x}), graph.interpret(_again(int8, tmp_path), {"x": x}),
                      _saved(session, tmp_path).run(None, {"x": x})):
            assert all(map(np.array_equal, found, got))
