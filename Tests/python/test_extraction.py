"""From files to features against implementation A in TensorFlow's Python."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import textwrap
import threading
import warnings

import cv2
import implementation_a
import numpy as np
import pytest
import tensorflow as tf
from conftest import small_network

import fne
from fne import _ffi, full_network_embedding


@pytest.fixture(scope="module")
def reference(network, photographs):
    """Implementation A's pooled features of the photographs, float64 [24, F]."""
    graph, taps, _ = network
    return implementation_a.Network(graph, "input:0", taps, 48, 64).pooled(photographs, 8)


def test_full_network_embedding_is_implementation_a(network, photographs, reference):
    graph, taps, _ = network
    expected, expected_stats = implementation_a.embed(reference)
    features, stats = full_network_embedding(
        graph, [str(path) for path in photographs], 8, "import/input:0", ["import/" + tap for tap in taps], (48, 64)
    )
    assert features.dtype == np.float64 and stats.dtype == np.float64
    assert features.shape == (24, 144) and stats.shape == (2, 144)
    assert np.mean(features == expected) >= 0.9999
    np.testing.assert_allclose(stats[0], expected_stats[0], atol=1e-4 * abs(expected_stats[0]).max())
    np.testing.assert_allclose(stats[1], expected_stats[1], atol=1e-4 * expected_stats[1].max())


def test_the_default_network_is_implementation_a(lite0, photographs):
    """A real network, its default layers, the pictures stretched to 224 x 224."""
    layers = [layer.name + ":0" for layer in fne.Model(lite0).layers()]
    network = implementation_a.Network(implementation_a.load_graph(lite0), "input:0", layers, 224, 224)
    expected, expected_stats = implementation_a.embed(network.pooled(photographs, 8))
    features, stats = full_network_embedding(lite0, photographs, 8, "input:0", None, (224, 224))
    assert np.mean(features == expected) >= 0.9999
    np.testing.assert_allclose(stats, expected_stats, atol=1e-4 * abs(expected_stats).max())


def test_height_and_width_are_not_swapped(photographs):
    """Implementation A, given (48, 64), would feed 64 x 48; the documented meaning is height, width."""
    graph, taps, _ = small_network(72, 40)
    expected = implementation_a.Network(graph, "input:0", taps, 72, 40).pooled(photographs[:6], 6)
    with fne.Extractor(graph, layers=taps, size=(72, 40)) as extractor:
        np.testing.assert_allclose(extractor.extract(photographs[:6]).features, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 3, 8, 24, 100])
