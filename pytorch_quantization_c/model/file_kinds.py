"""The kinds of safetensors files that the library writes, and the function that reads each."""
from __future__ import annotations

__all__ = ["FROZEN", "PROGRAM", "QUANTIZERS", "loader_of"]

FROZEN, QUANTIZERS = "pytorch_quantization_c frozen model", "pytorch_quantization_c quantizers"
PROGRAM = "pytorch_quantization_c program"
LOADERS = {FROZEN: "load_frozen(model, path)", QUANTIZERS: "load_quant_state(model, path)",
           PROGRAM: "graph.load_session(path)",
           "pytorch_quantization_c calibrator": "HistogramCalibrator.load(path)"}


def loader_of(metadata: dict[str, str]) -> str:
    """The function to call for a file with these metadata, as the end of a message; "" if unknown."""
    format = metadata.get("format")
    if format in LOADERS:
        return f": call {LOADERS[format]}"
    return ": weights and ranges alone go into a model by load_state_dict" if format in (None, "pt", "np") else ""
