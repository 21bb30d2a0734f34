"""Writes arrays to an .npz file, and reads arrays of known types and shapes: nothing else in the file is trusted."""
from __future__ import annotations

import io
import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["DAMAGE", "npz_of", "read_arrays"]

MAGIC = b"\x93NUMPY\x01\x00"
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, OSError, NotImplementedError, RuntimeError, OverflowError,
          SyntaxError, tokenize.TokenError)     # the last two: NumPy parses the header of an array as Python


def npz_of(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The contents of an .npz file with arrays of these names; `numpy.savez` reserves some names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=False)
    return buffer.getvalue()


def read_arrays(stream: IO[bytes], expected: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, NDArray[Any]]:
    """The arrays of these names, types and shapes. ValueError unless the file has just these."""
    try:
        with zipfile.ZipFile(stream) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
            if names != set(expected):
                raise ValueError(f"it holds other arrays: {sorted(names ^ set(expected))!r:.200}")
            return {name: _array(archive, name, np.dtype(code), shape) for name, (code, shape) in expected.items()}
    except (ValueError, *DAMAGE) as problem:
        what = str(problem) or type(problem).__name__
        raise ValueError(f"Expected an undamaged .npz file, but {what[:300]}") from None


def _array(archive: zipfile.ZipFile, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    header = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': {shape}, }}"  # as NumPy writes it
    size = math.prod(shape) * dtype.itemsize
    with archive.open(name + ".npy") as stream:
        start = stream.read(10)
        text = stream.read(int.from_bytes(start[8:], "little"))
        if start[:8] != MAGIC or text.decode("latin1").strip() != header:
            raise ValueError(f"`{name}` is not an array of {size} bytes with the header {header}")
        data = stream.read(size + 1)
    if len(data) != size:
        raise ValueError(f"`{name}` does not have {size} bytes")
    return np.frombuffer(data, dtype).reshape(shape).copy()
