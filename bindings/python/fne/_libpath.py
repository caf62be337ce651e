"""Where libfne.so and the libraries of the engines are."""

from __future__ import annotations

import glob
import importlib.util
import os
from pathlib import Path

_NAME = "libfne.so.2"


def library_candidates() -> list[str]:
    """The files to load libfne from, in order: FNE_LIBRARY alone, else the package's, the checkout's, the system's."""
    given = os.environ.get("FNE_LIBRARY")
    if given:
        return [given]
    package = Path(__file__).resolve().parent
    places = [package / "lib" / _NAME]
    if len(package.parents) > 2:
        places.append(package.parents[2] / "build" / "lib" / _NAME)
    return [str(place) for place in places if place.exists()] + [_NAME]


def engine_library(engine: str) -> str | None:
    """The library of an engine ("tensorflow" or "onnxruntime") in an installed wheel."""
    return {"tensorflow": tensorflow_library, "onnxruntime": onnxruntime_library}[engine]()


def tensorflow_library() -> str | None:
    """TensorFlow's C library in the installed tensorflow wheel. It is found without an import of tensorflow."""
    for folder in _package_folders("tensorflow"):
        for name in ("libtensorflow_cc.so.2", "libtensorflow.so.2"):
            path = os.path.join(folder, name)
            if os.path.exists(path):
                return path
    return None


def onnxruntime_library() -> str | None:
    """ONNX Runtime's library in the installed onnxruntime wheel. It is found without an import of onnxruntime."""
    for folder in _package_folders("onnxruntime"):
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), "capi", "libonnxruntime.so*"))):
            return path
    return None


def _package_folders(package: str) -> list[str]:
    """The folders of an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    return [] if spec is None else list(spec.submodule_search_locations or [])
