"""include/fne.h on its own: that it compiles, and that it documents what it declares. `make docs` renders it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

HEADER = ROOT / "include/fne.h"
TEXT = HEADER.read_text()

# What is declared, with the doc comment directly before it, if there is one: not a group's, nor what follows a
# constant.
COMMENT = r"(/\*\*(?!<| \\[dn}])(?:(?!\*/).)*\*/)?\s*"
FUNCTION = re.compile(COMMENT + r"^FNE_API ([\w *]+?)(\w+)\(([^)]*)\);", re.DOTALL | re.MULTILINE)
CALLBACK = re.compile(COMMENT + r"^typedef ([\w *]+?)\(\*(\w+)\)\(([^)]*)\);", re.DOTALL | re.MULTILINE)
STRUCT = re.compile(COMMENT + r"^typedef struct (\w+) \{\n(.*?)^\} \2;", re.DOTALL | re.MULTILINE)
MEMBER = re.compile(r"^    [^/\s][^;/]*?(\w+)(?:\[\d+\])?;(.*)$", re.MULTILINE)
CONSTANT = re.compile(r"(^(?:/\*\*(?!<)| \*).*\*/\n)?^#define (FNE_\w+) (\(?-?\d+\)?)(.*)$", re.MULTILINE)


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


def check_parameters(name, comment, parameters):
    declared = [] if parameters == "void" else [re.search(r"(\w+)$", part).group() for part in parameters.split(",")]
    documented = re.findall(r"\\param\[(?:in|out|in,out)\] +(\w+) +\S", comment)
    assert documented == declared, name


def functions():
    return {match[3]: match for match in FUNCTION.finditer(TEXT)}


def test_every_function_is_found():
    declared = set(re.findall(r"\b(fne_\w+)\(", without_comments(TEXT)))
    assert set(functions()) == declared and len(declared) >= 67


@pytest.mark.parametrize("name", functions())
def test_function_is_documented(name):
    comment, result, _, parameters = functions()[name].groups()
    assert comment, "no doc comment directly before it"
    check_parameters(name, comment, parameters)
    if result.strip() == "void":
        assert r"\return" not in comment
    else:
        assert re.search(r"\\return \S|\\retval \S+ +\S", comment)
    assert re.search(r"\\since \d+\.\d+ \*/$", comment)


def test_infos_read_alike():
    """The main page's rule: fne_OBJECT_FACT_info() fills an fne_FACT_info. Images, which are no objects, have verbs."""
    filled = {}
    for name, match in functions().items():
        info = re.search(r"\b(fne_\w+_info) \*info\b", match[4])
        if info and not name.startswith("fne_image_"):
            filled.setdefault(info[1], set()).add(name)
    assert set(filled) == set(re.findall(r"^\} (fne_\w+_info);", TEXT, re.MULTILINE)) - {"fne_image_info"}
    for info, names in filled.items():
        fact = info.removeprefix("fne_")
        assert f"{info}_init" in names and len(names) >= 2
        assert all(re.fullmatch(rf"fne_[a-z]+_{fact}", name) for name in names - {f"{info}_init"}), names


def test_error_codes_in_comments_exist():
    named = set(re.findall(r"\\retval (\w+)", TEXT))
    assert named and named <= {match[2] for match in CONSTANT.finditer(TEXT)}


def test_callbacks_are_documented():
    callbacks = list(CALLBACK.finditer(TEXT))
    assert len(callbacks) == len(re.findall(r"^typedef .*\(\*", TEXT, re.MULTILINE)) >= 4
    for match in callbacks:
        comment, result, name, parameters = match.groups()
        assert comment, name
        check_parameters(name, comment, parameters)
        assert (r"\return " in comment) == (result.strip() != "void"), name


def test_structs_and_members_are_documented():
    structs = list(STRUCT.finditer(TEXT))
    assert len(structs) == len(re.findall(r"^typedef struct \w+ \{", TEXT, re.MULTILINE)) >= 14
    for match in structs:
        comment, name, body = match.groups()
        assert comment, name
        members = MEMBER.findall(body)
        assert len(members) == without_comments(body).count(";"), name
        for member, rest in members:
            assert re.match(r" +/\*\*< \S", rest), f"{name}.{member}"


def test_constants_are_documented():
    constants = list(CONSTANT.finditer(TEXT))
    assert len(constants) == len(re.findall(r"^#define FNE_\w+ \S*\d", TEXT, re.MULTILINE)) >= 62
    for match in constants:
        before, name, _, rest = match.groups()
        assert before or re.match(r" +/\*\*< \S", rest), name


# From a source that includes it, as programs do: in a main file constants that nothing uses would be remarked upon.
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("language", ["c99", "c11", "c++11", "c++20"])
def test_compiles_alone(compiler, language, tmp_path):
    suffix = "cpp" if "++" in language else "c"
    source = tmp_path / f"alone.{suffix}"
    source.write_text("#include <fne.h>\n")
    flags = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    if compiler == "clang":
        # All that clang knows, -Wdocumentation included. Left out: C++98, which has neither <stdint.h> nor long long,
        # and padding, which other processors may need where this one needs none; struct layouts have their test.
        flags += ["-Weverything", "-Wno-c++98-compat-pedantic", "-Wno-padded"]
    command = [*compile_with(compiler), f"-std={language}", *flags, "-fsyntax-only", f"-I{HEADER.parent}", source]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def compile_with(compiler):
    """gcc and clang take C++ too, by the source's name. clang comes with Swift."""
    if compiler == "clang" and not shutil.which("clang"):
        return [Path(shutil.which(os.environ.get("SWIFT", "swift"))).resolve().parent / "clang"]
    return [compiler]
