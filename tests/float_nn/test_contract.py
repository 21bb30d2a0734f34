"""What all functions and layers of float_nn have in common, looked up by introspection: a new one must be listed."""
import copy
import pickle
import sys

import ml_dtypes
import numpy as np
import pytest

from pytorch_quantization_c import float_nn as nn
from pytorch_quantization_c.float_nn import functional as F

PLANE, LINE, CUBE = (2, 4, 6, 5), (2, 4, 7), (1, 4, 4, 3, 5)

# name -> shapes of the array arguments, then further arguments
FUNCTIONS = {
    **{name: ([PLANE],) for name in ("elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "relu",
                                     "relu6", "sigmoid", "silu", "softplus", "tanh")},
    **{f"{kind}{n}d": ([shape, (4, 2, *(2,) * n), (4,)], 1, 1, 1, 2)
       for kind in ("conv",) for n, shape in ((1, LINE), (2, PLANE), (3, CUBE))},
    **{f"conv_transpose{n}d": ([shape, (4, 2, *(2,) * n), (4,)], 2, 1, 1, 2)
       for n, shape in ((1, LINE), (2, PLANE), (3, CUBE))},
    **{f"{kind}{n}d{end}": ([shape], 2, 1)
       for kind, ends in (("max_pool", ("", "_with_indices")), ("avg_pool", ("",)))
       for n, shape in ((1, LINE), (2, PLANE), (3, CUBE)) for end in ends},
    **{f"adaptive_{kind}_pool{n}d": ([shape], 3) for kind in ("avg", "max")
       for n, shape in ((1, LINE), (2, PLANE), (3, CUBE))},
    "gru_cell": ([(4, 7), (4, 3), (9, 7), (9, 3)],),
    "linear": ([LINE, (3, 7), (3,)],), "softmax": ([PLANE], 1), "log_softmax": ([PLANE], -1), "dropout": ([PLANE], 0.0),
    **{f"dropout{n}d": ([shape], 0.0) for n, shape in ((1, LINE), (2, PLANE), (3, CUBE))},
    "batch_norm": ([PLANE, (4,), (4,), (4,), (4,)],), "instance_norm": ([PLANE, (4,), (4,), (4,), (4,)], False),
    "group_norm": ([PLANE], 2), "layer_norm": ([LINE], (7,)), "pad": ([PLANE], (1, 2)), "interpolate": ([PLANE], 7),
    "mse_loss": ([LINE, LINE],), "l1_loss": ([LINE, LINE],), "cross_entropy": ([LINE, LINE],),
}
OTHERS = {"embedding", "lstm_cell", "nll_loss"}  # take integers or pairs
NAMES = sorted(FUNCTIONS)


def arguments(name, rng, dtype=np.float32):
    shapes, *rest = FUNCTIONS[name]
    return [np.abs(rng.normal(size=shape)).astype(dtype) for shape in shapes], rest


def parts(result):
    return result if isinstance(result, tuple) else (result,)


def same(got, wanted, limit=0.0):
    for one, other in zip(parts(got), parts(wanted), strict=True):
        assert type(one) is np.ndarray and one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=0, atol=limit * max(1, np.abs(other).max(initial=0)))


def test_all_functions_are_listed():
    assert set(F.__all__) == set(FUNCTIONS) | OTHERS
    for name in F.__all__:
        assert getattr(F, name).__doc__, name


@pytest.mark.parametrize("name", NAMES)
def test_inputs_stay_and_layout_does_not_matter(name, rng):
    arrays, rest = arguments(name, rng)
    before = [array.tobytes() for array in arrays]
    wanted = getattr(F, name)(*arrays, *rest)
    assert [array.tobytes() for array in arrays] == before
    for change in (np.asfortranarray, lambda a: a.astype(a.dtype.newbyteorder(">")),
                   lambda a: np.repeat(a, 2, axis=-1)[..., ::2], lambda a: a[::-1].copy()[::-1],
                   lambda a: nn.Parameter(a.copy())):
        same(getattr(F, name)(*map(change, arrays), *rest), wanted, 1e-6)
    for array in arrays:
        array.flags.writeable = False
    same(getattr(F, name)(*arrays, *rest), wanted)


@pytest.mark.parametrize("name", NAMES)
def test_lists_are_taken_as_float32(name, rng):
    arrays, rest = arguments(name, rng)
    same(getattr(F, name)(*(array.tolist() for array in arrays), *rest), getattr(F, name)(*arrays, *rest))


@pytest.mark.parametrize("dtype, limit", [(np.float64, 1e-5), (np.float16, 4e-3), (ml_dtypes.bfloat16, 3e-2)])
@pytest.mark.parametrize("name", NAMES)
def test_all_floating_types(name, dtype, limit, rng):
    """Results have the type of the input, and half types are rounded once: at most half a digit from float32's."""
    arrays, rest = arguments(name, rng, dtype)
    got = getattr(F, name)(*arrays, *rest)
    wanted = getattr(F, name)(*(array.astype(np.float32) for array in arrays), *rest)
    for one, other in zip(parts(got), parts(wanted), strict=True):
        if other.dtype == np.float32:
            assert one.dtype == dtype
            one, other = one.astype(float), other.astype(float)
        np.testing.assert_allclose(one, other, rtol=limit, atol=limit * 1e-2)