def test_batch_size_changes_nothing(network, photographs, reference, batch_size):
    with fne.Extractor(network[0], batch_size=batch_size) as extractor:
        assert extractor.batch_size == batch_size
        np.testing.assert_allclose(extractor.extract(photographs).features, reference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_preprocessing_options(network, photographs, order):
    graph, taps, _ = network
    mean, scale = np.array([103.939, 116.779, 123.68], np.float32), np.array([0.017, 1, 0.5], np.float32)

    def prepare(batch):
        return ((batch[..., ::-1] if order == "bgr" else batch) - mean) * scale

    expected = implementation_a.Network(graph, "input:0", taps, 48, 64).pooled(photographs[:8], 8, prepare)
    with fne.Extractor(graph, channel_order=order, mean=mean, scale=scale) as extractor:
        np.testing.assert_allclose(extractor.extract(photographs[:8]).features, expected, rtol=1e-4, atol=1e-5)


def test_height_and_width_that_the_graph_leaves_free(photographs):
    """Then the pooling knows them from the size asked for."""
    graph, taps, _ = small_network(None, None)
    network = implementation_a.Network(graph, "input:0", taps, 50, 70)
    with fne.Extractor(graph, layers=taps, size=(50, 70)) as extractor:
        features = extractor.extract(photographs[:5]).features
    np.testing.assert_allclose(features, network.pooled(photographs[:5], 5), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="does not fix the input's height; pass it"):
        fne.Extractor(graph)


def test_sources_agree(network, photographs):
    """Files, bytes, pixels and tensors of the same pictures give the same bits."""
    with fne.Extractor(network[0]) as extractor:
        expected = extractor.extract(photographs).features
        pixels = [fne.read_image(path) for path in photographs]
        tensor = np.stack([fne.resize(image, (48, 64)) for image in pixels]).astype(np.float32)
        for images in ([path.read_bytes() for path in photographs], pixels, tensor):
            np.testing.assert_array_equal(extractor.extract(images).features, expected)
        padded = [np.pad(image, ((0, 0), (0, 9), (0, 0)))[:, :-9] for image in pixels]  # rows with a gap between
        np.testing.assert_array_equal(extractor.extract(padded).features, expected)


def test_given_statistics(network, photographs, reference):
    graph, taps, _ = network
    _, training = implementation_a.embed(reference[:12])
    expected, _ = implementation_a.embed(reference[12:], training)
    features, stats = full_network_embedding(graph, photographs[12:], 5, "input:0", taps, (48, 64), training)
    np.testing.assert_array_equal(stats, training)
    assert np.mean(features == expected) >= 0.999


@pytest.mark.parametrize("empty", [None, np.empty((0, 0)), np.array([])])
def test_empty_statistics_mean_compute(network, photographs, empty):
    _, stats = full_network_embedding(network[0], photographs[:3], 3, None, None, None, stats=empty)
    assert stats.shape == (2, 144) and np.all(stats[1] >= 0)


def test_models_of_every_kind(network, photographs, tmp_path):
    graph = network[0]
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.SerializeToString())
    results = [
        full_network_embedding(model, photographs[:3], 2, "input", None, (48, 64))[0]
        for model in (graph, graph.SerializeToString(), path, str(path), fne.Model(path))
    ]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_dtype_and_output_dir(network, photographs, tmp_path):
    features, stats = full_network_embedding(
        network[0], photographs[:3], 2, "input", None, (48, 64), dtype=np.int8, output_dir=tmp_path / "outputs"
    )
    assert features.dtype == np.int8
    np.testing.assert_array_equal(np.load(tmp_path / "outputs/fne.npy"), features)
    np.testing.assert_array_equal(np.load(tmp_path / "outputs/stats.npy"), stats)


# ---- bad images


@pytest.fixture
def mixed(photographs, tmp_path):
    """Good files with bad ones at 1, 4 and 5."""
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "half.jpg").write_bytes(photographs[3].read_bytes()[:700])
    bad = {1: tmp_path / "missing.jpg", 4: tmp_path / "text.jpg", 5: tmp_path / "half.jpg"}
    good = iter(photographs)
    return [bad.get(index) or next(good) for index in range(9)], bad


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_a_bad_image_raises_and_is_named(network, mixed, batch_size):
    with pytest.raises(OSError, match="image 1 of 9: .*missing.jpg: No such file"):
        full_network_embedding(network[0], mixed[0], batch_size, None, None, None)


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_bad_images_are_skipped_with_a_warning(network, mixed, batch_size):
    paths, bad = mixed
    with pytest.warns(fne.SkippedImagesWarning) as caught:
        features, stats = full_network_embedding(network[0], paths, batch_size, None, None, None, on_error="skip")
    (warning,) = [one.message for one in caught if one.category is fne.SkippedImagesWarning]
    assert warning.indices == [1, 4, 5] and warning.paths == [str(path) for path in bad.values()]
    for reason, word in zip(warning.reasons, ("No such file", "no JPEG, PNG or WebP", "truncated"), strict=True):
        assert word in reason
    alone, alone_stats = full_network_embedding(
        network[0], [path for i, path in enumerate(paths) if i not in bad], batch_size, None, None, None
    )
    assert features.shape == (6, 144)
    np.testing.assert_allclose(stats, alone_stats, rtol=1e-5, atol=1e-6)
    assert np.mean(features == alone) > 0.99


def test_extractor_reports_each_image(network, mixed):
    paths, _bad = mixed
    with fne.Extractor(network[0], on_error="skip", batch_size=4) as extractor:
        extraction = extractor.extract(paths)
    assert [i for i, ok in enumerate(extraction.ok) if not ok] == [1, 4, 5]
    assert extraction.statuses[[1, 4, 5]].tolist() == [4, 5, 6]
    assert np.isnan(extraction.features[[1, 4, 5]]).all() and np.isfinite(extraction.features[extraction.ok]).all()


def test_only_bad_images(network, tmp_path):
    with pytest.raises(OSError, match="none of the 2 images could be embedded: .*a.jpg"):
        full_network_embedding(
            network[0], [tmp_path / "a.jpg", tmp_path / "b.jpg"], 2, None, None, None, on_error="skip"
        )


