"""What C reads of a job's folder: the same as NumPy reads of its files, and an error where the folder is wrong."""

from __future__ import annotations

import ctypes
import json
import os
import shutil

import numpy as np
import pytest
from forged_jobs import read_manifest, seal, write_manifest
from test_inputs import grey_network

import fne
from fne import _ffi
from fne._ffi import lib
from fne._options import GOALS
from fne.errors import (
    FewImagesWarning,
    FileError,
    FNEError,
    JobMismatchError,
    SavedDataError,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, graph, photographs):
    folder = tmp_path_factory.mktemp("pictures")
    for number, path in enumerate(photographs[:5]):
        shutil.copy(path, folder / f"{number}{os.path.splitext(path)[1]}")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    output = tmp_path_factory.mktemp("finished") / "job"
    with pytest.warns(FewImagesWarning):
        fne.embed_dataset(folder, graph, output, size=(48, 64), codes=["int8", "packed"], mean=(1, 2, 3))
    return output


@pytest.fixture
def job(tmp_path, finished):
    return shutil.copytree(finished, tmp_path / "job")


class Reader:
    """A job that is read through the C functions."""

    def __init__(self, folder):
        out = ctypes.c_void_p()
        _ffi.check(lib.fne_job_open(os.fsencode(folder), None, None, None, ctypes.byref(out)))
        self.handle = out

    def __enter__(self):
        return self

    def __exit__(self, *_):
        lib.fne_job_close(self.handle)

    def text(self, function, image):
        out = ctypes.c_char_p()
        _ffi.check(function(self.handle, image, ctypes.byref(out)))
        return out.value

    def rows(self, function, first, count, shape, dtype, capacity=None):
        out = np.zeros((count, *shape), dtype)
        _ffi.check(function(self.handle, first, count, out.ctypes.data, out.size if capacity is None else capacity))
        return out


def test_everything_equals_what_numpy_reads(finished):
    features, codes = np.load(finished / "features.npy"), np.load(finished / "codes.npy")
    packed, statuses = np.load(finished / "codes_packed.npy"), np.load(finished / "status.npy")
    lines = [json.loads(line) for line in (finished / "images.jsonl").read_text("utf-8").splitlines()]
    width = features.shape[1]
    with Reader(finished) as reader:
        for line in lines:
            assert reader.text(lib.fne_job_image_name, line["image"]).decode() == line["name"]
            reason = reader.text(lib.fne_job_image_reason, line["image"])
            assert (None if reason is None else reason.decode()) == line["reason"]
        np.testing.assert_array_equal(reader.rows(lib.fne_job_statuses, 0, 6, (), np.int32), statuses)
        assert (statuses != 0).sum() == 1
        for first, count in [(0, 6), (1, 1), (2, 4), (5, 1)]:
            part = slice(first, first + count)
            np.testing.assert_array_equal(
                reader.rows(lib.fne_job_features, first, count, (width,), np.float32), features[part]
            )
            np.testing.assert_array_equal(reader.rows(lib.fne_job_codes, first, count, (width,), np.int8), codes[part])
            np.testing.assert_array_equal(
                reader.rows(lib.fne_job_packed_codes, first, count, packed.shape[1:], np.uint64), packed[part]
            )


@pytest.mark.parametrize(("first", "count"), [(0, 7), (6, 1), (2**63, 1), (2**64 - 1, 1), (0, 2**40), (0, 0)])
def test_rows_beyond_the_last_one_are_refused(finished, first, count):
    one = np.zeros(1)
    with Reader(finished) as reader:
        for function in (lib.fne_job_statuses, lib.fne_job_features, lib.fne_job_codes, lib.fne_job_packed_codes):
            status = function(reader.handle, first, count, one.ctypes.data, 2**64 - 1)
            assert status == 1, lib.fne_last_error()
        name = ctypes.c_char_p()
        assert lib.fne_job_image_name(reader.handle, max(first, 6), ctypes.byref(name)) == 1
        assert lib.fne_job_image_reason(reader.handle, max(first, 6), ctypes.byref(name)) == 1


