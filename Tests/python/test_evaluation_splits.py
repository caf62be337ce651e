"""Evaluation of data sets with folders for the training and for the test; and evaluations that are stopped."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC

import fne
from fne._command import main
from fne._evaluation.classifiers import Kernel
from fne._evaluation.dataset import data_set
from fne._evaluation.protocol import splits
from fne._evaluation.representations import Representations, Roles
from fne._progress import EvaluationProgressLine, JobProgressLine

CLASSES = ("daisy", "iris", "rose")


@pytest.fixture(scope="module")
def tiles(photographs):
    """Fourteen tiles of each class, as pixels in the order of OpenCV."""
    random = np.random.default_rng(8)
    found = {}
    for label, name in enumerate(CLASSES):
        found[name] = []
        for number in range(14):
            image = fne.read_image(photographs[3 * (2 * label + number % 2)])
            top, left = random.integers(0, image.shape[0] - 80), random.integers(0, image.shape[1] - 90)
            found[name].append(np.ascontiguousarray(image[top : top + 80, left : left + 90, ::-1]))
    return found


def write(tiles, folder, numbers, classes=CLASSES):
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in numbers:
            cv2.imwrite(str(folder / name / f"{number:02d}.png"), tiles[name][number])


@pytest.fixture(scope="module")
def split_folder(tmp_path_factory, tiles):
    folder = tmp_path_factory.mktemp("split") / "flowers"
    write(tiles, folder / "train", range(9))
    write(tiles, folder / "val", range(9, 14))
    return folder


def touched(root, names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


# ---- what is a split


@pytest.mark.parametrize(
    "training, test", [("train", "val"), ("Training", "TEST"), ("train", "valid"), ("train", "validation")]
)
def test_splits_are_recognized(tmp_path, training, test):
    names = [f"{training}/{label}/{n}.png" for label in "ab" for n in range(3)] + [
        f"{test}/b/0.png",
        f"{test}/a/x/1.png",
    ]
    found = data_set(touched(tmp_path, names))
    assert found.classes == ["a", "b"] and sorted(found.names) == sorted(names) and found.root == tmp_path
    assert [name for name, test_image in zip(found.names, found.is_test, strict=True) if test_image] == sorted(
        names[-2:]
    )
    assert [found.classes[label] for label in found.labels] == [name.split("/")[1] for name in found.names]
    assert found.described() == [
        "2 classes, 8 images: a 4, b 4",
        f"the folders are a split: 6 images of '{training}' are for the training, 2 of '{test}' for the test",
    ]
    assert data_set(tmp_path, "none").classes == sorted([training, test])


@pytest.mark.parametrize(
    "names",
    [
        ["train/a/1.png", "train/b/1.png", "val/a/1.png", "other/a/1.png"],  # a third class
        ["train/1.png", "train/2.png", "val/1.png", "val/2.png"],  # trains, and valleys
        ["train/a/1.png", "val/a/1.png"],  # one class each
        ["train/a/1.png", "train/b/1.png", "training/a/1.png", "training/b/1.png", "val/a/1.png"],
        ["test/a/1.png", "val/a/1.png", "val/b/1.png"],
    ],
)
def test_what_is_no_split(tmp_path, names):
    found = data_set(touched(tmp_path, names))
    assert found.is_test is None and found.classes == sorted({name.split("/")[0] for name in names})


def test_what_is_left_out_is_said(tmp_path):
    names = [f"train/{label}/1.png" for label in "abc"] + ["val/a/1.png", "val/b/2.png", "test/a/9.png", "test/b/9.png"]
    names += ["train/loose.png", "readme.png"]
    assert data_set(touched(tmp_path, names)).described() == [
        "3 classes, 5 images: a 2, b 2, c 1",
        "the folders are a split: 3 images of 'train' are for the training, 2 of 'test' for the test",
        "warning: 'test' has no images of 'c', which are not tested",
        "warning: 1 images beside these folders are left out",
        "warning: 1 images of 'train' in no class's folder are left out",
        "warning: 2 images of 'val' are left out",
    ]
    (tmp_path / "test/d").mkdir()
    (tmp_path / "test/d/1.png").write_bytes(b"")
    with pytest.raises(fne.InvalidArgumentError, match=r"train' has no images of 'd', which 'test' has.*split 'none'"):
        data_set(tmp_path)


def test_folders_inside_of_a_class_are_warned_of(tmp_path):
    names = ["a/1.png", "a/x/2.png", "a/y/deep/3.png", "b/4.png", "5.png"]
    assert data_set(touched(tmp_path, names)).described() == [
        "2 classes, 4 images: a 3, b 1",
        "warning: 1 images lie beside the folders of the classes, and are left out",
        "warning: 2 images of the class 'a' lie in folders inside of it, such as 'x', and count as 'a'",
    ]


def test_many_classes_are_counted(tmp_path):
    names = [f"{label:02d}/{number}.png" for label in range(13) for number in range(2 + (label == 4) - (label == 7))]
    assert data_set(touched(tmp_path, names)).described() == ["13 classes, 26 images: from 1 ('07') to 3 ('04')"]


def test_the_test_images_are_never_trained_on():
    labels = np.repeat([0, 1], [10, 8])
    is_test = np.zeros(18, bool)
    is_test[[0, 3, 12]] = True
    for images, count in ((1, 2), (7, 14), ("all", 15)):
        training, test = splits(labels, images, 3, is_test=is_test)
        assert len(training) == count and not is_test[training].any() and sorted(test) == [0, 3, 12]
    assert splits(labels, 8, 3, is_test=is_test) is None, "the second class has 7 for the training"
    few, more = (set(splits(labels, images, 3, is_test=is_test)[0]) for images in (2, 5))
    assert few < more


# ---- the evaluation of a split


def test_a_split_is_trained_on_the_one_and_tested_on_the_other(tmp_path, split_folder, graph):
    result = fne.evaluate(
        split_folder,
        graph,
        tmp_path / "e",
        images_per_class=(3, "all", 10),
        seeds=2,
        representations="fne",
        classifiers="svm unscaled",
        size=(48, 64),
    )
    facts = result.facts
    assert facts["skipped"] == [10] and facts["smallest class"] == {"name": "daisy", "images": 9}
    assert facts["images"] == 42 and facts["test images of the data set's split"] == 15 and facts["complete"]
    # By scikit-learn, on the codes by the statistics of the folder train.
    job = fne.Job(tmp_path / "e/job")
    layers = [tensor.name for tensor in fne.Model(graph).layers()]
    is_train = np.array([name.startswith("train/") for name in job.names])
    labels = np.array([CLASSES.index(name.split("/")[1]) for name in job.names])
    codes = job.ternarize(job.statistics(is_train), layers=layers)
    svm = OneVsRestClassifier(SVC(kernel="linear", C=1)).fit(codes[is_train].astype(float), labels[is_train])
    predicted = svm.predict(codes[~is_train].astype(float))
    expected = np.mean([np.mean(predicted[labels[~is_train] == label] == label) for label in range(3)])
    of_all = [score for score in result.scores if score.images == "all"]
    assert len(of_all) == 1 and of_all[0].accuracy == expected, "one split, whatever the seeds"
    assert len([score for score in result.scores if score.images == 3]) == 2
    with pytest.raises(fne.InvalidArgumentError, match="the smallest class, 'daisy', has 9 images for the training"):
        fne.evaluate(split_folder, graph, tmp_path / "f", images_per_class=10, size=(48, 64))
    with pytest.raises(fne.InvalidArgumentError, match="split is 'both'; it must be one of 'auto', 'none'"):
        fne.evaluate(split_folder, graph, tmp_path / "f", split="both", size=(48, 64))
    assert not (tmp_path / "f").exists()


def test_the_command_says_what_it_found_first(tmp_path, split_folder, graph, capsys):
    command = ["evaluate", str(split_folder), str(graph), str(tmp_path / "e"), "--size", "48x64", "--quiet"]
    few = ["--images", "4", "--seeds", "2", "--representation", "fne", "--classifier", "knn"]
    assert main([*command, *few]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == [
        "3 classes, 42 images: daisy 14, iris 14, rose 14",
        "the folders are a split: 27 images of 'train' are for the training, 15 of 'val' for the test",
    ]
    # Two folders as classes, as it was before: chance.
    assert main([*command[:3], str(tmp_path / "n"), *command[4:], *few, "--split", "none"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "2 classes, 42 images: train 27, val 15" and "such as 'daisy'" in out[1]
    assert main([*command, "--task", "retrieval", "--representation", "fne", "--metric", "cosine"]) == 0
    saved = json.loads((tmp_path / "e/retrieval.json").read_text())
    assert saved["facts"]["classes"] == 3 and saved["facts"]["queries"] == 42
    assert main(["evaluate", str(split_folder), "no network is opened", str(tmp_path / "t"), "--thresholds"]) == 1
    assert "--thresholds trains with 10 images per class; 'daisy' has 9" in capsys.readouterr().err


def test_thresholds_of_a_split(tmp_path, split_folder, graph):
    found = data_set(split_folder)
    job = fne.embed_dataset(found.names, graph, tmp_path / "job", root=split_folder, size=(48, 64), codes=None)
    grid, _ = fne.threshold_study(
        job, found.labels, lowers=(-0.5,), uppers=(0.15,), images=9, seeds=2, is_test=found.is_test
    )
    codes = job.ternarize(job.statistics(~found.is_test), lower=-0.5, upper=0.15)
    data = Representations(job, found.labels, Roles([0], [], []))
    accuracies = []
    for seed in range(2):  # the seed orders the images, and with that the folds
        training, test = splits(found.labels, 9, seed, is_test=found.is_test)
        assert sorted(training) == list(np.flatnonzero(~found.is_test))
        predicted, truth = data.kernel(codes, training, test).predict("svm"), found.labels[test]
        accuracies += [np.mean(predicted[truth == label] == label) for label in range(3)]
    assert grid[0, 0] == pytest.approx(np.mean(accuracies))
    with pytest.raises(fne.InvalidArgumentError, match=r"is_test has shape \(3,\); the labels have \(42,\)"):
        fne.threshold_study(job, found.labels, is_test=[True, False, True])


# ---- evaluations that are stopped


OPTIONS = {"images_per_class": (1, 3), "seeds": 2, "classifiers": ("svm", "knn"), "size": (48, 64)}
WANTED = ("fne", "best layer", "outputs")


def counting(monkeypatch, stop_at=None):
    """Counts predictions, and stops at one of them as Ctrl-C does."""
    calls = []
    predict = Kernel.predict

    def counted(self, *arguments):
        calls.append(arguments)
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        return predict(self, *arguments)

    monkeypatch.setattr(Kernel, "predict", counted)
    return calls


def contents(folder):
    return json.loads((folder / "evaluation.json").read_text())


def test_an_evaluation_goes_on_from_where_it_was_stopped(tmp_path, split_folder, graph, monkeypatch):
    whole = fne.evaluate(split_folder, graph, tmp_path / "whole", representations=WANTED, **OPTIONS)
    with monkeypatch.context() as patched:
        calls = counting(patched)
        fne.evaluate(split_folder, graph, tmp_path / "whole", representations=WANTED, **OPTIONS)
        assert not calls, "nothing is measured twice"
    stopped = tmp_path / "stopped"
    for stop_at in (5, 3):
        with monkeypatch.context() as patched:
            counting(patched, stop_at)
            with pytest.raises(KeyboardInterrupt):
                fne.evaluate(split_folder, graph, stopped, representations=WANTED, **OPTIONS)
    saved = contents(stopped)
    assert len(saved["scores"]) == 6 and saved["facts"]["complete"] is False
    assert [tuple(score.values()) for score in saved["scores"]] == [tuple(score) for score in whole.scores[:6]]
    with open(stopped / "scores.jsonl", "ab") as file:
        file.write(b'{"representation": "f')  # a kill in the middle of a write
    with monkeypatch.context() as patched:
        calls = counting(patched)
        again = fne.evaluate(split_folder, graph, stopped, representations=WANTED, **OPTIONS)
    assert len(calls) == len(whole.scores) - 6
    assert contents(stopped) == contents(tmp_path / "whole") and again.facts["complete"]
    assert again.chosen == whole.chosen and again.chosen and again.confusion.sum() == 2 * 15


def test_what_decides_a_score_starts_anew(tmp_path, split_folder, graph, monkeypatch):
    given = {"representations": "fne", **OPTIONS}
    fne.evaluate(split_folder, graph, tmp_path / "e", **given)
    for change in ({"lower": -0.5}, {"vote": "majority"}):
        with monkeypatch.context() as patched:
            calls = counting(patched)
            fne.evaluate(split_folder, graph, tmp_path / "e", **given, **change)
            assert len(calls) == 8
    (tmp_path / "e/scores.jsonl").write_bytes((tmp_path / "e/scores.jsonl").read_bytes() + b"{}\n")
    with pytest.raises(fne.errors.SavedDataError, match=r"scores.jsonl', line 10, is damaged"):
        fne.evaluate(split_folder, graph, tmp_path / "e", **given, vote="majority")


def test_ctrl_c_shows_what_there_is(tmp_path, split_folder, graph, monkeypatch, capsys):
    command = ["evaluate", str(split_folder), str(graph), str(tmp_path / "e"), "--size", "48x64", "--quiet"]
    command += ["--images", "2", "--seeds", "2", "--representation", "fne", "--representation", "outputs"]
    with monkeypatch.context() as patched:
        counting(patched, 4)
        assert main(command) == 130
    out, err = capsys.readouterr()
    assert "fne, svm" in out and "outputs, svm" in out and "minus fne" in out and err == "fne: interrupted\n"
    assert out.endswith("this was measured before the interruption; the same command goes on from there\n")
    assert main(command) == 0 and "interruption" not in capsys.readouterr().out


def test_the_signal_itself(tmp_path, split_folder, graph):
    command = [sys.executable, "-m", "fne", "evaluate", str(split_folder), str(graph), str(tmp_path / "e")]
    command += ["--size", "48x64", "--seeds", "2000", "--representation", "fne", "--images", "4"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    scores = tmp_path / "e/scores.jsonl"
    while process.poll() is None and not (scores.exists() and scores.read_bytes().count(b"\n") > 5):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err == "fne: interrupted\n", err
    saved = contents(tmp_path / "e")
    assert 5 <= len(saved["scores"]) < 2000 and "goes on from there" in out


def test_where_an_evaluation_is(tmp_path, split_folder, graph, monkeypatch, capsys):
    reports = []
    fne.evaluate(
        split_folder,
        graph,
        tmp_path / "e",
        representations="fne",
        progress=lambda *report: reports.append(report),
        **OPTIONS,
    )
    measuring = [report[1:] for report in reports if report[0] == "measuring"]
    assert measuring == [(done, 8) for done in range(9)]
    capsys.readouterr()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: __import__("os").terminal_size((70, 20)))
    fne.evaluate(split_folder, graph, tmp_path / "e", representations="fne", progress=True, **OPTIONS)
    lines = [line.rstrip() for line in capsys.readouterr().err.split("\r")]
    assert any(line.startswith("2/8 fne, svm, 1 per class, split 2 of 2") for line in lines), lines
    assert any(line.startswith("5/8 fne, knn, 3 per class, split 1 of 2") and line.endswith(" left") for line in lines)
    assert lines[-1] == "8/8 measured" and max(map(len, lines)) < 70


def test_progress_lines_tell_failures_and_clear_the_rest(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    line = EvaluationProgressLine()
    line("a long name of something", 1, 3)
    line("short", 2, 3)
    shown = capsys.readouterr().err.split("\r")
    assert len(shown[2]) >= len(shown[1].rstrip()) or shown[2].startswith("2/3 short")
    job = JobProgressLine()
    job("embedding", 1, 9)
    job.failed = 2
    job("embedding", 9, 9)
    assert "9/9 images, 2 failed, " in capsys.readouterr().err


def test_failures_so_far(tmp_path, split_folder, graph, monkeypatch, capsys):
    folder = shutil.copytree(split_folder, tmp_path / "images")
    for number in range(3):
        (folder / f"train/daisy/0{number}x.png").write_bytes(b"none")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    fne.embed_dataset(folder, graph, tmp_path / "job", size=(48, 64), progress=True)
    assert "45/45 images, 3 failed, " in capsys.readouterr().err
