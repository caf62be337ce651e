"""`fne layers`, `fne report` and `fne doctor`: every figure of the page is the job's."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from conftest import ROOT

import fne
from fne._command import main
from fne._command.comparison import comparison
from fne._command.figures import figures, neighbours
from fne._command.pictures import data_address


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, photographs):
    """500 small photographs, and 5 files that fail."""
    folder = tmp_path_factory.mktemp("pictures")
    tiles = [fne.read_image(path) for path in photographs]
    import cv2

    for number in range(500):
        tile = tiles[number % 24]
        top, left = 3 * (number // 24), 2 * (number // 24)
        cv2.imwrite(str(folder / f"{number:03d} <&>.jpg"), tile[top : top + 90, left : left + 100, ::-1])
    for number in range(5):
        (folder / f"broken{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes([number]))
    return folder


@pytest.fixture(scope="module", params=["int8", "packed", None])
def job(request, tmp_path_factory, graph, pictures):
    output = tmp_path_factory.mktemp("job") / "job"
    return fne.embed_dataset(pictures, graph, output, size=(48, 64), codes=request.param)


class Page(HTMLParser):
    """Tables by id, images, text, and whether all tags are closed."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, text):
        super().__init__()
        self.stack, self.tables, self.images, self.addresses, self.data, self.map = [], {}, 0, [], "", ""
        self.feed(text)
        assert not self.stack, self.stack

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        self.images += tag == "img"
        if tag not in self.VOID and tag != "rect":
            self.stack.append((tag, given.get("id")))
        if tag == "tr":
            self.current = self.tables.setdefault(next((i for t, i in reversed(self.stack) if t == "table"), None), [])
            self.current.append([])
        if tag in ("td", "th"):
            self.current[-1].append("")

    def handle_endtag(self, tag):
        if tag == "rect":
            return
        assert self.stack.pop()[0] == tag

    def handle_data(self, data):
        tags = [tag for tag, _ in self.stack]
        if "td" in tags or "th" in tags:
            self.current[-1][-1] += data
        if self.stack and self.stack[-1][1] == "figures":
            self.data += data
        if self.stack and self.stack[-1][1] == "points-data":
            self.map += data

    @property
    def pictures(self):
        """How many images the page shows, in rows and on the map."""
        return self.images + len(json.loads(self.map)["pictures"])


def test_every_figure_is_the_jobs(tmp_path, job, pictures):
    assert (
        main(["report", str(job.folder), "--images", str(pictures), "--map", "pca", "-o", str(tmp_path / "r.html")])
        == 0
    )
    text = (tmp_path / "r.html").read_text("utf-8")
    page = Page(text)
    assert all(address.startswith("data:") for address in page.addresses), "self-contained"
    facts = json.loads(page.data)
    codes = np.array(job.ternarize())[job.ok]
    assert (facts["images"], facts["embedded"], facts["failed"]) == (505, 500, 5)
    assert (
        facts["settings"]["model"] == job.manifest["settings"]["model"] and facts["engines"] == job.manifest["engines"]
    )
    constant = job.stats[1] == 0
    seen, redundant = set(), np.zeros(job.feature_count, bool)
    for column in range(job.feature_count):
        key = codes[:, column].tobytes()
        redundant[column] = key in seen and not constant[column]
        seen.add(key)
    assert facts["constant"] == constant.sum() and facts["redundant"] == redundant.sum()
    rows = page.tables["layers"][1:]
    assert len(rows) == len(job.layers)
    for layer, row, fact in zip(job.layers, rows, facts["layers"], strict=True):
        part = codes[:, layer.features]
        shares = [f"{np.mean(part == value):.2%}" for value in (-1, 0, 1)]
        assert row == [
            layer.name,
            layer.kind,
            str(part.shape[1]),
            *shares,
            str(constant[layer.features].sum()),
            str(redundant[layer.features].sum()),
        ]
        assert [fact[name] for name in ("minus", "zero", "plus")] == [
            int((part == value).sum()) for value in (-1, 0, 1)
        ]
    failures = page.tables["failures"][1:]
    assert failures == [[str(image), job.names[image], reason] for image, reason in job.failures.items()]
    overview = {row[0]: row[1] for row in page.tables[None]}
    assert overview["images"] == "505: 500 embedded, 5 failed"
    run = json.loads((job.folder / "runs.jsonl").read_text().splitlines()[-1])
    assert f"in {run['seconds']:.1f} s, 1 runs" in overview["time"]
    assert f"{run['images'] / run['seconds']:.1f} images/s" in overview["time"]
    assert page.pictures >= 500 + 24 * 6


