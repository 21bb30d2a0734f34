"""LSTM and LSTMCell."""
from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .._core.errors import shown
from . import functional as F
from . import init
from .checks import Array, ShapeError, factory, float_array, integer, same_floats
from .functional.recurrent import State, Step, lstm_gates, stack_layers
from .module import Module
from .parameter import Parameter, as_plain
from .utils.rnn import PackedSequence

__all__ = ["LSTM", "LSTMCell"]


class LSTM(Module):
    """A stack of long short-term memory layers.

    Args:
        input_size: numbers at each moment.
        hidden_size: numbers in the state.
        num_layers: layers, each fed with the outputs of the one before.
        bias: learn biases.
        batch_first: batched input and output are (N, T, ...) instead of (T, N, ...).
        dropout: probability with which outputs of all layers but the last are zeroed while training.
        bidirectional: each layer runs in both directions of time, and its outputs are joined.
        proj_size: if not 0, hidden states are projected to this size.
        device: None or "cpu".
        dtype: type of the parameters, float32 by default.

    Parameters are `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0` and so on, with `_reverse` for the other
    direction; rows are in the order input, forget, cell and output gate. All start uniform on +-1 / sqrt(hidden_size).
    """

    mode = "LSTM"

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0,
                 device: Any = None, dtype: DTypeLike | None = None) -> None:
        super().__init__()
        for name, value in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            setattr(self, name, integer(value, name, 1))
        if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
            raise ValueError(f"dropout should be a number in range [0, 1], got {shown(dropout)}")
        if dropout > 0 and num_layers == 1:
            warnings.warn("dropout acts between layers, so non-zero dropout expects num_layers greater than 1, "
                          f"but got dropout={dropout} and num_layers=1", UserWarning, stacklevel=2)
        if integer(proj_size, "proj_size", 0) >= hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self._all_weights: list[list[str]] = []
        for index in range(num_layers * self._directions):
            self._add_layer(index, factory(device, dtype))
        self.reset_parameters()

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _output_size(self) -> int:
        return int(self.proj_size or self.hidden_size)

    def _add_layer(self, index: int, dtype: np.dtype[Any]) -> None:
        layer, reverse = divmod(index, self._directions)
        size, rows = self.input_size if layer == 0 else self._output_size * self._directions, 4 * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, size), "weight_hh": (rows, self._output_size)}
        if self.bias:
            shapes.update(bias_ih=(rows,), bias_hh=(rows,))
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        names = {f"{name}_l{layer}" + ("_reverse" if reverse else ""): shape for name, shape in shapes.items()}
        for name, shape in names.items():
            self.register_parameter(name, Parameter(np.empty(shape, dtype)))
        self._all_weights.append(list(names))

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction, in the order of the docstring."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Does nothing: it is for GPUs."""

    def _layer(self, index: int, inputs: Array) -> tuple[Array, Step]:
        """What layer `index` (counting directions) is fed with at each moment, and its step; see `stack_layers`.

        Override it to change the arithmetic of a step.
        """
        weights = dict(zip(self._all_weights[index], self.all_weights[index], strict=True))
        by_kind = {name.rsplit("_l", 1)[0]: np.asarray(as_plain(value)).astype(inputs.dtype, copy=False)
                   for name, value in weights.items()}
        bias = by_kind["bias_ih"] + by_kind["bias_hh"] if self.bias else None
        recurrent, projection = by_kind["weight_hh"].T, by_kind.get("weight_hr")

        def step(gates: Array, state: State) -> State:
            hidden, cell = lstm_gates(gates + state[0] @ recurrent, state[1])
            return (hidden if projection is None else hidden @ projection.T), cell

        return F.linear(inputs, by_kind["weight_ih"], bias), step

    def _initial(self, hx: Any, batch: int, dtype: np.dtype[Any], single: bool) -> State:
        """The checked states (layers * directions, batch, size); zeros if `hx` is None."""
        count = self.num_layers * self._directions
        shapes = (count, batch, self._output_size), (count, batch, self.hidden_size)
        if hx is None:
            return np.zeros(shapes[0], dtype), np.zeros(shapes[1], dtype)
        if not isinstance(hx, tuple | list) or len(hx) != 2:
            raise TypeError(f"Expected `hx` to be a pair (h_0, c_0), got {type(hx).__name__}")
        states = [float_array(each, f"hx[{number}]") for number, each in enumerate(hx)]
        for number, (state, shape) in enumerate(zip(states, shapes, strict=True)):
            wanted = (shape[0], shape[2]) if single else shape
            if state.shape != wanted:
                raise ShapeError(f"Expected hidden[{number}] size {wanted}, got {state.shape}")
        h, c = (state.reshape(shape).astype(dtype) for state, shape in zip(states, shapes, strict=True))
        return h, c

    def _weight_type(self) -> np.dtype[Any]:
        weight: Parameter = getattr(self, self._all_weights[0][0])
        return weight.dtype

    def _opened(self, input: ArrayLike) -> tuple[Array, np.dtype[Any]]:
        """The checked input in the type to work in, and the type of the result."""
        given = float_array(input, "input")
        if given.ndim == 0 or given.shape[-1] != self.input_size:
            raise ShapeError(f"input.size(-1) must be equal to input_size. Expected {self.input_size}, "
                             f"got shape {given.shape}")
        (x, _), dtype = same_floats(input=given, weight=np.empty(0, self._weight_type()))
        return x, dtype

    def _packed(self, input: Any, hx: Any) -> tuple[PackedSequence, State]:
        """Forward of (data, batch_sizes[, sorted_indices, unsorted_indices])."""
        packed = PackedSequence(*input)
        x, dtype = self._opened(packed.data)
        sizes = np.asarray(packed.batch_sizes)
        falling = sizes.ndim == 1 and len(sizes) > 0 and sizes[-1] > 0 and not (np.diff(sizes) > 0).any()
        if x.ndim != 2 or not falling or int(sizes.sum()) != len(x):
            raise ShapeError("Expected packed data (sum of batch_sizes, input_size) with batch_sizes that never grow, "
                             f"got shape {x.shape} and {sizes.tolist()}")
        state = self._initial(hx, int(sizes[0]), x.dtype, False)
        if packed.sorted_indices is not None:
            state = state[0][:, packed.sorted_indices], state[1][:, packed.sorted_indices]
        y, (h, c) = stack_layers(self._layer, x, state, self.bidirectional, sizes.tolist(), self.dropout, self.training)
        if packed.unsorted_indices is not None:
            h, c = h[:, packed.unsorted_indices], c[:, packed.unsorted_indices]
        h, c = h.astype(dtype, copy=False), c.astype(dtype, copy=False)
        return packed._replace(data=y.astype(dtype, copy=False)), (h, c)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, State]:
        """Runs over a whole sequence.

        Args:
            input: (T, input_size), (T, N, input_size) (or (N, T, input_size) if batch_first), or a packed sequence:
                `utils.rnn.PackedSequence` or a tuple (data, batch_sizes).
            hx: initial (hidden, cell), (layers * directions, N, size) each, without N for unbatched input; zeros.

        Returns:
            Outputs of the last layer at all moments, laid out as the input, and the last (hidden, cell).
        """
        if isinstance(input, tuple):
            return self._packed(input, hx)
        shape = np.shape(as_plain(input))
        if len(shape) not in (2, 3):
            raise ShapeError(f"LSTM: Expected input to be 2D or 3D, got {len(shape)}D instead")
        x, dtype = self._opened(input)
        single, swap = x.ndim == 2, x.ndim == 3 and self.batch_first
        x = x[:, None] if single else x.swapaxes(0, 1) if swap else x
        if len(x) == 0:
            raise ShapeError("Expected sequence length to be larger than 0 in RNN")
        state = self._initial(hx, x.shape[1], x.dtype, single)
        y, (h, c) = stack_layers(self._layer, x, state, self.bidirectional, None, self.dropout, self.training)
        y = y[:, 0] if single else y.swapaxes(0, 1) if swap else y
        h, c = (each[:, 0] if single else each for each in (h, c))
        return y.astype(dtype, copy=False), (h.astype(dtype, copy=False), c.astype(dtype, copy=False))

    def extra_repr(self) -> str:
        """As torch prints it."""
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0,
                    "bidirectional": False}
        for name, default in defaults.items():
            value = getattr(self, name)
            if value != default:
                text += f", {name}={value}"
        return text


