"""Kinds of JPEG and PNG that Pillow and OpenCV do not write, against OpenCV's decoder: the same bytes.

The JPEGs come from Tests/c/write_jpeg.c, the PNGs from a writer below. One test covers many files; when it fails, it
lists the files that are not as expected, each with what became of it."""

from __future__ import annotations

import itertools
import os
import re
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
    """What became of a file: (outcome, detail)."""
    try:
        expected = cv2.imread(str(path), cv2.IMREAD_COLOR)
    except cv2.error:  # above its limits of size
        expected = None
    try:
        image = fne.read_image(path)
    except fne.ImageError as error:
        return ("both refuse" if expected is None else "only OpenCV reads", str(error))
    if expected is None:
        return "only fne reads", f"{image.shape}"
    expected = expected[..., ::-1]
    if image.shape != expected.shape:
        return "differing", f"{image.shape} instead of {expected.shape}"
    distance = np.abs(image.astype(int) - expected)
    return ("differing", f"by {distance.max()}, mean {distance.mean():.2f}") if distance.any() else ("identical", "")


def check(tmp_path, files, wanted="identical", detail=""):
    """Each (name, bytes) has the wanted outcome, and its detail matches the pattern."""
    files = list(files)
    assert files
    path = tmp_path / "image"
    others = {}
    for name, data in files:
        path.write_bytes(data)
        outcome = compare(path)
        if outcome[0] != wanted or not re.search(detail, outcome[1]):
            others[str(name)] = outcome
    assert not others, f"{len(others)} of {len(files)} are not {wanted!r}"


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
    return np.ascontiguousarray(np.tile(rgb, 2)[..., :components])


STORED = {"GRAYSCALE": 1, "YCbCr": 3, "RGB": 3, "CMYK": 4, "YCCK": 4}
CODINGS = {
    "baseline": [],
    "progressive": ["progressive"],
    "arithmetic": ["arithmetic"],
    "arithmetic progressive": ["arithmetic", "progressive"],
    "a scan for each component": [],  # its scans= depends on their number
}
SIZES = [(61, 83), (1, 9), (33, 65), (17, 3), (61, 83), (1, 1), (30, 31)]
FACTORS = ["1x1", "1x2", "2x1", "2x2", "1x4", "4x1", "4x2", "2x4", "1x3", "3x1", "3x3", "4x4"]


def sampling_factors(components):
    """The first component finer than the others (black as the first), then coarser, then all different."""
    if components == 1:
        return FACTORS
    if components == 3:
        finer, coarser, different = "{0},1x1,1x1", "1x1,{0},{0}", ["1x1,2x1,1x2", "2x2,1x2,2x1"]
    else:
        finer, coarser, different = "{0},1x1,1x1,{0}", "1x1,{0},1x1,1x1", ["2x1,1x1,1x2,2x2"]
    return [finer.format(f) for f in FACTORS] + [coarser.format(f) for f in FACTORS[1:]] + different


def blocks(sampling):
    return sum(int(factor[0]) * int(factor[2]) for factor in sampling.split(","))


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("stored", STORED)
def test_jpeg_sampling_factors(tmp_path, write_jpeg, stored, coding):
    components = STORED[stored]
    options = [f"stored={stored}", *CODINGS[coding]]
    interleaved = components > 1
    if coding == "a scan for each component":
        options.append("scans=" + ";".join(map(str, range(components))))
        interleaved = False
    files = []
    for number, sampling in enumerate(sampling_factors(components)):
        if interleaved and blocks(sampling) > 10:  # the standard's limit for components that share a scan
            continue
        size = SIZES[number % len(SIZES)]  # and restart markers for two of three files
        every = [*options, f"sampling={sampling}", f"restart={number % 3}"]
        files.append(((size, every), write_jpeg(samples(components, *size), *every)))
    check(tmp_path, files)


@pytest.mark.parametrize("coding", ["baseline", "progressive", "arithmetic"])
def test_jpeg_sizes_and_restart_markers(tmp_path, write_jpeg, coding):
    check(
        tmp_path,
        (
            ((size, sampling, restart), write_jpeg(samples(3, *size), sampling, restart, *CODINGS[coding]))
            for size in [*SIZES[1:], (8, 8), (9, 1), (16, 17)]
            for sampling in ("sampling=1x1,1x1,1x1", "sampling=2x1,1x1,1x1", "sampling=2x2,1x1,1x1")
            for restart in ("restart=0", "restart=1", "restart=3")
        ),
    )


def test_jpeg_quality(tmp_path, write_jpeg):
    """Below 25 the quantization tables hold values beyond 255."""
    check(tmp_path, ((q, write_jpeg(samples(3), f"quality={q}")) for q in (1, 10, 24, 25, 50, 99, 100)))


