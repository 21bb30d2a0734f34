"""The nine topologies that ONNX ships without their weights, with seeded ones, against onnxruntime in float."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test
import pytest
from onnx import numpy_helper

from pytorch_quantization_c import graph

from .peer import run

FOLDER = Path(onnx.backend.test.__file__).parent / "data" / "light"
LARGEST_DIFFERENCE = 3e-5  # of the largest output; 1.1e-5 in light_vgg19, whose 4608 products are added one by one
NAMES = ("light_bvlc_alexnet", "light_densenet121", "light_inception_v1", "light_inception_v2", "light_resnet50",
         "light_shufflenet", "light_squeezenet", "light_vgg19", "light_zfnet512")


SMALL = 64  # instead of the 4,096 outputs of layers whose weights would be half a gigabyte


def seeded(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) > 1:
        return (rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / np.prod(shape[1:])))).astype(np.float32)
    low, high = (0.5, 1.5) if "riv" in name or "var" in name or "scale" in name or "_s_" in name else (-0.1, 0.1)
    return rng.uniform(low, high, shape).astype(np.float32)


def with_weights(name: str, rng: np.random.Generator) -> onnx.ModelProto:
    """The model with numbers of its own where it computes constants from their shapes."""
    model = onnx.load(FOLDER / f"{name}.onnx")
    shapes = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "ConstantOfShape"]:
        shape = tuple(SMALL if size == 4096 else int(size) for size in shapes[node.input[0]])
        model.graph.initializer.append(numpy_helper.from_array(seeded(rng, node.output[0], shape), node.output[0]))
        model.graph.node.remove(node)
    return model


@pytest.mark.parametrize("name", NAMES)
def test_light_topologies(name: str, rng: np.random.Generator) -> None:
    model = with_weights(name, rng)
    (x,) = [value for value in model.graph.input if value.name not in {i.name for i in model.graph.initializer}]
    shape = [dim.dim_value for dim in x.type.tensor_type.shape.dim]
    feeds = {x.name: rng.normal(size=shape).astype(np.float32)}
    session = graph.compile(model)
    (expected,), (got,) = run(model, feeds), session.run(None, feeds)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= LARGEST_DIFFERENCE * np.abs(expected).max()