class LSTMCell(Module):
    """One step of an LSTM.

    Args:
        input_size, hidden_size: numbers in the input and in the state.
        bias: learn biases.
        device: None or "cpu".
        dtype: type of the parameters, float32 by default.
    """

    weight_ih: Parameter
    weight_hh: Parameter
    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None,
                 dtype: DTypeLike | None = None) -> None:
        super().__init__()
        self.input_size, self.hidden_size = integer(input_size, "input_size", 0), integer(hidden_size, "hidden_size", 1)
        self.bias = bias
        kind, rows = factory(device, dtype), 4 * hidden_size
        self.weight_ih = Parameter(np.empty((rows, input_size), kind))
        self.weight_hh = Parameter(np.empty((rows, hidden_size), kind))
        self.register_parameter("bias_ih", Parameter(np.empty(rows, kind)) if bias else None)
        self.register_parameter("bias_hh", Parameter(np.empty(rows, kind)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _opened(self, input: ArrayLike, hx: Any) -> tuple[Array, State, bool]:
        """The checked input and state, all with a batch dimension, and whether that was missing."""
        x = float_array(input, "input")
        if x.ndim not in (1, 2):
            raise ShapeError(f"LSTMCell: Expected input to be 1D or 2D, got {x.ndim}D instead")
        single = x.ndim == 1
        x = x[None] if single else x
        if x.shape[1] != self.input_size:
            raise ShapeError(f"input has inconsistent input_size: got {x.shape[1]} expected {self.input_size}")
        shape = (len(x), self.hidden_size)
        if hx is None:
            return x, (np.zeros(shape, x.dtype), np.zeros(shape, x.dtype)), single
        if not isinstance(hx, tuple | list) or len(hx) != 2:
            raise TypeError(f"Expected `hx` to be a pair (h_0, c_0), got {type(hx).__name__}")
        h, c = float_array(hx[0], "hx[0]"), float_array(hx[1], "hx[1]")
        for number, state in enumerate((h, c)):
            if state.shape != (shape[1:] if single else shape):
                raise ShapeError(f"Expected hx[{number}] of shape {shape[1:] if single else shape}, got {state.shape}")
        return x, (h.reshape(shape), c.reshape(shape)), single

    def forward(self, input: ArrayLike, hx: Any = None) -> State:
        """(N, input_size) and (hidden, cell) of (N, hidden_size), or all without N, to the new (hidden, cell)."""
        x, state, single = self._opened(input, hx)
        h, c = F.lstm_cell(x, state, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return (h[0], c[0]) if single else (h, c)

    def extra_repr(self) -> str:
        """As torch prints it."""
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else f", bias={self.bias}")
