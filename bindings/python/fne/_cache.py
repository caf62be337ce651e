"""The folder of converted networks, and files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def cache_folder() -> Path:
    """The folder of converted networks: FNE_CACHE, else fne in XDG_CACHE_HOME, else ~/.cache/fne."""
    given = os.environ.get("FNE_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fne"


def cached(name: str, make: Callable[[], bytes]) -> Path:
    """The file of that name in the cache. It is made where it does not exist."""
    path = cache_folder() / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, make())
    return path


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file in one step: a reader, or another process that writes it too, never sees half of it."""
    import tempfile  # it is slow to import, and seldom needed

    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
