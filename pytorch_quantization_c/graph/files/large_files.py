"""Models larger than a protobuf can be: their tensors in a second file, and both files replaced as one."""
from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator

import onnx

from ..._core.files import write_file
from .external import tensors

__all__ = ["save_in_two"]

SMALLEST, ALIGNED = 1024, 64  # bytes of a tensor that stays in the model; where the others begin


def save_in_two(proto: onnx.ModelProto, path: str | os.PathLike[str]) -> None:
    """Writes a model whose larger tensors are in a file beside it, `path` with a fingerprint and ".data" behind it.

    The new model appears whole or not at all: its data file has a unique name, so that until then the old
    model still has its own data, which are removed last.

    Args:
        proto: loses its larger tensors.

    Raises:
        OSError: from the system; the old model is as it was.
    """
    given = os.path.abspath(os.fspath(path))
    folder, base = os.path.split(given)
    moved = [tensor for tensor in tensors(proto.graph) if len(tensor.raw_data) >= SMALLEST]
    name = f"{base}.{_fingerprint(moved)}.data"
    before, was_there = _data_of(given, base), os.path.exists(os.path.join(folder, name))
    try:
        write_file(os.path.join(folder, name), _chunks(moved))
        _link(moved, name)
        write_file(given, proto.SerializeToString())
    except BaseException:
        if not was_there and name not in _data_of(given, base):
            _remove(os.path.join(folder, name))
        raise
    for old in before - {name}:
        _remove(os.path.join(folder, old))


def _chunks(moved: list[onnx.TensorProto]) -> Iterator[bytes]:
    for tensor in moved:
        yield tensor.raw_data
        yield b"\0" * (-len(tensor.raw_data) % ALIGNED)


def _fingerprint(moved: list[onnx.TensorProto]) -> str:
    found = hashlib.blake2b(digest_size=8)
    for chunk in _chunks(moved):
        found.update(chunk)
    return found.hexdigest()


def _link(moved: list[onnx.TensorProto], name: str) -> None:
    """The tensors say where their numbers are, instead of having them."""
    offset = 0
    for tensor in moved:
        size = len(tensor.raw_data)
        for key, value in (("location", name), ("offset", offset), ("length", size)):
            tensor.external_data.add(key=key, value=str(value))
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
        offset += size + -size % ALIGNED


def _data_of(path: str, base: str) -> set[str]:
    """The files with data that an existing model has from here."""
    ours = re.compile(re.escape(base) + r"(\.[0-9a-f]{16})?\.data")
    with contextlib.suppress(Exception):  # nothing there, or something else
        model = onnx.load(path, load_external_data=False)
        found = {entry.value for tensor in tensors(model.graph) for entry in tensor.external_data
                 if entry.key == "location"}
        return {name for name in found if ours.fullmatch(name)}
    return set()


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
