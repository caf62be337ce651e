"""Which TensorFlow runs the networks."""

from __future__ import annotations

import ctypes
import os

from fne import errors
from fne._ffi import check, lib
from fne._libpath import tensorflow_library


def load_backend(path: str | os.PathLike[str] | None = None) -> None:
    """Loads TensorFlow's C library, once for the process. The first `Extractor` does it by itself.

    Args:
        path: the library or its folder. None takes the first of these that exists: what FNE_TENSORFLOW names, the
            installed tensorflow wheel's library (tensorflow itself is not imported), a copy that is in the process
            already, the one on the system's library path.

    Raises:
        BackendUnavailableError: no library was found; the message lists what was tried
        BackendConflictError: another copy is in the process already
        OutOfMemoryError: a limit (`ulimit -v`) leaves TensorFlow too little address space
    """
    if path is not None:
        check(lib.fne_backend_load(os.fsencode(path)))
        return
    wheel = None if os.environ.get("FNE_TENSORFLOW") or backend_info()[0] else tensorflow_library()
    if wheel is not None:
        try:
            check(lib.fne_backend_load(os.fsencode(wheel)))
            return
        except errors.BackendConflictError:
            pass  # the copy that is in the process will do
    check(lib.fne_backend_load(None))


def backend_info() -> tuple[str, str]:
    """The version and the file of the loaded TensorFlow; two empty strings before one is loaded."""
    version, path = ctypes.c_char_p(), ctypes.c_char_p()
    check(lib.fne_backend_info(ctypes.byref(version), ctypes.byref(path)))
    return (version.value or b"").decode(), os.fsdecode(path.value or b"")
