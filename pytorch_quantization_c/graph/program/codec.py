"""The parts of a program as JSON and arrays, by the types that their fields are declared with.

A dataclass becomes a dictionary of its fields with the name of its class as "class", a named tuple a list. What is read
is checked against the declarations, so that malicious data never becomes an object that could not have been written; a
class that has a method `check` says there what else has to hold, by a ValueError. Fields with a default may be absent:
they were added later than the file.
"""
from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Callable
from functools import cache
from inspect import isabstract
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from ..._core.packing import pack, unpack

__all__ = ["Arrays", "Converters", "decoded", "encoded"]

Arrays = dict[str, NDArray[Any]]
Decoder = Callable[[Any, Arrays], Any]
#: How types that no file can hold are converted.
Converters = dict[Any, Callable[[Any], Any]]

MAX_INTEGER = 2 ** 63


def encoded(value: Any, key: str, arrays: Arrays, converters: Converters, hint: Any = None) -> Any:
    """A part as JSON; its arrays go to `arrays` under `key`. TypeError if a file cannot hold it."""
    if hint in converters:
        return encoded(converters[hint](value), key, arrays, converters)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        hints = _hints(type(value))
        return {"class": type(value).__name__,
                **{name: encoded(getattr(value, name), f"{key}.{name}", arrays, converters, hints[name])
                   for name in _saved(type(value))}}
    if hint is Any:
        return pack(value, key, arrays)
    if isinstance(value, np.ndarray):
        arrays[key] = value
        return key
    if isinstance(value, list | tuple):
        return [encoded(each, f"{key}.{number}", arrays, converters) for number, each in enumerate(value)]
    if isinstance(value, dict):
        values = _hinted(hint, 1)
        return {str(name): encoded(each, f"{key}.{name}", arrays, converters, values) for name, each in value.items()}
    if isinstance(value, bool | int | str | None):
        return value
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else repr(float(value))
    raise TypeError(f"Expected `{key}` to be something that a file can hold, got {type(value).__name__}")


def _hinted(hint: Any, number: int) -> Any:
    arguments = get_args(hint)
    return arguments[number] if number < len(arguments) else None


def decoded(hint: Any, data: Any, arrays: Arrays, converters: Converters) -> Any:
    """The inverse of `encoded`. ValueError if the data cannot come from a value of this type."""
    try:
        return _decoder(hint, tuple(converters.items()))(data, arrays)
    except (TypeError, LookupError, OverflowError, AttributeError, RecursionError) as error:
        raise ValueError(f"it has other parts than it should: {error}") from None


def _saved(cls: type) -> list[str]:
    return [field.name for field in dataclasses.fields(cls) if field.init]


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


@cache
def _decoder(hint: Any, converters: tuple[tuple[Any, Callable[[Any], Any]], ...]) -> Decoder:
    """The decoder of a type; it is found once."""
    special = dict(converters)

    def of(inner: Any) -> Decoder:
        return _decoder(inner, converters)

    if hint in special:
        convert = special[hint]
        source = of(get_type_hints(convert)["value"])
        return lambda data, arrays: convert(source(data, arrays))
    origin = get_origin(hint)
    if hint is Any:
        return unpack
    if hint in PLAIN:
        return PLAIN[hint]
    if origin in (Union, types.UnionType):
        return _union([of(each) for each in get_args(hint)])
    if origin in (np.ndarray, NDArray):
        kind = _element_type(hint)
        return _array(None if kind is Any else np.dtype(kind))
    if origin in (list, tuple):
        return _sequence(origin, get_args(hint), of)
    if origin is dict:
        key, value = get_args(hint)
        return _dictionary(key, of(value))
    if isinstance(hint, type) and (dataclasses.is_dataclass(hint) or isabstract(hint)):
        return _classes(hint, of)
    if isinstance(hint, type) and issubclass(hint, tuple):
        return _named_tuple(hint, of)
    raise TypeError(f"no file holds a {hint}")


def _element_type(hint: Any) -> Any:
    """Of `NDArray[...]`: np.ndarray[shape, dtype[...]] up to NumPy 2.4, from 2.5 on an alias with one argument."""
    arguments = get_args(hint)
    return arguments[0] if get_origin(hint) is NDArray else get_args(arguments[1])[0]


def _whole(data: Any, arrays: Arrays) -> int:
    if type(data) is not int or not -MAX_INTEGER <= data < MAX_INTEGER:
        raise TypeError(f"expected an integer, got {data!r:.40}")
    return data


def _number(data: Any, arrays: Arrays) -> float:
    if type(data) in (int, float) or data in ("inf", "-inf", "nan"):
        return float(data)
    raise TypeError(f"expected a number, got {data!r:.40}")


