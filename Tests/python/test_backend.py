"""Finding, loading and sharing TensorFlow; forks. Each in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from conftest import ROOT, small_network

from fne._libpath import tensorflow_library


@pytest.fixture(scope="module")
def graph_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "graph.pb"
    path.write_bytes(small_network()[0].SerializeToString())
    return path


def run(program, *arguments, **environment):
    """Runs a program in a new process; returns what it printed."""
    base = {key: value for key, value in os.environ.items() if key not in ("TF_CPP_MIN_LOG_LEVEL", "FNE_TENSORFLOW")}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        env=base | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


EXTRACT = """
    import sys, numpy, fne
    def features():
        with fne.Extractor(sys.argv[1]) as extractor:
            return extractor.extract(numpy.ones((2, 48, 64, 3), numpy.float32) * 50).features
"""


def test_loads_by_itself_and_is_quiet(graph_file):
    result = run(
        EXTRACT + "    assert fne.backend_info() == ('', ''); features(); print(*fne.backend_info())", graph_file
    )
    assert result.returncode == 0, result.stderr
    version, path = result.stdout.split()
    assert version.startswith("2.") and os.path.samefile(path, tensorflow_library())
    assert result.stderr == ""


def test_the_log_names_what_was_loaded(graph_file):
    result = run(EXTRACT + "    fne.set_log_callback(lambda *line: print(*line)); features(); features()", graph_file)
    lines = result.stdout.splitlines()
    assert lines[0].startswith("info TensorFlow 2.") and result.stderr == ""
    assert any("oneDNN custom operations are on" in line for line in lines[1:]), lines
    off = run(
        EXTRACT + "    fne.set_log_callback(print); features(); features()", graph_file, TF_ENABLE_ONEDNN_OPTS="0"
    )
    assert len(off.stdout.splitlines()) == 1, off.stdout


def test_what_others_write_to_the_standard_error_stays(graph_file, tmp_path):
    """Also while the library is loaded: here by a library of that name whose start-up writes a line."""
    source = tmp_path / "noisy.c"
    source.write_text('#include <unistd.h>\n__attribute__((constructor)) void f(void) { write(2, "noise\\n", 6); }')
    library = tmp_path / "libtensorflow.so.2"
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", source, "-o", library], check=True)
    result = run("import sys, fne; fne.load_backend(sys.argv[1])", library)
    assert "noise" in result.stderr.splitlines() and "has no function TF_Version" in result.stderr


def test_functions_are_bound_when_they_are_called(graph_file, tmp_path):
    """To bind all functions of TensorFlow takes a third of its load. So what is never called may even be missing."""
    source = tmp_path / "shim.c"
    source.write_text("void fne_is_nowhere(void); void fne_is_not_called(void) { fne_is_nowhere(); }")
    library, folder = tmp_path / "libtensorflow.so.2", os.path.dirname(tensorflow_library())
    parts = [f"-L{folder}", f"-Wl,-rpath,{folder}", "-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"]
    flags = ["-Wl,--no-as-needed", "-Wl,-z,lazy", "-Wl,--unresolved-symbols=ignore-all"]
    subprocess.run(["gcc", "-shared", "-fPIC", source, *flags, *parts, "-o", library], check=True)
    ours = EXTRACT + "    numpy.save(sys.argv[2], features())"
    for place, environment in (("own.npy", {}), ("shim.npy", {"FNE_TENSORFLOW": str(library)})):
        result = run(ours, graph_file, tmp_path / place, **environment)
        assert result.returncode == 0, result.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "own.npy"), np.load(tmp_path / "shim.npy"))


def test_the_passes_of_tensorflows_optimizer(graph_file):
    """Before the first run, once each. All of its passes take as long again. The rows are those after all of them."""
    result = run(
        EXTRACT
        + """
    mine = features()[:, -32:]
    print("theirs", file=sys.stderr, flush=True)
    import tensorflow as tf
    graph_def = tf.compat.v1.GraphDef.FromString(open(sys.argv[1], "rb").read())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="import")
    with tf.compat.v1.Session(graph=graph) as session:
        theirs = session.run("import/relu5:0", {"import/input:0": numpy.ones((2, 48, 64, 3)) * 50})
    numpy.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)
    """,
        graph_file,
        TF_CPP_MIN_LOG_LEVEL="0",
        TF_CPP_VMODULE="meta_optimizer=2",
    )
    assert result.returncode == 0, result.stderr
    mine, theirs = (
        re.findall(r"meta_optimizer.* (\w+): Graph size after", said) for said in result.stderr.split("\ntheirs\n")
    )
    assert mine == ["constant_folding", "dependency_optimizer", "constant_folding", "remapper"]
    assert len(theirs) > len(mine), "the log does not tell the passes any more"


@pytest.mark.parametrize("order", ["before", "after"])
def test_shares_a_process_with_pythons_tensorflow(graph_file, order):
    result = run(
        EXTRACT
        + """
    if sys.argv[2] == "before":
        import tensorflow as tf
        mine = features()
    else:
        mine = features()
        import tensorflow as tf
    graph_def = tf.compat.v1.GraphDef.FromString(open(sys.argv[1], "rb").read())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="import")
    with tf.compat.v1.Session(graph=graph) as session:
        theirs = session.run("import/relu5:0", {"import/input:0": numpy.ones((2, 48, 64, 3)) * 50})
    numpy.testing.assert_allclose(mine[:, -32:], theirs, rtol=1e-4, atol=1e-5)
    copies = {line.split()[-1] for line in open("/proc/self/maps") if "libtensorflow_cc" in line}
    assert len(copies) == 1, copies
    features()
    """,
        graph_file,
        order,
    )
    assert result.returncode == 0, result.stderr


def test_unavailable_lists_what_was_tried(graph_file, tmp_path):
    result = run(EXTRACT + "    features()", graph_file, FNE_TENSORFLOW=str(tmp_path))
    assert result.returncode == 1 and "BackendUnavailableError" in result.stderr
    for text in (
        f"{tmp_path}/libtensorflow_cc.so.2",
        f"{tmp_path}/libtensorflow.so.2",
        "pip install tensorflow-cpu",
        "FNE_TENSORFLOW",
    ):
        assert text in result.stderr


def test_works_without_tensorflow(graph_file, tmp_path):
    """Images, models, statistics and codes need none."""
    program = """
        import sys, numpy, fne, fne._libpath
        assert len(fne.Model(sys.argv[1]).layers()) == 5
        rows = numpy.arange(12, dtype=numpy.float32).reshape(4, 3)
        statistics = fne.Statistics(3).update(rows)
        assert fne.ternarize(rows, statistics.mean(), statistics.std()).tolist()[0] == [-1, -1, -1]
        assert "tensorflow" not in open("/proc/self/maps").read()
    """
    result = run(program, graph_file, FNE_TENSORFLOW="/nowhere")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", ["file", "folder"])
def test_environment_variable_names_a_file_or_its_folder(graph_file, name):
    library = tensorflow_library()
    value = library if name == "file" else os.path.dirname(library)
    result = run(EXTRACT + "    features(); print(fne.backend_info()[1])", graph_file, FNE_TENSORFLOW=value)
    assert result.returncode == 0, result.stderr
    assert os.path.samefile(result.stdout.strip(), library)


def test_another_copy_is_a_conflict(graph_file, tmp_path):
    other = tmp_path / "libtensorflow.so.2"
    shutil.copy(ROOT / "build/lib/libfne.so.2", other)  # any other file will do
    program = (
        EXTRACT
        + """
    features()
    try:
        fne.load_backend(sys.argv[2])
    except fne.BackendConflictError as error:
        print(error)
    fne.load_backend(fne.backend_info()[1])  # the loaded one again
    features()
    """
    )
    for place in (other, tmp_path):
        result = run(program, graph_file, place)
        assert result.returncode == 0, result.stderr
        assert "is another copy" in result.stdout and str(place) in result.stdout
    # Also when Python's tensorflow is the copy that is there.
    result = run(
        """
        import sys, tensorflow, fne
        try:
            fne.load_backend(sys.argv[1])
        except fne.BackendConflictError as error:
            print(error)
        """,
        other,
    )
    assert "is another copy" in result.stdout, result.stderr


def test_a_conflict_does_not_end_the_process_later(graph_file, tmp_path):
    """The operations are registered after the checks: to register them twice would end the process."""
    result = run(
        EXTRACT
        + """
    import os, tensorflow
    for place in (sys.argv[2], sys.argv[2], "/nowhere"):
        try:
            fne.load_backend(place)
        except (fne.BackendConflictError, fne.BackendUnavailableError) as error:
            print(type(error).__name__)
    features()
    print("done")
    """,
        graph_file,
        ROOT / "build/lib/libfne.so.2",
    )
    assert result.stdout.split() == ["BackendConflictError"] * 2 + ["BackendUnavailableError", "done"], result.stderr


def test_two_copies_of_libfne_in_one_process(graph_file, tmp_path):
    """As where the system has the library and a wheel brings another: both run, with the same rows."""
    copy = tmp_path / "libfne.so.2"
    shutil.copy(ROOT / "build/lib/libfne.so.2", copy)
    result = run(
        EXTRACT
        + """
    import os
    first = features()
    for name in [name for name in sys.modules if name.split(".")[0] == "fne"]:
        del sys.modules[name]
    os.environ["FNE_LIBRARY"] = sys.argv[2]
    former, fne = fne, __import__("fne")
    assert fne is not former and sum(sys.argv[2] in line for line in open("/proc/self/maps")) > 0
    second = features()
    numpy.testing.assert_array_equal(first, second)
    print("same")
    """,
        graph_file,
        copy,
    )
    assert result.stdout == "same\n", result.stderr


def test_an_extractor_that_cannot_be_opened_decides_nothing(graph_file):
    """The first session of the process decides how many threads an operation has."""
    result = run(
        """
        import sys, fne
        fne.set_log_callback(lambda level, text: print(level, text))
        try:
            fne.Extractor(sys.argv[1], layers=["nothing"], engine_threads=1)
        except fne.UnknownTensorError:
            pass
        try:
            fne.Extractor(sys.argv[1], device="gpu:99", engine_threads=2)
        except ValueError:
            pass
        fne.Extractor(sys.argv[1], engine_threads=2).close()
        fne.Extractor(sys.argv[1], engine_threads=2).close()
        fne.Extractor(sys.argv[1], engine_threads=1).close()
        """,
        graph_file,
    )
    warnings = [line for line in result.stdout.splitlines() if "engine_threads" in line]
    assert len(warnings) == 1 and "engine_threads is 1, but" in warnings[0], result.stdout + result.stderr


def test_a_library_that_is_not_tensorflow(tmp_path):
    result = run("import sys, fne; fne.load_backend(sys.argv[1])", ROOT / "build/lib/libfne.so.2")
    assert result.returncode == 1 and "has no function TF_Version" in result.stderr


def test_fork(graph_file):
    """In the child: an error from the old extractor, everything else works."""
    program = (
        EXTRACT
        + """
    import os
    extractor = fne.Extractor(sys.argv[1])
    pixels = numpy.ones((2, 48, 64, 3), numpy.float32)
    extractor.extract(pixels)
    child = os.fork()
    if child == 0:
        try:
            extractor.extract(pixels)
            os._exit(1)
        except fne.ForkedError as error:
            assert "forked" in str(error)
        try:
            fne.Extractor(sys.argv[1])
            os._exit(2)
        except fne.ForkedError as error:
            assert "spawn" in str(error)
        statistics = fne.Statistics(3).update(numpy.ones((70, 3), numpy.float32))
        assert statistics.std().tolist() == [0, 0, 0]
        fne.ternarize(numpy.ones((2, 3), numpy.float32), statistics.mean(), statistics.std())
        fne.read_image(fne.zoo.sample_images()[0])
        extractor.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    extractor.extract(pixels)
    """
    )
    result = run(program, graph_file)
    assert result.returncode == 0, result.stderr


def test_first_load_in_a_forked_child(graph_file):
    program = (
        EXTRACT
        + """
    import multiprocessing
    fne.Statistics(3)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = pool.map(lambda_free, range(2))
    numpy.testing.assert_array_equal(results[0], results[1])
    """
    )
    program = program.replace(
        "    import multiprocessing", "    def lambda_free(_):\n        return features()\n    import multiprocessing"
    )
    result = run(program, graph_file)
    assert result.returncode == 0, result.stderr
