"""Decoding and resizing against OpenCV: the same bytes."""

from __future__ import annotations

import io
import itertools
import struct

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

import fne


def photograph(height=61, width=83):
    """A part of a real photograph: smooth and detailed areas, all channels different."""
    path = next(path for path in fne.zoo.sample_images() if path.endswith("coffee.png"))
    return cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)[150 : 150 + height, 200 : 200 + width]


def opencv(path):
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert image is not None
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def assert_same(path):
    np.testing.assert_array_equal(fne.read_image(path), opencv(path))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [20, 75, 100])
def test_jpeg(tmp_path, quality, subsampling, progressive):
    path = tmp_path / "image.jpg"
    PIL.Image.fromarray(photograph()).save(path, quality=quality, subsampling=subsampling, progressive=progressive)
    assert_same(path)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpeg_modes(tmp_path, mode):
    path = tmp_path / "image.jpg"
    PIL.Image.fromarray(photograph()).convert(mode).save(path, quality=90)
    assert_same(path)


def test_jpeg_with_restart_markers(tmp_path):
    path = tmp_path / "image.jpg"
    cv2.imwrite(str(path), photograph(), [cv2.IMWRITE_JPEG_RST_INTERVAL, 2])
    assert_same(path)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_png_modes(tmp_path, mode):
    path = tmp_path / "image.png"
    if mode == "I;16":
        gray = photograph()[..., 0].astype(np.uint16) * 257 + np.arange(83, dtype=np.uint16)
        PIL.Image.fromarray(gray).save(path)
    else:
        image = PIL.Image.fromarray(photograph())
        if mode in ("RGBA", "LA"):
            image.putalpha(PIL.Image.fromarray(photograph()[..., 1]))
        image.convert(mode).save(path)
    assert_same(path)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_png_palette_with_transparency(tmp_path, bits):
    path = tmp_path / "image.png"
    image = PIL.Image.fromarray(photograph()).quantize(2**bits)
    image.save(path, bits=bits, transparency=0)
    assert_same(path)


def test_png_16_bit_colour(tmp_path):
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), photograph().astype(np.uint16) * 256 + np.arange(83, dtype=np.uint16)[:, None])
    assert_same(path)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation, suffix):
    path = tmp_path / f"image.{suffix}"
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    PIL.Image.fromarray(photograph()).save(path, exif=exif)
    assert_same(path)
    turned = orientation >= 5
    assert fne.image_info(path) == ((83, 61) if turned else (61, 83)) + (
        suffix.replace("jpg", "jpeg").upper(),
        orientation,
    )


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (64, 64), (127, 129), (200, 65)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_any_size(orientation, size):
    image = np.random.default_rng(orientation).integers(0, 256, (*size, 3), np.uint8)
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "PNG", exif=exif)
    turned = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(file)))
    np.testing.assert_array_equal(fne.read_image(file.getvalue()), turned)


def exif_block(entries, order="<", magic=42, offset=8):
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", magic, offset)
    return head + struct.pack(order + "H", len(entries)) + b"".join(struct.pack(order + "HHIHH", *e) for e in entries)


@pytest.mark.parametrize(
    "block",
    [
        exif_block([(0x0112, 3, 1, 6, 0)], ">"),
        exif_block([(0x0128, 3, 1, 2, 0), (0x0112, 3, 1, 3, 0)]),
        exif_block([(0x0112, 3, 1, 9, 0)]),
        exif_block([(0x0112, 3, 1, 0, 0)]),
        exif_block([(0x0112, 3, 1, 6, 0)], magic=43),
        exif_block([(0x0112, 3, 1, 6, 0)], offset=4000),
        exif_block([(0x0112, 3, 1, 6, 0)])[:15],
        exif_block([(0x0112, 3, 1, 6, 0), (0x0112, 3, 1, 3, 0)]),
        b"",
        b"II",
    ],
)
def test_odd_and_broken_exif(tmp_path, block):
    data = cv2.imencode(".jpg", photograph())[1].tobytes()
    payload = b"Exif\0\0" + block
    path = tmp_path / "image.jpg"
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + data[2:])
    assert_same(path)


def test_from_memory(tmp_path):
    data = cv2.imencode(".png", photograph())[1].tobytes()
    np.testing.assert_array_equal(fne.read_image(data), cv2.cvtColor(photograph(), cv2.COLOR_BGR2RGB))


