"""What programs read of the command: JSON, completion, and a quiet standard error."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import fne
from fne._command import _parser, main


@pytest.fixture(scope="module")
def images(tmp_path_factory, photographs):
    folder = tmp_path_factory.mktemp("classes")
    for number, path in enumerate(photographs[:12]):
        target = folder / ("rose" if number < 6 else "tulip") / path.name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    return folder


@pytest.fixture(scope="module")
def job(tmp_path_factory, images, graph):
    return fne.embed_dataset(images, graph, tmp_path_factory.mktemp("job") / "job", size=(48, 64))


def asked(capsys, *arguments, status=0):
    """The JSON of a command, which is all of its output."""
    assert main([*map(str, arguments), "--json"]) == status
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)


def test_layers(capsys, graph):
    found = asked(capsys, "layers", graph, "relu*")
    model = fne.Model(graph)
    expected = [tensor for tensor in model.layers() if tensor.name.startswith("relu")]
    assert [layer["name"] for layer in found["layers"]] == [tensor.name for tensor in expected]
    assert found["layers"][0]["shape"] == [1, 24, 32, 24] and found["layers"][0]["features"] == 24
    assert found["layers"][0]["is_default"] is True and found["notes"] == model.notes()


def test_embed_merge_and_verify(tmp_path, capsys, images, graph):
    folder = shutil.copytree(images, tmp_path / "images")
    (folder / "rose/bad.jpg").write_bytes(b"none")
    given = ["--size", "48x64"]
    found = asked(capsys, "embed", folder, graph, tmp_path / "job", *given)
    job = fne.Job(tmp_path / "job")
    assert (found["job"], found["images"], found["embedded"], found["state"]) == (str(job.folder), 13, 12, "finished")
    assert found["features"] == job.feature_count
    (image, reason), (failure,) = next(iter(job.failures.items())), found["failures"]
    assert failure == {"image": image, "name": "rose/bad.jpg", "reason": reason}
    for index in range(2):
        asked(capsys, "embed", folder, graph, tmp_path / f"s{index}", *given, "--shard", f"{index}/2")
    merged = asked(capsys, "merge", tmp_path / "whole", tmp_path / "s0", tmp_path / "s1")
    assert merged == {**found, "job": str(tmp_path / "whole")}
    (tmp_path / "s0/status.npy").write_bytes(b"damaged")
    found = asked(capsys, "verify", job.folder, tmp_path / "s0", status=1)["jobs"]
    sizes = [(job.folder / name).stat().st_size for name in job.manifest["files"]]
    assert found[0] == {"job": str(job.folder), "whole": True, "files": len(sizes), "bytes": sum(sizes)}
    assert found[1]["whole"] is False and "status.npy" in found[1]["reason"]


def test_search_report_and_export(tmp_path, capsys, images, job):
    query = images / job.names[3]
    found = asked(capsys, "search", job.folder, query, "-k", 4, "--metric", "cosine", "-o", tmp_path / "s.png")
    codes = np.array(job.ternarize(layers=["swish4", "relu5"])).astype(float)
    unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    ((shown, hits),) = [(row["query"], row["found"]) for row in found["queries"]]
    assert shown == str(query) and hits[0] == {"image": 3, "name": job.names[3], "score": pytest.approx(1)}
    assert [hit["score"] for hit in hits] == pytest.approx(sorted(unit @ unit[3])[::-1][:4])
    assert (found["output"], found["missing pictures"]) == (str(tmp_path / "s.png"), 0)
    assert "missing pictures" in asked(capsys, "search", job.folder, query)
    assert asked(capsys, "report", job.folder, "-o", tmp_path / "r.html") == {"output": str(tmp_path / "r.html")}
    found = asked(capsys, "export", job.folder, "-o", tmp_path / "e.npz")
    assert found == {"output": str(tmp_path / "e.npz"), "rows": 12, "failed": 0}


def test_evaluate(tmp_path, capsys, images, graph):
    given = ["evaluate", images, graph, tmp_path / "e", "--size", "48x64", "--representation", "fne"]
    found = asked(capsys, *given, "--images", "2", "--seeds", "2", "--classifier", "knn")
    assert {**json.loads((tmp_path / "e/evaluation.json").read_text()), "thresholds": None} == found
    found = asked(capsys, *given, "--task", "retrieval")
    assert json.loads((tmp_path / "e/retrieval.json").read_text()) == found


def test_doctor(capsys):
    main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)["findings"]
    assert [finding["what"] for finding in found][:3] == ["fne", "library", "TensorFlow"]
    assert all(set(finding) == {"what", "found", "way_out"} for finding in found)


def test_an_error_leaves_the_output_empty(capsys):
    assert main(["layers", "nowhere.pb", "--json"]) == 1
    out, err = capsys.readouterr()
    assert not out and err.startswith("fne: nowhere.pb: ")
    assert main(["completion", "bash"]) == 0 and "complete -o default" in capsys.readouterr().out, "lines again"


def test_without_a_terminal_and_quiet(tmp_path, images, graph):
    """No line of progress reaches a file or a pipe, with and without --quiet."""
    for number, options in enumerate(([], ["--quiet"])):
        command = [sys.executable, "-m", "fne", "embed", images, graph, tmp_path / str(number), "--size", "48x64"]
        done = subprocess.run([*map(str, command), *options], capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr
        assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
            str(tmp_path / str(number)),
            "embedded now",
        ]
    command = [
        sys.executable,
        "-m",
        "fne",
        "evaluate",
        images,
        graph,
        tmp_path / "e",
        "--size",
        "48x64",
        "--images",
        "2",
    ]
    done = subprocess.run([*map(str, command), "--representation", "fne"], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr


# ---- completion


def completed(script, *words):
    """What bash offers for the last word of a line."""
    program = f"source {script}; COMP_WORDS=({' '.join(repr(word) for word in words)}); "
    program += f'COMP_CWORD={len(words) - 1}; _fne; printf "%s\\n" "${{COMPREPLY[@]}}"'
    result = subprocess.run(["bash", "-c", program], capture_output=True, text=True)
    assert result.returncode == 0 and not result.stderr, result.stderr
    return result.stdout.split()


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("completion") / "fne"
    done = subprocess.run([sys.executable, "-m", "fne", "completion", "bash"], capture_output=True, text=True)
    path.write_text(done.stdout)
    return path


@pytest.mark.parametrize(
    "words, expected",
    [
        (["fne", "se"], ["search", "serve"]),
        (["fne", "e"], ["embed", "evaluate", "export"]),
        (["fne", "export", "job", "--to", ""], ["parquet", "csv", "npz", "faiss", "hdf5"]),
        (["fne", "evaluate", "--split", "a"], ["auto"]),
        (["fne", "search", "job", "--met"], ["--metric"]),
        (["fne", "embed", "--crops", "1"], ["1", "10"]),
        (["fne", "serve", "job", "--goal", "l"], ["latency"]),
        (["fne", "completion", ""], ["bash", "zsh"]),
        (["fne", "search", "j"], []),  # files, by bash's own
        (["fne", "nothing", "--"], []),
    ],
)
def test_completion(script, words, expected):
    assert completed(script, *words) == expected


def test_completion_knows_every_option(script):
    (commands,) = [
        action.choices for action in _parser()._actions if action.dest == "run" or hasattr(action, "add_parser")
    ]
    assert set(completed(script, "fne", "")) == {*commands, "--help", "--version"}
    for name, command in commands.items():
        options = {option for action in command._actions for option in action.option_strings}
        assert set(completed(script, "fne", name, "-")) == options, name


def test_completion_for_zsh(capsys):
    assert main(["completion", "bash"]) == 0
    of_bash = capsys.readouterr().out
    assert main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out == f"autoload -U +X bashcompinit && bashcompinit\n{of_bash}"
    assert asked(capsys, "completion", "bash") == {"script": of_bash}
