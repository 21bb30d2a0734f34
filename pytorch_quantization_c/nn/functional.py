"""Functions for layers."""
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arrays import check_broadcast, float_array
from .._core.errors import ShapeError
from .._core.tracing import traceable
from .._function import Function, FunctionCtx

__all__ = ["ClipFunction", "add", "clip", "matmul"]


def _arguments(input: ArrayLike, clip_value_min: ArrayLike,
               clip_value_max: ArrayLike) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """As arrays of the type of `input`, checked."""
    x = float_array(input, "input")
    low = float_array(clip_value_min, "clip_value_min").astype(x.dtype, copy=False)
    high = float_array(clip_value_max, "clip_value_max").astype(x.dtype, copy=False)
    check_broadcast(input=x, clip_value_min=low, clip_value_max=high)
    return x, low, high


class ClipFunction(Function):
    """Clips to limits that broadcast and may be learnt (PACT, https://arxiv.org/abs/1805.06085)."""

    @staticmethod
    def forward(ctx: FunctionCtx, input: ArrayLike, clip_value_min: ArrayLike,
                clip_value_max: ArrayLike) -> NDArray[Any]:
        """See `apply`; saves its arguments."""
        ctx.save_for_backward(input, clip_value_min, clip_value_max)
        return ClipFunction.apply(input, clip_value_min, clip_value_max)

    @staticmethod
    def backward(ctx: FunctionCtx, grad_output: ArrayLike) -> tuple[NDArray[Any], NDArray[Any] | None,
                                                                    NDArray[Any] | None]:
        """Gradients of input and limits: the input's passes strictly between them, a limit's is the sum over the rest.

        The gradient of a limit is None unless it is wanted (`ctx.needs_input_grad`, or its own `requires_grad`).

        Raises:
            ValueError: a limit of several elements, learnt or not.
        """
        given = ctx.saved_tensors
        x, low, high = _arguments(*given)
        if low.size != 1 or high.size != 1:
            raise ValueError(f"Learnable min/max can only be scalar, got size {low.shape} and {high.shape}.")
        grad = float_array(grad_output, "grad_output")
        check_broadcast(input=x, grad_output=grad)
        above, below = (x > low).astype(grad.dtype), (x < high).astype(grad.dtype)
        limits = []
        for position, mask in ((1, above), (2, below)):
            wanted = ctx.needs(position, given[position])
            kind = getattr(given[1], "dtype", np.dtype(np.float32))
            limits.append(np.asarray((grad * (1 - mask)).sum()).astype(kind) if wanted else None)
        return grad * above * below, limits[0], limits[1]

    @staticmethod
    def apply(input: ArrayLike, clip_value_min: ArrayLike, clip_value_max: ArrayLike) -> NDArray[Any]:
        """`max(min(input, clip_value_max), clip_value_min)`, in the type of `input`. NaN stays NaN.

        Args:
            input: float16, bfloat16, float32 or float64, any shape.
            clip_value_min, clip_value_max: numbers, or arrays that broadcast with `input`.

        Raises:
            TypeError: an argument holds no floats.
            ValueError: shapes that do not broadcast.
        """
        return _clipped(input, clip_value_min, clip_value_max)


@traceable
def _clipped(input: ArrayLike, clip_value_min: ArrayLike, clip_value_max: ArrayLike) -> NDArray[Any]:
    x, low, high = _arguments(input, clip_value_min, clip_value_max)
    return np.asarray(np.maximum(np.minimum(x, high), low))


clip = ClipFunction.apply


def matmul(input: ArrayLike, other: ArrayLike, input_quantizer: Any = None,
           other_quantizer: Any = None) -> NDArray[Any]:
    """The matrix product of two arrays, each quantised before: as attention needs it.

    Args:
        input, other: arrays of floats that NumPy's `matmul` takes.
        input_quantizer, other_quantizer: a TensorQuantizer each; None leaves the operand as it is.

    Raises:
        TypeError: an operand holds no floats. ValueError: shapes that do not fit, and what the quantisers refuse.
    """
    x, y = _quantised(input, other, input_quantizer, other_quantizer)
    try:
        return np.asarray(np.matmul(x, y))
    except ValueError:
        raise ShapeError("Expected `input` and `other` of shapes that a matrix product takes, got "
                         f"{x.shape} and {y.shape}") from None


def add(input: ArrayLike, other: ArrayLike, input_quantizer: Any = None, other_quantizer: Any = None) -> NDArray[Any]:
    """The sum of two arrays, each quantised before: as residual connections need it.

    Args:
        input, other: arrays of floats that broadcast.
        input_quantizer, other_quantizer: a TensorQuantizer each; None leaves the operand as it is.

    Raises:
        TypeError: an operand holds no floats. ValueError: shapes that do not broadcast, and what the quantisers refuse.
    """
    x, y = _quantised(input, other, input_quantizer, other_quantizer)
    check_broadcast(input=x, other=y)
    return np.asarray(x + y)


def _quantised(input: ArrayLike, other: ArrayLike, input_quantizer: Any, other_quantizer: Any) -> list[NDArray[Any]]:
    found = []
    for value, quantizer, name in ((input, input_quantizer, "input"), (other, other_quantizer, "other")):
        array = float_array(value, name)
        found.append(array if quantizer is None else quantizer(array))
    return found
