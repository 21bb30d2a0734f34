"""Normalisation and LSTM against plain formulas in float64."""
import numpy as np
import pytest

from pytorch_quantization_c import float_nn as nn
from pytorch_quantization_c.float_nn import functional as F
from pytorch_quantization_c.float_nn.utils.rnn import PackedSequence


def normalised(x, axes, eps=1e-5):
    x = x.astype(np.float64)
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def offset_data(rng, shape):
    """A mean far from 0 shows whether statistics lose digits."""
    return (rng.normal(size=shape) * 3 + 100).astype(np.float32)


@pytest.mark.parametrize("layer, shape, axes", [
    (nn.BatchNorm1d(4), (6, 4), 0), (nn.BatchNorm1d(4), (6, 4, 5), (0, 2)),
    (nn.BatchNorm2d(4), (3, 4, 5, 6), (0, 2, 3)),
    (nn.BatchNorm3d(4), (2, 4, 3, 2, 3), (0, 2, 3, 4)), (nn.InstanceNorm1d(4), (3, 4, 9), 2),
    (nn.InstanceNorm2d(4), (4, 5, 6), (1, 2)), (nn.InstanceNorm3d(4), (2, 4, 3, 2, 3), (2, 3, 4)),
    (nn.LayerNorm(6), (3, 4, 6), -1), (nn.LayerNorm((4, 6)), (3, 4, 6), (1, 2)), (nn.GroupNorm(4, 4), (3, 4, 6), 2)])
def test_mean_and_variance(layer, shape, axes, rng):
    x = offset_data(rng, shape)
    np.testing.assert_allclose(layer(x), normalised(x, axes), atol=3e-5)


def test_group_norm_joins_channels(rng):
    x = offset_data(rng, (3, 6, 5))
    weight, bias = rng.normal(size=(2, 6)).astype(np.float32)
    wanted = normalised(x.reshape(3, 2, 15), 2).reshape(x.shape) * weight[:, None] + bias[:, None]
    np.testing.assert_allclose(F.group_norm(x, 2, weight, bias), wanted, atol=1e-4)


def test_running_statistics_follow_the_batches(rng):
    layer, exact = nn.BatchNorm1d(3, momentum=0.25), nn.BatchNorm1d(3, momentum=None)
    batches = [offset_data(rng, (8, 3)) for _ in range(3)]
    mean, var = np.zeros(3), np.ones(3)
    for batch in batches:
        layer(batch), exact(batch)
        mean = 0.75 * mean + 0.25 * batch.mean(0, dtype=float)
        var = 0.75 * var + 0.25 * batch.var(0, ddof=1, dtype=float)
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-6)
    np.testing.assert_allclose(layer.running_var, var, rtol=1e-5)
    np.testing.assert_allclose(exact.running_mean, np.mean([batch.mean(0) for batch in batches], 0), rtol=1e-6)
    assert layer.num_batches_tracked == 3
    before = layer.running_mean.copy()
    wanted = (batches[0] - mean) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(layer.eval()(batches[0]), wanted, atol=1e-4)
    np.testing.assert_array_equal(layer.running_mean, before)
    layer.reset_running_stats()
    assert layer.running_var.tolist() == [1, 1, 1] and layer.num_batches_tracked == 0


def test_instance_statistics(rng):
    layer = nn.InstanceNorm1d(3, momentum=0.5, affine=True, track_running_stats=True)
    layer.weight[...], layer.bias[...] = [1, 2, 3], [4, 5, 6]
    x = offset_data(rng, (2, 3, 7))
    wanted = normalised(x, 2) * np.array([[1], [2], [3]]) + np.array([[4], [5], [6]])
    np.testing.assert_allclose(layer(x), wanted, atol=1e-4)
    np.testing.assert_allclose(layer.running_mean, 0.5 * x.mean((0, 2)), rtol=1e-6)
    np.testing.assert_allclose(layer.running_var, 0.5 + 0.5 * x.var(2, ddof=1).mean(0), rtol=1e-5)
    layer.eval()
    expected = (x - layer.running_mean[:, None]) / np.sqrt(layer.running_var[:, None] + 1e-5)
    np.testing.assert_allclose(layer(x), expected * np.array([[1], [2], [3]]) + np.array([[4], [5], [6]]), rtol=1e-5)


def test_states_without_batch_counts_load():
    layer = nn.BatchNorm1d(2)
    state = dict(layer.state_dict())
    del state["num_batches_tracked"]
    layer.num_batches_tracked += 5
    layer.load_state_dict(state)
    assert layer.num_batches_tracked == 5
    tracked = layer.state_dict()
    del tracked["num_batches_tracked"]
    with pytest.raises(RuntimeError, match='Missing key.*"num_batches_tracked"'):
        layer.load_state_dict(tracked)


