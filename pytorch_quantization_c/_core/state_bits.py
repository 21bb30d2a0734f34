"""A state dictionary holds the ranges of quantisers, as the original's does; its metadata hold their bits.

So loading can warn if they differ. A dictionary from elsewhere has no such metadata, and no warning is given.
"""
from __future__ import annotations

import warnings
from typing import Any

__all__ = ["note_bits", "warn_of_other_bits"]

LOADER = 5      # the frames from here to `load_state_dict`, at least


def note_bits(destination: object, prefix: str, num_bits: object) -> None:
    """Notes the bits of the quantiser at `prefix` in the metadata of a state dictionary that has some."""
    metadata = getattr(destination, "_metadata", {}).get(prefix[:-1])
    if metadata is not None:
        metadata["num_bits"] = num_bits


def warn_of_other_bits(metadata: Any, num_bits: object) -> None:
    """UserWarning if the metadata of a quantiser that is loaded have other bits than the quantiser."""
    bits = (metadata or {}).get("num_bits", num_bits)
    if bits != num_bits:
        warnings.warn(f"A state dictionary of quantisers with num_bits {bits} is loaded into quantisers with "
                      f"{num_bits}: it holds ranges, not bits; save_quant_state and load_quant_state carry both",
                      UserWarning, stacklevel=LOADER)
