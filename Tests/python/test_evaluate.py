"""fne.evaluate: splits without leaks, representations and classifiers against scikit-learn on the same rows."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter

import cv2
import numpy as np
import pytest
from scipy.stats import ttest_rel
from sklearn import get_config
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from threadpoolctl import threadpool_info

import fne
from fne._command import main
from fne._evaluation import plots
from fne._evaluation.classifiers import CLASSIFIERS, PENALTIES, VOTES, Kernel
from fne._evaluation.dataset import data_set
from fne._evaluation.protocol import PROTOCOLS, class_accuracy, folds, splits
from fne._evaluation.representations import DEFAULT_REPRESENTATIONS, REPRESENTATIONS, Representations, Roles
from fne._evaluation.result import Evaluation, Score
from fne._evaluation.ridge import PENALTIES as RIDGE_PENALTIES
from fne._evaluation.ridge import Ridge
from fne._evaluation.solving import small_problems


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
        representations=tuple(REPRESENTATIONS),
        classifiers=("svm", "centroid", "knn"),
        size=(48, 64),
    ), output


def test_classes(flowers, tmp_path):
    names, labels, classes, root = data_set(flowers)[:4]
    assert classes == ["daisy", "iris", "rose"] and root == flowers and len(names) == 37
    assert all(name.startswith(classes[label]) for name, label in zip(names, labels, strict=True))
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{flowers / name}\tclass {label}\n" for name, label in zip(names, labels, strict=True)))
    _again, same, classes, root = data_set(listed)[:4]
    assert classes == ["class 0", "class 1", "class 2"] and root == tmp_path
    np.testing.assert_array_equal(same, labels)
    for text, message in [("a.jpg\n", "a tab"), ("a.jpg\tx\nb.jpg\tx\n", "1 classes")]:
        listed.write_text(text)
        with pytest.raises(fne.InvalidArgumentError, match=message):
            data_set(listed)


def test_lists_name_what_is_wrong(tmp_path):
    listed = tmp_path / "classes.txt"
    for text, message in [
        ("a.jpg\tx\nb.jpg\ty\na.jpg\tx\n", "line 3 names 'a.jpg' again, which is on line 1"),
        ("a.jpg\tx\nb.jpg\ty\nfolder/../a.jpg\ty\n", "line 3 names 'folder/../a.jpg' again, which is on line 1"),
        ("a.jpg\tx\n\nb.jpg\n", "line 3: each line must be"),
        ("a.jpg\tx\n\ty\n", "line 2: the name is empty"),
        ("a.jpg\tx\nb.jpg\t \n", "line 2: the class is empty"),
        ("\ufeffa.jpg\tx\n", "has 1 classes"),
    ]:
        listed.write_text(text, "utf-8")
        with pytest.raises(fne.InvalidArgumentError, match=message) as raised:
            data_set(listed)
        assert str(listed) in str(raised.value)
    listed.write_bytes("a.jpg\tx\nb.jpg\ty\n".encode("utf-16"))
    with pytest.raises(fne.InvalidArgumentError, match="classes.txt' holds zero bytes"):
        data_set(listed)


def test_lists_with_a_mark_spaces_and_odd_bytes(tmp_path):
    listed = tmp_path / "classes.txt"
    listed.write_bytes(b"\xef\xbb\xbfa b.jpg\trose \r\nn\xff\x85.jpg\t iris\r\n \r\nc\td.jpg\trose")
    names, labels, classes, root = data_set(listed)[:4]
    assert names == ["a b.jpg", os.fsdecode(b"n\xff\x85.jpg"), "c\td.jpg"] and root == tmp_path
    assert classes == ["iris", "rose"] and labels.tolist() == [1, 0, 1]


def test_folders_dots_and_links(tmp_path):
    source, elsewhere = tmp_path / "source", tmp_path / "elsewhere"
    for name in (
        "a/1.png",
        "a/deep/2.JPG",
        "a/.hidden/3.png",
        ".git/4.png",
        "a/.5.png",
        "b/6.jpeg",
        "b/note.txt",
        "7.png",
    ):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(b"")
    (source / "b" / "folder.png").mkdir()
    (elsewhere / "deep").mkdir(parents=True)
    (elsewhere / "deep" / "8.png").write_bytes(b"")
    (source / "c").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(source)
    (elsewhere / "gone.png").symlink_to(tmp_path / "nothing")
    names, labels, classes = data_set(source)[:3]
    assert names == ["a/1.png", "a/deep/2.JPG", "b/6.jpeg", "c/deep/8.png", "c/gone.png"]
    assert classes == ["a", "b", "c"] and labels.tolist() == [0, 0, 1, 2, 2]
    for inside in (source / "out", source, source / ".out", elsewhere / "new" / "out", source / "a" / ".." / "out"):
        with pytest.raises(fne.InvalidArgumentError, match="lies inside"):
            fne.evaluate(source, "no network is opened", inside)
        assert not (source / "out").exists() and not (elsewhere / "new").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"seeds": 0}, "seeds is 0"),
        ({"seeds": 1.5}, "seeds is 1.5"),
        ({"images_per_class": []}, "images_per_class is empty"),
        ({"images_per_class": (5, 0)}, "images_per_class is 0"),
        ({"images_per_class": (5, True)}, "images_per_class is True"),
        ({"images_per_class": (2.0,)}, "images_per_class is 2.0"),
        ({"images_per_class": 2.0}, "images_per_class is 2.0"),
        ({"images_per_class": "most"}, "images_per_class is 'most'"),
        ({"images_per_class": (5, "all", np.int64(5))}, "images_per_class holds 5 twice"),
        ({"representations": []}, "representations is empty"),
        ({"representations": "best"}, "'best' in representations is none of 'fne'"),
        ({"representations": ["fne", "l2", "fne"]}, "representations holds 'fne' twice"),
        ({"classifiers": ()}, "classifiers is empty"),
        ({"classifiers": "tree"}, "'tree' in classifiers is none of 'svm'"),
        ({"vote": "most"}, "'most' in vote is none of 'sum'"),
        ({"protocol": "mine"}, "'mine' in protocol is none of 'library'"),
        ({"lower": 0.2}, "lower is 0.2 and upper is 0.15"),
        ({"upper": float("nan")}, "upper is nan"),
        ({"layers": "all"}, "layers cannot be given"),
        ({"shard": (0, 2)}, "no option 'shard'"),
        ({"codes": "int8"}, "no option 'codes'"),
        ({"root": "."}, "no option 'root'"),
        ({"statistics": None}, "no option 'statistics'"),
        ({"on_error": "raise"}, "no option 'on_error'"),
    ],
)
def test_arguments_are_refused_before_anything_runs(tmp_path, flowers, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fne.evaluate(flowers, "no network is opened", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_one_of_each_and_numbers_of_numpy(tmp_path, flowers, graph):
    given = {
        "images_per_class": np.int64(4),
        "lower": np.float32(-0.25),
        "upper": np.float32(0.5),
        "seeds": np.int32(1),
    }
    result = fne.evaluate(
        flowers, graph, tmp_path / "e", representations="fne", classifiers="centroid", size=(48, 64), **given
    )
    saved = json.loads((tmp_path / "e/evaluation.json").read_text())
    assert [tuple(score.values()) for score in saved["scores"]] == [tuple(result.scores[0])]
    assert result.scores[0][:4] == ("fne", "centroid", 4, 0) and saved["facts"]["thresholds"] == [-0.25, 0.5]
    several = fne.evaluate(
        flowers,
        graph,
        tmp_path / "e",
        representations="fne",
        classifiers="centroid",
        size=(48, 64),
        **{**given, "images_per_class": np.array([2, 4])},
    )
    assert several.scores[1] == result.scores[0] and several.scores[0].images == 2
    every = fne.evaluate(flowers, graph, tmp_path / "e", images_per_class="all", representations="fne", size=(48, 64))
    assert {score.images for score in every.scores} == {"all"} and not every.facts["skipped"]


def test_too_few_images(tmp_path, flowers, graph):
    source = tmp_path / "classes"
    shutil.copytree(flowers, source)
    for number in range(7):
        (source / "rose" / f"{number:02d}.png").unlink()
    options = {"size": (48, 64), "representations": "fne", "seeds": 1}
    with pytest.raises(
        fne.InvalidArgumentError, match="5, 12 training images per class: the smallest class, 'rose', has 5 images"
    ):
        fne.evaluate(source, "no network is opened", tmp_path / "e", images_per_class=(5, 12), **options)
    # 13 files of irises are there, but one of them fails
    result = fne.evaluate(source, graph, tmp_path / "e", images_per_class=(12, 2, 5, "all"), **options)
    assert result.facts["skipped"] == [12, 5] and result.facts["smallest class"] == {"name": "rose", "images": 5}
    assert list(dict.fromkeys(score.images for score in result.scores)) == [2, "all"]
    (source / "rose" / "11.png").write_bytes(b"none")
    with pytest.raises(fne.InvalidArgumentError, match="'rose', has 4 images that could be embedded"):
        fne.evaluate(source, graph, tmp_path / "f", images_per_class=4, **options)
    for file in (source / "rose").iterdir():
        file.write_bytes(b"none")
    with pytest.raises(
        fne.InvalidArgumentError, match=r"no image of 'rose' could be embedded; 'rose/07.png': "
    ) as raised:
        fne.evaluate(source, graph, tmp_path / "g", images_per_class=2, **options)
    assert raised.value.status == 1


def test_the_confusion_is_of_the_most_training_images(tmp_path, flowers, graph):
    """Of 12 images all but a share are 8, fewer than 10 and more than 2, wherever they are named."""
    options = {"size": (48, 64), "representations": "fne", "seeds": 2}
    for numbers, most, tests in (((10, "all"), 10, 2), (("all", 2), "all", 4)):
        result = fne.evaluate(flowers, graph, tmp_path / "e", images_per_class=numbers, **options)
        assert result.facts["images of the confusion"] == most
        assert result.confusion.sum(1).tolist() == [2 * tests] * 3
        accuracy = np.mean([score.accuracy for score in result.scores if score.images == most])
        assert np.trace(result.confusion) / result.confusion.sum() == pytest.approx(accuracy, abs=1e-12)


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
    for seed in range(5):  # nested
        sets = [set(splits(labels, images, seed)[0]) for images in (1, 2, 5, "all")]
        assert sets[0] < sets[1] < sets[2] < sets[3]


def test_the_mean_over_classes():
    truth, predicted = np.array([0, 0, 0, 0, 2, 2]), np.array([0, 0, 0, 1, 2, 0])
    assert class_accuracy(predicted, truth) == (3 / 4 + 1 / 2) / 2


def test_the_result_and_its_files(evaluation):
    result, output = evaluation
    saved = json.loads((output / "evaluation.json").read_text())
    assert saved["summary"] == result.summary() and saved["facts"]["failed"] == 1 and saved["facts"]["images"] == 37
    names = {row["representation"] for row in result.summary()}
    assert names == set(REPRESENTATIONS) and len(result.scores) == (15 * 3 - 1) * 3 * 2
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


@pytest.mark.parametrize(("images", "penalty"), [(1, 1.0), (2, 10.0), (3, 10.0), (4, None), (6, None)])
def test_c_is_chosen_from_four_images_of_each_class(images, penalty):
    """With fewer it is fixed. What decides is the smallest class."""
    random = np.random.default_rng(images)
    labels = np.repeat(np.arange(5), [images, *[max(images, 5)] * 4])
    rows = (random.normal(size=(5, 40))[labels] + 3 * random.normal(size=(len(labels), 40))).astype(np.float32)
    kernel = Kernel(rows, labels, rows, 1)
    x = rows / np.sqrt((rows.astype(np.float64) ** 2).sum(1).mean())
    expected = best_penalty(x, labels, np.arange(len(labels))) if penalty is None else penalty
    assert kernel.penalty()[0] == expected
    predicted = linear_svc(expected).fit(x, labels).predict(x)
    np.testing.assert_array_equal(kernel.predict("svm"), predicted)


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
    np.testing.assert_array_equal(kernel.predict("centroid"), cosine.argmax(1))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    kernel._neighbours = lambda cosines: 1
    np.testing.assert_array_equal(kernel.predict("knn"), labels[(test @ unit.T).argmax(1)])


def test_the_nearest_decides_between_equal_counts():
    """Labels by nearness, and whose the test row is."""
    for order, k, winner in (
        ([0, 1, 1, 0], 4, 0),
        ([1, 0, 0, 1], 4, 1),
        ([1, 0, 0, 1, 2], 5, 1),
        ([2, 1, 1, 0, 0], 5, 1),
        ([2, 0, 1], 3, 2),
        ([1, 0, 0], 3, 0),
    ):
        angles = 0.1 * np.arange(1, len(order) + 1)
        rows = np.stack([np.cos(angles), np.sin(angles)], 1)
        kernel = Kernel(rows, np.array(order), np.array([[3.0, 0.0]]), 1)
        kernel._neighbours = lambda cosines, k=k: k
        assert kernel.predict("knn").tolist() == [winner], order


@pytest.mark.parametrize("dtype", [np.int8, np.float32])
def test_crops_of_other_lengths_have_the_same_weight(dtype):
    """Centroids by cosine: a long crop does not outvote two short ones."""
    random = np.random.default_rng(6)
    labels = np.repeat([0, 1, 2], 2)
    rows = random.integers(-1, 2, (60, 20)).astype(dtype)
    test = random.integers(-1, 2, (150, 20)).astype(dtype)
    test[::2, 3:] = 0  # short rows
    kernel = Kernel(rows, labels, test, 10)
    centroids = np.stack([rows[np.repeat(labels, 10) == label].mean(0, dtype=np.float64) for label in range(3)])
    wide = test.astype(np.float64)
    products = wide @ centroids.T / np.linalg.norm(centroids, axis=1)
    cosines = products / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    np.testing.assert_allclose(kernel.centroid_scores(), cosines, atol=1e-12)
    expected = cosines.reshape(15, 10, 3).sum(1).argmax(1)
    assert (expected != products.reshape(15, 10, 3).sum(1).argmax(1)).any()
    np.testing.assert_array_equal(kernel.predict("centroid"), expected)


def test_the_best_layer_is_the_earliest_of_the_best(evaluation, graph, monkeypatch):
    """By cross-validated accuracies that are given; and with one image a class no kernel is made."""
    _, output = evaluation
    job = fne.Job(output / "job")
    data = Representations(job, np.repeat([0, 1, 2], [12, 13, 12]), Roles([0, 1, 2, 3], [4], [5]))
    names = [layer.name for layer in job.layers]
    for accuracies, best in (((3, 5, 4, 5, 1), 1), ((2, 2, 2, 2, 2), 0), ((1, 2, 3, 4, 5), 4)):
        left = iter(enumerate(accuracies))
        monkeypatch.setattr(data, "kernel", lambda *_, left=left: Fixed(*next(left)))
        kernel, name = data.kernel_of("best layer", *splits(data.labels, 4, 0))
        assert (kernel.number, name) == (best, names[best])
    monkeypatch.setattr(data, "kernel", None)
    assert data.kernel_of("best layer", *splits(data.labels, 1, 0)) is None


class Fixed:
    """A kernel whose cross-validated accuracy is given."""

    def __init__(self, number, accuracy):
        self.number, self.accuracy = number, accuracy

    def validated(self, judge):
        assert judge == "svm"
        return self.accuracy


def test_statistics_are_computed_once_for_a_split(evaluation, graph, monkeypatch):
    _, output = evaluation
    roles = Roles.of(Roles.tensors(fne.Model(graph).tensors()))
    data = Representations(fne.Job(output / "job"), np.repeat([0, 1, 2], [12, 13, 12]), roles)
    made = []

    def statistics(count):
        made.append(count)
        return fne.Statistics(count)

    monkeypatch.setattr("fne._evaluation.representations.Statistics", statistics)
    for seed in range(3):
        training, test = splits(data.labels, 4, seed)
        for name in REPRESENTATIONS:
            data.kernel_of(name, training, test)
        assert len(made) == seed + 1
        expected = data.rows[training].astype(np.float64)
        np.testing.assert_allclose(data.statistics(training)[0], expected.mean(0), rtol=1e-12)


@pytest.mark.parametrize("per_image", [1, 10])
def test_leaving_out_an_image_is_a_fit_without_it(per_image):
    """The closed form against scikit-learn's Ridge on all other images; with ten crops all ten of an image go."""
    random = np.random.default_rng(5)
    labels = np.repeat([0, 1, 2], [4, 5, 3])
    rows = random.normal(size=(12 * per_image, 30)) + np.repeat(labels, per_image)[:, None]
    repeated = np.repeat(labels, per_image)
    ridge = Ridge(rows @ rows.T, repeated, per_image)
    targets = 2.0 * (repeated[:, None] == np.arange(3)) - 1
    shares = []
    for penalty in RIDGE_PENALTIES:
        expected = np.empty((len(rows), 3))
        for image in range(12):
            out = np.arange(len(rows)) // per_image == image
            expected[out] = SklearnRidge(alpha=penalty).fit(rows[~out], targets[~out]).predict(rows[out])
        np.testing.assert_allclose(ridge.left_out(penalty), expected, atol=1e-8)
        shares.append((expected.argmax(1) == repeated).mean())
        others = random.normal(size=(7, 30))
        found = ridge.scores(ridge.fit(penalty), others @ rows.T)
        np.testing.assert_allclose(found, SklearnRidge(alpha=penalty).fit(rows, targets).predict(others), atol=1e-8)
    best = max(zip(shares, RIDGE_PENALTIES, strict=True))
    assert ridge.best_penalty() == (best[1], best[0]) and len(set(shares)) > 1


