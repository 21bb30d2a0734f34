"""The safetensors format, read and written with NumPy alone; a malicious file is refused before anything is allocated.

A file is the length of its header (8 bytes, little endian), the header (JSON: each name's `dtype`, `shape` and
`data_offsets`, and `__metadata__`, a map of strings), and the arrays one after the other, without gaps or overlaps.
"""
from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .errors import shown
from .files import PIECE, FilePath, errors_of_file, open_file, write_file

__all__ = ["deserialize", "load_file", "save_file", "serialize"]

MAX_HEADER = 100_000_000
MAX_RANK = 64
METADATA = "__metadata__"
DTYPES = {"BOOL": "|b1", "U8": "|u1", "I8": "|i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "U32": "<u4", "I32": "<i4",
          "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8"}
EXTRA_DTYPES = {"BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn"}
NAMES = {np.dtype(code).name: name for name, code in DTYPES.items()} | {v: k for k, v in EXTRA_DTYPES.items()}

Arrays = dict[str, NDArray[Any]]


def serialize(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a file that holds `arrays` (any shape, any strides) and `metadata`.

    TypeError for a name that is no string, an array of a type the format does not know, or metadata that are not
    strings; ValueError for the reserved name `__metadata__`.
    """
    header: dict[str, Any] = {}
    if metadata is not None:
        for key, value in metadata.items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise TypeError(f"Expected `metadata` to map strings to strings, got {shown(key)}: "
                                f"{type(value).__name__}")
        header[METADATA] = dict(metadata)
    parts, offset = [], 0
    for name, array in sorted(_checked(arrays), key=lambda item: (-item[1].dtype.itemsize, item[0])):
        data = array.tobytes()
        header[name] = {"dtype": NAMES[array.dtype.name], "shape": list(array.shape),
                        "data_offsets": [offset, offset + len(data)]}
        parts.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def _checked(arrays: Mapping[str, NDArray[Any]]) -> list[tuple[str, NDArray[Any]]]:
    found = []
    for name, value in arrays.items():
        if not isinstance(name, str):
            raise TypeError(f"Expected names of arrays to be strings, got {shown(name)}")
        if name == METADATA:
            raise ValueError(f"Expected another name for an array than {METADATA!r}, which is reserved")
        array = np.asarray(value)
        if array.dtype.name not in NAMES:
            raise TypeError(f"Expected `{name}` to be an array of a type safetensors knows, got {array.dtype}")
        if array.dtype.name not in EXTRA_DTYPES.values():
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        found.append((name, array))
    return found


def deserialize(data: bytes) -> tuple[Arrays, dict[str, str]]:
    """The arrays (owned, writable, native byte order) and the metadata in the bytes of a file.

    Raises:
        ValueError: the bytes are not a well-formed file; the message says what is wrong.
    """
    return _read(io.BytesIO(data), len(data), None)


def _read(file: IO[bytes], size: int,
          check: Callable[[dict[str, str]], object] | None) -> tuple[Arrays, dict[str, str]]:
    header, start = _header(file, size)
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _refusal(f"{METADATA} is not a map of strings")
    entries = sorted((_entry(name, entry) for name, entry in header.items()), key=lambda entry: entry[3:])
    end = 0
    for name, _, _, begin, stop in entries:
        if begin != end:
            raise _refusal(f"the data of `{name}` begin at byte {begin} instead of {end}")
        end = stop
    if end != size - start:
        raise _refusal(f"the header describes {end} bytes of data, the file has {size - start}")
    if check is not None:
        check(metadata)
    if end > _memory():
        raise _refusal(f"its arrays of {end} bytes are too large for the memory of this machine")
    arrays = {name: _array(name, dtype, shape, _body(file, stop - begin))
              for name, dtype, shape, begin, stop in entries}
    return {name: arrays[name] for name in header}, metadata


def _memory() -> float:
    """Memory of this machine in bytes, or infinity: a sparse file may claim more, and would fill it."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return math.inf


def _body(file: IO[bytes], size: int) -> memoryview:
    try:
        room = np.empty(size, np.uint8)
    except MemoryError:
        raise _refusal(f"an array of {size} bytes is too large for the memory of this machine") from None
    data, done = memoryview(room.data), 0
    while done < size:
        found = file.readinto(data[done:done + PIECE])  # type: ignore[attr-defined]
        if not found:
            raise _refusal(f"it ends {size - done} bytes before the end of an array")
        done += found
    return data


def _refusal(problem: str) -> ValueError:
    return ValueError("Expected a safetensors file, but " + problem)


#: How files of other formats begin, for the message.
OTHERS = {b"PK\x03\x04": "a zip archive, as np.savez and torch.save write", b"\x93NUMPY": "an .npy file",
          b"\x89HDF": "an HDF5 file", b"\x80\x02": "a pickle", b"\x80\x04": "a pickle", b"\x80\x05": "a pickle",
          b"GGUF": "a GGUF file", b"{": "JSON", b"\x08": "an ONNX model, or another protocol buffer"}


def _header(file: IO[bytes], size: int) -> tuple[dict[str, Any], int]:
    """The header, and where the data begin. Nothing is read beyond the size of the file."""
    start = file.read(9)
    length = int.from_bytes(start[:8], "little")
    problem = (f"it has only {size} bytes" if size < 8 else
               f"its header claims {length} bytes; at most {MAX_HEADER} are read" if length > MAX_HEADER else
               f"its header claims {length} bytes and {size - 8} follow" if 8 + length > size else
               "its header does not begin with a brace" if not length or start[8:] != b"{" else "")
    if problem:
        other = next((what for begin, what in OTHERS.items() if start.startswith(begin)), None)
        raise _refusal(f"got {other}" if other else problem)
    text = start[8:] + file.read(length - 1)
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constants)
    except (ValueError, RecursionError) as error:
        raise _refusal(f"its header is not valid JSON: {error}") from None
    return header, 8 + length


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _no_constants(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(each) is int and 0 <= each < 2 ** 63 for each in value)


