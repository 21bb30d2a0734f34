"""A layer needs its packed weights, one image's packed input and its output, whatever the batch."""
import pytest

from pytorch_quantization_c import isa

from ..process import run_python

RESIDENT = """
import resource
import numpy as np
from pytorch_quantization_c import nn, quant_modules, threads
threads.set_num_threads(2)
batch = int({batch!r})
layer = quant_modules.freeze(nn.QuantConv2d(64, 8, 3, padding=1), keep_float=False)
x = np.ones((batch, 64, 96, 96), np.float32)
layer(x[:1, :, :8, :8])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
y = layer(x)
assert layer.execution == "int8"
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 - y.nbytes)
"""

ALLOCATED = """
import tracemalloc
import numpy as np
from pytorch_quantization_c import nn, quant_modules, threads
threads.set_num_threads(1)
layer = quant_modules.freeze({layer}, keep_float=False)
x = np.ones(({batch}, *{shape}), np.float32)
layer(x[(slice(1), *[slice(None, None if axis == {channels} else 5) for axis in range(1, x.ndim)])])
tracemalloc.start()
y = layer(x)
assert layer.execution == "int8", layer.execution
print(tracemalloc.get_traced_memory()[1] - y.nbytes)
"""

# What a thread needs for 3 x 3 layers where they go by Winograd's products, whatever the layer and the image.
WINOGRAD = 768 << 10 if isa.selected()[-1] in ("avx2", "avx512") else 0
UNIT = isa.selected()[-1] == "amx"


def panel(cin, taps, large=False):
    """What a thread needs to put pixels together for a matrix unit, 32 or more; `large`: with weights above 1 MiB.

    Where a group has 64, 128, ... input channels the unit reads the image itself.
    """
    return max(512 << 10 if large else 32 << 10, 32 * cin * taps) if UNIT else 0


def plane(elements):
    """What four channels have each: for a matrix unit an odd number of cache lines."""
    return ((elements + 15) // 16 | 1) * 16 if UNIT else elements


# Layer, shape of an image, bytes of the packed image (channels in fours, with its border) and of what a thread needs;
# with thousands of channels also of where the inputs of an output lie, which is a byte for each.
LAYERS = [
    ("nn.QuantConv2d(3, 64, 7, 2, 3)", (3, 224, 224), 4 * 230 * 230),
    ("nn.QuantConv2d(64, 256, 1)", (64, 56, 56), 64 * plane(56 * 56)),
    ("nn.QuantConv2d(64, 64, 3, padding=1)", (64, 56, 56), 64 * plane(58 * 58) + WINOGRAD),
    ("nn.QuantConv2d(64, 64, 3, padding=1)", (64, 200, 200), 64 * plane(202 * 202) + WINOGRAD),
    ("nn.QuantConv2d(512, 512, 3, padding=1)", (512, 7, 7), 512 * plane(9 * 9) + WINOGRAD),
    ("nn.QuantConv2d(2048, 64, 3, padding=1)", (2048, 14, 14), 2048 * (plane(16 * 16) + 9) + WINOGRAD),
    ("nn.QuantConv2d(64, 64, 3, 2, 1)", (64, 56, 56), 64 * plane(58 * 58)),
    ("nn.QuantConv2d(64, 64, 3, padding=2, dilation=2, groups=4)", (64, 40, 40), 64 * plane(44 * 44) + panel(16, 9)),
    ("nn.QuantConv2d(1020, 16, 3, padding=1)", (1020, 16, 16), 1020 * plane(18 * 18) + WINOGRAD + panel(1020, 9)),
    ("nn.QuantConv2d(519, 260, 3, padding=1)", (519, 16, 16), 520 * plane(18 * 18) + WINOGRAD + panel(520, 9, True)),
    ("nn.QuantConv2d(64, 32, (1, 15), padding=(0, 5))", (64, 60, 5), 64 * plane(60 * 15) + panel(64, 15)),
    ("nn.QuantConv2d(96, 96, 3, padding=1, groups=96)", (96, 56, 56), 96 * 58 * 58),
    ("nn.QuantConvTranspose2d(32, 32, 4, 2, 1)", (32, 64, 64), 32 * plane(66 * 66) + panel(32, 4)),
    ("nn.QuantConv1d(16, 32, 5, padding=2)", (16, 20000), 16 * plane(20004) + panel(16, 5)),
    ("nn.QuantConv3d(8, 16, 3, padding=1)", (8, 24, 24, 24), 8 * plane(26 ** 3) + panel(8, 27)),
    ("nn.QuantLinear(768, 768)", (512, 768), 1 << 20),  # rows go in strips of at most a mebibyte
    ("nn.QuantLinear(29, 16)", (20000, 29), 1 << 20),
]
OBJECTS_AND_ROWS = 16 << 10  # Python objects, scales, offsets, rounding up: far less than another image of any layer


@pytest.mark.parametrize("batch", ["1", "32"])
def test_the_peak_grows_by_one_packed_image(batch):
    done = run_python("-c", RESIDENT.format(batch=batch))
    image = 64 * 98 * 98
    assert int(done.stdout) < image + (3 << 20)  # 32 images would be 20 million bytes


@pytest.mark.parametrize("batch", [1, 32])
@pytest.mark.parametrize("layer, shape, image", LAYERS, ids=[f"{layer}-{shape[-1]}" for layer, shape, _ in LAYERS])
def test_all_that_a_call_allocates(layer, shape, image, batch):
    """Its weights are packed by then."""
    channels = 2 if "Linear" in layer else 1
    done = run_python("-c", ALLOCATED.format(layer=layer, shape=shape, batch=batch, channels=channels))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < image + OBJECTS_AND_ROWS
