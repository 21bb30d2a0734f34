"""Linear, Embedding, and the layers that only pass or reshape their input."""
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import functional as F
from . import init
from .checks import Array, ShapeError, changed_settings, factory, integer
from .module import Module
from .parameter import Parameter, as_array

__all__ = ["Embedding", "Flatten", "Identity", "Linear", "Unflatten"]


class Identity(Module):
    """Returns its input; ignores all arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        """The input itself."""
        return input


class Linear(Module):
    """y = x @ weight.T + bias.

    Args:
        in_features, out_features: last sizes of input and output.
        bias: add a learned number to each output.
        device: None or "cpu".
        dtype: type of the parameters, float32 by default.

    Weights and biases start uniform on +-1 / sqrt(in_features).
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(self, in_features: int, out_features: int, bias: bool = True, device: Any = None,
                 dtype: DTypeLike | None = None) -> None:
        super().__init__()
        self.in_features = integer(in_features, "in_features", 0)
        self.out_features = integer(out_features, "out_features", 0)
        kind = factory(device, dtype)
        self.weight = Parameter(np.empty((out_features, in_features), kind))
        self.register_parameter("bias", Parameter(np.empty(out_features, kind)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reinitialises weights and biases."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: ArrayLike) -> Array:
        """(*, in_features) to (*, out_features)."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """As torch prints it."""
        return (f"in_features={self.in_features}, out_features={self.out_features}, "
                f"bias={self.bias is not None}")


class Embedding(Module):
    """A table of `num_embeddings` rows of `embedding_dim` numbers; integers in, rows out.

    Rows start normal with deviation 1, the row `padding_idx` with zeros. Options about gradients are kept, not used.
    """

    weight: Parameter

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None,
                 max_norm: float | None = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False,
                 sparse: bool = False, _weight: ArrayLike | None = None, _freeze: bool = False, device: Any = None,
                 dtype: DTypeLike | None = None) -> None:
        super().__init__()
        self.num_embeddings = integer(num_embeddings, "num_embeddings", 0)
        self.embedding_dim = integer(embedding_dim, "embedding_dim", 0)
        if padding_idx is not None:
            if not -num_embeddings <= integer(padding_idx, "padding_idx") < num_embeddings:
                raise ValueError(f"Expected `padding_idx` within num_embeddings={num_embeddings}, got {padding_idx}")
            padding_idx %= num_embeddings
        self.padding_idx, self.max_norm, self.norm_type = padding_idx, max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        shape = (self.num_embeddings, self.embedding_dim)
        if _weight is None:
            self.weight = Parameter(np.empty(shape, factory(device, dtype)), not _freeze)
            self.reset_parameters()
        else:
            if np.shape(_weight) != shape:
                raise ShapeError(f"Expected `_weight` of shape {shape}, got {np.shape(_weight)}")
            self.weight = Parameter(_weight, not _freeze)

    def reset_parameters(self) -> None:
        """Reinitialises the table."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight[self.padding_idx] = 0

    @classmethod
    def from_pretrained(cls, embeddings: ArrayLike, freeze: bool = True, padding_idx: int | None = None,
                        max_norm: float | None = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False,
                        sparse: bool = False) -> Embedding:
        """A layer around a table (rows, size) that exists already."""
        shape = np.shape(embeddings)
        if len(shape) != 2:
            raise ShapeError(f"Expected `embeddings` with 2 dimensions, got shape {shape}")
        return cls(*shape, padding_idx=padding_idx, max_norm=max_norm, norm_type=norm_type,
                   scale_grad_by_freq=scale_grad_by_freq, sparse=sparse, _weight=embeddings, _freeze=freeze)

    def forward(self, input: ArrayLike) -> Array:
        """Integers of any shape to rows: one dimension more."""
        return F.embedding(input, self.weight, self.padding_idx, self.max_norm, self.norm_type)

    def extra_repr(self) -> str:
        """As torch prints it."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        defaults = {"padding_idx": None, "max_norm": None, "norm_type": 2, "scale_grad_by_freq": False, "sparse": False}
        return text + changed_settings(self, defaults)


class Flatten(Module):
    """Joins the dimensions `start_dim` to `end_dim` into one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = integer(start_dim, "start_dim"), integer(end_dim, "end_dim")

    def forward(self, input: ArrayLike) -> Array:
        """The input in its new shape, without a copy where that is possible."""
        x: Array = as_array(input)
        ndim = max(x.ndim, 1)
        for dim in (self.start_dim, self.end_dim):
            if not -ndim <= dim < ndim:
                raise IndexError(f"Dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}], "
                                 f"but got {dim})")
        start, end = self.start_dim % ndim, self.end_dim % ndim
        if start > end:
            raise ShapeError("flatten() has invalid args: start_dim cannot come after end_dim")
        shape = x.shape or (1,)
        return x.reshape(*shape[:start], math.prod(shape[start:end + 1]), *shape[end + 1:])

    def extra_repr(self) -> str:
        """As torch prints it."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Splits dimension `dim` into the sizes `unflattened_size`, of which one may be -1."""

    def __init__(self, dim: int, unflattened_size: tuple[int, ...] | list[int]) -> None:
        super().__init__()
        self.dim = integer(dim, "dim")
        self.unflattened_size = tuple(integer(size, "unflattened_size") for size in unflattened_size)

    def forward(self, input: ArrayLike) -> Array:
        """The input in its new shape, without a copy where that is possible."""
        x: Array = as_array(input)
        if not -x.ndim <= self.dim < x.ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-x.ndim}, {x.ndim - 1}], "
                             f"but got {self.dim})")
        dim = self.dim % x.ndim
        try:
            split = np.empty(x.shape[dim], bool).reshape(self.unflattened_size).shape
        except ValueError:
            raise ShapeError(f"Expected sizes whose product is {x.shape[dim]}, got {self.unflattened_size}") from None
        return x.reshape(*x.shape[:dim], *split, *x.shape[dim + 1:])

    def extra_repr(self) -> str:
        """As torch prints it."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