def _entry(name: str, entry: object) -> tuple[str, np.dtype[Any], tuple[int, ...], int, int]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _refusal(f"the entry of `{name}` is not dtype, shape and data_offsets")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _sizes(shape) or len(shape) > MAX_RANK:
        raise _refusal(f"the shape of `{name}` is not a list of at most {MAX_RANK} sizes")
    if not _sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _refusal(f"the data_offsets of `{name}` are not an ascending pair")
    dtype = _dtype(name, entry["dtype"])
    size = math.prod(shape) * dtype.itemsize
    if size != offsets[1] - offsets[0]:
        raise _refusal(f"`{name}` needs {size} bytes and is given {offsets[1] - offsets[0]}")
    return name, dtype, tuple(shape), offsets[0], offsets[1]


def _dtype(name: str, code: object) -> np.dtype[Any]:
    if isinstance(code, str) and code in DTYPES:
        return np.dtype(DTYPES[code])
    if isinstance(code, str) and code in EXTRA_DTYPES:
        try:
            import ml_dtypes
        except ImportError:
            raise ValueError(f"Expected ml_dtypes to be installed to read `{name}`, which is {code}: pip install "
                             "'pytorch-quantization-c[torch]'") from None
        dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, EXTRA_DTYPES[code]))
        return dtype
    raise _refusal(f"the type of `{name}` is {shown(code)}, which is not known")


def _array(name: str, dtype: np.dtype[Any], shape: tuple[int, ...], data: memoryview) -> NDArray[Any]:
    try:
        if dtype == np.bool_:
            return np.asarray(np.frombuffer(data, np.uint8).reshape(shape) != 0)
        array = np.frombuffer(data, dtype).reshape(shape)
        return array.astype(dtype.newbyteorder("="), copy=False)  # `data` has no other owner
    except ValueError as problem:
        raise _refusal(f"`{name}` is not an array NumPy can hold: {problem}") from None


def save_file(arrays: Mapping[str, NDArray[Any]], path: FilePath, metadata: Mapping[str, str] | None = None) -> None:
    """Writes a file. It appears whole or not at all: an existing one is replaced only once the new one is complete."""
    write_file(path, serialize(arrays, metadata))


def load_file(path: FilePath,
              check: Callable[[dict[str, str]], object] | None = None) -> tuple[Arrays, dict[str, str]]:
    """The arrays and the metadata of a file. ValueError if it is not a well-formed one.

    `check` is called with the metadata before any array is read, and may refuse the file.
    """
    with errors_of_file(path), open_file(path) as (file, size):
        return _read(file, size, check)
