"""Files: opened only if they are ordinary ones, and written whole or not at all."""
from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from typing import IO

try:
    import fcntl
except ImportError:  # not on Windows, where an open file cannot be removed anyway
    fcntl = None  # type: ignore[assignment]

__all__ = ["FilePath", "check_folder", "errors_of_file", "open_file", "part_file", "read_file", "write_file"]

FilePath = str | bytes | os.PathLike[str] | os.PathLike[bytes]

PIECE = 1 << 26     # bytes read or written at a time: Ctrl-C is answered between two of them
SUFFIX = ".partial"
NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF)  # some file systems have none
NOT_ORDINARY = "Expected an ordinary file, got {!r}, which is a device or a pipe"


def _checked(path: FilePath) -> str:
    if not isinstance(path, str | bytes | os.PathLike):  # a number would be a file that the caller has open
        raise TypeError(f"Expected a path as a string, bytes or a pathlib.Path, got {type(path).__name__}")
    return os.fsdecode(path)


def part_file(path: FilePath | None, part: str) -> str | None:
    """The file of one part of something: `path` with the part's name before its suffix; None for None."""
    if path is None:
        return None
    stem, suffix = os.path.splitext(_checked(path))
    return f"{stem}.{part}{suffix}"


def check_folder(path: FilePath | None, argument: str) -> None:
    """FileNotFoundError if the folder of a file to be written later does not exist; None is no file."""
    if path is not None and not os.path.isdir(os.path.dirname(os.path.abspath(_checked(path)))):
        raise FileNotFoundError(f"Expected `{argument}` to be in a folder that exists, got {os.fsdecode(path)!r}")


@contextlib.contextmanager
def errors_of_file(path: FilePath) -> Iterator[None]:
    """A ValueError of the `with` block, in which a file is read, names the file."""
    try:
        yield
    except ValueError as problem:
        name = repr(_checked(path))
        if len(problem.args) == 1 and name not in str(problem):
            problem.args = (f"{problem} (in {name})",)
        raise


@contextlib.contextmanager
def open_file(path: FilePath) -> Iterator[tuple[IO[bytes], int]]:
    """A file to read and its size in bytes, for the duration of a `with` block.

    TypeError for anything but a path, ValueError for a device or a pipe, which may have no end.
    """
    name = _checked(path)
    handle = os.open(name, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(NOT_ORDINARY.format(name))
        file = os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise
    with file:
        yield file, status.st_size


def read_file(path: FilePath, limit: int = 1 << 31) -> bytes:
    """The contents of a file of at most `limit` bytes: ValueError for a larger one, and as from `open_file`."""
    with open_file(path) as (file, size):
        if size > limit:
            raise ValueError(f"Expected a file of at most {limit} bytes, got {_checked(path)!r} of {size}")
        return file.read(size)


def write_file(path: FilePath, data: bytes | Iterable[bytes]) -> None:
    """The file appears whole or not at all: an existing one is replaced only once the new one is on the disk.

    `data` may come in pieces, so that files larger than memory are possible.

    A link stays, and the file it leads to is replaced. The mode and, where the system lets it, the owner of an existing
    file are kept. What a killed process has left behind of the same file is removed. Whatever raises, the file is the
    old one or, if only its folder could not be brought to the disk, the new one.

    TypeError for anything but a path, ValueError for a device or a pipe, OSError from the system.
    """
    given = _checked(path)
    target = os.path.realpath(given)
    status = _status(target)
    if not os.path.basename(given) or (status is not None and stat.S_ISDIR(status.st_mode)):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), given)
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise ValueError(NOT_ORDINARY.format(given))
    folder, name = os.path.split(target)
    import hashlib  # OpenSSL, milliseconds to load

    prefix = f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}."  # short: the name may be as long as names can be
    _remove_orphans(folder, prefix)
    mode = 0o666 if status is None else stat.S_IMODE(status.st_mode)
    try:
        handle, partial = _create(os.path.join(folder, prefix), mode)
    except OSError as problem:
        raise _of_path(problem, folder, given) from None
    try:
        try:
            _fill(handle, data, status)
            if fcntl is not None:  # elsewhere an open file cannot be moved
                os.replace(partial, target)
        finally:
            os.close(handle)
        if fcntl is None:
            os.replace(partial, target)
    except BaseException:
        _forget(partial)
        raise
    _sync_folder(folder)


def _of_path(problem: OSError, folder: str, path: str) -> OSError:
    """The same error for the caller's path; a missing folder is named."""
    if isinstance(problem, FileNotFoundError) and not os.path.isdir(folder):
        return FileNotFoundError(problem.errno, f"Expected a file in a folder that exists, {folder!r} does not", path)
    return OSError(problem.errno, problem.strerror, path)


def _status(name: str) -> os.stat_result | None:
    try:
        return os.stat(name)
    except FileNotFoundError:
        return None


def _create(start: str, mode: int) -> tuple[int, str]:
    """A new file, locked while it is open, so that it is not taken for an orphan."""
    while True:
        partial = start + os.urandom(6).hex() + SUFFIX
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode & 0o777)
        try:
            if fcntl is None or _locked(handle):
                return handle, partial
        except BaseException:
            os.close(handle)
            _forget(partial)
            raise
        os.close(handle)


def _locked(handle: int) -> bool:
    """Locks an open file; False if somebody has removed it before."""
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(handle, fcntl.LOCK_EX)  # pyright: ignore
    return os.fstat(handle).st_nlink > 0


def _forget(partial: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(partial)


def _fill(handle: int, data: bytes | Iterable[bytes], old: os.stat_result | None) -> None:
    for piece in [data] if isinstance(data, bytes) else data:
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(handle, rest[:PIECE]):]
    if old is not None and hasattr(os, "fchmod"):
        now = os.fstat(handle)
        if (now.st_uid, now.st_gid) != (old.st_uid, old.st_gid):
            with contextlib.suppress(OSError):
                os.fchown(handle, old.st_uid, old.st_gid)
        os.fchmod(handle, stat.S_IMODE(old.st_mode))
    os.fsync(handle)


def _remove_orphans(folder: str, prefix: str) -> None:
    """Removes partial files that nobody has locked."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(prefix) and name.endswith(SUFFIX):
                with contextlib.suppress(OSError):
                    _remove_orphan(os.path.join(folder, name))


def _remove_orphan(partial: str) -> None:
    if fcntl is None:
        os.unlink(partial)
        return
    handle = os.open(partial, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(partial)
    finally:
        os.close(handle)


def _sync_folder(folder: str) -> None:
    if fcntl is None:
        return
    try:
        handle = os.open(folder or os.curdir, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as problem:  # a folder that may be written to but not read cannot be opened
        if problem.errno not in NO_FOLDER_SYNC:
            raise
