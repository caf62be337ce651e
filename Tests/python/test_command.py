"""The command `fne`, as a user's shell runs it."""

from __future__ import annotations

import shutil
import subprocess
import sys

import job_kills
import numpy as np
import pytest

import fne


@pytest.fixture(scope="module")
def graph(tmp_path_factory, network):
    path = tmp_path_factory.mktemp("graph") / "network.pb"
    path.write_bytes(network[0].SerializeToString())
    return path


def run(*arguments, module=False):
    command = [sys.executable, "-m", "fne"] if module else [shutil.which("fne", path=sys.prefix + "/bin")]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True)


def test_embed_and_merge(tmp_path, graph, photographs):
    folder = photographs[0].parent
    job = fne.embed_dataset(
        folder, graph, tmp_path / "job", size=(48, 64), codes=("int8", "packed"), layers=["relu*", "bias3"], mean=[1, 2, 3]
    )
    options = ["--size", "48x64", "--layers", "relu*", "--layers", "bias3", "--mean", "1,2,3"]
    result = run("embed", folder, graph, tmp_path / "whole", "--codes", "int8,packed", *options)
    assert result.returncode == 0 and not result.stderr, result.stderr
    assert result.stdout == f"{tmp_path}/whole: 24 images embedded, 0 skipped, {job.feature_count} features, finished\n"
    assert job_kills.digests(tmp_path / "whole") == job_kills.digests(job.folder)
    for index in range(2):
        result = run("embed", folder, graph, tmp_path / str(index), *options, "--shard", f"{index}/2", "--quiet", module=True)
        assert result.returncode == 0 and "features\n" in result.stdout, result.stderr
    result = run("merge", tmp_path / "merged", tmp_path / "0", tmp_path / "1", "--codes", "packed,int8")
    assert result.returncode == 0, result.stderr
    assert job_kills.digests(tmp_path / "merged") == job_kills.digests(job.folder)
    test = run("embed", folder, graph, tmp_path / "test", *options, "--statistics", job.folder / "statistics.fne",
               "--no-features", "--codes", "int8")  # fmt: skip
    assert test.returncode == 0, test.stderr
    np.testing.assert_array_equal(fne.Job(tmp_path / "test").codes(), job.codes())


def test_the_default_network(tmp_path, photographs):
    for path in photographs[:4]:
        shutil.copy(path, tmp_path)
    result = run("embed", tmp_path, "efficientnet_lite0", tmp_path / "job")
    assert result.returncode == 0 and "4 images embedded, 0 skipped, 21008 features" in result.stdout


def test_skipped_images_are_named(tmp_path, graph, photographs):
    for number in range(7):
        (tmp_path / f"{number}.jpg").write_text("no picture")
    shutil.copy(photographs[0], tmp_path / "8.jpg")
    result = run("embed", tmp_path, graph, tmp_path / "job")
    assert result.returncode == 0 and "1 images embedded, 7 skipped" in result.stdout
    assert "skipped: 0.jpg: is neither a JPEG nor a PNG image" in result.stderr and "skipped: 2 more" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["embed", "nowhere", "GRAPH", "OUT"], 1, "fne: cannot read 'nowhere': No such file"),
        (["embed", ".", "nowhere.pb", "OUT"], 1, "fne: nowhere.pb: No such file"),
        (["embed", "PHOTOS", "GRAPH", "OUT", "--layers", "relu9"], 1, "nearest names"),
        (["embed", "PHOTOS", "GRAPH", "OUT", "--codes", "int4"], 1, "codes is 'int4'"),
        (["embed", "PHOTOS", "GRAPH", "OUT", "--size", "big"], 2, "invalid _size value: 'big'"),
        (["embed", "PHOTOS", "GRAPH"], 2, "required: output"),
        (["merge", "OUT", "nowhere"], 1, "manifest.json"),
        (["unknown"], 2, "invalid choice"),
        ([], 2, "required"),
    ],
)
def test_errors_are_one_line(tmp_path, graph, photographs, arguments, status, message):
    places = {"GRAPH": graph, "OUT": tmp_path / "job", "PHOTOS": photographs[0].parent}
    result = run(*[places.get(argument, argument) for argument in arguments])
    assert result.returncode == status and message in result.stderr and "Traceback" not in result.stderr
    assert status == 2 or result.stderr.count("\n") == 1
    assert not (tmp_path / "job").exists()
    if arguments and status == 1:
        result = run(*[places.get(argument, argument) for argument in arguments], "--debug")
        assert result.returncode == 1 and "Traceback" in result.stderr


def test_help():
    assert "exit status" in run("--help").stdout
    for command in ("embed", "merge"):
        result = run(command, "--help")
        assert result.returncode == 0 and f"examples:\n  fne {command} " in result.stdout
    assert fne.__version__ in run("--version").stdout
