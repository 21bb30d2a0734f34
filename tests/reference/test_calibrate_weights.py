"""Category 08: calibrate_weights."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c import calib, nn
from pytorch_quantization_c.float_nn import Module

from .cases import Case, Outcome, attempt, cases, check


class Model(Module):
    def __init__(self, layers: list[Any]) -> None:
        super().__init__()
        for name, kind, options in layers:
            setattr(self, name, getattr(nn, kind)(**options))


def replay(case: Case, given: dict[str, Any]) -> Outcome:
    outcome, options = Outcome(), dict(case.args)
    model = Model(options.pop("model"))
    model.load_state_dict({name.removeprefix("state:"): array for name, array in given.items()})
    attempt(outcome, None, lambda: calib.calibrate_weights(model, **options))
    for name, _, _ in case.args["model"]:
        outcome.outputs[f"{name}.weight_quantizer.amax"] = getattr(model, name).weight_quantizer.amax
    return outcome


def works(case: Case, outcome: Outcome) -> None:
    """max over the whole weight is its largest magnitude; a channel of zeros has amax 0, others stay in range."""
    assert outcome.error is None
    for name, kind, _ in case.args["model"]:
        weight = np.abs(case.given()[f"state:{name}.weight"])
        amax = outcome.outputs[f"{name}.weight_quantizer.amax"]
        if not case.args["perchannel"]:
            assert amax.shape == () and amax == weight.max()
            continue
        axis = 1 if "Transpose" in kind else 0
        largest = weight.max(tuple(i for i in range(weight.ndim) if i != axis), keepdims=True)
        assert amax.shape == largest.shape and ((amax > 0) == (largest > 0)).all() and (amax <= largest).all()


@pytest.mark.parametrize("case", cases("08_calibrate_weights"), ids=str)
def test_calibrate_weights(case: Case) -> None:
    check(case, replay, {"D10": works})
