"""Kinds of JPEG and PNG that Pillow and OpenCV do not write, against OpenCV's decoder: the same bytes."""

from __future__ import annotations

import itertools
import os
import struct
import subprocess
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT
from test_images import exif_block, photograph

import fne


def compare(path):
    """ "same", or why not. Both may refuse."""
    expected = cv2.imread(str(path), cv2.IMREAD_COLOR)
    try:
        image = fne.read_image(path)
    except fne.ImageError as error:
        return "both refuse" if expected is None else f"refused: {error}"
    if expected is None:
        return "only fne reads it"
    return "same" if np.array_equal(image, expected[..., ::-1]) else "differs"


def check(tmp_path, files):
    """Every (name, bytes) must decode to OpenCV's bytes."""
    outcomes = {}
    for number, (name, data) in enumerate(files):
        path = tmp_path / f"image-{number}"
        path.write_bytes(data)
        outcomes[name] = compare(path)
    assert outcomes and set(outcomes.values()) == {"same"}, {k: v for k, v in outcomes.items() if v != "same"}


# ---- JPEG


@pytest.fixture(scope="session")
def write_jpeg(tmp_path_factory):
    """Writes samples [height, width, components] by libjpeg with the options of Tests/c/write_jpeg.c."""
    program = tmp_path_factory.mktemp("write_jpeg") / "write_jpeg"
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *flags, ROOT / "Tests/c/write_jpeg.c", "-ljpeg", "-o", program], check=True)

    def write(samples, *options):
        height, width, components = samples.shape
        command = [program, str(width), str(height), str(components), *options]
        return subprocess.run(command, input=samples.tobytes(), check=True, capture_output=True).stdout

    return write