def find_segment(data, marker, skip=0):
    """Where the marker of a header's segment stands."""
    at = 2
    while data[at + 1] != marker or skip:
        skip -= data[at + 1] == marker
        assert data[at + 1] != 0xDA, f"no marker {marker:x}"
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at


def patched(data, at, content):
    return data[:at] + bytes(content) + data[at + len(content) :]


def segment(marker, content):
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def after_start(data, *segments):
    return data[:2] + b"".join(segments) + data[2:]


def adobe(transform):
    return segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


@pytest.mark.parametrize("stored", ["CMYK", "YCCK"])
def test_jpeg_of_four_inks_with_and_without_adobe_marker(tmp_path, write_jpeg, stored):
    files = []
    for jfif, own, coding in itertools.product((0, 1), (0, 1), ([], ["progressive"], ["arithmetic"])):
        options = [f"stored={stored}", f"jfif={jfif}", f"adobe={own}", *coding]
        files.append((options, write_jpeg(samples(4), *options)))
    plain = write_jpeg(samples(4), f"stored={stored}", "adobe=0")
    files += [(f"Adobe, transform {n}", after_start(plain, adobe(n))) for n in (0, 1, 2, 7)]
    check(tmp_path, files)


def test_jpeg_colour_space_is_guessed_as_in_opencv(tmp_path, write_jpeg):
    """From the JFIF marker, the Adobe marker with its transform, or the components' numbers."""
    files = []
    for jfif in (0, 1):
        plain = write_jpeg(samples(3), "sampling=1x1,1x1,1x1", f"jfif={jfif}", "adobe=0")
        frame, scan = find_segment(plain, 0xC0), find_segment(plain, 0xDA)
        for ids in (b"\1\2\3", b"\0\1\2", b"RGB", b"BGR", b"rgb", b"\1\x22\x23"):
            data = plain
            for n in range(3):
                data = patched(patched(data, frame + 10 + 3 * n, ids[n : n + 1]), scan + 5 + 2 * n, ids[n : n + 1])
            files.append((f"jfif={jfif} {ids}", data))
            files += [(f"jfif={jfif} {ids}, transform {n}", after_start(data, adobe(n))) for n in (0, 1, 2)]
    gray = write_jpeg(samples(1))
    files += [(f"gray, transform {n}", after_start(gray, adobe(n))) for n in (0, 1, 2)]
    check(tmp_path, files)


def without_tables(data):
    """The JPEG without its Huffman tables: they were the standard's, as in a frame of Motion JPEG."""
    while True:
        try:
            at = find_segment(data, 0xC4)
        except AssertionError:
            return data
        data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]


def test_jpeg_frames_of_motion_jpeg(tmp_path, write_jpeg):
    check(tmp_path, ((n, without_tables(write_jpeg(samples(n)))) for n in (1, 3, 4)))


def test_jpeg_odd_ends(tmp_path, write_jpeg):
    data = write_jpeg(samples(3))
    lines = segment(0xDC, struct.pack(">H", 61))  # DNL
    files = {
        "two ends": data + b"\xff\xd9",
        "another picture after it": data + data,
        "zeros before the end": data[:-2] + bytes(9) + data[-2:],
        "fill bytes before the end": data[:-2] + b"\xff\xff\xff" + data[-2:],
        "number of lines, known already": data[:-2] + lines + data[-2:],
    }
    check(tmp_path, files.items())


def test_jpeg_kinds_that_both_refuse(tmp_path, write_jpeg):
    data = write_jpeg(samples(3))
    frame = find_segment(data, 0xC0)
    files = [(f"{bits} bits", patched(data, frame + 4, [bits])) for bits in (7, 12, 16)]
    files += [(f"frame {kind:x}", patched(data, frame + 1, [kind])) for kind in (0xC5, 0xC6, 0xC7, 0xC8, 0xCB, 0xCF)]
    files.append(("2 components", write_jpeg(samples(2))))
    files.append(("5 components", write_jpeg(samples(5), "scans=0;1;2;3;4")))
    lines = segment(0xDC, struct.pack(">H", 61))  # DNL
    files.append(("height only after the scan", patched(data, frame + 5, [0, 0])[:-2] + lines + data[-2:]))
    at = find_segment(data, 0xDB)
    files.append(("a quantization table missing", data[:at] + data[at + 2 + data[at + 3] :]))
    check(tmp_path, files, "both refuse")


