"""Modules whose result depends on training mode."""
from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

logger = logging.getLogger(__name__)

NORMS = ("_BatchNorm", "_InstanceNorm")
DROPOUTS = ("_Dropout", "_DropoutNd")
SAMPLERS = ("RReLU",)


def warn_of_training(model: Any, doing: str) -> None:
    """Logs, once a call, that modules of either front are in training mode whose result depends on it.

    Args:
        model: a module.
        doing: the function that is called, for the message.
    """
    found = list(_in_training(model))
    if found:
        name, module = found[0]
        logger.warning("%s: %d modules are in training mode, which changes their results (%s, a %s%s): call "
                       "model.eval() first", doing, len(found), name or "the model", type(module).__name__,
                       "" if len(found) == 1 else ", and others")


def _in_training(model: Any) -> Iterator[tuple[str, Any]]:
    return ((name, module) for name, module in model.named_modules() if module.training and _depends(module))


def _depends(module: Any) -> bool:
    bases = {base.__name__ for base in type(module).__mro__}
    if bases.intersection(NORMS):       # without running statistics it takes the batch's in either mode
        return bool(getattr(module, "track_running_stats", True))
    if bases.intersection(DROPOUTS):
        return bool(getattr(module, "p", 1) > 0)
    dropout = getattr(module, "dropout", 0)     # of a recurrent layer or an attention, as a number
    if isinstance(dropout, float) and dropout > 0:
        return bool(getattr(module, "num_layers", 2) > 1)
    return bool(bases.intersection(SAMPLERS))
