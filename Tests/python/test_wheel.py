"""The wheel in an empty environment, and the source distribution."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

import fne
from fne._libpath import tensorflow_library

PACKAGE = ROOT / "bindings/python/fne"
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "FNE_LIBRARY")}


def run(*command, **options):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel():
    run("make", "wheel", cwd=ROOT)
    (path,) = (ROOT / "build/wheel").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(tmp_path_factory, wheel):
    """A Python that has the wheel and what it requires, nothing else."""
    folder = tmp_path_factory.mktemp("empty")
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel)
    return folder / "bin/python"


def test_contents(wheel):
    assert wheel.name == f"fne-{fne.__version__}-py3-none-manylinux_2_34_x86_64.whl"
    assert wheel.stat().st_size < 4_400_000
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(f"fne-{fne.__version__}.dist-info/METADATA").decode()
    licences = {Path(name).name for name in names if "/licenses/" in name and not name.endswith("/")}
    assert licences == {"LICENSE", "libjpeg-turbo.txt", "libpng.txt", "swift.txt"}
    assert sum(name.startswith("fne.libs/libjpeg") for name in names) == 1
    assert sum(name.startswith("fne.libs/libpng") for name in names) == 1
    assert not [name for name in names if name.startswith(("setup", "Tests", "build"))]
    modules = {str(path.relative_to(PACKAGE.parent)) for path in PACKAGE.rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    extras = set(re.findall(r"Provides-Extra: (\S+)", metadata))
    known = "tensorflow onnx torch timm torchvision sklearn ray spark plot zoo images export"
    assert sorted(extras) == sorted(known.split())
    assert re.findall(r"^Requires-Dist: ([^;\n]*)$", metadata, re.MULTILINE) == ["numpy>=1.24"]


def test_in_an_empty_environment(tmp_path, python, lite0, photographs):
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "FNE_TENSORFLOW": os.path.dirname(tensorflow_library()),
    }
    command = python.parent / "fne"
    out = run(command, "embed", photographs[0].parent, lite0, tmp_path / "job", env=environment)
    assert "24 images embedded, 0 skipped, 21008 features, finished" in out
    without = dict(environment, FNE_TENSORFLOW="")
    told = subprocess.run([command, "doctor"], env=without, capture_output=True, text=True)
    assert told.returncode == 1 and "pip install fne[tensorflow]" in told.stdout
    program = f"""
import sys, fne
fne.read_image({str(photographs[0])!r})
site = {str(Path(tensorflow_library()).parents[1])!r}
sys.path.append(site)
import cv2, tensorflow
fne.read_image({str(photographs[1])!r})
mapped = {{line.split()[-1] for line in open("/proc/self/maps") if "/" in line}}
ours = [name for name in mapped if "fne.libs" in name or name.endswith("libfne.so.2")]
assert fne.__file__.startswith(sys.prefix), fne.__file__
assert len(ours) == 3 and all(name.startswith(sys.prefix) for name in ours), ours
assert not [name for name in mapped if "swift" in name.lower()], mapped
assert not [name for name in mapped if name.startswith("/usr") and ("libjpeg" in name or "libpng" in name)], mapped
print("ok")
"""
    assert run(python, "-c", program, env=environment).endswith("ok\n")


def test_source_distribution(tmp_path):
    """It holds the library's sources; built here, where Swift is, it gives a wheel with the library."""
    run("make", "sdist", cwd=ROOT)
    (archive,) = (ROOT / "build/wheel").glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        names = packed.getnames()
        packed.extractall(tmp_path, filter="data")
    source = f"fne-{fne.__version__}"
    assert f"{source}/libfne/Sources/FNE/Jobs.swift" in names and f"{source}/libfne/include/fne.h" in names
    assert not [name for name in names if "/.build" in name or name.endswith((".so", ".so.2"))]
    refused = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", tmp_path / "out", tmp_path / source],
        env=dict(ENVIRONMENT, SWIFT="/nowhere/swift"),
        capture_output=True,
        text=True,
    )
    assert refused.returncode != 0 and "built with Swift 6.3 or later" in refused.stdout + refused.stderr
    run(
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "-o",
        tmp_path / "out",
        tmp_path / source,
        env=ENVIRONMENT,
    )
    (wheel,) = (tmp_path / "out").glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        assert packed.getinfo("fne/lib/libfne.so.2").file_size > 1_000_000
