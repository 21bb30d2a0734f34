"""Gradients beyond the recorded ones, autocast, copies, and training in two processes."""
from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from pytorch_quantization_c.torch import nn, quant_modules
from pytorch_quantization_c.torch import tensor_quant as tq
from pytorch_quantization_c.torch.nn.functional import clip
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor

from ...process import run_python


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("function", [tq.fake_tensor_quant, tq.scaled_e4m3, tq.legacy_fake_tensor_quant])
def test_gradient_of_the_gradient(function: Any) -> None:
    x = torch.tensor([-2.0, -1.0, 0.3, 1.0, 1.1], requires_grad=True)
    grad = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], requires_grad=True)
    first, = torch.autograd.grad(function(x, torch.tensor(1.0)), x, grad, create_graph=True)
    assert first.tolist() == [0, 2, 3, 4, 0]
    second, = torch.autograd.grad(first, grad, torch.full((5,), 10.0))
    assert second.tolist() == [0, 10, 10, 10, 0]


def test_amax_and_scale_get_no_gradient() -> None:
    x, amax = torch.randn(5, requires_grad=True), torch.tensor(1.0, requires_grad=True)
    outputs, scale = tq.tensor_quant(x, amax)
    assert outputs.requires_grad and not scale.requires_grad
    outputs.sum().backward()
    assert amax.grad is None and x.grad is not None


def test_a_learnt_range_is_learnt() -> None:
    """PACT: the range grows towards the data that it cuts off."""
    quantizer = nn.TensorQuantizer(QuantDescriptor(learn_amax=True, amax=0.5))
    x = torch.randn(1000)
    optimizer = torch.optim.SGD(quantizer.parameters(), lr=0.2)
    errors = []
    for _ in range(60):
        optimizer.zero_grad()
        error = ((quantizer(x) - x) ** 2).mean()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.1 * errors[0] and quantizer.clip.clip_value_max > 1.2 > -1.2 > quantizer.clip.clip_value_min
    quantizer.disable_clip()
    assert not any(each.requires_grad for each in quantizer.parameters())


def test_clip_of_halves_with_limits_in_float32() -> None:
    x = torch.tensor([-2.0, 0.25, 2.0], dtype=torch.float16, requires_grad=True)
    low, high = (torch.tensor(each, requires_grad=True) for each in (-1.0, 1.0))
    y = clip(x, low, high)
    y.backward(torch.tensor([1.0, 2.0, 4.0], dtype=torch.float16))
    assert y.dtype == torch.float16 and y.tolist() == [-1.0, 0.25, 1.0] and x.grad.tolist() == [0, 2, 0]
    assert (low.grad.item(), high.grad.item()) == (1.0, 4.0) and low.grad.dtype == torch.float32


def network() -> torch.nn.Module:
    with quant_modules.quantized():
        return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(),
                                   torch.nn.Linear(64, 5))


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_autocast(half: torch.dtype) -> None:
    model, x = network(), torch.randn(3, 1, 6, 6)
    with torch.autocast("cpu", half):
        y = model(x)
    assert y.dtype == half
    y.float().sum().backward()
    for name, each in model.named_parameters():
        assert each.grad.dtype == torch.float32 and each.grad.abs().sum() > 0, name
    floats = model(x)
    assert (y.float() - floats).abs().max() < 0.05 * floats.abs().max()


def test_copies_train_alone() -> None:
    model, x = network(), torch.randn(3, 1, 6, 6)
    model[0].input_quantizer.amax = 2.0
    model(x).sum().backward()
    real = nn.TensorQuantizer(QuantDescriptor(fake_quant=False))
    real(x.clone().requires_grad_())                # keeps a scale, which must not hinder a copy
    copied = copy.deepcopy(torch.nn.Sequential(model, real))[0]
    copied[0].input_quantizer.amax = 1.0
    assert model[0].input_quantizer.amax == 2.0


def test_moving_a_model_moves_its_buffers() -> None:
    model = network()
    model[0].input_quantizer.amax = 2.0
    model.to("meta")
    assert model[0].input_quantizer.amax.is_meta
    model = network().double()
    assert model(torch.randn(3, 1, 6, 6).double()).dtype == torch.float64


DISTRIBUTED = '''
import os, sys, tempfile, time
os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel
from pytorch_quantization_c.torch import nn
from pytorch_quantization_c.torch.tensor_quant import QuantDescriptor

def work(rank, file):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method="file://" + file, rank=rank, world_size=2)
    torch.manual_seed(rank)
    model = torch.nn.Sequential(nn.QuantLinear(6, 8), torch.nn.ReLU(),
                                nn.QuantLinear(8, 3, quant_desc_input=QuantDescriptor(learn_amax=True)))
    model[0].input_quantizer.amax = 1.0 + rank
    model[0].weight_quantizer.amax = [[1.0 + rank]] * 8
    parallel = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        parallel(torch.randn(4, 6)).square().mean().backward()
        optimizer.step()
    assert model[0].input_quantizer.amax == 1.0 and (model[0].weight_quantizer.amax == 1.0).all()
    for value in model.state_dict().values():
        both = [torch.empty_like(value) for _ in range(2)]
        dist.all_gather(both, value)
        assert torch.equal(*both)
    assert model[2].input_quantizer.clip.clip_value_max != 1.0
    # Neither goes before both are through, and then without the clean-up of gloo's threads, which may abort.
    open(file + str(rank), "w").close()
    while not all(os.path.exists(file + each) for each in "01"):
        time.sleep(0.01)
    os._exit(0)

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(work, (os.path.join(folder, "meeting"),), 2)
    print("same")
'''


def test_two_processes(tmp_path: Path) -> None:
    script = tmp_path / "distributed.py"
    script.write_text(DISTRIBUTED)
    done = run_python(str(script))
    assert done.returncode == 0 and done.stdout == "same\n", done.stderr[-3000:]