def test_the_ridge_is_scikit_learns(evaluation, graph):
    """The whole way again, on float64 codes, with leave-one-out by RidgeClassifier on all other images."""
    _, output = evaluation
    job = fne.Job(output / "job")
    data = Representations(job, np.repeat([0, 1, 2], [12, 13, 12]), Roles.of(Roles.tensors(fne.Model(graph).tensors())))
    training, test = splits(data.labels, 4, 1)
    kernel, _ = data.kernel_of("fne", training, test)
    columns = job.columns(layers_of(graph))
    codes = fne.ternarize(data.rows[:, columns], *(values[columns] for values in data.statistics(training)))
    x, y = codes.astype(np.float64), data.labels
    x /= np.sqrt((x[training] ** 2).sum(1).mean())
    shares = [
        np.mean(
            [
                RidgeClassifier(alpha=c).fit(x[np.delete(training, i)], y[np.delete(training, i)]).predict(x[[t]])
                == y[t]
                for i, t in enumerate(training)
            ]
        )
        for c in RIDGE_PENALTIES
    ]
    share, penalty = max(zip(shares, RIDGE_PENALTIES, strict=True))
    assert kernel.ridge()[1:] == (penalty, pytest.approx(share))
    model = RidgeClassifier(alpha=penalty).fit(x[training], y[training])
    np.testing.assert_allclose(kernel.ridge_scores(), model.decision_function(x[test]), atol=1e-9)
    assert kernel.validated("ridge") == kernel.ridge()[2] and kernel.validated() == kernel.penalty()[1]
    alone = data.kernel_of("fne", *splits(data.labels, 1, 0))[0]
    assert alone.ridge()[1] == 0.1, "one image a class: nothing to choose by"


