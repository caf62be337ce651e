"""Which libraries run the networks."""

from __future__ import annotations

import ctypes
import os

from fne import errors
from fne._ffi import check, lib
from fne._libpath import engine_library

ENGINES = ("tensorflow", "onnxruntime")
_VARIABLES = {"tensorflow": "FNE_TENSORFLOW", "onnxruntime": "FNE_ONNXRUNTIME"}


def load_backend(path: str | os.PathLike[str] | None = None, engine: str = "tensorflow") -> None:
    """Loads an engine's library, once for the process. The first `Extractor` does it by itself.

    Args:
        path: the library or its folder. None takes the first of these that exists: what FNE_TENSORFLOW or
            FNE_ONNXRUNTIME names, the library of the installed wheel (tensorflow and onnxruntime are not imported), a
            copy that is in the process already, the one on the system's library path.
        engine: "tensorflow" or "onnxruntime"

    Raises:
        BackendUnavailableError: no library was found; the message lists what was tried
        BackendConflictError: another copy is in the process already. Python's onnxruntime is none: the two do not meet.
        BackendError: ONNX Runtime does not start
        OutOfMemoryError: a limit (`ulimit -v`) leaves TensorFlow too little address space
        ValueError: there is no such engine
    """
    name = os.fsencode(engine)
    if path is not None:
        check(lib.fne_engine_load(name, os.fsencode(path)))
        return
    loaded = backend_info(engine)[0]
    wheel = None if loaded or os.environ.get(_VARIABLES[engine]) else engine_library(engine)
    if wheel is not None:
        try:
            check(lib.fne_engine_load(name, os.fsencode(wheel)))
            return
        except errors.BackendConflictError:
            pass  # the copy that is in the process will do
    check(lib.fne_engine_load(name, None))


def is_installed(engine: str) -> bool:
    """Whether an engine's library is named, in an installed wheel, or in the process already.

    The libraries on the system's library path are not looked for: only loading one shows that it is there.
    """
    named = os.environ.get(_VARIABLES[engine])
    return bool(named or engine_library(engine) or backend_info(engine)[1])


def backend_info(engine: str = "tensorflow") -> tuple[str, str]:
    """The version and the file of an engine's loaded library; two empty strings before one is loaded.

    Args:
        engine: "tensorflow" or "onnxruntime"

    Raises:
        ValueError: there is no such engine
    """
    version, path = ctypes.c_char_p(), ctypes.c_char_p()
    check(lib.fne_engine_info(os.fsencode(engine), ctypes.byref(version), ctypes.byref(path)))
    return (version.value or b"").decode(), os.fsdecode(path.value or b"")
