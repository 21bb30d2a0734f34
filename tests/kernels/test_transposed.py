"""Transposes of matrices, on every instruction set and any number of threads."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import _C, threads

from .cases import same_bits

SHAPES: list[tuple[int, ...]] = [(1, 1), (3, 70), (65, 1), (64, 64), (2, 129, 17), (2, 3, 100, 131),
                                 (0, 4), (4, 0), (2, 0, 3)]


def test_against_numpy(isa: str, thread_count: None, rng: np.random.Generator) -> None:
    for count in (1, 3):
        threads.set_num_threads(count)
        for shape in SHAPES:
            x = rng.normal(size=shape).astype(np.float32)
            found = _C.transposed(x)
            assert found.flags.c_contiguous and not np.shares_memory(found, x)
            same_bits(found, np.ascontiguousarray(x.swapaxes(-1, -2)))
            same_bits(_C.transposed(x.swapaxes(-1, -2)), x)


@pytest.mark.parametrize("bad, error", [(np.ones(3, np.float32), ValueError), (np.ones((2, 2)), TypeError),
                                        (np.float32(1), TypeError)])
def test_what_is_refused(bad: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="`x` of"):
        _C.transposed(bad)