def test_jpeg_sampling_factors_that_both_refuse(tmp_path, write_jpeg):
    """0, more than 4, more than ten blocks together, and three samples for two (libjpeg scales by whole numbers)."""
    data = write_jpeg(samples(3))
    frame = find_segment(data, 0xC0)
    files = []
    for factors in [
        (0x01, 0x11, 0x11),
        (0x10, 0x11, 0x11),
        (0x11, 0x00, 0x11),
        (0x51, 0x11, 0x11),
        (0x15, 0x11, 0x11),
        (0x33, 0x11, 0x11),
        (0x44, 0x11, 0x11),
        (0x22, 0x22, 0x22),
        (0x31, 0x21, 0x11),
        (0x13, 0x11, 0x12),
        (0x21, 0x31, 0x11),
    ]:
        patch = data
        for n, factor in enumerate(factors):
            patch = patched(patch, frame + 11 + 3 * n, [factor])
        files.append(("{:x} {:x} {:x}".format(*factors), patch))
    check(tmp_path, files, "both refuse")


def test_jpeg_orientation_in_every_coding(tmp_path, write_jpeg):
    plain = [
        (f"{stored} {coding}", write_jpeg(samples(STORED[stored], 17, 28), f"stored={stored}", *coding))
        for stored in STORED
        for coding in ([], ["progressive"], ["arithmetic"])
    ]
    check(
        tmp_path,
        (
            (f"{name} {n}", after_start(data, exif_segment(exif_block([(0x0112, 3, 1, n, 0)], order))))
            for name, data in plain
            for n, order in zip(range(1, 9), "<><><><>", strict=True)
        ),
    )


def exif_segment(block):
    return segment(0xE1, b"Exif\0\0" + block)


def deep_scans(count):
    """The first `count` scans of a grey picture's 694: each coefficient by itself, bit by bit."""
    scans = ["0: 0-0 0 0"]
    for k in range(1, 64):
        scans += [f"0: {k}-{k} 0 10", *(f"0: {k}-{k} {bit} {bit - 1}" for bit in range(10, 0, -1))]
    return "scans=" + ";".join(scans[:count])


def test_jpeg_of_many_scans(tmp_path, write_jpeg):
    check(tmp_path, ((count, write_jpeg(samples(1), deep_scans(count))) for count in (12, 60, 100)))
    data = write_jpeg(samples(1), deep_scans(694))
    check(tmp_path, [(694, data)], "only OpenCV reads", r"refused: more than \d+ scans")


SHORT_OF_SCANS = ["scans=0,1,2: 0-0 0 0", "scans=0,1,2: 0-0 0 1; 0: 1-5 0 2", "scans=0,1,2: 0-0 0 0; 0: 1-63 0 1"]


def test_jpeg_that_ends_after_its_first_scans(tmp_path, write_jpeg):
    """Valid, and complete by its end marker: libjpeg smooths what is coarse."""
    factors = ["sampling=1x1,1x1,1x1", "sampling=2x1,1x1,1x1"]
    cases = itertools.product(factors, SHORT_OF_SCANS)
    check(tmp_path, ((options, write_jpeg(samples(3), *options)) for options in cases))


def test_jpeg_that_ends_after_its_first_scans_is_smoothed_as_libjpeg_turbo_does(tmp_path, write_jpeg):
    """libjpeg-turbo before 3.0.1 takes wrong neighbours for planes two blocks wide and for a vertical factor of 2 (its
    issues 700 and 721). OpenCV's is 3.1.2; libfne has the system's."""
    sizes = [((61, 83), "2x2,1x1,1x1"), ((33, 12), "1x1,1x1,1x1"), ((16, 16), "2x2,1x1,1x1")]
    for (size, factors), scans in itertools.product(sizes, SHORT_OF_SCANS):
        path = tmp_path / "image.jpg"
        path.write_bytes(write_jpeg(samples(3, *size), f"sampling={factors}", scans))
        distance = np.abs(fne.read_image(path).astype(int) - cv2.imread(str(path))[..., ::-1])
        assert distance.mean() < 10, (size, factors, scans)


def lossless_jpeg(pixels):
    """ITU T.81, H: samples less their left neighbours (the first of a row: the one above), codes of 5 bits."""
    height, width, count = pixels.shape
    values = pixels.astype(int)
    predicted = np.empty_like(values)
    predicted[:, 1:], predicted[1:, 0], predicted[0, 0] = values[:, :-1], values[:-1, 0], 128
    bits = ""
    for difference in (values - predicted).ravel().tolist():
        length = abs(difference).bit_length()
        low = difference if difference > 0 else difference + (1 << length) - 1
        bits += f"{length:05b}" + (f"{low:0{length}b}" if length else "")
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    numbers = range(1, count + 1)
    frame = struct.pack(">BHHB", 8, height, width, count) + b"".join(bytes([n, 0x11, 0]) for n in numbers)
    scan = bytes([count]) + b"".join(bytes([n, 0]) for n in numbers) + bytes([1, 0, 0])
    table = bytes([0, 0, 0, 0, 0, 17, *[0] * 11, *range(17)])
    return b"\xff\xd8" + segment(0xC3, frame) + segment(0xC4, table) + segment(0xDA, scan) + data + b"\xff\xd9"


