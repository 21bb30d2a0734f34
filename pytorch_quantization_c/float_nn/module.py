"""`Module`, the base of all layers and models. Registration, traversal, mode, types and text, as in torch.nn."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .._arrays import is_floating
from .._core import tracing
from .checks import any_dtype
from .parameter import Parameter, as_plain
from .state import StateDict

__all__ = ["Module"]

M = TypeVar("M", bound="Module")
REGISTRIES = ("_parameters", "_buffers", "_modules")
ABSENT: Any = object()


def indent(text: str, spaces: int = 2) -> str:
    """`text` with every line but the first moved to the right."""
    return text.replace("\n", "\n" + " " * spaces)


class Module(StateDict):
    """Base class of layers and models: subclass it, call `super().__init__()`, assign layers, define `forward`.

    Assigning a Parameter or a Module to an attribute registers it; buffers are registered by `register_buffer`.
    Calling the module calls `forward`. Nothing here computes gradients.
    """

    training: bool

    def __init__(self) -> None:
        state = {"training": True, "_parameters": {}, "_buffers": {}, "_modules": {},
                 "_non_persistent_buffers_set": set()}
        self.__dict__.update(state)

    def __call__(self, input: Any = ABSENT, /, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs or input is ABSENT:
            return self.forward(*(() if input is ABSENT else (input,)), *args, **kwargs)
        return self.forward(input)  # separate: a tuple would cost a small layer a tenth of its time

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """To be defined by the subclass, as in torch; one of a later base class is not found."""
        raise TypeError(f"Expected {self._get_name()} to define `forward`, got none")

    # Registration

    def _check_name(self, kind: str, name: str) -> None:
        if REGISTRIES[0] not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')

    def _check_free(self, name: str, registry: str) -> None:
        if hasattr(self, name) and name not in getattr(self, registry):
            raise KeyError(f"attribute '{name}' already exists")

    def register_buffer(self, name: str, tensor: NDArray[Any] | None, persistent: bool = True) -> None:
        """Makes `tensor` a buffer: an array that is state but no parameter. Not persistent: not in the state dict."""
        self._check_name("buffer", name)
        self._check_free(name, "_buffers")
        if tensor is not None and not isinstance(tensor, np.ndarray | np.generic):
            raise TypeError(f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' "
                            "(array or None required)")
        self._buffers[name] = None if tensor is None else np.asarray(tensor)
        (self._non_persistent_buffers_set.discard if persistent else self._non_persistent_buffers_set.add)(name)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Makes `param` a parameter; None keeps the name without a value."""
        self._check_name("parameter", name)
        self._check_free(name, "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"cannot assign '{type(param).__name__}' object to parameter '{name}' "
                            "(Parameter or None required)")
        self._parameters[name] = param

    def add_module(self, name: str, module: Module | None) -> None:
        """Makes `module` a child under `name`."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_name("module", name)
        self._check_free(name, "_modules")
        self._modules[name] = module

    register_module = add_module

    def __getattr__(self, name: str) -> Any:
        for registry in REGISTRIES:
            entries = self.__dict__.get(registry, {})
            if name in entries:
                return entries[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        entries = self.__dict__
        if isinstance(value, Parameter):
            self._check_name("parameters", name)
            self._forget(name, keep="_parameters")
            self._parameters[name] = value
        elif name in entries.get("_parameters", {}):
            if value is not None:
                raise TypeError(f"cannot assign '{type(value).__name__}' as parameter '{name}' "
                                "(Parameter or None expected)")
            self._parameters[name] = None
        elif isinstance(value, Module):
            self._check_name("module", name)
            self._forget(name, keep="_modules")
            self._modules[name] = value
        elif name in entries.get("_modules", {}):
            if value is not None:
                raise TypeError(f"cannot assign '{type(value).__name__}' as child module '{name}' "
                                "(Module or None expected)")
            self._modules[name] = None
        elif name in entries.get("_buffers", {}):
            if value is not None and not isinstance(value, np.ndarray | np.generic):
                raise TypeError(f"cannot assign '{type(value).__name__}' as buffer '{name}' (array or None expected)")
            self._buffers[name] = None if value is None else np.asarray(value)
        else:
            super().__setattr__(name, value)

    def _forget(self, name: str, keep: str = "") -> bool:
        """Removes `name` from the instance and from all registries but `keep`; True if it was there."""
        found = False
        for holder in (self.__dict__, *(self.__dict__[each] for each in REGISTRIES if each != keep)):
            if name in holder:
                del holder[name]
                found = True
        self._non_persistent_buffers_set.discard(name)
        return found

    def __delattr__(self, name: str) -> None:
        if any(name in self.__dict__.get(registry, {}) for registry in REGISTRIES):
            self._forget(name)
        else:
            super().__delattr__(name)

    def __dir__(self) -> list[str]:
        names = {*super().__dir__(), *self._parameters, *self._buffers, *self._modules}
        return sorted(name for name in names if name and not name[0].isdigit())

    # Traversal

    def named_modules(self, memo: set[int] | None = None, prefix: str = "",
                      remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """This module (under the name `prefix`) and all modules below it, parents first."""
        memo = set() if memo is None else memo
        if id(self) in memo:
            return
        if remove_duplicate:
            memo.add(id(self))
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all modules below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct children and their names, each child once."""
        seen: set[int] = set()
        for name, child in self._modules.items():
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def children(self) -> Iterator[Module]:
        """The direct children, each once."""
        return (child for _, child in self.named_children())

    def _named_members(self, registry: str, prefix: str, recurse: bool,
                       remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, value in getattr(module, registry).items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(self, prefix: str = "", recurse: bool = True,
                         remove_duplicate: bool = True) -> Iterator[tuple[str, Parameter]]:
        """Full names and parameters; `recurse=False` gives this module's own alone."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters of this module and of all below it, each once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True,
                      remove_duplicate: bool = True) -> Iterator[tuple[str, NDArray[Any]]]:
        """Full names and buffers; `recurse=False` gives this module's own alone."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[NDArray[Any]]:
        """The buffers of this module and of all below it, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module under the dotted name `target`; "" is this module. AttributeError if there is none."""
        module: Module = self
        for name in target.split(".") if target else ():
            found = getattr(module, name, None)
            if found is None:
                raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
            if not isinstance(found, Module):
                raise AttributeError(f"`{name}` is not a Module")
            module = found
        return module

    def _get_member(self, target: str, registry: str, kind: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        value = getattr(module, registry).get(name)
        if value is None:
            raise AttributeError(f"{module._get_name()} has no {kind} `{name}`")
        return value

    def get_parameter(self, target: str) -> Parameter:
        """The parameter under the dotted name `target`. AttributeError if there is none."""
        found: Parameter = self._get_member(target, "_parameters", "parameter")
        return found

    def get_buffer(self, target: str) -> NDArray[Any]:
        """The buffer under the dotted name `target`. AttributeError if there is none."""
        found: NDArray[Any] = self._get_member(target, "_buffers", "buffer")
        return found

    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Calls `fn` on every module below, then on this one; returns this module."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # Mode and types

    def train(self: M, mode: bool = True) -> M:
        """Sets `training` here and in all children (it changes dropout and batch norm); returns this module."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self: M) -> M:
        """`train(False)`."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Sets the flag of every parameter; returns this module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def to(self: M, dtype: DTypeLike) -> M:
        """Converts all floating parameters and buffers to `dtype`; returns this module. "cpu" changes nothing."""
        if isinstance(dtype, str) and dtype == "cpu":
            return self
        target = any_dtype(dtype)
        if not is_floating(target):
            raise TypeError(f"Expected a floating `dtype`, got {target}")
        done: dict[int, Any] = {}
        for module in self.modules():
            for entries in (module._parameters, module._buffers):
                for name, value in entries.items():
                    if value is not None and is_floating(value.dtype) and value.dtype != target:
                        done.setdefault(id(value), (value, _converted(value, target)))
                        entries[name] = done[id(value)][1]
        return self

    def float(self: M) -> M:
        """`to(numpy.float32)`."""
        return self.to(np.float32)

    def double(self: M) -> M:
        """`to(numpy.float64)`."""
        return self.to(np.float64)

    def half(self: M) -> M:
        """`to(numpy.float16)`."""
        return self.to(np.float16)

    # Text

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """The text inside the parentheses of `repr`, before the children. Override it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): {indent(repr(child))}" for name, child in self._modules.items()]
        return self._get_name() + "(" + joined(lines, children) + ")"


@tracing.asks_instead_of(Module, "__call__")
def _asking_call(self: Module, *args: Any, **kwargs: Any) -> Any:
    asked = tracing.tracer
    return self.forward(*args, **kwargs) if asked is None else asked.module(self, args, kwargs)


def _converted(value: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    array = as_plain(value).astype(dtype)
    return Parameter(array, value.requires_grad) if isinstance(value, Parameter) else array


def joined(lines: list[str], children: list[str]) -> str:
    """The inside of a repr: one line of extras alone stays on the line of the name."""
    if len(lines) == 1 and not children:
        return lines[0]
    return "\n  " + "\n  ".join(lines + children) + "\n" if lines or children else ""
