"""Linear, embedding, activations, losses, padding and resizing against the math module and plain formulas."""
import math

import numpy as np
import pytest

from pytorch_quantization_c import float_nn as nn
from pytorch_quantization_c.float_nn import functional as F

X = np.concatenate([np.linspace(-9, 9, 181), [-1e30, -200, -88.5, 0.0, 88.5, 200, 1e30]])


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


ACTIVATIONS = [
    (F.relu, lambda x: max(x, 0.0)), (F.relu6, lambda x: min(max(x, 0.0), 6.0)), (F.sigmoid, sigmoid),
    (F.tanh, math.tanh),
    (F.leaky_relu, lambda x: x if x > 0 else 0.01 * x), (F.elu, lambda x: x if x > 0 else math.expm1(x)),
    (F.silu, lambda x: x * sigmoid(x)), (F.hardtanh, lambda x: min(max(x, -1.0), 1.0)),
    (F.gelu, lambda x: 0.5 * x * math.erfc(-x * math.sqrt(0.5))),
    (F.hardsigmoid, lambda x: min(max(x + 3, 0), 6) / 6), (F.hardswish, lambda x: x * min(max(x + 3, 0), 6) / 6),
    (F.softplus, lambda x: x if x > 20 else math.log1p(math.exp(x))),
]


@pytest.mark.parametrize("dtype, limit", [(np.float32, 4e-7), (np.float64, 1e-15)])
@pytest.mark.parametrize("function, formula", ACTIVATIONS, ids=[f.__name__ for f, _ in ACTIVATIONS])
def test_activations(function, formula, dtype, limit):
    """Within `limit` of the value, or of 1 where the value is small."""
    x = X.astype(dtype)
    wanted = np.array([formula(float(value)) for value in x])
    y = function(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, wanted, rtol=limit, atol=limit)
    assert np.isnan(function(np.array([np.nan], dtype))).all()
    assert function(x[:0]).shape == (0,) and function(x[5]).shape == () and type(function(x[5])) is np.ndarray


def test_gelu_by_tanh():
    wanted = [0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) for x in X[:181]]
    np.testing.assert_allclose(F.gelu(X[:181], "tanh"), wanted, atol=1e-14)


def test_inplace_writes_into_the_input():
    x = np.array([-1.0, 2.0], np.float32)
    assert F.relu(x, inplace=True) is x and x.tolist() == [0, 2]
    assert nn.SiLU(inplace=True)(x) is x
    with pytest.raises(TypeError, match="array for inplace"):
        F.relu([1.0], inplace=True)
    frozen = np.ones(2, np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        F.relu(frozen, inplace=True)


def test_softmax(rng):
    x = rng.normal(size=(3, 4, 5)).astype(np.float32) * 50
    for axis in range(-3, 3):
        e = np.exp(x.astype(np.float64) - x.max())
        wanted = e / e.sum(axis, keepdims=True)
        np.testing.assert_allclose(F.softmax(x, axis), wanted, atol=1e-6)
        np.testing.assert_allclose(np.exp(F.log_softmax(x, axis).astype(np.float64)), wanted, atol=3e-5)
    assert F.softmax(x, 1, dtype=np.float64).dtype == np.float64
    assert F.softmax(np.float32(3), 0).shape == () and F.softmax(np.zeros((0, 3)), 1).shape == (0, 3)
    with pytest.warns(UserWarning, match="is 1"):
        F.softmax(x[0])
    with pytest.raises(IndexError):
        F.softmax(x, 3)


def test_linear(rng):
    x, w, b = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 3, 7), (5, 7), 5))
    wanted = np.einsum("abi,oi->abo", x.astype(float), w.astype(float)) + b
    np.testing.assert_allclose(F.linear(x, w, b), wanted, atol=1e-5)
    np.testing.assert_allclose(F.linear(x[0, 0], w), wanted[0, 0] - b, atol=1e-5)
    assert F.linear(x, w[0]).shape == (2, 3) and F.linear(x[:0], w, b).shape == (0, 3, 5)
    nothing = F.linear(np.ones((2, 0), np.float32), np.ones((3, 0), np.float32), np.arange(3, dtype=np.float32))
    assert nothing.tolist() == [[0, 1, 2]] * 2
    for bad in (x[..., :6], np.float32(3)):
        with pytest.raises(ValueError, match="`input` with 7 as last size"):
            F.linear(bad, w)
    with pytest.raises(ValueError, match="`bias` of a shape"):
        F.linear(x, w, np.ones(4, np.float32))
    with pytest.raises(ValueError, match="1 or 2 dimensions"):
        F.linear(x, w[None])


def test_embedding():
    table = np.arange(12.0).reshape(4, 3)
    assert F.embedding([[3, 0]], table).tolist() == [[[9, 10, 11], [0, 1, 2]]]
    for bad in (4, -1):
        with pytest.raises(IndexError, match=r"within \[0, 4\)"):
            F.embedding(np.array([bad]), table)
    with pytest.raises(TypeError, match="integer type"):
        F.embedding(np.array([0.0]), table)
    with pytest.raises(ValueError, match="2 dimensions"):
        F.embedding(np.array([0]), table[0])
    with pytest.raises(ValueError, match="padding_idx"):
        F.embedding(np.array([0]), table, padding_idx=4)


