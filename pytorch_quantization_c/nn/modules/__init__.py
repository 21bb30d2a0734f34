"""The layers, one file for each kind."""
from __future__ import annotations

from ..._lazy import on_request

_HOMES = {"quant_attention": "", "quant_embedding": "", "quant_instancenorm": "", "quant_rnn": ""}

__getattr__, __dir__ = on_request(__name__, _HOMES)
