"""fne.sklearn: scikit-learn's own checks, its tools on top, values against the parts."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

import fne
import fne.sklearn
from fne.sklearn import CentredL2, FewShotEmbedder, FullNetworkEmbedder, FullNetworkFeatures, TernaryDiscretizer


@parametrize_with_checks(
    [
        TernaryDiscretizer(),
        TernaryDiscretizer(lower=-1, upper=0.5, rules="torch"),
        CentredL2(),
        CentredL2(with_mean=False),
    ]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def paths(photographs):
    return [str(path) for path in photographs]


@pytest.fixture(scope="module")
def labels():
    return np.arange(24) // 3 % 2


@pytest.fixture(autouse=True)
def fresh():
    fne.sklearn.clear_cache()
    yield
    fne.sklearn.clear_cache()


@pytest.fixture
def runs(monkeypatch):
    """How many images the network is run for."""
    counted = []
    extract = fne.Extractor.extract

    def counting(self, images, **options):
        counted.append(len(images))
        return extract(self, images, **options)

    monkeypatch.setattr(fne.Extractor, "extract", counting)
    return counted


def test_discretizer_is_exact():
    rows = np.random.default_rng(3).normal(2, 5, (40, 7)).astype(np.float32)
    fitted = TernaryDiscretizer().fit(rows)
    z = (rows.astype(np.float64) - rows.astype(np.float64).mean(0)) / rows.astype(np.float64).std(0)
    np.testing.assert_array_equal(fitted.transform(rows), (z > 0.15).astype(int) - (z < -0.25))
    parts = TernaryDiscretizer()
    for part in np.array_split(rows[::-1], 7):
        parts.partial_fit(part)
    assert parts.statistics_.to_bytes() == fitted.statistics_.to_bytes() and parts.n_samples_seen_ == 40
    assert fitted.transform(rows).dtype == np.int8
    assert fitted.__sklearn_tags__().transformer_tags.preserves_dtype == []


@pytest.mark.parametrize("layers", [None, "last:50%", ["relu5", "bias3"], "all", "relu*"])
def test_features_are_the_extractors(graph, paths, layers):
    features = FullNetworkFeatures(graph, layers=layers).fit(paths)
    with fne.Extractor(graph, layers=layers, pad_batches=True) as extractor:
        np.testing.assert_array_equal(features.transform(paths), extractor.extract(paths).features)
        assert features.layers_ == extractor.layers and features.n_features_out_ == extractor.feature_count
    names = features.get_feature_names_out()
    first = features.layers_[0]
    assert names[0] == f"{first.name}_0" and len(set(names)) == features.n_features_out_


def test_kinds_of_images(graph, paths):
    features = FullNetworkFeatures(graph).fit()
    expected = features.transform(paths[:4])
    pixels = [fne.read_image(path) for path in paths[:4]]
    encoded = [Path(path).read_bytes() for path in paths[:4]]
    np.testing.assert_array_equal(features.transform(pixels), expected)
    np.testing.assert_array_equal(features.transform(encoded), expected)
    np.testing.assert_array_equal(features.transform(np.array(paths[:4], dtype=object)), expected)
    square = np.stack([fne.resize(image, (50, 50)) for image in pixels])
    np.testing.assert_array_equal(features.transform(square), features.transform(list(square)))
    assert features.transform([]).shape == (0, features.n_features_out_)


def test_embedder_composes(graph, paths):
    embedder = FullNetworkEmbedder(graph, layers="last:75%", lower=-0.4, upper=0.3)
    codes = embedder.fit_transform(paths[:15])
    rows = FullNetworkFeatures(graph, layers="last:75%").fit().transform(paths)
    discretizer = TernaryDiscretizer(lower=-0.4, upper=0.3).fit(rows[:15])
    np.testing.assert_array_equal(codes, discretizer.transform(rows[:15]))
    np.testing.assert_array_equal(embedder.transform(paths[15:]), discretizer.transform(rows[15:]))
    assert codes.dtype == np.int8 and next(iter(embedder.get_feature_names_out())) == f"{embedder.layers_[0].name}_0"
    again = pickle.loads(pickle.dumps(embedder))
    np.testing.assert_array_equal(again.transform(paths), embedder.transform(paths))
    assert clone(embedder).get_params() == embedder.get_params()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8])
def test_centred_l2_is_numpys(dtype):
    """Against NumPy, and without a mean against scikit-learn's normalize."""
    random = np.random.default_rng(4)
    rows, others = (random.integers(-20, 90, (n, 9)).astype(dtype) for n in (30, 8))
    fitted = CentredL2().fit(rows)
    centred = others.astype(np.float64) - rows.astype(np.float64).mean(0)
    expected = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    found = fitted.transform(others)
    np.testing.assert_allclose(found, expected, atol=1e-7 if dtype is np.float32 else 1e-15)
    assert found.dtype == (np.float32 if dtype is np.float32 else np.float64) and fitted.n_samples_seen_ == 30
    np.testing.assert_allclose(CentredL2(with_mean=False).fit_transform(rows), normalize(rows.astype(float)), atol=1e-6)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(others), found)


