"""The recurrent layers' constructors, checks and traversal, for any host. The arithmetic is in `rnn_rules`."""
from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from .errors import DTypeError, ShapeError, is_raised_in_python, shown
from .host import A
from .layer_rules import QuantRules, pop_quant_desc_in_kwargs
from .rnn_rules import CELLS, GATES, ArrayOps, Direction, Quantizer, State, run_layers

__all__ = ["CellRules", "RecurrentHost", "RecurrentRules"]

PROJECTION = "_state_quantizers", "_projection_quantizers"  # lists of layers with projections
SETTINGS = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0, "bidirectional": False}

R = TypeVar("R", bound="RecurrentRules[Any]")
C = TypeVar("C", bound="CellRules[Any]")


def size_of(value: object, name: str, least: int = 1) -> int:
    """`value` as an integer of at least `least`. TypeError, ShapeError naming the argument otherwise."""
    try:
        size = operator.index(value)  # type: ignore[arg-type]  # which it is asked
    except TypeError as error:
        if is_raised_in_python(error):
            raise
        raise TypeError(f"Expected `{name}` to be an integer, got {shown(value)}") from None
    if isinstance(value, bool) or size < least:
        raise ShapeError(f"Expected `{name}` >= {least}, got {shown(value)}")
    return size


def check_dropout(dropout: object, num_layers: int) -> None:
    """ValueError unless `dropout` is a probability; a warning where it would have no effect."""
    if isinstance(dropout, bool) or not isinstance(dropout, int | float | np.number) or not 0 <= dropout <= 1:
        raise ValueError("Expected `dropout` to be a number in [0, 1], the probability of zeroing, got "
                         f"{shown(dropout)}")
    if dropout > 0 and num_layers == 1:
        warnings.warn(f"dropout acts between recurrent layers: dropout={dropout} does nothing with num_layers=1",
                      UserWarning, stacklevel=4)


def projection_size(mode: str, value: object, hidden_size: int) -> int:
    """`value` as the size of an LSTM's projections, 0: none. TypeError, ValueError naming the argument otherwise."""
    size = size_of(value, "proj_size", 0)
    if size and mode != "LSTM":
        raise ValueError(f"Expected `proj_size` 0 of other layers than an LSTM, got {shown(value)}")
    if size >= hidden_size:
        raise ValueError(f"Expected `proj_size` < hidden_size {hidden_size}, got {shown(value)}")
    return size


def elman_mode(nonlinearity: object) -> str:
    """The mode of an Elman network. ValueError for any other nonlinearity than "tanh" and "relu"."""
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"Unknown nonlinearity {shown(nonlinearity)}, expected 'tanh' or 'relu'")
    return f"RNN_{nonlinearity.upper()}"


class RecurrentHost(QuantRules, Generic[A]):
    """What a front defines for its recurrent layers and cells."""

    _ops: ArrayOps[A]

    if TYPE_CHECKING:
        _input_quantizers: Sequence[Quantizer[A]]
        _weight_quantizers: Sequence[Quantizer[A]]

        def _as_array(self, value: object, name: str) -> A:
            """An argument as the front's array. TypeError naming it if it is none."""
            ...

        def _new_parameter(self, shape: tuple[int, ...]) -> Any:
            """The front's parameter of this shape, of float32, not yet filled."""
            ...

        def _fill_uniform(self, parameter: Any, bound: float) -> None:
            """Draws a parameter from the uniform distribution of +-bound."""
            ...

        def _packed(self, output: A, like: object) -> Any:
            """Packed outputs, as the packed input came."""
            ...


