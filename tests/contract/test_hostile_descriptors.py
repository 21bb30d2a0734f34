"""Descriptors, and YAML files of them, that somebody made to do harm: one short error, soon."""
from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from pytorch_quantization_c.tensor_quant import QuantDescriptor

PAIRS = "\n".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]" for i in range(1, 30))
BOMB = f"a0: &a0 [9, 9, 9]\n{PAIRS}\n"  # 3^30 numbers, if written out


@pytest.mark.parametrize("text", [
    *(f"{BOMB}{key}: *a29" for key in ("num_bits", "axis", "amax", "scale_amax", "calib_method", "name")),
    "num_bits: 8\namax: &a [*a]", "[" * 5000, "num_bits: " + "{a: " * 1000, "num_bits: " + "9" * 5000,
    "num_bits: !!int ''", "num_bits: !!float ''", "num_bits: !!float x", "num_bits: !!bool x",
    "num_bits: !!timestamp x", "num_bits: 2001-99-99", "num_bits: !!binary x", "? [a]\n: 2", "\ud800", "\0",
    "!!python/object/apply:os.getcwd []", "a: 1\n---\nb: 2", "num_bits: !!python/tuple 4", "<<: [1, 2]",
], ids=lambda text: text[-30:])
def test_yaml_that_is_no_descriptor_is_a_value_error(text: str) -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match="Expected `yaml_str` to be YAML") as caught:
        QuantDescriptor.from_yaml(text)
    assert time.process_time() - started < 5
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", ["", "[]", "1: 2", "self: 3", "colour: red", "amax: '2.5'", "fake_quant: nonsense"])
def test_yaml_of_other_things_is_a_type_error(text: str) -> None:
    with pytest.raises(TypeError):
        QuantDescriptor.from_yaml(text)


def nested(depth: int) -> list[Any]:
    value: list[Any] = [9, 9, 9]
    for _ in range(depth):
        value = [value, value, value]
    return value


ENDLESS: list[Any] = [1]
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(("name", "value", "error"), [
    ("num_bits", 10**5000, ValueError), ("num_bits", (10**5000, 3), TypeError), ("num_bits", nested(12), TypeError),
    ("axis", 10**5000, ValueError), ("axis", 64, ValueError), ("axis", (0, -65), ValueError),
    ("axis", [True], TypeError), ("axis", (0.5,), TypeError), ("axis", nested(12), TypeError),
    ("axis", ENDLESS, TypeError), ("axis", [0] * 10**5 + [0.5], TypeError),
    ("amax", [1.0] * 10**5 + ["2"], TypeError), ("amax", ENDLESS, TypeError), ("amax", ["1.5"], TypeError),
    ("amax", [True], TypeError), ("amax", np.array([1 + 2j]), TypeError), ("amax", np.array(["1.5"]), TypeError),
    ("amax", np.array([3], "M8[s]"), TypeError), ("amax", np.array([None]), TypeError), ("amax", [10**400], TypeError),
    ("scale_amax", 10**400, ValueError), ("scale_amax", "2", TypeError), ("scale_amax", nested(12), TypeError),
    ("calib_method", np.ones(3), ValueError), ("calib_method", nested(12), ValueError),
    ("fake_quant", "no", TypeError), ("unsigned", np.ones(3), TypeError), ("narrow_range", None, TypeError),
    ("learn_amax", nested(12), TypeError),
], ids=lambda value: str(type(value).__name__) if not isinstance(value, str) else value)
def test_one_short_error_that_names_the_argument(name: str, value: Any, error: type[Exception]) -> None:
    started = time.process_time()
    with pytest.raises(error, match=name) as caught:
        QuantDescriptor(**{name: value})
    assert time.process_time() - started < 5
    assert len(str(caught.value)) < 300


def test_numbers_of_other_kinds_become_plain_ones() -> None:
    descriptor = QuantDescriptor(scale_amax=Fraction(1, 4), unsigned=np.True_)
    assert descriptor.scale_amax == 0.25 and type(descriptor.scale_amax) is float and descriptor.unsigned is True
    assert QuantDescriptor.from_yaml(descriptor.to_yaml()) == descriptor
