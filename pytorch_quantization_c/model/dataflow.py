"""Which layers' outputs are read by only one other layer, found by calling a model with symbols instead of arrays."""
from __future__ import annotations

import dis
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from .._core import tracing
from .._core.errors import shown

__all__ = ["Unfollowed", "array_pairs"]

LIBRARY = ("pytorch_quantization_c.float_nn.", "pytorch_quantization_c.nn.")
CONTAINERS = "pytorch_quantization_c.float_nn.container"
DESCRIPTIONS = ("shape", "ndim", "dtype", "size")  # of an array; reading them does not read its numbers


class Unfollowed(Exception):
    """A model that does something symbols do not support; says what."""


class Symbol:
    """A stand-in for an array, and for anything computed from one. `source` is the layer whose output it is."""

    def __init__(self, source: Any = None) -> None:
        self.source, self.readers = source, 0

    def __getattr__(self, name: str) -> Symbol:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in DESCRIPTIONS:
            self.readers += 1
        return Symbol()

    def __call__(self, *args: Any, **kwargs: Any) -> Symbol:
        return read(args, kwargs)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Symbol:
        return read(inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Symbol:
        return read(args, kwargs)

    def __getitem__(self, index: Any) -> Symbol:
        return read((self, index))

    def __iter__(self) -> Iterator[Symbol]:
        frame = sys._getframe(1)
        instruction = next(each for each in dis.get_instructions(frame.f_code) if each.offset == frame.f_lasti)
        if instruction.opname != "UNPACK_SEQUENCE":
            raise Unfollowed("it loops over an array")
        return iter([self[number] for number in range(instruction.argval)])

    def _refuse(self, *args: Any) -> NoReturn:
        raise Unfollowed("it decides by the shape or the numbers of an array")

    __bool__ = __index__ = __int__ = __float__ = __len__ = _refuse


def _operation(self: Symbol, *others: Any) -> Symbol:
    return read((self, *others))


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor"):
    for _form in (f"__{_name}__", f"__r{_name}__"):
        setattr(Symbol, _form, _operation)
for _name in ("eq", "ne", "lt", "le", "gt", "ge", "neg", "pos", "abs", "invert"):
    setattr(Symbol, f"__{_name}__", _operation)


def symbols_within(values: Any) -> Iterator[Symbol]:
    """The symbols within nested tuples, lists and dictionaries."""
    if isinstance(values, Symbol):
        yield values
    elif isinstance(values, tuple | list):
        for value in values:
            yield from symbols_within(value)
    elif isinstance(values, dict):
        yield from symbols_within(list(values.values()))


def read(*values: Any) -> Symbol:
    """What is computed from all symbols within these values."""
    for symbol in symbols_within(values):
        symbol.readers += 1
    return Symbol()


class DataflowTracer:
    """Records the arguments of each layer. Layers of the library are not run."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Symbol | None]] = []
        self._thread = threading.get_ident()

    def _is_asked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        return threading.get_ident() == self._thread and next(symbols_within((args, kwargs)), None) is not None

    def function(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """See `_core.tracing.Tracer`."""
        return read(args, kwargs) if self._is_asked(args, kwargs) else function(*args, **kwargs)

    def module(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """See `_core.tracing.Tracer`."""
        home = type(module).__module__
        if not self._is_asked(args, kwargs) or not home.startswith(LIBRARY) or home == CONTAINERS:
            return module.forward(*args, **kwargs)
        self.calls.append((module, args[0] if args and isinstance(args[0], Symbol) else None))
        read(args, kwargs)
        return Symbol(module)


def array_pairs(model: Any) -> list[tuple[Any, Any]]:
    """The pairs of layers of a `float_nn` model of which only the second reads the first's output, each called once.

    Raises Unfollowed.
    """
    tracer, arguments = DataflowTracer(), _arguments(model)
    with tracing.asking(tracer):
        try:
            read(model(*arguments))
        except (Unfollowed, MemoryError):
            raise
        except Exception as error:
            raise Unfollowed(f"{type(error).__name__}: {shown(str(error))}") from error
    times = Counter(id(module) for module, _ in tracer.calls)
    return [(symbol.source, module) for module, symbol in tracer.calls if symbol is not None and symbol.readers == 1
            and symbol.source is not None and times[id(module)] == times[id(symbol.source)] == 1]


def _arguments(model: Any) -> list[Symbol]:
    """A symbol for each argument of `forward` that has no default."""
    code = type(model).forward.__code__
    defaults = len(type(model).forward.__defaults__ or ())
    return [Symbol() for _ in range(max(1, code.co_argcount - 1 - defaults))]
