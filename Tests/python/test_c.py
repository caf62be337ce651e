"""C programs against the built library."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
from conftest import ROOT

import fne
from fne._libpath import tensorflow_library


def run(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def embed(tmp_path_factory):
    """The example, built by the very line that its comment documents."""
    line = re.search(r"^ \*     (gcc .*)$", (ROOT / "bindings/c/embed.c").read_text(), re.MULTILINE).group(1)
    subprocess.run(line, shell=True, check=True, cwd=ROOT)
    return ROOT / "build/embed"


def test_abuse(tmp_path, network):
    """Every function called as it must not be: a status each time, never a crash."""
    graph = tmp_path / "graph.pb"
    graph.write_bytes(network[0].SerializeToString())
    program = tmp_path / "abuse"
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-I", ROOT / "build/include"]
    library = ROOT / "build/lib"
    build = run("gcc", *flags, ROOT / "Tests/c/abuse.c", "-L", library, "-lfne", f"-Wl,-rpath,{library}", "-o", program)
    assert build.returncode == 0, build.stderr
    result = run(program, graph, env={})
    assert result.returncode == 0, result.stderr
    assert int(result.stdout.split()[0]) > 100


def test_embed(tmp_path, embed, lite0, photographs):
    """The same bits as Python's, each in a process of its own, where libfne loads TensorFlow."""
    environment = dict(os.environ, FNE_TENSORFLOW=os.path.dirname(tensorflow_library()))
    out = tmp_path / "out.npy"
    result = run(embed, lite0, "import/input:0", "224x224", out, *photographs[:6], env=environment)
    assert result.returncode == 0, result.stderr
    program = (
        "import sys, fne; "
        "fne.full_network_embedding(sys.argv[1], sys.argv[3:], 16, 'input', None, (224, 224), output_dir=sys.argv[2])"
    )
    result = run(sys.executable, "-c", program, lite0, tmp_path, *photographs[:6], env=environment)
    assert result.returncode == 0, result.stderr
    codes = np.load(out)
    assert codes.dtype == np.int8 and codes.shape == (6, 21008)
    np.testing.assert_array_equal(codes, np.load(tmp_path / "fne.npy"))
    np.testing.assert_array_equal(np.load(tmp_path / "out.stats.npy"), np.load(tmp_path / "stats.npy"))


def test_embed_says_what_is_wrong(tmp_path, embed, lite0, photographs):
    environment = dict(os.environ, FNE_TENSORFLOW=os.path.dirname(tensorflow_library()))

    def said(*arguments):
        result = run(embed, *arguments, env=environment)
        assert result.returncode in (1, 2), result.stderr
        assert not (tmp_path / "out.npy").exists()
        return result.stderr

    out = tmp_path / "out.npy"
    assert "usage" in said(lite0, "input")
    assert "usage" in said(lite0, "input", "224", out, photographs[0])
    assert "FNE_FILE_ERROR: nothing.pb: No such file" in said("nothing.pb", "input", "224x224", out, photographs[0])
    assert "nearest names" in said(lite0, "inputt", "224x224", out, photographs[0])
    assert "image 1 of 2: gone.jpg: No such file" in said(lite0, "input", "224x224", out, photographs[0], "gone.jpg")
    assert "fixed height of 224" in said(lite0, "input", "100x224", out, photographs[0])


def test_thumbnail(tmp_path, photographs):
    """The example of images, built by the line that its comment documents: Pillow's picture."""
    line = re.search(r"^ \*     (gcc .*)$", (ROOT / "bindings/c/thumbnail.c").read_text(), re.MULTILINE).group(1)
    subprocess.run(line, shell=True, check=True, cwd=ROOT)
    out = tmp_path / "out.ppm"
    result = run(ROOT / "build/thumbnail", photographs[4], "60", out)
    assert result.returncode == 0 and not result.stderr, result.stderr
    image = PIL.Image.fromarray(fne.read_image(photographs[4]))
    scale = 60 / max(image.size)
    expected = image.resize(tuple(int(side * scale + 0.5) for side in image.size), PIL.Image.BILINEAR)
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(out)), np.asarray(expected))

    half = tmp_path / "half.jpg"
    half.write_bytes(photographs[4].read_bytes()[:3000])
    result = run(ROOT / "build/thumbnail", half, "60", out)
    assert result.returncode == 0 and "half.jpg is damaged" in result.stderr
    result = run(ROOT / "build/thumbnail", tmp_path / "gone.jpg", "60", out)
    assert result.returncode == 1 and "FNE_FILE_ERROR" in result.stderr
