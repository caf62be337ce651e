"""Small pictures of images."""

from __future__ import annotations

import os
import stat
import struct
import zlib

import numpy
from numpy.typing import NDArray

from fne._images import read_image, resize
from fne.errors import FNEError, OutOfMemoryError


def picture_below(root: str | os.PathLike[str], name: str) -> NDArray[numpy.uint8] | None:
    """The picture of that name in a folder, uint8 [height, width, 3]. None: it cannot be read, or lies elsewhere.

    The names are a job's, and the job may come from others. So a name with ../, an absolute one, or a link must not
    lead out of the folder. It must not lead to a pipe either, since reading one waits for ever.

    Raises:
        OutOfMemoryError: the picture may be good, but there is no memory for it
    """
    folder = os.path.realpath(root)
    try:
        path = os.path.realpath(os.path.join(folder, name))
        if os.path.commonpath([folder, path]) != folder or not stat.S_ISREG(os.stat(path).st_mode):
            return None
        return read_image(path)
    except OutOfMemoryError:
        raise
    except (FNEError, OSError, ValueError):  # ValueError: the name holds a zero byte
        return None


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
