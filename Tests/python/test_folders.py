"""What is taken of folders as people have them: all formats, odd names, junk, what cannot be read. And the one rule of
what an entry point takes as images."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import subprocess
import sys
import warnings

import cv2
import numpy as np
import PIL.Image
import pytest
from conftest import ROOT
from test_c import built, run
from test_images import photograph
from test_preprocessing import extractor

import fne
from fne import _pillow
from fne._cluster import worker
from fne._libpath import tensorflow_library

SIZE = (48, 64)


def saved(format, image=None, **options):
    buffer = io.BytesIO()
    (image or PIL.Image.fromarray(photograph())).save(buffer, format, **options)
    return buffer.getvalue()


PICTURES = {
    "one.jpg": ("JPEG", saved("JPEG", quality=90)),
    "two.PNG": ("PNG", saved("PNG")),
    "three.webp": ("WEBP", saved("WEBP", quality=80)),
    "four.tiff": ("TIFF", saved("TIFF")),
    "five.bmp": ("BMP", saved("BMP")),
    "six.gif": ("GIF", saved("GIF", save_all=True, append_images=[PIL.Image.new("RGB", (83, 61))])),
    "seven.avif": ("AVIF", saved("AVIF", quality=90)),
    "eight.jp2": ("JPEG2000", saved("JPEG2000")),
    "without": ("PNG", saved("PNG")),
    "from the web.jpg_large": ("JPEG", saved("JPEG")),
    "thumb.jpg?w=300": ("WEBP", saved("WEBP", lossless=True)),
    "wrong.jpg": ("GIF", saved("GIF")),
    "page.dat": ("TIFF", saved("TIFF")),
    "deep/er/saved.file": ("BMP", saved("BMP")),
    "deep/animation": ("AVIF", saved("AVIF")),
}

JUNK = {
    "Thumbs.db": ("no image", bytes.fromhex("d0cf11e0a1b11ae1") + bytes(500)),
    "._one.jpg": ("hidden", bytes.fromhex("0005160700020000") + b"Mac OS X        "),
    ".DS_Store": ("hidden", b"\0\0\0\1Bud1"),
    "deep/.hidden.png": ("hidden", saved("PNG")),
    "notes.txt": ("no image", b"BMW and GIF are words too"),
    "BM": ("no image", b"BM is no bitmap without a header"),
    "empty": ("no image", b""),
    "film.mov": ("no image", b"\0\0\0\x14ftypqt  \0\0\0\0qt  "),
    "camera.NEF": ("camera raw", saved("TIFF")),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All of it, with a pipe, a socket and links."""
    result = tmp_path_factory.mktemp("folder")
    for name, (_, content) in {**PICTURES, **JUNK}.items():
        (result / name).parent.mkdir(parents=True, exist_ok=True)
        (result / name).write_bytes(content)
    os.mkfifo(result / "pipe.jpg")
    listener = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(result)  # a socket's path must be short
    listener.bind("socket")
    listener.close()
    os.chdir(here)
    (result / "link").symlink_to("without")
    (result / "broken").symlink_to("nowhere")
    (result / "again").symlink_to("deep")
    return result


NAMES = sorted([*PICTURES, "link"])
LEFT_OUT = {"hidden": 3, "no image": 5, "camera raw": 1, "special file": 2, "broken link": 1}


def counted(names):
    formats = [PICTURES[name][0] for name in names]
    return {format: formats.count(format) for format in formats}


def test_all_images_of_a_folder_are_listed(folder):
    listing = fne.list_images(folder)
    assert listing.names == NAMES and listing == [str(folder / name) for name in NAMES]
    assert listing.intake == fne.Intake({}, LEFT_OUT)


