"""Checks of arguments that many functions share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy
from numpy.typing import NDArray

from fne.errors import InvalidArgumentError, InvalidTypeError

Value = TypeVar("Value")


def as_count(name: str, value: Any, least: int = 1) -> int:
    """An integer of Python's own.

    Raises:
        ValueError: the value is no integer, or is below `least` (1 or 0)
    """
    if isinstance(value, (int, numpy.integer)) and not isinstance(value, bool) and least <= value < 2**31:
        return int(value)
    raise InvalidArgumentError(
        f"{name} is {value!r}; it must be {'a positive integer' if least else 'an integer of at least 0'}"
    )


def as_size(name: str, value: Any) -> tuple[int, int]:
    """A height and a width. One number stands for a square.

    >>> as_size("size", 320), as_size("size", (240, 320))
    ((320, 320), (240, 320))
    """
    sides = list(value) if isinstance(value, Iterable) and not isinstance(value, (str, bytes)) else [value, value]
    if len(sides) != 2:
        raise InvalidArgumentError(f"{name} is {value!r}; it must be (height, width), or one number for a square")
    return as_count(name, sides[0]), as_count(name, sides[1])


def as_array(name: str, value: Any, dtype: Any = None) -> NDArray[Any]:
    """The value as an array. It is not copied where it is one of that type.

    Raises:
        InvalidArgumentError: the value is no array of numbers, or parts of it are masked
    """
    refuse_masked(name, value)
    try:
        return numpy.asarray(value, dtype)
    except TypeError as failure:
        raise InvalidTypeError(f"{name} cannot be taken as an array: {failure}") from None
    except ValueError as failure:
        raise InvalidArgumentError(f"{name} cannot be taken as an array: {failure}") from None


def refuse_masked(name: str, value: Any) -> None:
    """Refuses a masked array, also in a list, where elements are masked. Otherwise the mask would be lost unsaid."""
    if isinstance(value, (list, tuple)):
        for item in value:
            refuse_masked(name, item)
    elif isinstance(value, numpy.ma.MaskedArray) and numpy.ma.is_masked(value):
        raise InvalidArgumentError(
            f"{name}: {numpy.count_nonzero(value.mask)} elements are masked; "
            "leave these rows out, or give the elements values with numpy.ma.filled"
        )


def as_list(name: str, values: Any) -> list[Any]:
    """The values as a list.

    Raises:
        InvalidTypeError: this is one path, or cannot be iterated over
    """
    if isinstance(values, (str, bytes, os.PathLike)):
        raise InvalidTypeError(f"{name} is one path; pass a list")
    try:
        return list(values)
    except TypeError:
        raise InvalidTypeError(f"{name} is a {type(values).__name__}; pass a list") from None


def as_path(path: Any) -> Path:
    """A path of Python's own. Names may be bytes too.

    Raises:
        InvalidArgumentError: this is no path
    """
    return Path(os.fsdecode(path_bytes(path)))


def path_bytes(path: Any) -> bytes:
    """A path as C takes it. A path with a zero byte is refused: C would read it to that byte only.

    Raises:
        InvalidArgumentError: this is no path
    """
    try:
        encoded = os.fsencode(path)
    except TypeError:
        raise InvalidTypeError(_no_path(path)) from None
    except UnicodeError:
        raise InvalidArgumentError(f"the path {path!r} holds characters that no name can hold") from None
    if b"\0" in encoded:
        raise InvalidArgumentError(f"the path {path!r} holds a zero byte")
    return encoded


def _no_path(thing: Any) -> str:
    """What is no path, in words. Pixels would fill pages."""
    if isinstance(thing, numpy.ndarray):
        what = f"an array {thing.dtype} {thing.shape}"
    elif is_pillow_image(thing):
        what = "a PIL image"
    else:
        return f"{thing!r} is no path; a path is str, bytes or os.PathLike"
    return f"{what} is no path. fne.Extractor and fne.sklearn take it; elsewhere save it to a file, and pass its path"


def is_pillow_image(item: Any) -> bool:
    """Whether the item is a `PIL.Image.Image`. This does not import Pillow."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(item, module.Image)


def choice(name: str, value: str, values: Mapping[str, Value]) -> Value:
    """What a word stands for.

    Raises:
        ValueError: the word is not among the keys
    """
    if value not in values:
        raise InvalidArgumentError(f"{name} is {value!r}; it must be one of {listed(values)}")
    return values[value]


def chosen_names(what: str, given: str | Iterable[str], known: Sequence[str]) -> list[str]:
    """One name or several, each of them known and given once.

    Raises:
        InvalidArgumentError: there is none, one is not known, or one is given twice
    """
    names = [given] if isinstance(given, str) else list(given)
    if not names:
        raise InvalidArgumentError(f"{what} is empty; it takes some of {listed(known)}")
    for name in names:
        if name not in known:
            raise InvalidArgumentError(f"{name!r} in {what} is none of {listed(known)}")
    refuse_twice(what, names)
    return names


def refuse_twice(what: str, values: Sequence[int | str]) -> None:
    """Refuses a list that holds a value twice."""
    for value in values:
        if values.count(value) > 1:
            raise InvalidArgumentError(f"{what} holds {value!r} twice")


def listed(names: Iterable[str]) -> str:
    """Names in quotes, for a message.

    >>> listed(["int8", "packed"])
    "'int8', 'packed'"
    """
    return ", ".join(map(repr, names))
