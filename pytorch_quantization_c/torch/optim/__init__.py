"""Helpers for training quantised models."""
from . import helper

__all__ = ["helper"]