def test_the_ridge_chooses_the_best_layer_where_there_is_no_svm(tmp_path, flowers, graph, monkeypatch):
    monkeypatch.setattr(Kernel, "penalty", None)  # no SVM is fitted
    options = {"images_per_class": 4, "seeds": 2, "representations": "best layer", "size": (48, 64)}
    result = fne.evaluate(flowers, graph, tmp_path / "e", classifiers=["ridge", "centroid"], **options)
    job = fne.Job(tmp_path / "e" / "job")
    data = Representations(job, np.repeat([0, 1, 2], [12, 13, 12]), Roles.of(Roles.tensors(fne.Model(graph).tensors())))
    for seed in range(2):
        training, _ = splits(data.labels, 4, seed)
        shares = []
        for layer in job.layers[:5]:
            z = StandardScaler().fit(data.rows[training][:, layer.features].astype(np.float64))
            rows = z.transform(data.rows[training][:, layer.features])
            shares.append(Kernel(rows, data.labels[training], rows, 1).validated("ridge"))
        assert result.chosen[4, seed] == job.layers[int(np.argmax(shares))].name


def test_the_best_layer_only_on_request(tmp_path, flowers, graph):
    assert set(REPRESENTATIONS) - set(DEFAULT_REPRESENTATIONS) == {"best layer"}
    result = fne.evaluate(
        flowers, graph, tmp_path / "e", images_per_class=2, seeds=1, classifiers="ridge", size=(48, 64)
    )
    assert [score.representation for score in result.scores] == list(DEFAULT_REPRESENTATIONS) and not result.chosen


