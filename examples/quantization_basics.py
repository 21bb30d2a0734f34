"""Quantisation basics: the formulas of symmetric quantisation, tried on arrays. Cells begin with `# %%`."""

# %% [markdown]
# # Quantisation basics
#
# The formulas of section 3 of Wu, Judd, Zhang, Isaev and Micikevicius, *Integer Quantization for Deep Learning
# Inference* (2020, [arXiv 2004.09602](https://arxiv.org/abs/2004.09602)), each tried on arrays: first in plain NumPy,
# then by the library, and the two compared.

# %%
import logging

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

import pytorch_quantization_c.nn as quant_nn
from pytorch_quantization_c import calib
from pytorch_quantization_c.cuda_ext import fake_tensor_quant_with_axis
from pytorch_quantization_c.float_nn import functional as F
from pytorch_quantization_c.tensor_quant import (
    FakeTensorQuantFunction,
    FunctionCtx,
    QuantDescriptor,
    fake_affine_tensor_quant,
    fake_tensor_quant,
    tensor_quant,
)

plt.rcParams.update({"figure.dpi": 72, "figure.figsize": (7, 3.2), "axes.grid": True, "grid.alpha": 0.3})
rng = np.random.default_rng(0)
x = rng.standard_normal(10_000, dtype=np.float32)

# %% [markdown]
# ## Scale quantisation
#
# Real values in $[-\alpha, \alpha]$ become integers of $b$ bits. Zero stays zero, so a single number, the **scale**,
# describes it:
#
# $$ s = \frac{2^{b-1} - 1}{\alpha} \qquad
#    x_q = \mathrm{clip}\big(\mathrm{round}(s\,x),\; -2^{b-1}+1,\; 2^{b-1}-1\big) $$
#
# The library calls $\alpha$ `amax`. `tensor_quant` returns the integers, which stay in a floating type, and the scale.

# %%
bits, alpha = 8, np.float32(2.5)
bound = np.float32(2 ** (bits - 1) - 1)
scale = bound / alpha
x_q = np.clip(np.rint(x * scale), -bound, bound)

ours, our_scale = tensor_quant(x, alpha, bits)
assert np.array_equal(ours, x_q) and our_scale == scale
print(f"s = {scale}, first values {x[:4]} -> {x_q[:4]}")

# %% [markdown]
# Dequantising divides by the scale, $\hat{x} = x_q / s$. Both steps at once are **fake quantisation**: real values
# again, but only those that $b$ bits can tell apart.

# %%
x_hat = x_q / scale
assert np.array_equal(fake_tensor_quant(x, alpha, bits), x_hat)

line = np.linspace(-3.5, 3.5, 1401, dtype=np.float32)
figure, (left, right) = plt.subplots(1, 2, layout="constrained")
for few in (2, 3, 4):
    left.plot(line, fake_tensor_quant(line, alpha, few), label=f"{few} bits")
    right.plot(line, fake_tensor_quant(line, alpha, few) - line, label=f"{few} bits")
left.set(title="fake_tensor_quant(x, 2.5)", xlabel="x")
right.set(title="error", xlabel="x")
left.legend()
plt.show()

# %% [markdown]
# Inside $[-\alpha, \alpha]$ the error is at most half a step, $1/(2s)$: that is **rounding**. Outside it is the
# distance to $\alpha$: that is **clipping**. Ties go to the even integer.

# %%
inside = abs(x) <= alpha
assert abs(x_hat - x)[inside].max() <= 0.5 / scale * 1.0001
assert np.allclose(abs(x_hat - x)[~inside], abs(x)[~inside] - alpha)
print(tensor_quant(np.array([0.5, 1.5, 2.5, -0.5], np.float32), 127.0)[0])

# %% [markdown]
# ## How many bits
#
# If rounding were the only error, it would be uniform with variance $1/(12 s^2)$, and every bit would bring
# $20 \log_{10} 2 = 6.02$ dB of signal to noise.

