"""fne.evaluate_retrieval and `fne evaluate --task retrieval`, against scikit-learn and plain loops."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from scipy.stats import ttest_rel
from sklearn.metrics import average_precision_score

import fne
from fne._command import main
from fne._evaluation.retrieval import MEASURES, SEARCHED, measures, similarities


@pytest.fixture(scope="module")
def flowers(tmp_path_factory, photographs):
    """Two classes of 14 tiles, and a class of one."""
    folder = tmp_path_factory.mktemp("classes")
    random = np.random.default_rng(4)
    for label, (name, count) in enumerate({"daisy": 14, "iris": 14, "rose": 1}.items()):
        (folder / name).mkdir()
        for number in range(count):
            image = fne.read_image(photographs[3 * (2 * label + number % 2)])
            top, left = random.integers(0, image.shape[0] - 80), random.integers(0, image.shape[1] - 90)
            cv2.imwrite(str(folder / name / f"{number:02d}.png"), image[top : top + 80, left : left + 90, ::-1])
    return folder


LABELS = np.repeat([0, 1, 2], [14, 14, 1])


@pytest.fixture(scope="module")
def retrieval(tmp_path_factory, flowers, graph):
    output = tmp_path_factory.mktemp("out") / "evaluation"
    return fne.evaluate_retrieval(flowers, graph, output, size=(48, 64)), output


def by_loops(scores, labels):
    """R@1, P@10 and AP of each query; neighbours by falling score, then by number."""
    found = []
    for query in range(len(labels)):
        others = [i for i in range(len(labels)) if i != query]
        others.sort(key=lambda i: (-scores[query, i], i))
        alike = np.array([labels[i] == labels[query] for i in others])
        if alike.any():
            ten = min(10, len(others))
            places = np.flatnonzero(alike) + 1
            found.append((alike[0], alike[:ten].sum() / ten, np.mean(np.arange(1, len(places) + 1) / places)))
    return np.array(found, dtype=float).T


@pytest.mark.parametrize("images, classes", [(60, 5), (7, 3), (300, 40)])
def test_measures_are_those_of_plain_loops(images, classes):
    random = np.random.default_rng(images)
    labels = random.integers(0, classes, images)
    scores = random.integers(0, 30, (images, images)).astype(float)  # with ties
    np.testing.assert_allclose(measures(scores, labels), by_loops(scores, labels), atol=1e-12)


def test_the_average_precision_is_scikit_learns():
    random = np.random.default_rng(6)
    labels, scores = random.integers(0, 4, 50), random.normal(size=(50, 50))
    expected = [average_precision_score(np.delete(labels, i) == labels[i], np.delete(scores[i], i)) for i in range(50)]
    np.testing.assert_allclose(measures(scores, labels).average, expected, atol=1e-12)


def test_the_whole_way(retrieval, graph):
    """By NumPy on the job's features: the codes' and the penultimate's cosines, plain and centred."""
    result, output = retrieval
    job = fne.Job(output / "job")
    rows = np.asarray(job.features())
    default = job.columns([tensor.name for tensor in fne.Model(graph).layers()])
    (read,) = [tensor.name for tensor in fne.Model(graph).tensors() if tensor.is_penultimate]
    z = StandardScalerRows(rows)
    for name, x in {"fne": z.codes[:, default], "penultimate l2": rows[:, job.columns(read)]}.items():
        x = x.astype(np.float64)
        for metric in ("cosine", "centred", "expanded"):
            y = x - x.mean(0) if metric != "cosine" else x
            if name == "penultimate l2" and metric != "cosine":
                y = x / np.linalg.norm(x, axis=1, keepdims=True)
                y = y - y.mean(0)
            y = y / np.linalg.norm(y, axis=1, keepdims=True)
            cosines = y @ y.T
            if metric == "expanded":
                near = np.argsort(-cosines + 9 * np.eye(len(y)), axis=1, kind="stable")[:, :2]
                longer = y + np.einsum("nk,nkf->nf", np.maximum(np.take_along_axis(cosines, near, 1), 0), y[near])
                cosines = longer @ y.T / np.linalg.norm(longer, axis=1, keepdims=True)
            expected = by_loops(cosines, LABELS)
            np.testing.assert_allclose(result.values[name, metric], expected, atol=1e-9)
            row = next(r for r in result.summary() if (r["representation"], r["metric"]) == (name, metric))
            for measure, values in zip(MEASURES, expected, strict=True):
                assert row[measure]["mean"] == pytest.approx(values.mean())
                assert row[measure]["error"] == pytest.approx(values.std(ddof=1) / np.sqrt(28))
    assert result.facts["queries"] == 28 and result.facts["images"] == 29
    assert set(result.values) == {(name, metric) for name in SEARCHED for metric in ("cosine", "centred", "expanded")}


