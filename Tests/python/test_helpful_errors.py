"""What people try first: it works, or the error says what to do."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from sklearn.base import clone

import fne
from fne import zoo
from fne._cluster import worker
from fne.sklearn import FewShotEmbedder, FullNetworkEmbedder, FullNetworkFeatures

SIZE = (48, 64)


@pytest.fixture(autouse=True)
def fresh():
    fne.sklearn.clear_cache()
    yield
    fne.sklearn.clear_cache()


def opened(path):
    """A PIL image, whose file is closed."""
    with PIL.Image.open(path) as image:
        return image.copy()


@pytest.mark.parametrize("estimator", [FullNetworkFeatures, FullNetworkEmbedder, FewShotEmbedder])
def test_one_image_where_several_are_needed(estimator, graph, photographs):
    one = photographs[0].read_bytes()
    for given, message in [
        (str(photographs[0]), "X is one path or image; pass a list, or a folder"),
        (one, "X is one path or image; pass a list, or a folder"),
        (fne.read_image(one), "X is one path or image; pass a list, or a folder"),
        (opened(photographs[0]), "X is one path or image; pass a list, or a folder"),
        (7, "X is a int; pass a list"),
    ]:
        with pytest.raises(fne.FNEError, match=re.escape(message)) as raised:
            estimator(graph).fit([str(path) for path in photographs[:10]]).transform(given)
        assert isinstance(raised.value, TypeError)


def _message(function):
    with pytest.raises(fne.FNEError) as raised:
        function()
    return str(raised.value)


def test_one_image_for_an_extractor(graph, photographs):
    with fne.Extractor(graph, size=SIZE) as extractor:
        for given in (opened(photographs[0]), fne.read_image(photographs[0]), bytearray(b"x"), photographs[0]):
            message = _message(lambda given=given: extractor.extract(given))
            assert message.startswith("images is one path or image; pass a list, or a folder. It is ")


def test_pictures_where_a_path_is_needed(graph, photographs, tmp_path):
    image, pixels = opened(photographs[0]), np.zeros((300, 200, 3), np.uint8)
    for picture, words in ((image, "a PIL.Image"), (pixels, "an array of pixels")):
        message = _message(lambda picture=picture: fne.embed_dataset([picture], graph, tmp_path / "job", size=SIZE))
        assert message.startswith(f"image 0 of source is {words}; a job reads its images from files")
    assert _message(lambda: fne.image_info(image)).startswith("a PIL image is no path. fne.Extractor and fne.sklearn")
    assert _message(lambda: fne.image_info(pixels)).startswith("an array uint8 (300, 200, 3) is no path. ")


def test_pillow_images_in_scikit_learn(graph, photographs):
    images = [opened(path) for path in photographs[:4]]
    features = FullNetworkFeatures(graph).fit()
    with fne.Extractor(graph, pad_batches=True) as extractor:
        np.testing.assert_array_equal(features.transform(images), extractor.extract(images).features)
    assert features.transform([opened(photographs[0])]).shape == (1, features.n_features_out_)


def test_a_size_of_one_number(photographs, tmp_path):
    network = zoo.efficientnet_lite0()
    with fne.Extractor(network, size=224, layers="last:5%") as extractor:
        assert extractor.size == (224, 224)
        rows = extractor.extract(photographs[:2]).features
    features = FullNetworkFeatures(network, size=np.int64(224), layers="last:5%", batch_size=extractor_batch(network))
    np.testing.assert_array_equal(features.fit_transform(photographs[:2]), rows)
    with fne.Extractor(network, size=(224, 224), resize_size=256, layers="last:5%") as extractor:
        whole = fne.read_image(photographs[0])
        resized = fne.resize(whole, 256)
        np.testing.assert_array_equal(resized, fne.resize(whole, (256, 256)))
        np.testing.assert_array_equal(extractor.preprocess(whole)[0], resized[16:240, 16:240])
    assert fne.Model(network).shapes(size=224) == fne.Model(network).shapes(size=(224, 224))
    codes, _ = fne.full_network_embedding(network, photographs[:2], 2, None, ["head/Relu6"], 224)
    assert codes.shape == (2, 1280)
    for wrong in ((224,), (1, 2, 3), 0, -5, 2.5, "224", (224, "x"), ()):
        with pytest.raises(ValueError, match="^size is") as raised:
            fne.Extractor(network, size=wrong)
        assert isinstance(raised.value, fne.InvalidArgumentError)


def extractor_batch(network):
    with fne.Extractor(network, layers="last:5%") as extractor:
        return extractor.batch_size


def test_a_share_without_its_sign(graph):
    for function in (
        lambda: fne.Extractor(graph, layers="last:25"),
        lambda: fne.Model(graph).layers() and select(graph),
    ):
        message = _message(function)
        assert message == "the selector 'last:25' needs a share above 0% and up to 100%, such as last:25%"


def select(graph):
    from fne._selection import select as chosen

    return chosen("last:25", [tensor.name for tensor in fne.Model(graph).layers()])


def test_the_name_of_the_default_network(tmp_path, photographs, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, file = "efficientnet_lite0", zoo.efficientnet_lite0()
    model = fne.Model(name)
    assert model.sha256() == fne.Model(file).sha256()
    assert pickle.loads(pickle.dumps(model)).sha256() == model.sha256()
    assert pickle.loads(worker.plan(name, {}, True).model)._origin.graph == file.read_bytes()
    job = fne.embed_dataset(photographs[:3], name, "job", layers="last:5%")
    rows = fne.embed_dataset(photographs[:3], file, "other", layers="last:5%").features()
    np.testing.assert_array_equal(job.features(), rows)
    codes, _ = fne.full_network_embedding(name, photographs[:2], 2, None, ["head/Relu6"], None)
    assert codes.shape == (2, 1280)
    assert FullNetworkFeatures(name, layers="last:5%").fit_transform(photographs[:3]).shape == rows.shape
    Path(name).write_bytes(b"no network")
    assert fne.Model(name).sha256() == model.sha256(), "a file of this name is ./efficientnet_lite0"
    with pytest.raises(fne.GraphError):
        fne.Model(f"./{name}")


def test_scikit_learn_finds_the_probabilities(photographs):
    features = FullNetworkFeatures(layers=["head/Relu6", "probabilities"])
    rows = features.fit_transform(photographs[:2])
    np.testing.assert_allclose(rows[:, 1280:].sum(1), 1, rtol=1e-5)
    assert [layer.name for layer in features.layers_] == ["head/Relu6", "probabilities"]


def test_a_graph_of_tensorflow_that_is_no_definition():
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], name="image")
        tf.nn.relu(tf.nn.conv2d(image, np.ones((3, 3, 3, 4), np.float32), 2, "SAME"), name="out")
    assert "pass its .as_graph_def()" in _message(lambda: fne.Model(graph))
    assert [layer.name for layer in fne.Model(graph.as_graph_def()).layers()] == ["out"]


def test_doctor_without_tensorflow():
    environment = dict(os.environ, FNE_TENSORFLOW="/nowhere", FNE_ONNXRUNTIME="/nowhere")
    command = [sys.executable, "-m", "fne", "doctor"]
    ill = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ill.returncode == 1 and ill.stdout.count("C library was not found") == 1, ill.stdout
    assert "report it" not in ill.stdout


# ---- scikit-learn's estimators take what extractors take


def test_crops_in_scikit_learn(graph, photographs):
    """The row of an image is the mean of its ten crops' rows."""
    paths = [str(path) for path in photographs[:5]]
    with fne.Extractor(graph, size=SIZE, crops=10, pad_batches=True) as extractor:
        rows = extractor.extract(paths).features.reshape(5, 10, -1)
    features = FullNetworkFeatures(graph, size=SIZE, crops=10, device="cpu")
    found = features.fit_transform(paths)
    np.testing.assert_allclose(found, rows.astype(np.float64).mean(1), rtol=1e-6)
    statistics = fne.Statistics(found.shape[1]).update(found)
    codes = FullNetworkEmbedder(graph, size=SIZE, crops=10).fit_transform(paths)
    np.testing.assert_array_equal(codes, fne.ternarize(found, statistics.mean(), statistics.std()))


