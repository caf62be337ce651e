"""How large the folder of converted networks may be, and which of its files are removed."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from fne.errors import InvalidArgumentError

#: The size in GB (1e9 bytes) where the variable says none.
_DEFAULT_GB = 10.0
#: What was used within these seconds may be about to be opened by another process, and stays.
_GRACE_SECONDS = 600.0
#: A folder in which an export was interrupted is removed after these seconds.
_UNFINISHED_SECONDS = 86400.0
#: How the names of folders begin in which files are made.
UNFINISHED = "unfinished-"

#: The names of files that this package makes. Others may be the user's, and stay. A file that was being written when
#: its process ended has 16 digits at the end.
_OWN = re.compile(
    r"(?P<network>(?:keras|saved-model|torch|timm|torchvision|efficientnet_lite0)-.+?)"
    r"\.(?:pb|json|onnx|onnx\.data|(?:preprocessor_)?config\.json)(?:\.[0-9a-f]{16})?"
)
#: What this process has used. It may open it again, such as for a copy of an extractor.
_used: set[str] = set()


def cache_limit() -> int | None:
    """The most bytes that the cache may hold, by the variable FNE_CACHE_GB; None: any number.

    Raises:
        InvalidArgumentError: the variable is no number of at least 0
    """
    text = os.environ.get("FNE_CACHE_GB") or str(_DEFAULT_GB)
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = -1.0
    if not 0 <= gigabytes < 1e9:
        raise InvalidArgumentError(
            f"the environment variable FNE_CACHE_GB is {text!r}; it must be the most GB that the cache may hold, such "
            "as 10 or 0.5, or 0 for no limit"
        )
    return int(gigabytes * 1e9) if gigabytes else None


@contextmanager
def locked(folder: Path, *, alone: bool = False) -> Iterator[None]:
    """Keeps other processes from removing files of the cache, or with `alone` from looking for them."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # there is no folder yet; what comes next says so where it matters
        yield
        return
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def mark_used(path: Path) -> None:
    """Notes that a file of the cache is used now. Its time of change stays, as others may know it by that.

    Raises:
        FileNotFoundError: there is no such file
    """
    facts = os.stat(path)
    _used.add(_network_of(path.name) or path.name)
    with suppress(OSError):  # a cache that belongs to another user, or cannot be written to
        os.utime(path, ns=(time.time_ns(), facts.st_mtime_ns))


@dataclass
class _Network:
    """The files of one network."""

    files: list[str] = field(default_factory=list)
    size: int = 0
    last_use: float = 0.0


def remove_oldest(folder: Path, limit: int) -> None:
    """Removes the networks that were used longest ago, until the others have at most `limit` bytes.

    What this process has used stays, and so does what any process has used within the last ten minutes.
    """
    now = time.time()
    with locked(folder, alone=True):
        _remove_unfinished(folder, now)
        networks = _networks(folder)
        total = sum(network.size for network in networks.values())
        for name, network in sorted(networks.items(), key=lambda item: item[1].last_use):
            if total <= limit:
                return
            if name in _used or now - network.last_use < _GRACE_SECONDS:
                continue
            # What the others belong to goes first, so that it is never there without them.
            for file in sorted(network.files, key=lambda file: (not file.endswith((".pb", ".onnx")), file)):
                with suppress(OSError):
                    os.unlink(folder / file)
            total -= network.size


def _networks(folder: Path) -> dict[str, _Network]:
    """The networks in the cache by their names."""
    found: dict[str, _Network] = {}
    for entry in os.scandir(folder):
        name = _network_of(entry.name)
        with suppress(FileNotFoundError):  # removed by hand meanwhile
            if name is None or not entry.is_file(follow_symlinks=False):
                continue
            facts = entry.stat(follow_symlinks=False)
            network = found.setdefault(name, _Network())
            network.files.append(entry.name)
            network.size += facts.st_size
            network.last_use = max(network.last_use, facts.st_atime, facts.st_mtime)
    return found


def _network_of(name: str) -> str | None:
    """The name that the files of one network have in common; None: this is none of them."""
    matched = _OWN.fullmatch(name)
    return None if matched is None else matched["network"]


def _remove_unfinished(folder: Path, now: float) -> None:
    for entry in os.scandir(folder):
        with suppress(OSError):
            is_own = entry.name.startswith(UNFINISHED) and entry.is_dir(follow_symlinks=False)
            if is_own and now - entry.stat().st_mtime > _UNFINISHED_SECONDS:
                shutil.rmtree(entry.path)