# ---- bad arguments


def test_clear_errors(network, photographs):
    graph, taps, _ = network

    def embed(
        model=graph, paths=photographs[:2], batch=2, source="input", targets=taps, size=(48, 64), stats=None, **more
    ):
        return full_network_embedding(model, paths, batch, source, targets, size, stats, **more)

    for arguments, reason in [
        ({"paths": []}, "image_paths is empty"),
        ({"batch": 0}, "batch_size is 0"),
        ({"batch": -3}, "batch_size is -3"),
        ({"batch": 2.5}, "batch_size is 2.5"),
        ({"targets": []}, "list of layers is empty"),
        ({"size": (0, 64)}, "size is 0"),
        ({"stats": np.ones((2, 5))}, r"stats has shape \(2, 5\); these layers need \(2, 144\)"),
        ({"stats": np.full((2, 144), np.nan)}, "statistics of feature 0"),
        ({"on_error": "ignore"}, "on_error is 'ignore'"),
        ({"source": "nothing"}, "no tensor 'nothing'"),
        ({"model": b"garbage!"}, "is a text file"),
    ]:
        with pytest.raises(ValueError, match=reason):
            embed(**arguments)


def test_not_finite_activations_are_named(photographs):
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], "input")
        tf.math.log(x - tf.reduce_max(x, axis=[1, 2, 3], keepdims=True) - 1, name="logs")
    with pytest.raises(ValueError, match=r"image 0 of 3: .*0-0.jpg: the network gave NaN in feature 0 of layer 'logs'"):
        full_network_embedding(graph.as_graph_def(), photographs[:3], 2, "input", ["logs"], (8, 8))


def test_graph_with_a_fixed_batch(photographs):
    """Its batch size is taken, and a shorter last batch is padded."""

    def graph_of(shape):
        with tf.Graph().as_default() as graph:
            x = tf.compat.v1.placeholder(tf.float32, shape, "input")
            tf.matmul(tf.reshape(x, [4, 192]), np.eye(192, 5, dtype=np.float32), name="y")
        return graph.as_graph_def()

    pixels = np.random.default_rng(0).random((6, 8, 8, 3), np.float32)
    for count in (1, 4, 6):
        with fne.Extractor(graph_of([4, 8, 8, 3]), layers=["y"]) as extractor:
            assert extractor.batch_size == 4
            features = extractor.extract(pixels[:count]).features
        np.testing.assert_allclose(features, pixels[:count].reshape(count, -1)[:, :5], rtol=1e-6)
    with pytest.raises(ValueError, match="batch_size is 2, but the graph's input has a fixed batch size of 4"):
        fne.Extractor(graph_of([4, 8, 8, 3]), layers=["y"], batch_size=2)
    with pytest.raises(fne.BackendError, match="which rows of 'y' belong to an image.*with pad_batches"):
        fne.Extractor(graph_of([None, 8, 8, 3]), layers=["y"], batch_size=8)
    with fne.Extractor(graph_of([None, 8, 8, 3]), layers=["y"], batch_size=4, pad_batches=True) as extractor:
        np.testing.assert_array_equal(extractor.extract(pixels).features, pixels.reshape(6, -1)[:, :5])


# ---- progress, threads


def test_arguments_beyond_their_range(network):
    for arguments, reason in [
        ({"engine_threads": 20_000}, "engine_threads is 20000; it must be 1 to 1024"),
        ({"loader_threads": 5_000}, "loader_threads is 5000"),
        ({"batch_size": 100_000}, "batch_size is 100000"),
        ({"input_tensor": "input:9999999999"}, "there is no 'input:9999999999'"),
        (
            {"input_tensor": "relu1:9999999999", "size": (8, 8)},
            "no selected layer is computed from the input 'relu1:9999999999'",
        ),
        ({"input_tensor": "input:1"}, "there is no 'input:1'"),
        ({"mean": np.nan}, "mean and scale must be finite"),
    ]:
        with pytest.raises(ValueError, match=reason):
            fne.Extractor(network[0], **arguments)


