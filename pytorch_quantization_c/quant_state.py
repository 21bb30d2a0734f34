"""Deprecated: these names have moved to `pytorch_quantization_c.model.state_file`, and still work from here."""
from .model.state_file import LoadedQuantState, load_quant_state, save_quant_state

__all__ = ["LoadedQuantState", "load_quant_state", "save_quant_state"]
