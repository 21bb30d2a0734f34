"""Helpers for those who train or fine-tune quantised models."""
from . import helper

__all__ = ["helper"]
