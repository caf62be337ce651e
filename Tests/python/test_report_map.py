"""The map of `fne report`: its places, neighbours and outliers, compared with NumPy, and the page in a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest
from conftest import ROOT
from threadpoolctl import threadpool_limits

import fne
from fne import PackedCodes
from fne._command import figures, main
from fne._command.comparison import Comparison, comparison
from fne._command.figures import Neighbourhood, neighbours
from fne._command.map import map_section, outliers
from fne._command.map_script import SCRIPT
from fne._command.markup import document
from fne._command.projection import Projection, principal_components, project
from fne.errors import InvalidArgumentError, NotInstalledError

HOW = Comparison(["layer"], "centred", 0, "")


def clusters(count, features, classes, spread=0.9):
    """Codes around some centres, and which centre it is."""
    random = np.random.default_rng(3)
    centres = random.standard_normal((classes, features)) * 0.45
    labels = random.integers(0, classes, count)
    codes = np.clip(np.rint(centres[labels] + spread * random.standard_normal((count, features))), -1, 1)
    return codes.astype(np.int8), labels


# ---- places


@pytest.mark.parametrize(("count", "features"), [(2500, 300), (70, 900), (12, 40)])
def test_principal_components_are_numpys(count, features):
    codes, _ = clusters(count, features, 6)
    found = principal_components(PackedCodes.pack(codes), 10)
    left, values, _ = np.linalg.svd(codes - codes.mean(0), full_matrices=False)
    assert found.shape == (count, 10)
    assert (np.diff(found.std(0)) <= 1e-6).all(), "the largest comes first"
    for axis in range(5):  # those of the five directions between six centres
        expected = left[:, axis] * values[axis]
        np.testing.assert_allclose(abs(found[:, axis] @ expected), expected @ expected, rtol=1e-3)


def share_of_own_class(places, labels):
    """Of the 10 nearest points on the map, those of the same class."""
    far = ((places[:, None] - places) ** 2).sum(2)
    np.fill_diagonal(far, np.inf)
    near = np.argsort(far, axis=1)[:, :10]
    return np.mean(labels[near] == labels[:, None])


def test_tsne_separates_what_is_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    codes, labels = clusters(300, 400, 10)
    packed = PackedCodes.pack(codes)
    with threadpool_limits(1):  # Threads that wait for each other take minutes where the machine is busy.
        best, plain = project(packed), project(packed, "pca")
    assert best.words == "t-SNE of the first 50 principal components"
    assert plain.words == "the first two principal components"
    assert share_of_own_class(best.places, labels) > 0.98
    assert share_of_own_class(plain.places, labels) < 0.9
    for projection in (best, plain):
        assert projection.places.min() == 0 and projection.places.max() == 1


def test_which_method_is_taken(monkeypatch):
    codes = PackedCodes.pack(clusters(60, 100, 3)[0])
    given = []

    class UMAP:
        def __init__(self, **options):
            assert options["n_components"] == 2

        def fit_transform(self, rows):
            given.append(rows)
            return rows[:, :2]

    fake = ModuleType("umap")
    fake.UMAP = UMAP
    monkeypatch.setitem(sys.modules, "umap", fake)
    assert project(codes).words == "UMAP of the first 50 principal components"
    np.testing.assert_allclose(np.linalg.norm(given[0], axis=1), 1, rtol=1e-5)
    assert project(codes[:49]).words.endswith("since there are fewer than 50 images")
    with pytest.raises(InvalidArgumentError, match="needs 50 images, and there are 49"):
        project(codes[:49], "umap")
    monkeypatch.setitem(sys.modules, "umap", ModuleType("umap"))  # a folder of this name
    assert project(codes).words.startswith("t-SNE")
    with pytest.raises(NotInstalledError, match="pip install umap-learn"):
        project(codes, "umap")
    monkeypatch.setattr(fne._command.projection, "_MOST_TSNE", 59)
    assert "t-SNE of more than 59 images takes long" in project(codes).words
    monkeypatch.setattr(fne._command.projection, "_MOST_TSNE", 60)
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    assert project(codes).words.endswith("since neither umap-learn nor scikit-learn is installed")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_images_and_equal_ones(count):
    codes = PackedCodes.pack(np.ones((count, 7), np.int8))
    assert (project(codes).places == 0).all() and project(codes).places.shape == (count, 2)


# ---- neighbours and outliers


@pytest.fixture(scope="module")
def folder(tmp_path_factory, photographs):
    """120 pictures in three classes, with names that are HTML and JavaScript."""
    root = tmp_path_factory.mktemp("pictures")
    for number in range(120):
        label = ["rose & <i>", "lily", "<!--<script>"][number % 3]
        (root / label).mkdir(exist_ok=True)
        tile, at = fne.read_image(photographs[number % 24]), 3 * (number // 24)
        name = f"{number:03d} ]]>'\"`${{1}}<script>alert(1)<\\script>.jpg"
        cv2.imwrite(str(root / label / name), tile[at : at + 90, at : at + 100, ::-1])
    return root


@pytest.fixture(scope="module")
def job(tmp_path_factory, graph, folder):
    return fne.embed_dataset(folder, graph, tmp_path_factory.mktemp("job") / "job", size=(48, 64))


def test_neighbours_of_many_images(monkeypatch, job):
    """Above the limit each image is alone, and above the other limit some images are taken."""
    monkeypatch.setattr(figures, "_MOST_EXPANDED", 30)
    monkeypatch.setattr(figures, "_MOST_IMAGES", 90)
    how = comparison(job)
    assert how.expand == 2
    around = neighbours(job, how, "pca")
    assert around.words.startswith("90 of the 120 images, evenly chosen; above 30 images each is alone")
    np.testing.assert_array_equal(around.images, np.linspace(0, 119, 90).astype(int))
    codes = np.array(job.codes(layers=how.layers, images=around.images)).astype(float)
    rows = codes - codes.mean(0)
    cosines = rows @ rows.T / np.linalg.norm(rows, axis=1) / np.linalg.norm(rows, axis=1)[:, None]
    np.testing.assert_allclose(np.take_along_axis(cosines, around.nearest, 1), around.scores, atol=1e-5)
    np.fill_diagonal(cosines, -np.inf)
    assert not (around.nearest == np.arange(90)[:, None]).any(), "no image is its own neighbour"
    np.testing.assert_allclose(-np.sort(-cosines, axis=1)[:, :10], around.scores, atol=1e-5)


def test_equal_images_are_not_their_own_neighbours():
    nearest, scores = figures._nearest(PackedCodes.pack(np.ones((30, 9), np.int8)), "cosine")
    assert nearest.shape == scores.shape == (30, 10) and (scores == 1).all()
    assert not (nearest == np.arange(30)[:, None]).any()


def test_outliers():
    codes, _ = clusters(200, 300, 4)
    random = np.random.default_rng(1)
    odd = [17, 60, 143]
    codes[odd] = random.integers(-1, 2, (3, 300))
    nearest, scores = figures._nearest(PackedCodes.pack(codes), "centred")
    around = Neighbourhood(np.arange(200), Projection(np.zeros((200, 2)), ""), nearest, scores, "")
    found = outliers(around, HOW)
    assert set(found[:3]) == set(odd) and len(found) == 20
    assert found == np.argsort(scores.mean(1), kind="stable")[:20].tolist()
    turned = outliers(around._replace(scores=-scores), HOW._replace(metric="hamming"))
    assert turned == found, "where more is further away"


# ---- the page


def data_of(text, name):
    return json.loads(re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', text).group(1))


def test_the_page_holds_the_map(tmp_path, job, folder):
    page = tmp_path / "r.html"
    assert main(["report", str(job.folder), "--images", str(folder), "--map", "pca", "-o", str(page)]) == 0
    text = page.read_text("utf-8")
    points = data_of(text, "points-data")
    assert points["names"] == job.names, "names come out as they are"
    around = neighbours(job, comparison(job), "pca")
    assert points["near"] == around.nearest.tolist()
    np.testing.assert_allclose(points["scores"], around.scores, atol=6e-4)
    np.testing.assert_allclose(np.c_[points["x"], points["y"]], around.projection.places * 10_000, atol=0.51)
    classes = [points["classes"][number] for number in points["class"]]
    assert classes == [name.split("/")[0] for name in job.names]
    assert len(points["pictures"]) == 120
    assert all(picture.startswith("data:image/") for picture in points["pictures"].values())
    assert "the first two principal components of their codes in 2 layers" in text
    assert text.count("<script") == text.count("</script") == 3, "two of data and one that runs"
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert scripts == [SCRIPT] and f"script-src &#x27;sha256-{digest}&#x27;" in text
    assert "alert(1)<" not in text and "<!--" not in text


def test_pictures_are_few_and_classes_may_be_none():
    count = 1200
    nearest = (np.arange(count)[:, None] + np.arange(1, 11)) % count
    around = Neighbourhood(
        np.arange(count), Projection(np.zeros((count, 2)), "x"), nearest, np.ones((count, 10)), "some words"
    )
    flat = SimpleNamespace(names=[f"{number}.jpg" for number in range(count)])
    text = map_section(flat, around, HOW, lambda image: None if image % 2 else f"data:,{image}")
    points = data_of(text, "points-data")
    assert points["classes"] == [] and set(points["class"]) == {0} and "some words" in text
    assert 200 < len(points["pictures"]) <= 500
    assert all(picture == f"data:,{place}" for place, picture in points["pictures"].items())


def test_a_method_that_is_not_there(tmp_path, job, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "umap", None)
    assert main(["report", str(job.folder), "--map", "umap", "-o", str(tmp_path / "r.html")]) == 1
    assert "--map umap needs umap-learn; install it with: pip install umap-learn" in capsys.readouterr().err


PYTHON = ROOT / ".build/site-venv/bin/python"


@pytest.mark.skipif(not (PYTHON.exists() and shutil.which("chromium")), reason="needs what `make site` installs")
def test_in_a_browser(tmp_path):
    """10,000 points with hostile names: pointing, clicking and keys work at two widths, and nothing is logged."""
    count = 10_000
    codes, labels = clusters(count, 256, 10)
    packed = PackedCodes.pack(codes)
    nearest, scores = figures._nearest(packed, "centred")
    around = Neighbourhood(np.arange(count), project(packed, "pca"), nearest, scores, "")
    names = [f"kind {label}/{number} <img src=x onerror=alert(1)>.jpg" for number, label in enumerate(labels)]
    section = map_section(SimpleNamespace(names=names), around, HOW, lambda _: None)
    page = tmp_path / "r.html"
    page.write_text(document("map", "", section, script=SCRIPT), "utf-8")
    command = [PYTHON, ROOT / "Tests/python/report_browser.py", page]
    looked = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert looked.returncode == 0, looked.stderr
    for found in json.loads(looked.stdout).values():
        assert found["faults"] == [] and not found["wide"]
        first = names.index(found["tip"][0])
        expected = [f"{names[other]}, {score:.3f}" for other, score in zip(nearest[first], scores[first], strict=True)]
        assert found["tip"][1] == expected[:5]
        assert found["opened"] == [names[first], [names[other] for other in nearest[first]]]
        assert found["neighbour"] == names[nearest[first, 0]]
        assert found["said"][0] != found["said"][1]
        assert found["said"][1].startswith(f"{found['keyed']}, kind ")
        assert sorted(found["legend"]) == sorted(f"kind {one} ({(labels == one).sum()})" for one in range(10))
        assert found["hidden"][0], "classes that are hidden are not pointed at"
        assert found["drawn_ms"] < 10_000 and found["hover_ms"] < 16
