"""Helpers around layers; `utils.rnn` holds those for sequences of different lengths."""
from . import rnn

__all__ = ["rnn"]