def test_a_capacity_that_is_too_small_is_refused(finished):
    with Reader(finished) as reader, pytest.raises(FNEError, match=r"capacity is 1$"):
        reader.rows(lib.fne_job_codes, 0, 1, (4,), np.int8, capacity=1)


@pytest.mark.parametrize("name", ["features.npy", "codes.npy", "codes_packed.npy", "status.npy"])
@pytest.mark.parametrize("damage", ["short", "long", "order", "dtype", "shape", "gone"])
def test_a_matrix_that_changes_while_it_is_read_is_an_error(job, name, damage):
    path, width = job / name, np.load(job / "features.npy").shape[1]
    shape, dtype, function = {
        "features.npy": ((width,), np.float32, lib.fne_job_features),
        "codes.npy": ((width,), np.int8, lib.fne_job_codes),
        "codes_packed.npy": ((2, -(-width // 64)), np.uint64, lib.fne_job_packed_codes),
        "status.npy": ((), np.int32, lib.fne_job_statuses),
    }[name]
    with Reader(job) as reader:
        content = path.read_bytes()
        header = content[:128]
        changed = {
            "short": content[:-1],
            "long": content + b"\0",
            "order": header.replace(b"'<", b"'>").replace(b"False", b"True ") + content[128:],
            "dtype": header.replace(b"f4", b"i4").replace(b"i1", b"u1").replace(b"u8", b"f8").replace(b"i4", b"u4")
            + content[128:],
            "shape": header.replace(b"(6,", b"(9,") + content[128:],
            "gone": b"",
        }[damage]
        path.write_bytes(changed)
        if damage == "gone":
            path.unlink()
        with pytest.raises((SavedDataError, FileError)):
            reader.rows(function, 0, 6, shape, dtype)


@pytest.mark.parametrize("name", ["images.list", "images.jsonl", "status.npy"])
def test_names_reasons_and_statuses_are_compared_with_their_checksums(job, name):
    content = bytearray((job / name).read_bytes())
    content[-3] ^= 1
    (job / name).write_bytes(content)
    read = {
        "images.list": lambda reader: reader.text(lib.fne_job_image_name, 0),
        "images.jsonl": lambda reader: reader.text(lib.fne_job_image_reason, 0),
        "status.npy": lambda reader: reader.rows(lib.fne_job_statuses, 0, 6, (), np.int32),
    }[name]
    with Reader(job) as reader, pytest.raises(SavedDataError):
        read(reader)


def test_a_forged_list_of_names_is_an_error(job):
    (job / "images.list").write_bytes(b"a\0b\0")
    seal(job)
    with Reader(job) as reader, pytest.raises(SavedDataError, match="names"):
        reader.text(lib.fne_job_image_name, 0)


# ---- the extractor


def extractor(reader, model, options=None):
    out = ctypes.c_void_p()
    _ffi.check(lib.fne_job_extractor(reader.handle, model._handle(), options, ctypes.byref(out)))
    return out


def test_the_extractor_makes_the_rows_of_the_job(finished, graph, photographs):
    features = fne.Job(finished)
    with Reader(finished) as reader:
        handle = extractor(reader, fne.Model(graph))
    rows = np.zeros((5, features.feature_count), np.float32)
    paths = _ffi.strings([os.fsencode(path) for path in photographs[:5]])
    _ffi.check(lib.fne_extract_files(handle, paths, 5, rows.ctypes.data, rows.size, None))
    lib.fne_extractor_close(handle)
    np.testing.assert_array_equal(rows, np.load(finished / "features.npy")[features.ok])


def test_one_image_at_a_time_is_not_padded(finished, graph, photographs):
    """As with `Job.extractor`. Of the very rows of the job, the batches are the job's."""
    rows, sizes = [], []
    for goal in GOALS.values():
        options = _ffi.defaults(_ffi.ExtractorOptions, lib.fne_extractor_options_init)
        options.goal = goal
        with Reader(finished) as reader:
            handle = extractor(reader, fne.Model(graph), ctypes.byref(options))
        info = _ffi.sized(_ffi.InputInfo)
        _ffi.check(lib.fne_extractor_input_info(handle, ctypes.byref(info)))
        sizes.append(info.batch_size)
        rows.append(np.zeros((1, fne.Job(finished).feature_count), np.float32))
        path = _ffi.strings([os.fsencode(photographs[0])])
        _ffi.check(lib.fne_extract_files(handle, path, 1, rows[-1].ctypes.data, rows[-1].size, None))
        lib.fne_extractor_close(handle)
    assert sizes == [fne.Job(finished).manifest["settings"]["batch_size"], 1]
    np.testing.assert_array_equal(rows[0], np.load(finished / "features.npy")[:1])
    np.testing.assert_allclose(rows[1], rows[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"crops": 10, "channel_order": "bgr", "mean": (1, 2.5, 3), "scale": (0.5, 0.25, 2), "interpolation": "bicubic"},
        {"resize_mode": "shortest_side", "resize_size": 70, "interpolation": "antialiased", "batch_size": 3},
        {"decode": "scaled"},
        {
            "layers": "last:50%",
            "precision": "bfloat16",
            "image_options": {"max_side": 5000, "tolerate_truncation": True},
        },
    ],
    ids=["colors", "crop", "decoding", "precision"],
)
def test_the_extractor_is_that_of_python(tmp_path, graph, photographs, settings):
    """The rule stands in Swift and in Python. Unusual settings show where one of the two leaves something out."""
    if "image_options" in settings:
        settings = {**settings, "image_options": fne.ImageOptions(**settings["image_options"])}
    with pytest.warns(FewImagesWarning):
        fne.embed_dataset(photographs[:3], graph, tmp_path / "job", size=(48, 64), **settings)
    compare_the_extractors(tmp_path / "job", fne.Model(graph), photographs[3:6])


def test_the_extractor_of_a_grey_job_is_that_of_python(tmp_path, photographs):
    model = fne.Model(grey_network())
    with pytest.warns(FewImagesWarning):
        fne.embed_dataset(photographs[:3], model, tmp_path / "job", size=(28, 28), mean=100, scale=0.01)
    compare_the_extractors(tmp_path / "job", model, photographs[3:6])


def compare_the_extractors(folder, model, images):
    job = fne.Job(folder)
    with job.extractor(model) as of_python, Reader(folder) as reader:
        handle = extractor(reader, model)
        expected = of_python.extract(images).features
        rows = np.zeros_like(expected)
        paths = _ffi.strings([os.fsencode(path) for path in images])
        _ffi.check(lib.fne_extract_files(handle, paths, len(images), rows.ctypes.data, rows.size, None))
        facts = []
        for one in (handle, of_python._handle()):
            info = _ffi.sized(_ffi.InputInfo)
            _ffi.check(lib.fne_extractor_input_info(one, ctypes.byref(info)))
            facts.append([getattr(info, name) for name, *_ in _ffi.InputInfo._fields_])
        lib.fne_extractor_close(handle)
    assert facts[0] == facts[1]
    np.testing.assert_array_equal(rows, expected)


def test_another_model_is_refused(finished, lite0):
    with Reader(finished) as reader, pytest.raises(JobMismatchError, match="not the one"):
        extractor(reader, fne.Model(lite0))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("input", "height"), 0),
        (("input", "height"), 2**62),
        (("input", "crops"), 3),
        (("input", "mean"), [1.0]),
        (("input", "mean"), ["a", "b", "c"]),
        (("input", "channel_order"), "grb"),
        (("input", "tensor"), None),
        (("image_options", "max_side"), -1),
        (("image_options", "max_pixels"), 2**63 - 1),
        (("precision",), "float8"),
        (("batch_size",), 2**40),
        (("model", "feeds"), "x"),
    ],
)
def test_forged_settings_are_an_error(job, graph, place, value):
    manifest = read_manifest(job)
    part = manifest["settings"]
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    write_manifest(job, manifest)
    with pytest.raises(FNEError), Reader(job) as reader:
        extractor(reader, fne.Model(graph))
