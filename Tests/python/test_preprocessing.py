"""Resize modes, interpolation and crops: what the network is fed with, against OpenCV, Pillow and NumPy."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import PIL.Image
import pytest
from test_images import photograph

import fne

CURVES = {"antialiased": PIL.Image.Resampling.BILINEAR, "bicubic": PIL.Image.Resampling.BICUBIC}


def identity_network(height=None, width=None):
    """Its layer "fed" is the input itself, [n, height * width * 3]."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, height, width, 3], "input")
        tf.reshape(x, [-1, height * width * 3], "fed")
    return graph.as_graph_def()


def extractor(height, width, **options):
    return fne.Extractor(identity_network(height, width), layers=["fed"], **options)


def resized(image, height, width, interpolation):
    if interpolation == "bilinear":
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    # Over the width first, as libfne does always.
    narrow = PIL.Image.fromarray(image).resize((width, image.shape[0]), CURVES[interpolation])
    return np.asarray(narrow.resize((width, height), CURVES[interpolation]))


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_a_large_picture(tmp_path, orientation):
    """Its memory is of another kind than that of small ones, and has a part after the last page of 2 MiB."""
    image = np.random.default_rng(8).integers(0, 256, (150, 170, 3), np.uint8)
    path, exif = tmp_path / "image.jpg", PIL.Image.Exif()
    exif[0x0112] = orientation
    PIL.Image.fromarray(cv2.resize(image, (1403, 1201))).save(path, exif=exif)
    shown = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    assert shown.nbytes > 4 << 20
    np.testing.assert_array_equal(fne.read_image(path), shown)
    for interpolation in ("bilinear", "antialiased"):
        with extractor(30, 40, interpolation=interpolation) as network:
            fed = network.extract([path]).features.reshape(30, 40, 3)
        np.testing.assert_array_equal(fed, resized(shown, 30, 40, interpolation))


def shortest_side(height, width, side):
    """torchvision's Resize(side)."""
    return (side, int(side * width / height)) if height <= width else (int(side * height / width), side)


def center_crop(image, height, width):
    """torchvision's CenterCrop."""
    top = round((image.shape[0] - height) / 2.0)
    left = round((image.shape[1] - width) / 2.0)
    return image[top : top + height, left : left + width]


def ten_crop(image, height, width):
    """torchvision's TenCrop: corners and centre, then those of the mirrored image."""

    def five(image):
        corners = [image[:height, :width], image[:height, -width:], image[-height:, :width], image[-height:, -width:]]
        return [*corners, center_crop(image, height, width)]

    return five(image) + five(image[:, ::-1])


#: The long ones become so much larger than their crops that each crop is resized by itself.
PICTURES = [(61, 83), (83, 61), (40, 40), (40, 97), (30, 32), (33, 200), (200, 231), (20, 400), (250, 21), (3, 90)]


@pytest.mark.parametrize("interpolation", ["bilinear", "antialiased", "bicubic"])
@pytest.mark.parametrize("side", [32, 37])
def test_shortest_side_and_centre_crop(side, interpolation):
    options = {"resize_mode": "shortest_side", "resize_size": (side, side), "interpolation": interpolation}
    images = [photograph(*size) for size in PICTURES]
    with extractor(32, 32, **options) as network:
        rows = network.extract(images).features.reshape(-1, 32, 32, 3)
        for image, row in zip(images, rows, strict=True):
            expected = center_crop(resized(image, *shortest_side(*image.shape[:2], side), interpolation), 32, 32)
            np.testing.assert_array_equal(row, expected)
            np.testing.assert_array_equal(network.preprocess(image)[0], expected)


