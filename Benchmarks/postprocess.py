"""Standardize and ternarize, float32 to int8, on one thread, and exact statistics, beside NumPy. A part of
`make bench`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from figures import figure, ratios, taking_turns
from networks import ROOT
from progress import progress
from settings import parse, parser

sys.path.insert(0, str(ROOT / "Tests/python"))


def seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    given = parse(parser(__doc__))
    import implementation_a
    import numpy as np

    import fne

    x = np.random.default_rng(1).random((2048, 8280), np.float32)
    mean, std = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    copy, codes = np.empty_like(x), np.empty(x.shape, np.int8)
    stats = np.stack([mean, std])
    ways: dict[str, Callable[[], Any]] = {
        "copy": lambda: np.copyto(copy, x),
        "ternarize": lambda: fne.ternarize(x, mean, std, out=codes),
        "original": lambda: implementation_a.embed(x.astype(np.float64), stats),
        "statistics": lambda: fne.Statistics(x.shape[1]).update(x),
    }
    progress.plan(given.rounds)
    begin = progress.rounds("post-processing", given.rounds)
    times = taking_turns({name: partial(seconds, way) for name, way in ways.items()}, given.rounds, 1, begin)
    print(f"post-processing of {x.shape[0]} x {x.shape[1]} float32 ({x.nbytes / 1e6:.0f} MB), one thread")
    copying = figure("ternarize, of the speed of numpy's copy", "ratio", ratios(times["copy"], times["ternarize"]))
    original = ratios(times["original"], times["ternarize"])
    slower = figure("ternarize, times the original's numpy code", "ratio", original, 1)
    print(f"  ternarize: {copying} of the speed of numpy's copy, {slower} times the original's numpy code")
    nanoseconds = figure("exact statistics, a value", "ns", [each / x.size * 1e9 for each in times["statistics"]])
    print(f"  exact statistics: {nanoseconds} ns a value")


if __name__ == "__main__":
    main()
