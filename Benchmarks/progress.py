"""How far the benchmark is, on the standard error: the part, what it measures, the round, and the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import NamedTuple, TextIO

from figures import given_by_bench

from fne._progress import duration

#: Seconds between two lines, unless something else is measured.
PAUSE = 5.0
#: So many seconds of the run are believed to take as long as expected, which keeps the first estimates steady.
BELIEVED = 20.0


class Budget(NamedTuple):
    """The seconds that are expected, on a quiet machine of two cores.

    began: when the run began, as time.time()
    before: of the parts that are done
    own: of this part
    total: of all parts
    """

    began: float
    before: float
    own: float
    total: float

    def left(self, share: float, now: float) -> float:
        """The seconds until the run's end, by how long it took so far.

        Args:
            share: how much of this part is done, from 0 to 1
        """
        done = self.before + self.own * share
        pace = (now - self.began + BELIEVED) / (done + BELIEVED)
        return max(0.0, pace * (self.total - done))


class Progress:
    """Lines such as "[speed] MobileNet V2, libfne, round 2 of 5; about 4 min left".

    Args:
        part: the name of the part; "" for a script that runs alone
        budget: None without an estimate
        clock: seconds since the epoch
    """

    def __init__(
        self, part: str, budget: Budget | None, stream: TextIO = sys.stderr, clock: Callable[[], float] = time.time
    ) -> None:
        self._part, self._budget, self._stream, self._clock = part, budget, stream, clock
        self._steps, self._done = 1, -1
        self._subject, self._shown = "", float("-inf")

    def plan(self, steps: int) -> None:
        """Says how many steps the part has. They begin anew."""
        self._steps, self._done = max(steps, 1), -1

    def step(self, subject: str, *details: str) -> None:
        """Begins a step. A line is written if the subject is new, or the last line is a while ago."""
        self._done += 1
        now = self._clock()
        if subject == self._subject and now - self._shown < PAUSE:
            return
        self._subject, self._shown = subject, now
        self._stream.write(self._line(", ".join((subject, *details)), now) + "\n")
        self._stream.flush()

    def rounds(self, subject: str, count: int, *details: str) -> Callable[[int], None]:
        """A function for `taking_turns`, for which each round is a step."""
        return lambda number: self.step(subject, *details, f"round {number} of {count}")

    def _line(self, text: str, now: float) -> str:
        name = f"[{self._part}] " if self._part else ""
        if self._budget is None:
            return name + text
        left = self._budget.left(min(self._done / self._steps, 1.0), now)
        return f"{name}{text}; about {duration(left)} left"


def _of_this_part() -> Progress:
    told = given_by_bench()
    return Progress(told.get("part", ""), Budget(*told["budget"]) if told else None)


#: That of this process.
progress = _of_this_part()