@pytest.mark.parametrize("size", [(20, 400), (250, 20)])
def test_a_long_picture_that_is_halved(size):
    """For which the kernel has a way of its own."""
    image = photograph(*size)
    halved = resized(image, size[0] // 2, size[1] // 2, "bilinear")
    with extractor(8, 8, resize_mode="shortest_side", crops=10, resize_size=(10, 10)) as network:
        np.testing.assert_array_equal(network.preprocess(image), ten_crop(halved, 8, 8))


def test_shortest_side_of_an_oblong_input():
    """The smallest picture that covers 30 x 60 has one of its sides."""
    image = photograph(80, 100)
    with extractor(30, 60, resize_mode="shortest_side") as network:
        expected = center_crop(resized(image, 48, 60, "bilinear"), 30, 60)
        np.testing.assert_array_equal(network.preprocess(image)[0], expected)


@pytest.mark.parametrize("interpolation", ["bilinear", "antialiased", "bicubic"])
@pytest.mark.parametrize("mode", ["stretch", "shortest_side"])
def test_ten_crops(mode, interpolation):
    images = [photograph(*size) for size in PICTURES]
    options = {"resize_mode": mode, "interpolation": interpolation, "resize_size": (35, 35)}
    with extractor(28, 28, crops=10, batch_size=16, **options) as network:
        assert network.rows_per_image == 10
        extraction = network.extract(images)
        rows = extraction.features.reshape(len(images), 10, 28, 28, 3)
        assert extraction.statuses.shape == (len(images),)
        for image, crops in zip(images, rows, strict=True):
            size = (35, 35) if mode == "stretch" else shortest_side(*image.shape[:2], 35)
            np.testing.assert_array_equal(crops, ten_crop(resized(image, *size, interpolation), 28, 28))


def test_ten_crops_of_256_by_default():
    """The published experiments: pictures of 256, crops of 224."""
    image = photograph(250, 320)
    with extractor(224, 224, crops=10) as network:
        expected = ten_crop(resized(image, 256, 256, "bilinear"), 224, 224)
        np.testing.assert_array_equal(network.preprocess(image), expected)


def test_crops_are_fed_in_the_channel_order_with_mean_and_scale():
    image = photograph(50, 60)
    options = {"channel_order": "bgr", "mean": (1, 2, 3), "scale": (0.5, 0.25, 2), "crops": 10, "resize_size": (40, 44)}
    with extractor(32, 32, **options) as network:
        crops = np.stack(ten_crop(resized(image, 40, 44, "bilinear"), 32, 32))[..., ::-1].astype(np.float32)
        expected = (crops - np.float32([1, 2, 3])) * np.float32([0.5, 0.25, 2])
        np.testing.assert_array_equal(network.preprocess(image), expected)


def test_a_bad_image_loses_its_ten_rows_alone(tmp_path):
    good = cv2.imencode(".png", photograph(40, 40))[1].tobytes()
    with extractor(32, 32, crops=10, on_error="skip", batch_size=30) as network:
        extraction = network.extract([good, good[:200], good])
        assert list(extraction.ok) == [True, False, True] and list(extraction.reasons) == [1]
        nan = np.isnan(extraction.features).all(axis=1).reshape(3, 10)
        assert nan[1].all() and not np.isnan(extraction.features[[*range(10), *range(20, 30)]]).any()


def test_wrong_options():
    for options, reason in [
        ({"crops": 5}, "crops is 5"),
        ({"resize_mode": "squash"}, "resize_mode is 'squash'"),
        ({"interpolation": "cubic"}, "interpolation is 'cubic'"),
        ({"resize_size": (31, 40)}, "resize_height is 31; it must be 32"),
        ({"scale": 0}, "scale is 0"),
        ({"image_options": fne.ImageOptions(max_pixels=0)}, "max_pixels is 0"),
    ]:
        with pytest.raises(ValueError, match=reason):
            extractor(32, 32, **options)


# ---- antialiased resizing

SIZES = [(1, 1), (1, 7), (5, 3), (16, 16), (17, 31), (64, 48), (224, 224), (375, 500)]


def assert_pillows(image, size, interpolation="antialiased"):
    """Pillow 13 resizes over the height first where it thinks that this is less work; libfne always over the width
    first. In the same order the pixels are the same, else they differ by the rounding between the two passes."""
    expected = np.asarray(PIL.Image.fromarray(image).resize(size[::-1], CURVES[interpolation]))
    resized = fne.resize(image, size, interpolation=interpolation)
    lower = fne.resize(image, (size[0], image.shape[1]), interpolation=interpolation)
    height_first = fne.resize(lower, size, interpolation=interpolation)
    assert (resized == expected).all() or (height_first == expected).all()
    assert interpolation == "bicubic" or np.abs(resized.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("interpolation", CURVES)
@pytest.mark.parametrize("source, target", itertools.product(SIZES, SIZES))
def test_antialiased_is_pillows(source, target, interpolation):
    noise = np.random.default_rng(sum(source) + sum(target)).integers(0, 256, (*source, 3), np.uint8)
    assert_pillows(noise, target, interpolation)


@pytest.mark.parametrize("value", [0, 77, 255])
def test_bicubic_keeps_what_is_even(value):
    image = np.full((5, 7000, 3), value, np.uint8)
    for size in [(1, 1), (3, 3), (9, 7100)]:  # from 1 to 28,000 weights for each sample
        assert (fne.resize(image, size, interpolation="bicubic") == value).all()


@pytest.mark.parametrize("interpolation", CURVES)
def test_antialiased_random_sizes_of_a_photograph(interpolation):
    random = np.random.default_rng(3)
    image = photograph(240, 380)
    for _ in range(60):
        height, width = random.integers(2, 240), random.integers(2, 380)
        part = np.ascontiguousarray(image[:height, :width])
        new = tuple(int(n) for n in random.integers(1, 300, 2))
        assert_pillows(part, new, interpolation)


@pytest.mark.parametrize("length", [4_000, 30_000, 3_000_000])
def test_antialiased_of_very_long_rows_keeps_the_brightness(length):
    """So many weights that each is next to nothing: the mean must stay."""
    row = np.random.default_rng(1).integers(90, 110, (1, length, 3), np.uint8)
    result = fne.resize(row, (1, 1), interpolation="antialiased").astype(int)
    position = (np.arange(length) + 0.5 - length / 2) / length  # the triangle is as wide as the picture on each side
    weights = 1 - np.abs(position)
    exact = (row[0] * weights[:, None]).sum(0) / weights.sum()
    assert np.abs(result[0, 0] - exact).max() <= 1
