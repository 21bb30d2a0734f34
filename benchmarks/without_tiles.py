"""Runs a script in a process that has no right to AMX, so that its libraries take their next best.

    python without_tiles.py script [argument ...]

Linux gives a process the tiles on request, and refuses while a signal stack is too small for them.
"""
from __future__ import annotations

import ctypes
import os
import platform
import runpy
import sys

ARCH_REQ_XCOMP_PERM, XTILEDATA, SYS_ARCH_PRCTL = 0x1023, 18, 158  # the last of x86-64
SMALL = 4096


class SignalStack(ctypes.Structure):
    _fields_ = [("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


memory = ctypes.create_string_buffer(SMALL)  # as long as the process lives


def refuse() -> None:
    """From now on a request for tiles fails; does nothing on machines that have none.

    Raises:
        OSError: the signal stack was not taken, or the tiles were granted all the same.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    stack = SignalStack(ctypes.addressof(memory), 0, SMALL)
    if libc.sigaltstack(ctypes.byref(stack), None) != 0:
        raise OSError(ctypes.get_errno(), "sigaltstack")
    if libc.syscall(SYS_ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0:
        raise OSError("The process has been granted AMX")


if __name__ == "__main__":
    refuse()
    sys.argv = sys.argv[1:]
    sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
    runpy.run_path(sys.argv[0], run_name="__main__")
