"""The examples in other languages, against the built library: the counts of codes as NumPy computes them."""

from __future__ import annotations

import os
import re
import subprocess

import numpy as np
import pytest
from conftest import ROOT

import fne
from fne._libpath import tensorflow_library

SIZE = (48, 64)

# How to see that a language is there (make extras), its example, what runs it; None: built as its comment says.
LANGUAGES = {
    "rust": (["rustc", "--version"], "embed.rs", None),
    "go": (["go", "version"], "embed.go", None),
    "ruby": (["ruby", "-rfiddle", "-e", "0"], "embed.rb", ["ruby", "-w"]),
    "luajit": (["luajit", "-v"], "embed.lua", ["luajit"]),
    "perl": (["perl", "-MFFI::Platypus", "-e", "0"], "embed.pl", ["perl"]),
}
ENVIRONMENT = dict(os.environ, GOCACHE=str(ROOT / ".build/go"))


def there(probe):
    try:
        return subprocess.run(probe, capture_output=True, env=ENVIRONMENT).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module", params=LANGUAGES)
def example(request):
    """Runs a language's example: exit status, standard output, standard error."""
    probe, name, interpreter = LANGUAGES[request.param]
    if not there(probe):
        absent = pytest.fail if (ROOT / ".venv/extras").exists() else pytest.skip
        absent(f"{' '.join(probe)} does not run")
    source = ROOT / "examples/languages" / name
    environment = dict(ENVIRONMENT, FNE_TENSORFLOW=os.path.dirname(tensorflow_library()))
    if interpreter is None:
        # The line of its comment, which may go on in the next one.
        line = re.search(r"^//!?\s+((?:rustc|go build) (?:.*\\\n)*.*)$", source.read_text(), re.MULTILINE).group(1)
        subprocess.run(re.sub(r"\\\n//!?", "", line), shell=True, check=True, cwd=ROOT, env=ENVIRONMENT)
        command = [ROOT / "build" / f"embed-{request.param}"]
    else:
        command = [*interpreter, source]
        environment["LD_LIBRARY_PATH"] = str(ROOT / "build/lib")

    def run(*arguments, stdout=subprocess.PIPE):
        result = subprocess.run([*command, *arguments], stdout=stdout, stderr=subprocess.PIPE, env=environment)
        return result.returncode, result.stdout, result.stderr.decode()

    return run


@pytest.fixture
def images(tmp_path, photographs):
    """Three photographs, one with a name in UTF-8 and a blank, one with a name that is no UTF-8: paths as bytes."""
    paths = [os.fsencode(tmp_path) + b"/" + name for name in (b"plain.jpg", "schöne 花.jpg".encode(), b"caf\xe9.jpg")]
    for path, photograph in zip(paths, photographs[::7], strict=False):  # fewer paths
        with open(path, "wb") as file:
            file.write(photograph.read_bytes())
    return paths


def test_counts(example, graph, images):
    with fne.Extractor(graph, size=SIZE) as extractor:
        x = extractor.extract([os.fsdecode(path) for path in images]).features.astype(np.float64)
    mean, std = x.mean(0), x.std(0)
    z = np.divide(x - mean, std, out=np.zeros_like(x), where=std > 0)
    counts = np.stack([z < -0.25, (z >= -0.25) & (z <= 0.15), z > 0.15]).sum(2).T
    assert (counts.sum(1) == x.shape[1]).all() and (counts > 0).all()

    status, out, said = example(graph, "48x64", *images)
    assert status == 0 and said == "", said
    lines = [b"\t".join([path, *(b"%d" % number for number in row)]) for path, row in zip(images, counts, strict=True)]
    assert out.splitlines() == lines


def test_errors(example, graph, images, tmp_path):
    def said(status, *arguments):
        result = example(*arguments)
        assert result[:2] == (status, b""), result
        return result[2]

    damaged = tmp_path / "half.jpg"
    with open(images[0], "rb") as file:
        damaged.write_bytes(file.read()[:1000])
    assert "FNE_FILE_ERROR: nothing.pb: No such file" in said(1, "nothing.pb", "48x64", *images)
    text = said(1, graph, "48x64", images[0], damaged, images[1])
    assert "FNE_DAMAGED_IMAGE: image 1 of 3: " in text and "half.jpg" in text
    assert "image 1 of 2: gone.jpg: No such file" in said(1, graph, "48x64", images[0], "gone.jpg")
    assert "fixed height of 48" in said(1, graph, "64x48", *images)
    for arguments in ([], [graph], [graph, "48x64"], [graph, "48", images[0]], [graph, "48x64x3", images[0]]):
        assert "usage" in said(2, *arguments)
    wrapped = 2**32 + 48  # modulo 2^32 the graph's own height
    for size in (
        "0x0",
        "48x0",
        "0x64",
        f"{wrapped}x64",
        f"48x{2**64 + 64}",
        "16385x64",
        "-48x64",
        "48x64junk",
        "48x64\n",
    ):
        assert "usage" in said(2, graph, size, images[0]), size


def test_a_full_disk(example, graph, images):
    with open("/dev/full", "wb") as full:
        status, _, said = example(graph, "48x64", *images, stdout=full)
    assert status == 1 and "no space left on device" in said.lower(), (status, said)
