"""Helpers for training and fine-tuning quantised models."""
from . import helper

__all__ = ["helper"]
