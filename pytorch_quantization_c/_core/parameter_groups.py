"""Choosing parameters by name, for models of any host."""
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .errors import shown
from .lazy_logger import get_logger
from .models import is_frozen

__all__ = ["freeze_parameters", "group_parameters", "layers_with_quantized_weight", "match_parameters"]

logger = get_logger(__name__)


def _module(model: object) -> Any:
    if not hasattr(model, "named_parameters"):
        raise TypeError(f"Expected `model` to be a module, got {type(model).__name__}")
    return model


def _expressions(patterns: Iterable[str]) -> list[str]:
    if isinstance(patterns, str) or not isinstance(patterns, Iterable):
        raise TypeError(f"Expected `patterns` to be a list of regular expressions, got {shown(patterns)}")
    found = list(patterns)
    for pattern in found:
        if not isinstance(pattern, str):
            raise TypeError(f"Expected `patterns` to hold regular expressions, got {shown(pattern)}")
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as problem:
            raise ValueError(f"Expected `patterns` to hold regular expressions, got {shown(pattern)}: "
                             f"{problem}") from None
    return found


def match_parameters(model: object, patterns: Iterable[str]) -> Iterator[Any]:
    """The parameters whose full names match a pattern, once for each pattern that matches.

    Args:
        model: any module.
        patterns: regular expressions, which may match anywhere in the name.
    """
    expressions = _expressions(patterns)
    for name, parameter in _module(model).named_parameters():
        for expression in expressions:
            if re.search(expression, name):
                yield parameter


def group_parameters(model: object, patterns_list: Sequence[list[str]], lrs: Sequence[float] | None = None,
                     momentums: Sequence[float] | None = None,
                     weight_decays: Sequence[float] | None = None) -> list[dict[str, Any]]:
    """Groups of parameters with their own options, in the form that torch's optimisers take.

    Args:
        model: any module.
        patterns_list: for each group the patterns of `match_parameters`. They should be disjoint; this is not
            checked.
        lrs, momentums, weight_decays: one value for each group, or None.

    Returns:
        For each group `params`, a generator, and `lr`, `momentum`, `weight_decay` where given.

    Raises:
        TypeError: patterns that are not lists, or an option whose length is not that of `patterns_list`.
    """
    for patterns in patterns_list:
        if not isinstance(patterns, list):
            raise TypeError(f"`patterns_list` must be list of list of patterns, got {shown(patterns)} in it")
    groups: list[dict[str, Any]] = [{"params": match_parameters(model, patterns)} for patterns in patterns_list]
    for argument, values in (("lrs", lrs), ("momentums", momentums), ("weight_decays", weight_decays)):
        if values is None:
            continue
        if len(values) != len(groups):
            raise TypeError(f"`{argument}` must match `patterns_list`: expected a value for each of the {len(groups)} "
                            f"groups, got {len(values)}")
        for group, value in zip(groups, values, strict=True):
            group[argument[:-1]] = value
    return groups


def freeze_parameters(model: object, patterns: Iterable[str]) -> None:
    """Sets `requires_grad` to False for what `match_parameters` finds. A pattern that finds nothing is logged."""
    expressions, named = _expressions(patterns), list(_module(model).named_parameters())
    for expression in expressions:
        if not any(re.search(expression, name) for name, _ in named):
            logger.warning("The pattern %s freezes nothing: it matches none of the names %s%s", shown(expression),
                           ", ".join(name for name, _ in named[:8]) or "(there are none)", ", ..." * (len(named) > 8))
    for name, parameter in named:
        if any(re.search(expression, name) for expression in expressions):
            logger.info("Freeze %s", name)
            parameter.requires_grad = False


def layers_with_quantized_weight(model: object) -> Iterator[Any]:
    """The layers of `model` with a single weight to quantise in place; says what becomes of each, and of the others.

    Recurrent layers, which quantise several weights as one array, are left alone.
    """
    for name, module in _module(model).named_modules():
        quantizer = getattr(module, "_weight_quantizer", None)
        single = getattr(module, "weight", None) is not None
        if hasattr(module, "_weight_quantizers") or (quantizer is not None and not single):
            logger.warning("%s has no single weight: it is left as it is", name or "the model")
            continue
        if quantizer is None:
            continue
        if is_frozen(module):
            logger.warning("%s is frozen, its weight is quantised: it is left as it is", name or "the model")
            continue
        if not quantizer.fake_quant:
            logger.warning("The weight of %s becomes integers: use the model for inference only", name or "the model")
        logger.info("Quantise the weight of %s in place", name or "the model")
        yield module
