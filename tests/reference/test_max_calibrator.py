"""MaxCalibrator: its part of category 06."""
from __future__ import annotations

from typing import Any

import pytest

from pytorch_quantization_c.calib import MaxCalibrator

from .. import oracle
from .cases import Case, Outcome, cases, check


def replay(case: Case, given: dict[str, Any]) -> Outcome:
    outcome = Outcome()
    calibrator = MaxCalibrator(**case.args)
    try:
        for batch in given.values():
            calibrator.collect(batch)
    except Exception as error:
        outcome.error = error
        return outcome
    if case.call.endswith(":reset"):
        calibrator.reset()
    amax = calibrator.compute_amax()
    outcome.outputs["amax"] = outcome.values["amax"] = amax
    if case.args.get("track_amax"):
        outcome.outputs.update({f"amaxs[{i}]": tracked for i, tracked in enumerate(calibrator.amaxs)})
    outcome.values.update(str=str(calibrator), repr=repr(calibrator))
    return outcome


def own_amax(case: Case, outcome: Outcome) -> None:
    """Every entry of amaxs is the amax of its own batch."""
    axis = case.args["axis"]
    kept = (axis,) if isinstance(axis, int) else axis
    for number, batch in enumerate(case.given().values()):
        oracle.same(outcome.outputs[f"amaxs[{number}]"], oracle.largest(batch, kept))


@pytest.mark.parametrize("case", cases("06_calibrators", "calib.Max"), ids=str)
def test_max_calibrator(case: Case) -> None:
    check(case, replay, {"D5": own_amax})
