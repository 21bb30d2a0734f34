"""Losses as layers."""
from __future__ import annotations

from numpy.typing import ArrayLike

from . import functional as F
from .checks import Array
from .functional.loss import _reduction
from .module import Module

__all__ = ["CrossEntropyLoss", "L1Loss", "MSELoss", "NLLLoss"]


class _Loss(Module):
    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = _reduction(reduction, size_average, reduce)


class MSELoss(_Loss):
    """The mean, or sum, of squared differences."""

    def forward(self, input: ArrayLike, target: ArrayLike) -> Array:
        """Two arrays of one shape."""
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """The mean, or sum, of absolute differences."""

    def forward(self, input: ArrayLike, target: ArrayLike) -> Array:
        """Two arrays of one shape."""
        return F.l1_loss(input, target, reduction=self.reduction)


class _WeightedLoss(Module):
    def __init__(self, weight: ArrayLike | None = None, size_average: bool | None = None, ignore_index: int = -100,
                 reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__()
        self.register_buffer("weight", weight)  # type: ignore[arg-type]
        self.ignore_index, self.reduction = ignore_index, _reduction(reduction, size_average, reduce)


class NLLLoss(_WeightedLoss):
    """Minus the logarithm of the probability of the target's class; see `functional.nll_loss`."""

    def forward(self, input: ArrayLike, target: ArrayLike) -> Array:
        """Logarithms of probabilities (N, C, ...) and classes (N, ...)."""
        return F.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class CrossEntropyLoss(_WeightedLoss):
    """`NLLLoss` of the logarithm of softmax; see `functional.cross_entropy`."""

    def __init__(self, weight: ArrayLike | None = None, size_average: bool | None = None, ignore_index: int = -100,
                 reduce: bool | None = None, reduction: str = "mean", label_smoothing: float = 0.0) -> None:
        super().__init__(weight, size_average, ignore_index, reduce, reduction)
        self.label_smoothing = label_smoothing

    def forward(self, input: ArrayLike, target: ArrayLike) -> Array:
        """Scores (N, C, ...) and classes (N, ...), or probabilities in the shape of the scores."""
        return F.cross_entropy(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction,
                               label_smoothing=self.label_smoothing)