def test_lossless_jpeg(tmp_path):
    """libjpeg-turbo reads it since 3.0, OpenCV's is newer. libfne has the system's, and says so where that is older."""
    pixels = photograph(9, 14)
    path = tmp_path / "lossless.jpg"
    path.write_bytes(lossless_jpeg(pixels))
    np.testing.assert_array_equal(cv2.imread(str(path))[..., ::-1], pixels)  # the writer is right
    outcome, detail = compare(path)
    assert outcome == "identical" or (outcome == "only OpenCV reads" and "SOF type 0xc3" in detail), detail


# ---- EXIF of a JPEG


def entry(tag, value, kind=3, count=1):
    """A directory's entry with a value of 32 bits."""
    return tag, kind, count, value & 0xFFFF, value >> 16


TURNED, HALF = exif_block([entry(0x0112, 6)]), exif_block([entry(0x0112, 3)])
XMP = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>")


def test_exif_that_is_odd(tmp_path):
    start = cv2.imencode(".jpg", photograph(17, 28))[1].tobytes()
    blocks = {
        "long, count 0": exif_block([entry(0x0112, 6, 4, 0)]),
        "byte": exif_block([entry(0x0112, 6, 1)]),
        "unknown type": exif_block([entry(0x0112, 6, 99)]),
        "the first of two counts": exif_block([entry(0x0112, 6), entry(0x0112, 3)]),
        "so does a wrong one": exif_block([entry(0x0112, 9), entry(0x0112, 3)]),
        "value of two bytes": exif_block([entry(0x0112, 0x0106)]),
        "a short name before": exif_block([entry(0x010F, 0x414141, 2, 3), entry(0x0112, 6)]),
        "a sub-directory outside": exif_block([entry(0x8769, 5000, 4), entry(0x0112, 6)]),
        "more entries announced": TURNED[:8] + b"\xff\xff" + TURNED[10:],
        "a name outside, after it": exif_block([entry(0x0112, 6), entry(0x010F, 5000, 2, 100)]),
        "cut inside the entry": TURNED[:19],
    }
    files = [(name, after_start(start, exif_segment(block))) for name, block in blocks.items()]
    places = {
        "XMP before": [XMP, exif_segment(TURNED)],
        "XMP after": [exif_segment(TURNED), XMP],
        "the first of two": [exif_segment(TURNED), exif_segment(HALF)],
        "an empty segment before": [segment(0xE1, b""), exif_segment(TURNED)],
        "an empty EXIF segment before": [exif_segment(b""), exif_segment(TURNED)],
        "fill bytes before": [segment(0xFE, b"x"), b"\xff\xff", exif_segment(TURNED)],
        "a comment's": [segment(0xFE, b"Exif\0\0" + TURNED)],
        "another name": [segment(0xE1, b"exif\0\0" + TURNED)],
    }
    files += [(name, after_start(start, *segments)) for name, segments in places.items()]
    scan = start.index(b"\xff\xda")
    files.append(("before the scan", start[:scan] + exif_segment(TURNED) + start[scan:]))
    files.append(("after the scan", start[:-2] + exif_segment(TURNED) + start[-2:]))
    check(tmp_path, files)


# OpenCV reads the directory in order, and of the tags that it knows also the values that stand elsewhere (texts of more
# than four bytes, rationals). Where one lies outside the block it stops, and keeps what it has.
@pytest.mark.parametrize(
    "broken",
    [
        entry(0x010E, 5000, 2, 5),
        entry(0x010F, 5000, 2, 100),
        entry(0x0110, 5000, 2, 100),
        entry(0x0131, 5000, 2, 9),
        entry(0x0132, 5000, 2, 20),
        entry(0x8298, 5000, 2, 9),
        entry(0x011A, 5000, 5),
        entry(0x011B, 5000, 5),
        entry(0x013E, 5000, 5, 2),
        entry(0x013F, 5000, 5, 6),
        entry(0x0211, 5000, 5, 3),
        entry(0x0214, 5000, 5, 6),
    ],
    ids=lambda broken: f"{broken[0]:04x}",
)
def test_exif_orientation_behind_a_broken_value(tmp_path, broken):
    start = cv2.imencode(".jpg", photograph(17, 28))[1].tobytes()
    block = exif_block([broken, entry(0x0112, 6)])
    png = write_png(photograph(17, 28), before=chunk(b"eXIf", block))
    check(tmp_path, [("JPEG", after_start(start, exif_segment(block))), ("PNG", png)])


