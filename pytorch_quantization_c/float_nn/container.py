"""Modules that hold modules: Sequential, ModuleList and ModuleDict."""
from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from .module import Module, indent, joined

__all__ = ["ModuleDict", "ModuleList", "Sequential"]


class _Indexed(Module):
    """Children named "0", "1", ... in their order, which may be counted, sliced and joined like a list."""

    _keeps_names = False  # when sliced

    def _position(self, index: int, limit: int) -> int:
        position = operator.index(index)
        if not -limit <= position < limit:
            raise IndexError(f"index {position} is out of range")
        return position % limit

    def _name(self, index: int) -> str:
        return list(self._modules)[self._position(index, len(self))]

    def _replace_all(self, modules: Iterable[Any]) -> None:
        self._modules = {str(number): module for number, module in enumerate(modules)}

    def _without(self, index: int | slice) -> dict[str, Any]:
        """The modules that stay when those at `index` go."""
        names = list(self._modules)
        gone = names[index] if isinstance(index, slice) else [self._name(index)]
        return {name: module for name, module in self._modules.items() if name not in gone}

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._modules.values()))

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, slice):
            return self._modules[self._name(index)]
        part = type(self)()
        for number, (name, module) in enumerate(list(self._modules.items())[index]):
            part.add_module(name if self._keeps_names else str(number), module)
        return part

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name(index), module)

    def __delitem__(self, index: int | slice) -> None:
        self._replace_all(self._without(index).values())

    def append(self, module: Module) -> Any:
        """Adds `module` at the end; returns this container."""
        self.add_module(str(len(self)), module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Puts `module` before position `index`; the later ones move up by one."""
        if not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        position = operator.index(index)
        if not -len(self) <= position <= len(self):
            raise IndexError(f"Index out of range: {position}")
        modules = list(self._modules.values())
        modules.insert(position, module)
        self._replace_all(modules)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Adds all `modules` at the end; returns this container."""
        if not isinstance(modules, Iterable):
            raise TypeError(f"Expected `modules` to be an iterable of modules, got {type(modules).__name__}")
        for module in list(modules):
            self.append(module)
        return self

    def pop(self, index: int | slice = -1) -> Any:
        """Removes the module at `index` and returns it."""
        module = self[index]
        del self[index]
        return module


class Sequential(_Indexed):
    """Modules called one after the other; built from modules or from one ordered mapping of names to modules."""

    _keeps_names = True

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for number, module in enumerate(args):
                self.add_module(str(number), module)

    def __delitem__(self, index: int | slice) -> None:
        numbered = list(self._modules) == [str(number) for number in range(len(self))]
        kept = self._without(index)
        if numbered:
            self._replace_all(kept.values())
        else:
            self._modules = kept

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")
        return Sequential(*self, *other)

    def forward(self, input: Any) -> Any:
        """The output of the last module, each fed with the output of the one before."""
        for module in self:
            input = module(input)
        return input


class ModuleList(_Indexed):
    """A list of modules, all registered; it is indexed, not called."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __iadd__(self, other: Iterable[Module]) -> ModuleList:
        self.extend(other)
        return self

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __repr__(self) -> str:
        lines = []
        position = 0
        for text, same in groupby(repr(module) for module in self):
            count = len(list(same))
            label = f"({position}): " if count == 1 else f"({position}-{position + count - 1}): {count} x "
            lines.append(indent(label + text))
            position += count
        return self._get_name() + "(" + joined([], lines) + ")"


class ModuleDict(Module):
    """A dictionary of modules, all registered; it keeps the order of insertion."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Removes all modules."""
        self._modules.clear()

    def pop(self, key: str) -> Any:
        """Removes the module under `key` and returns it."""
        return self._modules.pop(key)

    def keys(self) -> Any:
        """The names."""
        return self._modules.keys()

    def items(self) -> Any:
        """Pairs of name and module."""
        return self._modules.items()

    def values(self) -> Any:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Adds or replaces modules from a mapping or from pairs."""
        if not isinstance(modules, Iterable):
            raise TypeError(f"Expected `modules` to be a mapping or an iterable of pairs, got {type(modules).__name__}")
        pairs: list[Any] = []
        for number, pair in enumerate(modules.items() if isinstance(modules, Mapping) else modules):
            if len(pair) != 2:  # at once: an iterable of something else may have no end
                raise ValueError(f"Expected pairs in `modules`, got length {len(pair)} at position {number}")
            pairs.append(pair)
        for name, module in pairs:
            self[name] = module
