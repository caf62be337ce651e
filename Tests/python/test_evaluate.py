"""fne.evaluate: splits without leaks, representations and classifiers against scikit-learn on the same rows."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import fne
from fne._command import main
from fne._classifiers import PENALTIES, Kernel
from fne._evaluate import classes_of, splits
from fne._representations import REPRESENTATIONS, Representations, Roles


@pytest.fixture(scope="module")
def flowers(tmp_path_factory, photographs):
    """Three classes of 12 tiles each, cut from photographs of their own; and a file that fails."""
    folder = tmp_path_factory.mktemp("classes")
    random = np.random.default_rng(4)
    for label, name in enumerate(("daisy", "iris", "rose")):
        (folder / name).mkdir()
        for number in range(12):
            image = fne.read_image(photographs[3 * (2 * label + number % 2)])
            top, left = random.integers(0, image.shape[0] - 80), random.integers(0, image.shape[1] - 90)
            cv2.imwrite(str(folder / name / f"{number:02d}.png"), image[top : top + 80, left : left + 90, ::-1])
    (folder / "iris" / "broken.jpg").write_bytes(b"none")
    return folder


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory, flowers, graph):
    output = tmp_path_factory.mktemp("out") / "evaluation"
    return fne.evaluate(
        flowers,
        graph,
        output,
        images_per_class=(1, 4, "all"),
        seeds=2,
        classifiers=("svm", "centroid", "knn"),
        size=(48, 64),
    ), output


def test_classes(flowers, tmp_path):
    names, labels, classes, root = classes_of(flowers)
    assert classes == ["daisy", "iris", "rose"] and root == flowers and len(names) == 37
    assert all(name.startswith(classes[label]) for name, label in zip(names, labels, strict=True))
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{flowers / name}\tclass {label}\n" for name, label in zip(names, labels, strict=True)))
    again, same, classes, root = classes_of(listed)
    assert classes == ["class 0", "class 1", "class 2"] and root == tmp_path
    np.testing.assert_array_equal(same, labels)
    for text, message in [("a.jpg\n", "a tab"), ("a.jpg\tx\nb.jpg\tx\n", "1 classes")]:
        listed.write_text(text)
        with pytest.raises(fne.InvalidArgumentError, match=message):
            classes_of(listed)


def test_splits_are_stratified_and_disjoint():
    labels = np.repeat([0, 1, 2], [10, 20, 30])
    for seed in range(5):
        training, test = splits(labels, 5, seed)
        assert np.bincount(labels[training]).tolist() == [5, 5, 5] and np.bincount(labels[test]).tolist() == [5, 15, 25]
        assert not set(training) & set(test) and len(training) + len(test) == 60
        training, test = splits(labels, "all", seed)
        assert np.bincount(labels[test]).tolist() == [3, 6, 9]
    assert set(splits(labels, 5, 0)[0]) != set(splits(labels, 5, 1)[0])
    np.testing.assert_array_equal(splits(labels, 5, 3)[0], splits(labels, 5, 3)[0])
    assert splits(labels, 10, 0) is None


def test_the_result_and_its_files(evaluation):
    result, output = evaluation
    saved = json.loads((output / "evaluation.json").read_text())
    assert saved["summary"] == result.summary() and saved["facts"]["failed"] == 1 and saved["facts"]["images"] == 37
    names = {row["representation"] for row in result.summary()}
    assert names == set(REPRESENTATIONS) and len(result.scores) == (12 * 3 - 1) * 3 * 2
    row = next(r for r in result.summary() if (r["representation"], r["classifier"], r["images"]) == ("fne", "svm", 4))
    values = [s.accuracy for s in result.scores if s[:3] == ("fne", "svm", 4)]
    assert row["mean"] == pytest.approx(np.mean(values)) and row["std"] == pytest.approx(np.std(values, ddof=1))
    assert f"{row['mean']:.3f} ({row['std']:.3f})" in result.table()
    for name in ("accuracy.png", "shares.png", "confusion.png"):
        assert fne.read_image(output / name).shape[0] > 300
    assert result.confusion.sum() == 2 * (4 + 4 + 4) and set(result.chosen) == {
        (k, s) for k in (4, "all") for s in (0, 1)
    }
    assert max(values) > 0.6, "better than chance by far"


def linear_svc(penalty):
    return LinearSVC(C=penalty, random_state=1, max_iter=20000, tol=1e-6)


def best_penalty(x, labels, training):
    """The C that cross-validation prefers, by LinearSVC on the features themselves."""
    x, labels = x[training], labels[training]
    folds = list(StratifiedGroupKFold(3, shuffle=True, random_state=0).split(x, labels, np.arange(len(x))))
    right = [
        sum((linear_svc(c).fit(x[a], labels[a]).predict(x[b]) == labels[b]).sum() for a, b in folds) for c in PENALTIES
    ]
    return PENALTIES[int(np.argmax(right))]


def layers_of(graph):
    """The names of the default layers."""
    return [tensor.name for tensor in fne.Model(graph).layers()]


def test_the_fne_and_the_svm_are_scikit_learns(evaluation, graph):
    """The whole way again, by float64 matrices of all features and LinearSVC."""
    result, output = evaluation
    job = fne.Job(output / "job")
    good = np.flatnonzero(job.ok)
    rows = np.asarray(job.features(images=good)).astype(np.float64)
    labels = np.repeat([0, 1, 2], 12)
    default = job.columns(layers_of(graph))
    for seed in range(2):
        training, test = splits(labels, 4, seed)
        mean, std = rows[training].mean(0), rows[training].std(0)
        z = np.divide(rows - mean, std, out=np.zeros_like(rows), where=std > 0)
        for name, x in (("fne", ((z > 0.15).astype(float) - (z < -0.25))[:, default]), ("standardized", z[:, default])):
            x = x / np.sqrt((x[training] ** 2).sum(1).mean())
            penalty = best_penalty(x, labels, training)
            predicted = linear_svc(penalty).fit(x[training], labels[training]).predict(x[test])
            accuracy = np.mean([np.mean(predicted[labels[test] == c] == c) for c in range(3)])
            found = next(s.accuracy for s in result.scores if s[:4] == (name, "svm", 4, seed))
            assert found == pytest.approx(accuracy, abs=1e-9), name


def test_centroids_and_neighbours():
    random = np.random.default_rng(5)
    labels = np.repeat(np.arange(4), 6)
    rows = random.normal(size=(24, 30)) + 2 * random.normal(size=(4, 30))[labels]
    test = random.normal(size=(15, 30)) + 2 * rows[random.integers(0, 24, 15)]
    kernel = Kernel(rows, labels, test, 1)
    centroids = np.stack([rows[labels == label].mean(0) for label in range(4)])
    cosine = test @ centroids.T / np.linalg.norm(centroids, axis=1)
    np.testing.assert_array_equal(kernel.predict("centroid", 0), cosine.argmax(1))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    kernel._neighbours = lambda cosines: 1
    np.testing.assert_array_equal(kernel.predict("knn", 0), labels[(test @ unit.T).argmax(1)])


def test_rows_that_are_all_zero():
    kernel = Kernel(np.zeros((4, 5), np.int8), np.array([0, 0, 1, 1]), np.zeros((2, 5), np.int8), 1)
    for name in ("svm", "centroid", "knn"):
        assert set(kernel.predict(name, 0)) <= {0, 1}


def test_ten_crops_vote(tmp_path, flowers, graph):
    result = fne.evaluate(
        flowers, graph, tmp_path / "crops", images_per_class=(4,), seeds=1, representations=["fne", "l2"], size=(48, 64), crops=10,
        batch_size=10,
    )  # fmt: skip
    assert result.facts["crops"] == 10 and len(result.scores) == 2
    decisions = np.random.default_rng(1).normal(size=(30, 3))
    kernel = Kernel(np.eye(30), np.arange(3), np.eye(30), 10)
    kernel._svm = lambda: decisions
    np.testing.assert_array_equal(kernel.predict("svm", 0), decisions.reshape(3, 10, 3).sum(1).argmax(1))


def test_penultimate(tmp_path, flowers, lite0):
    """What feeds the classifier is the pooled last map: the last layer's features, from another tensor."""
    tensors = fne.Model(lite0).tensors()
    (pooled,) = [tensor for tensor in tensors if tensor.is_classifier_input]
    assert not pooled.is_default and pooled.name == "pool"
    result = fne.evaluate(
        flowers, lite0, tmp_path / "e", images_per_class=(4,), seeds=2, size=(224, 224),
        representations=["fne", "last layer", "penultimate", "penultimate l2"],
    )  # fmt: skip
    found = {name: [s.accuracy for s in result.scores if s.representation == name] for name, *_ in result.scores}
    assert found["penultimate"] == found["last layer"] and result.facts["layers"] == 49
    job = fne.Job(tmp_path / "e" / "job")
    x = np.asarray(job.features(layers=pooled.name, images=np.flatnonzero(job.ok))).astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    labels = np.repeat([0, 1, 2], 12)
    for seed in range(2):
        training, test = splits(labels, 4, seed)
        svm = linear_svc(best_penalty(x, labels, training)).fit(x[training], labels[training])
        accuracy = np.mean([np.mean(svm.predict(x[test][labels[test] == c]) == c) for c in range(3)])
        assert found["penultimate l2"][seed] == pytest.approx(accuracy, abs=1e-9)


