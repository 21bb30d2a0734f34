"""Tensors on the C kernels: without a copy, right for every layout and type; the plain formulas give the same bits."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from pytorch_quantization_c.torch import _formulas, _kernels, cuda_ext
from pytorch_quantization_c.torch import tensor_quant as tq
from pytorch_quantization_c.torch._convert import as_array, as_tensor, memory_order

from ... import oracle
from .recorded import array

FLOATS = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
SPECIAL = [0.0, -0.0, float("nan"), float("inf"), -float("inf"), 2.0 ** -24, 2.0 ** -25, 0.5, 1.5, 2.5, -2.5, 448.0]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("dtype", FLOATS)
def test_no_copy(dtype: torch.dtype) -> None:
    x = torch.randn(4, 6).to(dtype)
    for view in (x, x.t(), x[1::2, ::3], x.expand(2, 4, 6), x[0, 0], x[:0]):
        made = as_array(view)
        assert made.shape == tuple(view.shape) and made.dtype.itemsize == x.element_size()
        assert made.size == 0 or made.__array_interface__["data"][0] == view.data_ptr()
        back = as_tensor(as_array(view.contiguous()))
        assert back.dtype == dtype and torch.equal(back, view)
    assert as_array(x).dtype.name == str(dtype).removeprefix("torch.")


def test_negated_and_unsupported_tensors() -> None:
    np.testing.assert_array_equal(as_array(torch.tensor([1 + 2j]).conj().imag), [-2.0])
    with pytest.raises(TypeError):
        as_array(torch.zeros(3).to(torch.float8_e4m3fn))


def test_memory_order() -> None:
    x = torch.empty(2, 3, 4, 5)
    assert memory_order(x) == (0, 1, 2, 3)
    assert memory_order(x.contiguous(memory_format=torch.channels_last)) == (0, 2, 3, 1)
    assert memory_order(x.permute(3, 0, 2, 1)) == (1, 3, 2, 0)
    assert memory_order(x[:, ::2]) is None and memory_order(x.expand(2, 2, 3, 4, 5)) is None


def layouts(x: torch.Tensor) -> Iterator[torch.Tensor]:
    yield x
    yield x.contiguous(memory_format=torch.channels_last)
    yield x.permute(2, 0, 3, 1).contiguous().permute(1, 3, 0, 2)
    yield torch.stack([x, x], -1)[..., 0]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(), (1,), (1, 3, 1, 1), (2, 1, 1, 1), (4, 5), (2, 3, 4, 5), (3, 1, 1)])
def test_every_layout(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    x, amax = torch.randn(2, 3, 4, 5).to(dtype), torch.rand(shape) + 0.1
    with np.errstate(all="ignore"):
        whole, fake, scale = oracle.integer(array(x), amax.numpy(), 5, False, True)
    for view in layouts(x):
        got = tq.fake_tensor_quant(view, amax, 5)
        oracle.same(array(got), fake)
        integers = tq.tensor_quant(view, amax, 5)
        oracle.same(array(integers[0]), whole)
        oracle.same(array(integers[1]), scale)
        if view.is_contiguous(memory_format=torch.channels_last) and amax.dim() in (0, 4):
            assert got.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("bits", "unsigned", "narrow"), [
    (8, False, True), (8, False, False), (4, True, True), (0, False, True), (16, False, False), (32, False, True),
    (1, True, False)])
@pytest.mark.parametrize("shape", [(), (4, 1)])
def test_formulas_of_integers(dtype: torch.dtype, bits: int, unsigned: bool, narrow: bool, shape: Any) -> None:
    x = torch.cat([torch.randn(4, 100), torch.tensor([SPECIAL] * 4)], 1).to(dtype)
    x = x.abs() if unsigned else x
    amax = torch.tensor(1.7) if shape == () else torch.tensor([[1.7], [0.0], [2.0 ** -24], [float("nan")]])
    for formula, kernel in ((_formulas.fake_quantize, _kernels.fake_quantize), (_formulas.quantize, _kernels.quantize)):
        for mine, other in zip(*(got if isinstance(got, tuple) else (got,) for got in (
                formula(x, amax, bits, unsigned, narrow), kernel(x, amax, bits, unsigned, narrow))), strict=True):
            same_bits(mine, other)


def same_bits(mine: torch.Tensor, other: torch.Tensor) -> None:
    assert mine.dtype == other.dtype and mine.shape == other.shape
    a, b = array(mine), array(other)
    nan = np.isnan(a.astype(np.float64))
    np.testing.assert_array_equal(nan, np.isnan(b.astype(np.float64)))
    kind = np.dtype(f"u{a.itemsize}")
    np.testing.assert_array_equal(a.view(kind)[~nan] if a.ndim else a, b.view(kind)[~nan] if a.ndim else b)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("amax", [None, 3.7, torch.tensor(3.7), torch.tensor([[1.0], [300.0], [1e-3], [448.0]])])
def test_formula_of_e4m3(dtype: torch.dtype, amax: Any) -> None:
    x = torch.cat([torch.randn(4, 300) * torch.logspace(-4, 3, 300), torch.tensor([SPECIAL] * 4)], 1).to(dtype)
    same_bits(_formulas.e4m3(x, amax), _kernels.e4m3(x, amax))


@pytest.mark.parametrize("dtype", FLOATS)
def test_formulas_of_the_rest(dtype: torch.dtype) -> None:
    x, grad = torch.cat([torch.randn(100), torch.tensor(SPECIAL)]).to(dtype), torch.randn(112).to(dtype)
    low, high = torch.tensor(-0.7), torch.tensor(1.3)
    same_bits(_formulas.fake_affine(x, low, high, 6), _kernels.fake_affine(x, low, high, 6))
    same_bits(_formulas.straight_through(x, high, grad), _kernels.straight_through(x, high, grad))


@pytest.mark.parametrize("call", [
    lambda f: f.fake_quantize(torch.ones(3), torch.tensor(-1.0), 8, False, True),
    lambda f: f.fake_quantize(torch.ones(3), torch.tensor(1.0), 1, False, True),
    lambda f: f.fake_quantize(torch.ones(3, dtype=torch.int64), torch.tensor(1.0), 8, False, True),
    lambda f: f.fake_quantize(-torch.ones(3), torch.tensor(1.0), 8, True, True)])
def test_formulas_refuse_what_the_kernels_refuse(call: Any) -> None:
    kinds = []
    for side in (_formulas, _kernels):
        with pytest.raises((TypeError, ValueError)) as problem:
            call(side)
        kinds.append(problem.type)
    assert kinds[0] is kinds[1]


class Elsewhere(torch.Tensor):
    """A tensor that the C code must leave alone, as it does those of other devices."""


@pytest.mark.parametrize("axis", [None, 1, (0,), (0, 1), [1]])
def test_tensors_elsewhere(axis: Any) -> None:
    x = torch.randn(3, 4)
    other = x.as_subclass(Elsewhere)
    assert not _kernels.in_c(other) and _kernels.in_c(x)
    for keepdims in (True, False):
        assert torch.equal(_kernels.amax(other, axis, keepdims), _kernels.amax(x, axis, keepdims))
    assert torch.equal(tq.fake_tensor_quant(other, 1.0), tq.fake_tensor_quant(x, 1.0))
    assert torch.equal(tq.scaled_e4m3(other, 1.0), tq.scaled_e4m3(x, 1.0))


def test_cuda_ext() -> None:
    x = torch.randn(3, 4)
    wanted = oracle.integer(x.numpy(), 1.0, 8, False, True)[1]
    oracle.same(cuda_ext.fake_tensor_quant(x, torch.tensor([1.0])).numpy(), wanted)
    per_axis = oracle.integer(x.numpy(), np.float32([[1], [2], [3]]), 8, False, True)[1]
    oracle.same(cuda_ext.fake_tensor_quant_with_axis(x, torch.tensor([1.0, 2.0, 3.0]), 0).numpy(), per_axis)
    oracle.same(cuda_ext.fake_tensor_quant_with_axis(x, [1.0, 2.0, 3.0], -2).numpy(), per_axis)
    y = x.t().clone().t().requires_grad_()
    assert cuda_ext.fake_tensor_quant_(y, 1.0) is None
    oracle.same(y.detach().numpy(), wanted)
    rounded = x.numpy().astype(ml_dtypes.float8_e4m3fn).astype(np.float32)
    oracle.same(cuda_ext.fake_e4m3fy(x).numpy(), rounded)
    with pytest.raises(ValueError, match=r"one element, got shape \(2,\)"):
        cuda_ext.fake_tensor_quant(x, torch.ones(2))
    with pytest.raises(ValueError, match=r"size 3, got shape \(4,\)"):
        cuda_ext.fake_tensor_quant_with_axis(x, torch.ones(4), 0)
    with pytest.raises(TypeError, match="`inputs` to be a tensor, got ndarray"):
        cuda_ext.fake_tensor_quant_(x.numpy(), 1.0)
