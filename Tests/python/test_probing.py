"""What is read of a file for its header: little, and the same as of the whole file."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from test_images import photograph

import fne
from fne._images import _header, image_options_struct

#: Bytes that are read from a file of a gigabyte, at most.
LITTLE = 100_000


def bytes_read():
    """The bytes that this process has read from files so far, also from those in the system's cache."""
    return int(Path("/proc/self/io").read_text().split()[1])


def header_of(image, **options):
    """What the library itself says of a file or of bytes. `fne.image_info` asks Pillow about other formats."""
    return _header(image, image_options_struct(fne.ImageOptions(**options)))


def probed(path):
    """What a file's header says, and how many bytes were read for it."""
    before = bytes_read()
    header = header_of(path)
    return header, bytes_read() - before


def turned(orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return exif


def saved(format, image=None, **options):
    target = io.BytesIO()
    PIL.Image.fromarray(photograph() if image is None else image).save(target, format, **options)
    return target.getvalue()


def noise(height=200, width=300):
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), np.uint8)


def lengthened(path, head, hole, tail=b""):
    """A sparse file: a head, zeros that take no room on the disk, and a tail."""
    with open(path, "wb") as file:
        file.write(head)
        file.seek(hole, os.SEEK_CUR)
        file.write(tail)
        file.truncate(max(file.tell(), len(head) + hole + len(tail)))
    return path


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


PNG_START = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 4000, 3000, 8, 2, 0, 0, 0))
PNG_END = png_chunk(b"IEND", b"")
TURNED = png_chunk(b"eXIf", turned(6).tobytes().removeprefix(b"Exif\0\0"))
HOLE = 900_000_000


# ---- little is read


def test_a_jpeg_of_a_gigabyte(tmp_path):
    """EXIF data, other segments and the frame's header come before the data."""
    data = saved("JPEG", exif=turned(6), comment=b"x" * 30_000, icc_profile=b"y" * 30_000, progressive=True)
    path = lengthened(tmp_path / "image.jpg", data, HOLE)
    header, count = probed(path)
    assert header == (83, 61, "JPEG", 6) and 60_000 < count < 2 * LITTLE
    plain = lengthened(tmp_path / "plain.jpg", saved("JPEG"), HOLE)
    header, count = probed(plain)
    assert header == (61, 83, "JPEG", 1) and count < 20_000


def test_a_png_of_a_gigabyte(tmp_path):
    """Its EXIF data may stand after the image data, so that the chunks' lengths are followed."""
    data = struct.pack(">I", HOLE) + b"IDAT"
    path = lengthened(tmp_path / "after.png", PNG_START + data, HOLE, b"\0\0\0\0" + TURNED + PNG_END)
    header, count = probed(path)
    assert header == (4000, 3000, "PNG", 6) and count < LITTLE
    path = lengthened(tmp_path / "before.png", PNG_START + TURNED + data, HOLE, b"\0\0\0\0" + PNG_END)
    header, count = probed(path)
    assert header == (4000, 3000, "PNG", 6) and count < LITTLE


def test_a_limit_of_a_chunk_after_the_data(tmp_path):
    data = struct.pack(">I", 1000) + b"IDAT" + bytes(1004) + struct.pack(">I", HOLE) + b"vpAg"
    path = lengthened(tmp_path / "chunk.png", PNG_START + data, HOLE, b"\0\0\0\0" + PNG_END)
    before = bytes_read()
    with pytest.raises(fne.errors.ImageLimitError, match="a chunk of 900000000 bytes is more .*max_chunk_bytes"):
        header_of(path)
    assert bytes_read() - before < LITTLE


@pytest.mark.parametrize("lossless", [False, True])
def test_a_webp_of_a_gigabyte(tmp_path, lossless):
    """Its EXIF data stand after the picture."""
    whole = saved("WEBP", lossless=lossless, exif=turned(8))
    assert whole[12:16] == b"VP8X" and whole[30:34] == (b"VP8L" if lossless else b"VP8 ")
    (length,) = struct.unpack("<I", whole[34:38])
    exif = whole[38 + length + length % 2 :]
    head = whole[:34] + struct.pack("<I", length + HOLE) + whole[38 : 38 + length]
    head = head[:4] + struct.pack("<I", len(head) + HOLE + len(exif) - 8) + head[8:]
    path = lengthened(tmp_path / "image.webp", head, HOLE + length % 2, exif)
    header, count = probed(path)
    assert header == (83, 61, "WEBP", 8) and count < LITTLE