def test_test_images_do_not_matter(evaluation, graph):
    """Other test features, the same training: statistics, penalty and best layer stay."""
    _, output = evaluation
    job = fne.Job(output / "job")
    labels = np.repeat([0, 1, 2], [12, 13, 12])
    roles = Roles.of(Roles.tensors(fne.Model(graph).tensors()))
    assert roles == ([0, 1, 2, 3, 4], [4], [5])
    data, other = (Representations(job, labels, roles) for _ in range(2))
    training, test = splits(data.labels, 4, 0)
    other.rows = other.rows.copy()
    other.rows[test] = np.random.default_rng(1).normal(0, 100, other.rows[test].shape)
    for name in ("fne", "standardized", "best layer"):
        (a, layer), (b, same) = data.kernel_of(name, training, test), other.kernel_of(name, training, test)
        assert a._choose() == b._choose() and layer == same
    np.testing.assert_array_equal(data.statistics(training), other.statistics(training))
    scaler = StandardScaler().fit(data.rows[training].astype(np.float64))
    np.testing.assert_allclose(data.statistics(training)[0], scaler.mean_, rtol=1e-12)


def test_thresholds(evaluation):
    result, output = evaluation
    labels = np.repeat([0, 1, 2], [12, 13, 12])
    job = fne.Job(output / "job")
    layers = [layer.name for layer in job.layers[:-1]]
    grid, near = fne.threshold_study(
        job, labels, lowers=(-0.5, -0.25), uppers=(0.15, 0.6), images=4, seeds=2, layers=layers
    )
    assert grid.shape == (2, 2) and (grid > 0.3).all() and 0 < near < 0.1
    plain = np.mean([s.accuracy for s in result.scores if s[:3] == ("fne", "svm", 4)])
    assert grid[1, 0] == pytest.approx(plain, abs=0.05)
    with pytest.raises(fne.InvalidArgumentError, match="too few images"):
        fne.threshold_study(job, labels, images=12)


