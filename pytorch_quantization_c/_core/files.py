"""Files, read and written whole."""
from __future__ import annotations

import contextlib
import os
import stat

__all__ = ["read_file", "write_file"]


def _checked(path: str | os.PathLike[str]) -> str:
    if not isinstance(path, str | os.PathLike):  # a number would be a file that the caller has open
        raise TypeError(f"Expected a path as a string or a pathlib.Path, got {type(path).__name__}")
    return os.fspath(path)


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The contents of a file.

    TypeError for anything but a path, ValueError for a device or a pipe, which may have no end.
    """
    name = _checked(path)
    if not stat.S_ISREG(os.stat(name).st_mode) and not os.path.isdir(name):
        raise ValueError(f"Expected an ordinary file, got {name!r}, which is a device or a pipe")
    with open(name, "rb") as file:
        return file.read()


def _of_path(problem: OSError, folder: str, path: str) -> OSError:
    """The same error about the caller's own path; a folder that is not there is named."""
    if isinstance(problem, FileNotFoundError) and folder and not os.path.isdir(folder):
        return FileNotFoundError(problem.errno, f"Expected a file in a folder that exists, {folder!r} does not", path)
    return OSError(problem.errno, problem.strerror, path)


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """The file appears whole or not at all: an existing one is replaced only once the new one is complete."""
    folder, name = os.path.split(_checked(path))
    partial = os.path.join(folder, f".{name}.{os.urandom(6).hex()}")
    try:
        with open(partial, "xb") as file:
            file.write(data)
        os.replace(partial, path)
    except OSError as problem:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        if problem.filename != partial:
            raise
        raise _of_path(problem, folder, os.fspath(path)) from None
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        raise
