"""Descriptors: category 11."""
from __future__ import annotations

from typing import Any

import pytest

from pytorch_quantization_c import tensor_quant
from pytorch_quantization_c.tensor_quant import QuantDescriptor

from .cases import Case, Outcome, attempt, cases, check

PROPERTIES = ("num_bits", "name", "fake_quant", "axis", "learn_amax", "scale_amax", "calib_method", "unsigned",
              "narrow_range")


def describe(case: Case, given: dict[str, Any]) -> Outcome:
    outcome = Outcome()
    descriptor = attempt(outcome, None, lambda: QuantDescriptor(**case.args))
    if outcome.error:
        return outcome

    def again() -> QuantDescriptor:
        return QuantDescriptor.from_yaml(descriptor.to_yaml())

    for key, make in (("str", lambda: str(descriptor)), ("dict", descriptor.dict), ("yaml", descriptor.to_yaml),
                      ("yaml_back", lambda: again().dict()), ("yaml_back_equal", lambda: again() == descriptor),
                      ("dict_back_equal", lambda: QuantDescriptor(**descriptor.dict()) == descriptor),
                      ("equal_to_default", lambda: descriptor == QuantDescriptor())):
        try:
            outcome.values[key] = make()
        except Exception as error:
            outcome.failures[key] = error
    outcome.values.update({"." + name: getattr(descriptor, name) for name in PROPERTIES})
    if descriptor.amax is not None:
        outcome.values.update({".amax": descriptor.amax, "amax dtype": descriptor.amax.dtype.name})
    return outcome


def read(case: Case, given: dict[str, Any]) -> Outcome:
    outcome = Outcome()
    outcome.values["dict"] = attempt(outcome, None, lambda: QuantDescriptor.from_yaml(**case.args).dict())
    return outcome


def constant(case: Case, given: dict[str, Any]) -> Outcome:
    found = getattr(tensor_quant, case.call.split(".")[1])
    return Outcome(values={"str": str(found), "dict": found.dict()})


def replay(case: Case, given: dict[str, Any]) -> Outcome:
    how = constant if "QUANT_DESC" in case.call else read if case.call.endswith("from_yaml") else describe
    return how(case, given)


def refused(case: Case, outcome: Outcome) -> None:
    assert isinstance(outcome.error, ValueError) and "'max' or 'histogram'" in str(outcome.error)


def no_bits(case: Case, outcome: Outcome) -> None:
    assert case.args == {"num_bits": True} and isinstance(outcome.error, TypeError)


def small_float(case: Case, outcome: Outcome) -> None:
    """D32: E5M2, which the original refuses."""
    assert outcome.error is None and outcome.values["dict"]["num_bits"] == (5, 2)


def round_trips(case: Case, outcome: Outcome) -> None:
    """dict() has all that was said, and both ways of writing a descriptor read back to an equal one."""
    if "yaml_str" in case.args:
        assert outcome.values["dict"] == {"num_bits": 8, "name": None, "axis": 0}
        return
    values = outcome.values
    assert not outcome.failures and values["yaml_back_equal"] is values["dict_back_equal"] is True
    said = {key: value.tolist() if hasattr(value, "tolist") else value for key, value in case.args.items()}
    assert values["dict"] == {"num_bits": 8, "name": None, **said}
    named = f"{case.args['name']}: " if "name" in case.args else "QuantDescriptor"
    assert values["str"].startswith(named + "(")


@pytest.mark.parametrize("case", cases("11_descriptors"), ids=str)
def test_descriptor(case: Case) -> None:
    check(case, replay, {"D6": refused, "D13": round_trips, "D14": no_bits, "D32": small_float})