def test_folds_are_computed_once_for_the_same_labels(monkeypatch):
    labels = np.repeat([0, 1, 2, 3], [7, 5, 9, 6])
    found = folds(labels, 2)
    repeated, groups = np.repeat(labels, 2), np.repeat(np.arange(27), 2)
    expected = StratifiedGroupKFold(3, shuffle=True, random_state=0).split(repeated, repeated, groups)
    for (fit, held), (same_fit, same_held) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(fit, same_fit)
        np.testing.assert_array_equal(held, same_held)
    monkeypatch.setattr(StratifiedGroupKFold, "split", None)
    assert folds(labels.copy(), 2) is found and folds(np.arange(4), 1) == ()


def test_small_problems_run_on_one_thread():
    def threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    before = threads()
    with small_problems():
        assert threads() == {1} and get_config()["assume_finite"]
    assert threads() == before and not get_config()["assume_finite"]


def test_one_image_of_many_classes_is_no_cause_for_warnings(recwarn):
    """scikit-learn takes many labels for numbers that are to be predicted, which they are not."""
    labels, rows = np.arange(40), np.random.default_rng(3).normal(0, 1, (40, 50)).astype(np.float32)
    with small_problems():
        assert (Kernel(rows, labels, rows, 1).predict("svm") == labels).mean() > 0.9
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize("classes", [2, 3])
def test_the_unscaled_svm_is_svc_on_the_codes(classes):
    random = np.random.default_rng(8)
    labels = np.repeat(np.arange(classes), 6)
    rows, test = (random.integers(-1, 2, (n, 40)).astype(np.int8) for n in (6 * classes, 25))
    model = OneVsRestClassifier(SVC(kernel="linear", C=1)).fit(rows.astype(np.float64), labels)
    expected = model.decision_function(test.astype(np.float64))
    found = Kernel(rows, labels, test, 1).unscaled_svm_scores()
    np.testing.assert_allclose(found, expected if classes == 3 else np.stack([-expected, expected], 1), atol=1e-3)


