"""Peace between the handlers of several libraries' loggers."""
from __future__ import annotations

__all__ = ["reset_logger_handler"]


def reset_logger_handler() -> None:
    """Removes all handlers of the root logger, so that a library that added its own stops formatting everybody's."""
    import logging  # as late as the library's own loggers do

    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
