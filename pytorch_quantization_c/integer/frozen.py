"""Deprecated: these names have moved to `pytorch_quantization_c.model.freeze`, and still work from here."""
from ..model.freeze import freeze, load_frozen, save_frozen

__all__ = ["freeze", "load_frozen", "save_frozen"]