def test_bad_images_in_scikit_learn(graph, photographs, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"none")
    good = [str(path) for path in photographs[:12]]
    mixed = [*good[:2], str(bad), *good[2:], "nowhere.jpg"]
    is_good = np.array([path in good for path in mixed])
    with pytest.raises(fne.ImageError, match="bad.jpg"):
        FullNetworkFeatures(graph).fit_transform(mixed)
    for cache in ("memory", None, tmp_path / "cache"):
        features = FullNetworkFeatures(graph, on_error="skip", cache=cache)
        for _ in range(2):  # what is bad is not kept
            with pytest.warns(fne.SkippedImagesWarning, match="2 images were skipped") as warned:
                rows = features.fit_transform(mixed)
            assert warned[0].message.indices == [2, 13] and warned[0].message.paths == [str(bad), "nowhere.jpg"]
            assert np.isnan(rows[~is_good]).all() and not np.isnan(rows[is_good]).any()
    alone = FullNetworkEmbedder(graph).fit(good)
    embedder = FullNetworkEmbedder(graph, on_error="skip")
    with pytest.warns(fne.SkippedImagesWarning):
        codes = embedder.fit_transform(mixed)
    np.testing.assert_array_equal(codes[is_good], alone.transform(good))
    assert (codes[~is_good] == fne.SKIPPED_CODE).all()
    with pytest.warns(fne.SkippedImagesWarning):
        few = FewShotEmbedder(graph, on_error="skip").fit(mixed)
    expected = FewShotEmbedder(graph).fit(good).transform(good)
    np.testing.assert_array_equal(few.transform(good), expected)
    with pytest.warns(fne.SkippedImagesWarning):
        rows = few.transform([*good, str(bad)])
    np.testing.assert_array_equal(rows[:-1], expected)
    assert np.isnan(rows[-1]).all()


def test_limits_in_scikit_learn(graph, photographs):
    limits = fne.ImageOptions(max_pixels=100)
    estimator = clone(FullNetworkEmbedder(graph, image_options=limits))
    with pytest.raises(fne.ImageError, match="pixels"):
        estimator.fit([str(photographs[0])])
    with pytest.raises(fne.ImageError, match="pixels"):
        estimator.fit([opened(photographs[0])])
    assert FullNetworkEmbedder(graph).fit_transform([str(path) for path in photographs[:2]]).shape[0] == 2
