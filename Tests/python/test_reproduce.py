"""Benchmarks/reproduce.py: its data sets, its arithmetic against NumPy and SciPy, and its tables on a tiny set."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from scipy.stats import ttest_1samp, ttest_rel

import fne

sys.path.insert(0, str(ROOT / "Benchmarks"))

import comparing
import measuring
import picture_sets
import reproduce


def test_digits(tmp_path):
    from sklearn.datasets import load_digits

    picture_sets.digits(tmp_path / "digits", 2)
    known = load_digits()
    for label in range(10):
        numbers = np.flatnonzero(known.target == label)[:2]
        files = sorted((tmp_path / "digits" / str(label)).iterdir(), key=lambda path: int(path.stem))
        assert [path.name for path in files] == [f"{number}.png" for number in numbers]
        for number, path in zip(numbers, files, strict=True):
            pixels = np.asarray(Image.open(path), float)
            assert pixels.shape == (96, 96)
            small = pixels.reshape(8, 12, 8, 12).mean((1, 3)) / 255 * 16
            assert np.corrcoef(small.ravel(), known.images[number].ravel())[0, 1] > 0.97
    (tmp_path / "digits/0/0.png").unlink()
    picture_sets.digits(tmp_path / "digits", 2)
    assert not (tmp_path / "digits/0/0.png").exists(), "a folder that is there stays as it is"


def test_letters(tmp_path):
    fonts = Path(matplotlib.get_data_path()) / "fonts/ttf"
    given = {"sans": fonts / "DejaVuSans.ttf", "mono": fonts / "DejaVuSansMono.ttf"}
    picture_sets.letters(tmp_path / "letters", given, "IOW")
    ink = {}
    for path in sorted((tmp_path / "letters").rglob("*.png")):
        rows, columns = np.nonzero(np.asarray(Image.open(path)) < 128)
        ink[f"{path.parent.name}/{path.stem}"] = len(rows)
        for places in (rows, columns):  # in the middle, with nothing cut off
            assert places.min() > 2 and places.max() < 93
            assert abs(places.min() + places.max() - 95) <= 2
    assert sorted(ink) == [f"{letter}/{name}" for letter in "IOW" for name in ("mono", "sans")]
    assert ink["W/sans"] > ink["O/sans"] > ink["I/sans"]


def test_stamps(tmp_path):
    """Transparent pixels become white, large pictures small, and folders below a class belong to it."""
    pixels = np.zeros((40, 600, 4), np.uint8)
    pixels[:, :300] = 200, 10, 20, 255
    for name in ("birds/a.png", "birds/cartoon/a.png", "roadsigns/b.png", "other/c.png"):
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    (tmp_path / "source/birds/a.svg").write_text("<svg/>")
    picture_sets.stamps(tmp_path / "out", tmp_path / "source", {"bird": "birds", "sign": "roadsigns"})
    found = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert found == ["bird/a.png", "bird/cartoon-a.png", "sign/b.png"]
    made = np.asarray(Image.open(tmp_path / "out/bird/a.png"))
    assert made.shape == (17, 256, 3)
    assert made[8, 10].tolist() == [200, 10, 20] and made[8, -10].tolist() == [255, 255, 255]


def test_debian_files(tmp_path):
    """Packages are unpacked without being installed, and fetched once. A stand-in for apt-get hands out the file."""
    tree = tmp_path / "tree"
    for name, text in (
        ("DEBIAN/control", "Package: small\nVersion: 1\nArchitecture: all\nMaintainer: a\nDescription: b\n"),
        ("usr/share/small/file", "content"),
    ):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    tools = tmp_path / "tools"
    tools.mkdir()
    subprocess.run(["dpkg-deb", "--build", tree, tools / "small_1_all.deb"], check=True, capture_output=True)
    fetch = tools / "apt-get"
    fetch.write_text(f'#!/bin/sh\nfor last; do :; done\n[ "$last" = small ] && cp {tools}/small_1_all.deb .\n')
    fetch.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}

    def run(*packages):
        command = [ROOT / "scripts/debian-files", tmp_path / "out", *packages]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    assert run("small").returncode == 0
    assert (tmp_path / "out/small/usr/share/small/file").read_text() == "content"
    fetch.unlink()
    shutil.copy("/bin/false", fetch)
    assert run("small").returncode == 0
    failed = run("small", "missing")
    assert failed.returncode == 1
    assert "could not be downloaded: missing. Run: sudo apt-get update" in failed.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["small"], "nothing half done stays"


RANDOM = np.random.default_rng(5)
#: Three pairs with five splits. The second has no row "b".
PAIRS = [{"a": {"1": RANDOM.random(5)}, "b": {"1": RANDOM.random(5) + gap}} for gap in (3.0, 0.0, -3.0)]
PAIRS[1].pop("b")


def test_means_of_splits():
    found = comparing.mean_of_splits(PAIRS, "a", "1")
    table = np.array([pair["a"]["1"] for pair in PAIRS])
    assert found == pytest.approx((table.mean(), np.std(table.mean(0), ddof=1), 3))
    assert comparing.mean_of_splits(PAIRS, "b", "1").pairs == 2
    assert comparing.mean_of_splits(PAIRS, "b", "2") is None
    assert comparing.mean_of_splits([{"a": {"1": [0.5]}}], "a", "1") == (0.5, 0.0, 1)


def test_means_of_queries():
    pairs = [{"a": {"mAP": RANDOM.random(count)}} for count in (20, 7)]
    found = comparing.mean_of_queries(pairs, "a", "mAP")
    one, other = (pair["a"]["mAP"] for pair in pairs)
    error = np.sqrt(one.var(ddof=1) / 20 + other.var(ddof=1) / 7) / 2
    assert found == pytest.approx(((one.mean() + other.mean()) / 2, error, 2))


def test_gains_are_paired():
    found = comparing.gain(PAIRS, "b", "a", "1")
    gaps = [np.mean(PAIRS[pair]["b"]["1"] - PAIRS[pair]["a"]["1"]) for pair in (0, 2)]
    assert found.mean == pytest.approx(np.mean(gaps))
    assert found.error == pytest.approx(np.mean(gaps) / ttest_1samp(gaps, 0).statistic)
    verdicts = [ttest_rel(PAIRS[pair]["b"]["1"], PAIRS[pair]["a"]["1"]) for pair in (0, 2)]
    assert verdicts[0].pvalue < 0.05 and verdicts[0].statistic > 0
    assert verdicts[1].pvalue < 0.05 and verdicts[1].statistic < 0
    assert (found.ahead, found.level, found.behind) == (1, 0, 1)
    assert comparing.gain(PAIRS, "a", "a", "1")[2:] == (0, 3, 0)
    assert comparing.gain(PAIRS[:1], "b", "a", "1").error is None
    assert comparing.gain(PAIRS, "c", "a", "1") is None


def test_cells():
    assert comparing.mean_text(comparing.Mean(0.51249, 0.0101, 4)) == "0.512 ± 0.010"
    assert comparing.gain_text(comparing.Gain(0.0412, 0.0101, 8, 3, 2)) == "+0.041 ± 0.010 (8, 3, 2)"
    assert comparing.gain_text(comparing.Gain(-0.0412, None, 0, 0, 1)) == "-0.041 (0, 0, 1)"
    assert comparing.markdown(["", "x"], [["a", "1"]]) == "|  | x |\n| --- | --- |\n| a | 1 |\n"


@pytest.fixture(scope="module")
def pair(tmp_path_factory, graph):
    folder = tmp_path_factory.mktemp("reproduce")
    picture_sets.digits(folder / "digits", 4)
    data = picture_sets.DataSet("digits", "unlike", folder / "digits")
    network = measuring.Network("small", graph, {"size": (48, 64)})
    return network, data, folder, measuring.measured(network, data, folder / "pair", (1, 2), 2)


def test_a_pair_is_what_evaluate_says(pair):
    network, data, folder, found = pair
    assert (found["network"], found["set"], found["kind"]) == ("small", "digits", "unlike")
    scores = json.loads((folder / "pair/evaluation.json").read_text())["scores"]
    for classifier in ("svm", "ridge"):
        assert list(found[classifier]) == list(measuring.CLASSIFIED)
        for row, representation in measuring.CLASSIFIED.items():
            for images in (1, 2):
                asked = {"representation": representation, "classifier": classifier, "images": images}
                wanted = [score["accuracy"] for score in scores if asked.items() <= score.items()]
                assert len(wanted) == 2 and found[classifier][row][str(images)] == wanted
    search = fne.evaluate_retrieval(data.folder, network.file, folder / "pair", **network.options)
    for row, asked in measuring.SEARCHED.items():
        for name, values in zip(("R@1", "P@10", "mAP"), search.values[asked], strict=True):
            np.testing.assert_allclose(found["search"][row][name], values, atol=1e-9)
    assert measuring.COMPACT not in found["search"], "forty images are too few"


def test_a_pair_is_measured_once(pair, monkeypatch):
    network, data, folder, found = pair
    monkeypatch.setattr(fne, "Model", None)  # nothing may run
    assert measuring.measured(network, data, folder / "pair", (1, 2), 2) == found
    for other, message in (
        ((network, data, folder / "pair", (1, 2), 3), r"measured with splits \[\[1, 2\], 2\], and \[\[1, 2\], 3\]"),
        (
            (network, data._replace(folder=folder), folder / "pair", (1, 2), 2),
            "with files .*; remove it, or take another",
        ),
        ((network._replace(options={}), data, folder / "pair", (1, 2), 2), "with options {'size': .48, 64.}, and {}"),
    ):
        with pytest.raises(fne.InvalidArgumentError, match=message):
            measuring.measured(*other)


def test_the_tables(pair):
    found = pair[3]
    other = {**found, "kind": "inside", "set": "other"}
    made = {
        title: (heads, {row[0]: row[1:] for row in rows}) for title, heads, rows in reproduce.tables([found, other])
    }
    heads, rows = made["search, mAP"]
    assert heads == ["inside ImageNet's classes (1)", "unlike photographs (1)", "all (2)"]
    row = "last 25 %, centred, expanded (the default)"
    mean = np.mean(found["search"][row]["mAP"])
    assert [cell.mean for cell in rows[row]] == pytest.approx([mean] * 3)
    _, rows = made["search, mAP, minus: FNE, all layers, cosine"]
    gap = mean - np.mean(found["search"]["FNE, all layers, cosine"]["mAP"])
    assert [cell.mean for cell in rows[row]] == pytest.approx([gap] * 3)
    assert rows["FNE, all layers, cosine"] == [None] * 3 if "FNE, all layers, cosine" in rows else True
    heads, rows = made["linear SVM by images per class, unlike photographs (1)"]
    assert heads == ["1", "2"]
    assert rows["`FewShotEmbedder`"][1].mean == pytest.approx(np.mean(found["svm"]["`FewShotEmbedder`"]["2"]))
    heads, rows = made["ridge by images per class, all (2), minus: FNE, all layers"]
    gap = np.subtract(found["ridge"]["last 50 %"]["1"], found["ridge"]["FNE, all layers"]["1"]).mean()
    assert rows["last 50 %"][0].mean == pytest.approx(gap)
    _, rows = made["linear SVM of each pair"]
    assert rows["other, small, FNE, all layers"][0].mean == pytest.approx(np.mean(found["svm"]["FNE, all layers"]["1"]))


def test_the_command(tmp_path, graph, monkeypatch, capsys):
    """120 digits, and a set and a network of one's own: the tables in a file, their numbers beside it."""
    picture_sets.digits(tmp_path / "mine", 3)
    given = ["--quick", "--out", str(tmp_path / "out"), "--set", "outside", str(tmp_path / "mine")]
    monkeypatch.setattr(fne.zoo, "efficientnet_lite0", lambda: graph)
    monkeypatch.setattr(reproduce, "SIZE", (48, 64))
    monkeypatch.setattr(sys, "argv", ["reproduce.py", *given, "--network", str(graph), '{"size": [48, 64]}'])
    reproduce.main()
    shown = capsys.readouterr()
    assert shown.err.splitlines()[-1].startswith("4 of 4: network, mine, ")
    assert (tmp_path / "out/tables.md").read_text() == shown.out.removesuffix("\n")
    numbers = json.loads((tmp_path / "out/tables.json").read_text())
    assert shown.out.count("\n**") + 1 == len(numbers)
    table = next(table for table in numbers if table["title"] == "search, mAP")
    cell = table["rows"][0]["all (4)"]
    assert (
        f"| {table['rows'][0]['row']} |" in shown.out and f" {cell['mean']:.3f} ± {cell['spread']:.3f} |" in shown.out
    )
    assert set(table["rows"][0]) == {"row", "outside of them (2)", "unlike photographs (2)", "all (4)"}
    assert len(list((tmp_path / "out/pairs").glob("*/pair.json"))) == 4


def test_the_command_refuses(monkeypatch, capsys):
    for given, message in (
        (["--set", "near", "folder"], "the kind of a data set is 'near'; it must be one of inside, outside, unlike"),
        (["--network", "a.pb", "[1]"], "the options of a.pb are '[1]'; they must be an object in JSON, such as {}"),
        (["--network", "a.pb", "mean=1"], "the options of a.pb are 'mean=1'; they must be an object in JSON"),
    ):
        monkeypatch.setattr(sys, "argv", ["reproduce.py", *given])
        with pytest.raises(SystemExit):
            reproduce.main()
        assert message in capsys.readouterr().err
