"""Images: the decoder and the resize that the extractor uses."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne import _ffi, _pillow
from fne._ffi import check, lib
from fne.errors import ImageError

INTERPOLATIONS = {"bilinear": 0, "antialiased": 1}


@dataclass(frozen=True)
class ImageOptions:
    """What is refused of images before its memory is taken, and what is done with damage. None: libfne's default.

    Attributes:
        max_bytes: of an encoded image (2^30)
        max_pixels: height times width, also when it is resized with its aspect (2^28)
        max_chunk_bytes: of a PNG chunk (2^26); image data are read in pieces, and text and colour profiles skipped
            without being decompressed: these are not limited
        max_scans: of a progressive JPEG, each of which costs a pass over the picture (100)
        tolerate_truncation: take what can be had of a truncated or damaged JPEG or PNG instead of raising; what is
            missing is grey or black, and the log tells (`fne.set_log_callback`)
    """

    max_bytes: int | None = None
    max_pixels: int | None = None
    max_chunk_bytes: int | None = None
    max_scans: int | None = None
    tolerate_truncation: bool = False

    def _struct(self) -> Any:
        options = _ffi.defaults(_ffi.ImageOptions, lib.fne_image_options_init)
        for name, largest in (("max_bytes", 2**40), ("max_pixels", 2**40), ("max_chunk_bytes", 2**40), ("max_scans", 2**30)):
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, (int, numpy.integer)) or not 1 <= value <= largest:
                raise ValueError(f"{name} is {value!r}; it must be an integer, 1 to {largest}")
            setattr(options, name, int(value))
        options.tolerate_truncation = bool(self.tolerate_truncation)
        return options


class ImageHeader(NamedTuple):
    """What an image's header says: pixels after the orientation was applied, "JPEG", "PNG" or Pillow's name of another
    format, EXIF orientation 1-8."""

    height: int
    width: int
    format: str
    orientation: int


def image_info(image: str | os.PathLike[str] | bytes, *, options: ImageOptions | None = None) -> ImageHeader:
    """Reads an image's header.

    Args:
        image: a path, or the encoded bytes
        options: None: `ImageOptions()`
    """
    given = (options or ImageOptions())._struct()
    try:
        return _header(image, given)
    except ImageError as error:
        return ImageHeader(*_pillow.header(image, error, given.max_pixels))


def _header(image: str | os.PathLike[str] | bytes, options: Any) -> ImageHeader:
    info = _ffi.sized(_ffi.ImageInfo)
    if isinstance(image, bytes):
        check(lib.fne_image_probe_memory(image, len(image), ctypes.byref(options), ctypes.byref(info)))
    else:
        check(lib.fne_image_probe(_ffi.path(image), ctypes.byref(options), ctypes.byref(info)))
    return ImageHeader(info.height, info.width, _ffi.FORMATS[info.format], info.orientation)


def read_image(image: Any, *, options: ImageOptions | None = None) -> NDArray[numpy.uint8]:
    """Decodes a JPEG or PNG as OpenCV's imread does, but to RGB; other formats as Pillow does, where it is installed.

    Args:
        image: a path, the encoded bytes, or a `PIL.Image.Image`
        options: None: `ImageOptions()`

    Returns:
        uint8 [height, width, 3], oriented as its EXIF data ask; alpha dropped, 16 bits cut to 8; the first picture of
        several.

    Raises:
        FileError: missing, a folder, empty or unreadable.
        ImageError: of a format that cannot be read, damaged, or beyond the limits.
    """
    given = (options or ImageOptions())._struct()
    if _pillow.is_image(image):
        return _pillow.to_rgb(image, given.max_pixels)
    try:
        header = _header(image, given)
    except ImageError as error:
        return _pillow.read(image, error, given.max_pixels)
    pixels = numpy.empty((header.height, header.width, 3), numpy.uint8)
    target = (ctypes.byref(given), pixels.ctypes.data, pixels.size, None)
    if isinstance(image, bytes):
        check(lib.fne_image_decode_memory(image, len(image), *target))
    else:
        check(lib.fne_image_decode(_ffi.path(image), *target))
    return pixels


def resize(
    pixels: NDArray[numpy.uint8], size: tuple[int, int], *, interpolation: str = "bilinear"
) -> NDArray[numpy.uint8]:
    """Resizes uint8 [height, width, 3] to (height, width).

    Args:
        interpolation: "bilinear": as OpenCV's INTER_LINEAR, which leaves most pixels out when it shrinks much;
            "antialiased": as Pillow's BILINEAR, a weighted mean of all pixels that a new one covers
    """
    pixels = numpy.ascontiguousarray(pixels)
    if pixels.dtype != numpy.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}; uint8 [height, width, 3] is needed")
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"interpolation is {interpolation!r}; it must be one of {', '.join(map(repr, INTERPOLATIONS))}")
    height, width = size
    resized = numpy.empty((height, width, 3), numpy.uint8)
    old = (pixels.ctypes.data, pixels.shape[0], pixels.shape[1], INTERPOLATIONS[interpolation])
    check(lib.fne_image_resize(*old, resized.ctypes.data, height, width, resized.size))
    return resized
