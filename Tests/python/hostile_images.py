"""Files below 1 MB that were dear to decode, or might be. They are made by hand, since no encoder writes most of them.

`cases()` has them by name. Each says what must become of the file. test_hostile_images.py asserts it, and
Tests/fuzz/costs.py measures what it costs."""

from __future__ import annotations

import functools
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

#: The most work that the default limits allow a file below 1 MiB, in bytes.
ALLOWED = 275 << 20


class Case(NamedTuple):
    """A file, and what becomes of it.

    data: makes the bytes
    error: the pattern of the message, or None for a file that is read
    size: height and width of a file that is read
    grey: the value of all its samples; None where the file is compared with OpenCV instead
    work: what decoding goes through, by an own count; None where the file is refused for another reason
    """

    data: Callable[[], bytes]
    error: str | None = None
    size: tuple[int, int] = (16, 16)
    grey: int | None = 0
    work: int | None = None


# ---- JPEG (ITU T.81)

BASELINE, PROGRESSIVE, LOSSLESS, ARITHMETIC, ARITHMETIC_PROGRESSIVE = 0xC0, 0xC2, 0xC3, 0xC9, 0xCA
START, END = b"\xff\xd8", b"\xff\xd9"
GREY, COLOUR, HALVED, INKS = ("1x1",), ("1x1",) * 3, ("2x2", "1x1", "1x1"), ("1x1",) * 4
MID_GREY = 128

#: (components, first and last coefficient, bit before and after)
Scan = tuple[tuple[int, ...], int, int, int, int]


def segment(marker: int, content: bytes = b"") -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def huffman_table(kind: int, symbol: int) -> bytes:
    """Its only symbol has the code 0, of one bit, so zero bytes say it again and again. kind: 0 is DC, 1 is AC."""
    return segment(0xC4, bytes([kind << 4, 1, *[0] * 15, symbol]))


def frame(height: int, width: int, sampling: tuple[str, ...], kind: int = BASELINE, precision: int = 8) -> bytes:
    components = b"".join(bytes([n, int(f[0]) << 4 | int(f[2]), 0]) for n, f in enumerate(sampling, 1))
    return segment(kind, struct.pack(">BHHB", precision, height, width, len(sampling)) + components)


def exif(orientation: int) -> bytes:
    return b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHIHHI", 0x0112, 3, 1, orientation, 0, 0)


def jpeg_head(*parts: bytes, orientation: int = 1) -> bytes:
    turning = segment(0xE1, b"Exif\0\0" + exif(orientation)) if orientation > 1 else b""
    return START + turning + segment(0xDB, bytes([0] + [1] * 64)) + b"".join(parts)


def scan_head(scan: Scan) -> bytes:
    components, first, last, high, low = scan
    selectors = b"".join(bytes([n, 0]) for n in components)
    return segment(0xDA, bytes([len(components)]) + selectors + bytes([first, last, high << 4 | low]))


def block_counts(height: int, width: int, sampling: tuple[str, ...]) -> list[int]:
    """Blocks of each component."""
    factors = [(int(f[0]), int(f[2])) for f in sampling]
    across, down = max(h for h, _ in factors), max(v for _, v in factors)
    return [math.ceil(width * h / (8 * across)) * math.ceil(height * v / (8 * down)) for h, v in factors]


def coded_blocks(height: int, width: int, sampling: tuple[str, ...], components: tuple[int, ...]) -> int:
    """Blocks that a scan has codes for: components that share a scan are filled up to whole units."""
    if len(components) == 1:
        return block_counts(height, width, sampling)[components[0] - 1]
    factors = [(int(f[0]), int(f[2])) for f in sampling]
    across, down = max(h for h, _ in factors), max(v for _, v in factors)
    return math.ceil(width / (8 * across)) * math.ceil(height / (8 * down)) * sum(h * v for h, v in factors)


