"""Checks of arguments that many functions share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy

Value = TypeVar("Value")


def as_count(name: str, value: Any, least: int = 1) -> int:
    """An integer of Python's own.

    Raises:
        ValueError: the value is no integer, or is below `least` (1 or 0)
    """
    if isinstance(value, (int, numpy.integer)) and not isinstance(value, bool) and least <= value < 2**31:
        return int(value)
    raise ValueError(f"{name} is {value!r}; it must be {'a positive integer' if least else 'an integer of at least 0'}")


def choice(name: str, value: str, values: Mapping[str, Value]) -> Value:
    """What a word stands for.

    Raises:
        ValueError: the word is not among the keys
    """
    if value not in values:
        raise ValueError(f"{name} is {value!r}; it must be one of {listed(values)}")
    return values[value]


def listed(names: Iterable[str]) -> str:
    """Names in quotes, for a message.

    >>> listed(["int8", "packed"])
    "'int8', 'packed'"
    """
    return ", ".join(map(repr, names))
