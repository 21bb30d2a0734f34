"""Putting quantised layers in the place of float ones: in a package of layers, or in a model that exists.

Independent of the host: a table of entries says which name of which package stands for which quantised class.
"""
from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from .errors import shown

__all__ = ["Entry", "ReplacementRules", "replace_layers"]

logger = logging.getLogger(__name__)


class Entry(NamedTuple):
    """The class that `mod_name` of the package `orig_mod` is, or is to be."""

    orig_mod: Any
    mod_name: str
    replace_mod: Any


Custom = Iterable[Sequence[Any]] | None


def entries_of(custom: Custom) -> list[Entry]:
    """Entries from a user's (package, name, class) triples. TypeError, AttributeError for anything else."""
    found = []
    for item in custom or ():
        if not isinstance(item, tuple | list) or len(item) != 3 or not isinstance(item[1], str):
            raise TypeError("Expected `custom_quant_modules` to hold triples of a module, the name of a class in it "
                            f"and the class to put there, got {shown(item)}")
        getattr(item[0], item[1])
        found.append(Entry(*item))
    return found


def names_of(float_module_list: Iterable[str] | None) -> set[str]:
    """The names of a user's list. TypeError if it is one string, or holds anything else."""
    names = [] if float_module_list is None else float_module_list
    if isinstance(names, str) or not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
        raise TypeError("Expected `float_module_list` to be a list of names of classes, got "
                        f"{shown(float_module_list)}")
    return set(names)


class ReplacementRules:
    """Replaces classes in the packages they are looked up in, and puts the originals back.

    The packages belong to the whole process. Threads take turns, so that no original is lost.

    Args:
        table: what is replaced by default.
    """

    def __init__(self, table: Sequence[Entry]) -> None:
        self._turn = threading.RLock()
        self.default_quant_map = list(table)
        self.quant_map: list[Entry] = []
        self.orginal_func_map: list[Entry] = []

    def prepare_state(self, float_module_list: Iterable[str] | None = None, custom_map: Custom = None) -> None:
        """Decides what is to be replaced: the table without the names in `float_module_list`, then `custom_map`."""
        kept = names_of(float_module_list)
        for name in sorted(kept - {entry.mod_name for entry in self.default_quant_map}):
            logger.warning("float_module_list names %s, which is a float layer anyway", name)
        chosen = [entry for entry in self.default_quant_map if entry.mod_name not in kept] + entries_of(custom_map)
        with self._turn:
            self.restore_float_modules()
            self.quant_map = chosen

    def apply_quant_modules(self) -> None:
        """Replaces the classes, and remembers each original once."""
        with self._turn:
            for entry in self.quant_map:
                known = {(id(each.orig_mod), each.mod_name) for each in self.orginal_func_map}
                if (id(entry.orig_mod), entry.mod_name) not in known:
                    original = getattr(entry.orig_mod, entry.mod_name)
                    self.orginal_func_map.append(Entry(entry.orig_mod, entry.mod_name, original))
                setattr(entry.orig_mod, entry.mod_name, entry.replace_mod)

    def restore_float_modules(self) -> None:
        """Puts the originals back; what was to be replaced is forgotten."""
        with self._turn:
            for entry in self.orginal_func_map:
                setattr(entry.orig_mod, entry.mod_name, entry.replace_mod)
            self.orginal_func_map, self.quant_map = [], []

    def original(self, entry: Entry) -> Any:
        """The class under the name of `entry` when nothing is replaced."""
        with self._turn:
            for each in self.orginal_func_map:
                if each.orig_mod is entry.orig_mod and each.mod_name == entry.mod_name:
                    return each.replace_mod
            return getattr(entry.orig_mod, entry.mod_name)

    def initialize(self, float_module_list: Iterable[str] | None, custom_quant_modules: Custom) -> None:
        """Replaces what the arguments say, and only that: an earlier call is undone."""
        with self._turn:
            self.prepare_state(float_module_list, custom_quant_modules)
            self.apply_quant_modules()

    @contextmanager
    def quantized(self, float_module_list: Iterable[str] | None, custom_quant_modules: Custom) -> Iterator[None]:
        """`initialize` for the time of a `with` block; what was replaced before is replaced again after it.

        Blocks of several threads must not overlap: the classes belong to the whole process.
        """
        with self._turn:
            before = self.quant_map
            self.initialize(float_module_list, custom_quant_modules)
        try:
            yield
        finally:
            with self._turn:
                self.restore_float_modules()
                self.quant_map = before
                self.apply_quant_modules()

    def table(self, custom_quant_modules: Custom) -> dict[Any, Any]:
        """Float class to quantised class: the default table, then the user's triples."""
        return {self.original(entry): entry.replace_mod
                for entry in [*self.default_quant_map, *entries_of(custom_quant_modules)]}