def test_votes():
    """The majority by Counter; equal votes are decided by the sum; and the sum may decide otherwise."""
    scores = np.random.default_rng(2).normal(size=(200, 10, 4)) ** 3
    expected = []
    for image in scores:
        votes = Counter(image.argmax(1).tolist())
        most = max(votes.values())
        expected.append(max((c for c in votes if votes[c] == most), key=lambda c: image[:, c].sum()))
    np.testing.assert_array_equal(VOTES["majority"].decide(scores), expected)
    np.testing.assert_array_equal(VOTES["sum"].decide(scores), scores.sum(1).argmax(1))
    assert (VOTES["sum"].decide(scores) != expected).any()


def test_the_papers_protocol(tmp_path, flowers, graph):
    """Ten crops of images at 8/7, a linear SVC on all crops' codes, and the majority of the crops' predictions."""
    options = {"images_per_class": 4, "seeds": 2, "representations": "fne", "size": (48, 64)}
    result = fne.evaluate(flowers, graph, tmp_path / "e", protocol="paper", **options)
    assert [score[:2] for score in result.scores] == [("fne", "svm unscaled")] * 2
    assert (result.facts["crops"], result.facts["vote"], result.facts["protocol"]) == (10, "majority", "paper")
    labels = np.repeat([0, 1, 2], 12)
    paths = sorted(flowers.glob("*/*.png"))
    with fne.Extractor(graph, size=(48, 64), crops=10, resize_size=(55, 73)) as extractor:
        rows = extractor.extract(paths).features.reshape(36, 10, -1)
    for seed in range(2):
        training, test = splits(labels, 4, seed)
        own = rows[training].reshape(120, -1)
        statistics = fne.Statistics(own.shape[1]).update(own)
        codes = fne.ternarize(rows.reshape(360, -1), statistics.mean(), statistics.std()).reshape(36, 10, -1)
        codes = codes.astype(np.float64)
        svm = OneVsRestClassifier(SVC(kernel="linear", C=1))
        svm.fit(codes[training].reshape(120, -1), np.repeat(labels[training], 10))
        crops = svm.predict(codes[test].reshape(-1, codes.shape[2])).reshape(-1, 10)
        votes = np.stack([(crops == label).sum(1) for label in range(3)], 1)
        clear = (votes == votes.max(1, keepdims=True)).sum(1) == 1
        right = np.where(clear, votes.argmax(1) == labels[test], np.nan)
        assert np.isnan(right).sum() <= 2
        low, high = (
            np.mean([np.nan_to_num(right, nan=fill)[labels[test] == c].mean() for c in range(3)]) for fill in (0, 1)
        )
        assert low - 1e-9 <= result.scores[seed].accuracy <= high + 1e-9
    own = fne.evaluate(flowers, graph, tmp_path / "f", protocol="paper", crops=1, classifiers="ridge", **options)
    assert own.facts["crops"] == 1 and own.scores[0].classifier == "ridge" and own.facts["vote"] == "majority"


