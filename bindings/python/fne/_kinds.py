"""What is taken as images: the one rule of all entry points."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

from fne._arguments import as_list, is_pillow_image, refuse_masked
from fne._intake import list_images
from fne.errors import InvalidArgumentError, InvalidTypeError

TAKEN = "images are paths, encoded images as bytes, uint8 arrays [height, width, 3] or PIL.Image"


def as_images(name: str, images: Any) -> list[Any]:
    """The images of an argument: a list of them, or all below a folder.

    Raises:
        InvalidTypeError: this is one image, or nothing that can be iterated over
        FileError: the folder cannot be read
    """
    if isinstance(images, (str, os.PathLike)) and os.path.isdir(images):
        return list(list_images(images))
    one = _one_image(images)
    if one:
        raise InvalidTypeError(f"{name} is one path or image; pass a list, or a folder. It is {one}")
    return as_list(name, images)


def kind(item: Any, number: int) -> str:
    """What an item of a list of images is: "path", "encoded", "pixels" or "pillow".

    Args:
        number: the item's place in the list, for the message
    """
    if isinstance(item, (str, os.PathLike)):
        return "path"
    if isinstance(item, (bytes, bytearray, memoryview)):
        return "encoded"
    if isinstance(item, numpy.ndarray):
        check_pixels(item, number)
        return "pixels"
    if is_pillow_image(item):
        return "pillow"
    raise InvalidTypeError(f"image {number} is a {type(item).__name__}; {TAKEN}")


def as_paths(name: str, images: Sequence[Any]) -> list[str | bytes | os.PathLike[str]]:
    """The items of a list of images that must be files, because they are read again later. So bytes are paths here.

    Raises:
        InvalidTypeError: an item is no path
    """
    for number, item in enumerate(images):
        if isinstance(item, (str, bytes, os.PathLike)):
            continue
        found = kind(item, number)
        if found != "path":
            raise InvalidTypeError(
                f"image {number} of {name} is {_WORDS[found]}; a job reads its images from files, so that it can go on "
                "after an interruption. Write it to a file, or take fne.Extractor"
            )
    return list(images)


def check_pixels(pixels: NDArray[Any], number: int) -> None:
    """Refuses an array that holds no RGB pixels."""
    refuse_masked(f"the pixels of image {number}", pixels)
    if pixels.dtype != numpy.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InvalidArgumentError(
            f"image {number} is {pixels.dtype} {pixels.shape}; it must be uint8 [height, width, 3]"
        )


_WORDS = {"encoded": "an encoded image as bytes", "pixels": "an array of pixels", "pillow": "a PIL.Image"}


def _one_image(images: Any) -> str:
    """What a single image is, in words; empty where this is something else."""
    if isinstance(images, (str, os.PathLike)):
        return f"the path {os.fspath(images)!r}"
    if isinstance(images, (bytes, bytearray, memoryview)):
        return _WORDS["encoded"]
    if is_pillow_image(images):
        return _WORDS["pillow"]
    is_picture = isinstance(images, numpy.ndarray) and images.dtype == numpy.uint8 and images.ndim == 3
    return _WORDS["pixels"] if is_picture else ""
