"""Exceptions whose type the original fixed although another one would say more."""
from __future__ import annotations


class UnsupportedFormatError(NotImplementedError, ValueError):
    """A floating format other than E4M3: a ValueError that callers written for the original catch too."""
