"""LSTM and GRU."""
from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .._core.errors import shown
from . import functional as F
from . import init
from .checks import Array, ShapeError, changed_settings, factory, float_array, integer, same_floats
from .functional.recurrent import Remembered, States, Step, gru_gates, lstm_gates, run_in_c, stack_layers
from .module import Module
from .parameter import Parameter, as_plain
from .utils.rnn import PackedSequence

__all__ = ["GRU", "LSTM"]


_KNOWN: WeakKeyDictionary[Module, dict[int, Remembered[Any]]] = WeakKeyDictionary()  # packed weights of the last calls


class _Recurrent(Module):
    """What LSTM and GRU share: `mode` is the kind of cell, `_parts` the arrays of its state."""

    _parts: int

    mode: str

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
    def _gates(self) -> int:
        return 4 if self.mode == "LSTM" else 3

    @property
    def _output_size(self) -> int:
        return int(self.proj_size or self.hidden_size)

    def _add_layer(self, index: int, dtype: np.dtype[Any]) -> None:
        layer, reverse = divmod(index, self._directions)
        size = self.input_size if layer == 0 else self._output_size * self._directions
        rows = self._gates * self.hidden_size
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
        """Reinitialises all parameters."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Does nothing: it is for GPUs."""

    def _weights(self, index: int, dtype: np.dtype[Any]) -> dict[str, Array]:
        """The parameters of layer `index` (counting directions), by kind."""
        names = zip(self._all_weights[index], self.all_weights[index], strict=True)
        return {name.rsplit("_l", 1)[0]: np.asarray(as_plain(value)).astype(dtype, copy=False) for name, value in names}

    @abstractmethod
    def _layer(self, index: int, inputs: Array) -> tuple[Array, Step]:
        """What layer `index` (counting directions) is fed with at each moment, and its step; see `stack_layers`.

        Override it to change the arithmetic of a step.
        """

    def _run(self, x: Array, state: States, batch_sizes: list[int] | None) -> tuple[Array, States]:
        """All layers, of x (T, N, size) or packed: in C where it is float32 and no step is of a class of its own."""
        if x.dtype != np.float32 or not x.size or type(self)._layer not in OWN_STEPS:
            return stack_layers(self._layer, x, state, self.bidirectional, batch_sizes, self.dropout, self.training)
        known, shape = _KNOWN.setdefault(self, {}), x.shape
        rows, last = x.reshape(-1, shape[-1]), []
        for first in range(0, len(state[0]), self._directions):
            rows = F.dropout(rows, self.dropout, self.training) if first else rows
            own = [self._weights(first + d, x.dtype) for d in range(self._directions)]
            rows, final = run_in_c(self.mode, rows, [(each["weight_ih"], each["weight_hh"]) for each in own],
                                   [(each["bias_ih"], each["bias_hh"]) if self.bias else None for each in own],
                                   tuple(part[first:first + self._directions] for part in state), batch_sizes,
                                   known.setdefault(first, Remembered()),
                                   [each["weight_hr"] for each in own] if self.proj_size else [])
            last.append(final)
        y = rows.reshape(*shape[:-1], rows.shape[-1])
        return y, tuple(np.concatenate(parts) for parts in zip(*last, strict=True))

    def _states(self, hx: Any) -> Any:
        """The given states as a tuple or list."""
        if self._parts == 1:
            return (hx,)
        if not isinstance(hx, tuple | list) or len(hx) != 2:
            raise TypeError(f"Expected `hx` to be a pair (h_0, c_0), got {type(hx).__name__}")
        return hx

    def _initial(self, hx: Any, batch: int, dtype: np.dtype[Any], single: bool) -> States:
        """The checked states (layers * directions, batch, size); zeros if `hx` is None."""
        count = self.num_layers * self._directions
        shapes = ((count, batch, self._output_size), (count, batch, self.hidden_size))[:self._parts]
        if hx is None:
            return tuple(np.zeros(shape, dtype) for shape in shapes)
        given = [f"hx[{number}]" for number in range(2)] if self._parts == 2 else ["hx"]
        states = [float_array(each, name) for each, name in zip(self._states(hx), given, strict=True)]
        for number, (state, shape) in enumerate(zip(states, shapes, strict=True)):
            wanted = (shape[0], shape[2]) if single else shape
            if state.shape != wanted:
                name = f"hidden[{number}]" if self._parts == 2 else "hidden"
                raise ShapeError(f"Expected {name} size {wanted}, got {state.shape}")
        return tuple(state.reshape(shape).astype(dtype) for state, shape in zip(states, shapes, strict=True))

    def _results(self, y: Array, state: States, dtype: np.dtype[Any]) -> tuple[Array, Any]:
        states = tuple(each.astype(dtype, copy=False) for each in state)
        return y.astype(dtype, copy=False), states if self._parts == 2 else states[0]

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

    def _packed(self, input: Any, hx: Any) -> tuple[PackedSequence, Any]:
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
            state = tuple(each[:, packed.sorted_indices] for each in state)
        y, last = self._run(x, state, sizes.tolist())
        if packed.unsorted_indices is not None:
            last = tuple(each[:, packed.unsorted_indices] for each in last)
        y, states = self._results(y, last, dtype)
        return packed._replace(data=y), states

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """Runs over a whole sequence.

        Args:
            input: (T, input_size), (T, N, input_size) (or (N, T, input_size) if batch_first), or a packed sequence:
                `utils.rnn.PackedSequence` or a tuple (data, batch_sizes).
            hx: initial state (layers * directions, N, size), without N for unbatched input, of an LSTM a pair (hidden,
                cell) of them; zeros.

        Returns:
            Outputs of the last layer at all moments, laid out as the input, and the last state, as `hx`.
        """
        if isinstance(input, tuple):
            return self._packed(input, hx)
        shape = np.shape(as_plain(input))
        if len(shape) not in (2, 3):
            raise ShapeError(f"{self.mode}: Expected input to be 2D or 3D, got {len(shape)}D instead")
        x, dtype = self._opened(input)
        single, swap = x.ndim == 2, x.ndim == 3 and self.batch_first
        x = x[:, None] if single else x.swapaxes(0, 1) if swap else x
        if len(x) == 0:
            raise ShapeError("Expected sequence length to be larger than 0 in RNN")
        state = self._initial(hx, x.shape[1], x.dtype, single)
        y, last = self._run(x, state, None)
        y = y[:, 0] if single else y.swapaxes(0, 1) if swap else y
        return self._results(y, tuple(each[:, 0] if single else each for each in last), dtype)

    def extra_repr(self) -> str:
        """As torch prints it."""
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0,
                    "bidirectional": False}
        return text + changed_settings(self, defaults)


