"""The C functions under the convolutions: im2col, its adjoint and erf, against loops and the math module."""
import math
import threading

import numpy as np
import pytest

from pytorch_quantization_c import _C, threads


def oracle(x, kernel, stride, padding, dilation, out):
    """By the definition: position o of kernel element k reads o * stride + k * dilation - padding, or zero."""
    columns = np.zeros((x.shape[1], math.prod(kernel), len(x), math.prod(out)), x.dtype)
    for row, k in enumerate(np.ndindex(*kernel)):
        for column, o in enumerate(np.ndindex(*out)):
            at = [o[i] * stride[i] + k[i] * dilation[i] - padding[i] for i in range(3)]
            if all(0 <= a < n for a, n in zip(at, x.shape[2:], strict=True)):
                columns[:, row, :, column] = x[(slice(None), slice(None), *at)].T
    return columns.reshape(columns.shape[0] * columns.shape[1], len(x) * math.prod(out))


def windows(rng, count=60):
    for _ in range(count):
        size, kernel, stride, dilation = (tuple(int(n) for n in rng.integers(1, high, 3)) for high in (8, 4, 4, 4))
        padding = tuple(int(n) for n in rng.integers(0, 4, 3))
        reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        out = tuple(max(0, (n + 2 * p - r) // s + 1)
                    for n, p, r, s in zip(size, padding, reach, stride, strict=True))
        yield int(rng.integers(0, 4)), size, kernel, stride, padding, dilation, out


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_im2col_reads_what_the_definition_says(dtype, rng):
    for planes, size, *window in windows(rng):
        x = rng.normal(size=(planes, int(rng.integers(0, 3)), *size)).astype(dtype)
        got = _C.im2col(x, *window)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, oracle(x, *window))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_col2im_is_the_adjoint(dtype, rng):
    """Integers are added without rounding, so the two inner products are equal."""
    for planes, size, kernel, stride, padding, dilation, out in windows(rng):
        x = rng.integers(-8, 9, (planes, *size)).astype(dtype)
        columns = rng.integers(-8, 9, (planes, math.prod(kernel), *out)).astype(dtype)
        y = _C.col2im(columns, size, kernel, stride, padding, dilation)
        assert y.shape == x.shape and y.dtype == dtype
        rows = columns.reshape(planes * math.prod(kernel), math.prod(out))
        wanted = (oracle(x[None], kernel, stride, padding, dilation, out) * rows).sum()
        assert (x * y).sum() == wanted


def test_positions_beyond_the_plane_are_zero():
    x = np.ones((1, 1, 1, 1, 3), np.float32)
    assert _C.im2col(x, (1, 1, 1), (1, 1, 1), (0, 0, 1), (1, 1, 1), (1, 1, 6)).tolist() == [[0, 1, 1, 1, 0, 0]]
    assert _C.im2col(x, (1, 1, 1), (1, 1, 1), (2, 0, 0), (1, 1, 1), (1, 1, 3)).tolist() == [[0, 0, 0]]


def test_same_bits_from_any_number_of_threads(rng):
    x = rng.normal(size=(2, 20, 6, 20, 19)).astype(np.float32)
    window = (3, 3, 2), (1, 2, 1), (1, 1, 1), (1, 1, 2), (6, 10, 19)
    before = threads.get_num_threads()
    results = []
    try:
        for number in (1, 2, 5):
            threads.set_num_threads(number)
            columns = _C.im2col(x, *window)
            y = _C.col2im(columns.reshape(40, 18, 6, 10, 19), x.shape[2:], *window[:-1])
            results.append((columns.tobytes(), y.tobytes(), _C.erf(x).tobytes()))
    finally:
        threads.set_num_threads(before)
    assert results[0] == results[1] == results[2]


