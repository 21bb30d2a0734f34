"""Recurrent layers against one loop over the steps, written from the formulas."""
from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytorch_quantization_c import integer, nn
from pytorch_quantization_c.float_nn.utils.rnn import PackedSequence
from pytorch_quantization_c.nn.modules import quant_rnn
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .. import oracle

FINE = QuantDescriptor(num_bits=16, amax=4.0)
FINE_ROWS = QuantDescriptor(num_bits=16, axis=0)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def fake(x: Any, kept: list[int] | None = None, bits: int = 8, amax: Any = None) -> Any:
    x = x.astype(np.float32)
    return oracle.integer(x, oracle.largest(x, kept) if amax is None else amax, bits, narrow_range=False)[1]


def step(mode: str, x: Any, w: Any, inputs: int, b_ih: Any, b_hh: Any, h: Any, c: Any) -> tuple[Any, Any]:
    """One step of [x, h], quantised, and joined weights, quantised."""
    of_x, of_h = x[:, :inputs] @ w[:, :inputs].T + b_ih, x[:, inputs:] @ w[:, inputs:].T + b_hh
    if mode == "LSTM":
        i, f, g, o = np.split(of_x + of_h, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    if mode == "GRU":
        (xr, xz, xn), (hr, hz, hn) = np.split(of_x, 3, axis=1), np.split(of_h, 3, axis=1)
        z, n = sigmoid(xz + hz), np.tanh(xn + sigmoid(xr + hr) * hn)
        return (1 - z) * n + z * h, c
    gates = of_x + of_h
    return (np.tanh(gates) if mode == "RNN_TANH" else np.maximum(gates, 0)), c


def run(layer: Any, x: Any, h0: Any, c0: Any, bits: int = 8, amax: Any = None) -> tuple[Any, Any, Any]:
    """(time, batch, inputs) through all layers; final states."""
    finals = []
    for number in range(layer.num_layers):
        outputs = []
        for suffix in ("", "_reverse")[:1 + layer.bidirectional]:
            name = f"_l{number}{suffix}"
            w_ih, w_hh = (np.asarray(getattr(layer, kind + name)) for kind in ("weight_ih", "weight_hh"))
            b_ih, b_hh = ((np.asarray(getattr(layer, kind + name)) if layer.bias else 0)
                          for kind in ("bias_ih", "bias_hh"))
            w = fake(np.concatenate([w_ih, w_hh], 1), [0], bits).astype(np.float64)
            h, c = h0[len(finals)].astype(np.float64), c0[len(finals)].astype(np.float64)
            output = np.zeros((*x.shape[:2], h.shape[1]))
            for t in reversed(range(len(x))) if suffix else range(len(x)):
                joined = fake(np.concatenate([x[t], h], 1), None, bits, amax).astype(np.float64)
                h, c = step(layer.mode, joined, w, x.shape[2], b_ih, b_hh, h, c)
                if layer.proj_size:
                    projection = fake(np.asarray(getattr(layer, "weight_hr" + name)), [0], bits).astype(np.float64)
                    h = fake(h, None, bits, amax).astype(np.float64) @ projection.T
                output[t] = h
            outputs.append(output)
            finals.append((h, c))
        x = np.concatenate(outputs, 2)
    return x, np.stack([h for h, _ in finals]), np.stack([c for _, c in finals])


MAKERS = {"LSTM": nn.QuantLSTM, "GRU": quant_rnn.GRU, "RNN_TANH": quant_rnn.QuantRNN,
          "RNN_RELU": lambda *args, **kwargs: quant_rnn.QuantRNN(*args, nonlinearity="relu", **kwargs)}


@given(mode=st.sampled_from(sorted(MAKERS)), inputs=st.integers(1, 4), hidden=st.integers(1, 4),
       layers=st.integers(1, 3), bias=st.booleans(), batch_first=st.booleans(), both=st.booleans(),
       time=st.integers(1, 4), batch=st.integers(1, 3), states=st.booleans(), seed=st.integers(0, 99))
def test_recurrent_layers(mode: str, inputs: int, hidden: int, layers: int, bias: bool, batch_first: bool, both: bool,
                          time: int, batch: int, states: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = MAKERS[mode](inputs, hidden, layers, bias, batch_first, 0.0, both, quant_desc_input=FINE,
                         quant_desc_weight=FINE_ROWS)
    for parameter in layer.parameters():
        parameter[...] = rng.uniform(-0.7, 0.7, parameter.shape)
    x = rng.normal(size=(time, batch, inputs)).clip(-3, 3).astype(np.float32)
    shape = (layers * (1 + both), batch, hidden)
    h0, c0 = (rng.normal(size=(2, *shape)) if states else np.zeros((2, *shape))).astype(np.float32)
    initial = None if not states else (h0, c0) if mode == "LSTM" else h0
    output, final = layer(x.swapaxes(0, 1) if batch_first else x, initial)
    wanted, h, c = run(layer, x, h0, c0, 16, np.float32(4))
    options = dict(rtol=1e-4, atol=2e-3)   # a step of 16 bits at amax 4 is 1.2e-4; it may be taken at each time step
    np.testing.assert_allclose(output, wanted.swapaxes(0, 1) if batch_first else wanted, **options)
    np.testing.assert_allclose(final[0] if mode == "LSTM" else final, h, **options)
    if mode == "LSTM":
        np.testing.assert_allclose(final[1], c, **options)
    assert output.dtype == np.float32


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True},
                                     {"bias": False, "batch_first": True}], ids=str)