def samples(components, height=61, width=83):
    rgb = photograph(height, width)
    if components == 4:
        return np.concatenate([255 - rgb, rgb[..., 1:2] // 2], axis=2)
    return np.ascontiguousarray(rgb[..., :components])


STORED = {"GRAYSCALE": 1, "RGB": 3, "YCbCr": 3, "CMYK": 4, "YCCK": 4}
CODINGS = [[], ["progressive"], ["arithmetic"], ["progressive", "arithmetic"]]


@pytest.mark.parametrize("stored", STORED)
def test_jpeg_colour_spaces(tmp_path, write_jpeg, stored):
    files = []
    for coding, markers in itertools.product(CODINGS, [[], ["adobe=0"], ["adobe=1"]]):
        options = [f"stored={stored}", *coding, *markers]
        files.append((str(options), write_jpeg(samples(STORED[stored]), *options)))
    check(tmp_path, files)


def test_jpeg_sampling_factors(tmp_path, write_jpeg):
    luma = ["1x1", "1x2", "2x1", "2x2", "4x1", "1x4", "4x2", "3x1", "1x3"]
    chroma = ["1x1,1x1", "1x2,2x1", "2x2,2x2", "1x2,1x2"]
    files, refused = [], []
    for first, rest, coding in itertools.product(luma, chroma, CODINGS[:2]):
        options = [f"sampling={first},{rest}", *coding]
        try:
            files.append((str(options), write_jpeg(samples(3), *options)))
        except subprocess.CalledProcessError:
            refused.append(options)
    assert len(files) > 20
    outcomes = {}
    for number, (name, data) in enumerate(files):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(data)
        outcomes[name] = compare(path)
    assert set(outcomes.values()) <= {"same", "both refuse"}, outcomes
    assert list(outcomes.values()).count("same") > 20


def test_jpeg_sizes_and_restart_markers(tmp_path, write_jpeg):
    files = []
    for (height, width), restart, coding in itertools.product(
        [(1, 1), (1, 9), (17, 3), (8, 8), (33, 65)], [0, 1, 3], CODINGS
    ):
        options = [f"restart={restart}", "sampling=2x2,1x1,1x1", *coding]
        files.append((f"{height}x{width} {options}", write_jpeg(samples(3, height, width), *options)))
    check(tmp_path, files)


def test_jpeg_quality(tmp_path, write_jpeg):
    check(tmp_path, [(q, write_jpeg(samples(3), f"quality={q}")) for q in (1, 10, 24, 50, 99, 100)])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpeg_orientation_of_every_coding(tmp_path, write_jpeg, orientation):
    payload = b"Exif\0\0" + exif_block([(0x0112, 3, 1, orientation, 0)])
    segment = b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload
    files = []
    for components, coding in itertools.product((1, 3, 4), CODINGS[1:3]):
        data = write_jpeg(samples(components), *coding)
        files.append((f"{components} {coding}", data[:2] + segment + data[2:]))
    check(tmp_path, files)


def test_a_jpeg_of_two_components_is_refused(tmp_path, write_jpeg):
    path = tmp_path / "two.jpg"
    path.write_bytes(write_jpeg(samples(2)))
    with pytest.raises(fne.ImageError, match="2 colour components"):
        fne.read_image(path)


def test_a_jpeg_of_too_many_scans_is_refused(write_jpeg):
    """1 + 63 * 14 scans in a few kilobytes; each would cost a pass over the picture."""
    scans = ["0: 0-0 0 0"]
    for coefficient in range(1, 64):
        scans.append(f"0: {coefficient}-{coefficient} 0 1")
        scans.append(f"0: {coefficient}-{coefficient} 1 0")
    data = write_jpeg(samples(1), "scans=" + "; ".join(scans))
    with pytest.raises(fne.ImageError, match="more than 100 scans"):
        fne.read_image(data)
    assert fne.read_image(data, options=fne.ImageOptions(max_scans=127)).shape == (61, 83, 3)


# ---- PNG

ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def filtered(rows, step):
    """Each row, bytes, with one of the five filters in turn (PNG 3, 9)."""
    before, out = np.zeros(len(rows[0]), np.int32), b""
    for number, row in enumerate(rows):
        row = np.frombuffer(row, np.uint8).astype(np.int32)
        left = np.concatenate([np.zeros(step, np.int32), row[:-step]])[: len(row)]
        corner = np.concatenate([np.zeros(step, np.int32), before[:-step]])[: len(row)]
        estimate = left + before - corner
        distances = np.stack([abs(estimate - left), abs(estimate - before), abs(estimate - corner)])
        paeth = np.choose(np.argmin(distances, axis=0), [left, before, corner])
        predicted = [0, left, before, (left + before) // 2, paeth][number % 5]
        out += bytes([number % 5]) + ((row - predicted) % 256).astype(np.uint8).tobytes()
        before = row
    return out


def packed(values, bits):
    """A row of samples as bytes."""
    if bits == 16:
        return values.astype(">u2").tobytes()
    if bits == 8:
        return values.astype(np.uint8).tobytes()
    digits = (values.reshape(-1, 1) >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(digits.reshape(-1).astype(np.uint8)).tobytes()


def write_png(pixels, *, colour=2, bits=8, interlaced=False, before=b"", after=b""):
    """pixels [height, width, samples]; `before` and `after` are chunks around the image data."""
    height, width, count = pixels.shape
    step = max(count * bits // 8, 1)
    data = b""
    for top, left, down, right in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        part = pixels[top::down, left::right]
        if part.size:
            data += filtered([packed(row.reshape(-1), bits) for row in part], step)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced))
    image = zlib.compress(data, 9)
    middle = len(image) // 2
    parts = chunk(b"IDAT", image[:middle]) + chunk(b"IDAT", image[middle:])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + parts + after + chunk(b"IEND", b"")


KINDS = [
    *((0, bits) for bits in (1, 2, 4, 8, 16)), *((3, bits) for bits in (1, 2, 4, 8)),
    (2, 8), (2, 16), (4, 8), (4, 16), (6, 8), (6, 16),
]  # fmt: skip
COUNTS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def png_of(colour, bits, interlaced, extra, height=21, width=19):
    values = np.random.default_rng(bits).integers(0, 2**bits, (height, width, COUNTS[colour]))
    chunks = b""
    if "gamma" in extra:
        chunks += chunk(b"gAMA", struct.pack(">I", 100_000)) + chunk(b"cHRM", struct.pack(">8I", *range(30_000, 30_008)))
    if "srgb" in extra:
        chunks += chunk(b"sRGB", b"\0") + chunk(b"gAMA", struct.pack(">I", 45_455))
    if "profile" in extra:
        chunks += chunk(b"iCCP", b"name\0\0" + zlib.compress(b"no profile at all" * 20))
    if "bits" in extra:
        depth = 8 if colour == 3 else bits
        chunks += chunk(b"sBIT", bytes([max(depth - 1, 1)] * {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}[colour]))
    if colour == 3:
        chunks += chunk(b"PLTE", np.random.default_rng(9).integers(0, 256, 3 * 2**bits).astype(np.uint8).tobytes())
    if "transparent" in extra and colour in (0, 2, 3):
        content = {0: struct.pack(">H", 1), 2: struct.pack(">3H", 1, 2, 3), 3: bytes([0, 128])}[colour]
        chunks += chunk(b"tRNS", content)
    if "background" in extra:
        content = {0: struct.pack(">H", 1), 2: struct.pack(">3H", 1, 2, 3), 3: b"\1"}
        chunks += chunk(b"bKGD", content[{4: 0, 6: 2}.get(colour, colour)])
    return write_png(values, colour=colour, bits=bits, interlaced=interlaced, before=chunks)


@pytest.mark.parametrize("colour, bits", KINDS)
def test_png_kinds(tmp_path, colour, bits):
    extras = ["", "gamma", "srgb", "profile", "bits", "transparent", "background", "transparent gamma background bits"]
    files = [
        (f"{extra} interlaced={interlaced}", png_of(colour, bits, interlaced, extra))
        for extra, interlaced in itertools.product(extras, (False, True))
    ]
    check(tmp_path, files)


def test_png_sizes(tmp_path):
    sizes = [(1, 1), (1, 7), (7, 1), (2, 3), (5, 5), (8, 9)]
    files = [
        (f"{height}x{width} {interlaced}", png_of(2, 8, interlaced, "", height, width))
        for (height, width), interlaced in itertools.product(sizes, (False, True))
    ]
    check(tmp_path, files)


def test_png_text_that_holds_exif_is_not_applied(tmp_path):
    """ "Raw profile type exif", as some programs write it. OpenCV ignores it too."""
    block = b"Exif\0\0" + exif_block([(0x0112, 3, 1, 6, 0)])
    lines = block.hex()
    profile = f"\nexif\n{len(block):8d}\n{lines}\n".encode()
    key = b"Raw profile type exif\0"
    files = []
    for kind, content in [
        (b"tEXt", key + profile), (b"zTXt", key + b"\0" + zlib.compress(profile)), (b"iTXt", key + b"\0\0\0\0" + profile),
    ]:  # fmt: skip
        files.append((kind, write_png(photograph(9, 14), before=chunk(kind, content))))
    check(tmp_path, files)
    assert fne.image_info(files[0][1]) == (9, 14, "PNG", 1)


@pytest.mark.parametrize("place", ["before", "after"])
def test_png_exif_chunk(tmp_path, place):
    content = chunk(b"eXIf", exif_block([(0x0112, 3, 1, 6, 0)], ">"))
    check(tmp_path, [(place, write_png(photograph(9, 14), **{place: content}))])


# ---- a folder of real files


def test_a_folder_of_images():
    """With FNE_TEST_IMAGES=folder: every JPEG and PNG below it. What OpenCV reads and libfne does not must be damaged, and
    be said to be."""
    folder = os.environ.get("FNE_TEST_IMAGES")
    if not folder:
        pytest.skip("set FNE_TEST_IMAGES to a folder of images")
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                start = file.read(8)
            if start[:3] == b"\xff\xd8\xff" or start == b"\x89PNG\r\n\x1a\n":
                found.setdefault(compare(path).split(": /")[0], []).append(path.name)
    print("\n", {outcome: len(names) for outcome, names in found.items()})
    others = {outcome: names for outcome, names in found.items() if outcome not in ("same", "both refuse")}
    print(others)
    assert found.get("same") and not [outcome for outcome in others if not outcome.startswith("refused")], others
