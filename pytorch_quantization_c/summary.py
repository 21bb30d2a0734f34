"""Deprecated: these names have moved to `pytorch_quantization_c.model`, and still work from here."""
from .model.quantizers import named_quantizers
from .model.summary import QuantizerRow, QuantSummary, quant_summary

__all__ = ["QuantSummary", "QuantizerRow", "named_quantizers", "quant_summary"]