class LSTM(_Recurrent):
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

    mode, _parts = "LSTM", 2

    def _layer(self, index: int, inputs: Array) -> tuple[Array, Step]:
        own = self._weights(index, inputs.dtype)
        bias = own["bias_ih"] + own["bias_hh"] if self.bias else None
        recurrent, projection = own["weight_hh"].T, own.get("weight_hr")

        def step(gates: Array, state: States) -> States:
            hidden, cell = lstm_gates(gates + state[0] @ recurrent, state[1])
            return (hidden if projection is None else hidden @ projection.T), cell

        return F.linear(inputs, own["weight_ih"], bias), step


class GRU(_Recurrent):
    """A stack of gated recurrent units (Cho et al. 2014, torch's variant).

    Args:
        input_size: numbers at each moment.
        hidden_size: numbers in the state.
        num_layers: layers, each fed with the outputs of the one before.
        bias: learn biases.
        batch_first: batched input and output are (N, T, ...) instead of (T, N, ...).
        dropout: probability with which outputs of all layers but the last are zeroed while training.
        bidirectional: each layer runs in both directions of time, and its outputs are joined.
        device: None or "cpu".
        dtype: type of the parameters, float32 by default.

    Parameters are named as those of `LSTM`; rows are in the order reset gate, update gate, candidate.
    """

    mode, _parts = "GRU", 1

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, device: Any = None,
                 dtype: DTypeLike | None = None) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device,
                         dtype)

    def _layer(self, index: int, inputs: Array) -> tuple[Array, Step]:
        own = self._weights(index, inputs.dtype)

        def step(sums: Array, state: States) -> States:
            return (gru_gates(sums, F.linear(state[0], own["weight_hh"], own.get("bias_hh")), state[0]),)

        return F.linear(inputs, own["weight_ih"], own.get("bias_ih")), step


OWN_STEPS = (LSTM._layer, GRU._layer)
