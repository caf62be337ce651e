"""C programs against the built library."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
from conftest import ROOT
from job_kills import digests

import fne
from fne import _ffi
from fne._libpath import tensorflow_library


def run(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def embed(tmp_path_factory):
    """The example, built by the very line that its comment documents."""
    line = re.search(r"^ \*     (gcc .*)$", (ROOT / "bindings/c/embed.c").read_text(), re.MULTILINE).group(1)
    subprocess.run(line, shell=True, check=True, cwd=ROOT)
    return ROOT / "build/embed"


def built(source, program):
    """The program, compiled from its source without a warning and linked to the built library."""
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", ROOT / "build/include"]
    library = ROOT / "build/lib"
    result = run("gcc", *flags, source, "-L", library, "-lfne", f"-Wl,-rpath,{library}", "-o", program)
    assert result.returncode == 0, result.stderr
    return program


def test_version(tmp_path):
    """The header's macros, the library's functions and the Makefile name one release."""
    source = tmp_path / "version.c"
    source.write_text(
        "#include <fne.h>\n#include <stdio.h>\n"
        "#if FNE_VERSION_MAJOR < 2\n#error no number for the preprocessor\n#endif\n"
        "int main(void) {\n"
        '    puts("header " FNE_VERSION_STRING);\n'
        '    printf("%d.%d.%d\\n", FNE_VERSION_MAJOR, FNE_VERSION_MINOR, FNE_VERSION_PATCH);\n'
        '    printf("%s %u\\n", fne_version_string(), (unsigned)fne_version_number());\n'
        "}\n"
    )
    result = run(built(source, tmp_path / "version"))
    release = re.search(r"^VERSION := (\d+\.\d+\.\d+)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1)
    major, minor, patch = map(int, release.split("."))
    number = major * 10_000 + minor * 100 + patch
    assert result.stdout.splitlines() == [f"header {release}", release, f"{release} {number}"]


def test_abuse(tmp_path, network):
    """Every function called as it must not be: a status each time, never a crash."""
    graph = tmp_path / "graph.pb"
    graph.write_bytes(network[0].SerializeToString())
    program = built(ROOT / "Tests/c/abuse.c", tmp_path / "abuse")
    result = run(program, graph, env={})
    assert result.returncode == 0, result.stderr
    assert int(result.stdout.split()[0]) > 100


def in_python(statement, *arguments):
    """Runs a statement in a process of its own, where libfne loads TensorFlow as it does in a C program."""
    result = run(sys.executable, "-c", f"import sys, fne; {statement}", *arguments)
    assert result.returncode == 0, result.stderr


def codes_and_statistics(folder, network, images):
    """What Python computes for six photographs."""
    in_python(
        "fne.full_network_embedding(sys.argv[1], sys.argv[3:], 16, 'input', None, (224, 224), output_dir=sys.argv[2])",
        network,
        folder,
        *images,
    )
    codes = np.load(folder / "fne.npy")
    assert codes.shape == (6, 21008)
    return codes, np.load(folder / "stats.npy")


def test_the_program_of_the_main_page(tmp_path, lite0, photographs):
    """The header's own example, taken from its comment: the codes that Python computes, or what is wrong."""
    page = (ROOT / "include/fne.h").read_text().split(r"\code{.c}")[1].split(r" * \endcode")[0]
    source = tmp_path / "codes.c"
    source.write_text(re.sub(r"^ \* ?", "", page, flags=re.MULTILINE))
    program = built(source, tmp_path / "codes")
    environment = dict(os.environ, FNE_TENSORFLOW=os.path.dirname(tensorflow_library()))
    result = run(program, lite0, *photographs[:6], env=environment)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert set("".join(lines)) == set("-0+")
    codes = np.array([["-0+".index(sign) - 1 for sign in line] for line in lines], np.int8)
    np.testing.assert_array_equal(codes, codes_and_statistics(tmp_path, lite0, photographs[:6])[0])

    result = run(program, lite0, photographs[0], "gone.jpg", env=environment)
    assert result.returncode == 1 and not result.stdout
    assert "codes: FNE_FILE_ERROR: image 1 of 2: gone.jpg: No such file" in result.stderr
    result = run(program, "gone.pb", photographs[0], env=environment)
    assert result.returncode == 1 and "codes: FNE_FILE_ERROR: gone.pb: No such file" in result.stderr
    result = run(program, lite0, env=environment)
    assert result.returncode == 2 and "usage" in result.stderr


