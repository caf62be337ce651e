"""The entries of a configuration that others wrote. What cannot be taken of it is noted."""

from __future__ import annotations

import math
from collections.abc import Container
from typing import Any


class Entries:
    """The members of a JSON object, each asked for by its name. `notes` says what was not taken.

    >>> entries = Entries({"crop_pct": 0.9, "colour": "red"})
    >>> entries.number("crop_pct", 1.0)
    0.9
    >>> entries.note_others(known=())
    >>> entries.notes
    ["the entry 'colour' is not known, and is not taken"]
    """

    def __init__(self, members: dict[str, Any]) -> None:
        self._members = members
        self._asked: set[str] = set()
        self.notes: list[str] = []

    def __contains__(self, name: str) -> bool:
        return self._members.get(name) is not None

    def get(self, name: str) -> Any:
        """The member as it is; None: there is none."""
        self._asked.add(name)
        return self._members.get(name)

    def flag(self, name: str, otherwise: bool) -> bool:
        """A truth value."""
        value = self.get(name)
        if value is None or isinstance(value, bool):
            return otherwise if value is None else value
        self.note(name)
        return otherwise

    def number(self, name: str, otherwise: float) -> float:
        """A number above 0."""
        value = self.get(name)
        if value is None:
            return otherwise
        if _is_number(value) and value > 0:
            return float(value)
        self.note(name)
        return otherwise

    def word(self, name: str, otherwise: str) -> str:
        """A text."""
        value = self.get(name)
        if isinstance(value, str):
            return value
        if value is not None:
            self.note(name)
        return otherwise

    def channels(self, name: str, least: float = -math.inf) -> tuple[float, ...] | None:
        """A number for each channel, each above `least`. None: there is none that can be taken."""
        value = self.get(name)
        value = [value] if _is_number(value) else value
        if isinstance(value, list) and len(value) in (1, 3) and all(_is_number(one) and one > least for one in value):
            return tuple(float(one) for one in value)
        if value is not None:
            self.note(name)
        return None

    def side(self, name: str, value: Any) -> int | None:
        """A side in pixels, which is part of the member of that name."""
        if type(value) is int and 1 <= value <= 16384:
            return value
        self.note(name)
        return None

    def note(self, name: str, done: str = "is not taken") -> None:
        """Notes that a member cannot be taken as it is."""
        self.notes.append(f"the entry {name!r} is {self._members.get(name)!r}, which libfne cannot do; it {done}")

    def note_others(self, known: Container[str]) -> None:
        """Notes the members that nobody asked for, but for known ones that change nothing."""
        for name in self._members:
            if name not in self._asked and name not in known and not name.startswith("_"):
                self.notes.append(f"the entry {name!r} is not known, and is not taken")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
