"""Layers that stay float among quantised ones, and why."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from .._core.layer_rules import Quantizing
from .._core.models import require_module
from .._core.quantizer import QuantizerRules

__all__ = ["UnquantizedLayer", "beyond_reach", "is_quantized", "is_seized", "unquantized"]

#: Classes whose weight is looked up or multiplied element by element: there is no product to quantise.
NO_PRODUCT = frozenset({"Embedding", "EmbeddingBag", "LayerNorm", "RMSNorm"})


class UnquantizedLayer(NamedTuple):
    """A layer that computes with float weights: its full name, its class, and why it is not quantised."""

    name: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name or 'the model'} ({self.kind}): {self.reason}"


def is_quantized(module: Any) -> bool:
    """A quantised layer, of the library or of the user's own."""
    return isinstance(module, Quantizing) or (bool(module._parameters) and any(
        isinstance(child, QuantizerRules) for child in module._modules.values()))


def is_seized(parent: Any, child: str) -> bool:
    """`torch.compile` keeps a reference to the module that it compiled: a replacement is never called."""
    return type(parent).__name__ == "OptimizedModule" and child == "_orig_mod"


def unquantized(model: Any, table: dict[Any, Any]) -> list[UnquantizedLayer]:
    """The layers of `model` that stay float, for `quant_modules.unquantized_layers`."""
    require_module(model)
    found = list(beyond_reach(model, table))
    there = {layer.name for layer in found}
    found += [UnquantizedLayer(name, type(module).__name__, "`replace` has not taken it yet, or was told to leave it")
              for name, module in model.named_modules() if type(module) in table and name not in there]
    order = {name: place for place, (name, _) in enumerate(model.named_modules())}
    return sorted(found, key=lambda layer: order.get(layer.name, len(order)))


def beyond_reach(model: Any, table: dict[Any, Any]) -> Iterator[UnquantizedLayer]:
    """The layers that `replace` cannot convert, each once, and why."""
    taken = tuple(f"{name}." if name else "" for name, module in model.named_modules() if type(module) in table)
    for name, module in model.named_modules():
        if isinstance(module, QuantizerRules) or name.startswith(taken):
            continue
        for child, each in module._modules.items():
            if type(each) in table and is_seized(module, child):
                yield UnquantizedLayer(f"{name}.{child}" if name else child, type(each).__name__,
                                       "torch.compile has compiled it: replace it before")
        for attribute, each in _unregistered(module, table):
            yield UnquantizedLayer(f"{name}.{attribute}" if name else attribute, type(each).__name__,
                                   "it lies in a plain list or dict, where it is not found: use ModuleList, ModuleDict")
        reason = None if type(module) in table or is_quantized(module) else _reason(module, table)
        if reason:
            yield UnquantizedLayer(name, type(module).__name__, reason)


def _unregistered(module: Any, table: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Known layers in lists, tuples and dicts that are attributes of a module."""
    registered = {id(each) for each in module._modules.values()}
    for attribute, value in vars(module).items():
        if attribute.startswith("_") or not isinstance(value, list | tuple | dict):
            continue
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            if type(each) in table and id(each) not in registered:
                yield f"{attribute}[{key!r}]", each


def _reason(module: Any, table: dict[Any, Any]) -> str | None:
    cls = type(module)
    known = {each.__name__ for each in table}
    original = getattr(module, "original_name", None) if cls.__module__.startswith("torch.jit") else None
    if original is not None:
        return f"TorchScript has compiled this {original}: replace it before" if original in known else None
    base = next((each for each in cls.__mro__ if each in table), None)
    if base is not None:
        return _derived(module, base)
    if cls.__name__ in ("GRU", "GRUCell"):
        return f"`replace` takes it by {_custom(cls, f'Quant{cls.__name__}')}"
    if any(each.__name__ == "MultiheadAttention" for each in cls.__mro__):
        return f"its projections are bare weights: {_custom(cls, 'QuantMultiheadAttention')}"
    weight = next((name for name, value in module._parameters.items()
                   if "weight" in name and value is not None and sum(size > 1 for size in value.shape) >= 2), None)
    if weight is not None and not any(each.__name__ in NO_PRODUCT for each in cls.__mro__):
        return f"{cls.__name__}, which has the weight `{weight}`, has no quantised form: {_custom(cls)}"
    return None


def _derived(module: Any, base: Any) -> str:
    cls = type(module)
    if getattr(module, "has_uninitialized_params", bool)():
        return f"a lazy {base.__name__} has no weight before its first call: call the model once, then replace"
    if hasattr(module, "parametrizations"):
        return f"a {base.__name__} with parametrizations: replace it before they are registered"
    if cls.__name__ == "NonDynamicallyQuantizableLinear":
        return "attention reads its weight without calling it"
    return f"it derives from {base.__name__} and may compute something else: {_custom(cls)}"


def _custom(cls: type, quantized: str = "YourQuantizedClass") -> str:
    return f"custom_quant_modules=[({cls.__module__.rpartition('.')[2]}, {cls.__name__!r}, {quantized})]"