class StandardScalerRows:
    """Codes by NumPy, of all rows' mean and deviation."""

    def __init__(self, rows):
        wide = rows.astype(np.float64)
        std = wide.std(0)
        z = np.where(std > 0, (wide - wide.mean(0)) / np.where(std > 0, std, 1), 0)
        self.codes = (z > 0.15).astype(int) - (z < -0.25)


def test_differences_and_files(retrieval):
    result, output = retrieval
    reference = result.values["fne", "cosine"]
    for row in result.differences():
        own = result.values[row["representation"], row["metric"]]
        for measure, values, base in zip(MEASURES, own, reference, strict=True):
            found = row[measure]
            assert found["mean"] == pytest.approx(np.mean(values - base))
            if found["error"]:
                test = ttest_rel(values, base)
                assert found["mean"] / found["error"] == pytest.approx(test.statistic)
                assert found["verdict"] == (
                    "level" if test.pvalue > 0.05 else "ahead" if test.statistic > 0 else "behind"
                )
            else:
                assert found["verdict"] == "level"
    saved = json.loads((output / "retrieval.json").read_text())
    assert saved["summary"] == result.summary() and saved["differences"] == result.differences()
    assert saved["measures"] == MEASURES
    with pytest.raises(fne.InvalidArgumentError, match="fne, dot was not measured"):
        result.differences(("fne", "dot"))


def test_centring_takes_away_what_all_rows_share():
    rows = np.random.default_rng(1).normal(size=(20, 8)) + 50
    y = rows - rows.mean(0)
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    np.testing.assert_allclose(similarities(rows, "centred"), y @ y.T, atol=1e-12)
    assert similarities(rows, "cosine").min() > 0.99
    same = similarities(np.full((3, 4), 2, np.int8), "centred")
    np.testing.assert_array_equal(same, np.zeros((3, 3)))  # rows that are the mean are like nothing


def test_the_command(tmp_path, flowers, graph, capsys):
    command = ["evaluate", str(flowers), str(graph), str(tmp_path / "e"), "--size", "48x64", "--quiet"]
    some = ["--representation", "fne", "--representation", "penultimate", "--metric", "centred", "--metric", "cosine"]
    assert main([*command, "--task", "retrieval", *some]) == 0
    out = capsys.readouterr().out
    saved = json.loads((tmp_path / "e/retrieval.json").read_text())
    row = next(r for r in saved["summary"] if (r["representation"], r["metric"]) == ("penultimate", "centred"))
    assert f"{row['mAP']['mean']:.3f} ± {row['mAP']['error']:.3f}" in out and "mAP minus fne, cosine" in out
    assert main([*command, "--task", "retrieval", *some[2:], "--reference", "penultimate"]) == 0
    assert "mAP minus penultimate, cosine" in capsys.readouterr().out
    for option in (["--images", "4"], ["--seeds", "2"], ["--classifier", "svm"], ["--thresholds"]):
        assert main([*command, "--task", "retrieval", *option]) == 1
        assert f"{option[0]} belongs to --task classify" in capsys.readouterr().err
    assert main([*command, "--metric", "centred"]) == 1
    assert "--metric belongs to --task retrieval" in capsys.readouterr().err
    assert main([*command, "--task", "retrieval", "--crops", "10"]) == 1
    assert "crops is 10; a search takes one row per image" in capsys.readouterr().err


def test_what_cannot_be_measured(tmp_path, flowers, graph):
    for options, message in (
        ({"representations": "best layer"}, "'best layer' in representations is none of"),
        ({"metrics": "dot"}, "'dot' in metrics is none of 'cosine'"),
        ({"lower": 1.0}, "lower is 1.0"),
    ):
        with pytest.raises(fne.InvalidArgumentError, match=message):
            fne.evaluate_retrieval(flowers, "no network is opened", tmp_path / "e", **options)
    images = sorted(flowers.glob("*/00.png"))
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{path}\t{number}\n" for number, path in enumerate(images)))
    with pytest.raises(fne.InvalidArgumentError, match="no class has two images"):
        fne.evaluate_retrieval(listed, "no network is opened", tmp_path / "e")
