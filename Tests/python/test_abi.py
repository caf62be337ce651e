"""The binary interface: against its record, between programs and libraries of different ages."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.machinery
import importlib.util
import os
import re
import subprocess

import cv2
import numpy as np
import pytest
from conftest import ROOT

from fne import _ffi
from fne._ffi import lib
from fne._libpath import tensorflow_library

abi = importlib.util.module_from_spec(
    importlib.util.spec_from_loader("abi", importlib.machinery.SourceFileLoader("abi", str(ROOT / "scripts/abi")))
)
abi.__spec__.loader.exec_module(abi)
HEADER = abi.HEADER.read_text()
FIRST = {"first.h": "b7f8c2f968f672c2", "first.abi": "ffac3de19777a43f"}


# ---- the record


def test_the_record_is_of_this_header(tmp_path):
    """Every change of the interface shows in abi/, where it is read before it is taken: `make abi` writes it."""
    assert (abi.RECORD / "layout.txt").read_text() == abi.layout(abi.HEADER, tmp_path)
    assert (abi.RECORD / "symbols.txt").read_text().split() == [name + "@@FNE_2" for name in abi.names(HEADER)]

    assert (abi.RECORD / "changes.txt").read_text() == abi.changes(abi.HEADER)


def test_the_first_record_never_changes():
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in abi.RECORD.glob("first.*")}
    assert digests == FIRST


def test_no_program_is_broken():
    assert abi.breaches(abi.HEADER) == [] and abi.missing_functions(abi.LIBRARY) == ""


def changed(tmp_path, pattern, new):
    """A header in which one thing is different."""
    header = tmp_path / "changed.h"
    text, count = re.subn(pattern, new, HEADER)
    assert count == 1, pattern
    header.write_text(text)
    return header


@pytest.mark.parametrize(
    ("pattern", "new"),
    [
        (r"FNE_API uint32_t fne_abi_version\(void\);", ""),
        (r"uint32_t fne_abi_version\(void\);", "uint64_t fne_abi_version(void);"),
        (r"fne_statistics_open\(uint64_t feature_count,", "fne_statistics_open(uint32_t feature_count,"),
        (r"uint64_t max_bytes;", "uint32_t max_bytes;"),
        (r"uint64_t max_bytes;", "uint64_t before; uint64_t max_bytes;"),
        (r"(const uint8_t \*bytes;.*\n.*uint64_t size;)", r"\1 uint64_t more;"),  # fne_encoded_image
        (r"#define FNE_JOB_BUSY 22", "#define FNE_JOB_BUSY 23"),
        (r"typedef int32_t fne_status;", "typedef int64_t fne_status;"),
        (r"(fne_progress_fn\)\(void \*user, )uint64_t done", r"\1uint32_t done"),
        (r"typedef int32_t (\(\*fne_job_progress_fn)", r"typedef int64_t \1"),
        (r"    double upper;", "    uint64_t upper;"),
        (r"    int32_t crops|    uint32_t crops;", "    int32_t crops;"),
        (r"    float scale\[3\];", "    int32_t scale[3];"),
        (r"    const double \*mean;", "    const float *mean;"),
    ],
    ids=[
        "removed",
        "returns another type",
        "takes another type",
        "narrower member",
        "member in the middle",
        "element grows",
        "number",
        "status type",
        "callback's argument",
        "callback's result",
        "double to integer",
        "signed",
        "array's type",
        "pointer's type",
    ],
)
def test_what_breaks_programs_is_found(tmp_path, pattern, new):
    header = changed(tmp_path, pattern, new)
    assert abi.breaches(header)
    assert abi.changes(header) or "define" in pattern


def test_growth_is_allowed_and_shows(tmp_path):
    more = "    uint64_t later;\n} fne_model_options;\nFNE_API void fne_later(void);"
    header = changed(tmp_path, "} fne_model_options;", more)
    assert abi.breaches(header) == []
    assert "1 Added function" in abi.changes(header) and "'uint64_t later'" in abi.changes(header)


def test_a_later_release_breaks_nothing(tmp_path):
    """The numbers of the release change, as no other constant does."""
    header = changed(tmp_path, "#define FNE_VERSION_MINOR 0", "#define FNE_VERSION_MINOR 1")
    assert abi.breaches(header) == [] and abi.changes(header) == ""


# ---- programs of another age


def sizes(header):
    """The size of each struct that begins with struct_size."""
    found = re.findall(r"^struct (\w+) (\d+)\n    struct_size", header, re.MULTILINE)
    return {name: int(size) for name, size in found}


SIZES = sizes((abi.RECORD / "layout.txt").read_text())
OPTIONS = {
    "image_options",
    "model_options",
    "extractor_options",
    "extract_run",
    "ternarize_options",
    "job_options",
    "job_reports",
}
INFOS = {"image_info", "tensor_info", "layer_info", "input_info", "progress_info", "intake_info"}


def test_every_struct_is_tried():
    assert set(SIZES) == {"fne_" + name for name in OPTIONS | INFOS}


@pytest.fixture(scope="module")
def calls(network, tmp_path_factory):
    """For each struct a function that calls the library with a pointer to one, and returns the status."""
    import fne

    graph, *_ = network
    data = graph.SerializeToString()
    png = cv2.imencode(".png", np.zeros((4, 5, 3), np.uint8))[1].tobytes()
    model = fne.Model(data)
    extractor = fne.Extractor(model, size=(48, 64))
    pixels = np.zeros((1, 48, 64, 3), np.float32)
    features = np.zeros((1, extractor.feature_count), np.float32)
    paths = tmp_path_factory.mktemp("abi") / "a.png"
    paths.write_bytes(png)
    names = (ctypes.c_char_p * 1)(os.fsencode(paths))
    folders = iter(range(1000))
    info = _ffi.sized(_ffi.ImageInfo)
    x, mean, std, codes = np.ones((1, 2), np.float32), np.zeros(2), np.ones(2), np.zeros(2, np.int8)

    def at(array):
        return ctypes.c_void_p(array.ctypes.data)

    def closing(close, call, *arguments):
        handle = ctypes.c_void_p()
        status = call(*arguments, ctypes.byref(handle))
        close(handle)
        return status

    def job(options):
        """The options name no image, so defaults where the program's struct is short: a job of a list that is too
        short."""
        folder = os.fsencode(tmp_path_factory.getbasetemp() / f"job{next(folders)}")
        return closing(lib.fne_job_close, lib.fne_job_open, folder, model._handle(), None, options)

    job_options = _ffi.sized(_ffi.JobOptions)
    job_options.paths, job_options.path_count = names, 1
    run_job = ctypes.c_void_p()
    extractor_options = _ffi.sized(_ffi.ExtractorOptions)
    lib.fne_extractor_options_init(ctypes.byref(extractor_options), ctypes.sizeof(extractor_options))
    extractor_options.height, extractor_options.width = 48, 64
    lib.fne_job_options_init(ctypes.byref(job_options), ctypes.sizeof(job_options))
    job_options.paths, job_options.path_count = names, 1
    folder = os.fsencode(tmp_path_factory.getbasetemp() / "opened")
    assert (
        lib.fne_job_open(
            folder, model._handle(), ctypes.byref(extractor_options), ctypes.byref(job_options), ctypes.byref(run_job)
        )
        == 0
    )
    yield {
        "image_options": lambda p: lib.fne_image_probe_memory(png, len(png), p, ctypes.byref(info)),
        "image_info": lambda p: lib.fne_image_probe_memory(png, len(png), None, p),
        "model_options": lambda p: closing(lib.fne_model_close, lib.fne_model_open_memory, data, len(data), p),
        "tensor_info": lambda p: lib.fne_model_tensor_info(model._handle(), 1, p),
        "extractor_options": lambda p: closing(lib.fne_extractor_close, lib.fne_extractor_open, model._handle(), p),
        "layer_info": lambda p: lib.fne_extractor_layer_info(extractor._handle(), 1, p),
        "input_info": lambda p: lib.fne_extractor_input_info(extractor._handle(), p),
        "extract_run": lambda p: lib.fne_extract_tensor(
            extractor._handle(), at(pixels), pixels.size, 1, at(features), features.size, p
        ),
        "ternarize_options": lambda p: lib.fne_ternarize(at(x), 1, 2, at(mean), at(std), p, at(codes), 2),
        "job_options": job,
        "job_reports": lambda p: lib.fne_job_run(run_job, p),
        "progress_info": lambda p: lib.fne_job_progress_info(run_job, p),
        "intake_info": lambda p: lib.fne_job_intake_info(run_job, p),
    }
    lib.fne_job_close(run_job)


class Guarded:
    """A struct of any size between bytes that must not change, and must not matter."""

    MARGIN = 256

    def __init__(self, name, size):
        self.size = size
        self.bytes = bytearray(b"\xa5" * (size + 2 * self.MARGIN))
        self._view = (ctypes.c_char * len(self.bytes)).from_buffer(self.bytes)
        struct = getattr(_ffi, "".join(part.title() for part in name.split("_")))
        self.pointer = ctypes.cast(ctypes.addressof(self._view) + self.MARGIN, ctypes.POINTER(struct))
        getattr(lib, f"fne_{name}_init")(self.pointer, size)

    @property
    def content(self):
        return bytes(self.bytes[self.MARGIN : self.MARGIN + self.size])

    def check(self):
        margin = b"\xa5" * self.MARGIN
        assert self.bytes[: self.MARGIN] == margin and self.bytes[-self.MARGIN :] == margin, "written outside"


#: What a call answers with default options where that is no success: options that no default serves.
NEEDED = {"job_options": (1,), "extractor_options": (0,)}


@pytest.mark.parametrize("name", sorted(OPTIONS | INFOS))
def test_shorter_structs_of_older_programs(calls, name):
    full = SIZES["fne_" + name]
    whole = Guarded(name, full)
    expected = calls[name](whole.pointer)
    assert expected in NEEDED.get(name, (0,)), lib.fne_last_error()
    for size in range(8, full, 8):
        short = Guarded(name, size)
        assert calls[name](short.pointer) == expected, lib.fne_last_error()
        short.check()
        assert short.content[:8] == size.to_bytes(8, "little")
        if name in INFOS:
            assert short.content[8:] == whole.content[8:size]


@pytest.mark.parametrize("name", sorted(OPTIONS | INFOS))
def test_longer_structs_of_newer_programs(calls, name):
    full = SIZES["fne_" + name]
    for more in (8, 64):
        long = Guarded(name, full + more)
        assert long.content[full:] == bytes(more)  # initialized: what the library does not know is 0
        assert calls[name](long.pointer) in NEEDED.get(name, (0,)), lib.fne_last_error()
        long.check()
        if name in INFOS:
            assert long.content[full:] == bytes(more)
            continue
        long.bytes[Guarded.MARGIN + full + more - 1] = 1  # an option of a later release
        assert calls[name](long.pointer) == 1
        assert b"does not know" in lib.fne_last_error()


@pytest.mark.parametrize("name", sorted(OPTIONS | INFOS))
def test_sizes_that_no_compiler_makes(calls, name):
    for size in (0, 4, 7, 12, SIZES["fne_" + name] - 4):
        odd = Guarded(name, SIZES["fne_" + name])
        odd.bytes[Guarded.MARGIN : Guarded.MARGIN + 8] = size.to_bytes(8, "little")
        assert calls[name](odd.pointer) == 1 and b"struct_size" in lib.fne_last_error()


def older(header):
    """The header as if its structs' last eight bytes had not been there yet."""

    def shorten(match):
        name, body = match.groups()
        if "struct_size" not in body:
            return match.group()
        members = [member for member in body.split(";") if member.strip()]
        is_wide = any(word in members[-1] for word in ("*", "64_t", "double", "_fn "))
        members = members[: -1 if is_wide else -2]
        return f"typedef struct {name} {{{';'.join(members)};\n}} {name};"

    return re.sub(
        r"^typedef struct (\w+) \{(.*?)^\} \1;", shorten, abi.without_comments(header), flags=re.MULTILINE | re.DOTALL
    )


