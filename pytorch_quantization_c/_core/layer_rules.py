"""What a quantised layer does besides its arithmetic, for any host: default descriptors, quantisers, conversion.

A host's layer puts one of these classes before its float layer: `class QuantLinear(LinearRules, QuantMixin, Linear)`.
"""
from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from .descriptor import QUANT_DESC_8BIT_PER_TENSOR, ScaledQuantDescriptor
from .host import A, HostModule
from .lazy_logger import get_logger

__all__ = ["ConvRules", "ConvTransposeRules", "LinearRules", "QuantInputRules", "QuantRules", "QuantWeightRules",
           "pop_quant_desc_in_kwargs"]

logger = get_logger(__name__)

L = TypeVar("L", bound="Quantizing")
Sizes = int | Sequence[int]


def pop_quant_desc_in_kwargs(quant_cls: Any, input_only: bool = False, **kwargs: Any) -> Any:
    """The descriptors among the keyword arguments of a quantised layer, or else the defaults of its class.

    Args:
        quant_cls: class with `default_quant_desc_input` and, unless `input_only`, `default_quant_desc_weight`.
        input_only: the layer has no weight to quantise.
        **kwargs: `quant_desc_input`, `quant_desc_weight`.

    Returns:
        The descriptor of the input if `input_only`, else those of input and weight.

    Raises:
        TypeError: any other keyword argument, or something that is no descriptor.
    """
    names = ["quant_desc_input"] if input_only else ["quant_desc_input", "quant_desc_weight"]
    found = [kwargs.pop(name, getattr(quant_cls, "default_" + name)) for name in names]
    if kwargs:
        raise TypeError(f"Unused keys: {', '.join(kwargs)}; {quant_cls.__name__} knows {' and '.join(names)}")
    for name, descriptor in zip(names, found, strict=True):
        if not isinstance(descriptor, ScaledQuantDescriptor):
            raise TypeError(f"Expected `{name}` to be a QuantDescriptor, got {type(descriptor).__name__}")
    return found[0] if input_only else tuple(found)


def own_copy(name: str, value: object) -> ScaledQuantDescriptor:
    """A copy of a descriptor that is to become a default. ValueError if it is none."""
    if not isinstance(value, ScaledQuantDescriptor):
        raise ValueError(f"Expected {name} to be an instance of QuantDescriptor, got {type(value).__name__}")
    return copy.deepcopy(value)


def check_caller(caller: str) -> None:
    """Quantisers are children of a layer: they are made while it is constructed, not later."""
    if caller != "__init__":
        raise TypeError(f"Expected init_quantizer to be called by __init__ of a quantised layer, not by {caller}")


def check_fake(*descriptors: ScaledQuantDescriptor) -> None:
    """A layer computes with numbers that were quantised and come back as floats."""
    if not all(descriptor.fake_quant for descriptor in descriptors):
        raise ValueError("Only fake quantization is supported!")


def is_pointwise(layer: Any) -> bool:
    """Whether a layer multiplies each pixel's channels by a matrix: blocks of its weight are of input channels."""
    kernel = getattr(layer, "kernel_size", None)
    return isinstance(kernel, tuple) and set(kernel) == {1} and layer.groups == 1 and \
        not isinstance(layer, ConvTransposeRules)


def check_kernel(layer: object, descriptor: ScaledQuantDescriptor) -> None:
    """ValueError for blocks longer than the kernel's last axis: each would be that whole axis."""
    blocks, kernel = descriptor.blocks, getattr(layer, "kernel_size", None)
    if blocks is None or not isinstance(kernel, tuple) or not kernel or kernel[-1] >= blocks.size:
        return
    if is_pointwise(layer):
        return
    raise ValueError(f"Expected `quant_desc_weight` of a {type(layer).__name__} without `block_sizes`, or with blocks "
                     f"that fit into the last axis of its kernel {kernel}, along which they lie, got blocks of "
                     f"{blocks.size}: use one amax for each output channel, or leave the layer out; kernels of ones, "
                     "without groups, have blocks of input channels")


