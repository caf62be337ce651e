"""Photographs that other packages' wheels contain."""

from __future__ import annotations

import importlib.util
import os

from fne.errors import MissingFileError

# Photographs, not diagrams, textures or microscopy.
_NAMES = {
    "sklearn": ("datasets/images", ["china.jpg", "flower.jpg"]),
    "skimage": (
        "data",
        ["astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg"],
    ),
}


def sample_images() -> list[str]:
    """Paths of sample photographs: those that the installed scikit-learn and scikit-image contain.

    They show a temple, a flower, an astronaut, a cat, a cup of coffee, a motorcycle (twice) and a rocket. Neither
    package is imported.

    Raises:
        MissingFileError: neither package is installed
    """
    paths = []
    for package, (folder, names) in _NAMES.items():
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec is not None else []:
            paths += [path for name in names if os.path.exists(path := os.path.join(place, folder, name))]
    if not paths:
        raise MissingFileError(
            "no sample photographs: install scikit-learn or scikit-image, or name a folder of images"
        )
    return paths
