"""A bound on the memory of this process, so that a call with a hostile size fails instead of filling the machine."""
from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

ROOM = 2 << 30


@contextmanager
def address_space(room: int = ROOM) -> Iterator[None]:
    """At most this many bytes more than there are now, for the duration of the block."""
    with open("/proc/self/statm", encoding="ascii") as stream:
        now = int(stream.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
