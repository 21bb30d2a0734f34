"""How many threads the kernels use. The default is the number of CPUs the process may use, or PQC_NUM_THREADS."""
from __future__ import annotations

from . import _C

__all__ = ["available_cpus", "get_num_threads", "set_num_threads"]


def get_num_threads() -> int:
    """Threads that a kernel may use."""
    return _C.get_num_threads()


def set_num_threads(n: int) -> None:
    """Sets how many threads a kernel may use, including the calling one; results do not depend on it.

    Raises:
        TypeError: not an integer.
        ValueError: less than 1, or more than the library supports.
    """
    _C.set_num_threads(n)


def available_cpus() -> int:
    """CPUs that this process may run on."""
    return _C.available_cpus()
