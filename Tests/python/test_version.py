"""The version. It stands in the Makefile, and files that cannot read it there are compared with it here."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys

import pytest
from conftest import ROOT

import fne
from fne import _ffi

VERSION = re.search(r"^VERSION := (\d+\.\d+\.\d+)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1)
MAJOR, MINOR, PATCH = map(int, VERSION.split("."))

# In these files every match of the pattern must give the version.
PLACES = {
    "bindings/python/fne/__init__.py": r'^__version__ = "(.*)"$',
    "bindings/python/fne.1": r'^\.TH FNE 1 "" "fne (.*)" ',
    "CITATION.cff": r"^version: (.*)$",
    "Sources/FNESupport/FNEError.swift": r'^public let libraryVersion = "(.*)"$',
    "bindings/cpp/fne.hpp": r"\bv(\d+_\d+_\d+)_cxx",
}


@pytest.mark.parametrize("place", PLACES)
def test_every_place_has_the_makefiles_version(place):
    found = set(re.findall(PLACES[place], (ROOT / place).read_text(), re.MULTILINE))
    assert {version.replace("_", ".") for version in found} == {VERSION}, f"{place} differs from the Makefile"


def test_the_header_has_it_in_numbers():
    header = (ROOT / "include/fne.h").read_text()
    numbers = re.findall(r"^#define FNE_VERSION_(MAJOR|MINOR|PATCH) (\d+)\b", header, re.MULTILINE)
    assert dict(numbers) == {"MAJOR": str(MAJOR), "MINOR": str(MINOR), "PATCH": str(PATCH)}, "include/fne.h"
    assert f"{MAJOR * 10000 + MINOR * 100 + PATCH} is {VERSION}" in header, "include/fne.h"


def test_the_newest_section_of_the_changelog():
    first = re.search(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE).group(1)
    assert first == VERSION, "CHANGELOG.md"


def test_pages_name_no_other_release():
    """File names such as libfne.so.2.0.0 and fne-2.0.0-py3-none-any.whl, in every page."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bindings").rglob("*.md")]
    for page in pages:
        named = re.findall(r"\blibfne\.so\.(\d+\.\d+\.\d+)|\bfne-(\d+\.\d+\.\d+)-py3", page.read_text())
        assert {version for pair in named for version in pair if version} <= {VERSION}, page


def test_the_built_library_and_the_package():
    assert _ffi.lib.fne_version_string().decode() == VERSION, "build the library again: make build"
    assert fne.__version__ == VERSION
    out = subprocess.run([sys.executable, "-m", "fne", "--version"], capture_output=True, text=True, check=True).stdout
    assert out.startswith(f"fne {VERSION} (")


def test_setuptools_reads_it_without_the_library(tmp_path):
    """pyproject.toml takes it from the package's text: a build has no library to import the package with."""
    program = (
        "from setuptools.config.pyprojecttoml import read_configuration as r; "
        "print(r('pyproject.toml')['project']['version'])"
    )
    place = ROOT / "bindings/python"
    environment = {"FNE_LIBRARY": "/nowhere", "PATH": "/usr/bin:/bin"}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=place, env=environment, capture_output=True, text=True
    )
    assert result.stdout == f"{VERSION}\n", result.stderr
    assert importlib.metadata.version("fne") == VERSION, "install the package again: make venv"
