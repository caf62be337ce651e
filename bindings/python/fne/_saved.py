"""Saved files that may come from others. They are checked before they are used."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from fne.errors import FileError, FNEError, MissingFileError, SavedDataError

_MOST = 2**53  # the integers below it are exact in every reader of JSON


def parsed(data: bytes, shape: Any, name: str) -> Any:
    """The value that a JSON text holds.

    Args:
        shape: what the value must look like: str, bool, int or float (a finite number of either kind); None; a tuple of
            shapes of which one must fit; a list of one shape, which each item must have; a dictionary of the members
            that an object must have, which may have further ones
        name: the text's, for the messages

    Raises:
        SavedDataError: the text is not JSON, gives a member twice, or has another shape

    >>> parsed(b'{"name": "a", "sizes": [1, 2]}', {"name": str, "sizes": [int]}, "'x.json'")
    {'name': 'a', 'sizes': [1, 2]}
    >>> parsed(b'{"name": "a", "sizes": [1, "b"]}', {"name": str, "sizes": [int]}, "'x.json'")
    Traceback (most recent call last):
    ...
    fne.errors.SavedDataError: 'x.json' is damaged: sizes[1] is missing or wrong
    """
    try:
        value = json.loads(data, object_pairs_hook=_object, parse_constant=_no_number)
    except (ValueError, RecursionError) as failure:
        raise SavedDataError(f"{name} is damaged: {failure}") from None
    wrong = _difference(value, shape, "")
    if wrong is not None:
        raise SavedDataError(f"{name} is damaged: {wrong.lstrip('.') or 'its value'} is missing or wrong")
    return value


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(members)
    if len(result) < len(members):  # another reader could take another one of the two
        raise SavedDataError("a member is there twice")
    return result


def _no_number(text: str) -> Any:
    raise SavedDataError(f"{text} is no number")


def _difference(value: Any, shape: Any, place: str) -> str | None:
    """Where the value differs from the shape; None: nowhere."""
    if isinstance(shape, tuple):
        found = [_difference(value, one, place) for one in shape]
        return None if None in found else found[-1]
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return place
        parts = ((value.get(key, ...), inner, f"{place}.{key}") for key, inner in shape.items())
    elif isinstance(shape, list):
        if not isinstance(value, list):
            return place
        parts = ((item, shape[0], f"{place}[{number}]") for number, item in enumerate(value))
    else:
        return None if _fits(value, shape) else place
    return next((wrong for part in parts if (wrong := _difference(*part)) is not None), None)


def _fits(value: Any, kind: Any) -> bool:
    if kind is None:
        return value is None
    if kind is float and type(value) is float:
        return math.isfinite(value)
    if kind in (int, float):
        return type(value) is int and abs(value) < _MOST
    return type(value) is kind


def content(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        FileError: the file cannot be read
    """
    with file_errors(path):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise MissingFileError(f"'{path}' does not exist") from None


@contextmanager
def file_errors(path: Path, done: str = "read") -> Iterator[None]:
    """Makes a FileError, which names the file, of each error of the system in its body.

    Args:
        done: what cannot be done: "'x' cannot be read"
    """
    try:
        yield
    except FNEError:
        raise
    except OSError as failure:
        raise FileError(f"'{path}' cannot be {done}: {failure.strerror}") from failure


def exists(path: Path) -> bool:
    """Whether a file or a folder is at the path.

    Raises:
        FileError: a failing disk does not tell
    """
    with file_errors(path):
        return path.exists()


def mapped_array(path: Path) -> NDArray[Any]:
    """The array of a .npy file, memory-mapped, so that a header with absurd sizes takes no memory.

    Raises:
        SavedDataError: the file is damaged
    """
    try:
        array: NDArray[Any] = numpy.lib.format.open_memmap(path, mode="r")
    except OSError as failure:
        raise FileError(f"'{path}' cannot be read: {failure.strerror}") from failure
    except Exception as failure:  # for damaged headers, numpy raises exceptions of every kind
        raise SavedDataError(f"'{path}' is damaged: {failure}") from None
    return array