@pytest.mark.parametrize(
    "segments",
    [
        [exif_segment(exif_block([entry(0x0128, 2)])), exif_segment(TURNED)],
        [exif_segment(b"XX"), exif_segment(TURNED)],
        [segment(0xFE, b"x"), b"abc", exif_segment(TURNED)],
        [segment(0xFE, b"x"), b"\xff\0", exif_segment(TURNED)],
        [b"\xff\xd0", exif_segment(TURNED)],
        [b"\xff\x01", exif_segment(TURNED)],
        [exif_segment(b"XM" + exif_block([entry(0x0112, 6)], ">")[2:])],
    ],
    ids=["no orientation in the first", "the first broken", "stray bytes", "stray FF 00", "RST0", "TEM", "mark XM"],
)
def test_exif_segments_that_are_odd(tmp_path, segments):
    start = cv2.imencode(".jpg", photograph(17, 28))[1].tobytes()
    check(tmp_path, [("JPEG", after_start(start, *segments))])


# ---- PNG

SIGNATURE = b"\x89PNG\r\n\x1a\n"
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def chunk(kind, content=b""):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def damaged(chunk):
    """With a wrong checksum."""
    return chunk[:-1] + bytes([chunk[-1] ^ 1])


def packed(pixels, bits):
    """Rows of bytes [height, bytes] of samples [height, width, samples]."""
    flat = pixels.reshape(len(pixels), -1)
    if bits >= 8:
        return np.frombuffer(flat.astype(f">u{bits // 8}").tobytes(), np.uint8).reshape(len(pixels), -1)
    digits = (flat[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(digits.reshape(len(pixels), -1).astype(np.uint8), axis=1)


def filtered(rows, step, first=0):
    """Rows with the five filters in turn (PNG 3, 9), beginning with the given one."""
    above, out = np.zeros(rows.shape[1], int), b""
    for number, row in enumerate(rows.astype(int), first):
        left, corner = (np.concatenate([np.zeros(step, int), line])[: len(row)] for line in (row, above))
        estimate = left + above - corner
        nearest = np.argmin([abs(estimate - left), abs(estimate - above), abs(estimate - corner)], axis=0)
        paeth = np.choose(nearest, [left, above, corner])
        predicted = [0, left, above, (left + above) // 2, paeth][number % 5]
        out += bytes([number % 5]) + ((row - predicted) % 256).astype(np.uint8).tobytes()
        above = row
    return out


def image_data(pixels, bits, interlaced=False, first=0):
    step = max(pixels.shape[2] * bits // 8, 1)
    passes = [pixels[top::down, left::right] for top, left, down, right in (ADAM7 if interlaced else [(0, 0, 1, 1)])]
    return zlib.compress(b"".join(filtered(packed(part, bits), step, first) for part in passes if part.size))


def header(height, width, bits, colour, interlaced=False):
    return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced)))


def write_png(pixels, bits=8, colour=2, interlaced=False, before=b"", after=b"", first=0):
    """`before` and `after` are chunks around the image data."""
    data = chunk(b"IDAT", image_data(pixels, bits, interlaced, first))
    return with_chunks(header(*pixels.shape[:2], bits, colour, interlaced) + data + chunk(b"IEND"), before, after)


def with_chunks(png, before=b"", after=b""):
    """The signature and IHDR are 33 bytes, IEND is 12."""
    return png[:33] + before + png[33:-12] + after + png[-12:]


KINDS = [
    *((0, bits) for bits in (1, 2, 4, 8, 16)),
    (2, 8),
    (2, 16),
    *((3, bits) for bits in (1, 2, 4, 8)),
    (4, 8),
    (4, 16),
    (6, 8),
    (6, 16),
]


def content(colour, bits, height, width):
    """Samples of a PNG kind: the photograph's, in 16 bits with a low byte of their own."""
    rgb = photograph(height, width).astype(int)
    rgba = np.concatenate([rgb, rgb[::-1, :, 1:2]], axis=2)
    pixels = rgba[..., {0: [1], 2: [0, 1, 2], 3: [0], 4: [1, 3], 6: [0, 1, 2, 3]}[colour]]
    return pixels << 8 | (pixels * 7 + 3) % 256 if bits == 16 else pixels >> (8 - bits)


def palette(colour, bits):
    return chunk(b"PLTE", np.random.default_rng(bits).bytes(3 << bits)) if colour == 3 else b""


def transparency(colour, pixels):
    """The first pixel's colour; of a palette, its first two colours."""
    if colour in (4, 6):
        return b""
    return chunk(b"tRNS", bytes([0, 128]) if colour == 3 else pixels[0, 0].astype(">u2").tobytes())


@pytest.mark.parametrize("colour, bits", KINDS)
def test_png_kinds(tmp_path, colour, bits):
    files = []
    for (height, width), interlaced in itertools.product([(1, 1), (1, 9), (5, 1), (17, 3), (61, 83)], (False, True)):
        pixels = content(colour, bits, height, width)
        for first in range(5) if height == 1 else [0]:  # each filter in a first row too
            name = f"{height}x{width} interlaced={interlaced} first filter {first}"
            plain = write_png(pixels, bits, colour, interlaced, first=first)
            table = palette(colour, bits)
            files.append((name, with_chunks(plain, table)))
            files.append((name + " transparent", with_chunks(plain, table + transparency(colour, pixels))))
    check(tmp_path, files)


def ignored_chunks(colour, bits):
    """What says how colours are meant, or something else; pixels do not depend on it."""
    depths = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}[colour]
    background = {0: b"\0\1", 2: b"\0\1\0\0\0\1", 3: b"\1", 4: b"\0\1", 6: b"\0\1\0\0\0\1"}[colour]
    return {
        "gamma": chunk(b"gAMA", struct.pack(">I", 45_455)),
        "odd gamma": chunk(b"gAMA", struct.pack(">I", 250_000)),
        "gamma 0": chunk(b"gAMA", bytes(4)),
        "sRGB": chunk(b"sRGB", b"\0"),
        "primaries": chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
        "profile": chunk(b"iCCP", b"name\0\0" + zlib.compress(b"no profile at all" * 20)),
        "code points": chunk(b"cICP", bytes([9, 16, 0, 1])),
        "background": chunk(b"bKGD", background),
        "significant bits": chunk(b"sBIT", bytes([1] * depths)),
        "wrong significant bits": chunk(b"sBIT", bytes(7)),
        "pixel size": chunk(b"pHYs", struct.pack(">IIB", 1, 2, 0)),
        "wrong checksum": damaged(chunk(b"gAMA", struct.pack(">I", 45_455))),
        "time": chunk(b"tIME", bytes(7)),
        "unknown": chunk(b"prIV", b"ate"),
    }


