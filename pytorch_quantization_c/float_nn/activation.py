"""Activations and dropout as layers."""
from __future__ import annotations

from numpy.typing import ArrayLike

from . import functional as F
from .checks import Array, number, probability
from .module import Module

__all__ = ["ELU", "GELU", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "Hardsigmoid", "Hardswish", "Hardtanh",
           "LeakyReLU", "LogSoftmax", "ReLU", "ReLU6", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh"]


class _InPlace(Module):
    """An elementwise function that may write its result over the input."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        """As torch prints it."""
        return "inplace=True" if self.inplace else ""


class ReLU(_InPlace):
    """max(x, 0)."""

    def forward(self, input: ArrayLike) -> Array:
        """Any shape."""
        return F.relu(input, self.inplace)


class Hardtanh(Module):
    """x clipped to [min_val, max_val]."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if not number(max_val, "max_val") > number(min_val, "min_val"):
            raise ValueError(f"Expected `max_val` > `min_val`, got {max_val} and {min_val}")
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace

    def forward(self, input: ArrayLike) -> Array:
        """Any shape."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        """As torch prints it."""
        return f"min_val={self.min_val}, max_val={self.max_val}" + (", inplace=True" if self.inplace else "")


class ReLU6(Hardtanh):
    """x clipped to [0, 6]."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        """As torch prints it."""
        return "inplace=True" if self.inplace else ""


class LeakyReLU(Module):
    """x where x > 0, else negative_slope * x."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, input: ArrayLike) -> Array:
        """Any shape."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        """As torch prints it."""
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class ELU(Module):
    """x where x > 0, else alpha * (exp(x) - 1)."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input: ArrayLike) -> Array:
        """Any shape."""
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        """As torch prints it."""
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, input: ArrayLike) -> Array:
        """Any shape."""
        return F.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, input: ArrayLike) -> Array:
        """Any shape."""
        return F.tanh(input)


class SiLU(_InPlace):
    """x * sigmoid(x)."""

    def forward(self, input: ArrayLike) -> Array:
        """Any shape."""
        return F.silu(input, self.inplace)


class GELU(Module):
    """x times the normal distribution function of x; approximate="tanh" for the approximation by tanh."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: ArrayLike) -> Array:
        """Any shape."""
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        """As torch prints it."""
        return f"approximate={self.approximate!r}"


class Hardsigmoid(Module):
    """x + 3 clipped to [0, 6], divided by 6."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: ArrayLike) -> Array:
        """Any shape."""
        return F.hardsigmoid(input, self.inplace)


class Hardswish(Module):
    """x * hardsigmoid(x)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: ArrayLike) -> Array:
        """Any shape."""
        return F.hardswish(input, self.inplace)


class Softplus(Module):
    """log(1 + exp(beta * x)) / beta, and x itself where beta * x > threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: ArrayLike) -> Array:
        """Any shape."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """As torch prints it."""
        return f"beta={self.beta}, threshold={self.threshold}"


class _AlongAxis(Module):
    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim


class Softmax(_AlongAxis):
    """exp(x) divided by its sum along `dim`."""

    def forward(self, input: ArrayLike) -> Array:
        """Any shape that has `dim`."""
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        """As torch prints it."""
        return f"dim={self.dim}"


class LogSoftmax(_AlongAxis):
    """The logarithm of Softmax."""

    def forward(self, input: ArrayLike) -> Array:
        """Any shape that has `dim`."""
        return F.log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        """As torch prints it."""
        return f"dim={self.dim}"


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        probability(p)
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        """As torch prints it."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """While training, zeroes each element with probability `p` and divides the others by 1 - p; else does nothing."""

    def forward(self, input: ArrayLike) -> Array:
        """Any shape."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """`Dropout` of whole channels."""

    def forward(self, input: ArrayLike) -> Array:
        """(N, C, L) or (C, L)."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """`Dropout` of whole channels."""

    def forward(self, input: ArrayLike) -> Array:
        """(N, C, H, W)."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """`Dropout` of whole channels."""

    def forward(self, input: ArrayLike) -> Array:
        """(N, C, D, H, W) or (C, D, H, W)."""
        return F.dropout3d(input, self.p, self.training, self.inplace)
