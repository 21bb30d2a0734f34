"""Quantised layers of a model as products of rows, and their inputs when the model runs in float."""
from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core.block_quant import block_amax
from .._core.errors import shown
from .._core.layer_rules import ConvTransposeRules
from .._core.models import is_frozen
from .layer_rows import Windows

__all__ = ["WeightLayer"]

Array = NDArray[Any]
MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}     # torch's names of paddings, and NumPy's


def numbers(value: Any) -> Array:
    """A front's array as a NumPy array, float16 and bfloat16 in float32."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value if str(value.dtype) in ("torch.float32", "torch.float64") else value.float()).numpy()
    array = np.asarray(value)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


def renewed(like: Any, array: Array) -> Any:
    """A new parameter of the type of another one."""
    if hasattr(like, "detach"):
        return type(like)(like.new_tensor(array), requires_grad=like.requires_grad)
    return type(like)(array.astype(like.dtype), like.requires_grad)


class WeightLayer:
    """A layer with quantisers of its input and its weight.

    Attributes:
        name: in the model.
        module: the layer.
        is_conv: whether it is a convolution, transposed ones among them.
        is_transposed: whether its output channels lie on axis 1 of the weight.
        is_shared: whether other modules have the same weight.
    """

    def __init__(self, name: str, module: Any, is_shared: bool) -> None:
        self.name, self.module, self.is_shared = name, module, is_shared
        self.is_conv = hasattr(module, "kernel_size")
        self.is_transposed = isinstance(module, ConvTransposeRules)
        self.groups = int(getattr(module, "groups", 1))

    @property
    def weight(self) -> Array:
        """As NumPy's, output channels first."""
        array = numbers(self.module.weight)
        return np.ascontiguousarray(np.moveaxis(array, 1, 0)) if self.is_transposed else array

    @property
    def bits(self) -> int | None:
        """The bits of symmetric integers with one range, one for each output channel, or one for each `group_size` of
        its inputs; None for anything else."""
        quantizer = self.module.weight_quantizer
        bits, axis = quantizer.num_bits, quantizer.axis
        axes = (axis,) if isinstance(axis, int) else tuple(axis or ())
        ndim = self.module.weight.ndim
        works = {each % ndim for each in axes} in (set(), {int(self.is_transposed)}) and self.quantizes and not (
            quantizer.unsigned or quantizer.zero_point or (quantizer.blocks and not self.group_size))
        return bits if works and isinstance(bits, int) and 2 <= bits <= 8 else None

    @property
    def group_size(self) -> int | None:
        """Inputs of an output channel of a linear layer that share a range, if the rows are whole groups, else None."""
        blocks, shape = self.module.weight_quantizer.blocks, self.module.weight.shape
        if blocks is None or blocks.is_dynamic or blocks.scale_bits is not None or self.is_conv or len(shape) != 2:
            return None
        return int(blocks.size) if shape[1] > 0 and shape[1] % blocks.size == 0 else None

    @property
    def quantizes(self) -> bool:
        """Whether the weight is quantised at all."""
        quantizer = self.module.weight_quantizer
        return bool(quantizer._if_quant and not quantizer._disabled)

    @property
    def format(self) -> str:
        """The format of the weight, in words."""
        quantizer = self.module.weight_quantizer
        said = {"block_sizes": quantizer.block_sizes, "zero_point": quantizer.zero_point or None,
                "unsigned": quantizer.unsigned or None, "axis": quantizer.axis}
        return ", ".join([f"num_bits={quantizer.num_bits}", *(f"{name}={value}" for name, value in said.items()
                                                              if value is not None)])

    def amax(self) -> NDArray[np.float32]:
        """The weight's range, (out,), (out, n) of groups, or (); the largest magnitudes where it is dynamic."""
        quantizer = self.module.weight_quantizer
        if self.group_size is not None:
            found = block_amax(self.weight, self.group_size) if quantizer.amax is None else numbers(quantizer.amax)
            shape = len(self.weight), self.weight.shape[1] // self.group_size
            return np.ascontiguousarray(np.broadcast_to(found, shape), np.float32)
        if quantizer.amax is not None:
            found = numbers(quantizer.amax).astype(np.float32)
            return found.reshape(-1) if found.size > 1 or quantizer.axis is not None else found.reshape(())
        magnitudes = np.abs(self.weight).astype(np.float32).reshape(len(self.weight), -1)
        return np.asarray(magnitudes.max() if quantizer.axis is None else magnitudes.max(axis=1), np.float32)

    def set_amax(self, amax: NDArray[np.float32]) -> None:
        """Fixes the weight's range."""
        quantizer = self.module.weight_quantizer
        if self.group_size is not None:
            quantizer.amax = amax if quantizer.amax is None else _most(amax, tuple(quantizer.amax.shape))
            return
        shape = () if quantizer.axis is None else tuple(
            n if i == int(self.is_transposed) else 1 for i, n in enumerate(self.module.weight.shape))
        quantizer.amax = amax.reshape(shape if quantizer.amax is None else tuple(quantizer.amax.shape))

    def reset_range(self) -> None:
        """Gives a weight whose range is fixed, in any format, that of its largest magnitudes or both of its ends."""
        quantizer = self.module.weight_quantizer
        if quantizer.amax is None:
            return
        if self.bits is not None and self.group_size is None:
            magnitudes = np.abs(self.weight).astype(np.float32).reshape(len(self.weight), -1)
            whole = np.size(numbers(quantizer.amax)) == 1
            self.set_amax(np.asarray(magnitudes.max() if whole else magnitudes.max(axis=1)))
            return
        weight, shape = numbers(self.module.weight).astype(np.float32), tuple(quantizer.amax.shape)
        if quantizer.amin is not None:
            quantizer.amin = -_most(-weight, tuple(quantizer.amin.shape))
            quantizer.amax = _most(weight, shape)
        elif quantizer.blocks is not None and not quantizer.blocks.is_dynamic:
            quantizer.amax = _most(block_amax(weight, quantizer.blocks.size), shape)
        else:
            quantizer.amax = _most(np.abs(weight), shape)

    def rows(self, x: Array) -> tuple[Array, Windows | None]:
        """What the weight's rows meet: the input, padded unless with zeros, and the windows of a convolution."""
        module = self.module
        scale = module.input_quantizer.pre_quant_scale
        if scale is not None:
            x = x * numbers(scale)
        if not self.is_conv:
            return x, None
        spatial = len(module.kernel_size)
        x = x if x.ndim == spatial + 2 else x[None]
        ends = list(module._reversed_padding_repeated_twice)
        pairs = [(int(ends[2 * at]), int(ends[2 * at + 1])) for at in reversed(range(spatial))]
        if module.padding_mode != "zeros":
            x = np.pad(x, [(0, 0), (0, 0), *pairs], mode=MODES[module.padding_mode])  # type: ignore[call-overload]
            pairs = [(0, 0)] * spatial
        return x, Windows(tuple(module.kernel_size), tuple(module.stride), tuple(a for a, _ in pairs),
                          tuple(b for _, b in pairs), tuple(module.dilation), self.groups)

    def channel_axis(self, output: Array) -> int:
        """The axis of the channels of an output."""
        return output.ndim - len(self.module.kernel_size) - 1 if self.is_conv else output.ndim - 1


