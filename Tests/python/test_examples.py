"""The examples that solve a problem from start to end, on two classes of tiles with one photograph in twice."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from conftest import ROOT

import fne
from fne._libpath import tensorflow_library


@pytest.fixture(scope="module")
def folder(tmp_path_factory, photographs):
    folder = tmp_path_factory.mktemp("classes")
    random = np.random.default_rng(2)
    for name, source in (("cat", photographs[0]), ("cup", photographs[9])):
        (folder / name).mkdir()
        image = fne.read_image(source)
        for number in range(9):
            top, left = random.integers(0, image.shape[0] // 4), random.integers(0, image.shape[1] // 4)
            tile = image[top : top + image.shape[0] // 2, left : left + image.shape[1] // 2, ::-1]
            cv2.imwrite(str(folder / name / f"{number}.jpg"), tile)
    shutil.copy(folder / "cat/3.jpg", folder / "cat/copy.jpg")
    shutil.copy(folder / "cat/5.jpg", folder / "cup/wrong.jpg")
    return folder


def run(*command, **options):
    result = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, **options)
    assert result.returncode == 0, result.stderr
    return result.stdout


def refused(*command):
    result = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True)
    assert result.returncode == 2, result.stderr
    return result.stderr.splitlines()[-1]


def test_few_shot(folder, tmp_path):
    out = run(ROOT / "examples/few_shot.py", folder, "--images", "4", "--cache", tmp_path)
    assert "8 training photographs of 2 classes" in out
    accuracy = next(float(line.split()[1]) for line in out.splitlines() if line.strip().startswith("accuracy"))
    assert accuracy >= 0.9


def test_few_shot_with_fewer_images(folder, tmp_path):
    """Two folds of two photographs; fewer are refused, as is nothing to test. A photograph of no class is left out."""
    stray = tmp_path / "classes"
    shutil.copytree(folder, stray)
    shutil.copy(folder / "cat/0.jpg", stray / "stray.jpg")
    program = ROOT / "examples/few_shot.py"
    assert "4 training photographs of 2 classes" in run(program, stray, "--images", "2", "--cache", tmp_path / "cache")
    assert "two training photographs or more: --images is 1" in refused(program, stray, "--images", "1")
    assert "leaves no photograph to test: the largest class has 10" in refused(program, stray, "--images", "10")
    assert "two classes" in refused(program, stray / "cat")
    (stray / "one").mkdir()
    shutil.copy(folder / "cat/0.jpg", stray / "one/0.jpg")
    assert "--images is 10; one has 1" in refused(program, stray)


def test_image_search_keeps_a_job_for_each_folder(folder, tmp_path):
    environment = dict(os.environ, TMPDIR=str(tmp_path))
    for name in ("cat", "cup", "cat"):
        program, query = ROOT / "examples/image_search.py", folder / name / "1.jpg"
        out = run(program, folder / name, query, "--sheet", tmp_path / "sheet.png", "-k", "1", env=environment)
        assert out.splitlines()[0] == f"{query}\t1.jpg\t1.000"
    assert len(list(tmp_path.glob("image-search-*"))) == 2


def test_image_search(folder, tmp_path):
    queries = [folder / "cat/1.jpg", folder / "cup/2.jpg"]
    out = run(
        ROOT / "examples/image_search.py",
        folder,
        *queries,
        "--job",
        tmp_path / "job",
        "--sheet",
        tmp_path / "sheet.png",
        "-k",
        "4",
    )
    lines = [line.split("\t") for line in out.splitlines() if "\t" in line]
    assert [line[1] for line in lines[::4]] == ["cat/1.jpg", "cup/2.jpg"] and lines[0][2] == lines[4][2] == "1.000"
    assert all(line[1].startswith("cat/") or line[1] == "cup/wrong.jpg" for line in lines[:4])
    sheet = fne.read_image(tmp_path / "sheet.png")
    assert sheet.shape == (256, 5 * 128, 3)
    for row in range(2):  # a query is what is found first
        tiles = sheet[128 * row :, :128][:128], sheet[128 * row :, 128:256][:128]
        np.testing.assert_array_equal(*tiles)


def test_the_swift_package(tmp_path, graph, photographs):
    """examples/swift, a package of its own, against the same steps in Python."""
    package, scratch = ROOT / "examples/swift", ROOT / ".build/swift-example"
    swift = [os.environ.get("SWIFT", "swift"), "build", "--package-path", package, "--scratch-path", scratch]
    built = subprocess.run(swift, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    images = [str(path) for path in photographs[:5]]
    environment = dict(os.environ, FNE_TENSORFLOW=tensorflow_library())
    program = scratch / "debug/nearest"
    found = subprocess.run([program, graph, "48x64", *images], capture_output=True, text=True, env=environment)
    assert found.returncode == 0, found.stderr
    with fne.Extractor(graph, size=(48, 64)) as extractor:
        rows = extractor.extract(images).features
    statistics = fne.Statistics(rows.shape[1]).update(rows)
    packed = fne.PackedCodes.pack(fne.ternarize(rows, statistics.mean(), statistics.std()))
    indices, cosines = packed.search(packed[:1], k=5, metric="cosine")
    expected = [(images[i], cosine) for i, cosine in zip(indices[0], cosines[0], strict=True) if i != 0]
    lines = [line.split("\t") for line in found.stdout.splitlines()]
    assert [(name, float(cosine)) for name, cosine in lines] == expected
    failed = subprocess.run([program, "none.pb", "48x64", *images], capture_output=True, text=True, env=environment)
    assert failed.returncode == 1 and failed.stderr == "nearest: none.pb: No such file or directory\n"


def test_a_classifier_in_production(folder, tmp_path):
    """Trained in Python, run in C++: the decisions of scikit-learn's classifier on the same codes, also where the
    network is fed with other numbers than the pixels."""
    feeding = ["--channel-order", "bgr", "--mean", "4,5.5,6.25", "--scale", "0.9"]
    run(ROOT / "examples/classifier/train.py", folder, tmp_path, *feeding)
    settings = fne.Job(tmp_path / "job").manifest["settings"]["input"]
    assert settings["channel_order"] == "bgr" and settings["mean"] == [4, 5.5, 6.25], settings
    source = ROOT / "examples/classifier/classify.cpp"
    lines = re.search(r"^//     (cd build)\n//     (g\+\+ .*)$", source.read_text(), re.MULTILINE).groups()
    subprocess.run("\n".join(lines), shell=True, check=True, cwd=ROOT)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"none")
    job = fne.Job(tmp_path / "job")
    paths = [*(folder / name for name in job.names), broken]
    environment = dict(os.environ, FNE_TENSORFLOW=os.path.dirname(tensorflow_library()))
    command = [ROOT / "build/classify", fne.zoo.efficientnet_lite0(), tmp_path, *paths]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert rows[-1] == [str(broken), "FNE_UNSUPPORTED_IMAGE"]
    weights = np.fromfile(tmp_path / "weights.f32", np.float32).reshape(2, -1).astype(np.float64)
    decisions = np.array(job.codes()).astype(np.float64) @ weights[:, :-1].T + weights[:, -1]
    names = (tmp_path / "classes.txt").read_text("utf-8").split()
    assert [row[1] for row in rows[:-1]] == [names[best] for best in decisions.argmax(1)]
    np.testing.assert_allclose([float(row[2]) for row in rows[:-1]], decisions.max(1), atol=1e-3)
    truth = [name.split("/")[0] for name in job.names]
    assert np.mean([row[1] == label for row, label in zip(rows[:-1], truth, strict=True)]) > 0.9
    (tmp_path / "preprocessing.txt").write_text("size 224\n")
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
    assert result.returncode == 1 and "preprocessing.txt is not what train.py writes" in result.stderr


@pytest.fixture(scope="module")
def camera():
    source = ROOT / "examples/camera/camera.cpp"
    lines = re.search(r"^//     (cd build)\n//     (g\+\+ .*)$", source.read_text(), re.MULTILINE).groups()
    subprocess.run("\n".join(lines), shell=True, check=True, cwd=ROOT)
    return ROOT / "build/camera"


def raw_frame(path, photograph, padding):
    """A photograph as OpenCV decodes it, in rows with other bytes between them. Returns height, width and stride."""
    pixels = cv2.imread(str(photograph))
    height, width, _ = pixels.shape
    rows = np.random.default_rng(3).integers(0, 256, (height, 3 * width + padding), np.uint8)
    rows[:, : 3 * width] = pixels.reshape(height, -1)
    path.write_bytes(rows.tobytes())
    return height, width, rows.shape[1]


def test_a_camera_in_cpp(camera, graph, photographs, tmp_path):
    """A frame of blue, green, red rows with padding finds its photograph first, and the others as Python orders them.
    The second call takes the job that the first one made."""
    images, job, frame = tmp_path / "photographs", tmp_path / "job", tmp_path / "frame.bgr"
    images.mkdir()
    for number, path in enumerate(photographs[:12]):
        shutil.copy(path, images / f"{number:02}{os.path.splitext(path)[1]}")
    (images / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    environment = dict(os.environ, FNE_TENSORFLOW=os.path.dirname(tensorflow_library()))
    (said,) = ask(camera, graph, images, job, frame, environment, 0, 37)
    assert "photograph 12 is left out" in said
    assert ask(camera, graph, images, job, frame, environment, 5, 0) == []
    height, width, stride = raw_frame(frame, images / os.listdir(images)[0], 0)
    command = [camera, graph, "48x64", images, job, frame, height, width, stride - 1]
    failed = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
    assert failed.returncode == 1 and "frame.bgr is too short for such a frame" in failed.stderr


def ask(camera, graph, images, job, frame, environment, number, padding):
    """Checks the answer for one photograph, and returns what the program said beside it."""
    name = sorted(os.listdir(images))[number]
    sizes = raw_frame(frame, images / name, padding)
    command = [str(part) for part in (camera, graph, "48x64", images, job, frame, *sizes)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr
    found = [line.split("\t") for line in result.stdout.splitlines()]
    made = fne.Job(job)
    embedded = np.flatnonzero(made.ok)
    packed = made.packed_codes()[embedded]
    with made.extractor(fne.Model(graph)) as extractor:
        row = extractor.extract([cv2.imread(str(images / name))[:, :, ::-1]]).features
    statistics = made.statistics()
    code = fne.PackedCodes.pack(fne.ternarize(row, statistics.mean(), statistics.std()))
    indices, cosines = packed.search(code, k=5, metric="centred")
    assert [line[0] for line in found] == [made.names[embedded[index]] for index in indices[0]]
    np.testing.assert_allclose([float(line[1]) for line in found], cosines[0], atol=1e-4)
    assert found[0][0] == name and float(found[0][1]) > 0.9
    return [line for line in result.stderr.splitlines() if line.startswith("camera:")]


def test_images_and_text(folder, tmp_path):
    """Sentences that follow the classes: held-out photographs are found by their words."""
    lines = []
    for path in sorted(folder.rglob("*.jpg")):
        kind = "a grey cat that looks at you" if path.parent.name == "cat" else "a cup of black coffee on a table"
        shade = "light" if path.stem in "02468" else "dark"
        lines.append(f"{path}\t{kind}\n{path}\t{shade} picture of a {path.parent.name}\n")
    (tmp_path / "captions.tsv").write_text(
        "\n".join(line for line in lines if "copy" not in line and "wrong" not in line)
    )
    arguments = [tmp_path / "captions.tsv", "--query", "black coffee", "--query", "a cat", "-k", "4"]
    out = run(ROOT / "examples/image_text.py", *arguments)
    coffee, cat = out.split("\nblack coffee\n")[1].split("\na cat\n")
    assert coffee.count("/cup/") == 4 and cat.count("/cat/") == 4
    assert "photographs by words: a right one first" in out
    (tmp_path / "broken.tsv").write_text("a.jpg\ta cat\n\nb.jpg a cat\n")
    assert "line 3: 'b.jpg a cat' is not" in refused(ROOT / "examples/image_text.py", tmp_path / "broken.tsv")
