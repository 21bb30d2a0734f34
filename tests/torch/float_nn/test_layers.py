"""Each layer against torch's of the same name: text, state both ways, results and their types, errors."""
import numpy as np
import pytest
import torch

from .compare import assert_close, error_of, kind_of, ours, theirs, to_numpy, to_torch

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")  # torch copies, and says so

V, S, C = (3, 4, 11), (2, 4, 9, 8), (2, 4, 6, 7, 5)

# name, positional arguments, keyword arguments, input shape
LAYERS = [
    ("Identity", (3,), {"a": 1}, V), ("Flatten", (), {}, S), ("Flatten", (0, 2), {}, S),
    ("Unflatten", (1, (2, -1)), {}, S),
    ("Linear", (11, 5), {}, V), ("Linear", (11, 5), {"bias": False}, (11,)),
    ("Conv1d", (4, 6, 3), {}, V), ("Conv1d", (4, 6, 3, 2, 1, 2, 2, False), {}, V), ("Conv1d", (4, 6, 1), {}, V[1:]),
    ("Conv1d", (4, 6, 4), {"padding": "same"}, V), ("Conv1d", (4, 6, 3), {"padding": "valid"}, V),
    ("Conv2d", (4, 6, 3), {}, S), ("Conv2d", (4, 8, (3, 2), (2, 1), (1, 2), (1, 3), 4), {}, S),
    ("Conv2d", (4, 6, 3), {"padding": "same", "dilation": (2, 1)}, S), ("Conv2d", (4, 6, 1), {}, S),
    ("Conv2d", (4, 6, 1, 2), {"bias": False}, S), ("Conv2d", (4, 6, 3), {"padding": 1, "groups": 2}, S[1:]),
    ("Conv3d", (4, 6, 3), {}, C), ("Conv3d", (4, 6, (1, 2, 3), (1, 2, 1), (0, 1, 2), 1, 2), {}, C),
    *(("Conv2d", (4, 6, 3), {"padding": (1, 2), "padding_mode": mode}, S)
      for mode in ("reflect", "replicate", "circular")),
    *((f"Conv{shape_mode[0]}d", (4, 4, 3), {"padding": 2, "padding_mode": shape_mode[2]}, shape_mode[1])
      for shape_mode in ((1, V, "circular"), (1, V[1:], "reflect"), (3, C, "circular"), (3, C, "replicate"))),
    ("Conv2d", (4, 6, 4), {"padding": "same", "padding_mode": "circular"}, S),
    ("ConvTranspose1d", (4, 6, 3), {}, V), ("ConvTranspose1d", (4, 6, 3, 3, 1, 2, 2, False, 2), {}, V),
    ("ConvTranspose2d", (4, 6, 3, 2), {"output_padding": 1, "groups": 2}, S), ("ConvTranspose2d", (4, 6, 1), {}, S),
    ("ConvTranspose2d", (4, 6, (3, 2)), {"dilation": (2, 3), "padding": (1, 0)}, S[1:]),
    ("ConvTranspose3d", (4, 6, 3), {}, C), ("ConvTranspose3d", (4, 4, 2, (1, 2, 3), 1, 0, 4), {}, C),
    ("MaxPool1d", (3,), {}, V), ("MaxPool1d", (3, 2, 1, 2), {"return_indices": True}, V),
    ("MaxPool2d", (2,), {}, S), ("MaxPool2d", ((3, 2), (2, 1), 1, (1, 2)), {"ceil_mode": True}, S),
    ("MaxPool2d", (3, 2), {"return_indices": True, "ceil_mode": True, "padding": 1}, S),
    ("MaxPool3d", (2,), {}, C), ("MaxPool3d", ((1, 2, 3), None, (0, 1, 1)), {"return_indices": True}, C),
    ("AvgPool1d", (3,), {}, V), ("AvgPool1d", (3, 2, 1, True, False), {}, V), ("AvgPool2d", (2,), {}, S),
    ("AvgPool2d", ((3, 2), (2, 1), 1), {"ceil_mode": True}, S), ("AvgPool2d", (3, 2), {"divisor_override": 5}, S[1:]),
    ("AvgPool2d", (3, 2, 1), {"count_include_pad": False, "ceil_mode": True}, S), ("AvgPool3d", (2,), {}, C),
    ("AvgPool3d", (3, 2, 1), {"ceil_mode": True}, C), ("AdaptiveAvgPool1d", (4,), {}, V),
    ("AdaptiveAvgPool2d", ((4, None),), {}, S), ("AdaptiveAvgPool2d", (1,), {}, S), ("AdaptiveAvgPool2d", (3,), {}, S),
    ("AdaptiveAvgPool3d", ((2, 3, 8),), {}, C), ("AdaptiveMaxPool1d", (4,), {"return_indices": True}, V),
    ("AdaptiveMaxPool2d", ((5, 3),), {"return_indices": True}, S), ("AdaptiveMaxPool3d", ((None, 3, 2),), {}, C),
    ("ReLU", (), {}, S), ("ReLU", (True,), {}, S), ("ReLU6", (), {"inplace": True}, S), ("LeakyReLU", (), {}, S),
    ("LeakyReLU", (0.2, True), {}, S), ("ELU", (), {}, S), ("ELU", (0.5, True), {}, S), ("Sigmoid", (), {}, S),
    ("Tanh", (), {}, S), ("SiLU", (), {}, S), ("GELU", (), {}, S), ("GELU", ("tanh",), {}, S), ("Hardswish", (), {}, S),
    ("Hardsigmoid", (), {}, S), ("Hardtanh", (), {}, S), ("Hardtanh", (-2, 0.5, True), {}, S), ("Softplus", (), {}, S),
    ("Softplus", (2, 1), {}, S), ("Softmax", (1,), {}, S), ("Softmax", (-1,), {}, V), ("LogSoftmax", (1,), {}, S),
    ("Dropout", (0.0,), {}, S), ("Dropout1d", (0.0,), {}, V), ("Dropout2d", (1.0,), {}, S),
    ("Dropout3d", (0.0, True), {}, C),
    ("BatchNorm1d", (4,), {}, V), ("BatchNorm1d", (4, 1e-3, 0.3), {}, (6, 4)),
    ("BatchNorm2d", (4,), {}, S), ("BatchNorm2d", (4, 1e-5, None), {}, S), ("BatchNorm3d", (4,), {"affine": False}, C),
    ("BatchNorm2d", (4,), {"track_running_stats": False}, S), ("BatchNorm2d", (4,), {"bias": False}, S),
    ("InstanceNorm1d", (4,), {}, V), ("InstanceNorm1d", (4, 1e-5, 0.2, True, True), {}, V[1:]),
    ("InstanceNorm2d", (4,), {"affine": True}, S), ("InstanceNorm2d", (4, 0.1, 0.3, True, True), {}, S),
    ("InstanceNorm3d", (4,), {"track_running_stats": True}, C), ("InstanceNorm2d", (4,), {"affine": True}, S[1:]),
    ("LayerNorm", (11,), {}, V), ("LayerNorm", ((9, 8), 0.1), {}, S), ("LayerNorm", (8,), {"bias": False}, S),
    ("LayerNorm", ([7, 5], 1e-5, False), {}, C), ("GroupNorm", (2, 4), {}, S), ("GroupNorm", (4, 4, 0.1, False), {}, V),
    ("GroupNorm", (1, 4), {"bias": False}, (3, 4)),
    *((f"{kind}Pad{n}d", (padding, *((2.5,) if kind == "Constant" else ())), {}, shape)
      for kind in ("Constant", "Zero", "Reflection", "Replication", "Circular")
      for n, shape in ((1, V), (2, S), (3, C), (2, S[1:]))
      for padding in (2, tuple((i * 3 + 1) % 4 for i in range(2 * n)))),
    ("ConstantPad2d", ((-1, 2, 1, -3), -1), {}, S), ("ZeroPad1d", (1,), {}, (5,)), ("ZeroPad2d", (-2,), {}, S),
    ("Upsample", (5,), {}, V), ("Upsample", ((7, 19),), {}, S), ("Upsample", (None, 2), {}, C),
    ("Upsample", (None, (1.7, 0.6)), {}, S), ("Upsample", (None, 1.3, "nearest-exact"), {}, S),
    ("Upsample", (None, 2.5, "linear"), {}, V), ("Upsample", (None, 2, "bilinear", True), {}, S),
    ("Upsample", (None, (0.7, 1.9), "bilinear", False), {}, S), ("Upsample", ((13, 5), None, "bilinear"), {}, S),
    ("Upsample", (None, 1.7, "bilinear", None, True), {}, S), ("Upsample", (1, None, "bilinear", True), {}, S),
    ("Upsample", (None, 1.5, "trilinear"), {}, C), ("Upsample", ((4, 9, 2), None, "trilinear", True), {}, C),
    ("Upsample", ((4, 3), None, "area"), {}, S), ("UpsamplingNearest2d", (None, 3), {}, S),
    ("UpsamplingBilinear2d", (12,), {}, S),
]
IDS = [f"{name}{args}{kwargs}" for name, args, kwargs, _ in LAYERS]


