"""Custom operators: functions of arrays that compute nodes of the user's domain."""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..._core.errors import shown

if TYPE_CHECKING:
    from .record import NodeLike

__all__ = ["custom_function", "custom_operator"]

STANDARD = ("", "ai.onnx")
OURS = "pytorch_quantization_c"
Operator = TypeVar("Operator", bound=Callable[..., Any])

_functions: dict[tuple[str, str], Callable[..., Any]] = {}


def custom_operator(op_type: str, domain: str) -> Callable[[Operator], Operator]:
    """Registers a function that computes the nodes of a non-standard operator, in graphs and in programs.

        @graph.custom_operator("Swirl", "my.operators")
        def swirl(x, *, gain=1.0):
            return np.sin(gain * x)

    The function gets the arrays of the node's inputs (None for one that is left out) and its attributes as keyword
    arguments: numbers, strings (as str), lists as tuples, tensors as arrays. It returns an array, or a tuple of as many
    as the node has outputs. It must not change its inputs, and may be called from several threads at once. A saved
    program names the operator: the process that loads it registers the function first. Registering it again
    replaces the function, in what is compiled from then on.

    Args:
        op_type: the operator's name in the file.
        domain: its domain, which is not that of the standard.

    Returns:
        A decorator that returns the function unchanged.

    Raises:
        TypeError: a name is not a string, or what is decorated cannot be called.
        ValueError: an empty `op_type`, or the domain of the standard or of this library.
    """
    for name, value in (("op_type", op_type), ("domain", domain)):
        if not isinstance(value, str):
            raise TypeError(f"Expected `{name}` to be a string, got {shown(value)}")
    if not op_type:
        raise ValueError("Expected `op_type` to be the name of an operator, got ''")
    if domain in STANDARD or domain.startswith(OURS):
        raise ValueError(f"Expected `domain` to be one of your own, got {domain!r}")

    def register(function: Operator) -> Operator:
        if not callable(function):
            raise TypeError(f"Expected a function for {domain}.{op_type}, got {shown(function)}")
        _functions[domain, op_type] = function
        return function
    return register


def custom_function(node: NodeLike) -> Callable[..., Any] | None:
    """The function of a node with its attributes; None if none is registered."""
    function = _functions.get((node.domain, node.op_type))
    if function is None:
        return None
    attributes = {name: _plain(attribute.value) for name, attribute in node.attributes.items()}
    count = len(node.outputs)

    def compute(*arrays: Any) -> Any:
        found = function(*arrays, **attributes)
        given = len(found) if isinstance(found, tuple | list) else 1
        if given != count:
            raise ValueError(f"Expected its function to return {count} arrays, got {given}")
        return found
    return compute


def _plain(value: Any) -> Any:
    if hasattr(value, "numpy"):
        return value.numpy()
    return tuple(value) if isinstance(value, list) else value
