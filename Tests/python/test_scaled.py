"""Large JPEGs that are decoded at a part of their size: against OpenCV's reduced decoding and Pillow's resizing."""

from __future__ import annotations

import json

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
from test_images import photograph
from test_preprocessing import center_crop, extractor, resized, shortest_side, ten_crop

import fne
from fne.__main__ import main

READ_AT = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def large(height, width):
    """A photograph with noise, whose pixels all differ from their neighbours."""
    image = cv2.resize(photograph(200, 300), (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    noise = np.random.default_rng(height * width).integers(-9, 10, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8)


def jpeg(path, image, **options):
    PIL.Image.fromarray(image).save(path, **{"quality": 90, **options})
    return path


def reduced(path, denominator):
    """OpenCV's pixels at a scale, for which it has libjpeg decode so."""
    return cv2.cvtColor(cv2.imread(str(path), READ_AT[denominator]), cv2.COLOR_BGR2RGB)


def fed(path, height=24, width=32, **options):
    """What the network is fed with."""
    with extractor(height, width, decode="scaled", **options) as network:
        return network.extract([path]).features.reshape(-1, height, width, 3)


# ---- which scale


@pytest.mark.parametrize(
    ("size", "denominator"),
    [
        ((384, 512), 8),  # exactly twice 24 x 32 is left
        ((377, 505), 8),  # the same, as the decoder rounds up
        ((376, 512), 4),  # a row too few
        ((384, 504), 4),  # a column too few
        ((700, 300), 4),
        ((189, 253), 4),
        ((188, 253), 2),
        ((95, 127), 2),
        ((94, 127), 1),
        ((95, 126), 1),
        ((24, 32), 1),
        ((11, 15), 1),
    ],
)
def test_the_smallest_scale_that_leaves_twice_the_size(tmp_path, size, denominator):
    path = jpeg(tmp_path / "image.jpg", large(*size))
    scaled = reduced(path, denominator)
    assert scaled.shape == (-(-size[0] // denominator), -(-size[1] // denominator), 3)
    expected = resized(scaled, 24, 32, "antialiased")
    np.testing.assert_array_equal(fed(path)[0], expected)
    np.testing.assert_array_equal(fed(path.read_bytes())[0], expected)


@pytest.mark.parametrize(
    ("size", "side", "denominator"),
    [((400, 900), 24, 8), ((400, 900), 26, 4), ((3000, 240), 24, 4), ((250, 190), 40, 2)],
)
def test_with_the_aspect(tmp_path, size, side, denominator):
    """What counts is the size that the picture is resized to, which its header's size decides."""
    path = jpeg(tmp_path / "image.jpg", large(*size))
    whole = resized(reduced(path, denominator), *shortest_side(*size, side), "antialiased")
    options = {"resize_mode": "shortest_side", "resize_size": side}
    np.testing.assert_array_equal(fed(path, 24, 24, **options)[0], center_crop(whole, 24, 24))
    np.testing.assert_array_equal(fed(path, 24, 24, crops=10, **options), ten_crop(whole, 24, 24))


def test_the_crops_are_of_the_size_asked_for(tmp_path):
    """Ten crops of 28 come from 32, so that 1/4 leaves too little of 255 pixels."""
    path = jpeg(tmp_path / "image.jpg", large(252, 252))
    for resize_size, denominator in [(31, 4), (32, 2)]:
        whole = resized(reduced(path, denominator), resize_size, resize_size, "antialiased")
        np.testing.assert_array_equal(fed(path, 28, 28, crops=10, resize_size=resize_size), ten_crop(whole, 28, 28))


def test_mean_scale_and_order_follow(tmp_path):
    path = jpeg(tmp_path / "image.jpg", large(400, 600))
    pixels = resized(reduced(path, 8), 24, 32, "antialiased")[..., ::-1].astype(np.float32)
    options = {"channel_order": "bgr", "mean": (1, 2, 3), "scale": (0.5, 0.25, 2)}
    np.testing.assert_array_equal(
        fed(path, **options)[0], (pixels - np.float32([1, 2, 3])) * np.float32([0.5, 0.25, 2])
    )


# ---- every kind of image


@pytest.mark.parametrize("size", [(400, 600), (201, 299), (130, 170)])
@pytest.mark.parametrize(
    "options",
    [
        {"subsampling": 0},
        {"subsampling": 1},
        {"subsampling": 2},
        {"subsampling": 2, "progressive": True},
        {"subsampling": 0, "progressive": True},
        {"restart_marker_rows": 1},
        {"quality": 30},
    ],
    ids=lambda options: "-".join(f"{name}{value}" for name, value in options.items()),
)
def test_kinds_of_jpegs(tmp_path, size, options):
    path = jpeg(tmp_path / "image.jpg", large(*size), **options)
    denominator = {400: 8, 201: 4, 130: 2}[size[0]]
    np.testing.assert_array_equal(fed(path)[0], resized(reduced(path, denominator), 24, 32, "antialiased"))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_four_inks(tmp_path, mode):
    path = tmp_path / "image.jpg"
    PIL.Image.fromarray(large(400, 600)).convert(mode).save(path, quality=90)
    np.testing.assert_array_equal(fed(path)[0], resized(reduced(path, 8), 24, 32, "antialiased"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_by_exif(tmp_path, orientation):
    """The sides are odd, and the shown picture decides: 1/8 of 300 rows would be too few for one that lies."""
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    path = jpeg(tmp_path / "image.jpg", large(301, 517), exif=exif)
    expected = resized(reduced(path, 8), 32, 18, "antialiased") if orientation >= 5 else None
    if expected is None:
        expected = resized(reduced(path, 4), 32, 18, "antialiased")
    np.testing.assert_array_equal(fed(path, 32, 18)[0], expected)


@pytest.mark.parametrize("ending", ["png", "webp", "gif"])
def test_other_formats_are_decoded_as_a_whole(tmp_path, ending):
    path = tmp_path / f"image.{ending}"
    PIL.Image.fromarray(large(400, 600)).save(path)
    np.testing.assert_array_equal(fed(path)[0], resized(fne.read_image(path), 24, 32, "antialiased"))


@pytest.mark.parametrize("size", [(400, 600), (30, 40), (12, 16)])
def test_pixels_are_resized_alike(size):
    """One option is one method, also for pixels and for small pictures."""
    image = large(*size)
    expected = resized(image, 24, 32, "antialiased")
    np.testing.assert_array_equal(fed(image)[0], expected)
    with extractor(24, 32, decode="scaled") as network:
        np.testing.assert_array_equal(network.preprocess(image)[0], expected)


def test_bicubic_stays_bicubic(tmp_path):
    path = jpeg(tmp_path / "image.jpg", large(400, 600))
    expected = resized(reduced(path, 8), 24, 32, "bicubic")
    np.testing.assert_array_equal(fed(path, interpolation="bicubic")[0], expected)
    np.testing.assert_array_equal(
        fed(path, interpolation="antialiased")[0], resized(reduced(path, 8), 24, 32, "antialiased")
    )


def test_near_the_full_decoding(tmp_path):
    """Of a smooth picture, the mean of all pixels is that of the pixels' means."""
    path = jpeg(tmp_path / "image.jpg", cv2.resize(photograph(), (1600, 1200), interpolation=cv2.INTER_CUBIC))
    full = resized(fne.read_image(path), 24, 32, "antialiased").astype(int)
    assert np.abs(fed(path)[0] - full).max() <= 2


def test_the_default_is_full_decoding(tmp_path):
    path = jpeg(tmp_path / "image.jpg", large(400, 600))
    expected = resized(fne.read_image(path), 24, 32, "bilinear")
    for options in ({}, {"decode": "full"}):
        with extractor(24, 32, **options) as network:
            np.testing.assert_array_equal(network.extract([path]).features.reshape(24, 32, 3), expected)
    with pytest.raises(fne.InvalidArgumentError, match="decode is 'half'"):
        extractor(24, 32, decode="half")


# ---- damage and limits


@pytest.mark.parametrize("progressive", [False, True])
def test_truncated_files(tmp_path, progressive):
    whole = jpeg(tmp_path / "whole.jpg", large(400, 600), progressive=progressive).read_bytes()
    path = tmp_path / "cut.jpg"
    path.write_bytes(whole[: len(whole) // (8 if progressive else 2)])
    with pytest.raises(fne.errors.DamagedImageError, match="truncated"):
        fed(path)
    tolerant = {"image_options": fne.ImageOptions(tolerate_truncation=True)}
    taken = fed(path, **tolerant)[0]
    # OpenCV's libjpeg smooths coarse scans in another way.
    expected = resized(reduced(path, 8), 24, 32, "antialiased")
    np.testing.assert_allclose(taken, expected, rtol=0, atol=2 if progressive else 0)
    assert (taken != fed(tmp_path / "whole.jpg")[0]).any()


def test_files_cut_at_any_place(tmp_path):
    """Each is an error, or a picture where damage is tolerated, as it is with full decoding."""
    whole = jpeg(tmp_path / "whole.jpg", large(200, 300), quality=40).read_bytes()
    images = [whole[:end] for end in range(3, len(whole), len(whole) // 60)]
    for tolerant in (False, True):
        options = {"on_error": "skip", "image_options": fne.ImageOptions(tolerate_truncation=tolerant)}
        with extractor(24, 32, decode="scaled", **options) as scaled, extractor(24, 32, **options) as full:
            statuses = scaled.extract(images).statuses
            np.testing.assert_array_equal(statuses, full.extract(images).statuses)
            assert (statuses == 0).any() == tolerant


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"max_pixels": 239_999}, "600 x 400 pixels are more than .*max_pixels"),
        ({"max_side": 599}, "max_side"),
        ({"max_expansion": 1}, "max_expansion"),
        ({"max_scans": 3}, "max_scans"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_the_limits_are_of_the_whole_picture(tmp_path, options, word):
    path = jpeg(tmp_path / "image.jpg", large(400, 600), progressive=True)
    for decode in ("scaled", "full"):
        with (
            extractor(24, 32, decode=decode, image_options=fne.ImageOptions(**options)) as network,
            pytest.raises(fne.errors.ImageLimitError, match=word),
        ):
            network.extract([path])


# ---- jobs, scikit-learn, the command


SIZE = (48, 64)


def embed(source, graph, folder, **options):
    return fne.embed_dataset(source, graph, folder, **{"size": SIZE, **options})


def manifest(job):
    return json.loads((job.folder / "manifest.json").read_text())["settings"]


def test_a_job_keeps_to_its_decoding(tmp_path, photographs, graph):
    scaled = embed(photographs, graph, tmp_path / "scaled", decode="scaled")
    full = embed(photographs, graph, tmp_path / "full")
    assert manifest(scaled)["decode"] == "scaled" and manifest(scaled)["input"]["interpolation"] == "antialiased"
    assert "decode" not in manifest(full) and manifest(full)["input"]["interpolation"] == "bilinear"
    with fne.Extractor(graph, size=SIZE, decode="scaled", batch_size=4, pad_batches=True) as network:
        rows = network.extract(photographs).features
    np.testing.assert_array_equal(scaled.features(), rows)
    assert (scaled.features() != full.features()).any()
    with scaled.extractor() as again:
        np.testing.assert_array_equal(again.extract(photographs[3:6]).features, rows[3:6])
    with pytest.raises(fne.JobMismatchError, match='interpolation is "bilinear" there and "antialiased" here'):
        embed(photographs, graph, tmp_path / "full", decode="scaled")
    with pytest.raises(fne.JobMismatchError, match='interpolation is "antialiased" there and "bilinear" here'):
        embed(photographs, graph, tmp_path / "scaled")
    with pytest.raises(fne.JobMismatchError, match="decode is missing"):
        embed(photographs, graph, tmp_path / "scaled", interpolation="antialiased")
    embed(photographs, graph, tmp_path / "antialiased", interpolation="antialiased")
    with pytest.raises(fne.JobMismatchError, match='decode is null there and "scaled" here'):
        embed(photographs, graph, tmp_path / "antialiased", decode="scaled")


def test_a_stopped_job_goes_on(tmp_path, photographs, graph):
    whole = embed(photographs, graph, tmp_path / "whole", decode="scaled")

    def stop(phase, done, total):
        if phase == "embedding" and done >= 8:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        embed(photographs, graph, tmp_path / "job", decode="scaled", progress=stop)
    with pytest.raises(fne.JobMismatchError):
        embed(photographs, graph, tmp_path / "job")
    job = embed(photographs, graph, tmp_path / "job", decode="scaled")
    np.testing.assert_array_equal(job.codes(), whole.codes())
    assert (tmp_path / "job/features.npy").read_bytes() == (tmp_path / "whole/features.npy").read_bytes()


def test_shards_are_merged_with_their_like(tmp_path, photographs, graph):
    whole = embed(photographs, graph, tmp_path / "whole", decode="scaled")
    for index in range(2):
        embed(photographs, graph, tmp_path / f"scaled{index}", shard=(index, 2), decode="scaled")
    embed(photographs, graph, tmp_path / "full1", shard=(1, 2))
    merged = fne.merge_shards([tmp_path / "scaled0", tmp_path / "scaled1"], tmp_path / "merged")
    np.testing.assert_array_equal(merged.codes(), whole.codes())
    assert manifest(merged)["decode"] == "scaled"
    with pytest.raises(fne.JobMismatchError, match="decode|interpolation"):
        fne.merge_shards([tmp_path / "scaled0", tmp_path / "full1"], tmp_path / "mixed")


def test_scikit_learn(photographs, graph):
    pytest.importorskip("sklearn")
    from fne.sklearn import FullNetworkEmbedder, FullNetworkFeatures

    with fne.Extractor(graph, size=SIZE, decode="scaled", batch_size=4) as network:
        rows = network.extract(photographs[:5]).features
    for decode in ("full", "scaled"):  # the rows of one are not taken from the cache for the other
        features = FullNetworkFeatures(graph, size=SIZE, decode=decode).fit_transform(photographs[:5])
        assert np.allclose(features, rows, atol=1e-5) == (decode == "scaled")
    assert FullNetworkEmbedder(graph, size=SIZE, decode="scaled").get_params()["decode"] == "scaled"


def test_the_command(tmp_path, photographs, graph, capsys):
    lines = tmp_path / "list.txt"
    lines.write_text("".join(f"{path}\n" for path in photographs[:6]))
    command = ["embed", str(lines), str(graph), str(tmp_path / "job"), "--size", "48x64", "--quiet"]
    assert main([*command, "--decode", "scaled"]) == 0
    job = fne.Job(tmp_path / "job")
    with fne.Extractor(graph, size=SIZE, decode="scaled", batch_size=4, pad_batches=True) as network:
        np.testing.assert_array_equal(job.features(), network.extract(photographs[:6]).features)
    assert main([*command, "--decode", "full"]) == 1
    assert 'interpolation is "antialiased" there and "bilinear" here' in capsys.readouterr().err
    page = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "job"), "-o", str(page)]) == 0
    assert "scaled decoding" in page.read_text()
