"""Layers: what they print, and that they hand their arguments to the functional form."""
import numpy as np
import pytest

from pytorch_quantization_c import float_nn as nn
from pytorch_quantization_c.float_nn import functional as F
from pytorch_quantization_c.float_nn.utils import rnn

TEXTS = [
    (nn.Linear(3, 2, bias=False), "Linear(in_features=3, out_features=2, bias=False)"),
    (nn.Conv2d(2, 4, (3, 1), 2, 1, (1, 2), 2, False, "circular"),
     "Conv2d(2, 4, kernel_size=(3, 1), stride=(2, 2), padding=(1, 1), dilation=(1, 2), groups=2, bias=False, "
     "padding_mode=circular)"),
    (nn.ConvTranspose1d(2, 4, 3, 2, output_padding=1),
     "ConvTranspose1d(2, 4, kernel_size=(3,), stride=(2,), output_padding=(1,))"),
    (nn.Embedding(4, 3, -1, norm_type=1.0), "Embedding(4, 3, padding_idx=3, norm_type=1.0)"),
    (nn.MaxPool2d(2), "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"),
    (nn.AvgPool1d(2), "AvgPool1d(kernel_size=(2,), stride=(2,), padding=(0,))"),
    (nn.AdaptiveAvgPool2d((1, None)), "AdaptiveAvgPool2d(output_size=(1, None))"),
    (nn.BatchNorm2d(3), "BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)"),
    (nn.GroupNorm(2, 4, affine=False), "GroupNorm(2, 4, eps=1e-05, affine=False, bias=False)"),
    (nn.LayerNorm((2, 3)), "LayerNorm((2, 3), eps=1e-05, elementwise_affine=True, bias=True)"),
    (nn.LSTM(3, 4, 2, batch_first=True, dropout=0.5), "LSTM(3, 4, num_layers=2, batch_first=True, dropout=0.5)"),
    (nn.LSTMCell(3, 4, False), "LSTMCell(3, 4, bias=False)"), (nn.ReLU(), "ReLU()"),
    (nn.ReLU6(True), "ReLU6(inplace=True)"),
    (nn.LeakyReLU(0.2), "LeakyReLU(negative_slope=0.2)"), (nn.ELU(inplace=True), "ELU(alpha=1.0, inplace=True)"),
    (nn.Hardtanh(0, 2), "Hardtanh(min_val=0, max_val=2)"), (nn.GELU("tanh"), "GELU(approximate='tanh')"),
    (nn.Softplus(2), "Softplus(beta=2, threshold=20.0)"), (nn.Softmax(1), "Softmax(dim=1)"),
    (nn.LogSoftmax(-1), "LogSoftmax(dim=-1)"), (nn.Dropout2d(0.2), "Dropout2d(p=0.2, inplace=False)"),
    (nn.Flatten(0), "Flatten(start_dim=0, end_dim=-1)"),
    (nn.Unflatten(1, (2, 2)), "Unflatten(dim=1, unflattened_size=(2, 2))"),
    (nn.Upsample(scale_factor=(2, 3)), "Upsample(scale_factor=(2.0, 3.0), mode='nearest')"),
    (nn.ConstantPad1d(1, 2.5), "ConstantPad1d(padding=(1, 1), value=2.5)"),
    (nn.ZeroPad2d((1, 2, 3, 4)), "ZeroPad2d((1, 2, 3, 4))"),
]


@pytest.mark.parametrize("layer, text", TEXTS, ids=[text for _, text in TEXTS])
def test_text(layer, text):
    assert repr(layer) == text


PLANE, LINE, CUBE = (2, 3, 6, 5), (2, 3, 7), (1, 2, 4, 3, 5)

