"""Makes golden.txt and images/: the digests that kernels.c and decode.c must print, computed by others.

The numbers are those of kernels.c (SplitMix64), the arithmetic is OpenCV's (bilinear, the decoders), Pillow's
(antialiased, bicubic), NumPy's in float32 and float64, ml_dtypes' (bfloat16), Python's whole numbers (exact sums) and
hashlib's. Needs requirements.txt. The images stay as they are; --images writes them again.
"""

import hashlib
import struct
import sys
import zlib
from pathlib import Path

import cv2
import ml_dtypes
import numpy as np
from PIL import Image

FOLDER = Path(__file__).parent
MASK = (1 << 64) - 1
BF16 = ml_dtypes.bfloat16
np.seterr(all="ignore")


def numbers(seed, count):
    z = np.uint64(seed * 0xD1342543DE82EF95 & MASK)
    z = z + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return z ^ z >> np.uint64(31)


def bytes_of(seed, count):
    return (numbers(seed, count) >> np.uint64(56)).astype(np.uint8)


def float_bits(seed, count, low, high):
    z = numbers(seed, count)
    exponents = np.uint64(low) + (z >> np.uint64(40)) % np.uint64(high - low + 1)
    return (z & np.uint64(0x807FFFFF)).astype(np.uint32) | (exponents << np.uint64(23)).astype(np.uint32)


def floats_of(seed, count, low, high):
    return float_bits(seed, count, low, high).view(np.float32)


def halves_of(seed, count, low, high):
    return (float_bits(seed, count, low, high) >> np.uint32(16)).astype(np.uint16).view(BF16)


def same_nans(halves):
    return np.where(np.isnan(halves.astype(np.float32)), np.uint16(0x7FC0), halves.view(np.uint16))


lines = {}


def line(name, parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).tobytes())
    lines[name] = digest.hexdigest()


# ---- images

SIDES = [
    (1, 1, 1, 1), (1, 1, 5, 3), (7, 5, 7, 5), (8, 12, 4, 6), (33, 47, 16, 23), (66, 94, 33, 47), (2, 3, 40, 64),
    (50, 9, 13, 9), (31, 97, 224, 8), (97, 31, 8, 50), (64, 64, 63, 65), (240, 320, 37, 41),
]  # fmt: skip # a table, as in kernels.c


def padded(seed, height, width, spare):
    rows = bytes_of(seed, height * (3 * width + spare)).reshape(height, -1)
    return np.ascontiguousarray(rows[:, : 3 * width].reshape(height, width, 3))


def bilinear(i, height, width, new_height, new_width):
    return cv2.resize(padded(100 + i, height, width, 5), (new_width, new_height), interpolation=cv2.INTER_LINEAR)


def pillows(curve, i, height, width, new_height, new_width):
    picture = Image.fromarray(padded(100 + i, height, width, 5))
    rows = picture.resize((new_width, height), curve)  # the width first, whatever the sizes
    return np.asarray(rows.resize((new_width, new_height), curve))


line("resize-bilinear", [bilinear(i, *sides) for i, sides in enumerate(SIDES)])
line("resize-antialiased", [pillows(Image.Resampling.BILINEAR, i, *sides) for i, sides in enumerate(SIDES)])
line("resize-bicubic", [pillows(Image.Resampling.BICUBIC, i, *sides) for i, sides in enumerate(SIDES)])

turned = []
for i, (height, width) in enumerate([(1, 1), (1, 70), (70, 1), (63, 65), (64, 64), (130, 129)]):
    pixels = bytes_of(160 + i, 3 * height * width).reshape(height, width, 3)
    for way in range(4):
        mirrored = pixels[:: -1 if way >> 1 else 1, :: -1 if way & 1 else 1]
        turned += [mirrored.transpose(1, 0, 2), mirrored]
line("turning", turned)

fed = []
mean, scale = np.float32([103.939, 116.779, 123.68]), np.float32([0.017, 1 / 127.5, 3])
scale[1] = np.float32(1) / np.float32(127.5)
for i, (height, width) in enumerate([(1, 1), (2, 15), (3, 16), (2, 17), (2, 512), (3, 700)]):
    pixels = padded(200 + i, height, width, 7)
    for way in range(4):
        rows = pixels[:, ::-1] if way >> 1 else pixels
        fed.append(((rows[:, :, ::-1] if way & 1 else rows).astype(np.float32) - mean) * scale)
