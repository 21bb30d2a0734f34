"""Results that the caller owns."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = ["own_results"]


def own_results(results: Iterable[Any], others: Iterable[Any]) -> list[Any]:
    """The results, copied where they lie in an input, in a constant, or in each other."""
    taken = [array for array in others if isinstance(array, np.ndarray)]
    own = []
    for result in results:
        shared = isinstance(result, np.ndarray) and (
            not result.flags.writeable or any(np.may_share_memory(result, other) for other in taken))
        own.append(result.copy() if shared else result)
        if isinstance(result, np.ndarray):
            taken.append(own[-1])
    return own
