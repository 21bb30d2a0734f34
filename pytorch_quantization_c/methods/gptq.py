"""GPTQ: columns are rounded one after the other, and each passes its error on to the remaining ones.

Frantar, Ashkboos, Hoefler, Alistarh: GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers
(2022), algorithm 1. With H = X^T X + damping * mean(diag(X^T X)) * I and U the upper Cholesky factor of H^-1, column i
becomes q_i, its nearest values, and every later column j loses (w_i - q_i) U_ij / U_ii.
"""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .grid import Array, checked_grid, checked_inputs, checked_number, checked_weight, nearest, over, second_moment

__all__ = ["gptq"]

BLOCK = 64          # columns whose errors are passed on to the rest by one product
LEAF = 64           # a matrix up to this size is factored by LAPACK
TRIANGLE = 256      # a triangular matrix is cut into halves of at least this size
RIDGE = 1e-10       # of the mean diagonal: keeps H invertible without damping


def gptq(weight: ArrayLike, inputs: ArrayLike, *, num_bits: int = 4, group_size: int | None = None,
         act_order: bool = True, damping: float = 0.01, amax: ArrayLike | None = None,
         float_inputs: ArrayLike | None = None) -> NDArray[Any]:
    """A layer's weight, rounded so that the layer's outputs on `inputs` change little (GPTQ, Frantar et al. 2022).

    Everything is in float64. Two things differ from the authors' code: the ranges of groups are those of the float
    weight with `act_order` and without, and columns whose inputs are all 0 are rounded to nearest, not zeroed.

    Args:
        weight: (out, in).
        inputs: (rows, in), the layer's inputs.
        num_bits: 2 to 8, of symmetric integers without the lowest one.
        group_size: columns that share a range, a divisor of in; None: one range a row.
        act_order: begin with the columns of the largest inputs (sum of squares).
        damping: added to the diagonal of H, as a fraction of its mean.
        amax: ranges: (out,), or (out, in / group_size) with groups; None: the largest magnitudes.
        float_inputs: (rows, in), the float layer's inputs, if `inputs` are quantised already: then
            weight @ float_inputs^T is what the outputs are to be near to, and the least-squares weight for that is
            what is rounded.

    Returns:
        The fake-quantised weight, (out, in), of the type of `weight`. `fake_tensor_quant` with these ranges leaves it
        as it is.

    Raises:
        TypeError: an array that holds no floats, or another argument of a wrong type.
        ValueError: NaN or infinity, shapes that do not fit, a `group_size` that does not divide in, numbers out of
            range.
    """
    matrix = checked_weight(weight)
    x = checked_inputs(inputs, matrix.shape[1])
    grid = checked_grid(matrix, num_bits, group_size, amax)
    share = checked_number(damping, "damping", 0)
    moment = second_moment(x)
    target = matrix.astype(np.float64)
    if float_inputs is not None:
        wanted = checked_inputs(float_inputs, matrix.shape[1], "float_inputs")
        if len(wanted) != len(x):
            raise ValueError(f"Expected `float_inputs` of shape {x.shape}, as `inputs`, got {wanted.shape}")
        target = least_squares(target, x.T.astype(np.float64) @ wanted.astype(np.float64), moment, share)
    codes = rounded(target[None], moment[None], grid.columns()[None], grid.bound, act_order, share)[0]
    return grid.values(codes, matrix.dtype)


def least_squares(weight: Array, cross: Array, moment: Array, damping: float) -> Array:
    """The weight (..., out, in) whose outputs on quantised inputs are nearest to the float layer's.

    Args:
        cross: the sum over rows of quantised inputs times float ones, (..., in, in).
        moment: of the quantised inputs; `damping` holds the weight near to what it was.
    """
    share, size = max(damping, RIDGE), moment.shape[-1]
    mean = np.trace(moment, axis1=-2, axis2=-1)[..., None, None] / max(size, 1)
    ridge = np.eye(size) * (share * mean + np.finfo(float).tiny)
    found: Array = np.linalg.solve(moment + ridge, (cross + ridge) @ weight.swapaxes(-1, -2)).swapaxes(-1, -2)
    return found


