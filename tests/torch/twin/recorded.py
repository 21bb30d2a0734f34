"""The recorded answers of the original, for tensors: arrays in, tensors through the twin, arrays out."""
from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import torch

from ...reference.cases import Case, Outcome


def tensor(array: Any) -> torch.Tensor:
    """A copy of an array, with its strides."""
    if array.dtype.name == "bfloat16":
        return tensor(array.view(np.int16)).view(torch.bfloat16)
    copy = array.copy() if 0 in array.strides or array.base is None else array
    return torch.from_numpy(copy)


def array(value: Any) -> Any:
    """A tensor as an array; anything else as it is."""
    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach()
    if value.dtype == torch.bfloat16:
        return value.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return value.numpy()


def tensors(given: dict[str, Any]) -> dict[str, Any]:
    return {name: tensor(value) for name, value in given.items()}


def arrays(outcome: Outcome) -> Outcome:
    """The outcome with arrays for tensors; a gradient that there is none of is left out."""
    outcome.outputs = {name: array(value) for name, value in outcome.outputs.items() if value is not None}
    outcome.values = {name: array(value) for name, value in outcome.values.items()}
    return outcome


def case_id(case: Case) -> str:
    return case.id
