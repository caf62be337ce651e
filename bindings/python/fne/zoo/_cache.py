"""The folder of converted networks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def cache_folder() -> Path:
    """FNE_CACHE, else fne in XDG_CACHE_HOME, else ~/.cache/fne."""
    given = os.environ.get("FNE_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fne"


def cached(name: str, make: Callable[[], bytes]) -> Path:
    """The file of that name in the cache, made when it is not there. The file appears whole or not at all, also with
    several processes at once."""
    path = cache_folder() / name
    if path.exists():
        return path
    import tempfile  # slow to import, and seldom needed

    path.parent.mkdir(parents=True, exist_ok=True)
    data = make()
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=name + ".")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path