def test_the_command(tmp_path, flowers, graph, capsys):
    arguments = [
        "evaluate",
        str(flowers),
        str(graph),
        str(tmp_path / "e"),
        "--size",
        "48x64",
        "--images",
        "2",
        "--images",
        "all",
    ]
    arguments += [
        "--seeds",
        "2",
        "--representation",
        "fne",
        "--representation",
        "outputs",
        "--classifier",
        "knn",
        "--thresholds",
    ]
    # thresholds need 10 images a class for training: 12 and 13 there are
    assert main([*arguments, "--quiet"]) == 0
    out = capsys.readouterr().out
    saved = json.loads((tmp_path / "e/thresholds.json").read_text())
    paper = saved["accuracy"][saved["lower"].index(-0.25)][saved["upper"].index(0.15)]
    assert out.count("[") == 1 and f"[{paper:.3f}]" in out and 0.3 < paper <= 1
    assert fne.read_image(tmp_path / "e/thresholds.png").shape[0] > 300
    assert "fne, knn" in out and "outputs, knn" in out and "within 0.01 of one of the paper's thresholds" in out
    assert main(["evaluate", str(flowers), str(graph), str(tmp_path / "e"), "--representation", "best"]) == 1
    assert "is none of" in capsys.readouterr().err
    assert main(["evaluate", str(flowers), str(graph), str(tmp_path / "e"), "--size", "48x64", "--images", "12"]) == 1
    assert "a class has 12 images" in capsys.readouterr().err
