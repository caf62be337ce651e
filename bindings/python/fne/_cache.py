"""The folder of converted networks, and files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

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
    """
    path = cache_folder() / name
    with _explained(path.parent):
        if path.exists():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):  # to make the file may take minutes
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    content = make()
    with _explained(path.parent):
        write_atomically(path, content)
    return path


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
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
