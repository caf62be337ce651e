"""Small pictures of images."""

from __future__ import annotations

import struct
import zlib

import numpy
from numpy.typing import NDArray

from fne._images import resize


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