def test_dropout_keeps_the_mean_and_repeats():
    x = np.ones(20000, np.float32)
    nn.manual_seed(1)
    y = F.dropout(x, 0.3)
    assert set(np.unique(y)) == {0, np.float32(1 / 0.7)} and abs(y.mean() - 1) < 0.02
    nn.manual_seed(1)
    np.testing.assert_array_equal(F.dropout(x, 0.3), y)
    assert F.dropout(x, 1.0).sum() == 0 and F.dropout(x, 0.3, False).sum() == 20000
    layer = nn.Dropout(0.5).eval()
    np.testing.assert_array_equal(layer(x), x)
    assert 0.4 < (layer.train()(x) == 0).mean() < 0.6


@pytest.mark.parametrize("function, shape, channels", [
    (F.dropout1d, (40, 30, 5), 2), (F.dropout1d, (400, 5), 1), (F.dropout2d, (40, 30, 4, 5), 2),
    (F.dropout3d, (40, 30, 2, 2, 2), 2), (F.dropout3d, (400, 2, 2, 2), 1)])
def test_channels_are_dropped_whole(function, shape, channels):
    y = function(np.ones(shape), 0.25)
    flat = y.reshape(*shape[:channels], -1)
    np.testing.assert_array_equal(flat, np.broadcast_to(flat[..., :1], flat.shape))
    assert abs((flat[..., 0] == 0).mean() - 0.25) < 0.08 and set(np.unique(y)) == {0, 1 / 0.75}
    with pytest.raises(ValueError, match="dimensions, got shape"):
        function(np.ones(3))
    np.testing.assert_array_equal(function(np.ones(shape), 0.25, False), np.ones(shape))


def test_losses():
    x, y = np.array([1.0, 3.0, -2.0]), np.array([0.0, 5.0, -2.0])
    assert F.mse_loss(x, y) == 5 / 3 and F.l1_loss(x, y, reduction="sum") == 3
    logits, classes = np.log([[0.2, 0.8], [0.5, 0.5]]), np.array([1, 0])
    np.testing.assert_allclose(F.cross_entropy(logits, classes), -(math.log(0.8) + math.log(0.5)) / 2)
    np.testing.assert_allclose(F.nll_loss(logits, classes, np.array([3.0, 1.0])),
                               -(math.log(0.8) + 3 * math.log(0.5)) / 4)
    np.testing.assert_allclose(F.cross_entropy(logits, np.array([1, -100]), reduction="none"), [-math.log(0.8), 0])
    np.testing.assert_allclose(F.cross_entropy(logits, np.array([[0.5, 0.5], [1, 0]]), reduction="none"),
                               [-(math.log(0.2) + math.log(0.8)) / 2, -math.log(0.5)])
    np.testing.assert_allclose(F.cross_entropy(logits[:1], classes[:1], label_smoothing=0.5),
                               -(0.75 * math.log(0.8) + 0.25 * math.log(0.2)))
    assert math.isnan(F.nll_loss(logits, np.array([-100, -100])))


def test_padding(rng):
    x = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    pads = ((0, 0), (0, 0), (3, 0), (1, 2))
    np.testing.assert_array_equal(F.pad(x, (1, 2, 3, 0), value=7), np.pad(x, pads, constant_values=7))
    for mode, name in (("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")):
        np.testing.assert_array_equal(F.pad(x, (1, 2, 3, 0), mode), np.pad(x, pads, name))
    np.testing.assert_array_equal(F.pad(x, (-1, 2, 1, -3)), np.pad(x[:, :, :1, 1:], ((0, 0), (0, 0), (1, 0), (0, 2))))
    assert F.pad(np.ones((1, 2), np.int32), (1, 0)).dtype == np.int32
    for bad, text in (((1,), "two numbers"), ((1,) * 10, "at most 4"), ((-3, -3), "negative `pad`")):
        with pytest.raises(ValueError, match=text):
            F.pad(x, bad)
    for mode, bad in (("reflect", (5, 0)), ("circular", (6, 0)), ("odd", (1, 1))):
        with pytest.raises(ValueError, match="Expected"):
            F.pad(x[0], (*bad, 0, 0), mode)
    with pytest.raises(ValueError, match="no `value`"):
        F.pad(x, (1, 1, 1, 1), "reflect", 3)
    with pytest.raises(TypeError, match="number `value`"):
        F.pad(x, (1, 1), value="a")


def test_interpolation():
    x = np.array([[[0.0, 10.0, 20.0]]])
    assert F.interpolate(x, 6).tolist() == [[[0, 0, 10, 10, 20, 20]]]
    assert F.interpolate(x, scale_factor=2.5).tolist() == [[[0, 0, 0, 10, 10, 20, 20]]]
    assert F.interpolate(x, 2, mode="nearest-exact").tolist() == [[[0, 20]]]
    np.testing.assert_allclose(F.interpolate(x, 5, mode="linear", align_corners=True), [[[0, 5, 10, 15, 20]]])
    np.testing.assert_allclose(F.interpolate(x, 6, mode="linear"), [[[0, 2.5, 7.5, 12.5, 17.5, 20]]])
    plane = np.add.outer(np.arange(3.0), 10 * np.arange(4.0))[None, None]  # linear, so bilinear is exact inside
    y = F.interpolate(plane, (5, 7), mode="bilinear", align_corners=True)
    np.testing.assert_allclose(y[0, 0], np.add.outer(np.arange(5) / 2, 10 * np.arange(7) / 2))
    np.testing.assert_array_equal(F.interpolate(plane, (1, 2), mode="area"), [[[[6, 26]]]])
    with pytest.raises(ValueError, match="antialias"):
        F.interpolate(x, 2, antialias=True)