def test_differences_are_paired(evaluation):
    """Against SciPy's paired t-test, on scores that are given; and on the evaluation's own."""
    random = np.random.default_rng(3)
    easy = random.normal(0.8, 0.1, 5)
    given = {"fne": easy, "l2": easy + 0.02 + random.normal(0, 0.002, 5), "outputs": easy + random.normal(0, 0.02, 5)}
    scores = [Score(name, "svm", 5, seed, float(v)) for name, row in given.items() for seed, v in enumerate(row)]
    result = Evaluation(["a", "b"], scores, {}, np.zeros((2, 2), np.int64), {})
    rows = {row["representation"]: row for row in result.differences()}
    assert set(rows) == {"l2", "outputs"}
    for name, row in rows.items():
        test = ttest_rel(given[name], easy)
        assert row["mean"] == pytest.approx(np.mean(given[name] - easy))
        assert row["mean"] / row["error"] == pytest.approx(test.statistic) and row["seeds"] == 5
        assert row["verdict"] == ("level" if test.pvalue > 0.05 else "ahead" if row["mean"] > 0 else "behind")
    assert rows["l2"]["verdict"] == "ahead" and rows["outputs"]["verdict"] == "level"
    assert {r["representation"]: r["verdict"] for r in result.differences("l2")}["fne"] == "behind"
    line = next(line for line in result.difference_table().split("\n") if line.startswith("l2, svm"))
    assert line.endswith(f"{rows['l2']['mean']:+.3f} ± {rows['l2']['error']:.3f} +")
    with pytest.raises(fne.InvalidArgumentError, match="'centred' was not measured"):
        result.differences("centred")
    single = Evaluation(["a", "b"], [s for s in scores if s.seed == 0], {}, np.zeros((2, 2), np.int64), {})
    assert {(row["error"], row["verdict"]) for row in single.differences()} == {(None, None)}
    measured, output = evaluation
    saved = json.loads((output / "evaluation.json").read_text())
    assert saved["differences"] == measured.differences() and len(saved["differences"]) == (14 * 3 - 1) * 3


@pytest.mark.parametrize("images, is_centred", [(2, False), (4, True)])
def test_codes_beside_the_penultimate(evaluation, graph, images, is_centred):
    """By NumPy. Six training images are a handful, and are not centred on; twelve are."""
    _, output = evaluation
    job = fne.Job(output / "job")
    roles = Roles.of(Roles.tensors(fne.Model(graph).tensors()))
    data = Representations(job, np.repeat([0, 1, 2], [12, 13, 12]), roles)
    training, test = splits(data.labels, images, 0)
    statistics = fne.Statistics(data.rows.shape[1]).update(data.rows[training])
    codes = fne.ternarize(data.rows, statistics.mean(), statistics.std()).astype(np.float64)
    penultimate = data.rows[:, data.columns(roles.penultimate)].astype(np.float64)
    for name, numbers in (("fne + penultimate", roles.layers), ("centred", roles.last(50))):
        blocks = [codes[:, data.columns(numbers)], penultimate]
        if name == "centred" and is_centred:
            blocks = [block - block[training].mean(0) for block in blocks]
        rows = np.hstack([block / np.linalg.norm(block, axis=1, keepdims=True) for block in blocks])
        expected = Kernel(rows[training], data.labels[training], rows[test], 1)
        found, layer = data.kernel_of(name, training, test)
        np.testing.assert_allclose(found.ridge_scores(), expected.ridge_scores(), atol=1e-4)
        np.testing.assert_array_equal(found.predict("svm"), expected.predict("svm"))
        assert layer is None


