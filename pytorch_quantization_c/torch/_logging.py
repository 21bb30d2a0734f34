"""absl's verbosity, which code written for the original sets, governs the library's messages, too."""
from __future__ import annotations

import logging
from importlib import import_module

__all__ = ["follow_absl"]


def follow_absl() -> None:
    """Puts the library's logger below absl's; a level of its own still comes first. Without absl it does nothing."""
    try:
        import_module("absl.logging")
    except ImportError:
        return
    logging.getLogger("pytorch_quantization_c").parent = logging.getLogger("absl")
