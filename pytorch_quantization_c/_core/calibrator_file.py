"""What a calibrator has collected, as a safetensors file: arrays, and settings as JSON metadata."""
from __future__ import annotations

import json
from typing import Any

from .errors import shown
from .files import FilePath
from .packing import pack, unpack
from .safetensors import load_file, save_file

__all__ = ["read_state", "write_state"]

FORMAT, VERSION = "pytorch_quantization_c calibrator", "1"


def write_state(calibrator: object, path: FilePath) -> None:
    """Writes every attribute of a calibrator, atomically. TypeError if one is not plain data."""
    arrays: dict[str, Any] = {}
    state = {name: pack(value, name, arrays) for name, value in vars(calibrator).items()}
    save_file(arrays, path, {"format": FORMAT, "version": VERSION, "class": type(calibrator).__name__,
                             "state": json.dumps(state)})


def read_state(calibrator: object, path: FilePath) -> dict[str, Any]:
    """The attributes in a file that `write_state` wrote. ValueError if it is not one, or of another class."""
    def check(metadata: dict[str, str]) -> None:
        if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
            raise _refusal(f"its format is {shown(metadata.get('format'))} {shown(metadata.get('version'))}")
        if metadata.get("class") != type(calibrator).__name__:
            raise _refusal(f"it is one of a {metadata.get('class')}, not of a {type(calibrator).__name__}")

    arrays, metadata = load_file(path, check)
    try:
        packed = json.loads(metadata.get("state", ""))
        state = {name: unpack(value, arrays) for name, value in packed.items()}
    except (ValueError, RecursionError, AttributeError) as problem:
        raise _refusal(f"its state cannot be read: {problem}") from None
    optional = {"name", "_device", "_first_bins"}      # defaults of the class until the first array
    if set(state) - optional != set(vars(calibrator)) - optional:
        raise _refusal(f"it holds {sorted(state)}")
    return state


def _refusal(problem: str) -> ValueError:
    return ValueError(f"Expected a file of a calibrator, but {problem}")
