"""Quantised linear layers in files that inference servers read: compressed-tensors, and ModelOpt's checkpoints.

A folder gets `model.safetensors` with codes and scales of every quantised linear layer, all other parameters and the
persistent buffers (embeddings and convolutions as floats), and a JSON file that says what they are: `config.json` with
a `quantization_config`, or `hf_quant_config.json`. The weight's quantiser decides: 8-bit integers with a scale for each
row or one, 4-bit integers in groups, E4M3 with a scale for each row or one, or NVFP4. Scales count what a code stands
for, rounded to float32; codes are those of the quantiser.
"""
from __future__ import annotations

from .compressed_tensors import save_compressed_tensors
from .modelopt import save_modelopt
from .reading import load_checkpoint

__all__ = ["load_checkpoint", "save_compressed_tensors", "save_modelopt"]
