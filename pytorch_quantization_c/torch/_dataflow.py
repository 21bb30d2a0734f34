"""Which layers' outputs are read by only one other layer, by torch.fx."""
from __future__ import annotations

from collections import Counter
from typing import Any

import torch
import torch.fx

from .._core.errors import shown
from ..model.dataflow import Unfollowed

__all__ = ["tensor_pairs"]


class _Tracer(torch.fx.Tracer):
    """Takes layers of torch and of this package as they are."""

    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is called and not looked into."""
        return (type(m).__module__.startswith("pytorch_quantization_c.")
                or bool(super().is_leaf_module(m, module_qualified_name)))


def tensor_pairs(model: Any) -> list[tuple[Any, Any]]:
    """The pairs of layers of which only the second reads the first's output, each called once. Raises Unfollowed."""
    try:
        graph = _Tracer().trace(model)
    except MemoryError:
        raise
    except Exception as error:
        raise Unfollowed(f"torch.fx: {shown(str(error))}") from error
    calls = [node for node in graph.nodes if node.op == "call_module"]
    times = Counter(id(model.get_submodule(node.target)) for node in calls)
    found = []
    for node in calls:
        source = node.args[0] if node.args else None
        if not isinstance(source, torch.fx.Node) or source.op != "call_module" or len(source.users) != 1:
            continue
        pair = model.get_submodule(source.target), model.get_submodule(node.target)
        if all(times[id(module)] == 1 for module in pair):
            found.append(pair)
    return found