def _plain(kind: type) -> Decoder:
    def decode(data: Any, arrays: Arrays) -> Any:
        if type(data) is not kind:
            raise TypeError(f"expected a {kind.__name__}, got {data!r:.40}")
        return data
    return decode


PLAIN: dict[Any, Decoder] = {int: _whole, float: _number, bool: _plain(bool), str: _plain(str),
                             type(None): _plain(type(None))}


def _union(decoders: list[Decoder]) -> Decoder:
    def decode(data: Any, arrays: Arrays) -> Any:
        problems = []
        for each in decoders:
            try:
                return each(data, arrays)
            except (TypeError, LookupError, AttributeError) as error:
                problems.append(error)
        raise problems[0]
    return decode


def _array(dtype: np.dtype[Any] | None) -> Decoder:
    def decode(data: Any, arrays: Arrays) -> NDArray[Any]:
        if not isinstance(data, str) or data not in arrays:
            raise TypeError(f"expected the name of an array, got {data!r:.40}")
        array = arrays[data]
        if dtype is not None and array.dtype != dtype:
            raise TypeError(f"expected an array of {dtype} as {data!r}, got {array.dtype}")
        return array
    return decode


def _items(data: Any) -> list[Any]:
    if type(data) is not list:
        raise TypeError(f"expected a list, got {data!r:.40}")
    return data


def _sequence(kind: Any, arguments: tuple[Any, ...], of: Callable[[Any], Decoder]) -> Decoder:
    if kind is list or arguments[1:] == (...,):
        each = of(arguments[0])
        return lambda data, arrays: kind(each(item, arrays) for item in _items(data))
    return _fields(tuple, [of(argument) for argument in arguments])


def _fields(make: Callable[[Any], Any], decoders: list[Decoder], optional: int = 0) -> Decoder:
    """The last `optional` ones may be absent."""
    def decode(data: Any, arrays: Arrays) -> Any:
        items = _items(data)
        if not len(decoders) - optional <= len(items) <= len(decoders):
            raise TypeError(f"expected {len(decoders)} parts, got {len(items)}")
        return make(each(item, arrays) for each, item in zip(decoders, items, strict=False))
    return decode


def _dictionary(key: Any, each: Decoder) -> Decoder:
    def decode(data: Any, arrays: Arrays) -> Any:
        if type(data) is not dict:
            raise TypeError(f"expected a dictionary, got {data!r:.40}")
        try:
            return {key(name): each(item, arrays) for name, item in data.items()}
        except ValueError as error:
            raise TypeError(str(error)) from None
    return decode


def _checked(made: Any) -> Any:
    check = getattr(made, "check", None)
    if check is not None:
        check()
    return made


def _named_tuple(cls: type, of: Callable[[Any], Decoder]) -> Decoder:
    hints = _hints(cls)
    names: tuple[str, ...] = cls._fields  # type: ignore[attr-defined]
    defaults: dict[str, Any] = cls._field_defaults  # type: ignore[attr-defined]
    return _fields(lambda items: _checked(cls(*items)), [of(hints[name]) for name in names], len(defaults))


@cache
def _required(cls: Any) -> frozenset[str]:
    """The fields without a default."""
    missing = dataclasses.MISSING
    return frozenset(field.name for field in dataclasses.fields(cls)
                     if field.init and field.default is missing and field.default_factory is missing)


def _subclasses(cls: Any) -> list[type]:
    found: list[type] = [] if isabstract(cls) else [cls]
    return found + [each for below in cls.__subclasses__() for each in _subclasses(below)]


def _classes(base: type, of: Callable[[Any], Decoder]) -> Decoder:
    """A decoder of a dataclass and of those derived from it."""
    known = {cls.__name__: cls for cls in _subclasses(base)}
    fields: dict[type, dict[str, Decoder]] = {}

    def decode(data: Any, arrays: Arrays) -> Any:
        if type(data) is not dict or data.get("class") not in known:
            raise TypeError(f"expected one of {', '.join(sorted(known))}, got {data!r:.60}")
        cls = known[data["class"]]
        if cls not in fields:
            fields[cls] = {name: of(_hints(cls)[name]) for name in _saved(cls)}
        decoders = fields[cls]
        given = data.keys() - {"class"}
        if not _required(cls) <= given <= decoders.keys():
            raise TypeError(f"expected {', '.join(decoders)} of a {cls.__name__}, got {', '.join(sorted(data))[:200]}")
        return _checked(cls(**{name: decoders[name](data[name], arrays) for name in given}))
    return decode