FORWARDS = [
    (nn.ReLU(), F.relu), (nn.ReLU6(), F.relu6), (nn.LeakyReLU(0.3), lambda x: F.leaky_relu(x, 0.3)),
    (nn.Tanh(), F.tanh),
    (nn.ELU(0.7), lambda x: F.elu(x, 0.7)), (nn.Sigmoid(), F.sigmoid), (nn.SiLU(), F.silu), (nn.GELU(), F.gelu),
    (nn.Hardsigmoid(), F.hardsigmoid), (nn.Hardswish(), F.hardswish), (nn.Softplus(2.0), lambda x: F.softplus(x, 2.0)),
    (nn.Hardtanh(-0.5, 0.5), lambda x: F.hardtanh(x, -0.5, 0.5)), (nn.Softmax(1), lambda x: F.softmax(x, 1)),
    (nn.LogSoftmax(2), lambda x: F.log_softmax(x, 2)), (nn.Identity(), lambda x: x),
    (nn.Flatten(), lambda x: x.reshape(2, -1)),
    (nn.Flatten(1, 2), lambda x: x.reshape(2, 18, 5)), (nn.Unflatten(2, (-1, 2)), lambda x: x.reshape(2, 3, 3, 2, 5)),
    (nn.Dropout().eval(), lambda x: x), (nn.Dropout2d().eval(), lambda x: x),
    (nn.Upsample(7), lambda x: F.interpolate(x, 7)),
    (nn.UpsamplingBilinear2d(7), lambda x: F.interpolate(x, 7, mode="bilinear", align_corners=True)),
    (nn.UpsamplingNearest2d(scale_factor=2), lambda x: F.interpolate(x, scale_factor=2)),
    (nn.ZeroPad2d(1), lambda x: F.pad(x, (1, 1, 1, 1))),
    (nn.ConstantPad2d(1, 3.0), lambda x: F.pad(x, (1,) * 4, value=3.0)),
    (nn.ReflectionPad2d(1), lambda x: F.pad(x, (1,) * 4, "reflect")),
    (nn.ReplicationPad2d((1, 2, 3, 4)), lambda x: F.pad(x, (1, 2, 3, 4), "replicate")),
    (nn.CircularPad2d(2), lambda x: F.pad(x, (2,) * 4, "circular")),
    (nn.AvgPool2d(2, 1), lambda x: F.avg_pool2d(x, 2, 1)), (nn.MaxPool2d(2, 1), lambda x: F.max_pool2d(x, 2, 1)),
    (nn.AdaptiveMaxPool2d(2), lambda x: F.adaptive_max_pool2d(x, 2)),
    (nn.AdaptiveAvgPool2d(2), lambda x: F.adaptive_avg_pool2d(x, 2)),
    (nn.MSELoss(), None), (nn.L1Loss(reduction="none"), None), (nn.CrossEntropyLoss(), None),
]


@pytest.mark.parametrize("layer, function", FORWARDS, ids=[type(layer).__name__ for layer, _ in FORWARDS])
def test_forward(layer, function, rng):
    x, y = rng.random(size=(2, *PLANE)).astype(np.float32) - 0.3
    if function is None:
        name = {"MSELoss": "mse_loss", "L1Loss": "l1_loss", "CrossEntropyLoss": "cross_entropy"}[type(layer).__name__]
        np.testing.assert_array_equal(layer(x, y), getattr(F, name)(x, y, reduction=layer.reduction))
    else:
        np.testing.assert_array_equal(layer(x), function(x))


@pytest.mark.parametrize("dimensions, shape", [(1, LINE), (3, CUBE)])
def test_other_dimensions(dimensions, shape, rng):
    x = rng.random(size=shape).astype(np.float32)
    for layer, name in ((nn.MaxPool1d, "max_pool"), (nn.AvgPool1d, "avg_pool"),
    (nn.AdaptiveAvgPool1d, "adaptive_avg_pool"),
                        (nn.AdaptiveMaxPool1d, "adaptive_max_pool")):
        layer = getattr(nn, layer.__name__.replace("1d", f"{dimensions}d"))
        np.testing.assert_array_equal(layer(2)(x), getattr(F, f"{name}{dimensions}d")(x, 2))
    for kind, mode in (("Reflection", "reflect"), ("Replication", "replicate"), ("Circular", "circular"),
    ("Zero", "constant")):
        layer = getattr(nn, f"{kind}Pad{dimensions}d")(1)
        np.testing.assert_array_equal(layer(x), F.pad(x, (1, 1) * dimensions, mode))
    for name in ("Dropout1d", "Dropout3d"):
        if name.endswith(f"{dimensions}d"):
            np.testing.assert_array_equal(getattr(nn, name)(1.0)(x), np.zeros(shape))