def test_other_files_of_a_gigabyte(tmp_path):
    for head in (b"text", b"GIF89a"):
        path = lengthened(tmp_path / "file", head, HOLE)
        before = bytes_read()
        with pytest.raises(fne.errors.UnsupportedImageError):
            header_of(path)
        assert bytes_read() - before < LITTLE


def test_many_short_chunks_are_read_at_once(tmp_path):
    """Otherwise a file of them would take a call of the system for each 12 bytes."""
    path = tmp_path / "many.png"
    path.write_bytes(PNG_START + png_chunk(b"IDAT", b"") * 100_000 + TURNED + PNG_END)
    before = [int(line.split()[1]) for line in Path("/proc/self/io").read_text().splitlines()]
    assert header_of(path) == (4000, 3000, "PNG", 6)
    after = [int(line.split()[1]) for line in Path("/proc/self/io").read_text().splitlines()]
    assert after[2] - before[2] < 10_000  # calls that read


# ---- the same as of the whole file


def animation(**options):
    frames = [PIL.Image.fromarray(np.roll(noise(), 9 * shift, 0)) for shift in range(3)]
    target = io.BytesIO()
    frames[0].save(target, "WEBP", save_all=True, append_images=frames[1:], exif=turned(5), **options)
    return target.getvalue()


def with_alpha():
    return np.concatenate([noise(), noise()[..., :1]], axis=2)


IMAGES = {
    "jpeg": lambda: saved("JPEG", noise(), exif=turned(6), icc_profile=b"z" * 40_000),
    "progressive": lambda: saved("JPEG", noise(), progressive=True, comment=b"c" * 60_000),
    "png": lambda: saved("PNG", noise()),
    "png with EXIF at the end": lambda: saved("PNG", noise())[:-12] + TURNED + PNG_END,
    "webp": lambda: saved("WEBP", noise(), exif=turned(7), quality=100),
    "lossless webp": lambda: saved("WEBP", noise(), exif=turned(7), lossless=True),
    "webp with alpha": lambda: saved("WEBP", with_alpha(), exif=turned(3), quality=100),
    "animation": lambda: animation(quality=100),
    "lossless animation": lambda: animation(lossless=True),
}


def outcome(image, **options):
    """What is said of an image, or what is wrong with it."""
    try:
        return header_of(image, **options)
    except fne.ImageError as error:
        return type(error), str(error).split(": ", 1)[-1] if not isinstance(image, bytes) else str(error)


@pytest.mark.parametrize("name", IMAGES)
def test_files_and_bytes_agree(tmp_path, name):
    data = IMAGES[name]()
    assert len(data) > 1 << 15  # so that a part of it is left unread
    path = tmp_path / "image"
    random = np.random.default_rng(len(data))
    changed = [data]
    changed += [data[: int(end)] for end in random.integers(12, len(data), 40)]
    for place in (*range(12, 60), *random.integers(12, len(data), 60)):
        mutant = bytearray(data)
        mutant[place] ^= int(random.integers(1, 256))
        changed.append(bytes(mutant))
    for image in changed:
        path.write_bytes(image)
        for options in ({}, {"tolerate_truncation": True}, {"max_expansion": 1}):
            assert outcome(path, **options) == outcome(image, **options)


def test_nested_frames_end(tmp_path):
    """A frame inside of a frame is no frame, however deep a file nests them."""
    size = 24 * 100_000
    frames = b"".join(b"ANMF" + struct.pack("<I", size - 24 * n - 8) + bytes(16) for n in range(100_000))
    head = b"VP8X" + struct.pack("<I", 10) + b"\x02" + bytes(9)
    data = b"RIFF" + struct.pack("<I", len(head) + len(frames) + 4) + b"WEBP" + head + frames
    path = tmp_path / "nested.webp"
    path.write_bytes(data)
    assert outcome(path) == outcome(data)


def test_what_is_no_file(tmp_path):
    (tmp_path / "empty.jpg").touch()
    os.mkfifo(tmp_path / "pipe.jpg")
    for name, words in [
        ("missing.jpg", "No such file"),
        ("empty.jpg", "empty"),
        ("pipe.jpg", "regular"),
        (".", "folder"),
    ]:
        with pytest.raises(fne.FileError, match=words):
            header_of(tmp_path / name)
    path = tmp_path / "image.jpg"
    path.write_bytes(cv2.imencode(".jpg", photograph())[1].tobytes())
    with pytest.raises(fne.errors.ImageLimitError, match=r"image.jpg.*\(max_bytes\)"):
        header_of(path, max_bytes=100)