@pytest.mark.parametrize("age", ["first", "older"])
def test_programs_built_before(tmp_path, lite0, photographs, age):
    """The example, compiled against the first recorded header and against one with shorter structs, on today's
    library."""
    include = tmp_path / "include"
    include.mkdir()
    text = (abi.RECORD / "first.h").read_text() if age == "first" else older(HEADER)
    (include / "fne.h").write_text(text)
    if age == "older":
        folder = tmp_path / "layout"
        folder.mkdir()
        lengths = sizes(abi.layout(include / "fne.h", folder))
        assert lengths == {name: size - 8 for name, size in SIZES.items()}
    results = []
    for name, headers in (("today", ROOT / "build/include"), (age, include)):
        program, out = tmp_path / name, tmp_path / f"{name}.npy"
        library = ROOT / "build/lib"
        subprocess.run(
            [
                "gcc",
                "-I",
                headers,
                ROOT / "bindings/c/embed.c",
                "-L",
                library,
                "-lfne",
                f"-Wl,-rpath,{library}",
                "-o",
                program,
            ],
            check=True,
        )
        subprocess.run(
            [program, lite0, "input", "224x224", out, *photographs[:3]],
            check=True,
            capture_output=True,
            env=dict(os.environ, FNE_TENSORFLOW=tensorflow_library()),
        )
        results.append(np.load(out))
    np.testing.assert_array_equal(*results)
    assert set(np.unique(results[0])) == {-1, 0, 1}