def test_names_in_any_language(tmp_path):
    path = tmp_path / "fleur d'été 花.png"
    PIL.Image.fromarray(photograph()).save(path)
    np.testing.assert_array_equal(fne.read_image(path), photograph())


# ---- resizing

SIZES = [(1, 1), (1, 7), (5, 3), (16, 16), (17, 31), (64, 48), (224, 224), (375, 500)]


@pytest.mark.parametrize("source, target", itertools.product(SIZES, SIZES))
def test_resize_is_opencvs(source, target):
    image = np.random.default_rng(sum(source) + sum(target)).integers(0, 256, (*source, 3), np.uint8)
    expected = cv2.resize(image, target[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(fne.resize(image, target), expected)


def test_resize_halving_is_the_mean_of_four():
    image = np.random.default_rng(0).integers(0, 256, (20, 34, 3), np.uint8)
    mean = image.reshape(10, 2, 17, 2, 3).astype(int).sum((1, 3))
    np.testing.assert_array_equal(fne.resize(image, (10, 17)), (mean + 2) // 4)


def test_resize_random_sizes_of_a_photograph():
    random = np.random.default_rng(3)
    image = photograph(240, 380)
    for _ in range(60):
        height, width = random.integers(2, 240), random.integers(2, 380)
        part = np.ascontiguousarray(image[:height, :width])
        new = tuple(int(n) for n in random.integers(1, 300, 2))
        np.testing.assert_array_equal(fne.resize(part, new), cv2.resize(part, new[::-1]))


# ---- bad input

JPEG = cv2.imencode(".jpg", photograph())[1].tobytes()
PNG = cv2.imencode(".png", photograph())[1].tobytes()


def write(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def encoded(format):
    buffer = io.BytesIO()
    PIL.Image.fromarray(photograph()).save(buffer, format)
    return buffer.getvalue()


def test_text_named_jpg(tmp_path):
    path = write(tmp_path, "notes.jpg", b"This is no photograph.")
    with pytest.raises(fne.ImageError, match="notes.jpg: this is no JPEG, PNG or WebP"):
        fne.read_image(path)


def test_missing_file(tmp_path):
    with pytest.raises(OSError, match="nothing.jpg: No such file") as caught:
        fne.read_image(tmp_path / "nothing.jpg")
    assert isinstance(caught.value, fne.FileError)


def test_folder(tmp_path):
    with pytest.raises(fne.FileError, match="is a folder"):
        fne.read_image(tmp_path)


def test_empty_file(tmp_path):
    with pytest.raises(fne.FileError, match="empty.png: the file is empty"):
        fne.read_image(write(tmp_path, "empty.png", b""))


@pytest.mark.parametrize("data", [JPEG, PNG], ids=["jpeg", "png"])
def test_truncated_at_every_length_is_an_error(data):
    """Never a half-grey picture."""
    for length in range(1, len(data) - 12 if data is PNG else len(data), 7):
        with pytest.raises(fne.ImageError):
            fne.read_image(data[:length])


def test_truncated_file_is_named(tmp_path):
    with pytest.raises(fne.ImageError, match=r"half.jpg: the image is truncated or damaged"):
        fne.read_image(write(tmp_path, "half.jpg", JPEG[: len(JPEG) // 2]))


def test_damaged_entropy_data_is_an_error():
    data = bytearray(JPEG)
    middle = len(data) * 2 // 3
    data[middle : middle + 40] = b"\xff\xd9" * 20
    with pytest.raises(fne.ImageError, match="truncated or damaged"):
        fne.read_image(bytes(data))


def test_png_text_is_not_decompressed():
    """Fifty chunks of 60 MB each in 3 MB: neither time nor memory, and the picture is there."""
    import resource
    import zlib

    text = b"comment\0\0" + zlib.compress(bytes(60_000_000), 9)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert fne.read_image(PNG[:33] + chunk * 50 + PNG[33:]).shape == (61, 83, 3)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def test_png_bomb_is_refused_before_its_memory_is_taken():
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    import zlib

    data = PNG[:8] + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + PNG[33:]
    with pytest.raises(fne.ImageError, match="100000 x 100000 pixels have a side beyond the limit of 65535"):
        fne.read_image(data)