def test_embed(tmp_path, embed, lite0, photographs):
    """The same bits as Python's, each in a process of its own, where libfne loads TensorFlow."""
    environment = dict(os.environ, FNE_TENSORFLOW=os.path.dirname(tensorflow_library()))
    out = tmp_path / "out.npy"
    result = run(embed, lite0, "import/input:0", "224x224", out, *photographs[:6], env=environment)
    assert result.returncode == 0, result.stderr
    expected, statistics = codes_and_statistics(tmp_path, lite0, photographs[:6])
    codes = np.load(out)
    assert codes.dtype == np.int8 and codes.shape == expected.shape
    np.testing.assert_array_equal(codes, expected)
    np.testing.assert_array_equal(np.load(tmp_path / "out.stats.npy"), statistics)


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


def test_job(tmp_path, lite0, photographs):
    """The example of jobs: stopped and gone on with, the same bytes as Python's."""
    line = re.search(r"^ \*     (gcc .*)$", (ROOT / "bindings/c/job.c").read_text(), re.MULTILINE).group(1)
    subprocess.run(line, shell=True, check=True, cwd=ROOT)
    environment = dict(os.environ, FNE_TENSORFLOW=os.path.dirname(tensorflow_library()))
    folder = tmp_path / "photographs"
    folder.mkdir()
    for path in photographs[:6]:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "x.jpg").write_text("no picture")
    result = run(ROOT / "build/job", lite0, "224x224", folder, tmp_path / "c", env=environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "7 images, 1 skipped, 21008 features of 49 layers\n"
    assert "image 6 is skipped: this is no JPEG" in result.stderr
    in_python(
        "fne.embed_dataset(sys.argv[1], sys.argv[2], sys.argv[3], size=(224, 224), codes=('int8', 'packed'))",
        folder,
        lite0,
        tmp_path / "python",
    )
    assert digests(tmp_path / "c") == digests(tmp_path / "python")
    result = run(ROOT / "build/job", lite0, "224x224", folder, tmp_path / "c", env=environment)
    assert result.returncode == 0, result.stderr
    result = run(ROOT / "build/job", lite0, "100x224", folder, tmp_path / "c", env=environment)
    assert result.returncode == 1 and "fixed height of 224" in result.stderr
    for size in ("224", "224x224junk", f"{2**32 + 224}x224", f"224x{2**32 + 224}"):
        result = run(ROOT / "build/job", lite0, size, folder, tmp_path / "none", env=environment)
        assert result.returncode == 2 and "usage" in result.stderr, size
    assert not (tmp_path / "none").exists()


def test_embed_files(lite0, photographs, tmp_path):
    """Codes and statistics in one call are those of the rows, computed in steps."""
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photographs[1].read_bytes()[:999])
    paths = [*photographs[:5], broken, photographs[5]]
    with fne.Extractor(lite0, on_error="skip") as extractor:
        extraction = extractor.extract(paths)
        rows = extraction.features[extraction.ok]
        statistics = fne.Statistics(extractor.feature_count).update(rows)
    stats = [statistics.mean(), statistics.std()]
    expected = fne.ternarize(rows, *stats)
    function = _ffi.lib.fne_embed_files
    with fne.Extractor(lite0, on_error="skip") as extractor:
        features = extractor.feature_count
        codes, mean, std = np.zeros((7, features), np.int8), np.zeros(features), np.zeros(features)
        run, statuses, seen = _ffi.sized(_ffi.ExtractRun), np.full(7, -1, np.int32), []
        run.statuses, run.statuses_capacity = statuses.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)), 7
        run.progress = _ffi.PROGRESS(lambda _user, done, total: seen.append((done, total)) or 0)

        def embed(*capacities, names=paths):
            strings = _ffi.strings([os.fsencode(path) for path in names])
            return function(
                extractor._handle(),
                strings,
                len(names),
                codes.ctypes.data,
                capacities[0],
                mean.ctypes.data,
                std.ctypes.data,
                capacities[1],
                ctypes.byref(run),
            )

        assert embed(codes.size, features) == 0
        good = statuses == 0
        assert good.tolist() == [True] * 5 + [False, True] and run.rows_done == 7 and seen[-1] == (7, 7)
        np.testing.assert_array_equal(codes[good], expected)
        assert (codes[5] == fne.SKIPPED_CODE).all()
        np.testing.assert_array_equal([mean, std], stats)
        assert embed(codes.size - 1, features) == 2 and embed(codes.size, features - 1) == 2
        assert embed(codes.size, features, names=[broken]) == 6 and "none of the 1 images" in _ffi.last_error()
        run.codes = codes.ctypes.data
        assert embed(codes.size, features) == 1 and "arguments of fne_embed_files" in _ffi.last_error()


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