@contextmanager
def onnx_export(quantizer_class: Any) -> Iterator[None]:
    """Sets the export flag of a class of quantisers for the time of a `with` block, whatever happens in it."""
    before = quantizer_class._enable_onnx_export
    quantizer_class._enable_onnx_export = True
    try:
        yield
    finally:
        quantizer_class._enable_onnx_export = before


def matcher(argument: str, patterns: str | Iterable[str], names: Sequence[str]) -> Callable[[str], bool]:
    """A test whether a name matches a pattern. ValueError for a bad expression or a pattern that no name matches."""
    each = [patterns] if isinstance(patterns, str) else list(patterns)
    tests = []
    for pattern in each:
        if not isinstance(pattern, str):
            raise TypeError(f"Expected `{argument}` to be a pattern or a list of patterns, got {shown(pattern)}")
        test = _test(argument, pattern)
        if pattern != "*" and not any(map(test, names)):
            raise ValueError(f"Expected each pattern of `{argument}` to match the name of a layer, {shown(pattern)} "
                             f"matches none of: {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}")
        tests.append(test)
    return lambda name: any(test(name) for test in tests)


def _test(argument: str, pattern: str) -> Callable[[str], bool]:
    if not pattern.startswith("re:"):
        return lambda name: fnmatchcase(name, pattern)
    try:
        expression = re.compile(pattern[3:])
    except re.error as problem:
        raise ValueError(f"Expected `{argument}` to hold regular expressions after 're:', got {shown(pattern)}: "
                         f"{problem}") from None
    return lambda name: expression.match(name) is not None


def replace_layers(model: Any, table: dict[Any, Any], include: str | Iterable[str], exclude: str | Iterable[str],
                   descriptors: dict[str, Any]) -> Any:
    """See `quant_modules.replace`. `table` maps exact float classes to classes with `from_float`."""
    unknown = set(descriptors) - {"quant_desc_input", "quant_desc_weight"}
    if unknown:
        raise TypeError(f"Unused keys: {', '.join(sorted(unknown))}; expected quant_desc_input or quant_desc_weight")
    if not hasattr(model, "named_modules"):
        raise TypeError(f"Expected `model` to be a module, got {type(model).__name__}")
    modules = list(model.named_modules(remove_duplicate=False))
    names = [name for name, _ in modules]
    wanted, unwanted = matcher("include", include, names), matcher("exclude", exclude, names)
    made: dict[int, Any] = {}
    for name, module in modules:
        if type(module) in table and wanted(name) and not unwanted(name) and id(module) not in made:
            made[id(module)] = converted(module, table[type(module)], descriptors)
            logger.info("%s is now a %s", name or "the model", type(made[id(module)]).__name__)
    for _, module in modules:
        for name, child in module._modules.items():
            if id(child) in made:
                module._modules[name] = made[id(child)]
    return made.get(id(model), model)


def converted(module: Any, quantized_class: Any, descriptors: dict[str, Any]) -> Any:
    """The quantised layer for a float one. Layers without a weight do not mind a descriptor for it."""
    if not hasattr(quantized_class, "from_float"):
        name = quantized_class.__name__
        raise TypeError(f"Expected {name} to have a class method from_float(module, **descriptors): "
                        "QuantMixin and QuantInputMixin bring one")
    has_weight = hasattr(quantized_class, "default_quant_desc_weight")
    given = {name: value for name, value in descriptors.items() if has_weight or name != "quant_desc_weight"}
    return quantized_class.from_float(module, **given)
