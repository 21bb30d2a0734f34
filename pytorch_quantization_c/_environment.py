"""PQC_ISA and PQC_NUM_THREADS: read once, when the package is imported."""
from __future__ import annotations

from collections.abc import Mapping


def apply(environ: Mapping[str, str]) -> None:
    """Selects what the variables ask for; empty ones count as not set. ValueError naming the variable if wrong."""
    names, count = environ.get("PQC_ISA"), environ.get("PQC_NUM_THREADS")
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