class Quantizing(HostModule):
    """What both mixins share. The host says how a quantiser and a list of modules are made."""

    default_quant_desc_input: ClassVar[ScaledQuantDescriptor] = QUANT_DESC_8BIT_PER_TENSOR

    #: The float layer that this one replaces, if it does not inherit from it.
    _float_class: ClassVar[Any] = None

    _input_quantizer: Any

    #: The host's TensorQuantizer and ModuleList.
    _new_quantizer: ClassVar[Any]
    _new_list: ClassVar[Any]

    @classmethod
    def set_default_quant_desc_input(cls, value: ScaledQuantDescriptor) -> None:
        """Layers of this class made from now on quantise their input by a copy of `value`. ValueError otherwise."""
        cls.default_quant_desc_input = own_copy("the default descriptor of inputs", value)

    @classmethod
    def from_float(cls: type[L], module: Any, **kwargs: Any) -> L:
        """A quantised layer in the place of the float layer `module`: same settings, mode and hooks, shared arrays.

        Args:
            module: a layer of a class that this one inherits from.
            **kwargs: `quant_desc_input`, `quant_desc_weight`; the defaults of the class else.
        """
        if not issubclass(cls, type(module)) and cls._float_class is not type(module):
            raise TypeError(f"Expected `module` to be of a class that {cls.__name__} inherits from, "
                            f"got {type(module).__name__}")
        made = cls.__new__(cls)
        made.__dict__.update({name: copy.copy(value) if isinstance(value, dict | set | list) else value
                              for name, value in vars(module).items()})
        made._make_quantizers(**kwargs)
        made.train(module.training)
        return made

    def _make_quantizers(self, **kwargs: Any) -> None:
        """The quantisers by the keyword arguments of a constructor."""
        raise TypeError(f"Expected {type(self).__name__} to inherit from QuantMixin or QuantInputMixin")

    @property
    def input_quantizer(self) -> Any:
        """The TensorQuantizer of the input."""
        return self._input_quantizer

    def _log(self, what: str, descriptor: ScaledQuantDescriptor) -> None:
        logger.info("%s of %s is fake quantised to %s bits with axis %s", what, type(self).__name__,
                    descriptor.num_bits, descriptor.axis)


class QuantInputRules(Quantizing):
    """A layer that quantises its input."""

    def init_quantizer(self, quant_desc_input: ScaledQuantDescriptor) -> None:
        """Makes `input_quantizer`. To be called by `__init__` of the layer, after that of the float layer.

        TypeError if called by anything else, ValueError for a descriptor of real quantisation.
        """
        check_caller(sys._getframe(1).f_code.co_name)
        self._add_quantizer(quant_desc_input)

    def _make_quantizers(self, **kwargs: Any) -> None:
        self._add_quantizer(pop_quant_desc_in_kwargs(type(self), input_only=True, **kwargs))

    def _add_quantizer(self, quant_desc_input: ScaledQuantDescriptor) -> None:
        check_fake(quant_desc_input)
        self._fake_quant = True
        self._log("Input", quant_desc_input)
        self._input_quantizer = self._new_quantizer(quant_desc_input)


class QuantRules(Quantizing):
    """A layer that quantises its input and its weight.

    A front puts `IntegerLayer` before it, with the engine that may answer by integer arithmetic.
    """

    default_quant_desc_weight: ClassVar[ScaledQuantDescriptor] = QUANT_DESC_8BIT_PER_TENSOR

    @classmethod
    def set_default_quant_desc_weight(cls, value: ScaledQuantDescriptor) -> None:
        """Layers of this class made from now on quantise their weight by a copy of `value`. ValueError otherwise."""
        cls.default_quant_desc_weight = own_copy("the default descriptor of weights", value)

    @property
    def weight_quantizer(self) -> Any:
        """The TensorQuantizer of the weight."""
        return self._weight_quantizer

    def init_quantizer(self, quant_desc_input: ScaledQuantDescriptor, quant_desc_weight: ScaledQuantDescriptor,
                       num_layers: int | None = None) -> None:
        """Makes the quantisers. To be called by `__init__` of the layer, after that of the float layer.

        Args:
            quant_desc_input, quant_desc_weight: descriptors of fake quantisation, else ValueError.
            num_layers: the length of `_input_quantizers` and `_weight_quantizers`, lists that recurrent layers need.

        Raises:
            TypeError: it is called by anything but `__init__`.
        """
        check_caller(sys._getframe(1).f_code.co_name)
        self._add_quantizers(quant_desc_input, quant_desc_weight, num_layers)

    def _make_quantizers(self, **kwargs: Any) -> None:
        self._add_quantizers(*pop_quant_desc_in_kwargs(type(self), **kwargs))

    def _add_quantizers(self, quant_desc_input: ScaledQuantDescriptor, quant_desc_weight: ScaledQuantDescriptor,
                        num_layers: int | None = None) -> None:
        check_fake(quant_desc_input, quant_desc_weight)
        check_kernel(self, quant_desc_weight)
        self._fake_quant = True
        self._log("Input", quant_desc_input)
        self._log("Weight", quant_desc_weight)
        if num_layers is None:
            self._input_quantizer = self._new_quantizer(quant_desc_input)
            self._weight_quantizer = self._new_quantizer(quant_desc_weight)
        else:
            for kind, descriptor in (("input", quant_desc_input), ("weight", quant_desc_weight)):
                quantizers = [self._new_quantizer(descriptor) for _ in range(num_layers)]
                setattr(self, f"_{kind}_quantizers", self._new_list(quantizers))