@pytest.mark.parametrize("colour, bits", KINDS)
def test_png_chunks_that_change_no_pixel(tmp_path, colour, bits):
    pixels = content(colour, bits, 17, 9)
    plain = write_png(pixels, bits, colour, interlaced=True)
    files = []
    for (name, extra), transparent in itertools.product(ignored_chunks(colour, bits).items(), (False, True)):
        table = palette(colour, bits)
        alpha = transparency(colour, pixels) if transparent else b""
        for place, before, after in [
            ("first", extra + table + alpha, b""),
            ("between palette and transparency", table + extra + alpha, b""),
            ("before the data", table + alpha + extra, b""),
            ("after the data", table + alpha, extra),
        ]:
            files.append((f"{name} {place}, transparent={transparent}", with_chunks(plain, before, after)))
    check(tmp_path, files)


def raw_profile(block):
    """EXIF data as ImageMagick writes them to a text."""
    data = b"Exif\0\0" + block
    return f"\nexif\n{len(data):8d}\n{data.hex()}\n".encode()


@pytest.mark.parametrize("key", [b"Raw profile type exif\0", b"Raw profile type APP1\0"])
def test_png_text_that_holds_exif_is_not_applied(tmp_path, key):
    """Neither by OpenCV 5."""
    profile = raw_profile(TURNED)
    texts = [
        chunk(b"tEXt", key + profile),
        chunk(b"zTXt", key + b"\0" + zlib.compress(profile)),
        chunk(b"iTXt", key + b"\0\0\0\0" + profile),
        chunk(b"iTXt", key + b"\1\0\0\0" + zlib.compress(profile)),
    ]
    files = [(text[4:8], write_png(photograph(9, 14), before=text)) for text in texts]
    files += [(text[4:8] + b" after", write_png(photograph(9, 14), after=text)) for text in texts]
    check(tmp_path, files)
    for _, data in files:
        np.testing.assert_array_equal(fne.read_image(data), photograph(9, 14))


@pytest.mark.parametrize("colour, bits", KINDS)
def test_png_orientation(tmp_path, colour, bits):
    pixels, table = content(colour, bits, 9, 14), palette(colour, bits)
    files = []
    for interlaced in (False, True):
        plain = write_png(pixels, bits, colour, interlaced)
        for n in range(1, 9):
            exif = chunk(b"eXIf", exif_block([entry(0x0112, n)]))
            files.append((f"{n} interlaced={interlaced}", with_chunks(plain, exif + table)))
            files.append((f"{n} interlaced={interlaced}, after the data", with_chunks(plain, table, exif)))
    check(tmp_path, files)


EXIF, OTHER_EXIF = chunk(b"eXIf", TURNED), chunk(b"eXIf", HALF)


