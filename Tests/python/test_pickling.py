"""Objects that are pickled, copied and sent to other processes do what the objects themselves do."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor

import keras
import numpy as np
import pytest

import fne
from fne import errors
from fne._images import ImageHeader
from fne._layer import Layer

OPTIONS = {
    "layers": ["relu5", "relu*"],
    "channel_order": "bgr",
    "mean": [103.9, 116.8, 123.7],
    "scale": 0.5,
    "resize_mode": "shortest_side",
    "interpolation": "antialiased",
    "decode": "scaled",
    "batch_size": 3,
    "pad_batches": True,
    "crops": 10,
    "size": (48, 64),
    "on_error": "skip",
    "image_options": fne.ImageOptions(tolerate_truncation=True),
}


def pickled(value):
    return pickle.loads(pickle.dumps(value))


WAYS = pytest.mark.parametrize("again", [pickled, copy.copy, copy.deepcopy])


def rows(extractor, images):
    return extractor.extract(images).features


@WAYS
@pytest.mark.parametrize("source", ["path", "bytes", "GraphDef", "Model of a path", "Model of bytes"])
def test_extractors(graph, network, photographs, tmp_path, source, again):
    """Of every source, with all options: the same rows, also of what is skipped and of a truncated file."""
    made = {"path": graph, "bytes": graph.read_bytes(), "GraphDef": network[0]}.get(source)
    if made is None:
        made = fne.Model(graph if "path" in source else graph.read_bytes())
    truncated = tmp_path / "truncated.jpg"
    truncated.write_bytes(photographs[0].read_bytes()[:2000])
    images = [*photographs[:4], truncated, tmp_path / "missing.jpg"]
    with fne.Extractor(made, **OPTIONS) as extractor:
        if isinstance(made, fne.Model):
            made.close()
        with again(extractor) as copied:
            first, second = extractor.extract(images), copied.extract(images)
            assert copied is not extractor and copied.layers == extractor.layers
            assert (copied.batch_size, copied.rows_per_image, copied.size) == (3, 10, (48, 64))
    np.testing.assert_array_equal(first.features, second.features)
    np.testing.assert_array_equal(first.statuses, second.statuses)
    assert first.reasons == second.reasons and list(first.reasons) == [5]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_what_a_pickle_holds(graph, protocol):
    """The path of a file, which may be large; the bytes of what has no file."""
    with fne.Extractor(graph) as of_path, fne.Extractor(graph.read_bytes()) as of_bytes:
        assert len(pickle.dumps(of_path, protocol)) < 2000
        assert len(pickle.dumps(of_bytes, protocol)) > graph.stat().st_size
        pickle.loads(pickle.dumps(of_bytes, protocol)).close()


def test_a_relative_path_is_that_of_the_first_process(graph, photographs, tmp_path, monkeypatch):
    monkeypatch.chdir(graph.parent)
    model, extractor = fne.Model(graph.name), fne.Extractor(graph.name)
    data = pickle.dumps((model, extractor))
    monkeypatch.chdir(tmp_path)
    again, opened = pickle.loads(data)
    assert again.tensors() == model.tensors()
    np.testing.assert_array_equal(rows(opened, photographs[:2]), rows(extractor, photographs[:2]))
    graph.rename(tmp_path / "moved.pb")
    try:
        with pytest.raises(OSError, match=r"network\.pb"):
            pickle.loads(data)
    finally:
        (tmp_path / "moved.pb").rename(graph)


def test_options_that_change_later(network, photographs):
    layers, mean = ["relu5"], [1.0, 2.0, 3.0]
    with fne.Extractor(network[0], layers=layers, mean=mean) as extractor:
        layers.append("relu1")
        mean[0] = 100.0
        with pickled(extractor) as again:
            np.testing.assert_array_equal(rows(again, photographs[:2]), rows(extractor, photographs[:2]))


def test_a_subclass_keeps_what_is_its_own(network):
    with NamedExtractor(network[0], "mine") as extractor, pickled(extractor) as again:
        assert type(again) is NamedExtractor and again.name == "mine"
        assert again.feature_count == extractor.feature_count


class NamedExtractor(fne.Extractor):
    def __init__(self, model, name):
        super().__init__(model)
        self.name = name


def test_a_closed_extractor(network):
    extractor = fne.Extractor(network[0])
    extractor.close()
    for way in (pickled, copy.copy, copy.deepcopy):
        with pytest.raises(ValueError, match="closed"):
            way(extractor)


def test_keras_models_stay_as_they_were_opened(tmp_path, monkeypatch):
    """Training after the opening changes no copy. A copy needs neither Keras nor the cache's file."""
    monkeypatch.setenv("FNE_CACHE", str(tmp_path / "cache"))
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((20, 24, 3)), keras.layers.Conv2D(6, 3, activation="relu", name="conv"), keras.layers.Flatten()]
    )
    batch = np.random.default_rng(2).uniform(0, 255, (3, 20, 24, 3)).astype(np.float32)
    expected = np.asarray(model.get_layer("conv")(batch)).mean((1, 2))
    opened, extractor = fne.Model(model), fne.Extractor(model, layers="conv")
    model.set_weights([weight + 1 for weight in model.get_weights()])
    data = pickle.dumps((opened, extractor))
    for file in (tmp_path / "cache").iterdir():
        file.unlink()
    again, copied = pickle.loads(data)
    assert again.aliases == opened.aliases
    for one in (copied, fne.Extractor(again, layers="conv"), pickled(copied)):
        np.testing.assert_allclose(rows(one, batch), expected, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as workers:
        yield workers


def test_other_processes(pool, graph, photographs, tmp_path):
    """What goes to a spawned process and comes back: models, extractors, results, warnings and errors."""
    with fne.Extractor(graph, pad_batches=True) as extractor, fne.Extractor(graph.read_bytes()) as of_bytes:
        assert pool.submit(os.getpid).result() != os.getpid()
        extraction = pool.submit(extractor.extract, photographs[:5]).result()
        np.testing.assert_array_equal(extraction.features, rows(extractor, photographs[:5]))
        assert extraction.ok.all()
        found = pool.submit(of_bytes.extract, photographs[:5]).result()
        np.testing.assert_allclose(found.features, extraction.features, rtol=1e-5, atol=1e-6)
        mean, std = extraction.features.mean(0), extraction.features.std(0)
        packed, _ = pool.submit(extractor.embed_packed, photographs[:5], mean, std).result()
        codes = pool.submit(extractor.embed, photographs[:5], mean, std).result().codes
        np.testing.assert_array_equal(packed.unpack(), codes)
        assert packed.layers == extractor.layers
        with pytest.raises(OSError, match="image 0 of 1") as caught:
            pool.submit(extractor.extract, [tmp_path / "missing.jpg"]).result()
        assert caught.value.status == errors.FileError.status
    assert pool.submit(fne.Model(graph).tensors).result() == fne.Model(graph).tensors()


def test_a_process_of_its_own(graph, photographs):
    context = multiprocessing.get_context("spawn")
    with fne.Extractor(graph, pad_batches=True) as extractor, context.Pool(1) as workers:
        got = workers.apply(extractor.extract, (photographs[:3],))
        np.testing.assert_array_equal(got.features, rows(extractor, photographs[:3]))


def test_a_forked_process_says_so(graph, photographs):
    """A pool waits for ever for a task that cannot be loaded. So a copy is opened when it is used."""
    context = multiprocessing.get_context("fork")
    with fne.Extractor(graph) as extractor, context.Pool(1) as workers:
        task = workers.apply_async(extractor.extract, (photographs[:1],))
        with pytest.raises(fne.ForkedError, match="before the process forked"):
            task.get(60)


def test_a_copy_that_is_never_used(graph):
    with fne.Extractor(graph) as extractor:
        copied = pickled(extractor)
        copied.close()
        with pytest.raises(ValueError, match="closed"):
            copied.extract([])
        reopened = pickled(extractor)
        first = [threading.Thread(target=lambda: reopened.feature_count) for _ in range(4)]
        for thread in first:
            thread.start()
        for thread in first:
            thread.join()
        assert reopened.feature_count == extractor.feature_count


@WAYS
def test_jobs(graph, photographs, tmp_path, monkeypatch, again):
    """A job opens its folder again, which may have grown meanwhile."""
    monkeypatch.chdir(tmp_path)
    job = fne.embed_dataset(photographs[:6], graph, "job", codes=("int8", "packed"))
    copied = again(fne.Job("job", verify=False))
    monkeypatch.chdir(photographs[0].parent)
    assert copied.folder.is_absolute() and copied._limit == -1
    monkeypatch.chdir(tmp_path)
    assert copied.names == job.names and copied.manifest == job.manifest and copied.layers == job.layers
    for name in ("features", "codes"):
        np.testing.assert_array_equal(getattr(copied, name)(), getattr(job, name)())
    np.testing.assert_array_equal(again(job.packed_codes()).words, job.packed_codes().words)  # memory-mapped


@WAYS
def test_values(again):
    """What holds only Python's and NumPy's objects."""
    codes = np.random.default_rng(1).integers(-1, 2, (5, 70)).astype(np.int8)
    layers = [Layer("a", "dense", 2, slice(0, 30)), Layer("b", "convolution", 4, slice(30, 70))]
    packed = again(fne.PackedCodes.pack(codes, layers))
    np.testing.assert_array_equal(packed.unpack(), codes)
    np.testing.assert_array_equal(packed.select("b").unpack(), codes[:, 30:])
    statistics = fne.Statistics(3).update(np.float32([[1, 2, 3], [4, 5, 7]]))
    copied = again(statistics)
    statistics.update(np.float32([[9, 9, 9]]))
    assert (copied.count, copied.mean().tolist()) == (2, [2.5, 3.5, 5.0])
    statuses = np.int32([0, 5])
    for result in (
        fne.Extraction(np.float32([[1], [2]]), statuses, {1: "why"}),
        fne.Embedding(np.int8([[1], [0]]), statuses, {1: "why"}),
        fne.Outcome(statuses, {1: "why"}),
    ):
        copied = again(result)
        assert type(copied) is type(result) and copied.reasons == {1: "why"} and copied.ok.tolist() == [True, False]
    plain = [
        layers[1],
        fne.TensorInfo("a", "Conv2D", "convolution", 4, 8, True, False, False),
        fne.ImageOptions(max_side=100),
        ImageHeader(3, 4, "PNG", 1),
        fne.Evaluation(["cat"], [], {}, np.zeros((1, 1), np.int64), {"images": 1}),
    ]
    for value in plain:
        assert again(value) == value
    line = again(fne.ProgressLine())
    line.start(1)
    line(2, 3)


KINDS = {kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__module__ == errors.__name__}


@pytest.mark.parametrize("kind", sorted(KINDS, key=lambda kind: kind.__name__))
@WAYS
def test_errors_and_warnings(kind, again):
    if kind is fne.SkippedImagesWarning:
        failure = kind([3], ["a.jpg"], ["a.jpg is empty"])
    elif kind is fne.FewImagesWarning:
        failure = kind(3)
    else:
        failure = kind("a sentence")
        failure.status = 7
    copied = again(failure)
    assert type(copied) is kind and str(copied) == str(failure)
    assert vars(copied) == vars(failure)