@pytest.mark.parametrize("bits, atol", [(16, 2e-3), (8, 2e-2)])
def test_projections(options: dict[str, Any], bits: int, atol: float, rng: np.random.Generator) -> None:
    """Of 16 bits on floats, of 8 on integers in C; sequences of unequal lengths, packed, as each by itself."""
    layer = nn.QuantLSTM(5, 7, proj_size=3, **options, quant_desc_input=QuantDescriptor(bits, amax=3.0),
                         quant_desc_weight=QuantDescriptor(bits, axis=0))
    count = layer.num_layers * (1 + layer.bidirectional)
    assert layer.weight_hr_l0.shape == (3, 7) and layer.weight_hh_l0.shape == (28, 3)
    assert len(layer._state_quantizers) == len(layer._projection_quantizers) == count
    assert "5, 7, proj_size=3" in repr(layer)
    x = rng.normal(size=(4, 3, 5)).clip(-2, 2).astype(np.float32)
    h0, c0 = ((rng.normal(size=(count, 3, size)) / 2).astype(np.float32) for size in (3, 7))
    output, (h, c) = layer(x.swapaxes(0, 1) if layer.batch_first else x, (h0, c0))
    assert (layer.execution == "int8") == (bits == 8)
    wanted, last_h, last_c = run(layer, x, h0, c0, bits, np.float32(3))
    output = output.swapaxes(0, 1) if layer.batch_first else output
    assert output.shape == (4, 3, 3 * (1 + layer.bidirectional)) and np.median(np.abs(output - wanted)) < 1e-4
    for found, each in ((output, wanted), (h, last_h), (c, last_c)):
        np.testing.assert_allclose(found, each, atol=atol)
    packed = np.concatenate([x[0], x[1, :2], x[2, :1]]), np.array([3, 2, 1])
    (flat, _), (h, c) = layer(packed, (h0, c0))
    first, (h1, c1) = layer(x[:3, :1].swapaxes(0, 1) if layer.batch_first else x[:3, :1], (h0[:, :1], c0[:, :1]))
    np.testing.assert_allclose(flat[[0, 3, 5]], first.reshape(3, -1), atol=atol)
    np.testing.assert_allclose(h[:, 0], h1[:, 0], atol=atol)
    np.testing.assert_allclose(c[:, 0], c1[:, 0], atol=atol)


def test_projections_are_calibrated_and_replace_those_of_a_float_layer(rng: np.random.Generator) -> None:
    from pytorch_quantization_c import calibrating, float_nn, replace

    net = float_nn.Sequential(float_nn.LSTM(3, 6, proj_size=2))
    x = rng.normal(size=(5, 2, 3)).astype(np.float32)
    floats, _ = net(x)
    replace(net, custom_quant_modules=[(float_nn, "LSTM", nn.QuantLSTM)])
    layer: Any = net[0]
    with calibrating(net, load_amax=True):
        calibrated, _ = net(x)
    np.testing.assert_allclose(calibrated, floats, atol=1e-6)
    assert 0 < float(layer._state_quantizers[0].amax) < 1
    oracle.same(layer._projection_quantizers[0].amax, oracle.largest(np.asarray(layer.weight_hr_l0), [0]))
    quantised, _ = net(x)
    assert layer.execution == "int8" and 0 < np.abs(quantised - floats).max() < 0.02
    layer.weight_hr_l0[...] *= np.float32(-1)
    assert not np.array_equal(net(x)[0], quantised)
    with pytest.raises(ValueError, match=r"`proj_size` 0 of other layers than an LSTM"):
        nn.QuantGRU(3, 6, proj_size=2)
    for bad in (6, True, "2"):
        with pytest.raises((ValueError, TypeError), match="proj_size"):
            nn.QuantLSTM(3, 6, proj_size=bad)


