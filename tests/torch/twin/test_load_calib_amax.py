"""`load_calib_amax` as public scripts call it: every option of the original, whatever the method and the calibrator."""
from __future__ import annotations

import pytest
import torch

from pytorch_quantization_c.torch.nn import TensorQuantizer
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor


@pytest.mark.parametrize("method", ["entropy", "mse", "percentile", "max"])
def test_D23_options_of_other_methods_are_ignored(method: str) -> None:
    kind = "max" if method == "max" else "histogram"
    quantizer = TensorQuantizer(QuantDescriptor(calib_method=kind), if_calib=True, if_quant=False)
    quantizer(torch.linspace(0, 1, 10000))
    quantizer.load_calib_amax(method=method)
    alone = quantizer.amax.clone()
    quantizer.load_calib_amax(method=method, percentile=99.99, stride=1, start_bin=128)
    assert torch.equal(quantizer.amax, alone)
    quantizer.load_calib_amax(method, strict=False, percentile=99.99)
    with pytest.raises(TypeError, match="'colour'"):
        quantizer.load_calib_amax(method=method, colour=1)
