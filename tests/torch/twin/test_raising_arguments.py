"""Exceptions raised by the Python code of an argument reach the caller of the twin."""
from __future__ import annotations

from typing import Any

import pytest
import torch

from pytorch_quantization_c.torch import tensor_quant


class Raising:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise self.error


@pytest.mark.parametrize("error", [ValueError("mine"), TypeError("mine"), RuntimeError("mine")], ids=repr)
def test_exceptions_of_a_conversion_reach_the_caller(error: Exception) -> None:
    x = torch.ones(4)
    for call in (lambda: tensor_quant.fake_tensor_quant(x, Raising(error)),
                 lambda: tensor_quant.tensor_quant(x, Raising(error)),
                 lambda: tensor_quant.fake_affine_tensor_quant(x, Raising(error), 1.0)):
        with pytest.raises(type(error)) as caught:
            call()
        assert caught.value is error