INT8, INT8_ROWS = QuantDescriptor(num_bits=8, amax=2.0), QuantDescriptor(num_bits=8, axis=0)


@pytest.mark.parametrize("mode", ["LSTM", "GRU"])
@pytest.mark.parametrize("both", [False, True])
def test_fixed_ranges_run_on_integers(mode: str, both: bool, rng: np.random.Generator) -> None:
    """As fake quantised floats, but for a state that is at a tie; packed sequences too, and after a weight changes."""
    layer = MAKERS[mode](5, 7, 2, bidirectional=both, quant_desc_input=INT8, quant_desc_weight=INT8_ROWS)
    assert layer.execution == "auto"
    x = rng.normal(size=(4, 3, 5)).clip(-2, 2).astype(np.float32)
    shape = (2 * (1 + both), 3, 7)
    h0, c0 = (rng.normal(size=(2, *shape)) / 2).astype(np.float32)
    for _ in range(2):
        output, final = layer(x, (h0, c0) if mode == "LSTM" else h0)
        assert layer.execution == "int8"
        wanted, h, _ = run(layer, x, h0, c0, 8, np.float32(2))
        assert np.median(np.abs(output - wanted)) < 1e-6 and np.abs(output - wanted).max() < 0.02
        assert np.abs((final[0] if mode == "LSTM" else final) - h).max() < 0.02
        layer.weight_hh_l0[...] *= np.float32(-0.5)
    (flat, _), _ = layer((x.reshape(12, 5), np.array([3, 3, 3, 3])), (h0, c0) if mode == "LSTM" else h0)
    again, _ = layer(x, (h0, c0) if mode == "LSTM" else h0)
    assert np.array_equal(flat.reshape(again.shape), again)
    with integer.float_only():
        layer(x)
    assert layer.execution == "float: integers are switched off"


def test_gru_cell(rng: np.random.Generator) -> None:
    cell = nn.QuantGRUCell(3, 2)
    x, h = (rng.normal(size=(4, n)).astype(np.float32) for n in (3, 2))
    w = fake(np.concatenate([cell.weight_ih, cell.weight_hh], 1), [0]).astype(np.float64)
    biases = np.asarray(cell.bias_ih), np.asarray(cell.bias_hh)
    wanted, _ = step("GRU", fake(np.concatenate([x, h], 1)).astype(np.float64), w, 3, *biases, h, None)
    np.testing.assert_allclose(cell(x, h), wanted, rtol=1e-5, atol=1e-6)
    assert nn.QuantGRU is quant_rnn.GRU and repr(cell).startswith("QuantGRUCell(\n  3, 2\n")


def test_one_amax_for_the_input_and_the_hidden_state_and_one_per_row_of_both_weights(rng: np.random.Generator) -> None:
    layer = nn.QuantLSTM(3, 2)
    for quantizer in (*layer._input_quantizers, *layer._weight_quantizers):
        quantizer.enable_calib()
    h0 = np.full((1, 1, 2), 9, np.float32)
    layer(rng.normal(size=(1, 1, 3)).astype(np.float32), (h0, h0))
    for quantizer in (*layer._input_quantizers, *layer._weight_quantizers):
        quantizer.load_calib_amax()
    oracle.same(layer._input_quantizers[0].amax, np.float32(9))
    joined = np.concatenate([layer.weight_ih_l0, layer.weight_hh_l0], 1)
    oracle.same(layer._weight_quantizers[0].amax, oracle.largest(joined, [0]))


