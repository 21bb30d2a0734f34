"""Turning the float layers of an existing model into quantised ones.

A table maps float classes to quantised classes; a layer is converted if its class is exactly one of them.
Warnings say what a call cannot convert, and why it converted nothing.
"""
from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from typing import Any

from .._core.descriptor import ScaledQuantDescriptor
from .._core.layer_rules import check_fake
from .._core.models import require_front
from .patterns import Pattern, chosen_by, patterns_of
from .unquantized import beyond_reach, is_quantized, is_seized

__all__ = ["replace_layers"]

logger = logging.getLogger(__name__)

CALLER = 3      # of `replace`, counted from `replace_layers`
DESCRIPTORS = ("quant_desc_input", "quant_desc_weight")
KEEPS = "keeps its quantisers: set their num_bits, axis, amax, or begin with the float model"


def replace_layers(model: Any, table: dict[Any, Any], front: str, include: str | Iterable[str],
                   exclude: str | Iterable[str], descriptors: dict[str, Any]) -> Any:
    """See `quant_modules.replace`. `table` maps exact float classes to classes with `from_float`."""
    require_front(model, front, "replace")
    _check_descriptors(descriptors)
    modules = list(model.named_modules(remove_duplicate=False))
    names = [name for name, _ in modules]
    included, excluded = patterns_of("include", include, names), chosen_by(patterns_of("exclude", exclude, names))
    seized = {id(each) for _, module in modules for child, each in module._modules.items() if is_seized(module, child)}
    known = {name: module for name, module in modules if type(module) in table and id(module) not in seized}
    done = {name for name, module in modules if is_quantized(module)}
    stale = _check_patterns(included, known, done, dict(modules))
    wanted = chosen_by(included) - excluded
    made: dict[int, Any] = {}
    for name, module in known.items():
        if name in wanted and id(module) not in made:
            made[id(module)] = converted(name, module, table[type(module)], descriptors)
            logger.info("%s is now a %s", name or "the model", type(made[id(module)]).__name__)
    if not made:
        stale = f"`replace` turned no layer: {_why_none(known, chosen_by(included), done - excluded, modules)}"
    for text in filter(None, (stale, _left_float(model, table, wanted))):
        warnings.warn(text, UserWarning, stacklevel=CALLER)
    for _, module in modules:
        for name, child in module._modules.items():
            if id(child) in made:
                module._modules[name] = made[id(child)]
    return made.get(id(model), model)


def _check_descriptors(descriptors: dict[str, Any]) -> None:
    unknown = set(descriptors) - set(DESCRIPTORS)
    if unknown:
        raise TypeError(f"Unused keys: {', '.join(sorted(unknown))}; expected quant_desc_input or quant_desc_weight")
    for name, descriptor in descriptors.items():
        if not isinstance(descriptor, ScaledQuantDescriptor):
            raise TypeError(f"Expected `{name}` to be a QuantDescriptor, got {type(descriptor).__name__}")
    check_fake(*descriptors.values())


def _check_patterns(included: list[Pattern], known: dict[str, Any], done: set[str], modules: dict[str, Any]) -> str:
    """ValueError for a pattern that matches only unsupported layers; a text about one for quantised layers alone."""
    stale = ""
    for pattern in included:
        if pattern.text == "*" or pattern.names & known.keys():
            continue
        if pattern.names & done:
            stale = (f"`include` {pattern.text!r} matches no float layer: {min(pattern.names & done)!r} "
                     f"is quantised already and {KEEPS}")
            continue
        matched = [f"{name or 'the model'} ({type(module).__name__})" for name, module in modules.items()
                   if name in pattern.names]
        raise ValueError(f"Expected each pattern of `include` to match a layer that can be quantised, {pattern.text!r} "
                         f"matches only {', '.join(matched[:5])}{', ...' if len(matched) > 5 else ''}; "
                         f"layers that can be are: {', '.join(list(known)[:10]) or 'none'}")
    return stale


def _why_none(known: dict[str, Any], included: frozenset[str], done: set[str], modules: list[tuple[str, Any]]) -> str:
    if included & known.keys():
        return f"`exclude` leaves out all that `include` chooses, as {min(included & known.keys())!r}"
    if included & done:
        return f"every layer that it could take, as {min(included & done)!r}, is quantised already and {KEEPS}"
    kinds = sorted({type(module).__name__ for _, module in modules if not module._modules})
    return (f"the model has none of a class that has a quantised form (it has {', '.join(kinds[:8]) or 'no layers'}); "
            "custom_quant_modules adds classes")


def _left_float(model: Any, table: dict[Any, Any], wanted: frozenset[str]) -> str:
    """A text about all requested layers that cannot be converted, or "" if there are none."""
    left = [layer for layer in beyond_reach(model, table) if layer.name in wanted or "[" in layer.name]
    if not left:
        return ""
    more = f"; and {len(left) - 3} more" if len(left) > 3 else ""
    return (f"`replace` cannot take {len(left)} layer{'s' * (len(left) > 1)}, which stay float: "
            f"{'; '.join(map(str, left[:3]))}{more}. `unquantized_layers(model)` lists them; `exclude` accepts them")


def converted(name: str, module: Any, quantized_class: Any, descriptors: dict[str, Any]) -> Any:
    """The quantised layer for a float one. Layers without a weight ignore a descriptor for it."""
    if not hasattr(quantized_class, "from_float"):
        raise TypeError(f"Expected {quantized_class.__name__} to have a class method from_float(module, "
                        "**descriptors): QuantMixin and QuantInputMixin bring one")
    has_weight = hasattr(quantized_class, "default_quant_desc_weight")
    given = {key: value for key, value in descriptors.items() if has_weight or key != "quant_desc_weight"}
    try:
        return quantized_class.from_float(module, **given)
    except Exception as problem:
        raise _named(name or "the model", module, problem) from problem


def _named(name: str, module: Any, problem: Exception) -> Exception:
    """The same exception with the layer's name; RuntimeError where its class takes no message alone."""
    text = f"{name} ({type(module).__name__}) cannot be quantised: {problem}"
    try:
        return type(problem)(text)
    except Exception:
        return RuntimeError(text)