def pair(name, args, kwargs, rng):
    """Our layer and torch's with the same random state, taken from torch's."""
    with torch.random.fork_rng():
        torch.manual_seed(int(rng.integers(1 << 30)))
        their = getattr(theirs, name)(*args, **kwargs)
    our = getattr(ours, name)(*args, **kwargs)
    answer = our.load_state_dict({key: value.numpy() for key, value in their.state_dict().items()})
    assert answer == ([], [])
    return our, their


def results(value):
    return list(value) if isinstance(value, tuple) else [value]


def compare(our, their, x):
    given = x.copy()
    got, wanted = our(given), their(to_torch(x))
    inplace = getattr(our, "inplace", False)
    assert inplace or given.tobytes() == x.tobytes()
    if inplace:
        assert got is given
    for ours_, theirs_ in zip(results(got), results(wanted), strict=True):
        assert_close(ours_, theirs_)


@pytest.mark.parametrize("name, args, kwargs, shape", LAYERS, ids=IDS)
def test_same_results(name, args, kwargs, shape, rng):
    our, their = pair(name, args, kwargs, rng)
    assert repr(our) == repr(their)
    x = rng.normal(size=shape).astype(np.float32)
    compare(our, their, x)
    for key, value in their.state_dict().items():  # running statistics move
        assert_close(our.state_dict()[key], value)
    compare(our.eval(), their.eval(), x)
    assert repr(our.double()) == repr(their.double())
    our.load_state_dict({key: value.numpy() for key, value in their.state_dict().items()})
    compare(our, their, x.astype(np.float64))