# %%
widths = np.arange(2, 13)
largest = abs(x).max()
measured = [10 * np.log10(np.sum(x**2) / np.sum((x - fake_tensor_quant(x, largest, int(b))) ** 2)) for b in widths]
predicted = 10 * np.log10(np.mean(x**2) * 12 * ((2.0 ** (widths - 1) - 1) / largest) ** 2)
plt.plot(widths, measured, "o", label="measured")
plt.plot(widths, predicted, label="uniform error")
plt.gca().set(xlabel="bits", ylabel="SQNR, dB", title="Normal values, amax = largest value")
plt.legend()
plt.show()
for b, m, p in zip(widths, measured, predicted, strict=True):
    print(f"{b:2} bits  measured {m:5.1f} dB  predicted {p:5.1f} dB")

# %% [markdown]
# ## Unsigned, and the most negative integer
#
# Values that cannot be negative (after a ReLU) use $[0, 2^b-1]$ and have half the step. With `narrow_range=False`
# the most negative integer $-2^{b-1}$ is used too; the scale does not change.

# %%
positive = F.relu(x)
signed = fake_tensor_quant(positive, alpha, 4)
unsigned = fake_tensor_quant(positive, alpha, 4, True)
print(f"largest rounding error, 4 bits: signed {abs(signed - positive)[inside].max():.4f}, "
      f"unsigned {abs(unsigned - positive)[inside].max():.4f}")
low = np.array([-9], np.float32)
print("narrow:", tensor_quant(low, 1.0, 8, False, True)[0], "full:", tensor_quant(low, 1.0, 8, False, False)[0])

# %% [markdown]
# ## Affine quantisation, for comparison
#
# With a zero point any range $[\beta, \alpha]$ can be mapped:
# $s = (2^b - 1)/(\alpha - \beta)$, $z = -\mathrm{round}(\beta s) - 2^{b-1}$,
# $x_q = \mathrm{clip}(\mathrm{round}(s x + z), -2^{b-1}, 2^{b-1}-1)$, $\hat{x} = (x_q - z)/s$.

# %%
shifted = x + np.float32(4)
beta, top = float(shifted.min()), float(shifted.max())
step = (top - beta) / 255
zero = -np.rint(beta / step) - 128
by_hand = (np.clip(np.rint(shifted / step) + zero, -128, 127) - zero) * step
ours = fake_affine_tensor_quant(shifted, beta, top, 8)
assert np.allclose(ours, by_hand, atol=1e-5)
print(f"mean absolute error: affine {abs(ours - shifted).mean():.4f}, "
      f"symmetric {abs(fake_tensor_quant(shifted, top) - shifted).mean():.4f}")

# %% [markdown]
# ## One scale per tensor, or one per channel
#
# Output channels of a weight often differ in size. One $\alpha$ for all of them wastes bits on the small ones; one per
# channel costs nothing in the integer product (below).

# %%
weight = rng.standard_normal((16, 64), dtype=np.float32) * np.geomspace(0.02, 2, 16, dtype=np.float32)[:, None]
row_amax = abs(weight).max(axis=1)
by_row = fake_tensor_quant_with_axis(weight, row_amax, 0)
assert np.array_equal(by_row, fake_tensor_quant(weight, row_amax[:, None]))
whole = fake_tensor_quant(weight, abs(weight).max())


def row_sqnr(quantised: NDArray[np.float32]) -> NDArray[np.float32]:
    """SQNR of each row of the weight, in dB."""
    ratio: NDArray[np.float32] = (weight**2).sum(1) / ((weight - quantised) ** 2).sum(1)
    return 10 * np.log10(ratio)


plt.plot(row_sqnr(by_row), "o-", label="one amax per channel")
plt.plot(row_sqnr(whole), "s-", label="one amax")
plt.gca().set(xlabel="output channel, smallest weights first", ylabel="SQNR, dB")
plt.legend()
plt.show()

# %% [markdown]
# ## The product on integers
#
# With one scale for the activations and one per output channel for the weight, the scales leave the sum:
#
# $$ y_{ij} \approx \sum_k \hat{x}_{ik}\,\hat{w}_{kj} = \frac{1}{s_x\, s_{w,j}} \sum_k x_{q,ik}\, w_{q,kj} $$
#
# What remains inside is a product of integers. `QuantLinear` really computes it so.