line("pixels-to-float", fed)
line("pixels-to-planes", [image.transpose(2, 0, 1) for image in fed])
counts = [1, 2, 15, 16, 17, 33, 224, 1001]
line("split-channels", [floats_of(270 + i, 3 * n, 0, 254).reshape(n, 3).T for i, n in enumerate(counts)])

fed = []
for i, (height, width) in enumerate([(1, 1), (2, 15), (3, 16), (2, 511), (2, 1537)]):
    pixels = padded(250 + i, height, width, 7)
    for way in range(4):
        rows = np.ascontiguousarray(pixels[:, ::-1] if way >> 1 else pixels)
        grey = cv2.cvtColor(rows, cv2.COLOR_BGR2GRAY if way & 1 else cv2.COLOR_RGB2GRAY)
        fed.append((grey.astype(np.float32) - np.float32(103.939)) * (np.float32(1) / np.float32(127.5)))
line("pixels-to-grey", fed)

# ---- activations

CHANNELS = [1, 7, 15, 16, 17, 33, 128, 131, 257, 400]


def map_mean(maps):
    n, height, width, channels = maps.shape
    sums = np.zeros((n, channels), np.float32)
    for y in range(height):
        row = np.zeros((n, channels), np.float32)
        for x in range(width):
            row += maps[:, y, x]
        sums += row
    return sums / np.float32(height * width)


def lrn(x, radius):
    squares = np.pad(x * x, ((0, 0), (radius, radius)))
    sums = squares[:, : x.shape[1]].copy()
    for k in range(1, 2 * radius + 1):
        sums += squares[:, k : k + x.shape[1]]
    root = np.sqrt(np.float32(1.3) + np.float32(0.0123) * sums)
    return x / (root * np.sqrt(root))


for name, values_of in [("f32", floats_of), ("bf16", halves_of)]:
    means, normalized = [], []
    for i, channels in enumerate(CHANNELS):
        maps = values_of(300 + i, 2 * 5 * 9 * channels, 110, 135).reshape(2, 5, 9, channels)
        means.append(map_mean(maps.astype(np.float32)))
        x = values_of(400 + i, 9 * channels, 118, 133).reshape(9, channels)
        normalized += [lrn(x.astype(np.float32), radius).astype(x.dtype) for radius in (0, 2, 5, 40)]
    line(f"map-mean-{name}", means)
    line(f"lrn-{name}", normalized)

SPECIAL = np.array([
    0x0000, 0x8000, 0x0001, 0x8001, 0x007F, 0x807F, 0x0080, 0x8080, 0x3F80, 0xBF80, 0x3F81, 0xBF81, 0x4049, 0xC049,
    0x3B80, 0xBB80, 0x7F00, 0xFF00, 0x7F7F, 0xFF7F, 0x7F80, 0xFF80, 0x7FC0, 0xFFC0, 0x7F81, 0xFFFF,
], np.uint16).view(BF16)  # fmt: skip # a table, as in kernels.c


def added(a, b, relu):
    total = a.astype(np.float32) + b.astype(np.float32)
    return same_nans(np.where(total < 0, np.float32(0), total).astype(BF16) if relu else total.astype(BF16))


sums = []
for relu in (False, True):
    for i, count in enumerate([0, 1, 15, 16, 17, 1000]):
        sums.append(added(halves_of(500 + i, count, 120, 131), halves_of(600 + i, count, 120, 131), relu))
    sums.append(added(np.repeat(SPECIAL, len(SPECIAL)), np.tile(SPECIAL, len(SPECIAL)), relu))
line("add-bf16", sums)

# ---- weights

near = np.arange(1 << 16, dtype=np.uint32)[:, None] << np.uint32(16) | np.uint32([0, 0x7FFF, 0x8000, 0x8001])
line(
    "round-bf16-nearest",
    [same_nans(values.astype(BF16)) for values in (floats_of(700, 5000, 0, 255), near.reshape(-1).view(np.float32))],
)

