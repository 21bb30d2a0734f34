"""Helpers for layers; `utils.rnn` has those for sequences of different lengths."""
from . import rnn

__all__ = ["rnn"]
