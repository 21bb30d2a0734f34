"""Files that others wrote, read whole."""
from __future__ import annotations

import os
import stat

__all__ = ["read_file"]


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The contents of a file.

    TypeError for anything but a path (a number would be an open file of the caller's), ValueError for a device or a
    pipe, which may have no end.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"Expected a path as a string or a pathlib.Path, got {type(path).__name__}")
    if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
        raise ValueError(f"Expected an ordinary file, got {os.fspath(path)!r}, which is a device or a pipe")
    with open(path, "rb") as file:
        return file.read()
