"""Images: the decoder and the resizing that the extractor uses."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne import _ffi, _pillow
from fne._arguments import as_array, as_size, choice, is_pillow_image, path_bytes
from fne._ffi import check, lib
from fne.errors import ImageError, InvalidArgumentError

INTERPOLATIONS = {"bilinear": 0, "antialiased": 1, "bicubic": 2}

#: The limits of `ImageOptions`, and the most that each can be set to.
_LIMITS = {
    "max_bytes": 2**40,
    "max_pixels": 2**40,
    "max_chunk_bytes": 2**40,
    "max_scans": 2**30,
    "max_side": 2**31 - 1,
    "max_expansion": 2**30,
}


@dataclass(frozen=True)
class ImageOptions:
    """Which images are refused before memory is taken for them, and what is done with damaged ones.

    None means libfne's default, which stands in brackets.

    Attributes:
        max_bytes: the most bytes of an encoded image (2^30)
        max_pixels: the most pixels, height times width. It also limits an image that is resized with its aspect (2^28).
        max_chunk_bytes: the most bytes of a PNG chunk (2^26). Image data are read in pieces, and text and colour
            profiles are skipped without being decompressed, so it does not limit these.
        max_scans: the most scans of a progressive JPEG. Each costs a pass over the picture (100).
        tolerate_truncation: take what can be read of a truncated or damaged JPEG or PNG, instead of raising. What is
            missing is grey or black, and the log says so (`fne.set_log_callback`).
        max_side: the most pixels of a side (65,535)
        max_expansion: the most bytes that decoding goes through, for each byte of the encoded image (275). An image
            below 1 MiB counts as one of 1 MiB. A pixel counts 3 bytes, and 3 more if the picture is turned. To these
            come what a PNG's image data inflate to, and the coefficients of each scan of a JPEG. `fne_image_options` in
            fne.h has the whole rule. A large page that is all but blank may be beyond the default.
    """

    max_bytes: int | None = None
    max_pixels: int | None = None
    max_chunk_bytes: int | None = None
    max_scans: int | None = None
    tolerate_truncation: bool = False
    max_side: int | None = None
    max_expansion: int | None = None


def image_options_struct(options: ImageOptions | None) -> Any:
    """The options as the struct that fne.h calls fne_image_options; None: the defaults."""
    options = options or ImageOptions()
    struct = _ffi.defaults(_ffi.ImageOptions, lib.fne_image_options_init)
    for name, largest in _LIMITS.items():
        value = getattr(options, name)
        if value is None:
            continue
        if not isinstance(value, (int, numpy.integer)) or not 1 <= value <= largest:
            raise InvalidArgumentError(f"{name} is {value!r}; it must be an integer from 1 to {largest}")
        setattr(struct, name, int(value))
    struct.tolerate_truncation = bool(options.tolerate_truncation)
    return struct


class ImageHeader(NamedTuple):
    """What an image's header says.

    height, width: in pixels, after the orientation is applied
    format: "JPEG", "PNG", or Pillow's name of another format
    orientation: the EXIF orientation, 1 to 8
    """

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
    struct = image_options_struct(options)
    try:
        return _header(image, struct)
    except ImageError as refusal:
        return ImageHeader(*_pillow.header(image, refusal, struct))


def _header(image: str | os.PathLike[str] | bytes, struct: Any) -> ImageHeader:
    info = _ffi.sized(_ffi.ImageInfo)
    if isinstance(image, bytes):
        check(lib.fne_image_probe_memory(image, len(image), ctypes.byref(struct), ctypes.byref(info)))
    else:
        check(lib.fne_image_probe(path_bytes(image), ctypes.byref(struct), ctypes.byref(info)))
    return ImageHeader(info.height, info.width, _ffi.FORMATS[info.format], info.orientation)


def read_image(image: Any, *, options: ImageOptions | None = None) -> NDArray[numpy.uint8]:
    """Decodes an image.

    JPEG and PNG are decoded as OpenCV's imread does, but to RGB. Pillow, where it is installed, decodes other formats.

    Args:
        image: a path, the encoded bytes, or a `PIL.Image.Image`
        options: None: `ImageOptions()`

    Returns:
        uint8 [height, width, 3]. The orientation of the EXIF data is applied, alpha is dropped, and 16 bits are cut to
        8. Of several pictures in a file, this is the first.

    Raises:
        FileError: the file is missing, is a folder, is empty or cannot be read
        ImageError: the format cannot be read, or the image is damaged or beyond the limits
    """
    struct = image_options_struct(options)
    if is_pillow_image(image):
        return _pillow.to_rgb(image, struct)
    try:
        header = _header(image, struct)
    except ImageError as refusal:
        return _pillow.read(image, refusal, struct)
    pixels = numpy.empty((header.height, header.width, 3), numpy.uint8)
    target = (ctypes.byref(struct), pixels.ctypes.data, pixels.size, None)
    if isinstance(image, bytes):
        check(lib.fne_image_decode_memory(image, len(image), *target))
    else:
        check(lib.fne_image_decode(path_bytes(image), *target))
    return pixels


def resize(
    pixels: NDArray[numpy.uint8], size: int | tuple[int, int], *, interpolation: str = "bilinear"
) -> NDArray[numpy.uint8]:
    """Resizes pixels.

    Args:
        pixels: uint8 [height, width, 3]
        size: (height, width) of the result, or one number for a square
        interpolation: "bilinear" is OpenCV's INTER_LINEAR, which skips most pixels where it shrinks much.
            "antialiased" is Pillow's BILINEAR, a weighted mean of all pixels that a new one covers.
    """
    pixels = numpy.ascontiguousarray(as_array("pixels", pixels))
    if pixels.dtype != numpy.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InvalidArgumentError(f"pixels are {pixels.dtype} {pixels.shape}; they must be uint8 [height, width, 3]")
    height, width = as_size("size", size)
    resized = numpy.empty((height, width, 3), numpy.uint8)
    source = (pixels.ctypes.data, pixels.shape[0], pixels.shape[1])
    method = choice("interpolation", interpolation, INTERPOLATIONS)
    check(lib.fne_image_resize(*source, method, resized.ctypes.data, height, width, resized.size))
    return resized
