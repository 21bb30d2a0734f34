"""Initialisation: seeds, and the moments that the formulas promise."""
import math

import numpy as np
import pytest

from pytorch_quantization_c import float_nn as nn
from pytorch_quantization_c.float_nn import init


def test_seed_repeats():
    nn.manual_seed(5)
    first = init.uniform_(np.empty(4, np.float32))
    nn.manual_seed(5)
    np.testing.assert_array_equal(first, init.uniform_(np.empty(4, np.float32)))
    assert not np.array_equal(first, init.uniform_(np.empty(4, np.float32)))
    for error, seed in ((TypeError, 1.5), (TypeError, True), (ValueError, -1)):
        with pytest.raises(error, match="seed"):
            nn.manual_seed(seed)


@pytest.mark.parametrize("fill, std", [
    (init.normal_, 1.0), (init.uniform_, math.sqrt(1 / 12)),
    (init.xavier_normal_, math.sqrt(2 / (75 * 9))), (init.xavier_uniform_, math.sqrt(2 / (75 * 9))),
    (init.kaiming_normal_, math.sqrt(2 / (25 * 9))), (init.kaiming_uniform_, math.sqrt(2 / (25 * 9))),
    (lambda w: init.kaiming_uniform_(w, math.sqrt(5)), math.sqrt(1 / 3 / (25 * 9))),
    (lambda w: init.kaiming_normal_(w, mode="fan_out", nonlinearity="linear"), math.sqrt(1 / (50 * 9))),
    (lambda w: init.xavier_normal_(w, init.calculate_gain("tanh")), 5 / 3 * math.sqrt(2 / (75 * 9))),
])
def test_standard_deviations(fill, std):
    nn.manual_seed(0)
    weight = nn.Parameter(np.empty((50, 25, 3, 3), np.float32))
    assert fill(weight) is weight
    assert abs(np.std(weight) / std - 1) < 0.02


def test_constants_and_limits():
    weight = init.uniform_(np.empty(10000), -3, 2)
    assert -3 <= weight.min() < -2.9 and 1.9 < weight.max() < 2
    assert init.zeros_(weight).sum() == 0 and init.ones_(weight).sum() == 10000
    assert init.constant_(weight, 4)[7] == 4
    assert init.kaiming_uniform_(np.empty((0, 0))).shape == (0, 0)


@pytest.mark.parametrize("call", [
    lambda: init.uniform_(np.empty(1), 2, 1), lambda: init.normal_(np.empty(1), 0, -1),
    lambda: init.kaiming_uniform_(np.empty(3)), lambda: init.xavier_normal_(np.empty(3)),
    lambda: init.kaiming_uniform_(np.empty((3, 3)), mode="fan"), lambda: init.calculate_gain("strange")])
def test_bad_arguments(call):
    with pytest.raises(ValueError):
        call()