@pytest.mark.parametrize("text, call", [
    ("4D input", lambda: nn.BatchNorm2d(3)(np.ones((2, 3)))),
    ("more than 1 value", lambda: nn.BatchNorm1d(3)(np.ones((1, 3)))),
    ("more than 1 spatial", lambda: nn.InstanceNorm1d(3)(np.ones((2, 3, 1)))),
    ("num_features", lambda: nn.InstanceNorm1d(3, affine=True)(np.ones((2, 4, 5)))),
    (r"`running_mean` of shape \(4,\)", lambda: F.batch_norm(np.ones((2, 4)), np.ones(3), np.ones(3))),
    ("when not training", lambda: F.batch_norm(np.ones((2, 4)), None, None)),
    ("divisible by num_groups", lambda: nn.GroupNorm(2, 3)), ("normalized_shape", lambda: nn.LayerNorm(3)(np.ones(4))),
    ("at least one number", lambda: F.layer_norm(np.ones(4), ())),
    ("at least 2 dimensions", lambda: F.group_norm(np.ones(4), 2))])
def test_bad_arguments(text, call):
    with pytest.raises(ValueError, match=text):
        call()


def naive_lstm(layer, x, h, c, suffix, reverse=False):
    """One layer, one direction: x (T, N, size)."""
    w_ih, w_hh, b_ih, b_hh = (np.asarray(getattr(layer, name + suffix), dtype=np.float64)
                              for name in ("weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l"))
    outputs = [None] * len(x)
    for t in reversed(range(len(x))) if reverse else range(len(x)):
        i, f, g, o = np.split(x[t] @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 4, axis=1)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        outputs[t] = h
    return np.stack(outputs), h, c


def test_lstm(rng):
    layer = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    x = rng.normal(size=(5, 2, 3)).astype(np.float32)
    h, c = rng.normal(size=(2, 4, 2, 4)).astype(np.float32)
    y, (hn, cn) = layer(x, (h, c))
    wanted, last = x.astype(float), []
    for number in range(2):
        runs = [naive_lstm(layer, wanted, h[2 * number + r], c[2 * number + r], f"{number}" + "_reverse" * r, bool(r))
                for r in range(2)]
        wanted = np.concatenate([run[0] for run in runs], axis=2)
        last += runs
    np.testing.assert_allclose(y, wanted, atol=1e-6)
    np.testing.assert_allclose(hn, [run[1] for run in last], atol=1e-6)
    np.testing.assert_allclose(cn, [run[2] for run in last], atol=1e-6)
    cell = nn.LSTMCell(3, 4)
    cell.load_state_dict({name: getattr(layer, f"{name}_l0") for name in cell.state_dict()})
    hidden, memory = cell(x[0], (h[0], c[0]))
    np.testing.assert_allclose(hidden, naive_lstm(layer, x[:1], h[0], c[0], "0")[1], atol=1e-6)
    np.testing.assert_allclose(memory, naive_lstm(layer, x[:1], h[0], c[0], "0")[2], atol=1e-6)


def test_packed_sequences_end_each_in_its_own_time(rng):
    layer = nn.LSTM(3, 4, bidirectional=True)
    x = rng.normal(size=(4, 3, 3)).astype(np.float32)
    lengths = [4, 2, 1]
    data = np.concatenate([x[0], x[1, :2], x[2, :1], x[3, :1]])
    y, (h, c) = layer((data, np.array([3, 2, 1, 1])))
    assert isinstance(y, PackedSequence) and y.data.shape == (7, 8)
    for number, length in enumerate(lengths):
        alone, (h1, c1) = layer(x[:length, number])
        np.testing.assert_allclose(h[:, number], h1, atol=1e-6)
        np.testing.assert_allclose(c[:, number], c1, atol=1e-6)
        np.testing.assert_allclose(y.data[number], alone[0], atol=1e-6)


def test_dropout_between_layers():
    nn.manual_seed(0)
    layer = nn.LSTM(3, 4, num_layers=2, dropout=1.0)
    y, _ = layer(np.ones((2, 1, 3), np.float32))
    plain, _ = layer.eval()(np.ones((2, 1, 3), np.float32))
    assert not np.allclose(y, plain)
    with pytest.warns(UserWarning, match="num_layers greater than 1"):
        nn.LSTM(3, 4, dropout=0.5)