def _most(values: Array, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The largest of `values` and 0, over the axes along which `shape` broadcasts."""
    dims = (1,) * (values.ndim - len(shape)) + shape
    axes = tuple(at for at, n in enumerate(dims) if n == 1)
    return np.asarray(values.max(axis=axes, initial=0), np.float32).reshape(shape)


def warn_of_formats(layers: list[WeightLayer], by_method: Mapping[str, Callable[[WeightLayer], bool]]) -> None:
    """A UserWarning that names the layers that methods skip because of the format of their weights.

    Args:
        by_method: of the names of methods, whether a layer is of a kind that the method treats.
    """
    left = {name: [layer for layer in layers if layer.bits is None and layer.quantizes and not layer.is_shared
                   and treats(layer)] for name, treats in by_method.items()}
    names = [name for name, found in left.items() if found]
    found = {layer.name: layer for each in left.values() for layer in each}
    if not found:
        return
    shown_layers = [f"{name or 'the model'} ({layer.format})" for name, layer in list(found.items())[:3]]
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    warnings.warn(f"The methods {', '.join(map(repr, names))} skip layers whose weights are not symmetric "
                  "integers of 2 to 8 bits with one range, or one for each output channel or group of inputs: "
                  f"{', '.join(shown_layers)}{more}", UserWarning, stacklevel=3)


def weight_layers(model: Any) -> list[WeightLayer]:
    """The layers of a model with a weight of their own and quantisers, by their order in it.

    ValueError if there is none, or one is frozen.
    """
    modules = list(model.named_modules())
    owners: dict[int, int] = {}
    for _, module in modules:
        weight = module._parameters.get("weight")
        if weight is not None:
            owners[id(weight)] = owners.get(id(weight), 0) + 1
    found = []
    for name, module in modules:
        if not hasattr(module, "_weight_quantizer") or not hasattr(module, "_input_quantizer"):
            continue
        if is_frozen(module):
            raise ValueError(f"Expected `model` without frozen layers, got one at {shown(name)}: improve the model "
                             "before it is frozen")
        weight = module._parameters.get("weight")
        if weight is not None:
            found.append(WeightLayer(name, module, owners[id(weight)] > 1))
    if not found:
        raise ValueError("Expected `model` to have quantised layers with weights, got none: call pq.replace(model) "
                         "first")
    return found


@contextmanager
def watched(layers: list[WeightLayer], observe: Callable[[WeightLayer, Any, Callable[[], Any]], Any]) -> Iterator[None]:
    """Inside the block each layer's call goes through `observe`, with the layer, its input, and the call itself."""
    def wrapper(layer: WeightLayer, forward: Any) -> Any:
        def call(input: Any, *args: Any, **kwargs: Any) -> Any:
            return observe(layer, input, lambda: forward(input, *args, **kwargs))
        return call

    before = [(vars(layer.module), vars(layer.module).get("forward")) for layer in layers]
    try:
        for layer in layers:
            vars(layer.module)["forward"] = wrapper(layer, layer.module.forward)
        yield
    finally:
        for attributes, forward in before:
            attributes.pop("forward", None)
            if forward is not None:
                attributes["forward"] = forward