def test_linear_and_embedding(rng):
    layer = nn.Linear(5, 4)
    x = rng.random(size=(3, 5)).astype(np.float32)
    np.testing.assert_array_equal(layer(x), F.linear(x, layer.weight, layer.bias))
    table = nn.Embedding(6, 3, padding_idx=-1)
    assert not table.weight[5].any() and table.weight[:5].any()
    np.testing.assert_array_equal(table(np.array([[0, 5]])), np.asarray(table.weight)[[[0, 5]]])
    rows = np.array([[3.0, 4.0], [0.3, 0.4]])
    np.testing.assert_allclose(nn.Embedding.from_pretrained(rows, max_norm=1.0)(np.array([0, 1])), [[0.6, 0.8], [0.3,
     0.4]],
                               rtol=1e-6)
    np.testing.assert_allclose(nn.NLLLoss(np.array([1.0, 0.5]))(np.log([[0.25, 0.75]]), np.array([1])), -np.log(0.75))


def test_sequences_of_different_lengths(rng):
    arrays = [rng.random(size=(length, 2)).astype(np.float32) for length in (2, 4, 1)]
    padded = rnn.pad_sequence(arrays, batch_first=True, padding_value=-1)
    assert padded.shape == (3, 4, 2) and (padded[0, 2:] == -1).all()
    packed = rnn.pack_sequence(arrays, enforce_sorted=False)
    assert packed.batch_sizes.tolist() == [3, 2, 1, 1] and packed.sorted_indices.tolist() == [1, 0, 2]
    np.testing.assert_array_equal(packed.data[:3], [arrays[1][0], arrays[0][0], arrays[2][0]])
    again, lengths = rnn.pad_packed_sequence(packed, batch_first=True, padding_value=-1)
    np.testing.assert_array_equal(again, padded)
    assert lengths.tolist() == [2, 4, 1] and rnn.pad_packed_sequence(packed, total_length=6)[0].shape == (6, 3, 2)
    layer = nn.LSTM(2, 3, proj_size=2, bias=False)
    y, (h, c) = layer(packed)
    for number, array in enumerate(arrays):
        alone, (h1, c1) = layer(array)
        np.testing.assert_allclose(h[:, number], h1, atol=1e-6)
        np.testing.assert_allclose(c[:, number], c1, atol=1e-6)
        np.testing.assert_allclose(rnn.pad_packed_sequence(y)[0][:len(array), number], alone, atol=1e-6)


EMPTY = np.zeros((1, 0, 3), np.float32)
X = np.ones((1, 2, 3), np.float32)


