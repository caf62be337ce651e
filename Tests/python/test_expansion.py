"""Expanded search, against NumPy on the rows themselves."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import fne
from fne._command import main
from fne._command.comparison import comparison
from fne._expansion import expanded_all


def clustered(rows, features, seed):
    """Ternary codes around a few centres, as those of images are. Some are equal, and one is all 0."""
    random = np.random.default_rng(seed)
    centres = random.integers(-1, 2, (7, features))
    codes = np.where(random.random((rows, features)) < 0.5, centres[random.integers(0, 7, rows)], -1)
    codes[1:2], codes[2:3] = codes[0], 0
    return codes.astype(np.int8)


def unit(codes, mean):
    rows = codes.astype(np.float64) - mean
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)


def by_numpy(base, query, count, reach):
    """All rows' scores by the query that was made longer by its nearest rows. Those out of reach are -infinity."""
    cosines = base @ query
    order = np.lexsort((np.arange(len(base)), -cosines.round(12)))
    near = order[:count]
    longer = query + np.maximum(cosines[near], 0) @ base[near]
    scores = np.full(len(base), -np.inf)
    scores[order[:reach]] = base[order[:reach]] @ longer / np.linalg.norm(longer)
    return scores


@pytest.mark.parametrize("metric", ["cosine", "centred"])
@pytest.mark.parametrize(("rows", "k", "count", "reach"), [(40, 40, 5, 40), (3, 2, 9, 3), (1500, 3, 5, 1000)])
def test_an_expanded_search(metric, rows, k, count, reach):
    codes, asked = clustered(rows, 130, 3), clustered(70, 130, 4)
    packed = fne.PackedCodes.pack(codes)
    found, scores = packed.search(fne.PackedCodes.pack(asked), k, metric=metric, expand=count)
    mean = packed.mean().astype(np.float64) if metric == "centred" else np.zeros(130)
    base = unit(codes, mean)
    assert found.shape == scores.shape == (70, k)
    for row, values, query in zip(found, scores, unit(asked, mean), strict=True):
        if not query.any():
            continue
        expected = by_numpy(base, query, count, reach)
        np.testing.assert_allclose(values, np.sort(expected)[::-1][:k], atol=1e-6)
        np.testing.assert_allclose(values, expected[row], atol=1e-6)
        assert len(set(row.tolist())) == k


def test_another_mean_and_no_query():
    codes, mean = clustered(60, 70, 5), np.full(70, -0.25, np.float32)
    packed = fne.PackedCodes.pack(codes)
    found, scores = packed.search(packed[5:6], 4, metric="centred", mean=mean, expand=3)
    expected = by_numpy(unit(codes, mean), unit(codes, mean)[5], 3, 60)
    np.testing.assert_allclose(scores[0], np.sort(expected)[::-1][:4], atol=1e-6)
    assert found[0, 0] == 5
    assert packed.search(packed[:0], 4, metric="centred", expand=3)[0].shape == (0, 4)


def test_what_cannot_be_expanded():
    packed = fne.PackedCodes.pack(clustered(9, 70, 6))
    for metric in ("dot", "hamming"):
        with pytest.raises(fne.InvalidArgumentError, match=f"expand is 2, and the metric is '{metric}'; only"):
            packed.search(packed, 1, metric=metric, expand=2)
    with pytest.raises(fne.InvalidArgumentError, match="expand is -1"):
        packed.search(packed, 1, metric="cosine", expand=-1)


@pytest.mark.parametrize("rows", [1, 3, 50])
def test_rows_that_ask_each_other(rows):
    """A row is none of its own neighbours."""
    base = unit(clustered(rows, 90, 7), -0.3)
    expected = []
    for number, row in enumerate(base):
        others = np.delete(np.arange(rows), number)
        near = others[np.argsort(-(base[others] @ row), kind="stable")][:2]
        longer = row + np.maximum(base[near] @ row, 0) @ base[near]
        expected.append(base @ longer / np.linalg.norm(longer))
    np.testing.assert_allclose(expanded_all(base @ base.T), expected, atol=1e-9)


@pytest.fixture(scope="module")
def searched(tmp_path_factory, graph, photographs):
    """A job of 60 tiles, and a picture to look for."""
    folder = tmp_path_factory.mktemp("tiles")
    random = np.random.default_rng(8)
    for number in range(61):
        image = fne.read_image(photographs[number % 12])
        top, left = random.integers(0, image.shape[0] - 80), random.integers(0, image.shape[1] - 90)
        cv2.imwrite(str(folder / f"{number:02d}.png"), image[top : top + 80, left : left + 90, ::-1])
    files = sorted(folder.iterdir())
    return fne.embed_dataset(files[:60], graph, tmp_path_factory.mktemp("job") / "job", size=(48, 64)), files[60], graph


def test_the_command_takes_the_two_nearest_along(searched, capsys):
    job, query, graph = searched
    names = comparison(job).layers
    with job.extractor(graph) as extractor:
        asked = extractor.embed([query], *job.stats).codes
    codes, asked = np.array(job.codes(layers=names)), asked[:, job.columns(names)]
    base, asked = unit(codes, codes.mean(0)), unit(asked, codes.mean(0))[0]
    for options, expected, words in [
        ([], by_numpy(base, asked, 2, 60), "; each query takes its 2 nearest along"),
        (["--expand", "0"], base @ asked, ""),
        (["--expand", "7"], by_numpy(base, asked, 7, 60), "; each query takes its 7 nearest along"),
    ]:
        assert main(["search", str(job.folder), str(query), "--model", str(graph), "-k", "9", *options]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].endswith(f"(last:25%), 60 images{words}")
        best = np.argsort(-expected, kind="stable")[:9]
        assert [float(line.split()[0]) for line in lines[2:]] == pytest.approx(expected[best].tolist(), abs=1e-4)


def test_what_the_command_does_not_expand(searched, capsys):
    job, query, graph = searched
    command = ["search", str(job.folder), str(query), "--model", str(graph)]
    assert main([*command, "--metric", "hamming", "--expand", "2"]) == 1
    assert "--expand is 2, and --metric hamming; only cosine and centred can expand" in capsys.readouterr().err
    for metric in ("cosine", "dot", "hamming"):
        assert comparison(job, metric=metric).expand == 0