@pytest.mark.parametrize("name, args, kwargs, shape", LAYERS, ids=IDS)
def test_same_state(name, args, kwargs, shape, rng):
    our, their = getattr(ours, name)(*args, **kwargs), getattr(theirs, name)(*args, **kwargs)
    mine = our.state_dict()
    assert {k: (v.shape, v.dtype.name) for k, v in mine.items()} == \
        {k: (tuple(v.shape), v.numpy().dtype.name) for k, v in their.state_dict().items()}
    their.load_state_dict({key: to_torch(value) for key, value in mine.items()})
    x = rng.normal(size=shape).astype(np.float32)
    for got, wanted in zip(results(our.eval()(x.copy())), results(their.eval()(to_torch(x))), strict=True):
        assert_close(got, wanted)


def compare_empty(result):
    assert not any(each.size for each in results(result))


@pytest.mark.parametrize("name, args, kwargs, shape", LAYERS, ids=IDS)
def test_empty_batch(name, args, kwargs, shape, rng):
    """As torch; where torch refuses to work on nothing, an error or nothing."""
    shape = (0, *shape[1:])
    our, their = pair(name, args, kwargs, rng)
    x = np.zeros(shape, np.float32)
    wanted = error_of(lambda: their(to_torch(x)))
    if wanted is None:
        compare(our, their, x)
    else:
        got = error_of(lambda: compare_empty(our(x)))
        assert got is None or isinstance(got, kind_of(wanted))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name, args, kwargs, shape", [
    ("Linear", (11, 5), {}, V), ("Conv2d", (4, 6, 3), {}, S), ("ConvTranspose2d", (4, 6, 3), {}, S),
    ("MaxPool2d", (2,), {}, S), ("AvgPool2d", (2,), {}, S), ("AdaptiveAvgPool2d", (3,), {}, S), ("ReLU", (), {}, S),
    ("GELU", (), {}, S), ("Sigmoid", (), {}, S), ("Softmax", (1,), {}, S), ("LogSoftmax", (1,), {}, S),
    ("Hardswish", (), {}, S), ("SiLU", (), {}, S)])
def test_half_types(name, args, kwargs, shape, dtype, rng):
    our, their = pair(name, args, kwargs, rng)
    their.to(getattr(torch, dtype))
    x = to_numpy(to_torch(rng.normal(size=shape)).to(getattr(torch, dtype)))
    assert_close(our.to(x.dtype)(x), their(to_torch(x)))


