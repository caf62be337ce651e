"""Small pictures of images."""

from __future__ import annotations

import base64
import io
import os
import stat
import struct
import zlib

import numpy
from numpy.typing import NDArray

from fne._images import read_image, resize
from fne.errors import FNEError, OutOfMemoryError

#: Why there is no picture of an image.
NOT_FOUND, UNREADABLE = "not found", "unreadable"


def picture_below(root: str | os.PathLike[str], name: str) -> NDArray[numpy.uint8] | str:
    """The picture of that name in a folder, uint8 [height, width, 3], or why there is none.

    The names are a job's, and the job may come from others. So a name with ../, an absolute one, or a link must not
    lead out of the folder. It must not lead to a pipe either, since reading one waits for ever.

    Returns:
        the picture; NOT_FOUND: there is no file, or it lies elsewhere; UNREADABLE: the file is no good image

    Raises:
        OutOfMemoryError: the picture may be good, but there is no memory for it
    """
    folder = os.path.realpath(root)
    try:
        path = os.path.realpath(os.path.join(folder, name))
        if os.path.commonpath([folder, path]) != folder or not stat.S_ISREG(os.stat(path).st_mode):
            return NOT_FOUND
    except (OSError, ValueError):  # ValueError: the name holds a zero byte
        return NOT_FOUND
    return picture(path)


def picture(path: str | os.PathLike[str]) -> NDArray[numpy.uint8] | str:
    """The picture in a file, uint8 [height, width, 3], or UNREADABLE.

    Raises:
        OutOfMemoryError: the picture may be good, but there is no memory for it
    """
    try:
        return read_image(path)
    except OutOfMemoryError:
        raise
    except (FNEError, OSError):
        return UNREADABLE


def square(pixels: NDArray[numpy.uint8], side: int) -> NDArray[numpy.uint8]:
    """The middle of a picture, uint8 [side, side, 3]."""
    shorter = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - shorter) // 2, (pixels.shape[1] - shorter) // 2
    middle = numpy.ascontiguousarray(pixels[top : top + shorter, left : left + shorter])
    return resize(middle, (side, side), interpolation="antialiased")


def png(pixels: NDArray[numpy.uint8]) -> bytes:
    """A PNG of uint8 [height, width, 3]."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def fitted(pixels: NDArray[numpy.uint8], side: int) -> NDArray[numpy.uint8]:
    """A picture whose longer side is at most that many pixels."""
    height, width = pixels.shape[:2]
    longer = max(height, width)
    if longer <= side:
        return pixels
    size = (max(1, height * side // longer), max(1, width * side // longer))
    return resize(pixels, size, interpolation="antialiased")


def encoded(pixels: NDArray[numpy.uint8]) -> tuple[str, bytes]:
    """The type of a file and its bytes. It is a JPEG where Pillow is installed, else a PNG."""
    try:
        import PIL.Image
    except ImportError:
        return "image/png", png(pixels)
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "JPEG", quality=72)
    return "image/jpeg", buffer.getvalue()


def data_address(pixels: NDArray[numpy.uint8], side: int) -> str:
    """The middle of a picture as a data: address."""
    kind, data = encoded(square(pixels, side))
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
