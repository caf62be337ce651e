"""Names of files may hold anything but a slash and a zero byte. None reaches a terminal as a command to it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import unicodedata
import warnings

import numpy as np
import pytest

import fne
from fne._command import main
from fne._graph_writer import GraphWriter
from fne._text import printable

# What a terminal would obey, or what would end a line, and how it is shown.
HOSTILE = {
    b"\x1b]0;title\x07": r"\x1b]0;title\x07",
    b"one\ntwo": r"one\ntwo",
    b"one\rtwo": r"one\rtwo",
    b"\x7f\x08": r"\x7f\x08",
    "\u009b31m".encode(): r"\u009b31m",
    b"\xff\xfe": r"\xff\xfe",
    b"\x9b31m": r"\x9b31m",
    "\u2028\u202egpj".encode(): r"\u2028\u202egpj",
}


def assert_plain(text):
    """One that a terminal shows as it is."""
    assert [c for c in text.replace("\n", "") if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")] == []
    assert "\u202e" not in text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text(name):
    text = os.fsdecode(name)
    assert printable(text) == HOSTILE[name] == printable(HOSTILE[name])
    assert printable(f"é{text}!") == f"é{HOSTILE[name]}!"
    assert str(fne.FileError(f"'{text}': missing")) == f"'{HOSTILE[name]}': missing"
    assert_plain(str(fne.SkippedImagesWarning([0], [text], [f"'{text}': damaged"])))
    assert fne.SkippedImagesWarning([0], [text], ["x"]).paths == [text], "the path itself is kept"


def test_all_else_stays():
    for text in (
        "",
        "a b.jpg",
        r"C:\n\x1b",
        "naïve 日本語\u3000.jpg",
        "👩\u200d🔬",
        "\u00a0",
        "क\u094d\u200cष",
        "''\"$",
    ):
        assert printable(text) == text


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, photographs):
    """For each hostile name a photograph, and a file that is damaged."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, name in enumerate(HOSTILE):
        shutil.copy(photographs[number], os.fsencode(folder) + b"/good" + name + b".jpg")
        with open(os.fsencode(folder) + b"/bad" + name + b".png", "wb") as file:
            file.write(b"\x89PNG\r\n\x1a\n")
    return folder


def paths(folder, start):
    return sorted(os.fsdecode(path) for path in os.listdir(os.fsencode(folder)) if path.startswith(start))


def test_the_commands(tmp_path, graph, pictures, capsys):
    job = tmp_path / os.fsdecode(b"job\x1b[2J\xff")
    assert main(["embed", str(pictures), str(graph), str(job), "--size", "48x64"]) == 0
    out, err = capsys.readouterr()
    few, *skipped = err.splitlines()
    assert few.startswith("fne: warning: the codes are made by statistics of 8 images")
    assert len(skipped) == 6, "five damaged files, and how many more"
    shown = {line.split(": ")[1] for line in skipped[:5]}
    assert shown < {f"bad{name}.png" for name in HOSTILE.values()}
    assert r"job\x1b[2J\xff: 8 images embedded, 8 skipped" in out
    assert_plain(out + err)
    query = str(pictures / paths(pictures, b"good")[0])
    assert main(["search", str(job), query, "--model", str(graph), "-k", "8"]) == 0
    out, err = capsys.readouterr()
    assert {line.split("  ")[-1] for line in out.splitlines()[2:]} == {f"good{name}.jpg" for name in HOSTILE.values()}
    assert_plain(out + err)
    page = job / "page\n.html"
    assert main(["report", str(job), "--images", str(pictures), "-o", str(page)]) == 0
    out, err = capsys.readouterr()
    assert out.endswith("page\\n.html\n")
    assert_plain(out + err)
    assert_plain(page.read_text("utf-8"))


@pytest.mark.parametrize("name", HOSTILE)
def test_errors_of_the_command(tmp_path, graph, capsys, name):
    missing = str(tmp_path / os.fsdecode(name))
    for arguments in (
        ["layers", missing],
        ["layers", missing, "--debug"],
        ["report", missing],
        ["embed", missing, str(graph), str(tmp_path / "job"), "--debug"],
        ["embed", missing, str(graph), missing, "--" + os.fsdecode(name)],
        ["search", missing, missing],
        ["evaluate", missing, str(graph), missing],
    ):
        try:
            assert main(arguments) == 1
        except SystemExit as end:
            assert end.code == 2
        out, err = capsys.readouterr()
        # Messages of the library have \ufffd for bytes that are not UTF-8. Those of Python have escapes of its own.
        quoted = [HOSTILE[name], name.decode("utf-8", "replace"), repr(os.fsdecode(name))[1:-1]]
        assert any(form in err for form in quoted)
        assert_plain(out + err)


def test_warnings_of_the_package(tmp_path, graph, pictures):
    given = [str(pictures / name) for name in paths(pictures, b"")]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fne.full_network_embedding(graph, given, 4, "input:0", None, (48, 64), on_error="skip")
    (warning,) = [str(one.message) for one in caught if one.category is fne.SkippedImagesWarning]
    assert warning.startswith("8 images were skipped")
    assert_plain(warning)


@pytest.mark.parametrize("name", HOSTILE)
def test_errors_of_the_package(tmp_path, name):
    path = os.fsencode(tmp_path) + b"/" + name + b".png"
    with pytest.raises(fne.FileError) as missing:
        fne.read_image(os.fsdecode(path))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(fne.ImageError) as damaged:
        fne.read_image(os.fsdecode(path))
    for failure in (missing, damaged):
        assert_plain(str(failure.value))
        assert name != b"one\ntwo" or r"one\ntwo.png" in str(failure.value)


def test_tensors_of_a_hostile_model(tmp_path, capsys):
    graph = GraphWriter()
    source = graph.placeholder("input", [-1, 8, 8, 3])
    graph.convolution("conv\x1b]0;x\x07", source, np.ones((1, 1, 3, 2), np.float32), 1, False)
    (tmp_path / "n.pb").write_bytes(graph.serialized())
    assert main(["layers", str(tmp_path / "n.pb")]) == 1  # names in graphs are printable ASCII
    out, error = capsys.readouterr()
    assert out == "" and "n.pb" in error and "no printable text" in error
    assert_plain(error)


def test_a_terminal_without_unicode(tmp_path):
    """What its encoding lacks is escaped too."""
    environment = dict(os.environ, PYTHONIOENCODING="ascii")
    command = [sys.executable, "-m", "fne", "layers", str(tmp_path / "é.pb")]
    result = subprocess.run(command, capture_output=True, env=environment)
    assert result.returncode == 1 and rb"\xe9.pb" in result.stderr
