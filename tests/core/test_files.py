"""The one writer of files and the readers: whole or not at all, whatever fails, whatever the path is."""
from __future__ import annotations

import errno
import itertools
import json
import os
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import calib, demo, interchange, nn
from pytorch_quantization_c._core import files, safetensors
from pytorch_quantization_c._core.files import read_file, write_file
from pytorch_quantization_c._core.safetensors import load_file, serialize
from pytorch_quantization_c.model import sensitivity

from ..process import run_python

OLD, NEW = b"old" * 1000, b"new" * 1000
X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
CALLS = ["open", "write", "fsync", "replace", "fstat", "stat", "fchmod", "close", "listdir"]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes, links and FIFOs are those of POSIX")


def frozen() -> Any:
    return pq.freeze(nn.QuantLinear(4, 3), keep_float=False)


def collected() -> Any:
    calibrator = calib.MaxCalibrator(8, None, False)
    calibrator.collect(X)
    return calibrator


def same_layer() -> nn.QuantLinear:
    """With the same weights each time: a file of sensitivities belongs to them."""
    layer = nn.QuantLinear(4, 3)
    layer.weight[...], layer.bias[...] = np.linspace(-1, 1, 12).reshape(3, 4), 0
    return layer


WRITERS: dict[str, Any] = {
    "bytes": lambda path: write_file(path, NEW),
    "save_quant_state": lambda path: pq.save_quant_state(nn.QuantLinear(4, 3), path),
    "save_frozen": lambda path: pq.save_frozen(frozen(), path),
    "calibrator": lambda path: calib.MaxCalibrator(8, None, False).save(path),
    "report": lambda path: calib.report(collected(), path),
    "sensitivity": lambda path: pq.sensitivity(same_layer(), [X], resume=path),
}
READERS: dict[str, Any] = {
    "bytes": read_file,
    "load_quant_state": lambda path: pq.load_quant_state(nn.QuantLinear(4, 3), path),
    "load_frozen": lambda path: pq.load_frozen(nn.QuantLinear(4, 3), path),
    "calibrator": lambda path: calib.MaxCalibrator(8, None, False).load(path),
    "digits": demo.load_digits,
    "sensitivity": lambda path: pq.sensitivity(same_layer(), [X], resume=path),
}


