"""The quantisers of a model, by their names."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._core.models import require_module
from .._core.quantizer import QuantizerRules

__all__ = ["named_quantizers", "quantizers_of"]


def named_quantizers(model: Any) -> Iterator[tuple[str, Any]]:
    """The full names and the quantisers of a model, each once. TypeError if it is not a module."""
    require_module(model)
    return ((name, module) for name, module in model.named_modules() if isinstance(module, QuantizerRules))


def quantizers_of(model: Any) -> dict[str, Any]:
    """The quantisers of a model that is to have some, by their full names. ValueError if it has none."""
    found = dict(named_quantizers(model))
    if not found:
        raise ValueError("Expected `model` to have quantisers, got none: call pq.replace(model) first")
    return found
