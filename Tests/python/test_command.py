"""The command `fne`, as a user's shell runs it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time

import job_kills
import numpy as np
import pytest

import fne


def run(*arguments, module=False):
    command = [sys.executable, "-m", "fne"] if module else [shutil.which("fne", path=sys.prefix + "/bin")]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True)


def test_embed_and_merge(tmp_path, graph, photographs):
    folder = photographs[0].parent
    job = fne.embed_dataset(
        folder,
        graph,
        tmp_path / "job",
        size=(48, 64),
        codes=("int8", "packed"),
        layers=["relu*", "bias3"],
        mean=[1, 2, 3],
    )
    options = ["--size", "48x64", "--layers", "relu*", "--layers", "bias3", "--mean", "1,2,3"]
    result = run("embed", folder, graph, tmp_path / "whole", "--codes", "int8,packed", *options)
    assert result.returncode == 0 and not result.stderr, result.stderr
    done = f"{tmp_path}/whole: 24 images embedded, 0 skipped, {job.feature_count} features, finished\n"
    assert result.stdout == done + "embedded now: 24 JPEG\n"
    assert job_kills.digests(tmp_path / "whole") == job_kills.digests(job.folder)
    for index in range(2):
        result = run(
            "embed", folder, graph, tmp_path / str(index), *options, "--shard", f"{index}/2", "--quiet", module=True
        )
        assert result.returncode == 0 and "features\n" in result.stdout, result.stderr
    result = run("merge", tmp_path / "merged", tmp_path / "0", tmp_path / "1", "--codes", "packed,int8")
    assert result.returncode == 0, result.stderr
    assert job_kills.digests(tmp_path / "merged") == job_kills.digests(job.folder)
    test = run(
        "embed",
        folder,
        graph,
        tmp_path / "test",
        *options,
        "--statistics",
        job.folder / "statistics.fne",
        "--no-features",
        "--codes",
        "int8",
    )
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
    assert "skipped: 0.jpg: this is no JPEG, PNG or WebP image" in result.stderr
    assert "skipped: 2 more" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["embed", "nowhere", "GRAPH", "OUT"], 1, "fne: cannot read 'nowhere': No such file"),
        (["embed", ".", "nowhere.pb", "OUT"], 1, "fne: nowhere.pb: No such file"),
        (["embed", "PHOTOS", "GRAPH", "OUT", "--layers", "relu9"], 1, "nearest names"),
        (["evaluate", "PHOTOS", "GRAPH", "OUT", "--layers", "relu1"], 2, "--layers"),
        (["embed", "PHOTOS", "GRAPH", "OUT", "--codes", "int4"], 1, "codes is 'int4'"),
        (["embed", "PHOTOS", "GRAPH", "OUT", "--size", "big"], 2, "'big' is not a size such as 224 or 224x320"),
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


def test_ctrl_c(tmp_path, lite0, photographs):
    """The signal ends the command, which loses nothing; a job of 100,000 images would take minutes."""
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{photographs[number % 24]}\n" for number in range(100_000)))
    command = [
        shutil.which("fne", path=sys.prefix + "/bin"),
        "embed",
        str(listed),
        str(lite0),
        str(tmp_path / "job"),
        "--no-features",
    ]
    statistics = fne.Statistics(21008).update(np.random.default_rng(1).normal(size=(3, 21008)).astype(np.float32))
    (tmp_path / "s.fne").write_bytes(statistics.to_bytes())
    command += ["--statistics", str(tmp_path / "s.fne"), "--codes", "packed", "--checkpoint-seconds", "1"]
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        before = fne.Job(tmp_path / "job").images_done if (tmp_path / "job/manifest.json").exists() else 0
        while process.poll() is None:
            time.sleep(0.1)
            if (tmp_path / "job/checkpoint").exists() and fne.Job(tmp_path / "job").images_done > before:
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130 and err == "fne: interrupted\n" and not out
        assert before < fne.Job(tmp_path / "job").images_done < 100_000


def test_ctrl_c_in_a_program(lite0, photographs):
    program = f"""