class Fails:
    """Puts in the place of os.<name> a function whose n-th call raises; or writes half of what it is given first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, number: int, error: BaseException) -> None:
        self.left, self.error, self.real, self.name = number, error, getattr(os, name), name
        monkeypatch.setattr(os, name, self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.left -= 1
        if self.left != -1:
            return self.real(*args, **kwargs)
        if self.name == "write":
            self.real(args[0], args[1][:len(args[1]) // 2])
        if self.name == "close":
            self.real(*args)
        raise self.error


@pytest.mark.parametrize("error", [OSError(errno.EIO, "injected"), OSError(errno.ENOSPC, "injected"),
                                   KeyboardInterrupt()], ids=["EIO", "ENOSPC", "Ctrl-C"])
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("exists", [True, False])
def test_whatever_fails_nothing_is_lost(name: str, exists: bool, error: BaseException, tmp_path: Path,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """The n-th call of a function of the system fails, for every n: the file is the old one or the new one."""
    path = tmp_path / "file"
    for number in range(50):
        path.unlink(missing_ok=True)
        if exists:
            path.write_bytes(OLD)
        raised = False
        with monkeypatch.context() as patch:
            calls = Fails(patch, name, number, error)
            try:
                write_file(path, NEW)
            except (OSError, KeyboardInterrupt):
                raised = True
        assert os.listdir(tmp_path) in (["file"], []), "an orphan"
        if raised:
            assert path.read_bytes() in (OLD, NEW) if exists else not path.exists() or path.read_bytes() == NEW
        else:
            assert path.read_bytes() == NEW
        if calls.left >= 0:
            break
    else:
        raise AssertionError("it does not end")
    assert number > 0 or name in ("fchmod",)


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:7]))
    write_file(tmp_path / "file", NEW)
    assert (tmp_path / "file").read_bytes() == NEW


def test_file_and_folder_are_synchronised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    real = os.fsync, os.replace

    def fsync(handle: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        real[0](handle)

    def replace(old: Any, new: Any) -> None:
        order.append("replace")
        real[1](old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_file(tmp_path / "file", NEW)
    assert order == ["file", "replace", "folder"]


def test_a_folder_that_cannot_be_read_can_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def without_folders(path: Any, *args: Any) -> int:
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "injected", path)
        return real(path, *args)

    monkeypatch.setattr(os, "open", without_folders)
    write_file(tmp_path / "file", NEW)
    assert (tmp_path / "file").read_bytes() == NEW


def test_a_file_in_pieces(tmp_path: Path) -> None:
    write_file(tmp_path / "file", iter([OLD, b"", NEW]))
    assert (tmp_path / "file").read_bytes() == OLD + NEW


@pytest.mark.parametrize("name", WRITERS)
def test_the_mode_of_a_file_is_kept(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    WRITERS[name](path)
    usual = path.stat().st_mode
    for mode in (0o600, 0o640, 0o444, 0o664):
        path.chmod(mode)
        WRITERS[name](path)
        assert stat.S_IMODE(path.stat().st_mode) == mode
    (tmp_path / "plain").write_bytes(b"")
    assert usual == (tmp_path / "plain").stat().st_mode  # as umask says


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("dangling", [True, False])
def test_a_link_is_followed(name: str, dangling: bool, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "target", tmp_path / "link"
    (tmp_path / "middle").symlink_to(Path("folder") / "target")
    link.symlink_to("middle")
    if not dangling:
        WRITERS[name](target)
    WRITERS[name](link)
    assert link.is_symlink() and target.is_file() and not target.is_symlink() and target.stat().st_size
    assert os.listdir(tmp_path / "folder") == ["target"]


@pytest.mark.parametrize("name", WRITERS)
def test_devices_and_fifos_are_refused(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    for path in ("/dev/null", tmp_path / "fifo", tmp_path / "link"):
        with pytest.raises(ValueError, match="ordinary file"):
            WRITERS[name](path)
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


@pytest.mark.parametrize("name", READERS)
def test_a_fifo_is_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ValueError, match="ordinary file"):
        READERS[name](tmp_path / "fifo")


@pytest.mark.parametrize("name", WRITERS)
def test_long_names_and_bytes(name: str, tmp_path: Path) -> None:
    for path in (tmp_path / ("n" * 255), os.fsencode(tmp_path / "bytes"), os.fsencode(tmp_path) + b"/\xff"):
        WRITERS[name](path)
        assert os.stat(path).st_size
        if name != "report":
            READERS[name.replace("save_", "load_")](path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, f"{tmp_path}/"):
        with pytest.raises(IsADirectoryError):
            write_file(path, NEW)
    with pytest.raises(FileNotFoundError):
        write_file(tmp_path / "missing" / "file", NEW)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="loop|symbolic"):
        write_file(tmp_path / "loop", NEW)


KILLED = """
import os, signal, sys
from pytorch_quantization_c._core.files import write_file
os.replace = lambda old, new: os.kill(os.getpid(), signal.SIGKILL)
write_file(sys.argv[1], b"half")
"""


def test_the_next_save_clears_what_a_killed_one_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, OLD)
    for _ in range(2):
        assert run_python("-c", KILLED, str(path)).returncode == -signal.SIGKILL
    assert len(os.listdir(tmp_path)) == 2 and path.read_bytes() == OLD  # the second cleared the first one's
    (tmp_path / "other").write_bytes(OLD)
    write_file(path, NEW)
    assert sorted(os.listdir(tmp_path)) == ["file", "other"] and path.read_bytes() == NEW


def test_what_another_is_writing_is_no_orphan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.replace

    def replace(old: Any, new: Any) -> None:
        monkeypatch.setattr(os, "replace", real)
        write_file(new, OLD)  # another save of the same file in the middle of this one
        real(old, new)

    monkeypatch.setattr(os, "replace", replace)
    write_file(tmp_path / "file", NEW)
    assert os.listdir(tmp_path) == ["file"] and (tmp_path / "file").read_bytes() == NEW


TERABYTE = 1 << 40


def sparse(path: Path, head: bytes) -> Path:
    path.write_bytes(head)
    os.truncate(path, TERABYTE)
    return path


def header(metadata: dict[str, str], arrays: int = 1) -> bytes:
    """Of a file that holds so many arrays in all the rest of a terabyte."""
    text = b""
    for _ in range(3):
        size = TERABYTE - 8 - len(text)
        ends = [size * number // arrays for number in range(arrays + 1)]
        entries = {f"x{number}": {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}
                   for number, (begin, end) in enumerate(itertools.pairwise(ends))}
        text = json.dumps({"__metadata__": metadata, **entries}).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("head", [b"", b"{", b"\xff" * 8, (90_000_000).to_bytes(8, "little"), header({}),
                                  serialize({"x": np.ones(3)}), header({}, 1000)], ids=range(7))
def test_a_sparse_terabyte_is_refused_at_once(name: str, head: bytes, tmp_path: Path) -> None:
    begin = time.process_time()
    with pytest.raises(ValueError, match="Expected "):
        READERS[name](sparse(tmp_path / "file", head))
    assert time.process_time() - begin < 1


def test_a_terabyte_that_its_header_describes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(size: int, dtype: Any) -> Any:
        assert size > TERABYTE / 2
        raise MemoryError

    monkeypatch.setattr(np, "empty", no_memory)
    monkeypatch.setattr(safetensors, "_memory", lambda: float("inf"))
    with pytest.raises(ValueError, match="too large for the memory"):
        load_file(sparse(tmp_path / "file", header({})))


def test_a_terabyte_of_arrays_that_would_fit_one_by_one(tmp_path: Path) -> None:
    """Each could be had: a system gives memory away that it does not have, and ends the process when it is filled."""
    begin = time.process_time()
    with pytest.raises(ValueError, match="too large for the memory"):
        load_file(sparse(tmp_path / "file", header({}, 1000)))
    assert time.process_time() - begin < 1


@pytest.mark.parametrize("save", [interchange.save_compressed_tensors, interchange.save_modelopt])
def test_a_checkpoint_of_a_terabyte(save: Callable[..., None], tmp_path: Path) -> None:
    model = nn.QuantLinear(4, 3)
    save(model, tmp_path)
    sparse(tmp_path / "model.safetensors", header({"format": "pt"}, 1000))
    with pytest.raises(ValueError, match="too large for the memory"):
        interchange.load_checkpoint(tmp_path, model)
    config = next(each for each in tmp_path.iterdir() if each.suffix == ".json")
    sparse(config, config.read_bytes())
    with pytest.raises(ValueError, match="Expected "):
        interchange.load_checkpoint(tmp_path, model)


def test_limits_of_the_readers() -> None:
    assert sensitivity.MAX_FILE == 1 << 26 and files.SUFFIX == ".partial"