def test_a_job_takes_all_images_with_the_pixels_of_pillow(folder, graph, tmp_path):
    """The rows are those of the pixels, as Pillow and OpenCV read them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fne.JobWarning)
        job = fne.embed_dataset(folder, graph, tmp_path / "job", size=SIZE, streams=2, loader_threads=3)
    assert job.names == NAMES and job.ok.all()
    assert job.intake.taken == counted(PICTURES) | {"PNG": 3} and job.intake.left_out == LEFT_OUT
    pixels = []
    for name in NAMES:
        content = (folder / name).read_bytes()
        read = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
        by_pillow = content[:3] == b"GIF" or b"ftyp" in content[:12] or content[4:8] == b"jP  "
        pixels.append(np.asarray(PIL.Image.open(io.BytesIO(content)).convert("RGB")) if by_pillow else read)
    with job.extractor(graph) as network:
        np.testing.assert_array_equal(network.extract(pixels).features, job.features())
    again = fne.embed_dataset(folder, graph, tmp_path / "job", size=SIZE)
    assert again.intake.taken == {} and again.intake.left_out == LEFT_OUT


def test_a_list_takes_them_likewise(folder, graph, tmp_path):
    (tmp_path / "list").write_text("".join(f"{folder / name}\n" for name in NAMES))
    job = fne.embed_dataset(tmp_path / "list", graph, tmp_path / "job", size=SIZE)
    assert job.ok.all() and job.intake == fne.Intake(counted(PICTURES) | {"PNG": 3}, {})


def test_orientation_palette_alpha_and_depth_of_a_job_are_those_of_read_image(graph, tmp_path):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    image = PIL.Image.fromarray(photograph())
    alpha = image.copy()
    alpha.putalpha(PIL.Image.fromarray(photograph()[..., 1]))
    grey = PIL.Image.fromarray(photograph()[..., 0].astype(np.uint16) * 256 + 200)
    (tmp_path / "in").mkdir()
    for name, content in {
        "turned.webp": saved("WEBP", image, lossless=True, exif=exif),
        "turned.tif": saved("TIFF", image, exif=exif),
        "alpha.tif": saved("TIFF", alpha),
        "grey.tif": saved("TIFF", grey),
        "palette.bmp": saved("BMP", image.quantize(16)),
    }.items():
        (tmp_path / "in" / name).write_bytes(content)
    job = fne.embed_dataset(tmp_path / "in", graph, tmp_path / "job", size=SIZE)
    expected = {
        "turned.webp": np.rot90(photograph(), -1),
        "turned.tif": np.rot90(photograph(), -1),
        "alpha.tif": photograph(),
        "grey.tif": np.repeat(photograph()[..., :1], 3, 2),
        "palette.bmp": np.asarray(image.quantize(16).convert("RGB")),
    }
    with job.extractor(graph) as network:
        rows = network.extract([np.ascontiguousarray(expected[name]) for name in job.names]).features
    np.testing.assert_array_equal(rows, job.features())


def test_bad_images_of_other_formats_are_rows_with_a_reason(graph, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/half.gif").write_bytes(PICTURES["six.gif"][1][:1500])
    (tmp_path / "in/text.jpg").write_bytes(b"no picture")
    (tmp_path / "in/good.png").write_bytes(PICTURES["two.PNG"][1])
    (tmp_path / "in/large.bmp").write_bytes(saved("BMP", PIL.Image.new("RGB", (200, 200))))
    limits = fne.ImageOptions(max_pixels=200 * 199)
    job = fne.embed_dataset(tmp_path / "in", graph, tmp_path / "job", size=SIZE, image_options=limits)
    assert job.names == ["good.png", "half.gif", "large.bmp", "text.jpg"]
    assert job.statuses.tolist() == [0, 6, 7, 5]
    assert "the image is damaged or cannot be converted" in job.failures[1]
    assert "200 x 200 pixels are more than the limit of 39800 (max_pixels)" in job.failures[2]
    assert job.failures[3] == "this is no JPEG, PNG or WebP image. Convert it to JPEG or PNG"
    assert job.intake.taken == {"PNG": 1}
    with pytest.raises(fne.ImageError, match=r"image 1 of 4: .*half.gif: the image is damaged"):
        fne.embed_dataset(tmp_path / "in", graph, tmp_path / "raised", size=SIZE, on_error="raise")


def test_a_decoder_in_c(graph, tmp_path):
    """The features of what the decoder paints are those of an array."""
    program = built(ROOT / "Tests/c/decoder.c", tmp_path / "decoder")
    (tmp_path / "in").mkdir()
    for number in (7, 200, 253, 254, 255):
        (tmp_path / f"in/{number:03}.gif").write_bytes(b"GIF89a" + bytes([number]))
    (tmp_path / "in/a.tif").write_bytes(b"II*\0")
    (tmp_path / "in/b.webp").write_bytes(PICTURES["three.webp"][1])
    (tmp_path / "in/c.txt").write_text("no image")
    environment = dict(os.environ, FNE_TENSORFLOW=str(tensorflow_library()))
    result = run(program, graph, tmp_path / "in", tmp_path / "job", env=environment)
    assert result.returncode == 0, result.stderr
    job = fne.Job(tmp_path / "job")
    assert job.statuses.tolist() == [0, 0, 5, 5, 7, 6, 0]
    assert job.failures == {
        2: "this is a GIF image. Convert it to JPEG or PNG",
        3: "the host's decoder gave no pixels",
        4: "this is a GIF image. Convert it to JPEG or PNG",
        5: "the host's words",
    }
    assert result.stdout.splitlines()[-3:] == ["taken 3: 1", "taken 4: 2", "left out 1: 1"]
    painted = [np.full((48, 64, 3), number, np.uint8) for number in (7, 200)]
    with job.extractor(graph) as network:
        np.testing.assert_array_equal(network.extract(painted).features, job.features(images=[0, 1]))


def test_heic_where_it_is_installed(graph, tmp_path):
    """The pixels are those of pillow-heif, also in a job."""
    pillow_heif = pytest.importorskip("pillow_heif")
    image = PIL.Image.fromarray(photograph()).resize((128, 96))
    (tmp_path / "in").mkdir()
    pillow_heif.from_pillow(image).save(tmp_path / "in/telephone", quality=90)
    expected = np.asarray(pillow_heif.open_heif(tmp_path / "in/telephone", convert_hdr_to_8bit=True).to_pillow())
    np.testing.assert_array_equal(fne.read_image(tmp_path / "in/telephone"), expected)
    job = fne.embed_dataset(tmp_path / "in", graph, tmp_path / "job", size=SIZE)
    assert job.intake.taken == {"HEIF": 1}
    with job.extractor(graph) as network:
        np.testing.assert_array_equal(network.extract([expected]).features, job.features())


def test_the_command_says_what_it_took(folder, graph, tmp_path):
    command = [sys.executable, "-m", "fne", "embed", folder, graph, tmp_path / "job", "--size", "48x64"]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    lines = result.stdout.splitlines()
    assert lines[-2:] == [
        "embedded now: 2 JPEG, 3 PNG, 2 WEBP, 2 GIF, 2 BMP, 2 TIFF, 2 AVIF, 1 JPEG2000",
        "left out of the folder: 3 hidden, 5 no image, 1 camera raw, 2 special file, 1 broken link",
    ]
    assert f"fne: warning: cannot follow the link '{folder / 'broken'}'" in result.stderr


# ---- WebP by libwebp


@pytest.mark.parametrize("quality", [5, 50, 80, 100, 101])  # beyond 100 it is lossless
@pytest.mark.parametrize("channels", [3, 4])
def test_webp_has_the_pixels_of_opencv(quality, channels, monkeypatch):
    monkeypatch.setattr(_pillow, "read", None)  # libwebp alone
    for height, width in [(61, 83), (1, 1), (16, 33), (200, 7)]:
        image = np.resize(photograph(), (height, width, channels))
        data = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])[1]
        np.testing.assert_array_equal(fne.read_image(data.tobytes()), cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))
        assert fne.image_info(data.tobytes()) == (height, width, "WEBP", 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_webp_is_turned_as_opencv_turns_it(orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    for marked in (exif.tobytes(), exif.tobytes().removeprefix(b"Exif\0\0")):
        data = saved("WEBP", lossless=True, exif=marked)
        expected = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data)).convert("RGB")))
        if orientation > 1:
            assert fne.image_info(data).orientation == orientation
        np.testing.assert_array_equal(fne.read_image(data), expected)


@pytest.mark.parametrize("lossless", [True, False])
def test_the_first_frame_of_an_animated_webp(lossless):
    frames = [PIL.Image.fromarray(np.roll(photograph(), 9 * shift, 0)) for shift in range(3)]
    data = saved("WEBP", frames[0], save_all=True, append_images=frames[1:], lossless=lossless)
    expected = np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(fne.read_image(data), expected)
    for end in range(12, len(data), max(1, len(data) // 200)):
        try:
            fne.read_image(data[:end])
        except fne.ImageError:
            continue
        raise AssertionError(f"{end} bytes were taken")


def test_webp_that_is_truncated_or_damaged():
    whole = PICTURES["three.webp"][1]
    for end in range(12, len(whole)):
        with pytest.raises(fne.ImageError):
            fne.read_image(whole[:end])
    partial = fne.read_image(whole[: len(whole) // 2], options=fne.ImageOptions(tolerate_truncation=True))
    expected = fne.read_image(whole)
    same = (partial == expected).all((1, 2))
    assert same.argmin() >= 4 and same[: same.argmin()].all() and not partial[-1].any()
    for seed in range(300):
        random = np.random.default_rng(seed)
        mutant = bytearray(PICTURES["thumb.jpg?w=300" if seed % 2 else "three.webp"][1])
        for place in random.integers(8, len(mutant), 3):
            mutant[place] = random.integers(256)
        with contextlib.suppress(fne.ImageError):
            assert fne.read_image(bytes(mutant)).ndim == 3


def test_limits_of_webp():
    data = saved("WEBP", PIL.Image.new("RGB", (4000, 3000)), lossless=True)
    for options, word in [
        ({"max_pixels": 11_999_999}, "max_pixels"),
        ({"max_side": 3999}, "max_side"),
        ({"max_expansion": 80}, r"goes through 84000000 bytes, more than the limit of 83886080 .*max_expansion"),
        ({"max_bytes": 20}, "max_bytes"),
    ]:
        with pytest.raises(fne.ImageError, match=word):
            fne.read_image(data, options=fne.ImageOptions(**options))
    assert fne.read_image(data, options=fne.ImageOptions(max_expansion=81)).shape == (3000, 4000, 3)


def test_where_libwebp_is_looked_for(tmp_path):
    """FNE_LIBWEBP names a file or its folder. Without libwebp the message says what was tried, and Pillow reads it."""
    (tmp_path / "x.webp").write_bytes(PICTURES["three.webp"][1])
    (tmp_path / "libwebp.so.7").write_bytes(b"no library")
    program = (
        "import sys, ctypes, fne\nfrom fne import _ffi\n"
        "info = _ffi.sized(_ffi.ImageInfo)\n"
        "status = _ffi.lib.fne_image_probe(sys.argv[1].encode(), None, ctypes.byref(info))\n"
        "print(status, info.width, fne.read_image(sys.argv[1]).shape, 'without libwebp' in fne.build_info())\n"
        "print(_ffi.last_error())\n"
    )

    def ask(place):
        environment = dict(os.environ, FNE_LIBWEBP=str(place))
        return run(sys.executable, "-c", program, tmp_path / "x.webp", env=environment).stdout.splitlines()

    system = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    file = next(line.split()[-1] for line in system.splitlines() if "libwebp.so.7" in line or "libwebp.so.6" in line)
    for place in (file, os.path.dirname(file), ""):
        assert ask(place) == ["0 83 (61, 83, 3) False", ""]
    for place, words in [("/nowhere/libwebp.so", "/nowhere/libwebp.so: cannot open"), (tmp_path, "libwebp.so")]:
        lines = ask(place)
        assert lines[0] == "5 0 (61, 83, 3) True"
        assert "this is a WebP image, and libwebp was not found" in lines[1] and words in lines[1]
        assert "set FNE_LIBWEBP to the file or its folder" in lines[1]


# ---- one rule for every entry point


def test_every_entry_point_takes_the_same_kinds(folder, graph, tmp_path):
    sklearn = pytest.importorskip("fne.sklearn")
    pixels = fne.read_image(folder / "six.gif")
    kinds = [
        str(folder / "six.gif"),
        folder / "six.gif",
        (folder / "six.gif").read_bytes(),
        bytearray((folder / "six.gif").read_bytes()),
        pixels,
        PIL.Image.open(io.BytesIO((folder / "six.gif").read_bytes())),
    ]
    with fne.Extractor(graph, size=SIZE, batch_size=4, pad_batches=True) as network:
        row = network.extract([pixels]).features
        whole = network.extract(fne.list_images(folder)).features
        np.testing.assert_array_equal(network.extract(folder).features, whole)
        for item in kinds:
            np.testing.assert_array_equal(network.extract([item]).features, row)
        np.testing.assert_array_equal(network.extract(kinds).features, np.repeat(row, len(kinds), 0))
    features = sklearn.FullNetworkFeatures(graph, size=SIZE).fit()
    np.testing.assert_array_equal(features.transform(kinds), np.repeat(row, len(kinds), 0))
    np.testing.assert_array_equal(features.transform(str(folder)), whole)
    options = {"size": SIZE, "batch_size": 4}
    found = worker.features(worker.plan(graph, options, True), kinds)
    np.testing.assert_array_equal(found.values, np.repeat(row, len(kinds), 0))
    assert not found.statuses.any()
    drop_in = [item for item in kinds if not isinstance(item, bytes)]  # bytes are a path there, as in the original
    few = [folder / name for name in ("one.jpg", "three.webp", "five.bmp")]
    codes, stats = fne.full_network_embedding(graph, few + drop_in, 4, None, None, SIZE)
    assert codes.shape[0] == 8 and (codes[3:] == codes[3]).all()
    again, _ = fne.full_network_embedding(graph, folder, 4, None, None, SIZE, stats)
    assert len(again) == len(NAMES)
    job = fne.embed_dataset([kinds[0], kinds[1]], graph, tmp_path / "job", size=SIZE, batch_size=4)
    np.testing.assert_array_equal(job.features(), np.repeat(row, 2, 0))


ONE = {
    "the path 'w'": "w",
    "an encoded image as bytes": bytearray(b"w"),
    "an array of pixels": np.zeros((4, 4, 3), np.uint8),
    "a PIL.Image": PIL.Image.new("RGB", (4, 4)),
}


@pytest.mark.parametrize("what", ONE)
def test_every_entry_point_refuses_one_image_and_names_it(graph, what):
    sklearn = pytest.importorskip("fne.sklearn")
    with fne.Extractor(graph, size=SIZE) as network, pytest.raises(TypeError, match=f"images is .* It is {what}"):
        network.extract(ONE[what])
    with pytest.raises(TypeError, match=f"X is one path or image; pass a list, or a folder. It is {what}"):
        sklearn.FullNetworkEmbedder(graph, size=SIZE).fit(ONE[what])


@pytest.mark.parametrize("item", [5, None, 2.5, {}])
def test_every_entry_point_refuses_the_same_items_and_names_them(graph, tmp_path, item):
    sklearn = pytest.importorskip("fne.sklearn")
    message = f"image 1 is a {type(item).__name__}; images are paths, encoded images as bytes, uint8 arrays"
    images = [PICTURES["one.jpg"][1], item]
    with fne.Extractor(graph, size=SIZE) as network, pytest.raises(TypeError, match=message):
        network.extract(images)
    for call in (
        lambda: sklearn.FullNetworkEmbedder(graph, size=SIZE).fit(images),
        lambda: fne.full_network_embedding(graph, ["x.jpg", item], 4, None, None, SIZE),
        lambda: fne.embed_dataset(["x.jpg", item], graph, tmp_path / "job", size=SIZE),
        lambda: worker.features(worker.plan(graph, {"size": SIZE}, True), images),
    ):
        with pytest.raises(TypeError, match=message):
            call()


def test_a_job_takes_files_alone(graph, tmp_path):
    for item, words in [(np.zeros((4, 4, 3), np.uint8), "an array of pixels"), (ONE["a PIL.Image"], "a PIL.Image")]:
        with pytest.raises(TypeError, match=f"image 1 of source is {words}; a job reads its images from files"):
            fne.embed_dataset(["x.jpg", item], graph, tmp_path / "job", size=SIZE)


# ---- statistics of too few images


def test_statistics_of_few_images_are_a_warning(graph, photographs, tmp_path):
    sklearn = pytest.importorskip("fne.sklearn")
    logged = []
    fne.set_log_callback(lambda level, message: logged.append(message))

    def told(function, *arguments, **options):
        logged.clear()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            function(*arguments, **options)
        return [warning.message.count for warning in caught if warning.category is fne.FewImagesWarning]

    try:
        for count, expected in [(2, [2]), (9, [9]), (10, [])]:
            some = photographs[:count]
            folder = tmp_path / str(count)
            assert told(fne.embed_dataset, some, graph, folder, size=SIZE) == expected
            assert sum("statistics of" in message for message in logged) == len(expected)
            assert told(fne.embed_dataset, some, graph, folder, size=SIZE) == []  # it was told before
            assert told(fne.full_network_embedding, graph, some, 4, None, None, SIZE) == expected
            assert sum("statistics of" in message for message in logged) == len(expected)
            assert told(sklearn.FullNetworkEmbedder(graph, size=SIZE).fit, some) == expected
        given = fne.Job(tmp_path / "10").statistics()
        assert told(fne.embed_dataset, photographs[:2], graph, tmp_path / "g", size=SIZE, statistics=given) == []
        assert told(fne.embed_dataset, photographs[:2], graph, tmp_path / "n", size=SIZE, codes=None) == []
        assert logged == []
    finally:
        fne.set_log_callback(None)


def test_the_command_warns_of_few_images_once(graph, photographs, tmp_path):
    (tmp_path / "list").write_text("".join(f"{path}\n" for path in photographs[:2]))
    command = [sys.executable, "-m", "fne", "embed", tmp_path / "list", graph, tmp_path / "job", "--size", "48x64"]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    assert result.stderr.count("statistics of 2 images only") == 1


def test_pictures_of_the_extractor_beside_pillow():
    """A list of one kind with formats of both goes through the library alone, on its threads."""
    contents = [content for _, content in PICTURES.values()]
    with extractor(24, 20, batch_size=4) as network:
        rows = network.extract(contents).features.reshape(-1, 24, 20, 3)
    for row, content in zip(rows, contents, strict=True):
        np.testing.assert_array_equal(row, cv2.resize(fne.read_image(content), (20, 24)))
