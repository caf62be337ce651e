"""Images: the decoder and the resize that the extractor uses."""

from __future__ import annotations

import ctypes
import os
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from fne import _ffi
from fne._ffi import check, lib


class ImageHeader(NamedTuple):
    """What an image's header says: pixels after the orientation was applied, "JPEG" or "PNG", EXIF orientation 1-8."""

    height: int
    width: int
    format: str
    orientation: int


def image_info(image: str | os.PathLike[str] | bytes) -> ImageHeader:
    """Reads an image's header.

    Args:
        image: a path, or the encoded bytes
    """
    info = _ffi.sized(_ffi.ImageInfo)
    if isinstance(image, bytes):
        check(lib.fne_image_probe_memory(image, len(image), ctypes.byref(info)))
    else:
        check(lib.fne_image_probe(os.fsencode(image), ctypes.byref(info)))
    return ImageHeader(info.height, info.width, _ffi.FORMATS[info.format], info.orientation)


def read_image(image: str | os.PathLike[str] | bytes) -> NDArray[numpy.uint8]:
    """Decodes a JPEG or PNG as OpenCV's imread does, but to RGB.

    Args:
        image: a path, or the encoded bytes

    Returns:
        uint8 [height, width, 3], oriented as its EXIF data ask; alpha dropped, 16 bits cut to 8.

    Raises:
        FileError: missing, a folder, empty or unreadable.
        ImageError: neither JPEG nor PNG, damaged, or too large.
    """
    header = image_info(image)
    pixels = numpy.empty((header.height, header.width, 3), numpy.uint8)
    if isinstance(image, bytes):
        check(lib.fne_image_decode_memory(image, len(image), pixels.ctypes.data, pixels.size, None))
    else:
        check(lib.fne_image_decode(os.fsencode(image), pixels.ctypes.data, pixels.size, None))
    return pixels


def resize(pixels: NDArray[numpy.uint8], size: tuple[int, int]) -> NDArray[numpy.uint8]:
    """Resizes uint8 [height, width, 3] to (height, width), bilinearly, as OpenCV's INTER_LINEAR."""
    pixels = numpy.ascontiguousarray(pixels)
    if pixels.dtype != numpy.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}; uint8 [height, width, 3] is needed")
    height, width = size
    resized = numpy.empty((height, width, 3), numpy.uint8)
    check(
        lib.fne_image_resize(
            pixels.ctypes.data, pixels.shape[0], pixels.shape[1], resized.ctypes.data, height, width, resized.size
        )
    )
    return resized
