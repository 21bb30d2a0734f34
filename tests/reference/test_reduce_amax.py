"""utils.reduce_amax: category 04."""
from __future__ import annotations

from typing import Any

import pytest

from pytorch_quantization_c.utils import reduce_amax

from .cases import Case, Outcome, attempt, cases, check


def replay(case: Case, given: dict[str, Any]) -> Outcome:
    outcome = Outcome()
    outcome.outputs["output"] = attempt(outcome, None, lambda: reduce_amax(given["input"], **case.args))
    return outcome


@pytest.mark.parametrize("case", cases("04_reduce_amax"), ids=str)
def test_reduce_amax(case: Case) -> None:
    check(case, replay, {})