def rounded(weight: Array, moment: Array, scale: Array, bound: int, act_order: bool, damping: float) -> Array:
    """Codes by GPTQ of several weights at once, as a grouped convolution has them.

    Args:
        weight, scale: (groups, out, in); scale is 0 where everything becomes 0.
        moment: (groups, in, in), the sum over rows of x x^T.

    Returns:
        Integers in float64, (groups, out, in).
    """
    if not weight.size:
        return np.zeros_like(weight)
    hessian = damped(moment, damping)
    order = np.argsort(-np.diagonal(hessian, axis1=1, axis2=2), axis=1, kind="stable") if act_order else \
        np.broadcast_to(np.arange(weight.shape[2]), moment.shape[:2])
    for each, at in zip(hessian, order, strict=True):
        np.take(each[at], at, axis=1, out=each, mode="clip")    # "raise" would go through a buffer
    turned = np.ascontiguousarray(np.take_along_axis(weight, order[:, None, :], 2).transpose(0, 2, 1))
    scales = np.ascontiguousarray(np.take_along_axis(scale, order[:, None, :], 2).transpose(0, 2, 1))
    codes = _by_columns(turned, scales, inverse_factor(hessian), bound)
    found = np.empty_like(weight)
    np.put_along_axis(found, order[:, None, :], codes.transpose(0, 2, 1), 2)
    return found


def damped(moment: Array, damping: float) -> Array:
    """H: dead inputs get 1 on the diagonal, then each diagonal its part of the mean."""
    found = moment.copy()
    diagonal = np.einsum("gii->gi", found)
    diagonal[diagonal == 0] = 1
    diagonal += max(damping, RIDGE) * diagonal.mean(axis=1, keepdims=True)
    return found


def inverse_factor(hessian: Array) -> Array:
    """U, upper triangular with H^-1 = U^T U: the inverse of R, upper triangular with H = R R^T.

    By halves, so that nearly all of it are products of matrices: with H = [[A, B], [B^T, D]] and U2 of D,
    R12 = B U2^T, U1 is that of A - R12 R12^T, and U12 = -U1 R12 U2.
    """
    size = hessian.shape[1]
    if size <= LEAF:
        reverse = np.linalg.cholesky(hessian[:, ::-1, ::-1])[:, ::-1, ::-1]
        return np.asarray(np.triu(np.linalg.inv(reverse)), np.float64)
    half = size // 2
    found = np.zeros_like(hessian)
    lower = inverse_factor(hessian[:, half:, half:])
    middle = _times_triangle(hessian[:, :half, half:], lower.transpose(0, 2, 1), is_lower=True)
    upper = inverse_factor(hessian[:, :half, :half] - middle @ middle.transpose(0, 2, 1))
    found[:, :half, :half], found[:, half:, half:] = upper, lower
    last = _times_triangle(middle, lower, is_lower=False)
    turned = _times_triangle(last.transpose(0, 2, 1), upper.transpose(0, 2, 1), is_lower=True)
    found[:, :half, half:] = -turned.transpose(0, 2, 1)
    return found


def _times_triangle(a: Array, triangle: Array, is_lower: bool) -> Array:
    """a @ triangle, a lower or upper triangular matrix: without most of the products by zeros."""
    half = triangle.shape[1] // 2
    if half < TRIANGLE:
        return a @ triangle
    found = np.empty_like(a)
    first, second = slice(half), slice(half, None)
    for part in (first, second):
        found[:, :, part] = _times_triangle(a[:, :, part], triangle[:, part, part], is_lower)
    rows, columns = (second, first) if is_lower else (first, second)
    found[:, :, columns] += a[:, :, rows] @ triangle[:, rows, columns]
    return found


def _by_columns(rest: Array, scale: Array, factor: Array, bound: int) -> Array:
    """Codes, (groups, in, out); `rest`, the weight in the same order, is used up."""
    codes = np.empty_like(rest)
    size = rest.shape[1]
    for first in range(0, size, BLOCK):
        last = min(first + BLOCK, size)
        errors = np.empty_like(rest[:, first:last])
        for i in range(first, last):
            column = rest[:, i] - (factor[:, None, first:i, i] @ errors[:, :i - first])[:, 0]
            codes[:, i] = nearest(column, scale[:, i], bound)
            errors[:, i - first] = (column - over(codes[:, i], scale[:, i])) / factor[:, i, i, None]
        rest[:, last:] -= factor[:, first:last, last:].transpose(0, 2, 1) @ errors
    return codes
