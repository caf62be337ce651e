"""The goal of an extractor: one frame at a time, on all processors."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import onnx_networks
import pytest

import fne

PROCESSORS = min(len(os.sched_getaffinity(0)), 16)
SIZES = {"tensorflow": (48, 64), "onnxruntime": (32, 40)}


@pytest.fixture(params=["tensorflow", "onnxruntime"])
def source(request, graph):
    """A network for each engine."""
    of_onnx = request.param == "onnxruntime"
    content = onnx_networks.convolutional()[0].SerializeToString() if of_onnx else graph.read_bytes()
    return content, SIZES[request.param]


def run(program, *arguments, **environment):
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **environment})
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def opened(source, **options):
    return fne.Extractor(source[0], size=source[1], preset="raw", **options)


def test_the_rows_are_those_of_the_default(source, photographs):
    """From files, from encoded images, from pixels and from tensors, for one image and for several."""
    pixels = [fne.read_image(path) for path in photographs[:5]]
    encoded = [path.read_bytes() for path in photographs[:5]]
    with opened(source) as default:
        expected = default.extract(photographs[:5]).features
        fed = np.concatenate([default.preprocess(image) for image in pixels])
    assert np.ptp(expected, axis=0).max() > 0.01
    with opened(source, goal="latency") as extractor:
        for kind in (photographs[:5], encoded, pixels, fed):
            together = extractor.extract(kind).features
            np.testing.assert_allclose(together, expected, rtol=1e-4, atol=1e-5)
            single = [extractor.extract(kind[image : image + 1]).features[0] for image in range(5)]
            np.testing.assert_array_equal(single, together)


def test_what_the_goal_chooses(source):
    with opened(source, goal="latency") as extractor:
        assert (extractor.batch_size, extractor.streams) == (1, 1)
    with opened(source, goal="latency", batch_size=3, streams=2) as extractor:
        assert (extractor.batch_size, extractor.streams) == (3, 2), "what is asked for comes first"
    with opened(source, goal="throughput") as extractor, opened(source) as default:
        assert (extractor.batch_size, extractor.streams) == (default.batch_size, default.streams)
    with pytest.raises(fne.InvalidArgumentError, match="goal is 'speed'"):
        opened(source, goal="speed")


@pytest.mark.parametrize("engine", SIZES)
def test_the_threads_of_an_operation(graph, photographs, tmp_path, engine):
    """A job's manifest has them. On TensorFlow the first extractor of the process decides, and the log says so."""
    network = tmp_path / "network"
    of_onnx = engine == "onnxruntime"
    network.write_bytes(onnx_networks.convolutional()[0].SerializeToString() if of_onnx else graph.read_bytes())
    program = """
    import sys, warnings
    import fne
    warnings.simplefilter("ignore")
    network, folder, first, height, width, *images = sys.argv[1:]
    size = int(height), int(width)
    fne.set_log_callback(lambda level, text: print(level, text))
    if first:
        fne.Extractor(network, size=size, preset="raw", engine_threads=int(first))
    job = fne.embed_dataset(images, network, folder, size=size, preset="raw", goal="latency")
    print(job.manifest["settings"]["engine_threads"], job.manifest["settings"]["batch_size"])
    """
    other = PROCESSORS + 1
    for first, threads in (("", PROCESSORS), (other, PROCESSORS if of_onnx else other)):
        lines = run(program, network, tmp_path / f"job{first}", first, *SIZES[engine], *photographs[:2])
        assert lines[-1] == f"{threads} 1"
        told = [line for line in lines if line.startswith("warning") and "goal is latency" in line]
        assert len(told) == (threads != PROCESSORS), lines
        assert all(f"would be {PROCESSORS}, but the first extractor" in line for line in told)


@pytest.mark.parametrize("given", [None, "0"])
def test_the_calling_thread_works_too(graph, given):
    """oneDNN's operations on TensorFlow. The user's own choice stays."""
    program = """
    import ctypes, os, sys
    import fne
    fne.Extractor(sys.argv[1], size=(48, 64), goal="latency")
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    print((getenv(b"TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD") or b"").decode())
    """
    name = "TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD"
    assert run(program, graph, **({} if given is None else {name: given})) == [given or "1"]