@pytest.mark.parametrize(
    ("layers", "metric", "expand", "names"),
    [
        (None, None, None, ["swish4", "relu5"]),
        (["all"], "cosine", None, None),
        ("last:50%", "centred", 0, ["bias3", "swish4", "relu5"]),
    ],
)
def test_neighbours_and_map(job, layers, metric, expand, names):
    how = comparison(job, layers, metric, expand=expand)
    assert how.layers == (names or [layer.name for layer in job.layers])
    assert how.metric == (metric or "centred"), "500 images have a mean"
    numbers, (places, words), nearest, scores, left_out = neighbours(job, how, "pca")
    assert (words, left_out) == ("the first two principal components", "")
    codes = np.array(job.ternarize(images=numbers, layers=how.layers)).astype(np.float64)
    np.testing.assert_array_equal(numbers, np.flatnonzero(job.ok))
    rows = codes - codes.mean(0) if how.metric == "centred" else codes
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    expected = unit @ unit.T
    if metric is None:  # each image takes the two nearest others along
        others = expected - 9 * np.eye(len(unit))
        near = np.argsort(-others, axis=1, kind="stable")[:, :2]
        weights = np.maximum(np.take_along_axis(others, near, 1), 0)
        longer = unit + np.einsum("nk,nkf->nf", weights, unit[near])
        expected = longer @ unit.T / np.linalg.norm(longer, axis=1, keepdims=True)
    assert how.expand == (2 if metric is None else 0)
    np.testing.assert_allclose(scores, np.take_along_axis(expected, nearest, 1), atol=1e-5)
    np.fill_diagonal(expected, -np.inf)
    np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :10], atol=1e-5)
    from sklearn.decomposition import PCA

    expected = PCA(2).fit_transform(codes)
    for axis in range(2):
        correlation = np.corrcoef(places[:, axis], expected[:, axis])[0, 1]
        assert abs(correlation) > 0.9999
    assert places.min() == 0 and places.max() == 1


def test_the_page_says_how_it_compares(tmp_path, job, capsys):
    for arguments, words in [
        (
            [],
            "by the cosine of the codes less their mean of 2 of 5 layers (last:25%), 500 images; "
            "each query takes its 2 nearest along",
        ),
        (["--layers", "all", "--metric", "cosine"], "by the cosine of the codes of 5 of 5 layers (all), 500 images"),
    ]:
        assert main(["report", str(job.folder), "-o", str(tmp_path / "r.html"), "--map", "pca", *arguments]) == 0
        assert words in (tmp_path / "r.html").read_text("utf-8")
    assert main(["report", str(job.folder), "-o", str(tmp_path / "r.html"), "--layers", "penultimate"]) == 1
    assert "The network knows it" in capsys.readouterr().err


def test_where_the_pictures_are(tmp_path, job, pictures, monkeypatch):
    """They are where they were when the job ran, unless an option says otherwise."""
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(job.folder), "-o", "r.html", "--map", "pca"]) == 0
    assert Page((tmp_path / "r.html").read_text("utf-8")).pictures >= 500 + 24 * 6
    assert main(["report", str(job.folder), "-o", "r.html", "--map", "pca", "--images", "."]) == 0
    assert Page((tmp_path / "r.html").read_text("utf-8")).pictures == 0