def test_png_exif_chunks_that_are_odd(tmp_path):
    places = {
        "the first of two": (EXIF + OTHER_EXIF, b""),
        "before, not after": (EXIF, OTHER_EXIF),
        "two after": (b"", EXIF + OTHER_EXIF),
        "an empty one": (chunk(b"eXIf"), b""),
        "with a JPEG's prefix": (chunk(b"eXIf", b"Exif\0\0" + TURNED), b""),
        "another name": (chunk(b"exIF", TURNED), b""),
        "no orientation in the first": (chunk(b"eXIf", exif_block([])) + EXIF, b""),
    }
    check(tmp_path, ((name, write_png(photograph(9, 14), before=b, after=a)) for name, (b, a) in places.items()))


# libpng drops an eXIf chunk with a wrong checksum, of fewer than four bytes, or that begins with neither II 2A 00 nor
# MM 00 2A, and takes the next.
@pytest.mark.parametrize(
    "before, after",
    [
        (damaged(EXIF), b""),
        (b"", damaged(EXIF)),
        (damaged(EXIF) + OTHER_EXIF, b""),
        (chunk(b"eXIf") + EXIF, b""),
        (chunk(b"eXIf", TURNED[:3]) + EXIF, b""),
        (chunk(b"eXIf", b"Exif\0\0" + TURNED) + EXIF, b""),
        (chunk(b"eXIf", b"II\0*" + TURNED[4:]), EXIF),
    ],
    ids=["checksum", "checksum after", "checksum, then one", "empty", "short", "prefix", "byte order"],
)
def test_png_exif_chunks_that_libpng_drops(tmp_path, before, after):
    check(tmp_path, [("PNG", write_png(photograph(9, 14), before=before, after=after))])


def test_png_structure(tmp_path):
    pixels = photograph(17, 13)
    start, data, end = header(17, 13, 8, 2), image_data(pixels, 8), chunk(b"IEND")
    rows = zlib.decompress(data)
    text = chunk(b"tEXt", b"key\0text")
    whole = chunk(b"IDAT", data)
    same = {
        "a chunk for each byte": b"".join(chunk(b"IDAT", data[n : n + 1]) for n in range(len(data))) + end,
        "empty chunks": chunk(b"IDAT") + whole + chunk(b"IDAT") + end,
        "bytes after the stream": chunk(b"IDAT", data + b"more") + end,
        "more rows than the header says": chunk(b"IDAT", zlib.compress(rows + rows)) + end,
        "more data after a text": whole + text + whole + end,
        "bytes after the end": whole + end + b"junk",
        "bytes after the end that look like a large chunk": whole + end + b"\x7f\xff\xff\xffjunkjunk",
        "an end with content": whole + chunk(b"IEND", b"abc"),
        "stored, not compressed": chunk(b"IDAT", zlib.compress(rows, 0)) + end,
        "a palette of a true-colour picture": chunk(b"PLTE", bytes(30)) + whole + end,
        "a palette too late": whole + chunk(b"PLTE", bytes(30)) + end,
        "a text with a wrong checksum": damaged(text) + whole + damaged(text) + end,
    }
    check(tmp_path, ((name, start + rest) for name, rest in same.items()))
    refused = {
        "no end": whole,
        "no data": end,
        "too few rows": chunk(b"IDAT", zlib.compress(rows[:-5])) + end,
        "a text inside the data": chunk(b"IDAT", data[:50]) + text + chunk(b"IDAT", data[50:]) + end,
        "a wrong checksum of the stream": chunk(b"IDAT", data[:-1] + bytes([data[-1] ^ 1])) + end,
        "a wrong checksum of the chunk": damaged(whole) + end,
        "a filter that does not exist": chunk(b"IDAT", zlib.compress(b"\5" + rows[1:])) + end,
        "a dictionary": chunk(b"IDAT", b"\x78\xbb" + data[2:]) + end,
        "an unknown critical chunk": chunk(b"PRIV") + whole + end,
        "a second header": start[8:] + whole + end,
    }
    files = [(name, start + rest) for name, rest in refused.items()]
    indexed = header(17, 13, 8, 3)
    files.append(("no palette", indexed + whole + end))
    files.append(("a palette of 31 bytes", indexed + chunk(b"PLTE", bytes(31)) + whole + end))
    for fields in [
        (0, 13, 8, 2, 0, 0, 0),
        (17, 0, 8, 2, 0, 0, 0),
        (17, 13, 3, 2, 0, 0, 0),
        (17, 13, 8, 1, 0, 0, 0),
        (17, 13, 16, 3, 0, 0, 0),
        (17, 13, 8, 2, 1, 0, 0),
        (17, 13, 8, 2, 0, 1, 0),
        (17, 13, 8, 2, 0, 0, 2),
    ]:
        files.append((f"header {fields}", SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", *fields)) + whole + end))
    check(tmp_path, files, "both refuse")


def frame_control(number, pixels, left=0, blend=0):
    height, width = pixels.shape[:2]
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, left, 0, 1, 10, 0, blend))


