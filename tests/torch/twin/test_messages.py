"""Messages to people who use the twin, or both packages, for the first time."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import pytorch_quantization_c as array_pq
import pytorch_quantization_c.torch as pq
from pytorch_quantization_c import float_nn
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor

X = torch.ones(2, 3)


class TorchNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Any) -> Any:
        return self.fc(x)


class ArrayNet(float_nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = float_nn.Linear(3, 2)

    def forward(self, x: Any) -> Any:
        return self.fc(x)


def test_a_float_model_of_the_other_package_takes_no_quantizers() -> None:
    with pytest.raises(ValueError, match=r"'fc._input_quantizer': quantise it .* pytorch_quantization_c.replace\("):
        pq.to_numpy(pq.replace(TorchNet()), ArrayNet())
    with pytest.raises(ValueError, match=r"'fc._input_quantizer': .* pytorch_quantization_c.torch.replace\(into\)"):
        pq.from_numpy(array_pq.replace(ArrayNet()), TorchNet())


def test_models_of_the_wrong_package() -> None:
    with pytest.raises(TypeError, match="`model` of the other package, got QuantLinear, a numpy model already"):
        pq.to_numpy(array_pq.replace(float_nn.Linear(3, 2)))
    with pytest.raises(TypeError, match="`into` to be a numpy model, got TorchNet of the other package"):
        pq.to_numpy(pq.replace(TorchNet()), TorchNet())


@pytest.mark.parametrize("function", [array_pq.freeze, lambda model: array_pq.save_frozen(model, "file")])
def test_models_that_cannot_be_frozen_yet(function: Any) -> None:
    with pytest.raises(ValueError, match=r"call pq.replace\(model\)"):
        function(nn.Linear(3, 2))


def test_a_state_of_quantizers_into_a_float_model(tmp_path: Path) -> None:
    pq.save_quant_state(pq.replace(TorchNet()), tmp_path / "state")
    with pytest.raises(ValueError, match=r"`model` to have quantisers, got none: call pq.replace\(model\) first"):
        pq.load_quant_state(TorchNet(), tmp_path / "state")
    torch.save(TorchNet().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="a safetensors file, but got a zip archive, as np.savez and torch.save write"):
        pq.load_quant_state(pq.replace(TorchNet()), tmp_path / "weights.pt")


def test_what_a_batch_is() -> None:
    model = pq.replace(TorchNet()).eval()
    with pytest.raises(TypeError, match=r"got one Tensor: \[x\] is a list of one; a batch is an array"):
        pq.sensitivity(model, X)
    for batch in ((X, torch.zeros(2)), [X, torch.zeros(2)]):
        with pytest.raises(TypeError, match=r"batch of 2 items .* without labels: sensitivity\(model, \(x for x, y"):
            pq.sensitivity(model, [batch])


def test_reports_print_themselves_as_tables() -> None:
    report = pq.sensitivity(pq.replace(TorchNet()).eval(), [X])
    assert repr(report) == str(report) and "SensitivityRow(" not in repr(report)


def test_a_state_dictionary_holds_ranges_and_not_bits(tmp_path: Path) -> None:
    four = pq.replace(TorchNet(), quant_desc_input=QuantDescriptor(4), quant_desc_weight=QuantDescriptor((4, 3)))
    torch.save(four.state_dict(), tmp_path / "four.pt")
    model = pq.replace(TorchNet())
    with pytest.warns(UserWarning, match="it holds ranges, not bits; save_quant_state") as caught:
        model.load_state_dict(torch.load(tmp_path / "four.pt", weights_only=True))
    assert [str(each.message).split("num_bits ")[1].partition(" is")[0] for each in caught] == ["4", "(4, 3)"]
    model.load_state_dict(pq.replace(TorchNet()).state_dict())


def test_weights_of_a_model_of_the_other_package() -> None:
    with pytest.raises(TypeError, match="a torch model: call pytorch_quantization_c.torch.calib.calibrate_weights"):
        array_pq.calib.calibrate_weights(pq.replace(TorchNet()))
    with pytest.raises(TypeError, match="a float_nn model: call pytorch_quantization_c.calib.calibrate_weights"):
        pq.calib.calibrate_weights(array_pq.replace(ArrayNet()))


def test_a_state_dictionary_of_tensors() -> None:
    with pytest.raises(RuntimeError, match="expected an array from the checkpoint, got Tensor: pass its .numpy()"):
        ArrayNet().load_state_dict(TorchNet().state_dict())