@pytest.mark.parametrize("name", NAMES)
def test_wrong_types(name, rng):
    arrays, rest = arguments(name, rng)
    function = getattr(F, name)
    kinds = [np.int32, np.bool_, np.complex64, object, np.str_, np.longdouble]
    for kind in kinds[1:] if name == "pad" else kinds:
        with pytest.raises(TypeError, match="input.*floating type"):
            function(arrays[0].astype(kind), *arrays[1:], *rest)
    with pytest.raises(TypeError):
        function(None, *arrays[1:], *rest)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_leaks(name, rng):
    arrays, rest = arguments(name, rng)

    def counts():
        return [sys.getrefcount(array) for array in arrays]

    before = counts()
    for _ in range(3):
        getattr(F, name)(*arrays, *rest)
        with pytest.raises((TypeError, ValueError)):
            getattr(F, name)(arrays[0].astype(np.complex64), *arrays[1:], *rest)
    assert counts() == before


LAYERS = [
    nn.Linear(3, 2), nn.Conv1d(2, 4, 3, bias=False), nn.Conv2d(2, 4, (3, 1), 2, 1, groups=2, padding_mode="circular"),
    nn.Conv3d(1, 1, 2, padding="same"), nn.ConvTranspose1d(1, 2, 3), nn.ConvTranspose2d(2, 2, 3, 2, 1, 1),
    nn.ConvTranspose3d(1, 1, 1), nn.LSTM(3, 2, 2, bidirectional=True), nn.LSTMCell(3, 2, False), nn.Embedding(4, 3, 1),
    nn.GRU(3, 2, 2, bidirectional=True), nn.GRUCell(3, 2, False), nn.MultiheadAttention(4, 2, add_bias_kv=True),
    nn.BatchNorm1d(3), nn.BatchNorm2d(2, affine=False), nn.BatchNorm3d(2, momentum=None), nn.InstanceNorm1d(3),
    nn.InstanceNorm2d(3, affine=True), nn.InstanceNorm3d(3, track_running_stats=True), nn.LayerNorm((2, 3)),
    nn.GroupNorm(2, 4), nn.MaxPool1d(2), nn.MaxPool2d((2, 1), padding=1, ceil_mode=True), nn.MaxPool3d(3, 2),
    nn.AvgPool1d(2), nn.AvgPool2d(2), nn.AvgPool3d((1, 2, 2)), nn.AdaptiveAvgPool1d(3), nn.AdaptiveAvgPool2d((1, None)),
    nn.AdaptiveAvgPool3d(2), nn.AdaptiveMaxPool1d(3), nn.AdaptiveMaxPool2d(2), nn.AdaptiveMaxPool3d(2), nn.ReLU(True),
    nn.ReLU6(), nn.LeakyReLU(0.2), nn.ELU(), nn.Sigmoid(), nn.Tanh(), nn.SiLU(), nn.GELU(), nn.Hardswish(),
    nn.Hardsigmoid(), nn.Hardtanh(), nn.Softplus(), nn.Softmax(1), nn.LogSoftmax(-1), nn.Dropout(), nn.Flatten(),
    nn.Dropout1d(), nn.Dropout2d(0.2), nn.Dropout3d(0.1, True),
    nn.Unflatten(1, (2, 2)), nn.Identity(), nn.Upsample(scale_factor=2), nn.UpsamplingNearest2d(3),
    nn.UpsamplingBilinear2d(3), nn.CrossEntropyLoss(), nn.NLLLoss(np.ones(3, np.float32)), nn.MSELoss(), nn.L1Loss(),
    *(getattr(nn, f"{kind}Pad{n}d")(*((1, 2.5) if kind == "Constant" else (1,)))
      for kind in ("Constant", "Zero", "Reflection", "Replication", "Circular") for n in (1, 2, 3)),
]


def test_all_layers_are_listed():
    containers = {"Module", "ModuleDict", "ModuleList", "Parameter", "Sequential"}
    layers = {name for name in nn.__all__ if isinstance(getattr(nn, name), type)}
    assert layers - containers == {type(layer).__name__ for layer in LAYERS}
    for name in layers:
        assert getattr(nn, name).__doc__, name


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_layers_copy_and_pickle(layer, clone):
    other = clone(layer)
    assert repr(other) == repr(layer) and type(other) is type(layer)
    mine, yours = layer.state_dict(), other.state_dict()
    assert list(mine) == list(yours)
    for name, value in mine.items():
        np.testing.assert_array_equal(value, yours[name])
        assert not np.shares_memory(value, yours[name])
    assert other.load_state_dict(mine) == ([], [])


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_layers_convert_their_type(layer):
    other = copy.deepcopy(layer).to(ml_dtypes.bfloat16)
    assert {value.dtype.name for name, value in other.state_dict().items() if "num_batches" not in name} <= {"bfloat16"}
    assert all(type(parameter) is nn.Parameter for parameter in other.parameters())