# %%
layer = quant_nn.QuantLinear(64, 16, bias=False)
layer.weight[:] = weight
activations = rng.standard_normal((32, 64), dtype=np.float32)
result = layer(activations)

a_q, s_a = tensor_quant(activations, abs(activations).max(), 8, False, False)
w_q, s_w = tensor_quant(weight, row_amax[:, None], 8, False, False)
integers = a_q.astype(np.int32) @ w_q.astype(np.int32).T
assert np.allclose(result, integers / (float(s_a) * s_w[:, 0].astype(np.float64)), rtol=1e-5, atol=1e-6)
print(f"computed on integers: {layer.execution}; largest sum {abs(integers).max()}")

# %% [markdown]
# With zero points $z_x, z_w$ the product has three more terms, and the one with $z_w$ has to be computed anew for every
# input: the reason why weights are quantised symmetrically.
#
# ## Choosing alpha
#
# **Calibration** looks at data and picks $\alpha$: the largest value (`max`), the quantile that keeps a share of the
# values (`percentile`), the least divergence between the distributions (`entropy`), or the least squared error (`mse`).
# At 8 bits the largest value will do; at 4 bits, clipping a few outliers pays.

# %%
heavy = (rng.standard_normal(100_000) ** 3).astype(np.float32)
logging.getLogger("pytorch_quantization_c").setLevel(logging.ERROR)  # entropy clips 2 % at 4 bits and says so
figure, axes = plt.subplots(layout="constrained")
axes.hist(abs(heavy), bins=200, log=True, color="0.7")
for bits_used, style in ((8, "-"), (4, "--")):
    collector = calib.HistogramCalibrator(bits_used, None, False)
    collector.collect(heavy)
    chosen = {"max": abs(heavy).max(), "percentile": collector.compute_amax("percentile", percentile=99.9),
              "entropy": collector.compute_amax("entropy"), "mse": collector.compute_amax("mse")}
    for at, (name, amax) in enumerate(chosen.items()):
        error = np.mean((heavy - fake_tensor_quant(heavy, amax, bits_used)) ** 2)
        print(f"{bits_used} bits  {name:10}  amax {float(amax):6.2f}  mean squared error {error:.4f}")
        axes.axvline(float(amax), color=f"C{at}", linestyle=style, label=f"{name}, {bits_used} bits")
axes.set(xlabel="|x|", ylabel="count", title="The cube of normal values: long tails")
figure.legend(loc="outside right center", fontsize=8)
plt.show()

# %% [markdown]
# ## The gradient
#
# Rounding has derivative zero almost everywhere. Training passes the gradient **straight through** instead, where the
# value was not clipped: $\partial\hat{x}/\partial x = 1$ for $|x| \le \alpha$, else $0$.

# %%
ctx = FunctionCtx()
FakeTensorQuantFunction.forward(ctx, line, alpha, 3)
gradient = FakeTensorQuantFunction.backward(ctx, np.ones_like(line))[0]
assert np.array_equal(gradient, (abs(line) <= alpha).astype(np.float32))
plt.plot(line, fake_tensor_quant(line, alpha, 3), label="fake quantised, 3 bits")
plt.plot(line, gradient, label="factor of the gradient")
plt.xlabel("x")
plt.legend()
plt.show()

# %% [markdown]
# ## All of it in one object
#
# A `TensorQuantizer` holds a descriptor (bits, axis, how to calibrate) and does one of: quantise, collect, pass on.

# %%
quantizer = quant_nn.TensorQuantizer(QuantDescriptor(num_bits=4, calib_method="histogram"))
quantizer.disable_quant()
quantizer.enable_calib()
quantizer(heavy)                                        # collects and returns its input
quantizer.load_calib_amax("mse")
quantizer.disable_calib()
quantizer.enable_quant()
assert np.array_equal(quantizer(heavy), fake_tensor_quant(heavy, quantizer.amax, 4, False, False))
print(quantizer)