def test_thumbnails_without_pillow(monkeypatch):
    import base64
    import io

    import PIL.Image

    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    pixels = np.random.default_rng(1).integers(0, 256, (100, 80, 3), dtype=np.uint8)
    address = data_address(pixels, 80)
    monkeypatch.undo()
    assert address.startswith("data:image/png")
    picture = np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))))
    np.testing.assert_array_equal(
        picture, fne.resize(np.ascontiguousarray(pixels[10:90]), (80, 80), interpolation="antialiased")
    )


def test_a_job_that_is_not_finished(tmp_path, graph, pictures, capsys):
    def stop(phase, done, total):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        fne.embed_dataset(pictures, graph, tmp_path / "job", size=(48, 64), progress=stop)
    assert main(["report", str(tmp_path / "job"), "-o", str(tmp_path / "r.html")]) == 1
    assert "is not finished: 0 of 505 images are done" in capsys.readouterr().err


def test_figures_of_given_statistics(tmp_path, graph, pictures):
    training = fne.embed_dataset(pictures, graph, tmp_path / "train", size=(48, 64)).statistics()
    job = fne.embed_dataset(pictures, graph, tmp_path / "job", size=(48, 64), statistics=training, keep_features=False)
    facts = figures(job)
    codes = np.array(job.codes())[job.ok]
    assert facts["constant"] == int((codes == codes[0]).all(0).sum())
    assert sum(layer["minus"] + layer["zero"] + layer["plus"] for layer in facts["layers"]) == codes.size


# ---- layers, doctor


def test_layers(capsys, graph):
    assert main(["layers", str(graph)]) == 0
    lines = capsys.readouterr().out.splitlines()
    layers = fne.Model(graph).layers()
    assert lines[-2] == f"{len(layers)} default layers, {sum(layer.channels for layer in layers)} features"
    assert lines[-1] == "reads images of 48 x 64 pixels, three channels: input"
    assert lines[1].split() == ["relu1", "convolution", "[n,", "24,", "32,", "24]", "24", "yes"]
    assert [line.split()[0] for line in lines[1:-2]] == [*(layer.name for layer in layers), "scores"]
    assert lines[-3].endswith("classifier")
    main(["layers", str(graph), "relu*"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:-2]] == ["relu1", "relu2", "relu5"]
    main(["layers", str(graph), "*pool", "--all"])
    assert "pool" in capsys.readouterr().out
    assert main(["layers", str(graph), "nothing"]) == 1
    err = capsys.readouterr().err
    assert "no layer 'nothing'" in err and "--all lists every tensor" in err


def test_doctor(tmp_path):
    command = [sys.executable, "-m", "fne", "doctor"]
    well = subprocess.run(command, capture_output=True, text=True)
    assert re.search(r"^  TensorFlow +2\.\d+\.\d+ from /", well.stdout, re.MULTILINE), well.stdout
    assert re.search(r"^  ONNX Runtime 1\.\d+\.\d+ from /", well.stdout, re.MULTILINE), well.stdout
    for engine in ("TensorFlow", "ONNX Runtime"):
        assert re.search(rf"^  a network +runs on {engine}$", well.stdout, re.MULTILINE)
    import os

    environment = dict(os.environ, FNE_TENSORFLOW="/nowhere", FNE_ONNXRUNTIME="/nowhere", FNE_CACHE="/etc/hostname/fne")
    ill = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ill.returncode == 1 and "Traceback" not in ill.stderr
    assert re.search(r"^! TensorFlow +cannot be loaded.*\n +-> pip install", ill.stdout, re.MULTILINE), ill.stdout
    assert re.search(r"^! ONNX Runtime cannot be .*\n +-> pip install fne\[onnx\]", ill.stdout, re.MULTILINE), (
        ill.stdout
    )
    assert re.search(r"^! cache +/etc/hostname/fne cannot be written to\n +-> set FNE_CACHE", ill.stdout, re.MULTILINE)


def test_the_command_is_on_the_path():
    assert shutil.which("fne", path=str(ROOT / ".venv/bin"))