def animation(colour, bits, *, still, blend=0, frames=2, extra=b""):
    """A PNG of `frames` frames, 17 x 13; `still`: the image data are a picture of their own, not the first frame."""
    pixels = content(colour, bits, 17, 13)
    before = extra + palette(colour, bits) + chunk(b"acTL", struct.pack(">II", frames, 0))
    number, after = 0, b""
    if not still:
        before += frame_control(0, pixels, blend=blend)
        number = 1
    for _ in range(frames - number):
        after += frame_control(number, pixels, blend=blend)
        after += chunk(b"fdAT", struct.pack(">I", number + 1) + image_data(pixels[::-1], bits))
        number += 2
    return write_png(pixels, bits, colour, before=before, after=after)


def test_animated_png(tmp_path):
    """It is a still PNG too, and read as such. (cv2.imread does so; cv2.imdecode takes the first frame.)"""
    files = []
    for kind, still, frames in itertools.product(KINDS, (False, True), (1, 2)):
        files.append((f"{kind} {still=} {frames=}", animation(*kind, still=still, frames=frames)))
    files.append(("blended", animation(6, 8, still=False, blend=1)))
    files.append(("turned", animation(6, 8, still=False, extra=EXIF)))
    check(tmp_path, files)


# ---- PNGs that one of the two reads, and why

BAD_BACKGROUND = chunk(b"bKGD", bytes(3))


def test_png_that_only_fne_reads(tmp_path):
    """OpenCV walks over the chunks before the data by itself and stops at some that libpng passes over; the limits that
    libpng has when nothing else is set are narrower."""
    pixels = photograph(17, 13)
    files = {
        "bKGD of a length that no kind has": write_png(pixels, before=BAD_BACKGROUND),
        "an ignored chunk of more than 8 MB": write_png(pixels, before=chunk(b"zTXt", bytes(8_000_001))),
        "a text before the header": SIGNATURE + chunk(b"tEXt", b"k\0t") + write_png(pixels)[8:],
        "animation of no frames": write_png(pixels, before=chunk(b"acTL", bytes(8))),
        "a frame outside the picture": write_png(pixels, before=frame_control(0, pixels, left=5)),
        "an unknown critical chunk after the data": write_png(pixels, after=chunk(b"PRIV")),
    }
    check(tmp_path, files.items(), "only fne reads")


def test_png_of_more_than_a_million_columns(tmp_path):
    """By libpng's limit, OpenCV does not read it. libfne reads it where the option is set."""
    data = write_png(np.zeros((1, 1_000_001, 1), int), 8, 0)
    check(tmp_path, [("wide", data)], "both refuse", "beyond the limit of 65535")
    assert fne.read_image(data, options=fne.ImageOptions(max_side=1_000_001)).shape == (1, 1_000_001, 3)


def test_png_that_only_opencv_reads(tmp_path):
    """Damage outside the pixels."""
    data = write_png(photograph(17, 13))
    files = {
        "wrong checksum of the end": damaged(data),
        "wrong checksum of a palette that is not needed": with_chunks(data, damaged(chunk(b"PLTE", bytes(30)))),
    }
    check(tmp_path, files.items(), "only OpenCV reads", "truncated or damaged.*CRC error")


# ---- a folder of real files

ALLOWED = {
    # What OpenCV decodes in part or where damage costs no pixels; numbers of scans; kinds that its codecs have.
    "only OpenCV reads": r"truncated or damaged|more than \d+ scans|SOF type 0xc3",
}


def kind_of(path):
    with path.open("rb") as file:
        start = file.read(8)
    return "JPEG" if start[:3] == b"\xff\xd8\xff" else "PNG" if start == SIGNATURE else None


def test_folder_of_odd_images():
    """Every JPEG and PNG below the folder that FNE_TEST_IMAGES names. The counts are printed (pytest -s shows them)."""
    folder = os.environ.get("FNE_TEST_IMAGES")
    if not folder:
        pytest.skip("set FNE_TEST_IMAGES to a folder of images")
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and kind_of(path):
            outcome, detail = compare(path)
            found.setdefault(outcome, {})[str(path.relative_to(folder))] = detail
    print("\n" + ", ".join(f"{outcome}: {len(files)}" for outcome, files in found.items()))
    for outcome in found.keys() - {"identical"}:
        print(outcome, *found[outcome].items(), sep="\n  ")
    assert found.pop("identical", None), "no file is identical"
    found.pop("both refuse", None)
    others = {
        (outcome, name): detail
        for outcome, files in found.items()
        for name, detail in files.items()
        if not re.search(ALLOWED.get(outcome, "$^"), detail)
    }
    assert not others