def test_a_weight_is_collected_once_a_step_and_quantised_once_a_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = nn.TensorQuantizer.forward
    monkeypatch.setattr(nn.TensorQuantizer, "forward", lambda self, x: (calls.append(self), original(self, x))[1])
    layer = nn.QuantLSTM(3, 2)
    weight = layer._weight_quantizers[0]
    layer(np.ones((5, 1, 3), np.float32))
    assert calls.count(weight) == 1 and calls.count(layer._input_quantizers[0]) == 5
    calls.clear()
    weight.enable_calib()
    layer(np.ones((5, 1, 3), np.float32))
    assert calls.count(weight) == 5


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("order", [None, [2, 0, 3, 1]], ids=["tuple", "unsorted"])
def test_packed_sequences_are_as_if_each_ran_alone(both: bool, order: Any, rng: np.random.Generator) -> None:
    """`order` is where each of the packed sequences was before they were sorted; states are in the first order."""
    lengths, sizes = [4, 2, 2, 1], np.array([4, 3, 1, 1])
    layer = nn.QuantLSTM(3, 2, 2, bidirectional=both, quant_desc_input=FINE, quant_desc_weight=FINE_ROWS)
    sequences = [rng.normal(size=(length, 3)).clip(-3, 3).astype(np.float32) for length in lengths]
    h0, c0 = rng.normal(size=(2, 2 * (1 + both), 4, 2)).astype(np.float32)
    data = np.concatenate([np.stack([s[t] for s in sequences if len(s) > t]) for t in range(4)])
    packed = (data, sizes) if order is None else PackedSequence(data, sizes, np.array(order), np.argsort(order))
    output, (h, c) = layer(packed, (h0, c0))
    assert type(output) is type(packed) and output[1:] == packed[1:]
    starts = np.cumsum([0, *sizes])
    for number, sequence in enumerate(sequences):
        first = number if order is None else order[number]
        own = slice(first, first + 1)
        wanted, wanted_h, wanted_c = run(layer, sequence[:, None], h0[:, own], c0[:, own], 16, np.float32(4))
        rows = [starts[t] + number for t in range(len(sequence))]
        np.testing.assert_allclose(output[0][rows], wanted[:, 0], rtol=1e-4, atol=2e-3)
        np.testing.assert_allclose(h[:, own], wanted_h, rtol=1e-4, atol=2e-3)
        np.testing.assert_allclose(c[:, own], wanted_c, rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("sizes", [[1, 2], [2, 2], [3, 0], [4], [2, 1, -1, 1]], ids=str)
def test_batch_sizes_that_do_not_pack_the_data_are_refused(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="`batch_sizes` > 0 that never grow and add up to the 3 rows"):
        nn.QuantLSTM(2, 2)((np.ones((3, 2), np.float32), np.array(sizes)))


def test_dropout_acts_between_layers_and_in_training_alone() -> None:
    layer = nn.QuantLSTM(2, 3, 2, dropout=1.0)
    x = np.ones((2, 1, 2), np.float32)
    trained, _ = layer(x)
    w, bias = np.asarray(layer.weight_hh_l1), np.asarray(layer.bias_ih_l1) + np.asarray(layer.bias_hh_l1)
    i, _, g, o = np.split(bias.astype(np.float64), 4)
    first = sigmoid(o) * np.tanh(sigmoid(i) * np.tanh(g))
    np.testing.assert_allclose(trained[0, 0], first, rtol=1e-5)
    evaluated, _ = layer.eval()(x)
    assert np.abs(evaluated[0, 0] - first).max() > 1e-4 and w.shape == (12, 3)


def test_dropout_without_a_second_layer_warns() -> None:
    with pytest.warns(UserWarning, match="does nothing with num_layers=1") as caught:
        nn.QuantLSTM(2, 3, dropout=0.5)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nn.QuantLSTM(2, 3, 2, dropout=0.5)


@pytest.mark.parametrize("bad", [{"dropout": 1.5}, {"dropout": True}, {"dropout": "half"}, {"proj_size": 3},
                                 {"proj_size": -1}], ids=str)
def test_arguments_out_of_range_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        nn.QuantLSTM(2, 3, **bad)


def test_shapes_that_do_not_fit_are_refused() -> None:
    layer, cell = nn.QuantLSTM(2, 3), nn.QuantLSTMCell(2, 3)
    good, state = np.ones((4, 1, 2), np.float32), np.zeros((1, 1, 3), np.float32)
    for x, hidden, message in ((good[0], None, "3 dimensions, got 2"), (good[..., :1], None, "Expected 2, got 1"),
                               (good, (state[:, :, :2], state), r"hidden\[0\] size \(1, 1, 3\), got \(1, 1, 2\)"),
                               (good, (state, state[0]), r"hidden\[1\]"), (good, (state,), "pair"),
                               (good[:0], None, "larger than 0")):
        with pytest.raises(RuntimeError, match=message):
            layer(x, hidden)
    with pytest.raises(RuntimeError, match="inconsistent input_size"):
        cell(np.ones((1, 3), np.float32))
    with pytest.raises(RuntimeError, match=r"hidden\[1\] has inconsistent shape: got \(2, 3\), expected \(1, 3\)"):
        cell(np.ones((1, 2), np.float32), (state[0], np.zeros((2, 3), np.float32)))
    for x, hidden, message in ((good, 5, "pair of arrays"), (good, (state.astype(float),) * 2, "float32 as `input`"),
                               ((good[0],), None, "tuple of 1"), ((good[:, 0], [2.5, 1.5]), None, "to be integers"),
                               (good.astype(int), None, "`input`"), (None, None, "`input`")):
        with pytest.raises(TypeError, match=message):
            layer(x, hidden)
    for arguments, error in (((2.5, 3), TypeError), ((2, "3"), TypeError), ((0, 3), ValueError), ((2, -3), ValueError),
                             ((2, True), ValueError)):
        for make in (nn.QuantLSTM, nn.QuantLSTMCell):
            with pytest.raises(error, match="input_size|hidden_size"):
                make(*arguments)
    with pytest.raises(ValueError, match="Unknown nonlinearity 'gelu'"):
        quant_rnn.QuantRNN(2, 3, nonlinearity="gelu")
    with pytest.raises(ValueError, match="`mode` to be one of"):
        quant_rnn.QuantRNNBase("SRU", 2, 3)


@pytest.mark.parametrize("bias", [True, False])
def test_cell(bias: bool, rng: np.random.Generator) -> None:
    cell = nn.QuantLSTMCell(3, 2, bias)
    x, h, c = (rng.normal(size=(4, n)).astype(np.float32) for n in (3, 2, 2))
    w = fake(np.concatenate([cell.weight_ih, cell.weight_hh], 1), [0]).astype(np.float64)
    biases = (np.asarray(cell.bias_ih), np.asarray(cell.bias_hh)) if bias else (0, 0)
    for state in ((h, c), None):
        h0, c0 = state or (np.zeros_like(h), np.zeros_like(c))
        wanted = step("LSTM", fake(np.concatenate([x, h0], 1)).astype(np.float64), w, 3, *biases, h0, c0)
        for got, each in zip(cell(x, state), wanted, strict=True):
            np.testing.assert_allclose(got, each, rtol=1e-5, atol=1e-6)
    assert repr(cell).startswith("QuantLSTMCell(\n  3, 2" + ("\n" if bias else ", bias=False\n"))


@pytest.mark.parametrize(("make", "mode"), [
    (lambda: quant_rnn.QuantRNNCell(3, 2), "RNN_TANH"), (lambda: quant_rnn.GRUCell(3, 2), "GRU"),
    (lambda: quant_rnn.QuantRNNCell(3, 2, nonlinearity="relu"), "RNN_RELU")], ids=["tanh", "GRU", "relu"])
def test_other_cells_compute_with_floats(make: Any, mode: str, rng: np.random.Generator) -> None:
    cell = make()
    x, h = (rng.normal(size=(4, n)).astype(np.float32) for n in (3, 2))
    w = np.concatenate([cell.weight_ih, cell.weight_hh], 1).astype(np.float64)
    wanted, _ = step(mode, np.concatenate([x, h], 1), w, 3, np.asarray(cell.bias_ih), np.asarray(cell.bias_hh), h, 0)
    np.testing.assert_allclose(cell(x, h), wanted, rtol=1e-5, atol=1e-6)
    assert list(cell.state_dict()) == ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]


def test_text_and_names() -> None:
    layer = nn.QuantLSTM(4, 3, num_layers=2, bias=False, batch_first=True, bidirectional=True)
    assert layer.extra_repr() == "4, 3, num_layers=2, bias=False, batch_first=True, bidirectional=True"
    assert list(layer.state_dict()) == ["weight_ih_l0", "weight_hh_l0", "weight_ih_l0_reverse", "weight_hh_l0_reverse",
                                        "weight_ih_l1", "weight_hh_l1", "weight_ih_l1_reverse", "weight_hh_l1_reverse"]
    assert [weight.shape for weight in layer.all_weights[2]] == [(12, 6), (12, 3)]
    assert len(layer._input_quantizers) == 4 and nn.LSTM is nn.QuantLSTM and nn.LSTMCell is nn.QuantLSTMCell
    assert np.abs(np.concatenate([p.ravel() for p in layer.parameters()])).max() <= 1 / np.sqrt(3)
    layer.flatten_parameters()