def test_centred_l2_at_the_ends_of_the_numbers():
    huge = np.array([[3e300, 4e300], [-3e300, -4e300], [0.0, 0.0]])
    np.testing.assert_allclose(CentredL2().fit_transform(huge), [[0.6, 0.8], [-0.6, -0.8], [0, 0]])
    np.testing.assert_allclose(CentredL2().fit_transform(huge / 1e300 * 1e-300), [[0.6, 0.8], [-0.6, -0.8], [0, 0]])
    with pytest.raises(fne.NotFiniteError, match="too large to be summed"):
        CentredL2().fit(np.full((3, 2), 1e308))


def parts_by_numpy(graph, paths, learned, is_centred):
    """The codes of the last half and what the classifier reads, each centred over its norm, from the extractor."""
    model = fne.Model(graph)
    (read,) = [tensor.name for tensor in model.tensors() if tensor.is_penultimate]
    found = []
    for layers in ("last:50%", read):
        with fne.Extractor(graph, layers=layers, pad_batches=True) as extractor:
            rows = extractor.extract(paths).features.astype(np.float64)
        if layers != read:
            z = (rows - rows[learned].mean(0)) / np.where(rows[learned].std(0) > 0, rows[learned].std(0), np.inf)
            rows = (z > 0.15).astype(float) - (z < -0.25)
        if is_centred:
            rows = rows - rows[learned].mean(0)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        found.append(rows / np.where(norms > 0, norms, 1))
    return np.hstack(found)


def test_the_few_shot_embedder(graph, paths, labels):
    embedder = FewShotEmbedder(graph)
    rows = embedder.fit_transform(paths[:12], labels[:12])
    expected = parts_by_numpy(graph, paths, slice(12), True)
    np.testing.assert_allclose(rows, expected[:12], atol=1e-6)
    np.testing.assert_allclose(embedder.transform(paths), expected, atol=1e-6)
    assert rows.dtype == np.float32 and embedder.n_features_out_ == rows.shape[1]
    names = embedder.get_feature_names_out()
    assert len(set(names)) == rows.shape[1] and names[-1].startswith("penultimate_")
    assert embedder.transform([]).shape == (0, rows.shape[1])
    for again in (pickle.loads(pickle.dumps(embedder)), clone(embedder).fit(paths[:12])):
        np.testing.assert_array_equal(again.transform(paths), embedder.transform(paths))
    assert clone(embedder).get_params() == embedder.get_params()
    pipeline = make_pipeline(FewShotEmbedder(graph), LinearSVC()).fit(paths[:12], labels[:12])
    assert pipeline.predict(paths[12:]).shape == (12,)


def test_a_handful_is_not_centred_on_without_a_pool(graph, paths, runs):
    few = FewShotEmbedder(graph).fit(paths[:9])
    assert few.codes_l2_.mean_ is None and few.penultimate_l2_.mean_ is None
    np.testing.assert_allclose(few.transform(paths), parts_by_numpy(graph, paths, slice(9), False), atol=1e-6)
    del runs[:]
    fne.sklearn.clear_cache()
    pooled = FewShotEmbedder(graph).fit(paths[:9], pool=paths[9:])
    assert sum(runs) == 24 and pooled.discretizer_.n_samples_seen_ == 24
    np.testing.assert_allclose(pooled.transform(paths), parts_by_numpy(graph, paths, slice(24), True), atol=1e-6)
    np.testing.assert_array_equal(
        FewShotEmbedder(graph).fit_transform(paths[:9], pool=paths[9:]), pooled.transform(paths[:9])
    )
    piped = make_pipeline(FewShotEmbedder(graph), LinearSVC()).fit(
        paths[:9], np.arange(9) % 2, fewshotembedder__pool=paths[9:]
    )
    np.testing.assert_array_equal(piped[0].transform(paths), pooled.transform(paths))
    wanted = FewShotEmbedder(graph, fewest_images=9).fit(paths[:9])
    np.testing.assert_allclose(wanted.transform(paths), parts_by_numpy(graph, paths, slice(9), True), atol=1e-6)


