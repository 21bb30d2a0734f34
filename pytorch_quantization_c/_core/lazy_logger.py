"""Loggers that import `logging` with their first message: a third of what importing the package would take."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logging import Logger

__all__ = ["get_logger"]


class _LazyLogger:
    """`logging.getLogger(name)`, made at the first access."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        import logging

        return getattr(logging.getLogger(self._name), attribute)


def get_logger(name: str) -> Logger:
    """The logger of a module."""
    return _LazyLogger(name)  # type: ignore[return-value]