def test_a_pipe_among_the_images_is_refused(network, photographs, tmp_path):
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    with (
        fne.Extractor(network[0]) as extractor,
        pytest.raises(fne.FileError, match="pipe.jpg: this is not a regular file"),
    ):
        extractor.extract([photographs[0], pipe])


def test_the_status_of_the_image_that_ended_the_call(network, mixed):
    """Through the C interface: statuses and rows done of a failed call."""
    paths, _ = mixed
    options = _ffi.defaults(_ffi.ExtractorOptions, _ffi.lib.fne_extractor_options_init)
    options.batch_size = 2  # and on_error 0: fail
    model = fne.Model(network[0])
    lib = _ffi.lib
    extractor = _ffi.open_handle(
        lib.fne_extractor_open, lib.fne_extractor_close, model._handle(), ctypes.byref(options)
    )
    statuses = (ctypes.c_int32 * len(paths))(*[-1] * len(paths))
    features = np.zeros((len(paths), _ffi.count(lib.fne_extractor_feature_count, extractor)), np.float32)
    run = _ffi.sized(_ffi.ExtractRun)
    run.statuses, run.statuses_capacity = statuses, len(paths)
    names = _ffi.strings([os.fsencode(path) for path in [paths[0], paths[2], *paths[4:]]])
    assert lib.fne_extract_files(extractor(), names, 7, features.ctypes.data, features.size, ctypes.byref(run)) == 5
    assert _ffi.last_error().startswith("image 2 of 7: ")
    assert run.rows_done == 2 and list(statuses)[:3] == [0, 0, 5]
    assert np.isfinite(features[:2]).all() and features[:2].any(axis=1).all()


