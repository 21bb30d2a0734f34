"""Parameter: an array with a flag, which arithmetic leaves behind and copies keep."""
import copy
import pickle

import ml_dtypes
import numpy as np
import pytest

from pytorch_quantization_c.float_nn import Parameter


def make(flag=True):
    return Parameter(np.arange(6, dtype=np.float32).reshape(2, 3), requires_grad=flag)


def test_shares_memory_and_takes_lists():
    data = np.zeros(3, np.float32)
    parameter = Parameter(data)
    data[1] = 5
    assert parameter[1] == 5 and np.shares_memory(parameter, data)
    assert Parameter([1.0, 2.0]).dtype == np.float32 and Parameter(2.5).shape == ()


@pytest.mark.parametrize("how", [lambda p: p + 1, lambda p: 2 * p, lambda p: p @ p.T, lambda p: p[0],
                                 lambda p: p.sum(0), lambda p: np.concatenate([p, p]), lambda p: np.where(p > 1, p, 0),
                                 lambda p: p > 1, lambda p: np.add(np.ones((2, 3)), p),
                                 lambda p: np.sum(p, axis=1), lambda p: -p])
def test_results_are_plain(how):
    parameter = make()
    result, wanted = how(parameter), how(np.asarray(parameter))
    assert type(result) is np.ndarray
    np.testing.assert_array_equal(result, wanted)


@pytest.mark.parametrize("name, arguments", [
    ("argmax", (0,)), ("argmin", (1,)), ("argsort", ()), ("compress", ([True],)), ("diagonal", ()), ("flatten", ()),
    ("ravel", ()), ("repeat", (2,)), ("reshape", (3, 2)), ("squeeze", ()), ("swapaxes", (0, 1)), ("take", ([1],)),
    ("transpose", ()), ("dot", (np.ones((3, 1)),)), ("mean", (0,)), ("max", (0,)), ("cumsum", (0,)), ("clip", (0, 1))])
def test_methods_give_plain_arrays(name, arguments):
    result, wanted = getattr(make(), name)(*arguments), getattr(np.asarray(make()), name)(*arguments)
    assert type(result) is np.ndarray
    np.testing.assert_array_equal(result, wanted)


def test_shapes_are_views():
    parameter = make()
    for view in (parameter.T, parameter.mT, parameter.reshape(6), parameter.transpose(1, 0)):
        assert type(view) is np.ndarray and np.shares_memory(view, parameter)
    assert parameter.T.shape == (3, 2) and parameter.reshape.__doc__ == np.ndarray.reshape.__doc__


def test_in_place_arithmetic_keeps_the_parameter():
    parameter = make(False)
    same = parameter
    parameter *= 2
    assert parameter is same and type(parameter) is Parameter and not parameter.requires_grad
    assert parameter[1, 2] == 10
    out = np.zeros((2, 3), np.float32)
    assert np.add(parameter, 1, out=out) is out and out[0, 0] == 1
    assert np.add(1, 1, out=parameter[:1]).shape == (1, 3) and parameter[0, 0] == 2
    assert np.sum([parameter, parameter], axis=0, out=parameter) is parameter


def test_where_and_several_results():
    parameter = Parameter([1.5, -2.5])
    whole, part = np.divmod(parameter, 1)
    assert type(whole) is np.ndarray and part[0] == 0.5
    quotient = np.zeros(2, np.float32)
    first, second = np.divmod(parameter, 1, out=(quotient, None))
    assert first is quotient and second[0] == 0.5
    mask = Parameter(np.array([True, False]), requires_grad=False)
    assert np.add(parameter, 1, where=mask, out=np.zeros(2, np.float32))[1] == 0


@pytest.mark.parametrize("clone", [copy.deepcopy, copy.copy, lambda p: p.copy(),
                                   lambda p: pickle.loads(pickle.dumps(p))])
@pytest.mark.parametrize("flag", [True, False])
def test_copies_keep_type_flag_and_values(clone, flag):
    parameter = make(flag)
    other = clone(parameter)
    assert type(other) is Parameter and other.requires_grad is flag and not np.shares_memory(other, parameter)
    np.testing.assert_array_equal(np.asarray(other), np.asarray(parameter))


def test_deepcopy_keeps_sharing():
    parameter = make()
    one, two = copy.deepcopy([parameter, parameter])
    assert one is two


def test_only_floating_types_require_gradients():
    for dtype in (np.float16, np.float32, np.float64, ml_dtypes.bfloat16):
        assert Parameter(np.ones(2, dtype)).requires_grad
    with pytest.raises(RuntimeError, match="floating type.*int64"):
        Parameter(np.ones(2, np.int64))
    assert not Parameter(np.ones(2, np.int64), requires_grad=False).requires_grad


def test_text():
    assert repr(Parameter([1.0])) == "Parameter containing:\narray([1.], dtype=float32)"
    assert f"{Parameter(np.float32(1.25)):.1f}" == "1.2"
