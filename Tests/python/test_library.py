"""The built libfne.so: what it needs, what it exports, how it is laid out, how it loads."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import textwrap

from conftest import ROOT

from fne import _ffi

LIBRARY = ROOT / "build/lib/libfne.so.2"
HEADER = ROOT / "include/fne.h"


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def declared():
    return set(re.findall(r"\b(fne_\w+)\(", re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)))


def test_needs_only_system_libraries():
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-d", LIBRARY)))
    assert needed <= {
        "libc.so.6",
        "libm.so.6",
        "libstdc++.so.6",
        "libgcc_s.so.1",
        "libjpeg.so.62",
        "libpng16.so.16",
        "ld-linux-x86-64.so.2",
    }


def test_soname_and_no_runpath():
    dynamic = run("readelf", "-d", LIBRARY)
    assert "[libfne.so.2]" in re.search(r"SONAME.*", dynamic).group()
    assert "RUNPATH" not in dynamic and "RPATH" not in dynamic


def test_exports_exactly_the_header():
    symbols = re.findall(r" ([A-Za-z]) (\S+)", run("nm", "-D", "--defined-only", "--with-symbol-versions", LIBRARY))
    exported = {name for kind, name in symbols if kind != "A"}
    assert exported == {name + "@@FNE_2" for name in declared()}


def test_size():
    assert LIBRARY.stat().st_size < 10_000_000


def test_loads_without_swift_and_tensorflow():
    program = textwrap.dedent(f"""
        import ctypes
        library = ctypes.CDLL({str(LIBRARY)!r})
        assert library.fne_abi_version() == 2 and library.fne_version_number() == 20000
        maps = open("/proc/self/maps").read()
        assert "libfne" in maps and "libswift" not in maps and "tensorflow" not in maps, maps
    """)
    environment = {"PATH": "/usr/bin:/bin"}  # nothing of Swift
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_import_is_light():
    program = "import sys, fne; assert not {'tensorflow', 'cv2', 'sklearn', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_ctypes_structs_have_the_header_layout(tmp_path):
    """sizeof and every offsetof, as the C compiler sees the header."""
    structs = {
        "fne_image_options": _ffi.ImageOptions,
        "fne_image_info": _ffi.ImageInfo,
        "fne_model_options": _ffi.ModelOptions,
        "fne_tensor_info": _ffi.TensorInfo,
        "fne_extractor_options": _ffi.ExtractorOptions,
        "fne_layer_info": _ffi.LayerInfo,
        "fne_input_info": _ffi.InputInfo,
        "fne_extract_run": _ffi.ExtractRun,
        "fne_encoded_image": _ffi.EncodedImage,
        "fne_pixel_image": _ffi.PixelImage,
        "fne_ternarize_options": _ffi.TernarizeOptions,
        "fne_job_options": _ffi.JobOptions,
        "fne_job_reports": _ffi.JobReports,
        "fne_progress_info": _ffi.ProgressInfo,
        "fne_intake_info": _ffi.IntakeInfo,
    }
    assert set(re.findall(r"^typedef struct (\w+) \{", HEADER.read_text(), re.MULTILINE)) == set(structs)
    lines, expected = [], []
    for name, struct in structs.items():
        lines.append(f'printf("%zu\\n", sizeof({name}));')
        expected.append(ctypes.sizeof(struct))
        for member, *_ in struct._fields_:
            lines.append(f'printf("%zu\\n", offsetof({name}, {member}));')
            expected.append(getattr(struct, member).offset)
    source = tmp_path / "layout.c"
    source.write_text(
        "#include <fne.h>\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {" + "".join(lines) + "}"
    )
    run("gcc", "-I", ROOT / "include", source, "-o", tmp_path / "layout")
    assert [int(line) for line in run(tmp_path / "layout").split()] == expected


def test_python_names_every_function_that_it_calls():
    assert set(_ffi._STATUS_FUNCTIONS) | set(_ffi._OTHER_FUNCTIONS) <= declared()


def test_log_callback_receives_codec_warnings(tmp_path):
    """Bytes before a marker are no damage: the picture is taken, and the log says so."""
    import cv2
    import numpy as np

    import fne

    data = bytearray(cv2.imencode(".jpg", np.full((16, 16, 3), 90, np.uint8))[1].tobytes())
    at = data.index(b"\xff\xda")
    data[at:at] = b"\x00\x00\x00"
    lines = []
    fne.set_log_callback(lambda level, message: lines.append((level, message)))
    try:
        image = fne.read_image(bytes(data))
    finally:
        fne.set_log_callback(None)
    assert image.shape == (16, 16, 3)
    assert len(lines) == 1 and lines[0][0] == "warning" and "extraneous" in lines[0][1]
    fne.read_image(bytes(data))
    assert len(lines) == 1


def test_library_path_can_be_given():
    environment = dict(os.environ, FNE_LIBRARY="/nowhere/libfne.so")
    result = subprocess.run([sys.executable, "-c", "import fne"], env=environment, capture_output=True, text=True)
    assert result.returncode == 1 and "NotInstalledError" in result.stderr and "/nowhere/libfne.so" in result.stderr