import fne, signal, threading, os
with fne.Extractor({str(lite0)!r}) as extractor:
    extractor.extract({[str(p) for p in photographs[:4]]!r})
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        extractor.extract({[str(p) for p in photographs]!r} * 4000)
    except KeyboardInterrupt:
        print("interrupted", extractor.extract({[str(p) for p in photographs[:4]]!r}).features.shape)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert result.stdout == "interrupted (4, 21008)\n", result.stderr


@pytest.mark.parametrize("kind", ["terminal", "notebook", "file"])
def test_progress_lines(kind, monkeypatch, capsys):
    import types

    class ZMQInteractiveShell:
        pass

    monkeypatch.setattr(sys.stderr, "isatty", lambda: kind == "terminal", raising=False)
    if kind == "notebook":
        module = types.ModuleType("IPython")
        module.get_ipython = ZMQInteractiveShell
        monkeypatch.setitem(sys.modules, "IPython", module)
    from fne._progress import JobProgressLine

    line, job = fne.ProgressLine(), JobProgressLine()
    line(5, 10)
    line(10, 10)
    for report in [
        ("embedding", 4, 8),
        ("embedding", 8, 8),
        ("statistics", 0, 1),
        ("codes", 0, 8),
        ("codes", 8, 8),
        ("finishing", 0, 3),
    ]:
        job(*report)
    shown = capsys.readouterr().err
    if kind == "file":
        assert not shown
    else:
        assert (
            "\r5/10 images, " in shown and "images/s" in shown and "\r8/8 images" in shown and "statistics\n" in shown
        )


def assert_nearest(lines, rows, names, query):
    """Three images found by the cosine, of which the query is the first."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    number = names.index(query)
    cosines = unit @ unit[number]
    best = np.argsort(-cosines.round(12), kind="stable")[:3]
    assert best[0] == number
    assert [line.split() for line in lines] == [[f"{cosines[i]:.4f}", names[i]] for i in best]


def test_search(tmp_path, graph, photographs):
    folder = photographs[0].parent
    job = fne.embed_dataset(folder, graph, tmp_path / "job", size=(48, 64), codes=["packed"])
    command = ["search", tmp_path / "job", photographs[3], photographs[8], "--model", graph, "-k", "3"]
    result = run(*command, "--images", folder, "-o", tmp_path / "sheet.png")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == (
        "by the cosine of the codes of 2 of 5 layers (last:25%), 24 images; below 50 their mean is not subtracted"
    )
    codes = np.array(job.ternarize(layers=["swish4", "relu5"])).astype(np.float64)
    for start, query in ((1, photographs[3]), (5, photographs[8])):
        assert lines[start] == str(query)
        assert_nearest(lines[start + 1 : start + 4], codes, job.names, query.name)
    centred = run(*command, "--metric", "centred", "--layers", "all")
    lines = centred.stdout.splitlines()
    assert lines[0] == "by the cosine of the codes less their mean of 5 of 5 layers (all), 24 images"
    codes = np.array(job.ternarize()).astype(np.float64)
    assert_nearest(lines[2:5], codes - codes.mean(0), job.names, photographs[3].name)
    sheet = fne.read_image(tmp_path / "sheet.png")
    assert sheet.shape == (2 * 134 + 6, 4 * 134 + 18, 3)
    np.testing.assert_array_equal(sheet[6:134, 6:134], sheet[6:134, 152:280])  # the query, and itself as the nearest
    result = run(*command, "--layers", "last:25%", "--metric", "hamming")
    assert result.returncode == 0 and result.stdout.splitlines()[2].split() == ["0.0000", photographs[3].name]
    alone = run(*command, "--goal", "latency", "--layers", "last:25%", "--metric", "hamming")
    assert alone.returncode == 0 and alone.stdout == result.stdout
    assert "--goal" in run(*command, "--goal", "speed").stderr
    wrong = run("search", tmp_path / "job", photographs[0], "--model", "efficientnet_lite0")
    assert wrong.returncode == 1 and "--model efficientnet_lite0 is not the network that the job" in wrong.stderr
    missing = run("search", tmp_path / "job", "gone.jpg", "--model", graph)
    assert missing.returncode == 1 and "gone.jpg" in missing.stderr