def zero_bits(count: int) -> bytes:
    return bytes(-(-count // 8))


def one_scan(height: int, width: int, sampling: tuple[str, ...], orientation: int = 1) -> bytes:
    """A baseline JPEG of two bits a block: the mean does not change, and the block ends."""
    components = tuple(range(1, len(sampling) + 1))
    bits = 2 * coded_blocks(height, width, sampling, components)
    tables = frame(height, width, sampling) + huffman_table(0, 0) + huffman_table(1, 0)
    return jpeg_head(tables, orientation=orientation) + scan_head((components, 0, 63, 0, 0)) + zero_bits(bits) + END


RUN = 1 << 14  # blocks that a code of 15 bits passes over


def many_scans(
    height: int, width: int, sampling: tuple[str, ...], scans: list[Scan], kind: int = PROGRESSIVE, orientation: int = 1
) -> bytes:
    """A JPEG that says in each scan that nothing changes. Arithmetic codes need no byte for it."""
    parts = [jpeg_head(frame(height, width, sampling, kind), orientation=orientation)]
    for scan in scans:
        components, first, *_ = scan
        blocks = coded_blocks(height, width, sampling, components)
        if kind == BASELINE:
            codes = huffman_table(0, 0) + huffman_table(1, 0), zero_bits(2 * blocks)
        elif kind != PROGRESSIVE:
            codes = b"", b""
        elif first == 0:
            codes = huffman_table(0, 0), zero_bits(blocks)
        else:
            codes = huffman_table(1, 0xE0), zero_bits(math.ceil(blocks / RUN) * 15)
        parts += [codes[0], scan_head(scan), codes[1]]
    return b"".join(parts) + END


def usual_scans(components: int) -> list[Scan]:
    """The progression that libjpeg writes."""
    every = tuple(range(1, components + 1))
    if components == 1:
        return [(every, 0, 0, 0, 1), *[((1,), *rest) for rest in LUMA], (every, 0, 0, 1, 0), ((1,), 1, 63, 1, 0)]
    chroma = [((n,), 1, 63, 0, 1) for n in every[1:]]
    finer = [((n,), 1, 63, 1, 0) for n in every[1:]]
    luma = [((1,), *rest) for rest in LUMA]
    return [(every, 0, 0, 0, 1), *luma, *chroma, (every, 0, 0, 1, 0), *finer, ((1,), 1, 63, 1, 0)]


LUMA = [(1, 5, 0, 2), (6, 63, 0, 2), (1, 63, 2, 1)]


def all_coefficients(components: int, count: int) -> list[Scan]:
    """Scans that go over all coefficients, bit by bit."""
    every = tuple(range(1, components + 1))
    scans: list[Scan] = [(every, 0, 0, 0, 0)]
    for n in every:
        scans += [((n,), 1, 63, 0, 10), *(((n,), 1, 63, bit, bit - 1) for bit in range(10, 0, -1))]
    return scans[:count]


def single_coefficients(count: int) -> list[Scan]:
    """Scans of a grey picture, of one coefficient each."""
    scans: list[Scan] = [((1,), 0, 0, 0, 0)]
    for k in range(1, 64):
        scans += [((1,), k, k, 0, 10), *(((1,), k, k, bit, bit - 1) for bit in range(10, 0, -1))]
    return scans[:count]


def jpeg_work(
    height: int, width: int, sampling: tuple[str, ...], scans: list[Scan], kind: int, orientation: int = 1
) -> int:
    """What fne.h says that decoding goes through."""
    blocks = block_counts(height, width, sampling)
    work = 3 * height * width * (1 if orientation == 1 else 2)
    if kind in (PROGRESSIVE, ARITHMETIC_PROGRESSIVE) or len(scans) > 1:
        work += 2 * 64 * sum(blocks)
    for components, first, last, *_ in scans:
        scan = sum(blocks[n - 1] for n in components) * (16 + last - first + 1)
        work += scan * (4 if kind in (ARITHMETIC, ARITHMETIC_PROGRESSIVE) else 1) // 2
    return work


def side_for(work: Callable[[int], int], most: int = ALLOWED) -> int:
    """The longest side of a square whose work is allowed."""
    low, high = 1, 65_535
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if work(middle) <= most else (low, middle - 1)
    return low


def in_one_scan(sampling: tuple[str, ...], kind: int = BASELINE) -> list[Scan]:
    return [(tuple(range(1, len(sampling) + 1)), 0, 63, 0, 0)]


def limit(option: str) -> str:
    return rf"refused.*\({option}\)"


def square_jpegs(
    name: str,
    sampling: tuple[str, ...],
    scans: list[Scan],
    kind: int = PROGRESSIVE,
    orientation: int = 1,
    grey: int | None = MID_GREY,
) -> Iterator[tuple[str, Case]]:
    """The largest square that is read, and one that is larger by a block."""

    def work(side: int) -> int:
        return jpeg_work(side, side, sampling, scans, kind, orientation)

    def data(side: int) -> bytes:
        if kind == BASELINE and len(scans) == 1:
            return one_scan(side, side, sampling, orientation)
        return many_scans(side, side, sampling, scans, kind, orientation)

    # Whole units, so that one more is a larger count.
    unit = 8 * max(int(n) for f in sampling for n in f[::2])
    side = side_for(work) // unit * unit
    yield f"{name}, the largest", Case(functools.partial(data, side), None, (side, side), grey, work(side))
    more = side + unit
    yield f"{name}, too large", Case(functools.partial(data, more), limit("max_expansion"), work=work(more))


def jpeg_cases() -> Iterator[tuple[str, Case]]:
    yield from square_jpegs("blank, grey", GREY, in_one_scan(GREY), BASELINE)
    yield from square_jpegs("blank, colour", COLOUR, in_one_scan(COLOUR), BASELINE)
    yield from square_jpegs("blank, colour halved", HALVED, in_one_scan(HALVED), BASELINE)
    yield from square_jpegs("blank, turned", HALVED, in_one_scan(HALVED), BASELINE, 6)
    yield from square_jpegs("blank, four inks, mirrored", INKS, in_one_scan(INKS), BASELINE, 2, 65)
    odd = ("1x4", "4x1", "1x1")
    yield from square_jpegs("blank, odd sampling factors", odd, in_one_scan(odd), BASELINE)
    yield from square_jpegs("progressive, grey", GREY, usual_scans(1))
    yield from square_jpegs("progressive, colour", COLOUR, usual_scans(3))
    yield from square_jpegs("progressive, turned", HALVED, usual_scans(3), orientation=8)
    yield from square_jpegs("progressive, four inks, turned", INKS, usual_scans(4), orientation=5, grey=65)
    yield from square_jpegs("all coefficients bit by bit", GREY, all_coefficients(1, 12))
    yield from square_jpegs("100 scans of a coefficient", GREY, single_coefficients(100))
    yield from square_jpegs("34 scans of all coefficients", COLOUR, all_coefficients(3, 34))
    yield from square_jpegs("means alone, which are smoothed", GREY, [((1,), 0, 0, 0, 0)])
    yield from square_jpegs("a scan for each component", COLOUR, [((n,), 0, 63, 0, 0) for n in (1, 2, 3)], BASELINE)
    again: list[Scan] = [((n,), 0, 63, 0, 0) for n in [1, 2, 3] + [1] * 97]
    yield (
        "one component again in 97 scans",
        Case(lambda: many_scans(1400, 1400, COLOUR, again, BASELINE), None, (1400, 1400), MID_GREY),
    )
    yield from square_jpegs("arithmetic without data", COLOUR, in_one_scan(COLOUR), ARITHMETIC, grey=None)
    yield from square_jpegs(
        "arithmetic progressive without data", GREY, all_coefficients(1, 12), ARITHMETIC_PROGRESSIVE, grey=None
    )
    yield (
        "560 KB of 100 scans, 144 million pixels",
        Case(
            lambda: many_scans(12_000, 12_000, COLOUR, all_coefficients(3, 34) + single_coefficients(100)[1:67]),
            limit("max_expansion"),
        ),
    )
    yield "101 scans", Case(lambda: many_scans(80, 80, GREY, single_coefficients(101)), limit("max_scans"))
    yield "100 scans", Case(lambda: many_scans(80, 80, GREY, single_coefficients(100)), None, (80, 80), MID_GREY)
    huge = frame(65_500, 65_500, GREY) + huffman_table(0, 0) + huffman_table(1, 0)
    yield "4 billion pixels", Case(lambda: jpeg_head(huge) + scan_head(in_one_scan(GREY)[0]), limit("max_pixels"))
    yield "one column", Case(lambda: one_scan(65_500, 1, ("2x4", "1x1", "1x1")), None, (65_500, 1), MID_GREY)
    yield "one row", Case(lambda: one_scan(1, 65_500, ("4x2", "1x1", "1x1")), None, (1, 65_500), MID_GREY)
    scans: list[Scan] = [((n,), 0, 63, 0, 0) for n in (1, 2, 3)]
    wide = ("4x4", "4x4", "4x4")
    yield (
        "16 blocks a component",
        Case(lambda: many_scans(1, 65_500, wide, scans, BASELINE), None, (1, 65_500), MID_GREY),
    )
    yield (
        "12 bits",
        Case(lambda: jpeg_head(frame(16, 16, GREY, precision=12)) + scan_head(in_one_scan(GREY)[0]), "precision"),
    )
    small = one_scan(16, 16, GREY)

    def with_segments(*parts: bytes) -> Callable[[], bytes]:
        return lambda: START + b"".join(parts) + small[2:]

    def read(data: Callable[[], bytes]) -> Case:
        return Case(data, None, (16, 16), MID_GREY)

    yield "empty comments", read(with_segments(segment(0xFE) * 240_000))
    yield "segments of length 0", read(with_segments(b"\xff\xfe\0\0" * 240_000))
    yield "fill bytes", read(with_segments(b"\xff" * 990_000))
    yield "tables again and again", read(with_segments(huffman_table(1, 0) * 45_000))
    yield "quantization tables", read(with_segments(segment(0xDB, bytes([0] + [1] * 64)) * 14_000))
    entries = struct.pack(">HHII", 0x0103, 3, 1, 0) * 5400
    directory = segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 65_535) + entries)
    yield "EXIF directories without end", read(with_segments(directory * 15))
    yield "tiny EXIF segments", read(with_segments(segment(0xE1, b"Exif\0\0" + exif(9)) * 20_000))
    profile = segment(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(65_000))
    yield "colour profiles", read(with_segments(profile * 15))
    yield "a restart after each block", read_restarts()
    yield (
        "large, without data",
        Case(lambda: one_scan(6000, 6000, GREY)[:-70_000] + END, "damaged", work=None),
    )
    yield from lossless_cases()


