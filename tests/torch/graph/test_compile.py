"""torch modules as programs: the answers of the module, by tensors."""
from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import pytorch_quantization_c.torch as pq
from pytorch_quantization_c import graph
from pytorch_quantization_c.torch._compile import CompiledModule
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor


class Answer(NamedTuple):
    scores: torch.Tensor
    rest: dict[str, Any]


class Net(torch.nn.Module):
    """Two quantised layers, batch normalisation between them, and an answer with an inside."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = pq.nn.QuantConv2d(3, 8, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.fc = pq.nn.QuantLinear(8, 4)

    def forward(self, x: torch.Tensor, scale: torch.Tensor) -> Answer:
        y = torch.relu(self.norm(self.conv(x)))
        return Answer(self.fc(y.mean((2, 3))) * scale, {"maps": [y], "nothing": None})


def inputs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    return torch.randn(count, 3, 10, 9, generator=generator), torch.rand(count, 4, generator=generator) + 1


@pytest.fixture(scope="module")
def compiled() -> tuple[Net, Any]:
    torch.manual_seed(0)
    net = Net()
    with pq.calibrating(net, load_amax=True):
        net(*inputs(8))
    net.train()
    fast = pq.compile(net, inputs(1))
    assert net.training and net.conv.training
    return net.eval(), fast


@pytest.mark.parametrize("count", [1, 2, 5])
def test_answers(compiled: tuple[Net, Any], count: int) -> None:
    """Within a few units in the last place; values next to ties aside, of which there are none here."""
    net, fast = compiled
    expected, found = net(*inputs(count)), fast(*inputs(count))
    assert isinstance(found, Answer) and found.rest["nothing"] is None and not found.scores.requires_grad
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.rest["maps"][0], expected.rest["maps"][0], rtol=1e-5, atol=1e-6)


def test_it_is_a_module(compiled: tuple[Net, Any], tmp_path: Any) -> None:
    _, fast = compiled
    x = inputs(2)
    assert isinstance(fast, torch.nn.Module) and not list(fast.parameters()) and "Session" in repr(fast)
    for again in (pickle.loads(pickle.dumps(fast)), copy.deepcopy(fast), torch.nn.Sequential(fast)[0]):
        assert torch.equal(again(*x).scores, fast(*x).scores)
    fast.session.save(tmp_path / "net.pqc")
    feeds = {each.name: tensor.numpy() for each, tensor in zip(fast.session.get_inputs(), x, strict=True)}
    found = graph.load_session(tmp_path / "net.pqc").run(None, feeds)
    assert np.array_equal(found[0], fast(*x).scores.numpy())
    kernels = [row.kernel for row in fast.session.summary()]
    assert "convolution" in kernels and "linear" in kernels


def test_what_is_refused(compiled: tuple[Net, Any]) -> None:
    net, fast = compiled
    x, scale = inputs(2)
    with pytest.raises(TypeError, match="missing a required argument: 'scale'"):
        fast(x)
    with pytest.raises(ValueError, match="of float32, got float64"):
        fast(x.double(), scale)
    with pytest.raises(TypeError, match="a type that NumPy has, got torch.bfloat16"):
        fast(x.bfloat16(), scale)
    with pytest.raises(TypeError, match="`module` to be a torch.nn.Module and `args` a tuple, got Net and Tensor"):
        pq.compile(net, x)


def test_weights_of_4_bits() -> None:
    torch.manual_seed(0)
    net = pq.replace(torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4)).eval(),
                     quant_desc_weight=QuantDescriptor(4, axis=0))
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    with pq.calibrating(net, load_amax=True), torch.no_grad():
        net(x)
    with torch.no_grad():
        wanted = net(x)
    fast = pq.compile(net, (x,))
    torch.testing.assert_close(fast(x), wanted, atol=float(wanted.abs().max()) / 100, rtol=0)


class Difference:
    """A session of two inputs."""

    def get_inputs(self) -> list[Any]:
        return [graph.session.NodeArg(name, None, "tensor(float)") for name in ("q", "k")]

    def run(self, names: Any, feeds: Any) -> list[Any]:
        return [feeds["q"] - feeds["k"]]


def test_arguments_are_taken_by_name() -> None:
    def forward(q: Any, k: Any, flag: bool = True) -> Any:
        return q - k

    one, two = torch.ones(2), torch.full((2,), 2.0)
    made = CompiledModule(Difference(), one, inspect.signature(forward), (one, two))    # type: ignore[arg-type]
    for found in (made(one, two), made(k=two, q=one), made(one, k=two, flag=True)):
        assert (found == -1).all()
    with pytest.raises(TypeError, match="but for the tensors"):
        made(one, two, flag=False)
    for bad in ((), (one,), (one, two, one), (one, two, True, 1)):
        with pytest.raises(TypeError):
            made(*bad)
