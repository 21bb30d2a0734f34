"""Every combination of a geometry's fields and of operands' shapes: refused, or the naive int64 result."""
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest

from pytorch_quantization_c.integer import Geometry, Int, PackedWeights

from .oracle import bounds, conv, conv_transpose, dequantized, quantized, scale_of

INPUT = Int(8, narrow=True)
AMAX = 2.0
LENGTHS = {0: (), 1: (5,), 2: (4, 5), 3: (3, 4, 5)}


def numbers(axes: int, *values: int) -> list[tuple[int, ...]]:
    """Tuples that differ between axes, so that mixed up axes are noticed."""
    return [tuple(value + (i % 2 if value > 1 else 0) for i in range(axes)) for value in values]


def geometries(axes: int) -> Iterator[Geometry]:
    fields = ((False, True), (1, 2, 3), numbers(axes, 1, 2), numbers(axes, 0, 1), numbers(axes, 0, 2),
              numbers(axes, 1, 3), numbers(axes, 0, 1))
    for values in product(*fields):
        yield Geometry(*values)


def expected(x: np.ndarray, w: np.ndarray, g: Geometry, scale: np.ndarray, bias: np.ndarray) -> np.ndarray | None:
    """None if no layer is meant: channels that the groups do not divide, or no output."""
    rows, axes = w.shape[0], w.ndim - 2
    if rows % g.groups or (axes == 0 and g.groups > 1):
        return None
    total = (conv_transpose if g.transposed else conv)(quantized(x, AMAX, INPUT), w.astype(np.int64), g)
    if 0 in total.shape:
        return None
    return dequantized(total, scale_of(AMAX, INPUT), scale, bias, 1)


def got(x: np.ndarray, w: np.ndarray, g: Geometry, scale: np.ndarray, bias: np.ndarray) -> np.ndarray | None:
    try:
        packed = PackedWeights(w, scale, g, INPUT)
    except ValueError:
        return None
    answer = packed.product(x, AMAX, bias)
    return None if isinstance(answer, str) else answer


def has_output(g: Geometry, w: np.ndarray, lengths: tuple[int, ...]) -> bool:
    for i, n in enumerate(lengths):
        reach = g.dilation[i] * (w.shape[2 + i] - 1)
        out = ((n - 1) * g.stride[i] + reach + 1 + g.output_padding[i] - g.before[i] - g.after[i] if g.transposed
               else n + g.before[i] + g.after[i] - reach)
        if out < 1:
            return False
    return True


@pytest.mark.parametrize("unsigned", [False, True], ids=["int8", "uint8"])
@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("axes", [0, 1, 2, 3])
def test_every_geometry_gives_the_int64_result_or_is_refused(axes: int, kernel: int, unsigned: bool,
                                                             rng: np.random.Generator) -> None:
    f = Int(8, unsigned)
    low, high = bounds(f)
    refused = answered = 0
    for rows, columns in ((6, 1), (6, 5), (4, 3)):
        for g in geometries(axes):
            w = rng.integers(low, high + 1, (rows, columns, *(kernel,) * axes))
            w = w.astype(np.uint8 if unsigned else np.int8)
            inputs = rows if g.transposed else columns * g.groups
            outputs = columns * g.groups if g.transposed else rows
            x = rng.standard_normal((2, inputs, *LENGTHS[axes])).astype(np.float32)
            scale = rng.uniform(1, 60, outputs).astype(np.float32)
            bias = rng.standard_normal(outputs).astype(np.float32)
            answer = got(x, w, g, scale, bias)
            wanted = expected(x, w, g, scale, bias) if has_output(g, w, LENGTHS[axes]) else None
            assert (answer is None) == (wanted is None), (g, w.shape)
            refused += wanted is None
            if wanted is not None:
                answered += 1
                np.testing.assert_array_equal(answer, wanted, err_msg=f"{g} {w.shape}")
    assert refused and answered


def test_groups_of_a_matrix_are_refused() -> None:
    with pytest.raises(ValueError, match="Expected `groups` 1 with a matrix for `weight`, got 4"):
        PackedWeights(np.ones((8, 3), np.int8), np.ones(8, np.float32), Geometry(groups=4), INPUT)


@pytest.mark.parametrize("field", ["before", "after", "dilation", "stride", "output_padding"])
@pytest.mark.parametrize("transposed", [False, True])
def test_sizes_whose_product_overflows(field: str, transposed: bool) -> None:
    huge = (2**31 - 1,) * 3
    plain = Geometry(transposed, 1, (1,) * 3, (0,) * 3, (0,) * 3, (1,) * 3, (0,) * 3)
    w = np.ones((2, 2, 2, 2, 2), np.int8)
    x = np.ones((1, 2, 2, 2, 2), np.float32)
    for others in ({}, {"dilation": huge}, {"before": huge, "after": huge}):
        geometry = plain._replace(**{**others, field: huge})
        try:
            packed = PackedWeights(w, np.ones(2, np.float32), geometry, INPUT)
        except ValueError:
            continue
        try:
            answer = packed.product(x, AMAX)
        except MemoryError:
            continue
        assert isinstance(answer, str) or answer.shape[:2] == (1, 2)