BAD = [
    ("Linear", (3, 2), (4,)), ("Linear", (3, 2), ()), ("Conv2d", (3, 4, 3), (2, 2, 8, 8)), ("Conv2d", (3, 4, 9), S),
    ("Conv2d", (4, 4, 3), (4, 4)), ("Conv2d", (4, 4, 3, 0), S), ("Conv2d", (4, 4, 3, 1, -1), S),
    ("Conv2d", (4, 4, 3, 1, 0, 0), S), ("Conv2d", (3, 4, 3, 1, 0, 1, 2), S), ("Conv2d", (4, 4, 3, 1, "bad"), S),
    ("Conv2d", (4, 4, 3, 2, "same"), S), ("Conv2d", (4, 4, 3, 1, 0, 1, 1, True, "bad"), S),
    ("Conv2d", (4, 4, 3, 1, 9, 1, 1, True, "reflect"), S), ("Conv2d", (4, 4, 3, 1, 10, 1, 1, True, "circular"), S),
    ("Conv1d", (4, 4, 3), S), ("Conv3d", (4, 4, 3), V), ("ConvTranspose2d", (3, 4, 3), S),
    ("Conv2d", (4, 4, (1, 1, 1)), S),
    ("ConvTranspose2d", (4, 4, 3, 1, 0, 1), S), ("ConvTranspose2d", (4, 4, 3, 1, 0, 0, 1, True, 1, "reflect"), S),
    ("ConvTranspose2d", (4, 4, 3, 1, 6), S), ("MaxPool2d", (2,), (8, 8)), ("MaxPool2d", (2, 2, 2), S),
    ("MaxPool2d", (12,), S), ("MaxPool2d", (2, 0), S), ("MaxPool2d", (0,), S), ("MaxPool2d", ((2, 2, 2),), S),
    ("AvgPool2d", (2, 2, 2), S), ("AvgPool2d", (2, 2, 0, False, True, 0), S), ("AvgPool1d", (3,), (3,)),
    ("AvgPool3d", (3,), V), ("AdaptiveAvgPool2d", (3,), (8, 8)), ("AdaptiveAvgPool2d", ((3, 3, 3),), S),
    ("AdaptiveAvgPool2d", (-1,), S), ("AdaptiveMaxPool1d", (3,), S), ("Softmax", (4,), S), ("LogSoftmax", (-5,), S),
    ("Flatten", (), (5,)), ("Flatten", (4,), S), ("Flatten", (3, 1), S),
    ("Unflatten", (1, (3, 2)), S), ("Unflatten", (7, (2, 2)), S),
    ("Dropout", (1.5,), S), ("Dropout", (-0.5,), S), ("GELU", ("bad",), S),
    ("ReLU", ("a", "b"), S), ("BatchNorm1d", (4,), S), ("BatchNorm2d", (4,), V), ("BatchNorm2d", (3,), S),
    ("BatchNorm1d", (4,), (1, 4)), ("BatchNorm2d", (4,), (1, 4, 1, 1)), ("InstanceNorm2d", (4,), (1, 4, 1, 1)),
    ("InstanceNorm2d", (3, 1e-5, 0.1, True), S), ("InstanceNorm1d", (4,), (4,)), ("InstanceNorm3d", (4,), V),
    ("GroupNorm", (2, 3), S), ("GroupNorm", (3, 6), S), ("GroupNorm", (2, 4), (4,)), ("LayerNorm", (7,), S),
    ("LayerNorm", ((9, 8, 1),), S), ("LayerNorm", ((),), S), ("ReflectionPad2d", (9,), S),
    ("ReflectionPad2d", (1,), V[1:]),
    ("ReflectionPad2d", ((1, 2),), S), ("ZeroPad2d", (-5,), S), ("ZeroPad2d", (1,), (5,)), ("CircularPad2d", (10,), S),
    ("CircularPad2d", (1,), V[1:]), ("ConstantPad2d", (1, "a"), S), ("Upsample", (), S), ("Upsample", (3, 2), S),
    ("Upsample", (None, 2, "nearest", True), S), ("Upsample", (None, 2, "bilinear"), V),
    ("Upsample", (None, 2, "bad"), S),
    ("Upsample", ((3,),), S), ("Upsample", (0,), S), ("Upsample", (2,), (3, 4)), ("Upsample", (None, (2, 2, 2)), S),
    ("Upsample", (None, 0.05), S), ("Upsample", (3, None, "nearest", None, True), S),
]


@pytest.mark.parametrize("name, args, shape", BAD, ids=lambda value: str(value))
def test_same_errors(name, args, shape, rng):
    x = rng.normal(size=shape).astype(np.float32)
    wanted = error_of(lambda: getattr(theirs, name)(*args)(to_torch(x)))
    got = error_of(lambda: getattr(ours, name)(*args)(x))
    assert wanted is not None and isinstance(got, kind_of(wanted)), (got, wanted)


def test_table_covers_every_layer():
    plain = {"Module", "ModuleDict", "ModuleList", "Parameter", "Sequential"}
    layers = {name for name in ours.__all__ if isinstance(getattr(ours, name), type)} - plain
    others = {"Embedding", "GRU", "GRUCell", "LSTM", "LSTMCell", "MultiheadAttention", "CrossEntropyLoss", "L1Loss",
              "MSELoss", "NLLLoss"}  # have own files
    assert layers - {name for name, *_ in LAYERS} == others
