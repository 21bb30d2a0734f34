"""Hostile arguments: sizes whose product overflows, objects that raise, numbers without end."""
from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import _C, cuda_ext, isa, nn, tensor_quant, utils

HUGE = 2**31 - 1


class Raises:
    """An object whose conversion to an array fails in a way of its own."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("mine"), MemoryError(), OSError("disk")], ids=repr)
def test_exceptions_of_an_argument_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        tensor_quant.fake_tensor_quant(Raises(error), 1.0)
    assert caught.value is error


@pytest.mark.parametrize("bits", [10**5000, -(10**5000)], ids=["huge", "negative"])
def test_a_number_of_more_digits_than_python_prints(bits: int) -> None:
    with pytest.raises(ValueError, match="`num_bits` to be an integer from 0 to 32, got a huge"):
        cuda_ext.fake_tensor_quant(np.ones(3, np.float32), 1.0, bits)


def test_an_array_for_a_number_has_a_short_message() -> None:
    with pytest.raises(TypeError, match="num_bits") as caught:
        cuda_ext.fake_tensor_quant(np.ones(3, np.float32), 1.0, np.ones((300, 300)))  # type: ignore[arg-type]
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("shape", [(0, 1, 2, 2, 2), (1, 0, 2, 2, 2), (1, 1, 0, 2, 2)], ids=str)
@pytest.mark.parametrize("out", [(1, 1, 1), (0, 1, 1), (HUGE, 0, HUGE)], ids=str)
def test_columns_of_an_empty_array_with_a_huge_kernel(shape: tuple[int, ...], out: tuple[int, int, int]) -> None:
    ones = (1, 1, 1)
    with pytest.raises((ValueError, MemoryError)):
        _C.im2col(np.zeros(shape, np.float32), (HUGE, HUGE, HUGE), ones, (0, 0, 0), ones, out)


def test_an_empty_array_needs_no_memory_for_its_scales() -> None:
    inputs = np.zeros((0, 2, 2**40, 2), np.float32)  # the hole between the axes of amax would be filled: 16 TiB
    amax = np.ones((2, 1, 2), np.float32)
    assert tensor_quant.fake_tensor_quant(inputs, amax).shape == inputs.shape
    outputs, scale = tensor_quant.tensor_quant(inputs, amax)
    assert outputs.shape == inputs.shape and scale.shape == amax.shape
    assert (scale == 127).all()


def test_a_transposed_convolution_with_strides_without_end() -> None:
    layer = nn.QuantConvTranspose1d(2, 3, 2, stride=2**17)
    started = time.process_time()
    output = layer(np.ones((1, 2, 1), np.float32))
    assert layer.execution == "float: the strides are too large"
    assert output.shape == (1, 3, 2) and np.isfinite(output).all()
    assert time.process_time() - started < 5
    with pytest.raises(ValueError, match="strides"):
        _C.integer_pack(np.ones((2, 3, 1, 1, 1), np.int8), np.ones(3, np.float32), True, 1, (2**17,) * 3, (0,) * 3,
                        (0,) * 3, (1,) * 3, (0,) * 3, 8, False, True)


def test_counts_whose_sum_overflows() -> None:
    counts = np.full(16, 2**62, np.int64)
    assert 0 <= _C.percentile_search(counts, 0.9) <= 16
    assert math.isfinite(_C.entropy_search(counts, 8, False, 1, 1))


def test_a_range_that_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="`min_range` and `max_range` to broadcast"):
        _C.fake_affine(np.ones(6, np.float32), np.zeros(2), np.ones(3), 8)
    with pytest.raises(ValueError, match="`min_range` and `max_range` to broadcast"):
        _C.fake_affine(np.ones(6, np.float32), np.zeros((1,) * 40), np.ones((1,) * 40), 8)
    with pytest.raises(MemoryError):
        _C.fake_affine(np.ones(6, np.float32), np.zeros((2**23, 1)), np.zeros((1, 2**22)), 8)


def test_views_without_memory_of_their_own() -> None:
    """One number seen 2^46 times: the answer, or MemoryError; never a crash."""
    endless = np.lib.stride_tricks.as_strided(np.ones(1, np.float32), (2**23, 2**23), (0, 0))
    for call in (lambda: tensor_quant.fake_tensor_quant(endless, 1.0), lambda: utils.reduce_amax(endless),
                 lambda: _C.fingerprint(endless), lambda: tensor_quant.fake_tensor_quant(1.0, endless)):
        with pytest.raises(MemoryError):
            call()


def test_the_instruction_set_changes_while_kernels_run() -> None:
    import threading

    x = np.linspace(-3, 3, 50_000, dtype=np.float32)
    expected = tensor_quant.fake_tensor_quant(x, 2.0)
    stop = threading.Event()
    wrong: list[str] = []

    def use() -> None:
        while not stop.is_set():
            if not np.array_equal(tensor_quant.fake_tensor_quant(x, 2.0), expected):
                wrong.append("another result")

    users = [threading.Thread(target=use) for _ in range(3)]
    before = _C.isa_selected()
    for user in users:
        user.start()
    try:
        for _ in range(200):
            for name in isa.available():
                assert _C.isa_select([name])[-1] == name
    finally:
        stop.set()
        for user in users:
            user.join()
        _C.isa_select(before)
    assert not wrong
