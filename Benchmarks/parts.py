"""The parts of `make bench`: what each measures, by which commands, and about how long it takes."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from networks import FOLDER, PEERS, ROOT, photographs, random_onnx

HERE = Path(__file__).resolve().parent
#: Packages without which some parts cannot run.
TORCH = ("torch", "torchvision", "timm", "onnx", "onnxruntime")

Command = list[str]


class LeftOut(Exception):
    """A part cannot be measured here. The text says what it needs."""


class Part(NamedTuple):
    """A part of the benchmark.

    about: what it measures
    seconds: how long it takes on a quiet machine of two cores, as a trial and as a whole
    commands: makes the commands that run one after the other; raises LeftOut
    """

    about: str
    seconds: tuple[float, float]
    commands: Callable[[argparse.Namespace], list[Command]]


def _own(script: str, *options: str) -> Callable[[argparse.Namespace], list[Command]]:
    """A script that takes the options of settings.py, in this Python."""
    return lambda given: [[sys.executable, str(HERE / script), *options, *_settings(given)]]


def _settings(given: argparse.Namespace) -> list[str]:
    found = ["--rounds", str(given.rounds)] if given.rounds else []
    found += ["--assets", str(given.assets)] if given.assets else []
    found += ["--network", given.network] if given.network else []
    return found + (["--quick"] if given.quick else [])


def _rounds(given: argparse.Namespace, trial: int, whole: int) -> str:
    return str(given.rounds or (trial if given.quick else whole))


def _jobs(what: str) -> Callable[[argparse.Namespace], list[Command]]:
    def commands(given: argparse.Namespace) -> list[Command]:
        counts = ["--images", str(given.images)] if given.images else []
        counts += ["--new", str(given.new)] if given.new else []
        return [command + counts for command in _own("jobs.py", what)(given)]

    return commands


def _codes(given: argparse.Namespace) -> list[Command]:
    python = PEERS if PEERS.exists() else sys.executable
    return [[str(python), str(HERE / "codes.py"), _rounds(given, 3, 5), *(["trial"] if given.quick else [])]]


# ---- parts that need PyTorch


def _with_torch() -> str:
    """A Python that has what makes ONNX files with random weights."""
    if PEERS.exists():
        return str(PEERS)
    missing = [name for name in TORCH if importlib.util.find_spec(name) is None]
    if missing:
        raise LeftOut(f"{', '.join(missing)} not installed; make bench-peers, or make extras")
    return sys.executable


def _again(given: argparse.Namespace) -> list[Command]:
    try:
        onnx = ["--onnx", str(random_onnx("mobilenet_v2", _with_torch()))]
    except LeftOut:  # the default network is in both forms
        onnx = []
    return [command + onnx for command in _own("again.py")(given)]


def _folder(given: argparse.Namespace) -> Path:
    """A folder with photographs."""
    if given.assets:
        return Path(given.assets / "images/flowers17")
    folder = FOLDER / "photographs"
    folder.mkdir(parents=True, exist_ok=True)
    photographs(None, folder)
    return folder


def _first_row(given: argparse.Namespace) -> list[Command]:
    python = _with_torch()
    network, image = random_onnx("mobilenet_v2", python), _photograph(given)
    graph = ["--graph", str(_graph(given, "mobilenet_v2_1.0_224"))] if given.assets else []
    return [[python, str(HERE / "cold.py"), str(network), image, *graph, "--rounds", _rounds(given, 2, 9)]]


def _photograph(given: argparse.Namespace) -> str:
    import fne

    return str(fne.list_images(_folder(given))[0])


def _graph(given: argparse.Namespace, name: str) -> Path:
    return Path(given.assets / "models" / f"{name}.pb")


def _latency(given: argparse.Namespace) -> list[Command]:
    python, image = _with_torch(), _photograph(given)
    pairs = [("mobilenet_v2", "mobilenet_v2_1.0_224"), ("resnet50", "bvlc_googlenet")]
    commands: list[Command] = []
    for name, graph in pairs[:1] if given.quick else pairs:
        command = [python, str(HERE / "latency.py"), str(random_onnx(name, python)), image]
        command += ["--rounds", _rounds(given, 2, 7), *(["--frames", "10"] if given.quick else [])]
        command += ["--without-overhead"] if commands else []
        commands.append(command + (["--graph", str(_graph(given, graph))] if given.assets and not given.quick else []))
    return commands


def _onnx(given: argparse.Namespace) -> list[Command]:
    command = [_with_torch(), str(HERE / "onnx_speed.py"), str(_folder(given)), "--rounds", _rounds(given, 3, 7)]
    if not given.quick:
        return [[*command, "--images", "32"]]
    few = ["--images", "16", "--engines", "onnxruntime_bare", "onnxruntime_maps"]
    return [[*command[:3], "mobilenet_v3_large", *command[3:], *few]]


# ---- parts that need photographs of flowers


def _needs_flowers(given: argparse.Namespace) -> Path:
    if not given.assets:
        raise LeftOut("it needs ASSETS=folder with images/flowers17, a folder for each class")
    return Path(given.assets / "images/flowers17")


def _duplicates(given: argparse.Namespace) -> list[Command]:
    flowers = _needs_flowers(given)
    if given.quick:
        raise LeftOut("a trial leaves it out")
    return [[sys.executable, str(HERE / "duplicates.py"), str(flowers), str(ROOT / "build/bench/duplicates")]]


def _evaluation(given: argparse.Namespace) -> list[Command]:
    _needs_flowers(given)
    if given.quick:
        raise LeftOut("a trial leaves it out")
    out = str(ROOT / "build/bench/evaluation")
    return [[sys.executable, str(HERE / "evaluation.py"), "--assets", str(given.assets), "--out", out]]


def _clusters(given: argparse.Namespace) -> list[Command]:
    if given.quick:
        raise LeftOut("a trial leaves it out")
    return _own("clusters.py")(given)


def _listing(given: argparse.Namespace) -> list[Command]:
    return [[sys.executable, str(HERE / "listing.py"), *(["10000"] if given.quick else [])]]


#: In the order in which they are measured.
PARTS = {
    "library": Part("what the library needs, its size, and how long it takes to load", (3, 5), _own("library.py")),
    "postprocess": Part("ternary values and statistics, beside NumPy", (8, 12), _own("postprocess.py")),
    "agreement": Part("values that equal the original's", (12, 120), _own("agreement.py")),
    "speed": Part("images per second, beside other engines", (80, 700), _own("speed.py")),
    "cold": Part("whole processes, beside the original", (20, 240), _own("whole.py", "cold")),
    "memory": Part("peak memory with few and with many images", (10, 60), _own("whole.py", "memory")),
    "precision": Part("bfloat16 beside float32", (8, 180), _own("precision.py")),
    "jobs": Part("jobs, beside the network alone", (12, 200), _jobs("jobs")),
    "update": Part("an update of a job, beside a fresh job", (6, 120), _jobs("update")),
    "again": Part("a second call on the same network", (12, 25), _again),
    "large": Part("photographs of 12 megapixels, decoded as a whole and scaled", (25, 700), _own("large.py")),
    "codes": Part("search among packed codes, and classifiers on them", (20, 240), _codes),
    "firstrow": Part("the first row on ONNX Runtime", (8, 30), _first_row),
    "latency": Part("one image at a time", (25, 240), _latency),
    "onnx": Part("images per second on ONNX Runtime", (40, 600), _onnx),
    "clusters": Part("Ray and Spark beside fne embed", (1, 900), _clusters),
    "listing": Part("listing folders of files", (3, 30), _listing),
    "duplicates": Part("copies and wrong labels that are found", (1, 90), _duplicates),
    "evaluation": Part("what fne.evaluate takes", (1, 150), _evaluation),
}