def test_progress(network, photographs):
    seen = []
    with fne.Extractor(network[0], batch_size=10) as extractor:
        extractor.extract(photographs, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(10, 24), (20, 24), (24, 24)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_progress_raises_stops_the_call(network, photographs, error):
    def stop(done, total):
        if done >= 8:
            raise error("enough")

    with fne.Extractor(network[0], batch_size=4) as extractor:
        with pytest.raises(error, match="enough"):
            extractor.extract(photographs, progress=stop)
        assert extractor.extract(photographs[:2]).features.shape == (2, 144)  # and it goes on working


def test_one_extractor_from_several_threads(network, photographs):
    with fne.Extractor(network[0], batch_size=4) as extractor:
        expected = extractor.extract(photographs).features
        results = [None] * 8

        def work(number):
            results[number] = extractor.extract(photographs).features

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for result in results:
        np.testing.assert_array_equal(result, expected)


def test_several_extractors_of_one_model_from_eight_threads(network, photographs):
    """Two threads on each of four extractors, which share a model and differ in what they take."""
    model = fne.Model(network[0])
    choices = [{"layers": "last:40%"}, {"crops": 10}, {"channel_order": "bgr"}, {"resize_mode": "shortest_side"}]
    extractors = [fne.Extractor(model, batch_size=4, **choice) for choice in choices]
    model.close()
    expected = [extractor.extract(photographs[:12]).features for extractor in extractors]
    results = [None] * 8

    def work(number):
        results[number] = extractors[number // 2].extract(photographs[:12]).features

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, result in enumerate(results):
        np.testing.assert_array_equal(result, expected[number // 2])


def test_no_warning_without_a_reason(network, photographs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        full_network_embedding(network[0], photographs[:10], 2, None, None, None, on_error="skip")


def test_wrong_images(network, tmp_path):
    with fne.Extractor(network[0]) as extractor:
        for images, reason in [
            ("one.jpg", "pass a list"),
            ([1, 2], "image 0 is a int; images are paths, encoded images as bytes"),
            ([np.zeros((4, 4), np.uint8)], r"uint8 \(4, 4\)"),
            ([np.zeros((4, 4, 3), np.float64)], "float64"),
            (np.zeros((2, 9, 9, 3), np.float32), r"\[N, 48, 64, 3\] is needed"),
        ]:
            with pytest.raises((TypeError, ValueError), match=reason):
                extractor.extract(images)
        with pytest.raises(ValueError, match="there are no images"):
            extractor.extract([])
    with pytest.raises(ValueError, match="closed"):
        extractor.extract([tmp_path])


def test_large_picture_in_a_small_network(network, tmp_path):
    path = tmp_path / "large.png"
    cv2.imwrite(str(path), np.full((3000, 4000, 3), (10, 20, 30), np.uint8))
    with fne.Extractor(network[0], layers=["relu1"]) as extractor:
        from_file = extractor.extract([path]).features
        tensor = np.broadcast_to(np.array([30, 20, 10], np.float32), (1, 48, 64, 3))
        np.testing.assert_allclose(from_file, extractor.extract(np.ascontiguousarray(tensor)).features, rtol=1e-5)


def test_few_rows_where_maps_are_large():
    """Four large maps would leave the cache. Two are the default then."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 128, 128, 3], "input")
        tf.nn.relu(tf.nn.conv2d(x, np.ones((1, 1, 3, 63), np.float32), 1, "SAME"), name="small")
        tf.nn.relu(tf.nn.conv2d(x, np.ones((1, 1, 3, 64), np.float32), 1, "SAME"), name="large")  # 4 MiB per image
    for options, wanted in [({"layers": ["small"]}, 4), ({"layers": ["small", "large"]}, 2)]:
        with fne.Extractor(graph.as_graph_def(), **options) as extractor:
            assert extractor.batch_size == wanted
    with fne.Extractor(graph.as_graph_def(), layers=["large"], batch_size=4) as extractor:
        assert extractor.batch_size == 4


# ---- streams, codes, memory of the caller


@pytest.mark.parametrize("streams", [1, 2, 5, 64])
@pytest.mark.parametrize("batch_size", [None, 1, 3, 100])
def test_streams_change_nothing(network, photographs, reference, streams, batch_size):
    with fne.Extractor(network[0], streams=streams, batch_size=batch_size) as extractor:
        assert extractor.streams == streams
        assert extractor.batch_size == (batch_size or 4)
        progress = []
        features = extractor.extract(photographs, progress=lambda done, total: progress.append(done)).features
    np.testing.assert_allclose(features, reference, rtol=1e-4, atol=1e-5)
    assert progress == sorted(set(progress)) and progress[-1] == 24


@pytest.mark.parametrize("first", [0, 1])
def test_streams_by_default(graph, first):
    """One a processor, or what the process's engine threads leave, which its first extractor decides."""
    processors = len(os.sched_getaffinity(0))
    program = """
    import sys, fne
    for threads in sys.argv[2:]:
        print(fne.Extractor(sys.argv[1], engine_threads=int(threads) or None).streams)
    """
    threads = [processors, 0] if first else [0, processors]
    command = [sys.executable, "-c", textwrap.dedent(program), graph, *threads]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert [int(line) for line in result.stdout.split()] == [1 if first else min(processors, 64)] * 2


@pytest.mark.parametrize("rules", ["documented", "torch"])
def test_codes_in_one_call(network, photographs, rules):
    """What extract and ternarize give together."""
    with fne.Extractor(network[0]) as extractor:
        rows = extractor.extract(photographs).features
        statistics = fne.Statistics(rows.shape[1]).update(rows[:12])
        mean, std = statistics.mean(), statistics.std()
        embedding = extractor.embed(photographs, mean, std, lower=-0.5, upper=0.3, rules=rules)
    assert embedding.codes.dtype == np.int8 and embedding.ok.all() and not embedding.reasons
    expected = fne.ternarize(rows, mean, std, lower=-0.5, upper=0.3, rules=rules)
    np.testing.assert_array_equal(embedding.codes, expected)


@pytest.mark.parametrize("kind", ["encoded", "pixels", "mixed", "tensor"])
def test_codes_of_every_source(network, photographs, kind):
    with fne.Extractor(network[0]) as extractor:
        rows = extractor.extract(photographs).features
        mean, std = rows.mean(0), rows.std(0)
        images = {
            "encoded": [path.read_bytes() for path in photographs],
            "pixels": [fne.read_image(path) for path in photographs],
            "mixed": [path if i % 2 else path.read_bytes() for i, path in enumerate(photographs)],
            "tensor": np.concatenate([extractor.preprocess(path) for path in photographs]),
        }[kind]
        codes = extractor.embed(images, mean, std).codes
    np.testing.assert_array_equal(codes, fne.ternarize(rows, mean, std))


def test_codes_of_skipped_images(network, mixed):
    mixed = mixed[0]
    with fne.Extractor(network[0], on_error="skip", batch_size=2) as extractor:
        extraction = extractor.extract(mixed)
        rows = extraction.features[extraction.ok]
        embedding = extractor.embed(mixed, rows.mean(0), rows.std(0))
    assert embedding.reasons == extraction.reasons
    np.testing.assert_array_equal(embedding.statuses, extraction.statuses)
    assert (embedding.codes[~embedding.ok] == fne.SKIPPED_CODE).all()
    np.testing.assert_array_equal(embedding.codes[embedding.ok], fne.ternarize(rows, rows.mean(0), rows.std(0)))


def test_a_bad_image_of_a_later_chunk_is_named(network, photographs, tmp_path, monkeypatch):
    import fne.fne as drop_in

    monkeypatch.setattr(drop_in, "_CHUNK", 5)
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    paths = [*photographs[:13], tmp_path / "bad.jpg", *photographs[13:16]]
    graph, taps, _ = network
    features, stats = full_network_embedding(graph, photographs[:16], 8, None, taps, (48, 64))
    calls = []
    with pytest.raises(fne.ImageError, match=r"image 13 of 17: .*bad\.jpg"):
        full_network_embedding(graph, paths, 8, None, taps, (48, 64), stats)
    with pytest.warns(fne.SkippedImagesWarning) as warned:
        again, _ = full_network_embedding(
            graph,
            paths,
            8,
            None,
            taps,
            (48, 64),
            stats,
            on_error="skip",
            progress=lambda done, total: calls.append((done, total)),
        )
    np.testing.assert_array_equal(again, features)
    assert calls[-1] == (17, 17) and [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert warned[0].message.indices == [13]
    with pytest.warns(fne.SkippedImagesWarning):
        own, own_stats = full_network_embedding(graph, paths, 8, None, taps, (48, 64), on_error="skip")
    np.testing.assert_array_equal(own, features)
    np.testing.assert_allclose(own_stats, stats, rtol=1e-5, atol=1e-6)  # the batches are others, so last bits may be


def test_memory_of_the_caller(network, photographs, tmp_path):
    graph, taps, _ = network
    expected, stats = full_network_embedding(graph, photographs, 8, None, taps, (48, 64))
    out = np.lib.format.open_memmap(tmp_path / "fne.npy", "w+", np.float32, expected.shape)
    rows = np.memmap(tmp_path / "rows", np.float32, "w+", shape=expected.shape)
    features, _ = full_network_embedding(graph, photographs, 8, None, taps, (48, 64), out=out, rows=rows)
    assert features is out
    np.testing.assert_array_equal(np.load(tmp_path / "fne.npy"), expected)
    with fne.Extractor(graph) as extractor:
        np.testing.assert_array_equal(rows, extractor.extract(photographs).features)
        codes = np.memmap(tmp_path / "codes", np.int8, "w+", shape=expected.shape)
        assert extractor.embed(photographs, stats[0], stats[1], out=codes).codes is codes
        np.testing.assert_array_equal(codes, expected)
        for wrong in (np.empty((24, 143), np.float32), np.empty((24, 144)), np.empty((144, 24), np.float32).T):
            with pytest.raises(ValueError, match="out is"):
                extractor.extract(photographs, out=wrong)
        rows.flags.writeable = False
        with pytest.raises(ValueError, match="read-only"):
            extractor.extract(photographs, out=rows)
    with pytest.raises(fne.ShapeMismatchError, match="out has shape"):
        full_network_embedding(graph, photographs, 8, None, taps, (48, 64), out=np.empty((3, 144)))


def test_statistics_of_other_layers_are_refused(network, photographs):
    with fne.Extractor(network[0]) as extractor:
        with pytest.raises(fne.ShapeMismatchError, match="statistics_size is 7; these layers have 144"):
            extractor.embed(photographs, np.zeros(7), np.ones(7))
        with pytest.raises(fne.ShapeMismatchError, match="mean and std"):
            extractor.embed(photographs, np.zeros(144), np.ones(7))


def test_what_c_checks_of_codes(network, photographs):
    """The library itself, with pointers and capacities that do not fit."""
    with fne.Extractor(network[0]) as extractor:
        paths = _ffi.strings([os.fsencode(path) for path in photographs])
        codes, mean, std = np.full((24, 144), 99, np.int8), np.zeros(144), np.ones(144)

        def call(features=None, **members):
            run = _ffi.sized(_ffi.ExtractRun)
            values = {
                "codes": codes.ctypes.data,
                "codes_capacity": codes.size,
                "mean": mean.ctypes.data,
                "std": std.ctypes.data,
                "statistics_size": 144,
            } | members
            for name, value in values.items():
                setattr(run, name, value)
            size = 24 * 144 if features else 0
            return _ffi.lib.fne_extract_files(
                extractor._handle(), paths, 24, features, size, ctypes.byref(run)
            ), _ffi.last_error()

        assert call(codes=None) == (1, "features, run->codes and run->packed are all NULL. Pass at least one")
        status, message = call(codes_capacity=codes.size - 1)
        assert status == 2 and "run->codes needs 3456 elements" in message
        assert call(mean=None) == (1, "run->mean must not be NULL")
        assert call(std=None) == (1, "run->std must not be NULL")
        status, message = call(statistics_size=143)
        assert status == 18 and "143" in message
        options = _ffi.defaults(_ffi.TernarizeOptions, _ffi.lib.fne_ternarize_options_init)
        options.lower = 3
        status, message = call(ternarize_options=ctypes.pointer(options))
        assert status == 1 and "lower" in message
        assert (codes == 99).all()
        rows = np.empty((24, 144), np.float32)
        assert call(features=rows.ctypes.data)[0] == 0, "both at once"
        np.testing.assert_array_equal(codes, fne.ternarize(rows, mean, std))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_input_that_is_not_finite(graph, value):
    """A ReLU would make finite features of it."""
    fed = np.random.default_rng(1).random((6, 48, 64, 3), np.float32)
    fed[3, 5, 6, 1] = value
    with fne.Extractor(graph) as extractor, pytest.raises(fne.NotFiniteError, match="image 3 of 6: .*element 979"):
        extractor.extract(fed)
    with fne.Extractor(graph, on_error="skip") as extractor:
        extraction = extractor.extract(fed)
        assert (
            extraction.ok.tolist() == [True, True, True, False, True, True] and np.isnan(extraction.features[3]).all()
        )


def test_refused_arguments_leave_the_run_as_it_was(graph, photographs):
    extractor = fne.Extractor(graph, size=(48, 64))
    run, options = _ffi.sized(_ffi.ExtractRun), _ffi.sized(_ffi.TernarizeOptions)
    options.lower, options.upper = 3, 0
    statuses = (ctypes.c_int32 * 1)(77)
    run.rows_done, run.ternarize_options = 1234, ctypes.pointer(options)
    run.statuses, run.statuses_capacity = statuses, 1
    paths = (ctypes.c_char_p * 1)(os.fsencode(photographs[0]))
    codes, mean, std = (np.zeros(extractor.feature_count, kind) for kind in (np.int8, np.float64, np.float64))
    at = [ctypes.c_void_p(array.ctypes.data) for array in (codes, mean, std)]
    status = _ffi.lib.fne_embed_files(
        extractor._handle(), paths, 1, at[0], codes.size, at[1], at[2], mean.size, ctypes.byref(run)
    )
    assert status == 1 and run.rows_done == 1234 and statuses[0] == 77


def test_rows_that_wait_in_the_library_or_outside_give_the_same(network, photographs, tmp_path):
    """Without `rows` the library keeps the floats. It cannot where Pillow reads an image, or where the caller wants
    them."""
    graph, taps, _ = network
    cv2.imwrite(str(tmp_path / "late.webp"), cv2.imread(str(photographs[7])), [cv2.IMWRITE_WEBP_QUALITY, 101])
    for paths in (photographs[:9], [*photographs[:9], tmp_path / "late.webp"]):
        rows = np.empty((len(paths), sum([24, 24, 24, 40, 32])), np.float32)
        outside, outside_stats = full_network_embedding(graph, paths, 8, None, taps, (48, 64), rows=rows)
        inside, inside_stats = full_network_embedding(graph, paths, 8, None, taps, (48, 64))
        np.testing.assert_allclose(
            inside_stats, [rows.mean(0, np.float64), rows.std(0, dtype=np.float64)], rtol=1e-5, atol=1e-5
        )
        np.testing.assert_allclose(inside_stats, outside_stats, rtol=1e-5, atol=1e-6)
        assert inside.shape == outside.shape and np.mean(inside == outside) > 0.999