def test_rows_that_are_all_zero():
    kernel = Kernel(np.zeros((4, 5), np.int8), np.array([0, 0, 1, 1]), np.zeros((2, 5), np.int8), 1)
    for name in CLASSIFIERS:
        assert set(kernel.predict(name)) <= {0, 1}


def test_ten_crops_vote(tmp_path, flowers, graph):
    result = fne.evaluate(
        flowers,
        graph,
        tmp_path / "crops",
        images_per_class=(4,),
        seeds=1,
        representations=["fne", "l2"],
        size=(48, 64),
        crops=10,
        batch_size=10,
    )
    assert result.facts["crops"] == 10 and len(result.scores) == 2
    decisions = np.random.default_rng(1).normal(size=(30, 3))
    kernel = Kernel(np.eye(30), np.arange(3), np.eye(30), 10)
    kernel.svm_scores = lambda: decisions
    np.testing.assert_array_equal(kernel.predict("svm"), decisions.reshape(3, 10, 3).sum(1).argmax(1))


def test_penultimate(tmp_path, flowers, lite0):
    """What feeds the classifier is the last layer's map, averaged."""
    (read,) = [tensor for tensor in fne.Model(lite0).tensors() if tensor.is_penultimate]
    assert read.is_default and read.name == "head/Relu6"
    result = fne.evaluate(
        flowers,
        lite0,
        tmp_path / "e",
        images_per_class=(4,),
        seeds=2,
        size=(224, 224),
        representations=["fne", "last layer", "penultimate", "penultimate l2"],
    )
    found = {name: [s.accuracy for s in result.scores if s.representation == name] for name, *_ in result.scores}
    assert found["penultimate"] == found["last layer"] and result.facts["layers"] == 49
    job = fne.Job(tmp_path / "e" / "job")
    x = np.asarray(job.features(layers=read.name, images=np.flatnonzero(job.ok))).astype(np.float64)
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
        assert a.penalty() == b.penalty() and layer == same
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
    assert grid[1, 0] == pytest.approx(plain, abs=1e-12)
    with pytest.raises(
        fne.InvalidArgumentError, match="class 0 has too few images for 12 training images: 12, and one"
    ):
        fne.threshold_study(job, labels, images=12)
    for wrong in (labels[:-1], labels[:, None], []):
        with pytest.raises(ValueError, match="the job has 37 images"):
            fne.threshold_study(job, wrong)
    for wrong in (labels * 1.0, labels - 1):
        with pytest.raises(ValueError, match="integers from 0 on"):
            fne.threshold_study(job, wrong)


def test_thresholds_with_classes_of_different_sizes(tmp_path, flowers, graph):
    """The mean is over classes in the study too: with test sets of 8, 8 and 2 that is another number than over
    images."""
    source = tmp_path / "classes"
    shutil.copytree(flowers, source)
    for number in range(6):
        (source / "rose" / f"{number:02d}.png").unlink()
    result = fne.evaluate(
        source, graph, tmp_path / "e", images_per_class=4, seeds=3, representations="fne", size=(48, 64), lower=-0.5
    )
    job = fne.Job(tmp_path / "e" / "job")
    grid, _ = fne.threshold_study(
        job, data_set(source)[1], lowers=(-0.5,), uppers=(0.15,), images=4, seeds=3, layers=layers_of(graph)
    )
    assert result.confusion.sum(1).tolist() == [24, 24, 6]
    assert grid[0, 0] == pytest.approx(np.mean([score.accuracy for score in result.scores]), abs=1e-12)
    assert grid[0, 0] != pytest.approx(np.trace(result.confusion) / result.confusion.sum(), abs=1e-6)


def drawn(monkeypatch, tmp_path, result):
    """What is drawn for each plot: its axes, by the plot's name."""
    figures = {}
    save = plots._save

    def keep(figure, path):
        figures[path.name] = figure.axes[0]
        save(figure, path)

    monkeypatch.setattr(plots, "_save", keep)
    result.save(tmp_path)
    return figures


def test_plots_tell_all_representations_apart(evaluation, monkeypatch, tmp_path):
    result, _ = evaluation
    axes = drawn(monkeypatch, tmp_path, result)
    assert axes["accuracy.png"].get_title() == "svm; bars: standard deviation over the splits"
    assert axes["shares.png"].get_title() == "svm; bars: standard deviation over the splits"
    assert axes["confusion.png"].get_title().startswith("fne, svm")
    curves = {bars.get_label(): bars.lines[0] for bars in axes["accuracy.png"].containers}
    assert set(curves) == set(REPRESENTATIONS)
    assert len({curve.get_color() for curve in curves.values()}) == 15
    assert len({curve.get_marker() for curve in curves.values()}) == 15
    assert curves["fne"].get_linestyle() == "-"
    assert all(
        curves["fne"].get_linewidth() > 2 * curve.get_linewidth() for name, curve in curves.items() if name != "fne"
    )
    dashed = {name for name, curve in curves.items() if curve.get_linestyle() == "--"}
    assert dashed == {"best layer", "last layer", "penultimate", "penultimate l2", "outputs"}