# ---- features

x, means = floats_of(1200, 5 * 137, 100, 150).reshape(5, 137), floats_of(1201, 137, 100, 150)
deviation = np.where(np.arange(137) % 5 == 0, 0, (numbers(1202, 137) >> np.uint64(11)).astype(np.float64) * 2.0**-30)
z = (x.astype(np.float64) - means.astype(np.float64) * 1.1) / deviation
line("standardize", [np.where(deviation == 0, 0, z)])


def normalized_rows(x):
    x = x.astype(np.float64)
    whole = x.shape[1] // 8 * 8
    sums = np.zeros((x.shape[0], 8))
    for f in range(0, whole, 8):
        sums += x[:, f : f + 8] ** 2
    total = np.zeros(x.shape[0])
    for column in [x[:, f] ** 2 for f in range(whole, x.shape[1])] + [sums[:, k] for k in range(8)]:
        total += column
    return (x / np.maximum(np.sqrt(total), 1e-12)[:, None]).astype(np.float32)


rows = []
for i, features in enumerate([1, 7, 8, 9, 100, 1001]):
    x = floats_of(1300 + i, 3 * features, 100, 150).reshape(3, features).copy()
    x[1] = 0
    rows.append(normalized_rows(x))
line("l2-normalize", rows)

codes = []
for i, features in enumerate([1, 7, 31, 64, 100, 4100, 9001]):
    low = floats_of(1400 + i, features, 120, 130)
    up = np.nextafter(low, np.float32(np.inf))
    high = np.nextafter(up, np.float32(np.inf))
    infinity = np.full_like(low, np.inf)
    choices = np.stack([np.nextafter(low, -infinity), low, up, high, -infinity, infinity, np.zeros_like(low), -low])
    chosen = (numbers(1500 + i, 7 * features) >> np.uint64(61)).astype(int).reshape(7, features)
    x = choices[chosen, np.arange(features)]
    codes.append((x >= high).astype(np.int8) - (x <= low).astype(np.int8))
line("ternarize", codes)

# ---- codes

