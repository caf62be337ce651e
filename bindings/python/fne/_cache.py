"""The folder of converted networks, and files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fne._cache_limit import UNFINISHED, cache_limit, locked, mark_used, remove_oldest
from fne.errors import FileError

#: What helps where the folder is missing or closed.
WAY_OUT = "set FNE_CACHE to a folder that you can write to"


def cache_folder() -> Path:
    """The folder of converted networks: FNE_CACHE, else fne in XDG_CACHE_HOME, else ~/.cache/fne.

    Raises:
        FileError: there is no home folder, and neither variable is set
    """
    given = os.environ.get("FNE_CACHE")
    if given:
        return Path(given)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fne"
    except RuntimeError:
        raise FileError(f"there is no home folder to keep converted networks in; {WAY_OUT}") from None


def cached(name: str, make: Callable[[], bytes]) -> Path:
    """The file of that name in the cache. It is made where it does not exist.

    Raises:
        FileError: the cache cannot be read or written; the message names the variable FNE_CACHE
        InvalidArgumentError: the variable FNE_CACHE_GB is no number
    """
    path = cache_folder() / name
    if _is_there(path):
        return path
    content = make()
    with _explained(path.parent):
        write_atomically(path, content)
    return _limited(path)


def cached_files(name: str, make: Callable[[Path], None]) -> Path:
    """As `cached`, for a file that may have others beside it, whose names begin as its own.

    Args:
        make: writes the file, and those beside it, to the path that it is given, which is in an empty folder
    """
    path = cache_folder() / name
    if _is_there(path):
        return path
    with _explained(path.parent), tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=path.parent) as folder:
        made = Path(folder, name)
        make(made)
        # The file itself comes last, so that those beside it exist wherever it does.
        for file in sorted(os.listdir(folder), key=lambda file: file == name):
            os.replace(made.with_name(file), path.with_name(file))
    return _limited(path)


def _is_there(path: Path) -> bool:
    """Whether a file is in the cache. Where it is, it is marked as used; where not, the cache is made ready for it."""
    cache_limit()  # it raises before a file is made, which may take minutes
    with _explained(path.parent):
        with locked(path.parent), suppress(FileNotFoundError):
            mark_used(path)
            return True
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            raise FileError(f"the cache '{path.parent}' cannot be written to; {WAY_OUT}")
    return False


def _limited(path: Path) -> Path:
    """The path of a new file in the cache, which is then brought to its limit."""
    limit = cache_limit()
    with _explained(path.parent):
        mark_used(path)
        if limit is not None:
            remove_oldest(path.parent, limit)
    return path


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except FileError:
        raise
    except OSError as failure:
        raise FileError(f"the cache '{folder}' cannot be used: {failure.strerror}; {WAY_OUT}") from failure


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file in one step: a reader, or another process that writes it too, never sees half of it.

    The file has the rights that new files have in its folder, so that others can read it where the umask lets them.
    """
    temporary = path.with_name(f"{path.name}.{os.urandom(8).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
