"""Quantisers that share one range: those of a Concat's inputs."""
from __future__ import annotations

import onnx_ir as ir

GROUP = "pytorch_quantization_c.group"


def group_of(node: ir.Node) -> str:
    """The name that quantisers with the same range have in common; by default a quantiser's own."""
    return node.metadata_props.get(GROUP, node.name or "")


def set_group(node: ir.Node, group: str) -> None:
    """Puts a quantiser into a group."""
    if group != node.name:
        node.metadata_props[GROUP] = group
