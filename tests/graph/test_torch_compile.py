"""Programs of the twin's models: the answers of the module, for any batch, in modules that hold no weights."""
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import pytorch_quantization_c.torch as pq  # noqa: E402
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor  # noqa: E402


class Net(torch.nn.Module):     # type: ignore[name-defined, misc]
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8)
        self.fc = torch.nn.Linear(8, 4)

    def forward(self, x: Any, scale: Any = None) -> Any:
        features = torch.relu(self.norm(self.conv(x))).mean((2, 3))
        return {"scores": self.fc(features), "features": [features]}


@pytest.fixture(scope="module")
def images() -> Any:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=[8, 4])
def net(request: pytest.FixtureRequest, images: Any) -> Any:
    torch.manual_seed(0)
    net = pq.replace(Net().eval(), quant_desc_weight=QuantDescriptor(request.param, axis=0))
    with pq.calibrating(net, load_amax=True), torch.no_grad():
        net(images)
    return net


@pytest.fixture(scope="module")
def fast(net: Any, images: Any) -> Any:
    net.train()
    made = pq.compile(net, (images[:1],))
    assert net.training and net.conv.training
    net.eval()
    return made


def test_a_program_answers_as_its_module(net: Any, fast: Any, images: Any) -> None:
    assert not list(fast.parameters())
    assert sum(row.weights > 0 and not row.reason for row in fast.session.summary()) == 2
    for batch in (images, torch.cat([images] * 3), images[:1]):
        found = fast(batch)
        with torch.no_grad():
            wanted = net(batch)
        assert found.keys() == wanted.keys() and isinstance(found["features"], list)
        step = float(wanted["features"][0].abs().max()) / 127
        np.testing.assert_allclose(found["features"][0].numpy(), wanted["features"][0].numpy(), atol=step)
        np.testing.assert_allclose(found["scores"].numpy(), wanted["scores"].numpy(), atol=step)


def test_refusals(net: Any, fast: Any, images: Any) -> None:
    with pytest.raises(TypeError, match="Expected 1 tensors, got 2"):
        fast(images, images)
    with pytest.raises(ValueError):
        fast(images.double())
    with pytest.raises(ValueError):
        fast(images[:, :2])
    for bad in ((net, images), (lambda x: x, (images,))):
        with pytest.raises(TypeError, match=r"Expected `module` to be a torch\.nn\.Module and `args` a tuple"):
            pq.compile(*bad)
