"""Products with a weight matrix, and rows of a table."""
from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..._core.tracing import traceable
from ..checks import Array, DTypeError, ShapeError, float_array, integer, number, same_floats
from ..parameter import as_plain

__all__ = ["embedding", "linear"]


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    ends = target[len(target) - len(shape):]
    return len(shape) <= len(target) and all(n in (1, m) for n, m in zip(shape, ends, strict=True))


@traceable
def linear(input: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> Array:
    """input @ weight.T + bias.

    Args:
        input: (*, in).
        weight: (out, in), or (in), which leaves out the last dimension of the result.
        bias: (out) or any shape that broadcasts to the result.

    Returns:
        (*, out) in the type of `input`.
    """
    (x, w, b), dtype = same_floats(input=input, weight=weight, bias=bias)
    if w.ndim not in (1, 2):
        raise ShapeError(f"Expected `weight` with 1 or 2 dimensions, got shape {w.shape}")
    if x.ndim == 0 or x.shape[-1] != w.shape[-1]:
        raise ShapeError(f"Expected `input` with {w.shape[-1]} as last size for `weight` of shape {w.shape}, "
                         f"got shape {x.shape}")
    shape = x.shape[:-1] + w.shape[:-1]
    if b is not None and not _broadcasts(b.shape, shape):
        raise ShapeError(f"Expected `bias` of a shape that broadcasts to {shape}, got {b.shape}")
    rows = int(np.prod(x.shape[:-1]))
    y: Array = np.matmul(x.reshape(rows, x.shape[-1]), w.T).reshape(shape)
    if b is not None:
        y += b
    return y.astype(dtype, copy=False)


@traceable
def embedding(input: ArrayLike, weight: ArrayLike, padding_idx: int | None = None, max_norm: float | None = None,
              norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False) -> Array:
    """The rows of `weight` (count, size) named by the integers of `input`: shape (*input.shape, size).

    `padding_idx`, `scale_grad_by_freq` and `sparse` concern gradients only. `max_norm`: rows longer than that in the
    `norm_type` norm are shortened to it, in the result (torch changes the weight as well).
    """
    indices = np.asarray(as_plain(input))
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"Expected `input` of an integer type, got {indices.dtype}")
    table = float_array(weight, "weight")
    if table.ndim != 2:
        raise ShapeError(f"Expected `weight` with 2 dimensions, got shape {table.shape}")
    if padding_idx is not None and not -len(table) <= integer(padding_idx, "padding_idx") < len(table):
        raise ValueError(f"Expected `padding_idx` within the {len(table)} rows, got {padding_idx}")
    if indices.size and not 0 <= int(indices.min()) <= int(indices.max()) < len(table):
        raise IndexError(f"Expected `input` within [0, {len(table)}), got {indices.min()} to {indices.max()}")
    rows: Array = table[indices]
    if max_norm is not None:
        max_norm, norm_type = number(max_norm, "max_norm"), number(norm_type, "norm_type")
        if not norm_type > 0:
            raise ValueError(f"Expected `norm_type` above 0, got {norm_type}")
        norms = np.sum(np.abs(rows.astype(np.float64)) ** norm_type, axis=-1, keepdims=True) ** (1 / norm_type)
        rows = np.where(norms > max_norm, rows * (max_norm / (norms + 1e-7)), rows).astype(table.dtype)
    return rows
