"""Layer selectors over a list of names: exact names, globs, "all", "last:25%"."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Sequence

from fne.errors import error


def select(
    selectors: str | Sequence[str] | None, names: Sequence[str], default: Sequence[bool] | None = None
) -> list[int]:
    """Numbers of the layers chosen, each once, in the order asked for.

    Args:
        selectors: None: all default layers
        names: of all layers, in graph order
        default: which of them are default layers; None: all

    Raises:
        UnknownTensorError: no layer of that name
        ValueError: an empty list, or an impossible share

    >>> names = ["conv1", "conv2", "pool", "dense"]
    >>> select("last:50%", names), select(["dense", "conv*"], names)
    ([2, 3], [3, 0, 1])
    """
    defaults = [number for number in range(len(names)) if default is None or default[number]]
    if selectors is None:
        return defaults
    chosen: list[int] = []
    for selector in [selectors] if isinstance(selectors, str) else selectors:
        chosen += [number for number in _matching(selector, names, defaults) if number not in chosen]
    if not chosen:
        raise ValueError("the list of layers is empty; pass None for all")
    return chosen


def _matching(selector: str, names: Sequence[str], defaults: list[int]) -> list[int]:
    if selector == "all":
        return list(range(len(names)))
    if selector.startswith("last:") and selector.endswith("%"):
        try:
            share = float(selector[5:-1])
        except ValueError:
            share = 0
        if not 0 < share <= 100:
            raise ValueError(f"{selector!r}: the share must be above 0 % and at most 100 %")
        return defaults[len(defaults) - math.ceil(share / 100 * len(defaults)) :]
    name = selector.removeprefix("import/").removesuffix(":0")
    found = [number for number, known in enumerate(names) if known == name]
    found = found or [number for number, known in enumerate(names) if fnmatch.fnmatchcase(known, name)]
    if not found:
        raise error(10, f"there is no layer {selector!r}; the layers are {', '.join(names)}")
    return found