class RecurrentRules(RecurrentHost[A]):
    """Layers of recurrent cells over sequences."""

    proj_size: int = 0      # which objects pickled by the original lack

    def __init__(self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
                 batch_first: bool = False, dropout: float = 0, bidirectional: bool = False, proj_size: int = 0,
                 **kwargs: Any) -> None:
        super().__init__()
        if mode not in CELLS:
            raise ValueError(f"Expected `mode` to be one of {', '.join(CELLS)}, got {shown(mode)}")
        input_size, hidden_size = size_of(input_size, "input_size"), size_of(hidden_size, "hidden_size")
        num_layers = size_of(num_layers, "num_layers")
        check_dropout(dropout, num_layers)
        proj_size = projection_size(mode, proj_size, hidden_size)
        self.mode, self.input_size, self.hidden_size, self.num_layers = mode, input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, dropout
        self.bidirectional, self.proj_size = bidirectional, proj_size
        rows, directions = GATES[mode] * hidden_size, 1 + bool(bidirectional)
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            inputs = self._state_size * directions if layer else input_size
            shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, inputs), "weight_hh": (rows, self._state_size)}
            if bias:
                shapes.update(bias_ih=(rows,), bias_hh=(rows,))
            if proj_size:
                shapes["weight_hr"] = (proj_size, hidden_size)
            for suffix in ("", "_reverse")[:directions]:
                names = {f"{name}_l{layer}{suffix}": shape for name, shape in shapes.items()}
                for name, shape in names.items():
                    setattr(self, name, self._new_parameter(shape))
                self._all_weights.append(list(names))
        self.reset_parameters()
        descriptors = pop_quant_desc_in_kwargs(type(self), **kwargs)
        self.init_quantizer(descriptors[0], descriptors[1], num_layers=num_layers * directions)
        if proj_size:
            for name, descriptor in zip(PROJECTION, descriptors, strict=True):
                setattr(self, name, self._new_list([self._new_quantizer(descriptor) for _ in self._all_weights]))

    @property
    def _state_size(self) -> int:
        """Numbers of a hidden state."""
        return self.proj_size or self.hidden_size

    @classmethod
    def from_float(cls: type[R], module: Any, **kwargs: Any) -> R:
        """A quantised layer in the place of the float layer `module`, with its parameters (shared) and its mode."""
        check_float(cls, module, ("input_size", "hidden_size", *SETTINGS))
        settings = {name: getattr(module, name) for name in SETTINGS}
        made: R = cls(module.input_size, module.hidden_size, **settings, **kwargs,
                      proj_size=getattr(module, "proj_size", 0))
        take_over(made, module)
        return made

    def reset_parameters(self) -> None:
        """Draws all parameters from the uniform distribution of +-1 / sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters(recurse=False):
            self._fill_uniform(parameter, bound)

    def flatten_parameters(self) -> None:
        """Does nothing: parameters have only one memory layout here. Kept for code written for GPUs."""

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters of each direction of each layer."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def check_forward_args(self, input: A, hidden: Any, batch_sizes: Sequence[Any] | None) -> None:
        """ShapeError unless the input (packed if there are `batch_sizes`) and the initial states fit."""
        rank = 3 if batch_sizes is None else 2
        if len(input.shape) != rank:
            raise ShapeError(f"input must have {rank} dimensions, got {len(input.shape)}")
        if input.shape[-1] != self.input_size:
            raise ShapeError("input.size(-1) must be equal to input_size. "
                               f"Expected {self.input_size}, got {input.shape[-1]}")
        batch = input.shape[0 if self.batch_first else 1] if batch_sizes is None else int(batch_sizes[0])
        for number, part in enumerate(hidden if self.mode == "LSTM" else (hidden,)):
            expected = (len(self._all_weights), batch, self.hidden_size if number else self._state_size)
            if tuple(part.shape) != expected:
                name = f"hidden[{number}]" if self.mode == "LSTM" else "hidden"
                raise ShapeError(f"Expected {name} size {expected}, got {tuple(part.shape)}")

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """Runs over sequences.

        Args:
            input: (time, batch, inputs), or (batch, time, inputs) if `batch_first`; or sequences of unequal lengths,
                longest first, packed: a tuple of data (sum of batch_sizes, inputs) and batch_sizes.
                If the tuple says in `sorted_indices` and `unsorted_indices` how they were sorted, states are not.
            hx: initial states (layers * directions, batch, hidden): (h, c) for an LSTM, else h, which is as wide as the
                projections where there are any. Zeros if None.

        Returns:
            The outputs of the last layer (time, batch, directions * hidden, or of projections), or packed as the input
            is; and the final states as `hx`.
        """
        if isinstance(input, tuple):
            return self._forward_packed(input, hx)
        data = self._as_array(input, "input")
        initial = self._initial(data, hx, None)
        steps = data.swapaxes(0, 1) if self.batch_first else data
        time, batch = steps.shape[:2]
        output, final = self._run(steps.reshape((time * batch, self.input_size)), [batch] * time, initial)
        output = output.reshape((time, batch, output.shape[-1]))
        return (output.swapaxes(0, 1) if self.batch_first else output), self._hidden(final)

    def _forward_packed(self, input: Sequence[Any], hx: object) -> tuple[Any, Any]:
        if len(input) < 2:
            raise TypeError(f"Expected a packed `input` to be (data, batch_sizes), got a tuple of {len(input)}")
        data = self._as_array(input[0], "input")
        order, back = getattr(input, "sorted_indices", None), getattr(input, "unsorted_indices", None)
        initial = self._initial(data, hx, input[1])
        if order is not None:
            initial = tuple(part[:, order] for part in initial)
        output, final = self._run(data, check_sizes(input[1], data.shape[0]), initial)
        if order is not None:
            final = tuple(part[:, back] for part in final)
        return self._packed(output, input), self._hidden(final)

    def _initial(self, data: A, hx: object, sizes: Sequence[Any] | None) -> State[A]:
        """The initial states, (h, c) or (h,), whose shapes fit the data."""
        parts = 2 if self.mode == "LSTM" else 1
        if hx is None:
            side = 0 if self.batch_first or len(data.shape) < 2 else 1
            batch = data.shape[side] if sizes is None else int(sizes[0]) if len(sizes) else 0
            initial = tuple(self._ops.zeros(data, (len(self._all_weights), batch, size))
                            for size in (self._state_size, self.hidden_size)[:parts])
        else:
            initial = states_of(self, hx if parts == 2 else (hx,), parts, data)
        self.check_forward_args(data, initial if parts == 2 else initial[0], sizes)
        return initial

    def _hidden(self, states: State[A]) -> State[A] | A:
        return states if self.mode == "LSTM" else states[0]

    def _run(self, packed: A, batch_sizes: Sequence[int], initial: State[A]) -> tuple[A, State[A]]:
        """Packed outputs and final states (layers * directions, batch, hidden)."""
        if not batch_sizes:
            raise ShapeError("Expected sequence length to be larger than 0 in RNN")
        rate = float(self.dropout) if self.training else 0.0
        output, finals = run_layers(self.mode, self._ops, self._layers(), packed, batch_sizes, initial, rate,
                                    self._whole_layer)
        return output, tuple(self._ops.cat(list(parts), 0).reshape((len(finals), *parts[0].shape))
                             for parts in zip(*finals, strict=True))

    def _whole_layer(self, directions: Sequence[Direction[A]], x: A, batch_sizes: Sequence[int],
                     states: Sequence[State[A]]) -> tuple[A, list[State[A]]] | None:
        """A whole layer at once; None if the host cannot do that."""
        return None

    def _layers(self) -> list[list[Direction[A]]]:
        directions = []
        for index, names in enumerate(self._all_weights):
            own = {name.rsplit("_l", 1)[0]: getattr(self, name) for name in names}
            projection = {"state_quantizer": getattr(self, PROJECTION[0])[index],
                          "projection_quantizer": getattr(self, PROJECTION[1])[index]} if self.proj_size else {}
            directions.append(Direction(**own, input_quantizer=self._input_quantizers[index],
                                        weight_quantizer=self._weight_quantizers[index], **projection))
        each = 1 + bool(self.bidirectional)
        return [directions[start:start + each] for start in range(0, len(directions), each)]

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        settings = {"proj_size": 0, **SETTINGS}
        changed = [f"{name}={getattr(self, name)}" for name, usual in settings.items() if getattr(self, name) != usual]
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *changed])


def states_of(layer: RecurrentHost[A], hx: object, parts: int, data: A) -> State[A]:
    """The given states as arrays. TypeError, DTypeError, ShapeError if they are not a pair, or of another type."""
    if not isinstance(hx, tuple | list):
        raise TypeError(f"Expected `hx` to be a pair of arrays (h, c), got {type(hx).__name__}")
    if len(hx) != parts:
        raise ShapeError(f"Expected `hx` to be a pair of arrays (h, c), got {len(hx)}")
    states = tuple(layer._as_array(part, "hx") for part in hx)
    for state in states:
        if isinstance(state, np.ndarray) and isinstance(data, np.ndarray) and state.dtype != data.dtype:
            raise DTypeError(f"Expected `hx` of type {data.dtype} as `input`, got {state.dtype}")  # torch promotes
    return states


def check_sizes(batch_sizes: Iterable[Any], rows: int) -> list[int]:
    """The batch sizes as integers. ValueError unless they fall, end above 0 and add up to the rows of the data."""
    try:
        sizes = list(map(operator.index, batch_sizes))
    except TypeError as error:
        if is_raised_in_python(error):
            raise
        raise TypeError(f"Expected `batch_sizes` to be integers, got {shown(batch_sizes)}") from None
    if any(later > earlier for earlier, later in pairwise(sizes)) or (sizes and sizes[-1] < 1) or sum(sizes) != rows:
        raise ValueError(f"Expected `batch_sizes` > 0 that never grow and add up to the {rows} rows of the data, "
                         f"got {sizes}")
    return sizes


def check_float(cls: type, module: object, settings: tuple[str, ...]) -> None:
    """TypeError unless `module` has these settings of a float layer."""
    if not all(hasattr(module, name) for name in settings):
        raise TypeError(f"Expected `module` to be the float layer of {cls.__name__}, got {type(module).__name__}")


def take_over(made: Any, module: Any) -> None:
    """Puts the parameters of a float layer, and its mode, into the quantised one."""
    for name in made._parameters:
        made._parameters[name] = module._parameters[name]
    made.training = module.training
    for quantizer in made.modules():
        quantizer.training = module.training


class CellRules(RecurrentHost[A]):
    """One step of a recurrent layer."""

    weight_ih: A
    weight_hh: A
    bias_ih: A | None
    bias_hh: A | None

    def _make_parameters(self, mode: str, input_size: int, hidden_size: int, bias: bool) -> None:
        input_size, hidden_size = size_of(input_size, "input_size"), size_of(hidden_size, "hidden_size")
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        self._mode, rows = mode, GATES[mode] * hidden_size
        for name, shape in (("weight_ih", (rows, input_size)), ("weight_hh", (rows, hidden_size)),
                            ("bias_ih", (rows,)), ("bias_hh", (rows,))):
            if bias or not name.startswith("bias"):
                setattr(self, name, self._new_parameter(shape))
            else:
                self.register_parameter(name, None)
        self.reset_parameters()

    @classmethod
    def from_float(cls: type[C], module: Any, **kwargs: Any) -> C:
        """A quantised cell in the place of the float cell `module`, with its parameters (shared) and its mode."""
        check_float(cls, module, ("input_size", "hidden_size", "bias"))
        made: C = cls(module.input_size, module.hidden_size, module.bias, **kwargs)
        take_over(made, module)
        return made

    def reset_parameters(self) -> None:
        """Draws all parameters from the uniform distribution of +-1 / sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters(recurse=False):
            self._fill_uniform(parameter, bound)

    def check_forward_input(self, input: A) -> None:
        """ShapeError unless the input is (batch, input_size)."""
        if len(input.shape) != 2 or input.shape[1] != self.input_size:
            raise ShapeError(f"input has inconsistent input_size: got shape {tuple(input.shape)}, "
                               f"expected (batch, {self.input_size})")

    def check_forward_hidden(self, input: A, hx: A, hidden_label: str = "") -> None:
        """ShapeError unless the state `hx` is (batch of the input, hidden_size)."""
        expected = (input.shape[0], self.hidden_size)
        if tuple(hx.shape) != expected:
            raise ShapeError(f"hidden{str(hidden_label):.20} has inconsistent shape: got {tuple(hx.shape)}, "
                               f"expected {expected}")

    def _step(self, input: object, hx: Sequence[Any] | None, input_quantizer: Quantizer[A] | None = None,
              weight_quantizer: Quantizer[A] | None = None) -> State[A]:
        x = self._as_array(input, "input")
        self.check_forward_input(x)
        parts = 2 if self._mode == "LSTM" else 1
        state = ((self._ops.zeros(x, (x.shape[0], self.hidden_size)),) * parts if hx is None
                 else states_of(self, hx, parts, x))
        for number, part in enumerate(state):
            self.check_forward_hidden(x, part, f"[{number}]" if parts == 2 else "")
        direction = Direction(self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, input_quantizer,
                              weight_quantizer)
        return CELLS[self._mode](self._ops, direction)(x, state)

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        nonlinearity = getattr(self, "nonlinearity", "tanh")
        if nonlinearity != "tanh":
            text += f", nonlinearity={nonlinearity}"
        return text
