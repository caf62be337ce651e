"""Finding, loading and sharing ONNX Runtime's library; forks. Each in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib import metadata

import pytest
from conftest import ROOT
from test_backend import run as run_program

from fne._libpath import onnxruntime_library

LOAD = """
    import os, sys, fne
    def load(path=None):
        fne.load_backend(path, engine="onnxruntime")
        return fne.backend_info("onnxruntime")
"""


def run(program, *arguments, **environment):
    return run_program(LOAD + program, *arguments, **{"FNE_ONNXRUNTIME": "", **environment})


def printed(program, *arguments, **environment):
    """What a program printed, which wrote nothing else and ended well."""
    result = run(program, *arguments, **environment)
    assert result.returncode == 0 and result.stderr == "", result.stderr
    return result.stdout.split()


def test_finds_the_wheel_without_an_import_of_it():
    """The version is the one that pip knows."""
    version, path, modules = printed("""
    assert fne.backend_info("onnxruntime") == ("", "")
    print(*load(), "onnxruntime" in sys.modules)
    assert load() == fne.backend_info("onnxruntime") and fne.backend_info() == ("", "")
    """)
    assert version == metadata.version("onnxruntime") and modules == "False"
    assert os.path.samefile(path, onnxruntime_library())


def test_the_log_names_what_was_loaded():
    words = printed("    fne.set_log_callback(lambda *line: print(*line)); load(); load()")
    assert words[:3] == ["info", "ONNX", "Runtime"] and len(words) == 6 and words[5].endswith(words[3])


def test_no_telemetry_no_threads_no_tensorflow(tmp_path, monkeypatch):
    """ONNX Runtime opens a database in the cache folder, and starts a thread, where it sends telemetry."""
    for name in ("CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS"):
        monkeypatch.delenv(name, raising=False)
    out = printed(
        """
    before = len(os.listdir("/proc/self/task"))
    load()
    print("tensorflow" in open("/proc/self/maps").read(), len(os.listdir("/proc/self/task")) - before)
    """,
        HOME=str(tmp_path),
        XDG_CACHE_HOME=str(tmp_path),
    )
    assert out == ["False", "0"] and os.listdir(tmp_path) == []


@pytest.mark.parametrize("place", ["file", "capi", "package"])
def test_environment_variable_names_a_file_or_its_folder(place):
    file = onnxruntime_library()
    value = {"file": file, "capi": os.path.dirname(file), "package": os.path.dirname(os.path.dirname(file))}[place]
    _, path = printed("    print(*load())", FNE_ONNXRUNTIME=value)
    assert os.path.samefile(path, file)
    _, path = printed("    print(*load(sys.argv[1]))", value, FNE_ONNXRUNTIME="/nowhere")
    assert os.path.samefile(path, file)


def test_the_systems_library_path(tmp_path):
    os.symlink(onnxruntime_library(), tmp_path / "libonnxruntime.so.1")
    program = """
    from fne import _backend
    _backend.engine_library = lambda engine: None
    print(*load())
    """
    _, path = printed(program, LD_LIBRARY_PATH=str(tmp_path))
    assert os.path.samefile(path, onnxruntime_library())
    missing = run(program.replace("import _backend", "import _backend; sys.path.clear()"))
    assert "BackendUnavailableError" in missing.stderr and "pip install onnxruntime" in missing.stderr
    for text in ("libonnxruntime.so.1", "FNE_ONNXRUNTIME", "capi/libonnxruntime.so.*"):
        assert text in missing.stderr


def test_a_copy_that_is_in_the_process_is_taken():
    _, path = printed(
        """
    import ctypes
    from fne import _backend
    _backend.engine_library = lambda engine: None
    ctypes.CDLL(sys.argv[1])
    print(*load())
    """,
        onnxruntime_library(),
    )
    assert os.path.samefile(path, onnxruntime_library())


def test_places_without_a_library(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("no library")
    cut = tmp_path / "libonnxruntime.so.1"
    with open(onnxruntime_library(), "rb") as file:
        cut.write_bytes(file.read(100_000))
    for place in ("/nowhere/libonnxruntime.so.1", tmp_path / "empty", tmp_path / "text", cut, tmp_path):
        result = run("    load(sys.argv[1])", place)
        assert result.returncode == 1 and "BackendUnavailableError" in result.stderr, result.stderr
        assert str(place) in result.stderr


def test_a_library_that_is_not_onnx_runtime():
    result = run("    load(sys.argv[1])", ROOT / "build/lib/libfne.so.2")
    assert "BackendUnavailableError" in result.stderr and "has no function OrtGetApiBase" in result.stderr
    assert "libfne.so.2' has" in result.stderr


OLD = """
    #include <stddef.h>
    #include <stdint.h>
    static const void *get(uint32_t version) { return version <= 17 ? &get : NULL; }
    static const char *text(void) { return "1.17.3"; }
    static const struct { const void *(*get)(uint32_t); const char *(*text)(void); } base = {get, text};
    const void *OrtGetApiBase(void) { return &base; }
