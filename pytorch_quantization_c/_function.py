"""Function classes on arrays: what torch.autograd.Function is to the original, without an autograd."""
from __future__ import annotations

from typing import Any


class FunctionCtx:
    """What a forward leaves for its backward.

    `needs_input_grad` holds one flag for each input of the forward; while it is empty, an input's own `requires_grad`
    decides. Any other attribute may be set.
    """

    def __init__(self) -> None:
        self.needs_input_grad: tuple[bool, ...] = ()
        self._saved: tuple[Any, ...] = ()

    def save_for_backward(self, *arrays: Any) -> None:
        """Keeps the arrays (not copies of them) for the backward."""
        self._saved = arrays

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The arrays given to `save_for_backward`."""
        return self._saved

    def needs(self, position: int, value: Any) -> bool:
        """Whether the gradient of the input at this position, `value`, is wanted."""
        if self.needs_input_grad:
            return bool(self.needs_input_grad[position])
        return bool(getattr(value, "requires_grad", False))


class Function:
    """Base of the Function classes: static `forward(ctx, ...)` and `backward(ctx, *gradients)`, and `apply(...)`."""

    @staticmethod
    def forward(ctx: FunctionCtx, *args: Any, **kwargs: Any) -> Any:
        """Computes the outputs and saves in `ctx` what the backward needs."""
        raise TypeError("Expected a subclass of Function that defines `forward`, got Function itself")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """The forward; its context is discarded."""
        return cls.forward(FunctionCtx(), *args, **kwargs)
