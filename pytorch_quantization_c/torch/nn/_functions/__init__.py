"""The steps of recurrent layers as functions, under the original's names."""
from . import quant_rnn

__all__ = ["quant_rnn"]
