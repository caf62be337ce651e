"""Where libfne.so and TensorFlow's C library are."""

from __future__ import annotations

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


def tensorflow_library() -> str | None:
    """TensorFlow's C library in the installed tensorflow wheel. It is found without an import of tensorflow."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        return None
    for folder in spec.submodule_search_locations:
        for name in ("libtensorflow_cc.so.2", "libtensorflow.so.2"):
            path = os.path.join(folder, name)
            if os.path.exists(path):
                return path
    return None