def read_restarts() -> Case:
    """Each block is one byte of codes and a marker of two."""
    side = 8 * 560
    blocks = (side // 8) ** 2
    markers = b"".join(b"\0\xff" + bytes([0xD0 + n]) for n in range(8))

    def data() -> bytes:
        codes = (markers * (blocks // 8))[:-2]
        tables = frame(side, side, GREY) + huffman_table(0, 0) + huffman_table(1, 0) + segment(0xDD, b"\0\1")
        return jpeg_head(tables) + scan_head(in_one_scan(GREY)[0]) + codes + END

    return Case(data, None, (side, side), MID_GREY)


def lossless_cases() -> Iterator[tuple[str, Case]]:
    """Each sample is its neighbour's (ITU T.81, H), which takes a bit. Where the system's libjpeg does not read them,
    Pillow does, or nobody."""
    side = 2800

    def head(side: int) -> bytes:
        tables = frame(side, side, GREY, LOSSLESS) + huffman_table(0, 0)
        return jpeg_head(tables) + segment(0xDA, b"\1\1\0\1\0\0")

    none = "SOF type 0xc3"
    yield "lossless", Case(lambda: head(side) + zero_bits(side**2) + END, f"^read$|{none}", (side, side), MID_GREY)
    yield "lossless without data", Case(lambda: head(9000) + END, f"{none}|refused.*max_expansion")


# ---- PNG

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PASSES = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
PAETH = 4


def chunk(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_head(height: int, width: int, bits: int = 8, colour: int = 0, interlaced: bool = False) -> bytes:
    return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced)))


def row_size(width: int, bits: int, colour: int) -> int:
    return 1 + math.ceil(width * bits * CHANNELS[colour] / 8)


def row_groups(height: int, width: int, bits: int, colour: int, interlaced: bool) -> list[tuple[int, int]]:
    """The bytes of a row and the number of rows, for each pass."""
    groups = []
    for top, left, down, across in PASSES if interlaced else [(0, 0, 1, 1)]:
        rows, columns = math.ceil((height - top) / down), math.ceil((width - left) / across)
        if rows > 0 and columns > 0:
            groups.append((row_size(columns, bits, colour), rows))
    return groups


def deflated(groups: list[tuple[int, int]], row_filter: int = 0) -> bytes:
    """Rows of 0, of whose bytes the first is the filter."""
    parts, checksum = [b"\x78\xda"], 1
    for size, rows in groups:
        row = bytes([row_filter]) + bytes(size - 1)
        piece = row * max((1 << 20) // size, 1)
        times, rest = divmod(size * rows, len(piece))
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        # A piece stands by itself after a full flush, so it can be repeated.
        parts.append((packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)) * times)
        parts.append(packer.compress(piece[:rest]) + packer.flush(zlib.Z_FULL_FLUSH))
        for _ in range(times):
            checksum = zlib.adler32(piece, checksum)
        checksum = zlib.adler32(piece[:rest], checksum)
    return b"".join([*parts, b"\3\0", struct.pack(">I", checksum)])  # an empty last block


def zeros(count: int) -> bytes:
    return deflated([(1, count)])


def png(
    height: int,
    width: int,
    bits: int = 8,
    colour: int = 0,
    *,
    interlaced: bool = False,
    row_filter: int = 0,
    before: bytes = b"",
) -> bytes:
    """A black PNG, or one of its palette's first colour."""
    data = deflated(row_groups(height, width, bits, colour, interlaced), row_filter)
    return png_head(height, width, bits, colour, interlaced) + before + chunk(b"IDAT", data) + chunk(b"IEND")


def png_work(height: int, width: int, bits: int, colour: int, *, interlaced: bool, turned: bool) -> int:
    """What fne.h says that decoding goes through."""
    pixels = height * width
    return 3 * pixels * (1 + turned + interlaced) + height * row_size(width, bits, colour)


def square_pngs(
    name: str,
    bits: int,
    colour: int,
    *,
    interlaced: bool = False,
    row_filter: int = 0,
    orientation: int = 1,
    transparency: bytes = b"",
) -> Iterator[tuple[str, Case]]:
    before = chunk(b"PLTE", bytes(3 << min(bits, 8))) if colour == 3 else b""
    before += chunk(b"tRNS", transparency) if transparency else b""
    before += chunk(b"eXIf", exif(orientation)) if orientation > 1 else b""

    def work(side: int) -> int:
        return png_work(side, side, bits, colour, interlaced=interlaced, turned=orientation > 1)

    def data(side: int) -> bytes:
        return png(side, side, bits, colour, interlaced=interlaced, row_filter=row_filter, before=before)

    side = side_for(work)
    yield f"{name}, the largest", Case(functools.partial(data, side), None, (side, side), work=work(side))
    more = side + 1
    yield f"{name}, too large", Case(functools.partial(data, more), limit("max_expansion"), work=work(more))


class Bits:
    """Bits as deflate packs them (RFC 1951)."""

    def __init__(self) -> None:
        self.value, self.count = 0, 0

    def add(self, value: int, count: int) -> None:
        self.value |= value << self.count
        self.count += count


def table_block() -> bytes:
    """A block of 92 bits with tables and no data, and a byte's rest that is a stored block without data."""
    bits = Bits()
    bits.add(0b100, 3)  # not the last; dynamic tables
    bits.add(0, 5), bits.add(0, 5), bits.add(14, 4)  # 257 lengths, 1 distance, 18 lengths of lengths
    lengths = {18: 1, 0: 2, 1: 2}
    for symbol in (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1):
        bits.add(lengths.get(symbol, 0), 3)
    for zeros in (138, 118):  # 256 lengths of 0
        bits.add(0, 1), bits.add(zeros - 11, 7)
    bits.add(0b11, 2)  # the end of a block has a length of 1
    bits.add(0b01, 2)  # the distance has none
    bits.add(0, 1)  # the end of the block
    bits.add(0, 3)  # a stored block
    bits.count += -bits.count % 8
    bits.add(0xFFFF0000, 32)
    return bits.value.to_bytes(bits.count // 8, "little")


def png_of_stream(prefix: bytes) -> bytes:
    """16 x 16, grey. The prefix are blocks of deflate that hold nothing."""
    rows = bytes(17 * 16)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    stream = b"\x78\x9c" + prefix + packer.compress(rows) + packer.flush() + struct.pack(">I", zlib.adler32(rows))
    return png_head(16, 16) + chunk(b"IDAT", stream) + chunk(b"IEND")


def png_cases() -> Iterator[tuple[str, Case]]:
    yield (
        "522 KB, one column of 268 million pixels",
        Case(lambda: png(268_435_455, 1), limit("max_side")),
    )
    yield "one row of 268 million pixels", Case(lambda: png(1, 268_435_455, 1), limit("max_side"))
    yield (
        "33 KB, 16384 x 16384, 1 bit, interlaced",
        Case(
            lambda: png(16_384, 16_384, 1, interlaced=True),
            limit("max_expansion"),
            work=png_work(16_384, 16_384, 1, 0, interlaced=True, turned=False),
        ),
    )
    surplus = "damaged.*after the last row"
    yield (
        "917 KB, 16 x 16, with 945 million bytes of surplus",
        Case(lambda: png_head(16, 16) + chunk(b"IDAT", zeros(945_000_000)) + chunk(b"IEND"), surplus),
    )
    for height in (15, 16):
        head = png_head(height, 16, interlaced=True)
        yield (
            f"surplus after {height} interlaced rows",
            Case(lambda head=head: head + chunk(b"IDAT", zeros(100_000_000)) + chunk(b"IEND"), surplus),
        )
    yield (
        "surplus in many chunks",
        Case(
            lambda: png_head(16, 16) + b"".join(chunk(b"IDAT", b) for b in pieces(zeros(99_000_000), 9)) + END_CHUNK,
            surplus,
        ),
    )
    yield (
        "a little surplus",
        Case(lambda: png_head(16, 16) + chunk(b"IDAT", zeros(10_000_000)) + chunk(b"IEND")),
    )
    yield "65,535 rows", Case(lambda: png(65_535, 1), None, (65_535, 1))
    yield "65,535 columns", Case(lambda: png(1, 65_535, 16, 6), None, (1, 65_535))
    yield "65,536 rows", Case(lambda: png(65_536, 1), limit("max_side"))
    most = 0x7FFFFFFF
    yield "2^31 - 1 rows and columns", Case(lambda: png_head(most, most) + png(16, 16)[33:], limit("max_side"))
    yield "the most pixels", Case(lambda: png(16_384, 16_384, 1), limit("max_expansion"))
    yield "too many pixels", Case(lambda: png_head(16_385, 16_384) + png(16, 16)[33:], limit("max_pixels"))
    yield from square_pngs("1 bit", 1, 0)
    yield from square_pngs("1 bit, interlaced", 1, 0, interlaced=True)
    yield from square_pngs("palette of 1 bit, turned", 1, 3, orientation=6)
    yield from square_pngs("palette, interlaced", 8, 3, interlaced=True)
    yield from square_pngs("grey and alpha of 16 bits", 16, 4, row_filter=PAETH)
    yield from square_pngs("colour", 8, 2, row_filter=PAETH)
    yield from square_pngs("colour, interlaced, turned", 8, 2, interlaced=True, orientation=7)
    yield from square_pngs("colour and alpha of 16 bits", 16, 6, row_filter=PAETH)
    yield from square_pngs("colour and alpha of 16 bits, interlaced", 16, 6, interlaced=True, row_filter=PAETH)
    yield from square_pngs("transparent colour of 16 bits", 16, 2, row_filter=PAETH, transparency=bytes(6))
    yield from square_pngs("transparent grey of 1 bit", 1, 0, transparency=bytes(2))
    yield from square_pngs("transparent palette", 4, 3, transparency=bytes(16))
    yield from square_pngs("colour and alpha of 16 bits, turned", 16, 6, row_filter=PAETH, orientation=5)
    bomb = zlib.compress(bytes(100_000_000), 9)
    texts = {
        "a colour profile of 100 million bytes": chunk(b"iCCP", b"name\0\0" + bomb),
        "nine texts of 100 million bytes": chunk(b"zTXt", b"name\0\0" + bomb) * 9,
        "international texts of 100 million bytes": chunk(b"iTXt", b"name\0\1\0\0\0" + bomb) * 9,
        "tiny texts": chunk(b"tEXt", b"k\0") * 60_000,
        "tiny unknown chunks": chunk(b"abCd") * 80_000,
        "gammas": chunk(b"gAMA", bytes([0, 0, 177, 143])) * 60_000,
        "calibrations": chunk(b"pCAL", b"p\0" + bytes(8) + b"\0\2u\0" + b"0\0001") * 30_000,
        "EXIF with wrong checksums": (chunk(b"eXIf", exif(6) + bytes(60_000))[:-1] + b"\0") * 16,
        "an EXIF of 900 KB": chunk(b"eXIf", exif(1) + bytes(900_000)),
        "palettes of suggestions": chunk(b"sPLT", b"name\0\x08" + bytes(60_000)) * 16,
        "frames of an animation": chunk(b"acTL", bytes([0, 0, 255, 255, 0, 0, 0, 0]))
        + chunk(b"fdAT", bytes(99)) * 8000,
    }
    for name, before in texts.items():
        yield name, Case(lambda before=before: png(16, 16, before=before))
    yield (
        "a chunk for each byte",
        Case(
            lambda: (
                png_head(64, 1000, 8, 2) + b"".join(chunk(b"IDAT", b) for b in pieces(noise(64, 3000), 3)) + END_CHUNK
            ),
            None,
            (64, 1000),
            None,
        ),
    )
    yield (
        "empty chunks of image data",
        Case(lambda: png_head(16, 16) + chunk(b"IDAT") * 80_000 + png(16, 16)[33:]),
    )
    yield (
        "empty chunks of image data after it",
        Case(lambda: png(16, 16)[:-12] + chunk(b"IDAT") * 80_000 + END_CHUNK),
    )
    yield "blocks of tables", Case(lambda: png_of_stream(table_block() * 60_000))
    yield "empty stored blocks", Case(lambda: png_of_stream(b"\0\0\0\xff\xff" * 190_000))


END_CHUNK = chunk(b"IEND")


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def noise(rows: int, row: int) -> bytes:
    """Image data that deflate does not make smaller."""
    value, out = 1, bytearray()
    for _ in range(rows):
        out.append(0)
        for _ in range(row):
            value = value * 1_103_515_245 + 12_345 & 0x7FFFFFFF
            out.append(value >> 16 & 0xFF)
    return zlib.compress(bytes(out))


def cases() -> dict[str, Case]:
    """All files, by name."""
    jpegs = {f"JPEG: {name}": case for name, case in jpeg_cases()}
    return jpegs | {f"PNG: {name}": case for name, case in png_cases()}
