"""Model classes as notebooks have them: one source, run on torch.nn and on float_nn with the same weights."""
import copy

import numpy as np
import pytest
import torch

from .compare import assert_close, ours, theirs, to_torch


def lenet(nn, F):
    class LeNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(1, 10, kernel_size=5)
            self.conv2 = nn.Conv2d(10, 20, kernel_size=5)
            self.drop = nn.Dropout(0.5)
            self.fc1 = nn.Linear(320, 50)
            self.fc2 = nn.Linear(50, 10)

        def forward(self, x):
            x = F.relu(F.max_pool2d(self.conv1(x), 2))
            x = F.relu(F.max_pool2d(self.drop(self.conv2(x)), 2))
            x = F.relu(self.fc1(x.reshape(-1, 320)))
            x = F.dropout(x, training=self.training)
            return F.log_softmax(self.fc2(x), dim=1)

    return LeNet(), (3, 1, 28, 28)


def resnet(nn, F):
    class Block(nn.Module):
        def __init__(self, inner, outer, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outer)
            self.relu = nn.ReLU(inplace=True)
            self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outer)
            self.down = None
            if stride != 1 or inner != outer:
                self.down = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

        def forward(self, x):
            y = self.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            y += x if self.down is None else self.down(x)
            return self.relu(y)

    layers = [nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1),
              Block(8, 8, 1), Block(8, 16, 2), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(16, 7)]
    return nn.Sequential(*layers), (2, 3, 40, 36)


def mobilenet(nn, F):
    def part(inner, outer, stride):
        return nn.Sequential(nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False), nn.BatchNorm2d(inner),
                             nn.Hardswish(), nn.Conv2d(inner, outer, 1), nn.ReLU6(inplace=True))

    return nn.Sequential(part(4, 8, 2), part(8, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Dropout(0.2),
                         nn.Linear(8, 5), nn.Softmax(dim=1)), (2, 4, 15, 17)


def unet(nn, F):
    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.ModuleList([nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"),
                                       nn.Conv2d(4, 8, 3, padding="same")])
            self.norms = nn.ModuleList([nn.InstanceNorm2d(4, affine=True), nn.GroupNorm(2, 8)])
            self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
            self.smooth = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
            self.heads = nn.ModuleDict({"a": nn.Conv2d(4, 1, 1), "b": nn.Conv2d(8, 1, 1)})

        def forward(self, x):
            first = F.leaky_relu(self.norms[0](self.down[0](x)), 0.1)
            second = F.gelu(self.norms[1](self.down[1](F.avg_pool2d(first, 2))))
            return F.sigmoid(self.heads["a"](self.up(second) + first) + self.heads["b"](self.smooth(second)))

    return UNet(), (2, 2, 12, 8)


def transformer(nn, F):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(11, 8)
            self.qkv, self.out = nn.Linear(8, 24, bias=False), nn.Linear(8, 8)
            self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
            self.mlp = nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Linear(32, 8), nn.Dropout(0.1))

        def forward(self, tokens):
            x = self.table(tokens)
            y = self.qkv(self.norm1(x))
            q, k, v = y[..., :8], y[..., 8:16], y[..., 16:]
            x = x + self.out(F.softmax(q @ k.swapaxes(1, 2) / 8**0.5, dim=-1) @ v)
            return x + self.mlp(self.norm2(x))

    return Block(), None


def tagger(nn, F):
    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(5, 6, num_layers=2, batch_first=True, bidirectional=True)
            self.conv = nn.Sequential(nn.ConstantPad1d((1, 0), 0.5), nn.Conv1d(12, 4, 2), nn.SiLU())
            self.norm = nn.BatchNorm1d(4)

        def forward(self, x):
            y, (h, _) = self.lstm(x)
            return self.norm(self.conv(y.swapaxes(1, 2))) + h[-1].sum()

    return Tagger(), (3, 9, 5)


@pytest.mark.parametrize("make", [lenet, resnet, mobilenet, unet, transformer, tagger])
@pytest.mark.parametrize("training", [False, True])
def test_same_model(make, training, rng):
    """Training mode where nothing is random: batch statistics, and their running means afterwards."""
    (our, shape), (their, _) = make(ours, ours.functional), make(theirs, theirs.functional)
    assert repr(our) == repr(their)
    assert [name for name, _ in our.named_modules()] == [name for name, _ in their.named_modules()]
    assert [name for name, _ in our.named_parameters()] == [name for name, _ in their.named_parameters()]
    their.load_state_dict({name: to_torch(value) for name, value in our.state_dict().items()})
    our.train(training), their.train(training)
    for module in (*our.modules(), *their.modules()):
        if type(module).__name__ == "Dropout" or make is lenet:
            module.eval()
    x = rng.integers(0, 11, (3, 6)) if shape is None else rng.normal(size=shape).astype(np.float32)
    assert_close(our(x), their(torch.from_numpy(np.array(x))))
    for name, value in their.state_dict().items():
        assert_close(our.state_dict()[name], value)
    again = copy.deepcopy(our).eval()
    np.testing.assert_array_equal(again(x), our.eval()(x))