def test_from_many_threads_at_once(rng):
    x = rng.normal(size=(1, 8, 1, 30, 30)).astype(np.float32)
    window = (1, 3, 3), (1, 1, 1), (0, 1, 1), (1, 1, 1), (1, 30, 30)
    wanted, wrong = oracle(x, *window), []

    def work():
        for _ in range(20):
            if not np.array_equal(_C.im2col(x, *window), wanted):
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(4)]
    [worker.start() for worker in workers], [worker.join() for worker in workers]
    assert not wrong


def test_erf_is_the_math_module_s():
    x = np.concatenate([np.linspace(-7, 7, 3001), [0.0, -0.0, 1e-30, 1e300, np.inf, -np.inf]])
    wanted = np.array([math.erf(value) for value in x])
    np.testing.assert_allclose(_C.erf(x), wanted, rtol=4e-16)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(_C.erf(x.astype(np.float32)), [math.erf(value) for value in x.astype(np.float32)],
                                   rtol=2e-7)
    assert math.isnan(_C.erf(np.float32(np.nan))) and _C.erf(np.zeros((2, 0))).shape == (2, 0)


T = (1, 1, 1)
BAD = [
    (TypeError, _C.im2col, (np.ones((1, 1, 1, 1, 1), np.int32), T, T, T, T, T), "x.*int32"),
    (TypeError, _C.im2col, (np.ones((1, 1, 1, 1, 1), np.float16), T, T, T, T, T), "half"),
    (ValueError, _C.im2col, (np.ones((1, 1, 1, 1)), T, T, T, T, T), "5 dimensions, got 4"),
    (TypeError, _C.im2col, (np.ones((1, 1, 1, 1, 1)), T, (1, 1), T, T, T), "stride"),
    (TypeError, _C.im2col, (np.ones((1, 1, 1, 1, 1)), [1, 1, 1], T, T, T, T), "kernel"),
    (TypeError, _C.im2col, (np.ones((1, 1, 1, 1, 1)), T, T, (0.5, 0, 0), T, T), "padding"),
    (ValueError, _C.im2col, (np.ones((1, 1, 1, 1, 1)), T, (1, 0, 1), T, T, T), "stride"),
    (ValueError, _C.im2col, (np.ones((1, 1, 1, 1, 1)), T, T, T, T, (-1, 1, 1)), "out"),
    (ValueError, _C.im2col, (np.ones((1, 1, 1, 1, 1)), (1 << 31,) * 3, T, T, T, T), "kernel"),
    (ValueError, _C.im2col, (np.ones((1, 1, 1, 1, 1)), ((1 << 31) - 1,) * 3, T, T, T, T), "memory"),
    (TypeError, _C.im2col, (np.ones((1, 1, 1, 1, 1)), T, T, T, T), "expected 6"),
    (ValueError, _C.col2im, (np.ones((1, 2, 1, 1, 1)), T, T, T, T, T), "1 kernel elements, got 2"),
    (ValueError, _C.col2im, (np.ones((1, 1, 1, 1)), T, T, T, T, T), "5 dimensions"),
    (ValueError, _C.col2im, (np.ones((1, 1, 1, 1, 1)), ((1 << 31) - 1,) * 3, T, T, T, T), "memory"),
    (TypeError, _C.erf, (np.ones(1, np.int64),), "int64"),
]


@pytest.mark.parametrize("error, function, arguments, text", BAD, ids=lambda value: getattr(value, "__name__", None))
def test_bad_arguments(error, function, arguments, text):
    with pytest.raises(error, match=text):
        function(*arguments)


def test_huge_strides_do_not_read_outside():
    big = (1 << 31) - 1
    x = np.ones((1, 1, 1, 1, 2), np.float32)
    assert _C.im2col(x, (2, 1, 2), (big,) * 3, (big, 0, 0), (big, big, 1), (2, 1, 2)).sum() == 4
    assert _C.im2col(x, (2, 1, 2), (big,) * 3, (0, 0, 0), (big, big, big), (2, 1, 2)).sum() == 1