class QuantWeightRules(Quantizing):
    """A layer that quantises its weight alone."""

    default_quant_desc_weight: ClassVar[ScaledQuantDescriptor] = QUANT_DESC_8BIT_PER_TENSOR

    set_default_quant_desc_weight = QuantRules.__dict__["set_default_quant_desc_weight"]

    @property
    def input_quantizer(self) -> Any:
        """There is none: AttributeError."""
        raise AttributeError(f"{type(self).__name__} quantises its weight alone")

    @property
    def weight_quantizer(self) -> Any:
        """The TensorQuantizer of the weight."""
        return self._weight_quantizer

    def _make_quantizers(self, **kwargs: Any) -> None:
        descriptor = kwargs.pop("quant_desc_weight", type(self).default_quant_desc_weight)
        if kwargs:
            raise TypeError(f"Unused keys: {', '.join(kwargs)}; {type(self).__name__} knows quant_desc_weight")
        if not isinstance(descriptor, ScaledQuantDescriptor):
            raise TypeError(f"Expected `quant_desc_weight` to be a QuantDescriptor, got {type(descriptor).__name__}")
        check_fake(descriptor)
        self._fake_quant = True
        self._log("Weight", descriptor)
        self._weight_quantizer = self._new_quantizer(descriptor)


class WeightLayerRules(QuantRules, Generic[A]):
    """A layer with input and weight: integer arithmetic if possible, else the float layer on quantised arrays."""

    _engine: Any
    weight: Any
    groups: int

    if TYPE_CHECKING:
        def _quantized_weight(self, input: object) -> A: ...
        def _float_forward(self, input: object) -> A: ...

    def _add_quantizers(self, *args: Any, **kwargs: Any) -> None:
        super()._add_quantizers(*args, **kwargs)
        quantizer = self._weight_quantizer
        quantizer._as_matrix = is_pointwise(self)
        quantizer._channel_groups = self.groups if isinstance(self, ConvTransposeRules) else 1

    def _quant(self, input: object) -> tuple[A, A]:
        """The input and the weight, fake quantised."""
        return self._input_quantizer(input), self._quantized_weight(input)

    def forward(self, input: Any) -> A:
        """The float layer's result for the quantised input and weight; shapes and errors are the float layer's."""
        answer: A | None = self._engine.run(self, input)
        return self._float_forward(input) if answer is None else answer


class LinearRules(WeightLayerRules[A]):
    """`y = quant(x) @ quant(weight).T + bias`."""

    if TYPE_CHECKING:
        def _linear(self, input: A, weight: A) -> A: ...

    def __init__(self, in_features: int, out_features: int, bias: bool = True, **kwargs: Any) -> None:
        if isinstance(bias, ScaledQuantDescriptor):
            raise TypeError("Expected `bias` to be a bool, got a QuantDescriptor: name the argument, "
                            "quant_desc_input=... or quant_desc_weight=...")
        super().__init__(in_features, out_features, bias)
        self.init_quantizer(*pop_quant_desc_in_kwargs(type(self), **kwargs))

    def _float_forward(self, input: object) -> A:
        return self._linear(*self._quant(input))


class ConvRules(WeightLayerRules[A]):
    """Convolution; the quantised input is what is padded."""

    bias: Any

    if TYPE_CHECKING:
        def _conv_forward(self, *args: Any, **kwargs: Any) -> A: ...

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1,
                 padding: Sizes | str = 0, dilation: Sizes = 1, groups: int = 1, bias: bool = True,
                 padding_mode: str = "zeros", **kwargs: Any) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)
        self.init_quantizer(*pop_quant_desc_in_kwargs(type(self), **kwargs))

    def _float_forward(self, input: object) -> A:
        return self._conv_forward(*self._quant(input), self.bias)


class ConvTransposeRules(WeightLayerRules[A]):
    """Transposed convolution, whose weight is (in, out / groups, *kernel): its channels lie on axis 1.

    Groups share the ranges of `axis=1`; with `axis=(0, 1)` each output channel of a group has its own.
    """

    bias: Any

    if TYPE_CHECKING:
        def _conv_forward(self, *args: Any, **kwargs: Any) -> A: ...

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1,
                 padding: Sizes | str = 0, output_padding: Sizes = 0, groups: int = 1, bias: bool = True,
                 dilation: Sizes = 1, padding_mode: str = "zeros", **kwargs: Any) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, output_padding, groups, bias,
                         dilation, padding_mode)
        self.init_quantizer(*pop_quant_desc_in_kwargs(type(self), **kwargs))

    def forward(self, input: Any, output_size: Any = None) -> A:
        """The float layer's result for the quantised input and weight; `output_size` picks among the possible sizes."""
        answer: A | None = self._engine.run(self, input, output_size)
        return self._float_forward(input, output_size) if answer is None else answer

    def _float_forward(self, input: object, output_size: object = None) -> A:
        return self._conv_forward(*self._quant(input), self.bias, output_size)
