"""The flow of the original's documentation, with its import lines: quantise, calibrate, evaluate, train, save, load."""
from __future__ import annotations

from ...process import run_python

SCRIPT = '''
import copy, io, pickle, warnings
import torch
from torch import nn
import pytorch_quantization_c.torch
pytorch_quantization_c.torch.install()

from pytorch_quantization import nn as quant_nn
from pytorch_quantization import calib, quant_modules
from pytorch_quantization.tensor_quant import QuantDescriptor

class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 10, kernel_size=5), nn.Conv2d(10, 20, kernel_size=5)
        self.fc1, self.fc2 = nn.Linear(320, 50), nn.Linear(50, 10)

    def forward(self, x):
        x = nn.functional.relu(nn.functional.max_pool2d(self.conv1(x), 2))
        x = nn.functional.relu(nn.functional.max_pool2d(self.conv2(x), 2))
        x = nn.functional.relu(self.fc1(x.view(-1, 320)))
        return nn.functional.log_softmax(self.fc2(x), dim=1)

torch.manual_seed(0)
patterns = torch.rand(10, 1, 28, 28)
labels = torch.arange(40) % 10
images = patterns[labels] + 0.1 * torch.randn(40, 1, 28, 28)

quant_nn.QuantConv2d.set_default_quant_desc_input(QuantDescriptor(calib_method="histogram"))
quant_nn.QuantLinear.set_default_quant_desc_input(QuantDescriptor(calib_method="histogram"))
quant_modules.initialize()
model = LeNet()
quant_modules.deactivate()
assert type(nn.Conv2d(1, 1, 1)).__module__.startswith("torch.") and isinstance(model.conv1, quant_nn.QuantConv2d)

def train(steps):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.nll_loss(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses

quantizers = [(n, m) for n, m in model.named_modules() if isinstance(m, quant_nn.TensorQuantizer)]
assert len(quantizers) == 8
for _, module in quantizers:
    module.disable()
train(25)
with torch.no_grad():
    floats = model(images)
    for name, module in quantizers:
        module.enable()
        if module._calibrator is not None:
            module.disable_quant()
            module.enable_calib()
        else:
            module.disable()
    for batch in images.split(10):
        model(batch)
    for name, module in quantizers:
        if module._calibrator is not None:
            if isinstance(module._calibrator, calib.MaxCalibrator):
                module.load_calib_amax()
            else:
                module.load_calib_amax("percentile", percentile=99.99)
            module.enable_quant()
            module.disable_calib()
    quantised = model(images)
assert not torch.equal(quantised, floats) and (quantised - floats).abs().max() < 0.2
assert all(module.amax is not None and not module.amax.requires_grad for _, module in quantizers)
assert model.conv2._weight_quantizer.amax.shape == (20, 1, 1, 1) and model.fc1._input_quantizer.amax.shape == ()

losses = train(8)
assert losses[-1] < losses[0] and all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
model.eval()
answer = model(images)

state = io.BytesIO()
torch.save(model.state_dict(), state)
other = LeNet.__new__(LeNet)
quant_modules.initialize(); other.__init__(); quant_modules.deactivate()
state.seek(0)
other.load_state_dict(torch.load(state, weights_only=True))
assert torch.equal(other.eval()(images), answer)
whole = io.BytesIO()
torch.save(model, whole); whole.seek(0)
for again in (torch.load(whole, weights_only=False), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
    assert torch.equal(again(images), answer)
print("accuracy", (answer.argmax(1) == labels).float().mean().item())
'''


def test_lenet_flow() -> None:
    done = run_python("-W", "error", "-c", SCRIPT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("accuracy ") and float(done.stdout.split()[1]) > 0.5
