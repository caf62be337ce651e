"""Where images come from: Pillow's formats, pixels, mixed lists, odd paths; limits; damage that is tolerated."""

from __future__ import annotations

import io
import os

import cv2
import numpy as np
import PIL.Image
import pytest
from test_images import JPEG, PNG, encoded, photograph
from test_preprocessing import extractor

import fne
from fne import _pillow

LOSSLESS = {"BMP": {}, "TIFF": {}, "WEBP": {"lossless": True}}


def saved(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


# ---- Pillow's formats


@pytest.mark.parametrize("format", LOSSLESS)
def test_other_formats_come_through_pillow(tmp_path, format):
    data = saved(PIL.Image.fromarray(photograph()), format, **LOSSLESS[format])
    path = tmp_path / "image.jpg"  # whatever it is called
    path.write_bytes(data)
    np.testing.assert_array_equal(fne.read_image(path), photograph())
    np.testing.assert_array_equal(fne.read_image(data), photograph())
    np.testing.assert_array_equal(fne.read_image(PIL.Image.open(path)), photograph())
    assert fne.image_info(path) == (61, 83, format, 1)


def test_gif_with_several_pictures_gives_the_first():
    first, second = (PIL.Image.fromarray(photograph()).quantize(16), PIL.Image.new("P", (83, 61)))
    data = saved(first, "GIF", save_all=True, append_images=[second])
    np.testing.assert_array_equal(fne.read_image(data), np.asarray(first.convert("RGB")))


@pytest.mark.parametrize("orientation", [3, 6])
def test_orientation_of_other_formats(orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    data = saved(PIL.Image.fromarray(photograph()), "WEBP", lossless=True, exif=exif)
    turned = {3: photograph()[::-1, ::-1], 6: np.rot90(photograph(), -1)}[orientation]
    np.testing.assert_array_equal(fne.read_image(data), turned)
    assert fne.image_info(data) == (*turned.shape[:2], "WEBP", orientation)


def test_sixteen_bits_are_cut_to_the_high_byte():
    grey = photograph()[..., 0].astype(np.uint16) * 256 + 200
    data = saved(PIL.Image.fromarray(grey), "TIFF")
    np.testing.assert_array_equal(fne.read_image(data), np.repeat(photograph()[..., :1], 3, 2))


def test_numbers_without_a_range_are_refused():
    data = saved(PIL.Image.fromarray(photograph()[..., 0].astype(np.float32)), "TIFF")
    with pytest.raises(fne.ImageError, match="mode F"):
        fne.read_image(data)


def test_alpha_is_dropped():
    image = PIL.Image.fromarray(photograph())
    image.putalpha(PIL.Image.fromarray(photograph()[..., 1]))
    np.testing.assert_array_equal(fne.read_image(saved(image, "TIFF")), photograph())


def test_damage_in_other_formats(tmp_path):
    for format in ("WEBP", "BMP"):
        path = tmp_path / f"half.{format}"
        path.write_bytes(encoded(format)[:500])
        with pytest.raises(fne.ImageError, match=f"half.{format}: "):
            fne.read_image(path)


def test_limits_hold_for_other_formats():
    with pytest.raises(fne.ImageError, match=r"83 x 61 pixels are more than the limit of 5000 \(max_pixels\)"):
        fne.read_image(encoded("BMP"), options=fne.ImageOptions(max_pixels=5000))
    with pytest.raises(fne.ImageError, match=r"83 x 61 pixels have a side beyond the limit of 80 \(max_side\)"):
        fne.read_image(encoded("BMP"), options=fne.ImageOptions(max_side=80))


def test_without_pillow_the_formats_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(_pillow, "installed", lambda: False)
    for format, word in [("GIF", "GIF"), ("BMP", "BMP"), ("WEBP", "WebP"), ("TIFF", "TIFF")]:
        path = tmp_path / "image.jpg"
        path.write_bytes(encoded(format))
        if format == "WEBP":  # libwebp reads it
            assert fne.read_image(path).shape == (61, 83, 3)
            continue
        with pytest.raises(fne.ImageError, match=f"image.jpg: this is a {word} image. Convert it .* or install Pillow"):
            fne.read_image(path)


# ---- extraction from every source


@pytest.fixture
def sources(tmp_path):
    """The same picture from every source, and its pixels."""
    data = {"png": PNG, "webp": encoded("WEBP"), "bmp": encoded("BMP")}
    for name, content in data.items():
        (tmp_path / name).write_bytes(content)
    picture = cv2.cvtColor(photograph(), cv2.COLOR_BGR2RGB)  # as cv2 wrote it
    return tmp_path, picture


def test_a_folder_of_several_formats(sources):
    folder, _ = sources
    paths = [folder / "png", folder / "webp", folder / "png", folder / "bmp", folder / "bmp", folder / "png"]
    seen = []
    for batch in (1, 2, 16):
        with extractor(24, 20, batch_size=batch) as network:
            extraction = network.extract(paths, progress=lambda done, total: seen.append((done, total)))
            expected = [cv2.resize(fne.read_image(path), (20, 24)) for path in paths]
            np.testing.assert_array_equal(extraction.features.reshape(-1, 24, 20, 3), expected)
            assert extraction.ok.all() and not extraction.reasons
    assert seen == [(done, 6) for done in (1, 2, 3, 4, 5, 6, 2, 4, 6, 6)]


def test_a_mixed_list(sources):
    folder, picture = sources
    items = [folder / "png", PNG, picture, PIL.Image.fromarray(picture), bytearray(PNG), str(folder / "png")]
    with extractor(24, 20, batch_size=4) as network:
        rows = network.extract(items).features.reshape(-1, 24, 20, 3)
    for row in rows:
        np.testing.assert_array_equal(row, cv2.resize(picture, (20, 24)))


def test_pixels_with_a_row_stride_and_views():
    picture = photograph(61, 83)
    views = [picture[:40, :50], picture[::-1], picture[:, ::-1], picture[..., ::-1], np.asfortranarray(picture)]
    with extractor(24, 20) as network:
        rows = network.extract(views).features.reshape(-1, 24, 20, 3)
    for row, view in zip(rows, views, strict=True):
        np.testing.assert_array_equal(row, cv2.resize(np.ascontiguousarray(view), (20, 24)))


def test_the_first_bad_image_of_a_mixed_folder_is_raised(sources):
    folder, _ = sources
    (folder / "broken.webp").write_bytes(encoded("WEBP")[:300])
    paths = [folder / "png", folder / "webp", folder / "broken.webp", folder / "gone.jpg"]
    for batch in (1, 16):
        with (
            extractor(24, 20, batch_size=batch) as network,
            pytest.raises(fne.ImageError, match="image 2 of 4: .*broken.webp"),
        ):
            network.extract(paths)
        with extractor(24, 20, batch_size=batch, on_error="skip") as network:
            extraction = network.extract(paths)
        assert list(extraction.ok) == [True, True, False, False]
        assert list(extraction.statuses) == [0, 0, extraction.statuses[2], 4]
        assert "broken.webp" in extraction.reasons[2] and "gone.jpg: No such file" in extraction.reasons[3]
        assert np.isnan(extraction.features[2:]).all() and not np.isnan(extraction.features[:2]).any()


def test_a_network_that_gives_infinity_names_the_image(sources):
    """Of a mixed list and of Pillow's formats, by its place in the list that was given."""
    folder, picture = sources
    black = np.zeros_like(picture)
    for images in (
        [black, folder / "png"],
        [black, black, PIL.Image.fromarray(picture)],
        [folder / "gone", folder / "bmp"],
    ):
        last = len(images) - 1
        with extractor(24, 20, scale=3e38, on_error="skip") as network:
            extraction = network.extract(images)
            assert extraction.statuses[last] == 15 and "infinity" in extraction.reasons[last]
            assert np.isnan(extraction.features[last]).all()
    with (
        extractor(24, 20, scale=3e38) as network,
        pytest.raises(fne.NotFiniteError, match="image 2 of 3: .*infinity"),
    ):
        network.extract([black, black, PIL.Image.fromarray(picture)])


@pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged tags and large pictures
@pytest.mark.parametrize("format", ["GIF", "TIFF", "BMP", "WEBP"])
def test_mutants_of_other_formats_are_images_or_errors(format):
    """Pillow's readers raise of every kind; here it is ImageError alone."""
    original = encoded(format)
    random = np.random.default_rng(3)
    for _ in range(400):
        data = bytearray(original)
        for at in random.integers(4, min(len(data), 400), 6):
            data[at] = random.integers(256)
        try:
            assert fne.read_image(bytes(data), options=fne.ImageOptions(max_pixels=1 << 22)).dtype == np.uint8
        except fne.ImageError as failure:
            assert str(failure)


def test_the_drop_in_takes_other_formats(sources, network):
    folder, _ = sources
    paths = [folder / "png", folder / "bmp", folder / "png"]
    features, _ = fne.full_network_embedding(network[0], paths, 2, "input:0", None, (48, 64))
    assert features.shape[0] == 3 and set(np.unique(features)) <= {-1, 0, 1}


# ---- paths


def test_a_name_that_is_not_utf8(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.png")
    with open(path, "wb") as file:
        file.write(PNG)
    name = os.fsdecode(path)
    np.testing.assert_array_equal(fne.read_image(name), fne.read_image(PNG))
    with extractor(24, 20) as network:
        assert np.isfinite(network.extract([name]).features).all()
        with pytest.raises(fne.FileError, match="caf\ufffd.gif: No such file"):
            network.extract([name.replace("png", "gif")])


def test_a_path_with_a_zero_byte_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    with pytest.raises(ValueError, match="zero byte"):
        fne.read_image(f"{path}\0.jpg")


# ---- limits


def test_limits():
    progressive = saved(PIL.Image.fromarray(photograph()), "JPEG", progressive=True)
    large = saved(PIL.Image.new("RGB", (600, 600)), "PNG")
    for data, options, reason in [
        (PNG, {"max_pixels": 61 * 83 - 1}, "83 x 61 pixels are more than the limit of 5062"),
        (JPEG, {"max_bytes": len(JPEG) - 1}, "bytes are more than the limit"),
        (progressive, {"max_scans": 3}, r"more than 3 scans \(max_scans\)"),
        (PNG, {"max_side": 82}, r"83 x 61 pixels have a side beyond the limit of 82 \(max_side\)"),
        (large, {"max_expansion": 1}, rf"through 2160600 bytes.* 1048576 for a file of {len(large)} .*max_expansion"),
    ]:
        with pytest.raises(fne.ImageError, match=reason):
            fne.read_image(data, options=fne.ImageOptions(**options))
        larger = {name: value + 100 for name, value in options.items()}
        assert fne.read_image(data, options=fne.ImageOptions(**larger)).shape[2] == 3


def test_a_chunk_beyond_its_limit():
    exif = PIL.Image.Exif()
    exif[0x010E] = "a long description " * 200
    data = saved(PIL.Image.fromarray(photograph()), "PNG", exif=exif)
    assert fne.read_image(data).shape == (61, 83, 3)
    with pytest.raises(fne.ImageError, match="refused: a chunk of .* more than the limit of 1000"):
        fne.read_image(data, options=fne.ImageOptions(max_chunk_bytes=1000))


def test_limits_in_an_extraction():
    with extractor(24, 20, image_options=fne.ImageOptions(max_pixels=5000), on_error="skip") as network:
        extraction = network.extract([PNG, cv2.imencode(".png", photograph(40, 40))[1].tobytes()])
    assert list(extraction.statuses) == [7, 0]


# ---- damage

TOLERANT = fne.ImageOptions(tolerate_truncation=True)


@pytest.mark.parametrize("progressive", [False, True])
def test_what_can_be_had_of_a_truncated_jpeg_is_opencvs(tmp_path, progressive):
    data = saved(PIL.Image.fromarray(photograph(200, 240)), "JPEG", progressive=progressive)
    data = data[: len(data) * 2 // 3]
    with pytest.raises(fne.ImageError, match="truncated or damaged"):
        fne.read_image(data)
    lines = []
    fne.set_log_callback(lambda level, message: lines.append((level, message)))
    image = fne.read_image(data, options=TOLERANT)
    fne.set_log_callback(None)
    path = tmp_path / "half.jpg"
    path.write_bytes(data)
    expected = cv2.imread(str(path), cv2.IMREAD_COLOR)
    difference = np.abs(image.astype(int) - cv2.cvtColor(expected, cv2.COLOR_BGR2RGB))
    # Of a progressive file, the codec guesses coefficients that are missing, and versions of libjpeg-turbo differ in
    # that.
    assert difference.max() <= (8 if progressive else 0) and (difference > 0).mean() < 0.05
    assert [level for level, _ in lines] == ["warning"] and "only a part of it was decoded" in lines[0][1]


def test_what_can_be_had_of_a_truncated_png():
    picture = photograph(200, 240)
    data = saved(PIL.Image.fromarray(picture), "PNG")
    image = fne.read_image(data[: len(data) // 2], options=TOLERANT)
    rows = np.flatnonzero((image != picture).any(axis=(1, 2)))[0]
    assert 50 < rows < 150, "the rows that are there are right"
    assert not image[rows + 1 :].any(), "what is missing is black"


def test_a_truncated_interlaced_png_is_coarse_where_passes_are_missing():
    picture = cv2.imencode(".png", photograph(200, 240))[1]
    whole = cv2.imdecode(picture, 1)[..., ::-1]
    from test_codecs import write_png  # PIL and OpenCV write no interlaced files

    data = write_png(whole, interlaced=True)
    image = fne.read_image(data[: len(data) * 3 // 4], options=TOLERANT).astype(int)
    assert 0 < np.abs(image - whole).mean() < 8


def test_a_picture_with_nothing_in_it_is_an_error_all_the_same():
    start = JPEG.index(b"\xff\xda") + 20
    for data in (JPEG[:start], PNG[:60], JPEG[:100]):
        with pytest.raises(fne.ImageError):
            fne.read_image(data, options=TOLERANT)


def test_a_wrong_checksum_is_an_error_unless_it_is_tolerated():
    data = bytearray(PNG)
    at = data.index(b"IEND") - 8  # the checksum of the image data
    data[at + 1] ^= 0xFF
    with pytest.raises(fne.ImageError, match="CRC"):
        fne.read_image(bytes(data))
    np.testing.assert_array_equal(fne.read_image(bytes(data), options=TOLERANT), fne.read_image(PNG))


def test_damage_tolerated_in_an_extraction():
    half = JPEG[: len(JPEG) * 2 // 3]
    with extractor(24, 20, image_options=TOLERANT) as network:
        rows = network.extract([JPEG, half]).features.reshape(2, 24, 20, 3)
    np.testing.assert_array_equal(rows[0, :8], rows[1, :8])
    assert (rows[0] != rows[1]).any()
