"""20,000 damaged JPEGs and PNGs in one process: each is an error or an image, and memory stays where it is."""

from __future__ import annotations

import io
import random
import struct
import zlib

import cv2
import numpy as np
import PIL.Image
from test_images import photograph

import fne

MUTANTS = 20_000


def resident_kilobytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4


def seeds():
    image = PIL.Image.fromarray(photograph(40, 50))
    for format, variants in {
        "JPEG": [{}, {"progressive": True}, {"quality": 95, "subsampling": 0}],
        "PNG": [{}, {"bits": 2}],
    }.items():
        for mode in ("RGB", "L", "CMYK") if format == "JPEG" else ("RGBA", "P", "LA"):
            for options in variants:
                buffer = io.BytesIO()
                image.convert(mode).save(buffer, format, **options)
                yield buffer.getvalue()
    yield cv2.imencode(".png", photograph(40, 50).astype(np.uint16) * 257)[1].tobytes()


def repaired(data):
    """A PNG with its checksums made right, so that damage gets past them."""
    data, at = bytearray(data), 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if length > len(data) - at - 12:
            break
        struct.pack_into(">I", data, at + 8 + length, zlib.crc32(data[at + 4 : at + 8 + length]))
        at += 12 + length
    return bytes(data)


def mutant(number, seeds):
    values = random.Random(number)
    data = bytearray(values.choice(seeds))
    for _ in range(values.choice([1, 1, 2, 5, 20])):
        at = values.randrange(2, len(data))
        kind = values.randrange(5)
        if kind == 0:
            data[at] ^= 1 << values.randrange(8)
        elif kind == 1:
            data[at] = values.choice([0, 1, 0x7F, 0x80, 0xFF])
        elif kind == 2:
            del data[at : at + values.randrange(1, 9)]
        elif kind == 3:
            data[at:at] = values.randbytes(values.randrange(1, 9))
        else:
            del data[at:]
            break
        if len(data) < 4:
            break
    return repaired(data) if data[:4] == b"\x89PNG" and number % 4 else bytes(data)


def test_mutated_images_in_one_process():
    originals = list(seeds())
    options = [fne.ImageOptions(max_pixels=1 << 22), fne.ImageOptions(max_pixels=1 << 22, tolerate_truncation=True)]
    images = errors = 0
    resident = []
    for number in range(MUTANTS):
        try:
            pixels = fne.read_image(mutant(number, originals), options=options[number % 3 == 0])
            assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.size
            images += 1
        except fne.ImageError as error:
            assert str(error)
            errors += 1
        if number % 2_000 == 1_999:
            resident.append(resident_kilobytes())
    print(f"\n{images} images, {errors} errors; resident memory every 2,000, MB: {[r // 1024 for r in resident]}")
    assert images + errors == MUTANTS
    assert images > MUTANTS // 10 and errors > MUTANTS // 3, "the mutants are neither all whole nor all hopeless"
    # After the first rounds everything has been seen: 18,000 lost images of 40 x 50 would be 100 MB. What other tests
    # have left in the process may move by some megabytes.
    assert resident[-1] - resident[1] < 20_480
