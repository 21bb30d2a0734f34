"""Refusals that fuzzing asked for: numbers without end, and running statistics changed by halves."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c.float_nn import functional as F

X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 3, 2)
ENDLESS = 10**5000


@pytest.mark.parametrize(("call", "name"), [
    (lambda: F.softmax(X, ENDLESS), "dim"), (lambda: F.hardtanh(X, -ENDLESS, 1.0), "min_val"),
    (lambda: F.softplus(X, ENDLESS), "beta"), (lambda: F.pad(X, (1, 1), value=ENDLESS), "value"),
    (lambda: F.embedding(np.array([0]), X[0], max_norm=ENDLESS), "max_norm"),
], ids=["dim", "min_val", "beta", "value", "max_norm"])
def test_numbers_without_end(call: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}`.*huge"):
        call()


@pytest.mark.parametrize("norm", [F.batch_norm, F.instance_norm])
@pytest.mark.parametrize("frozen", ["running_mean", "running_var"])
def test_running_statistics_change_both_or_not_at_all(norm: Any, frozen: str) -> None:
    statistics = {"running_mean": np.zeros(3, np.float32), "running_var": np.ones(3, np.float32)}
    statistics[frozen].flags.writeable = False
    training = {"training": True} if norm is F.batch_norm else {}
    with pytest.raises(ValueError, match=f"`{frozen}`.*read-only"):
        norm(X, **statistics, **training)
    assert (statistics["running_mean"] == 0).all() and (statistics["running_var"] == 1).all()
