"""A checkpoint's folder: the arrays, and one of two JSON files that describe them."""
from __future__ import annotations

import json
import os
from typing import Any

from .._core.files import read_file, write_file
from .._core.safetensors import save_file
from .layers import Arrays

WEIGHTS, CONFIG, HF_CONFIG = "model.safetensors", "config.json", "hf_quant_config.json"
MAX_JSON = 1 << 26


def write(folder: Any, arrays: Arrays, name: str, config: dict[str, Any]) -> None:
    os.makedirs(folder, exist_ok=True)
    _forget(os.fspath(folder), HF_CONFIG if name == CONFIG else CONFIG)
    save_file(arrays, os.path.join(folder, WEIGHTS), {"format": "pt"})
    write_file(os.path.join(folder, name), json.dumps(config, indent=2).encode())


def _forget(folder: str, name: str) -> None:
    """Removes the other format's description of the weights from a folder; other entries of a `config.json` stay."""
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return
    if name == CONFIG:
        try:
            config = json.loads(read_file(path, MAX_JSON))
        except (ValueError, RecursionError):
            return
        if not isinstance(config, dict) or config.pop("quantization_config", None) is None:
            return
        if config:
            write_file(path, json.dumps(config, indent=2).encode())
            return
    os.remove(path)
