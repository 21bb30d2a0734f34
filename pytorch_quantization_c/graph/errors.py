"""What is wrong with a graph, and how its parts are named in messages."""
from __future__ import annotations

__all__ = ["GraphError", "shown_node"]


class GraphError(ValueError):
    """A file, a graph or what it was given is not as it has to be; names the node or the value."""


def shown_node(op_type: str, domain: str, name: str | None, outputs: list[str]) -> str:
    """A node for a message."""
    kind = f"{domain}.{op_type}" if domain not in ("", "ai.onnx") else op_type
    if name:
        return f"Node {name!r} ({kind})"
    return f"The node of {next((each for each in outputs if each), 'no output')!r} ({kind})"