"""


def test_a_version_that_is_too_old(tmp_path):
    (tmp_path / "old.c").write_text(OLD)
    library = tmp_path / "libonnxruntime.so"
    subprocess.run(["gcc", "-shared", "-fPIC", tmp_path / "old.c", "-o", library], check=True)
    result = run("    load(sys.argv[1])", tmp_path)
    assert "BackendUnavailableError" in result.stderr
    assert f"'{library}' is ONNX Runtime 1.17.3, which is too old" in result.stderr


def test_another_copy_is_a_conflict_once_one_is_loaded(tmp_path):
    other = tmp_path / "libonnxruntime.so.1"
    shutil.copy(onnxruntime_library(), other)
    program = """
    first = load()
    for path in (sys.argv[1], os.path.dirname(sys.argv[1]), "/nowhere"):
        try:
            load(path)
        except (fne.BackendConflictError, fne.BackendUnavailableError) as error:
            print(type(error).__name__, "another copy" in str(error))
    assert load() == load(first[1]) == first
    """
    out = printed(program, other)
    assert out == ["BackendConflictError", "True"] * 2 + ["BackendUnavailableError", "False"]
    # A copy of others is no conflict: the named one is loaded beside it.
    _, path = printed(
        "    import ctypes; ctypes.CDLL(sys.argv[2]); print(*load(sys.argv[1]))", other, onnxruntime_library()
    )
    assert path == str(other)


@pytest.mark.parametrize(
    "order", ["fne onnxruntime tensorflow", "onnxruntime tensorflow fne", "tensorflow fne onnxruntime"]
)
def test_shares_a_process(order):
    """With Python's onnxruntime, which has a copy of its own, and with TensorFlow, in any order."""
    out = run(
        """
    import importlib, sys
    for name in sys.argv[1].split():
        if name == "fne":
            load()
            fne.load_backend()
        else:
            importlib.import_module(name)
    import onnxruntime, tensorflow
    options = onnxruntime.SessionOptions()
    assert float(tensorflow.reduce_sum(tensorflow.constant([1.0, 2.0]))) == 3
    print(onnxruntime.get_available_providers()[-1], load()[0] == onnxruntime.__version__)
    """,
        order,
        TF_CPP_MIN_LOG_LEVEL="3",
    )
    assert out.stdout.split() == ["CPUExecutionProvider", "True"], out.stderr


def test_fork():
    """In the child of a process that had loaded it: an error. Where the child is the first to load it, it works."""
    out = printed("""
    if os.fork() == 0:
        load()
        os._exit(0)
    assert os.wait()[1] == 0
    load()
    if os.fork() == 0:
        try:
            load()
        except fne.ForkedError as error:
            print("spawn" in str(error), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0
    print(load()[0] != "")
    """)
    assert out == ["True", "True"]


def test_several_threads_load_at_once():
    out = printed("""
    import threading
    found = []
    threads = [threading.Thread(target=lambda: found.append(load())) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print(len(found), len(set(found)))
    """)
    assert out == ["8", "1"]


def test_engines_that_are_not_there():
    out = printed("""
    for call in (lambda: fne.load_backend(engine="onnx"), lambda: fne.load_backend("/nowhere", engine=""),
                 lambda: fne.backend_info("torch")):
        try:
            call()
        except ValueError as error:
            print("'tensorflow' or 'onnxruntime'" in str(error))
    """)
    assert out == ["True"] * 3


def test_a_limit_of_address_space():
    """Whatever a limit leaves, the process goes on: the library is loaded, or there is an error."""
    program = """
    import resource
    taken = int(open("/proc/self/statm").read().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (taken + int(sys.argv[1]) * 2**20,) * 2)
    try:
        print(load()[0])
    except (fne.BackendUnavailableError, fne.errors.OutOfMemoryError) as error:
        print("error")
    """
    ends = [run(program, size) for size in (8, 36, 40, 44, 48, 60, 100, 400)]
    assert [end.returncode for end in ends] == [0] * len(ends), [end.stderr for end in ends]
    assert ends[0].stdout == "error\n" and ends[-1].stdout != "error\n"
