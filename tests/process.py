"""Python in a process of its own, with the very package that this process tests: installed, or built in place."""
from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytorch_quantization_c

from .patience import SLICE, Patience

HOME = str(Path(pytorch_quantization_c.__file__).resolve().parent.parent)


def run_python(*arguments: str, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python *arguments` in an empty folder, so that no source tree lies in the way; what came out, and the code.

    After `timeout` seconds, those left out in which this process was stopped, it and all that it started are killed:
    subprocess.TimeoutExpired.
    """
    path = os.pathsep.join(filter(None, [HOME, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, *arguments]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, "PYTHONPATH": path, **environment}, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )
        try:
            out, err = _communicate(process, Patience(timeout), timeout)
        except BaseException:  # processes that it started hold the pipes: they end with it
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _communicate(process: subprocess.Popen[str], patience: Patience, timeout: float) -> tuple[str, str]:
    while True:
        try:
            return process.communicate(timeout=SLICE)
        except subprocess.TimeoutExpired:
            if patience.spent():
                raise subprocess.TimeoutExpired(process.args, timeout) from None


@contextlib.contextmanager
def started_python(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`python *arguments` as it runs, what it prints as `stdout`; in the end it and all that it started are killed."""
    path = os.pathsep.join(filter(None, [HOME, os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen([sys.executable, *arguments], env={**os.environ, "PYTHONPATH": path},
                               stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
