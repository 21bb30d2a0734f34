"""HistogramCalibrator: its part of category 06."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c.calib import HistogramCalibrator

from .cases import Case, Outcome, cases, check


def replay(case: Case, given: dict[str, Any]) -> Outcome:
    outcome = Outcome()
    options, step = dict(case.args), case.call.partition(":")[2]
    compute = options.pop("compute", {})
    try:
        calibrator = HistogramCalibrator(**options)
        for batch in given.values():
            calibrator.collect(batch)
        if step == "compute_amax":
            amax = calibrator.compute_amax(**compute)
            outcome.outputs["amax"], outcome.values["amax_is_None"] = amax, amax is None
            return outcome
        if step == "entropy_mutates":
            outcome.outputs["before"] = calibrator._calib_hist.copy()
            calibrator.compute_amax("entropy", start_bin=32)
            outcome.outputs["after"] = calibrator._calib_hist
    except Exception as error:
        outcome.error = error
        outcome.values["amax_is_None"] = False
        return outcome
    if calibrator._calib_hist is not None:
        # the recorded type of the counts is torch.histc's, which has no whole numbers
        wanted = case.wanted().get("hist", calibrator._calib_hist)
        outcome.outputs["hist"] = calibrator._calib_hist.astype(wanted.dtype)
        outcome.outputs["bin_edges"] = calibrator._calib_bin_edges
        outcome.values["num_bins"] = calibrator._num_bins
    outcome.values.update(str=str(calibrator), repr=repr(calibrator))
    return outcome


def histogram_stays(case: Case, outcome: Outcome) -> None:
    np.testing.assert_array_equal(outcome.outputs["after"], outcome.outputs["before"])


def edges_fit_the_bins(case: Case, outcome: Outcome) -> None:
    """One edge more than bins, in even steps that reach the largest value; any amax lies within them."""
    assert outcome.error is None
    largest = max(np.abs(batch).max() for batch in case.given().values())
    if "amax" in outcome.outputs:
        assert 0 < outcome.outputs["amax"] <= largest * 1.01
        return
    hist, edges = outcome.outputs["hist"], outcome.outputs["bin_edges"]
    assert len(edges) == len(hist) + 1 and largest <= edges[-1] < largest + 2 * edges[1]
    np.testing.assert_allclose(np.diff(edges), edges[1], rtol=1e-3)
    assert hist.sum() == sum(batch.size for batch in case.given().values())


def some_candidate(case: Case, outcome: Outcome) -> None:
    assert outcome.error is None and np.isfinite(outcome.outputs["amax"]) and outcome.outputs["amax"] > 0


def range_of_the_first_with_one(case: Case, outcome: Outcome) -> None:
    """Zeros give no range: nothing is left to quantise, or a later batch sets the range from 0 to its largest value."""
    assert outcome.error is None
    batches = list(case.given().values())
    largest = np.abs(batches[-1]).max()
    if "amax" in outcome.outputs:
        assert outcome.outputs["amax"] == largest == 0
        return
    hist, edges = outcome.outputs["hist"], outcome.outputs["bin_edges"]
    kept = sum(batch.size for batch in batches) if not case.args.get("skip_zeros") else 0
    assert len(edges) == 129 and edges[0] == 0 and edges[-1] == largest and hist.sum() == kept


def axis_is_taken(case: Case, outcome: Outcome) -> None:
    assert outcome.error is None and outcome.values["str"] == "HistogramCalibrator(calib_bin_edges=None)"


def upper_edge_of_the_first_bin(case: Case, outcome: Outcome) -> None:
    """D26: above 0, and no more than the width of one bin."""
    largest = max(np.abs(batch).max() for batch in case.given().values())
    assert outcome.error is None and 0 < outcome.outputs["amax"] <= largest / case.args["num_bins"] * (1 + 1e-6)


def empty_counts_as_nothing(case: Case, outcome: Outcome) -> None:
    """D28: no histogram comes of empty batches."""
    assert outcome.error is None and all(batch.size == 0 for batch in case.given().values())
    assert not outcome.outputs


EXPECTED = {"D1": histogram_stays, "D7": edges_fit_the_bins, "D8": some_candidate, "D9": range_of_the_first_with_one,
            "D22": axis_is_taken, "D26": upper_edge_of_the_first_bin, "D28": empty_counts_as_nothing}


@pytest.mark.parametrize("case", cases("06_calibrators", "calib.Hist"), ids=str)
def test_histogram_calibrator(case: Case) -> None:
    check(case, replay, EXPECTED)