parts = []
for i, features in enumerate([1, 5, 8, 63, 64, 65, 130, 500, 513, 5000, 40000]):
    thirds = (numbers(1700 + i, 16 * features) >> np.uint64(40)) % np.uint64(3)
    codes = thirds.astype(np.int32).reshape(16, features) - 1
    planes = np.zeros((16, 2, (features + 63) // 64 * 8), np.uint8)
    for k, plane in enumerate([codes != 0, codes < 0]):
        bits = np.packbits(plane, axis=1, bitorder="little")
        planes[:, k, : bits.shape[1]] = bits
    parts.append(planes)
    shared = (codes[:7] != 0).astype(np.int32) @ (codes[7:] != 0).astype(np.int32).T
    counts = np.zeros((2, 7, 11), np.int32)
    counts[0, :, :9], counts[1, :, :9] = shared, (shared - codes[:7] @ codes[7:].T) // 2
    for queries in range(1, 8):
        parts += [np.where(np.arange(7)[:, None] < queries, count, 0).astype(np.int32) for count in counts]
line("pack-and-packed-counts", parts)

# ---- exact sums


def digits(total, lanes):
    result = []
    for _ in range(lanes - 1):
        result.append(total & 0xFFFFFFFF)
        total >>= 32
    return struct.pack(f"<{lanes}q", *result, total)


def units(value):
    """A float32 in units of 2^-149."""
    numerator, denominator = float(value).as_integer_ratio()
    return numerator * (1 << 149) // denominator


parts = []
for i, (rows, features) in enumerate([(1, 1), (64, 3), (200, 33), (130, 65)]):
    x = floats_of(1800 + i, rows * (features + 3), 0, 254).reshape(rows, features + 3)[:, :features]
    for column in x.T:
        whole = [units(value) for value in column]
        parts += [digits(sum(whole), 9), digits(sum(value * value for value in whole), 18)]
line("exact-sums", parts)

# ---- the rest

data = bytes_of(1900, 10007).tobytes()
line("sha256", [hashlib.sha256(data[:size]).digest() for size in [*range(201), 10007]])
x, y = floats_of(2000, 1000, 1, 254).astype(np.float64), floats_of(2001, 1000, 1, 254).astype(np.float64)
line("hypotf", [np.sqrt(x * x + y * y).astype(np.float32)])

# ---- codecs


def picture(height, width):
    """Smooth shades with noise, so that files are small and no pixel is like its neighbour."""
    y, x = np.mgrid[:height, :width]
    noise = bytes_of(1, height * width * 3).reshape(height, width, 3) // 8
    shades = np.stack([x * 3 + y, 255 - 2 * y, (x * y) // 16], -1) + noise
    return np.clip(shades, 0, 255).astype(np.uint8)


def png(path, rows, colours, depth, pixel_size, palette=b""):
    """With each of the five filters in turn, which no writer promises."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, size = rows.shape
    width = size * 8 // (pixel_size * 8) if depth >= 8 else size * 8 // depth
    data, above = b"", np.zeros(size, int)
    for y, row in enumerate(rows.astype(int)):
        left = np.concatenate([np.zeros(pixel_size, int), row])[:size]
        corner = np.concatenate([np.zeros(pixel_size, int), above])[:size]
        guess = left + above - corner
        far = np.abs(guess - np.stack([left, above, corner]))
        nearest = np.where((far[0] <= far[1]) & (far[0] <= far[2]), left, np.where(far[1] <= far[2], above, corner))
        filters = [0 * row, left, above, (left + above) // 2, nearest]
        data += bytes([y % 5]) + ((row - filters[y % 5]) % 256).astype(np.uint8).tobytes()
        above = row
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + (chunk(b"PLTE", palette) if palette else b"")
        + chunk(b"IDAT", zlib.compress(data, 9))
        + chunk(b"IEND", b"")
    )


def write_images(folder):
    folder.mkdir(exist_ok=True)
    shown = picture(45, 67)
    for name in ("411", "420", "422", "440", "444"):
        sampling = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{name}")
        cv2.imwrite(
            str(folder / f"{name}.jpg"),
            shown,
            [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling, cv2.IMWRITE_JPEG_QUALITY, 85],
        )
    cv2.imwrite(str(folder / "grey.jpg"), shown[:, :, 0])
    cv2.imwrite(str(folder / "progressive.jpg"), shown, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    cv2.imwrite(str(folder / "coarse.jpg"), shown, [cv2.IMWRITE_JPEG_QUALITY, 10])
    cv2.imwrite(str(folder / "exact.jpg"), bytes_of(2, 33 * 29 * 3).reshape(33, 29, 3), [cv2.IMWRITE_JPEG_QUALITY, 100])
    Image.fromarray(np.dstack([shown, shown[:, :, :1]]), "CMYK").save(folder / "cmyk.jpg", quality=80)
    height, width = 20, 37
    shown = picture(height, width)
    alpha = bytes_of(3, height * width).reshape(height, width, 1)
    png(folder / "rgb.png", shown.reshape(height, -1), 2, 8, 3)
    png(folder / "rgba.png", np.dstack([shown, alpha]).reshape(height, -1), 6, 8, 4)
    png(folder / "grey.png", shown[:, :, 0], 0, 8, 1)
    png(folder / "grey-alpha.png", np.dstack([shown[:, :, :1], alpha]).reshape(height, -1), 4, 8, 2)
    png(folder / "rgb16.png", bytes_of(4, height * width * 6).reshape(height, -1), 2, 16, 6)
    png(folder / "rgba16.png", bytes_of(5, height * width * 8).reshape(height, -1), 6, 16, 8)
    png(folder / "bits.png", bytes_of(6, 20 * 5).reshape(20, 5), 0, 1, 1)
    png(folder / "palette.png", shown[:, :, 1] // 2, 3, 8, 1, bytes_of(7, 3 * 128).tobytes())


if "--images" in sys.argv:
    write_images(FOLDER / "images")
for path in sorted((FOLDER / "images").iterdir()):
    line(path.name, [cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)])

(FOLDER / "golden.txt").write_text("".join(f"{name} {digest}\n" for name, digest in lines.items()))
