"""The forms that `max_drop` gives layers up to, operands of 16 bits or float, and the order in which they are tried."""
from __future__ import annotations

import sys
from collections.abc import Mapping

from ..._core.descriptor import QuantDescriptor
from ..._core.noise import noise_share
from ..methods.halves import INPUT, WEIGHT
from ..placement.choices import Override
from .budgets import WIDE_BITS, overhead

__all__ = ["BOTH", "WIDE", "Form", "dearest_steps", "override_of", "wide_form"]

Form = frozenset[str]   # the operands of a layer that have 16 bits
Step = tuple[str, Form | None]     # a layer, and its form; None: float
BOTH: Form = frozenset({INPUT, WEIGHT})
#: Times of a multiplication beyond that of 8 bits: all layers of ocr_rec_v4, on AVX-512 VNNI.
WIDE: dict[Form, float] = {frozenset({WEIGHT}): 1.1, frozenset({INPUT}): 1.7, BOTH: 2.5}
FLOAT_COST = 3.2
LEFT = 2.0 ** -14   # of a layer's noise, where both operands have 16 bits, of inputs 15 within what calibration found


def override_of(form: Form, axis: int | None) -> dict[str, QuantDescriptor | None]:
    """The override that gives operands 16 bits. `axis`: None for one range of the weight, 0 for more."""
    return {each: QuantDescriptor(WIDE_BITS, axis=axis if each == WEIGHT else None) for each in sorted(form)}


def wide_form(override: Override) -> Form | None:
    """The operands to which an override gives 16 bits, if that is all it does; else None."""
    if not isinstance(override, Mapping) or not override:
        return None
    found = frozenset(override)
    return found if any(override == override_of(found, axis) for axis in (None, 0)) else None


def dearest_steps(sensitivity: Mapping[str, float], wide: Mapping[Form, Mapping[str, float]],
                  costs: Mapping[str, float]) -> list[Step]:
    """Steps that save noise, those first that save most for what they cost; the last of each layer makes it float.

    The forms of a layer on the way are those that no mixture of two others beats in both.

    Args:
        sensitivity: SQNR in dB with one layer quantised; `wide`: with one operand at 16 bits, of those that can.
        costs: multiplications; of a layer that is not there, one.
    """
    least, found = overhead(costs), []
    for name, value in sensitivity.items():
        noise, unit = _noise(value), costs.get(name, 1) + least
        left = {form: _noise(values[name]) for form, values in wide.items() if name in values}
        if len(left) == len(BOTH):
            left[BOTH] = LEFT * noise
        forms: list[tuple[float, float, Form | None]] = [(WIDE[form], left[form], form) for form in left]
        forms.append((FLOAT_COST, 0.0, None))
        spent = 0.0
        while forms:
            rates = [(noise - remains) / (cost - spent) for cost, remains, _ in forms]
            best = max(range(len(forms)), key=rates.__getitem__)
            found.append((max(rates[best], 0.0) / unit, name, forms[best][2]))
            spent, noise, _ = forms[best]
            forms = [each for each in forms if each[0] > spent]
    return [(name, form) for _, name, form in sorted(found, key=lambda each: -each[0])]


def _noise(value: float) -> float:
    """Relative to the signal; finite, so that two can be subtracted."""
    return min(noise_share(value), sys.float_info.max)