def test_what_the_few_shot_embedder_reads(graph, paths, tmp_path):
    """A layer may stand in both parts; and a network without a classifier needs one to be named."""
    both = FewShotEmbedder(graph, layers=["relu5", "relu2"], penultimate="relu5").fit(paths)
    width = {layer.name: layer.feature_count for layer in both.layers_}
    assert set(width) == {"relu5", "relu2"} and both.n_features_out_ == 2 * width["relu5"] + width["relu2"]
    part = both.transform(paths)[:, -width["relu5"] :]
    rows = FullNetworkFeatures(graph, layers="relu5").fit().transform(paths)
    np.testing.assert_allclose(part, CentredL2().fit_transform(rows), atol=1e-6)
    with pytest.raises(ValueError, match="fewest_images is -1"):
        FewShotEmbedder(graph, fewest_images=-1).fit(paths)
    import keras

    first, second = keras.layers.Conv2D(4, 3), keras.layers.Conv2D(5, 3, name="body_end")
    body = keras.Sequential([keras.Input((32, 32, 3)), first, second])
    with pytest.raises(fne.UnknownTensorError, match="name a layer with penultimate="):
        FewShotEmbedder(body).fit(paths)
    assert FewShotEmbedder(body, layers=None, penultimate="*body_end*").fit(paths).n_features_out_ >= 9


def test_set_output(graph, paths):
    pandas = pytest.importorskip("pandas")
    frame = FullNetworkEmbedder(graph).set_output(transform="pandas").fit_transform(paths)
    assert isinstance(frame, pandas.DataFrame) and list(frame.columns[:2]) == ["relu1_0", "relu1_1"]
    frame = (
        TernaryDiscretizer()
        .set_output(transform="pandas")
        .fit_transform(pandas.DataFrame({"a": [1.0, 2], "b": [3.0, 3]}))
    )
    assert list(frame.columns) == ["a", "b"]


def test_grid_search_runs_the_network_once(graph, paths, labels, runs):
    pipeline = make_pipeline(FullNetworkEmbedder(graph), LinearSVC(C=0.1))
    grid = {
        "fullnetworkembedder__layers": [None, "last:25%", "relu*"],
        "fullnetworkembedder__lower": [-0.25, -0.5],
        "fullnetworkembedder__upper": [0.15, 0.4],
    }
    search = GridSearchCV(pipeline, grid, cv=3).fit(np.array(paths), labels)
    assert sum(runs) == 24, "each image once"
    assert search.best_score_ > 0.5
    assert len(search.cv_results_["params"]) == 12


def test_statistics_are_the_training_folds(graph, paths, labels):
    """A leak would show: the embedder of a fold equals one fitted on that fold's images alone."""
    embedder = FullNetworkEmbedder(graph)
    half = embedder.fit(paths[:12]).discretizer_.mean_
    rows = FullNetworkFeatures(graph).fit().transform(paths[:12]).astype(np.float64)
    np.testing.assert_allclose(half, rows.mean(0), rtol=1e-12, atol=1e-13)
    scores = cross_val_score(make_pipeline(FullNetworkEmbedder(graph), LinearSVC(C=0.1)), np.array(paths), labels, cv=4)
    assert len(scores) == 4 and np.isfinite(scores).all()


def test_cache_in_a_folder(graph, paths, tmp_path, runs):
    def make():
        return FullNetworkFeatures(graph, cache=tmp_path / "cache").fit()

    first = make().transform(paths)
    fne.sklearn.clear_cache()
    np.testing.assert_array_equal(make().transform(paths[::-1]), first[::-1])
    assert sum(runs) == 24 and len(list((tmp_path / "cache").glob("*.npy"))) == 24
    program = (
        "import sys; from fne.sklearn import FullNetworkFeatures as F; "
        f"f = F({str(graph)!r}, cache=sys.argv[1]).fit(); "
        "print(f.transform(sys.argv[2:]).sum())"
    )
    out = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "cache"), *paths], capture_output=True, text=True, check=True
    )
    assert float(out.stdout) == pytest.approx(float(first.sum()), rel=1e-5)
    next((tmp_path / "cache").glob("*.npy")).write_bytes(b"damaged")
    np.testing.assert_array_equal(make().transform(paths), first)
    assert sum(runs) == 25
    FullNetworkFeatures(graph, cache=None).fit().transform(paths[:3])
    assert sum(runs) == 28


def test_a_changed_file_is_embedded_anew(graph, paths, tmp_path, runs):
    import shutil

    copy = tmp_path / "a.jpg"
    shutil.copy(paths[0], copy)
    features = FullNetworkFeatures(graph).fit()
    before = features.transform([copy])
    shutil.copy(paths[4], copy)
    assert not np.array_equal(features.transform([copy]), before) and sum(runs) == 2


