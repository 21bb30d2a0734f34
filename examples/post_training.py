"""Post-training quantisation of two trained networks, four calibrations side by side. Cells begin with `# %%`."""

# %% [markdown]
# # Post-training quantisation
#
# Two networks trained on handwritten digits, the LeNet of the package's demo and a small residual network
# (`resnet_numpy.py`, trained by `train_resnet.py`), are quantised without training: 100 images are shown to the float
# network to choose every `amax`, and 500 others measure what came of it. All on NumPy.

# %%
import logging
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
from digits import accuracy, logits_of, package_digits, resnet_weights, sqnr
from resnet_numpy import SmallResNet

import pytorch_quantization_c as pq
from pytorch_quantization_c import calib, demo, float_nn
from pytorch_quantization_c.tensor_quant import QuantDescriptor

plt.rcParams.update({"figure.dpi": 72, "figure.figsize": (9, 3.6), "axes.grid": True, "grid.alpha": 0.3})
logging.getLogger("pytorch_quantization_c").setLevel(logging.ERROR)
digits = package_digits()


def lenet() -> float_nn.Module:
    return demo.float_net(digits)


def resnet() -> float_nn.Module:
    net = SmallResNet().eval()
    net.load_state_dict(resnet_weights())
    return net


NETS: dict[str, Callable[[], float_nn.Module]] = {"LeNet": lenet, "small ResNet": resnet}
REFERENCE = {name: logits_of(make(), digits.test_images) for name, make in NETS.items()}
figure, axes = plt.subplots(1, 10, figsize=(9, 1))
for at, each in enumerate(axes):
    each.imshow(digits.test_images[at, 0], cmap="gray_r")
    each.set_title(str(digits.test_labels[at]))
    each.axis("off")
plt.show()
for name, logits in REFERENCE.items():
    print(f"{name}: {accuracy(logits, digits.test_labels):.1f} % right in float32")

# %% [markdown]
# ## Quantise and calibrate
#
# `replace` swaps each float layer for a quantised one. Weights have one `amax` per output channel, their
# largest value; activations have one, from a calibrator of the largest value (`max`) or from a histogram, which can be
# asked for several ranges. In `calibrating` the quantisers only observe.

# %%
def collected(make: Callable[[], float_nn.Module], bits: int, calibrator: str = "histogram") -> float_nn.Module:
    """The quantised network after it has seen the calibration images."""
    net = pq.replace(make(), quant_desc_input=QuantDescriptor(bits, calib_method=calibrator),
                     quant_desc_weight=QuantDescriptor(bits, axis=0))
    with pq.calibrating(net, load_amax=True):
        net(digits.calibration_images)
    return net


METHODS: dict[str, dict[str, Any]] = {
    "max": {}, "percentile": {"method": "percentile", "percentile": 99.9}, "entropy": {"method": "entropy"},
    "mse": {"method": "mse"}}


def load(net: float_nn.Module, how: str) -> None:
    """Gives every quantiser the amax its calibrator finds in this way."""
    for quantizer in net.modules():
        if isinstance(quantizer, pq.nn.TensorQuantizer):
            if isinstance(quantizer.calibrator, calib.MaxCalibrator):
                quantizer.load_calib_amax()
            else:
                quantizer.load_calib_amax(**METHODS[how])


net = collected(lenet, 8)
load(net, "entropy")
logits = net(digits.test_images)
rows = pq.quant_summary(net)

# %% [markdown]
# The last column says how the layer computed: with 8-bit integers, without being asked.
#
# ## Every method at 8, 6, 4 and 3 bits

# %%
BITS = (8, 6, 4, 3)
results: dict[tuple[str, str], list[tuple[float, float]]] = {}
for name, make in NETS.items():
    print(f"{name:13} bits" + "".join(f"{how:>20}" for how in METHODS))
    for bits in BITS:
        nets = {"max": collected(make, bits, "max"), "histogram": collected(make, bits)}
        row = ""
        for how in METHODS:
            net = nets.get(how, nets["histogram"])
            load(net, how)
            logits = logits_of(net, digits.test_images)
            found = accuracy(logits, digits.test_labels), sqnr(REFERENCE[name], logits)
            results.setdefault((name, how), []).append(found)
            row += f"   {found[0]:5.1f} %  {found[1]:4.1f} dB"
        print(f"{'':13} {bits:4}{row}")

# %%
figure, axes = plt.subplots(2, 2, figsize=(9, 6.4), sharex=True, layout="constrained")
for (left, right), (name, logits) in zip(axes, REFERENCE.items(), strict=True):
    left.axhline(accuracy(logits, digits.test_labels), color="black", linestyle=":", label="float32")
    for how, marker in zip(METHODS, "osv^", strict=True):
        found_at = results[name, how]
        left.plot(BITS, [each[0] for each in found_at], marker + "-", label=how)
        right.plot(BITS, [each[1] for each in found_at], marker + "-", label=how)
    left.set(title=name, ylabel="accuracy, %", xticks=BITS)
    right.set(title=name, ylabel="SQNR of the logits, dB", xticks=BITS)
    left.legend()
for axis in axes[1]:
    axis.set_xlabel("bits of weights and activations")
plt.show()

# %% [markdown]
# At 8 and 6 bits every method keeps the accuracy of the float networks, to within an image or two (one image is 0.2 %).
# The signal to noise shows what accuracy hides: at 8 bits clipping (percentile, entropy) costs up to 12 dB; at 4 bits
# the least squared error has the best signal, if not always the best accuracy; at 3 bits every way of clipping is ahead
# of the largest value. What is lost at 4 and 3 bits is for fine-tuning to bring back: see `fine_tuning.ipynb`.
#
# ## What the methods chose

# %%
net = collected(resnet, 4)
figure, axis = plt.subplots(layout="constrained")
inputs = [name for name, _ in net.named_modules() if name.endswith("_input_quantizer")]
for how in METHODS:
    net = collected(resnet, 4, "max" if how == "max" else "histogram")
    load(net, how)
    axis.plot([float(net.get_submodule(name).amax) for name in inputs], "o-", label=how)
axis.set_xticks(range(len(inputs)), [name.removesuffix("._input_quantizer") for name in inputs], rotation=60,
                ha="right", fontsize=8)
axis.set(ylabel="amax of the input", title="small ResNet, 4 bits")
axis.legend()
plt.show()

# %% [markdown]
# ## Which layer is sensitive
#
# `sensitivity` quantises one layer at a time. The first on the list is the one to leave in 8 bits.

# %%
load(net, "mse")
report = pq.sensitivity(net, [digits.calibration_images])
print(report)
report.plot()
plt.show()

# %%
worst = report.rows[0].layer
for bits in (4, 8):
    mixed = pq.replace(resnet(), exclude=worst, quant_desc_input=QuantDescriptor(4, calib_method="histogram"),
                       quant_desc_weight=QuantDescriptor(4, axis=0))
    pq.replace(mixed, worst, quant_desc_input=QuantDescriptor(bits, calib_method="histogram"),
               quant_desc_weight=QuantDescriptor(bits, axis=0))
    with pq.calibrating(mixed, load_amax=True, method="mse"):
        mixed(digits.calibration_images)
    logits = logits_of(mixed, digits.test_images)
    print(f"{worst} in {bits} bits, the rest in 4: {accuracy(logits, digits.test_labels):.1f} %, "
          f"{sqnr(REFERENCE['small ResNet'], logits):.1f} dB")
