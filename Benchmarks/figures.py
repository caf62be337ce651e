"""The figures of the benchmark: rounds, medians with their ranges, and the JSON file that keeps them.

A script measures by `taking_turns`, gives each figure to `figure`, and prints the text that this returns. Run by
bench.py, the script has a file in the environment variable FNE_BENCH, and each figure goes there at once. So a run that
is stopped leaves what it has measured. Run alone, the script only prints.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from fne._cache import write_atomically

Measured = TypeVar("Measured")

#: The form of the JSON file. It grows when a reader of the former form would be wrong.
FORM = 1
#: The variable of the environment in which bench.py tells a part what it is: an object in JSON.
VARIABLE = "FNE_BENCH"


# ---- medians


class Spread(NamedTuple):
    """The median of some rounds, and how far they are apart."""

    median: float
    smallest: float
    largest: float
    rounds: int

    def text(self, decimals: int = 2) -> str:
        """The median with its range. One round has no range.

        >>> Spread(1.5, 1.25, 2.0, 3).text(), Spread(12.0, 12.0, 12.0, 1).text(0)
        ('1.50 (1.25 to 2.00)', '12')
        """
        middle = f"{self.median:.{decimals}f}"
        if self.rounds == 1:
            return middle
        return f"{middle} ({self.smallest:.{decimals}f} to {self.largest:.{decimals}f})"


def spread(values: float | Sequence[float]) -> Spread:
    """The median, the smallest and the largest of the rounds. A number alone is one round."""
    found = [float(value) for value in (values if isinstance(values, Iterable) else [values])]
    if not found:
        raise ValueError("a figure needs at least one round")
    if not all(map(math.isfinite, found)):
        raise ValueError(f"a figure needs finite numbers: {found}")
    return Spread(statistics.median(found), min(found), max(found), len(found))


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """The ratio of each round. Their median holds on a noisy machine, where that of the medians does not."""
    return [above / below for above, below in zip(numerators, denominators, strict=True)]


def taking_turns(
    ways: Mapping[str, Callable[[], Measured]],
    rounds: int,
    warm: int = 0,
    begin: Callable[[int], None] | None = None,
) -> dict[str, list[Measured]]:
    """What each way returns in each round. Each round begins with another way, since the first may be disturbed.

    Args:
        warm: rounds before these, which are left out
        begin: is called with a round's number, from 1 on, before it begins. Those that are left out have none.
    """
    found: dict[str, list[Measured]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(-warm, rounds):
        if begin is not None and number >= 0:
            begin(number + 1)
        first = number % len(names)
        for name in names[first:] + names[:first]:
            result = ways[name]()
            if number >= 0:
                found[name].append(result)
    return found


# ---- the file


class Record:
    """A JSON file with the figures of a run. Each change is written at once, as a whole.

    One process at a time has it: bench.py, or a part while bench.py waits for it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: dict[str, Any] = json.loads(path.read_text())

    @staticmethod
    def begin(path: Path, parts: Sequence[str], **facts: Any) -> Record:
        """A new file, without any figure.

        Args:
            parts: the names of those that will be measured
            facts: of the run, such as the machine and whether it is a trial
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        told = {part: {"status": "not begun"} for part in parts}
        _write(path, {"form": FORM, "complete": False, **facts, "parts": told, "figures": [], "left_out": []})
        return Record(path)

    def add(self, part: str, name: str, unit: str, found: Spread) -> None:
        """Adds a figure. A part has one figure of a name."""
        if any((figure["part"], figure["name"]) == (part, name) for figure in self.content["figures"]):
            raise ValueError(f"the part {part} has two figures of the name '{name}'")
        self.content["figures"].append({"part": part, "name": name, "unit": unit, **found._asdict()})
        _write(self.path, self.content)

    def leave_out(self, part: str, what: str, why: str) -> None:
        self.content["left_out"].append({"part": part, "what": what, "why": why})
        _write(self.path, self.content)

    def tell(self, part: str, status: str, **facts: Any) -> None:
        """Sets what became of a part: measuring, measured, left out, failed, or interrupted."""
        self.content["parts"][part] = {"status": status, **facts}
        _write(self.path, self.content)

    def finish(self) -> None:
        self.content["complete"] = all(part["status"] == "measured" for part in self.content["parts"].values())
        self.content["complete"] &= not self.content["left_out"]
        _write(self.path, self.content)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    write_atomically(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


# ---- what a part calls


def given_by_bench() -> dict[str, Any]:
    """What bench.py tells the part: its name, the file, and the times that are expected. Empty for a script alone."""
    found: dict[str, Any] = json.loads(os.environ.get(VARIABLE, "{}"))
    return found


def figure(name: str, unit: str, values: float | Sequence[float], decimals: int = 2) -> str:
    """Keeps a figure, and returns its text: the median with the range of the rounds.

    Args:
        name: tells what was measured, on which network, by what. A part has each name once.
        unit: such as "ms", "images/s", "MB"; "ratio" for what has none
        values: of each round
        decimals: of the text. The file has all.
    """
    found = spread(values)
    told = given_by_bench()
    if told:
        Record(Path(told["file"])).add(told["part"], name, unit, found)
    return found.text(decimals)


def left_out(what: str, why: str) -> None:
    """Says and keeps that something was not measured. The rest goes on."""
    print(f"  {what}: left out: {why}", flush=True)
    told = given_by_bench()
    if told:
        Record(Path(told["file"])).leave_out(told["part"], what, why)


def print_at_once() -> None:
    """Makes each line of the standard output appear when it is printed, in a pipe too."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