def test_other_options_are_other_features(graph, paths):
    plain = FullNetworkFeatures(graph).fit().transform(paths[:4])
    assert not np.array_equal(FullNetworkFeatures(graph, channel_order="bgr").fit().transform(paths[:4]), plain)
    assert not np.array_equal(FullNetworkFeatures(graph, mean=[10, 20, 30]).fit().transform(paths[:4]), plain)
    model = fne.Model(graph)
    np.testing.assert_array_equal(FullNetworkFeatures(model).fit().transform(paths[:4]), plain)
    assert isinstance(clone(FullNetworkFeatures(model)).model, fne.Model)
    np.testing.assert_array_equal(FullNetworkFeatures(graph.read_bytes()).fit().transform(paths[:4]), plain)


def test_errors(graph, paths):
    with pytest.raises(fne.UnknownTensorError, match="no layer 'nothing'"):
        FullNetworkFeatures(graph, layers="nothing").fit()
    with pytest.raises(fne.FNEError, match="no JPEG, PNG or WebP"):
        FullNetworkFeatures(graph).fit().transform([b"no picture at all"])
    with pytest.raises(Exception, match="not fitted"):
        FullNetworkEmbedder(graph).transform(paths)
    with pytest.raises(OSError, match="nowhere"):
        FullNetworkFeatures(graph).fit().transform(["nowhere.jpg"])


@pytest.fixture
def keras_network(tmp_path, monkeypatch):
    import keras
    from keras_networks import functional

    monkeypatch.setenv("FNE_CACHE", str(tmp_path / "cache"))
    return functional(keras)


@pytest.mark.parametrize("kind", ["object", "model.keras", "model.h5", "folder"])
def test_keras_models(kind, keras_network, paths, tmp_path):
    model = keras_network
    if kind == "folder":
        keras_network.export(model := tmp_path / kind, verbose=False)
    elif kind != "object":
        keras_network.save(model := tmp_path / kind)
    features = FullNetworkFeatures(model).fit()
    with fne.Extractor(model, pad_batches=True) as extractor:
        np.testing.assert_array_equal(features.transform(paths[:5]), extractor.extract(paths[:5]).features)
        assert features.layers_ == extractor.layers
    assert len(fne.sklearn._networks) == 1
    np.testing.assert_array_equal(clone(features).fit().transform(paths[:5]), features.transform(paths[:5]))
    assert len(fne.sklearn._networks) == 1


@pytest.mark.parametrize(
    "layers",
    ["hidden", ["hidden", "base/conv1", "relu1"], ["base/conv*"], ["conv2", "last:50%"], "all", ["all", "norm1"]],
)
def test_names_of_keras_layers(layers, keras_network, paths):
    """Also of tensors that are no layers, as base/conv1 is, which a normalization follows."""
    features = FullNetworkFeatures(keras_network, layers=layers).fit()
    with fne.Extractor(keras_network, layers=layers, pad_batches=True) as extractor:
        np.testing.assert_array_equal(features.transform(paths[:5]), extractor.extract(paths[:5]).features)
        assert features.layers_ == extractor.layers and features.n_features_out_ == extractor.feature_count


def test_keras_models_that_change(keras_network, paths):
    features = FullNetworkFeatures(keras_network).fit()
    before = features.transform(paths[:5])
    keras_network.set_weights([weight * 1.5 for weight in keras_network.get_weights()])
    assert not np.allclose(features.fit().transform(paths[:5]), before)


def test_tensors_that_are_no_layers(graph, paths):
    layers = ["import/conv1:0", "relu5", "pool"]
    features = FullNetworkFeatures(graph, layers=layers).fit()
    with fne.Extractor(graph, layers=layers, pad_batches=True) as extractor:
        np.testing.assert_array_equal(features.transform(paths[:5]), extractor.extract(paths[:5]).features)
        assert features.layers_ == extractor.layers


def test_a_grid_over_keras_layers(keras_network, paths, labels, runs):
    pipeline = make_pipeline(FullNetworkEmbedder(keras_network), LinearSVC(C=0.1))
    grid = {"fullnetworkembedder__layers": [None, "relu1", "base/conv*"]}
    GridSearchCV(pipeline, grid, cv=3).fit(np.array(paths), labels)
    assert sum(runs) == 48, "each image once for the layers, and once with the tensor that is none"


def test_models_that_are_none(tmp_path):
    for model, error in ((tmp_path / "nowhere.pb", fne.FileError), (7, fne.errors.InvalidTypeError)):
        with pytest.raises(error):
            FullNetworkFeatures(model).fit()
