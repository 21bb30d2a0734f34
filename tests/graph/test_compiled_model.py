"""Models of NumPy arrays as programs: called like the model, with its bits."""
from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pytorch_quantization_c as pq
from pytorch_quantization_c import demo, float_nn, graph, nn
from pytorch_quantization_c.float_nn import functional as F

from .networks import normal


class LeNet(float_nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.QuantConv2d(1, 6, 5), nn.QuantConv2d(6, 8, 3)
        self.norm, self.fc1, self.fc2 = float_nn.BatchNorm2d(8), nn.QuantLinear(8 * 16, 20), nn.QuantLinear(20, 5)

    def forward(self, images: Any) -> Any:
        x = F.relu(F.max_pool2d(self.conv1(images), 2))
        x = F.relu(self.norm(self.conv2(x)))
        return self.fc2(F.relu(self.fc1(x.reshape(x.shape[0], -1))))


class Several(float_nn.Module):
    """Two inputs, answers within answers."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.QuantLinear(6, 4)

    def forward(self, a: Any, b: Any) -> Any:
        y = self.fc(a)
        return {"y": y, "rest": (y + b, [F.relu(y), None])}


def calibrated(net: Any, *arrays: Any) -> Any:
    with pq.calibrating(net, load_amax=True):
        net(*arrays)
    return net.eval()


@pytest.fixture
def lenet(rng: np.random.Generator) -> Any:
    return calibrated(LeNet(), normal(rng, 8, 1, 16, 16))


def test_equal_bits(lenet: Any, rng: np.random.Generator) -> None:
    fast = pq.compile(lenet, normal(rng, 1, 1, 16, 16))
    for count in (1, 2, 7):
        x = normal(rng, count, 1, 16, 16) * 2
        assert np.array_equal(fast(x), lenet(x)) and np.array_equal(fast(images=x), lenet(x))
    kernels = [row.kernel for row in fast.session.summary()]
    assert kernels.count("convolution") == 2 and kernels.count("linear") == 2
    assert repr(fast) == "CompiledModel(Session(images -> output))"


def test_saved_and_pickled(lenet: Any, rng: np.random.Generator, tmp_path: Path) -> None:
    fast, x = pq.compile(lenet, normal(rng, 2, 1, 16, 16), num_threads=1), normal(rng, 3, 1, 16, 16)
    fast.save(tmp_path / "net.pqc")
    assert np.array_equal(graph.load_session(tmp_path / "net.pqc").run(None, {"images": x})[0], lenet(x))
    assert np.array_equal(pickle.loads(pickle.dumps(fast))(x), lenet(x))
    assert fast.session.num_threads == 1


@pytest.mark.parametrize("given", [tuple, lambda arrays: dict(zip("ab", arrays, strict=True))], ids=["tuple", "names"])
def test_several_inputs_and_answers_within_answers(rng: np.random.Generator, given: Callable[[Any], Any]) -> None:
    net = calibrated(Several(), normal(rng, 5, 6), normal(rng, 5, 4))
    fast = pq.compile(net, given((normal(rng, 2, 6), normal(rng, 2, 4))))
    a, b = normal(rng, 3, 6), normal(rng, 3, 4)
    for found in (fast(a, b), fast(a, b=b), fast(b=b, a=a)):
        expected = net(a, b)
        assert list(found) == ["y", "rest"] and isinstance(found["rest"], tuple) and found["rest"][1][1] is None
        for x, y in ((found["y"], expected["y"]), (found["rest"][0], expected["rest"][0]),
                     (found["rest"][1][0], expected["rest"][1][0])):
            assert np.array_equal(x, y)


def test_what_is_refused(lenet: Any, rng: np.random.Generator) -> None:
    x = normal(rng, 1, 1, 16, 16)
    fast = pq.compile(lenet, x)
    with pytest.raises(TypeError, match="Expected arguments images once each, got 2 by position and none by name"):
        fast(x, x)
    with pytest.raises(TypeError, match="got 1 by position and images by name"):
        fast(x, images=x)
    with pytest.raises(ValueError, match="Expected input 'images' of float32, got float64"):
        fast(x.astype(np.float64))
    with pytest.raises(ValueError, match="Expected `num_threads` from 1 to 256, got 0"):
        pq.compile(lenet, x, num_threads=0)


def test_the_program_of_the_demo_compiled_anew(tmp_path: Path) -> None:
    """`examples/compile_lenet.py` writes it: the same results, weights and quantisers."""
    digits = demo.load_digits()
    net = demo.quantised_net(digits)
    demo.calibrate(net, digits.calibration_images)
    fast, images = pq.compile(net, digits.calibration_images[:1]), digits.test_images[:200]
    shipped = graph.load_session(Path(demo.__file__).parent / "data" / "lenet.pqc")
    assert np.array_equal(fast(images), shipped.run(None, {"x": images})[0])
    assert shipped.get_inputs() == fast.session.get_inputs() and shipped.get_outputs() == fast.session.get_outputs()
    weights = [[row.weights for row in session.summary() if row.weights] for session in (shipped, fast.session)]
    assert weights[0] == weights[1] == [250, 5000, 16000, 500]
