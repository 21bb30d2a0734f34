"""LSTM and GRU as steps of programs: the interpreter's bits, close to float64, states in and out, saved."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from pytorch_quantization_c import _C, graph
from pytorch_quantization_c.graph.errors import GraphError

from ..networks import network, normal
from .same_bits import assert_same_bits

HIDDEN, FEATURES = 20, 12
KINDS = {"lstm": ("LSTM", 4, ""), "gru": ("GRU", 3, ", linear_before_reset = 1"), "gru first": ("GRU", 3, "")}


def cells(rng: np.random.Generator, kind: str, direction: str = "forward", states: bool = False,
          all_outputs: bool = True, batch_first: bool = False) -> ir.Model:
    op, gates, more = KINDS[kind]
    more += ", layout = 1" if batch_first else ""
    count, is_lstm = 2 if direction == "bidirectional" else 1, op == "LSTM"
    names = ["y", "hn", *(["cn"] if is_lstm else [])]
    given = (", , h" + (", c" if is_lstm else "")) if states else ""
    made = names if all_outputs else names[:1]
    state = f"N,{count},{HIDDEN}" if batch_first else f"{count},N,{HIDDEN}"
    shapes = {"y": f"N,T,{count},{HIDDEN}" if batch_first else f"T,{count},N,{HIDDEN}", "hn": state, "cn": state}
    axes = "N,T" if batch_first else "T,N"
    inputs = [f"float[{axes},{FEATURES}] x", *([f"float[{shapes['hn']}] {name}" for name in ("h", "c")[:1 + is_lstm]]
                                             if states else [])]
    return network(
        f'{", ".join(made)} = {op} <hidden_size = {HIDDEN}, direction = "{direction}"{more}> (x, w, r, b{given})',
        ", ".join(inputs), ", ".join(f"float[{shapes[name]}] {name}" for name in made),
        w=normal(rng, count, gates * HIDDEN, FEATURES) / 3, r=normal(rng, count, gates * HIDDEN, HIDDEN) / 4,
        b=normal(rng, count, 2 * gates * HIDDEN) / 4)


def feeds_of(rng: np.random.Generator, model: ir.Model, time: int, batch: int) -> dict[str, Any]:
    sizes = {"T": time, "N": batch}
    return {value.name or "": normal(rng, *(sizes.get(str(size), 0) or int(str(size)) for size in value.shape or ()))
            for value in model.graph.inputs}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("all_outputs", [False, True])
def test_batches_first(rng: np.random.Generator, kind: str, states: bool, all_outputs: bool) -> None:
    model = cells(rng, kind, "bidirectional", states, all_outputs, batch_first=True)
    int8 = graph.quantize(model, [feeds_of(rng, model, 5, 2)], methods=())
    session = graph.compile(int8)
    assert "Python" not in [row.kernel for row in session.summary()]
    for time, batch in ((5, 2), (1, 1), (9, 5)):
        assert_same_bits(session, int8, feeds_of(rng, model, time, batch))


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_bits_of_the_interpreter(rng: np.random.Generator, tmp_path: Path, kind: str, direction: str,
                                     states: bool) -> None:
    model = cells(rng, kind, direction, states)
    int8 = graph.quantize(model, [feeds_of(rng, model, 5, 2)], methods=())
    session = graph.compile(int8)
    assert [row.kernel for row in session.summary()].count("recurrent") == 1
    assert "Python" not in [row.kernel for row in session.summary()]
    session.save(tmp_path / "cells.pqc")
    saved = graph.load_session(tmp_path / "cells.pqc")
    for time, batch in ((5, 2), (1, 1), (9, 5), (3, 20)):
        feeds = feeds_of(rng, model, time, batch)
        kept = {name: array.copy() for name, array in feeds.items()}
        assert_same_bits(session, int8, feeds)
        assert [a.tobytes() for a in saved.run(None, feeds)] == [a.tobytes() for a in graph.interpret(int8, feeds)]
        assert all(np.array_equal(array, kept[name]) for name, array in feeds.items())


def test_an_lstm_against_float64(rng: np.random.Generator) -> None:
    """With its inputs and states rounded to 8 bits, weights too: within what that does to it."""
    model = cells(rng, "lstm", states=True)
    feeds = feeds_of(rng, model, 6, 3)
    found = graph.compile(graph.quantize(model, [feeds], methods=())).run(None, feeds)
    w, r, b = (model.graph.initializers[name].const_value.numpy()[0].astype(np.float64) for name in "wrb")
    h, c, outputs = feeds["h"][0].astype(np.float64), feeds["c"][0].astype(np.float64), []
    for x in feeds["x"]:
        i, o, f, g = np.split(x @ w.T + np.clip(h, -1, 1) @ r.T + b[:len(b) // 2] + b[len(b) // 2:], 4, axis=-1)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        outputs.append(h)
    for got, exact in zip(found, (np.stack(outputs)[:, None], h[None], c[None]), strict=True):
        assert np.abs(got - exact).max() < 0.05 and np.corrcoef(got.ravel(), exact.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_that_nobody_names(rng: np.random.Generator, kind: str) -> None:
    model = cells(rng, kind, "bidirectional", all_outputs=False)
    int8 = graph.quantize(model, [feeds_of(rng, model, 5, 2)], methods=())
    assert_same_bits(graph.compile(int8), int8, feeds_of(rng, model, 4, 3))


def test_between_layers(rng: np.random.Generator) -> None:
    """Images as a sequence, as text in pictures is read: codes go in, codes are made of what comes out."""
    model = network(f"""f = Conv <pads = [1, 1, 1, 1]> (x, k)  a = Relu (f)  t = Transpose <perm = [3, 0, 1, 2]> (a)
                       s = Reshape (t, rows)
                       y2, hn = LSTM <hidden_size = {HIDDEN}, direction = "bidirectional"> (s, w, r)
                       p = Transpose <perm = [0, 2, 1, 3]> (y2)  q = Reshape (p, flat)  y = Gemm <transB = 1> (q, g)""",
                    "float[1,3,4,W] x", "float[W,7] y", k=normal(rng, 3, 3, 3, 3) / 3,
                    rows=np.array([0, 0, FEATURES]), w=normal(rng, 2, 4 * HIDDEN, FEATURES) / 3,
                    r=normal(rng, 2, 4 * HIDDEN, HIDDEN) / 4, flat=np.array([-1, 2 * HIDDEN]),
                    g=normal(rng, 7, 2 * HIDDEN))
    int8 = graph.quantize(model, [normal(rng, 1, 3, 4, 10)], methods=())
    session = graph.compile(int8)
    assert "Python" not in [row.kernel for row in session.summary()]
    for width in (10, 1, 33):
        assert_same_bits(session, int8, {"x": normal(rng, 1, 3, 4, width)})


def test_nan_and_states_that_do_not_fit(rng: np.random.Generator, tmp_path: Path) -> None:
    model = cells(rng, "lstm", states=True)
    int8 = graph.quantize(model, [feeds_of(rng, model, 5, 2)], methods=())
    session, feeds = graph.compile(int8), feeds_of(rng, model, 5, 2)
    feeds["h"][0, 1, 3] = np.nan
    assert session._program.run(feeds, ["y"]) is None
    assert [a.tobytes() for a in session.run(None, feeds)] == [a.tobytes() for a in graph.interpret(int8, feeds)]
    session.save(tmp_path / "cells.pqc")
    wrong = feeds_of(rng, model, 5, 2) | {"c": normal(rng, 1, 3, HIDDEN)}
    for each in (session, graph.load_session(tmp_path / "cells.pqc")):
        with pytest.raises(GraphError):
            each.run(None, wrong)


def cells_of_lengths(rng: np.random.Generator, kind: str, direction: str, states: bool, layout: int) -> ir.Model:
    """Cells with an input `n` for the lengths of sequences."""
    model = cells(rng, kind, direction, states, batch_first=bool(layout))
    node, = model.graph
    n = ir.Value(name="n", type=ir.TensorType(ir.DataType.INT32), shape=ir.Shape(["N"]))
    model.graph.inputs.append(n)
    node.resize_inputs(max(len(node.inputs), 5))
    node.replace_input_with(4, n)
    return model


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_sequences_of_several_lengths(rng: np.random.Generator, tmp_path: Path, kind: str, direction: str,
                                      states: bool, layout: int) -> None:
    """Each as it is alone; zeros where it has ended."""
    model = cells_of_lengths(rng, kind, direction, states, layout)
    feeds = feeds_of(rng, model, 6, 5) | {"n": np.array([2, 6, 0, 3, 6], np.int32)}
    int8 = graph.quantize(model, [feeds], methods=())
    session = graph.compile(int8)
    assert "Python" not in [row.kernel for row in session.summary()]
    found = assert_same_bits(session, int8, feeds)
    session.save(tmp_path / "n.pqc")
    saved = graph.load_session(tmp_path / "n.pqc")
    assert [a.tobytes() for a in saved.run(None, feeds)] == [a.tobytes() for a in found]
    batch = 0 if layout else 1
    for number, length in enumerate(feeds["n"]):
        part = [slice(None)] * 3
        part[batch] = slice(number, number + 1)
        alone = {name: array[tuple(part)] for name, array in feeds.items() if name != "n"}
        alone["x"] = alone["x"][:, :length] if layout else alone["x"][:length]
        y = found[0][number] if layout else found[0][:, :, number]
        assert not np.any(y[length:])
        if length:
            own = session.run(None, alone | {"n": np.array([length], np.int32)})
            np.testing.assert_array_equal(y[:length], own[0][0] if layout else own[0][:, :, 0])
            for state, wanted in zip(found[1:], own[1:], strict=True):
                np.testing.assert_array_equal(np.take(state, number, batch), np.take(wanted, 0, batch))
        else:
            assert not any(np.any(np.take(state, number, batch)) for state in found[1:])


@pytest.mark.parametrize("lengths", [[4, 4, 4], [0, 0, 0], [1, 0, 0]])
def test_lengths_at_their_ends(rng: np.random.Generator, lengths: list[int]) -> None:
    model = cells_of_lengths(rng, "lstm", "bidirectional", True, 0)
    feeds = feeds_of(rng, model, 4, 3) | {"n": np.array(lengths, np.int32)}
    int8 = graph.quantize(model, [feeds_of(rng, model, 4, 3) | {"n": np.full(3, 4, np.int32)}], methods=())
    assert_same_bits(graph.compile(int8), int8, feeds)


def test_constant_lengths(rng: np.random.Generator) -> None:
    model = cells_of_lengths(rng, "gru", "forward", False, 0)
    n = model.graph.inputs.pop()
    n.const_value = ir.tensor(np.array([3, 1], np.int32), name="n")
    model.graph.initializers["n"] = n
    for value in (*model.graph.inputs, *model.graph.outputs):
        sizes = {"T": 3, "N": 2}
        value.shape = ir.Shape([sizes.get(str(size)) or int(str(size)) for size in value.shape or ()])
    feeds = feeds_of(rng, model, 3, 2)
    int8 = graph.quantize(model, [feeds], methods=())
    session = graph.compile(int8)
    assert "Python" not in [row.kernel for row in session.summary()]
    assert_same_bits(session, int8, feeds)


@pytest.mark.parametrize("lengths", [[2, 5, 1], [2, -1, 1], [2, 2 ** 31 - 1, 1], [-2 ** 31, 1, 1]])
def test_lengths_that_no_sequence_has(rng: np.random.Generator, tmp_path: Path, lengths: list[int]) -> None:
    model = cells_of_lengths(rng, "lstm", "forward", False, 0)
    feeds = feeds_of(rng, model, 4, 3) | {"n": np.array([4, 2, 1], np.int32)}
    session = graph.compile(graph.quantize(model, [feeds], methods=()))
    session.save(tmp_path / "n.pqc")
    for each in (session, graph.load_session(tmp_path / "n.pqc")):
        with pytest.raises(ValueError):
            each.run(None, feeds | {"n": np.array(lengths, np.int32)})


def test_products_of_other_cells(rng: np.random.Generator) -> None:
    packed = _C.integer_pack(np.ones((4 * HIDDEN, HIDDEN), np.int8), np.ones(4 * HIDDEN, np.float32), False, 1, (), (),
                             (), (), (), 8, False, False, False)
    one: Any = ((packed, 1.0, None),)
    assert _C.program_states("LSTM", one, 1, HIDDEN, False) is not None
    cases: list[Any] = [("LSTM", one, 2, HIDDEN, False), ("GRU", one, 1, HIDDEN, False),
                        ("LSTM", one, 1, HIDDEN + 1, False), ("LSTM", ((packed, np.nan, None),), 1, HIDDEN, False),
                        ("LSTM", ((packed, 1.0, np.ones(3, np.float32)),), 1, HIDDEN, False),
                        ("RNN", one, 1, HIDDEN, False), ("LSTM", one, 3, HIDDEN, False),
                        ("LSTM", one, 0, HIDDEN, False), ("LSTM_PROJECTED", one * 2, 1, HIDDEN, False)]
    for arguments in cases:
        with pytest.raises((TypeError, ValueError), match="Expected"):
            _C.program_states(*arguments)