def test_plots_of_odd_class_names(monkeypatch, tmp_path):
    classes = ["$\\frac$", "1 $", os.fsdecode(b"n\xff"), "ä_{"]
    result = Evaluation(classes, [Score("fne", "svm", 1, 0, 1.0)], {}, np.eye(4, dtype=np.int64), {})
    axes = drawn(monkeypatch, tmp_path, result)["confusion.png"]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == [r"\$\frac\$", r"1 \$", r"n\xff", "ä_{"]
    assert json.loads((tmp_path / "evaluation.json").read_text())["classes"] == classes


def test_classes_whose_names_are_not_utf_8(tmp_path, flowers, graph):
    """From the folder to the result, and by a list the same."""
    source = tmp_path / "classes"
    odd = os.fsdecode(b"ro\xffse$")
    shutil.copytree(flowers, source)
    (source / "rose").rename(source / odd)
    options = {"images_per_class": 4, "seeds": 2, "representations": "fne", "size": (48, 64)}
    result = fne.evaluate(source, graph, tmp_path / "e", **options)
    assert result.classes == ["daisy", "iris", odd] and result.facts["failed"] == 1
    names, labels, classes = data_set(source)[:3]
    listed = source / "list.txt"
    lines = [f"{name}\t{classes[label]}\n" for name, label in zip(names, labels, strict=True)]
    listed.write_bytes(os.fsencode("".join(lines)))
    again = fne.evaluate(listed, graph, tmp_path / "f", **options)
    assert again.scores == result.scores and again.classes == result.classes and again.facts["failed"] == 1


def test_plots_of_an_earlier_run_go(evaluation, tmp_path):
    result, _ = evaluation
    result.save(tmp_path)
    (tmp_path / "mine.png").write_bytes(b"")
    some = [score for score in result.scores if score.representation == "l2"]
    Evaluation(result.classes, some, {}, np.zeros_like(result.confusion), {}).save(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"evaluation.json", "accuracy.png", "mine.png"}


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
    assert (saved["lower"], saved["upper"]) == ([-1, -0.5, -0.25, -0.1, 0], [0, 0.15, 0.3, 0.5, 1])
    paper = saved["accuracy"][saved["lower"].index(-0.25)][saved["upper"].index(0.15)]
    assert out.count("[") == 1 and f"[{paper:.3f}]" in out and 0.3 < paper <= 1
    assert fne.read_image(tmp_path / "e/thresholds.png").shape[0] > 300
    assert "fne, knn" in out and "outputs, knn" in out and "within 0.01 of one of the paper's thresholds" in out
    command = ["evaluate", str(flowers), str(graph), str(tmp_path / "e"), "--size", "48x64", "--quiet"]
    assert main([*command, "--images", "12"]) == 1
    assert "the smallest class, 'daisy', has 12 images" in capsys.readouterr().err
    assert main([*command, "--lower", "0.5"]) == 1
    assert "lower is 0.5 and upper is 0.15" in capsys.readouterr().err
    some = ["--images", "4", "--seeds", "1", "--representation", "fne last 75%"]
    assert main([*command, *some, "--lower", "-1", "--upper", "0.5"]) == 0
    assert json.loads((tmp_path / "e/evaluation.json").read_text())["facts"]["thresholds"] == [-1, 0.5]
    for wrong in (["--representation", "best"], ["--images", "some"]):
        with pytest.raises(SystemExit) as raised:
            main([*command, *wrong])
        assert raised.value.code == 2
    assert "'some'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    documented = " ".join(fne.evaluate.__doc__.split())
    for table in (REPRESENTATIONS, CLASSIFIERS, VOTES, PROTOCOLS):
        for name, row in table.items():
            described = f'"{name}": {row.text}'
            assert described in text and described in documented


def test_the_command_checks_thresholds_first(tmp_path, flowers, capsys):
    source = tmp_path / "classes"
    shutil.copytree(flowers, source)
    for number in range(2):
        (source / "rose" / f"{number:02d}.png").unlink()
    assert main(["evaluate", str(source), "no network is opened", str(tmp_path / "e"), "--thresholds"]) == 1
    assert (
        "--thresholds trains with 10 images per class and needs one more for the test; 'rose' has 10"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "e").exists()


def test_a_network_without_layers_before_its_outputs(tmp_path, flowers):
    """A softmax regression on pixels: its only layer is the classifier."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        fed = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], name="input")
        weights = tf.constant(np.ones((192, 3), np.float32))
        tf.nn.softmax(tf.matmul(tf.reshape(fed, [-1, 192]), weights))
    with pytest.raises(fne.UnknownTensorError, match="nothing to embed"):
        fne.evaluate(flowers, graph.as_graph_def(), tmp_path / "out", images_per_class=2, seeds=1)
    assert not (tmp_path / "out").exists()