@pytest.mark.parametrize("error, text, call", [
    (ValueError, "decreasing", lambda: rnn.pack_padded_sequence(X[[0, 0]], np.array([1, 2]))),
    (ValueError, "at least 2 dimensions", lambda: rnn.pack_padded_sequence(X[0, 0], np.array([1]))),
    (ValueError, "equal to batch_size 2", lambda: rnn.pack_padded_sequence(X, np.array([1]))),
    (ValueError, r"within \[1, 1\]", lambda: rnn.pack_padded_sequence(X, np.array([2, 1]))),
    (TypeError, "integers in `lengths`", lambda: rnn.pack_padded_sequence(X, np.array([1.0, 1.0]))),
    (ValueError, "first size only", lambda: rnn.pad_sequence([X, X[0]])),
    (ValueError, "at least 1, got 0", lambda: rnn.pad_packed_sequence((X[0], np.array([2])), total_length=0)),
    (TypeError, "pair", lambda: nn.LSTM(3, 4)(X, X)), (TypeError, "pair", lambda: nn.LSTMCell(3, 4)(X[0], X)),
    (ValueError, r"hidden\[0\] size \(1, 2, 4\)", lambda: nn.LSTM(3, 4)(X, (X, X))),
    (ValueError, "Expected 4", lambda: nn.LSTM(4, 3)(X)), (ValueError, "larger than 0", lambda: nn.LSTM(3, 3)(X[:0])),
    (ValueError, "2D or 3D", lambda: nn.LSTM(3, 3)(X[0, 0])), (ValueError, "1D or 2D", lambda: nn.LSTMCell(3, 3)(X)),
    (ValueError, "expected 4", lambda: nn.LSTMCell(4, 3)(X[0])),
    (ValueError, r"hx\[0\]", lambda: nn.LSTMCell(3, 4)(X[0], (X[0], X[0]))),
    (ValueError, "range", lambda: nn.LSTM(3, 4, dropout=2)),
    (ValueError, "smaller", lambda: nn.LSTM(3, 4, proj_size=4)),
    (TypeError, "`input` is float32, the layer.s weights are float64", lambda: nn.LSTM(3, 4).double()(X)),
    (ValueError, "batch_sizes", lambda: nn.LSTM(3, 4)((X[0], np.array([1, 2])))),
    (ValueError, "w_ih",
     lambda: F.lstm_cell(X[0], (X[0], X[0]), np.ones((12, 4), np.float32), np.ones((12, 3), np.float32))),
    (IndexError, "out of range", lambda: nn.Flatten(4)(X)), (ValueError, "start_dim", lambda: nn.Flatten(2, 1)(X)),
    (IndexError, "out of range", lambda: nn.Unflatten(4, (1,))(X)),
    (ValueError, "product", lambda: nn.Unflatten(1, (4,))(X)),
    (ValueError, "one integer or 4", lambda: nn.ZeroPad2d((1, 2))),
    (ValueError, "3D or 4D", lambda: nn.CircularPad2d(1)(X[0])),
    (ValueError, "one of", lambda: F.interpolate(X)), (ValueError, "both", lambda: F.interpolate(X, 2, 2)),
    (ValueError, "3, 4 or 5", lambda: F.interpolate(X[0], 2)),
    (ValueError, "mode", lambda: F.interpolate(X, 2, mode="cubic")),
    (ValueError, "linear mode", lambda: F.interpolate(X, 2, align_corners=True)),
    (ValueError, "sizes >= 1", lambda: F.interpolate(X, scale_factor=0.1)),
    (ValueError, "one number or 1", lambda: F.interpolate(X, (2, 2))),
    (ValueError, "explicit size", lambda: F.interpolate(X, 2, recompute_scale_factor=True)),
    (ValueError, "empty at most", lambda: F.interpolate(EMPTY, 2)),
    (ValueError, "approximate", lambda: F.gelu(X, "fast")),
    (ValueError, "`max_val`", lambda: F.hardtanh(X, 1, 0)), (ValueError, "`max_val`", lambda: nn.Hardtanh(1, 1)),
    (ValueError, "probability", lambda: nn.Dropout(2)), (ValueError, "probability", lambda: F.dropout(X, -1)),
    (ValueError, "not a valid value", lambda: nn.MSELoss(reduction="most")),
    (ValueError, "`weight` of shape", lambda: F.nll_loss(X[0], np.array([0, 1]), np.ones(2))),
    (ValueError, "`target` of shape", lambda: F.nll_loss(X[0], np.array([0]))),
    (TypeError, "integer type", lambda: F.nll_loss(X[0], X[0])),
    (IndexError, "Target 3", lambda: F.nll_loss(X[0], np.array([0, 3]))),
    (ValueError, "at least 1 dimension", lambda: F.nll_loss(1.0, np.array(0))),
    (ValueError, "at least 1 dimension", lambda: F.cross_entropy(1.0, np.array(0))),
    (ValueError, "label_smoothing", lambda: F.cross_entropy(X[0], np.array([0, 0]), label_smoothing=2)),
    (ValueError, "that is not empty", lambda: F.conv1d(X, np.ones((0, 2, 1), np.float32))),
    (ValueError, "divisible by groups", lambda: F.conv1d(X, np.ones((3, 1, 1), np.float32), groups=2)),
    (ValueError, "strided", lambda: F.conv1d(X, np.ones((1, 2, 1), np.float32), padding="same", stride=2)),
    (ValueError, "expected `input` to have", lambda: F.conv_transpose1d(X, np.ones((3, 1, 1), np.float32))),
    (ValueError, "give an output", lambda: F.conv_transpose1d(X, np.ones((2, 1, 1), np.float32), padding=3)),
    (ValueError, "strided", lambda: nn.Conv1d(1, 1, 1, 2, "same")),
    (ValueError, "'sane'", lambda: nn.Conv1d(1, 1, 1, 1, "sane")),
    (ValueError, '"zeros"', lambda: nn.ConvTranspose1d(1, 1, 1, padding_mode="circular")),
    (TypeError, "integers", lambda: nn.ConvTranspose1d(1, 1, 1, padding="same")),
    (ValueError, "padding_idx", lambda: nn.Embedding(3, 2, 3)),
    (ValueError, "_weight", lambda: nn.Embedding(3, 2, _weight=X)),
    (TypeError, "number `negative_slope`, got 'a'", lambda: F.leaky_relu(X, "a")),
    (TypeError, "number `alpha`", lambda: F.elu(X, None)),
    (TypeError, "number `min_val`", lambda: F.hardtanh(X, "a", 2)),
    (TypeError, "number `max_val`", lambda: nn.Hardtanh(1, [2])),
    (TypeError, "number `beta`", lambda: F.softplus(X, 1j)),
    (TypeError, "number `p`", lambda: F.dropout(X, "a")), (TypeError, "number `p`", lambda: nn.Dropout2d(True)),
    (TypeError, "integer `dim`, got 'a'", lambda: F.softmax(X, "a")),
    (TypeError, "number `eps`", lambda: F.group_norm(X, 1, eps="a")),
    (TypeError, "number `momentum`", lambda: F.batch_norm(X, None, None, training=True, momentum="a")),
    (TypeError, "integer `size`", lambda: F.interpolate(X, "a")),
    (TypeError, "number `scale_factor`", lambda: F.interpolate(X, scale_factor="a")),
    (ValueError, "finite, got nan", lambda: F.interpolate(X, scale_factor=np.nan)),
    (ValueError, "finite, got inf", lambda: F.interpolate(X, scale_factor=np.inf)),
    (TypeError, "sequence of integers, got 3", lambda: F.pad(X, 3)), (TypeError, "'ab'", lambda: F.pad(X, "ab")),
    (TypeError, "pair", lambda: F.lstm_cell(X[0], 3, X[0], X[0])),
    (TypeError, "as keys", lambda: nn.ReLU().load_state_dict({1: 2})),
    (TypeError, "Parameter, got str", lambda: nn.Parameter("a")), (TypeError, "NoneType", lambda: nn.Parameter(None)),
    (ValueError, "`target` of shape", lambda: F.mse_loss(X, X[0, 0, :2])),
    (TypeError, "number `label_smoothing`", lambda: F.cross_entropy(X[0], X[0], label_smoothing="a")),
    (TypeError, "ragged", lambda: F.relu([[1.0], [1.0, 2.0]])),
    (TypeError, "Expected `running_mean`", lambda: F.batch_norm(X, [0.0, 0.0], np.ones(2, np.float32), training=True)),
])
def test_bad_arguments(error, text, call):
    with pytest.raises(error, match=text):
        call()
