"""PQC_ISA, PQC_NUM_THREADS and PQC_INTEGER: read once, when the package is imported."""
from __future__ import annotations

from collections.abc import Mapping


def apply(environ: Mapping[str, str]) -> None:
    """Selects what the variables ask for; empty ones count as not set. ValueError naming the variable if wrong."""
    names, count, integer = (environ.get(f"PQC_{name}") for name in ("ISA", "NUM_THREADS", "INTEGER"))
    if integer not in (None, "", "0", "1"):
        raise ValueError(f"Expected PQC_INTEGER to be 0 (compute on floats) or 1, got {integer!r}")
    if names:
        from .isa import only

        try:
            only(*names.replace(",", " ").split())
        except ValueError as error:
            raise ValueError(f"PQC_ISA: {error}") from None
    if count:
        from .threads import set_num_threads

        try:
            set_num_threads(int(count))
        except ValueError:
            raise ValueError(f"Expected PQC_NUM_THREADS to be an integer from 1 to 256, got {count!r}") from None
