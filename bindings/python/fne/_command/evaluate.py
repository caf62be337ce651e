"""`fne evaluate`: how well classes are told apart."""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path
from typing import Any

import fne
from fne._command.arguments import (
    add_extractor_options,
    add_model,
    add_quiet,
    add_thresholds,
    extractor_options,
    images,
    network,
    new_command,
)
from fne._command.output import say
from fne._evaluation.classifiers import CLASSIFIERS
from fne._evaluation.dataset import classes_of
from fne._evaluation.evaluate import choices
from fne._evaluation.plots import plot_thresholds
from fne._evaluation.protocol import SEEDS, smallest_class, splits
from fne._evaluation.representations import REPRESENTATIONS
from fne._evaluation.thresholds import TRAINING_IMAGES
from fne._thresholds import LOWER, LOWERS, UPPER, UPPERS


def add_command(commands: Any) -> None:
    """Adds `fne evaluate`."""
    command = new_command(
        commands,
        "evaluate",
        run,
        "Measures how well classes are told apart with few training images, beside single layers.",
        "examples:\n"
        "  fne evaluate flowers network.pb evaluation --size 224\n"
        "  fne evaluate flowers efficientnet_lite0 evaluation --images 1 --images 10 --images all --thresholds\n"
        f"\n{choices()}",
    )
    command.add_argument(
        "source", help="a folder that holds a folder of images for each class, or a list of name, tab, class"
    )
    add_model(command)
    command.add_argument("output", help="a folder for the features, evaluation.json and plots")
    command.add_argument(
        "--images", action="append", type=images, metavar="K", help="training images per class, or all; may be repeated"
    )
    command.add_argument(
        "--seeds", type=int, default=SEEDS, help=f"the number of random splits for each number of images ({SEEDS})"
    )
    command.add_argument(
        "--representation",
        action="append",
        metavar="NAME",
        choices=REPRESENTATIONS,
        help="one of the representations below; may be repeated (all of them)",
    )
    command.add_argument(
        "--classifier",
        action="append",
        metavar="NAME",
        choices=CLASSIFIERS,
        help="one of the classifiers below; may be repeated (svm)",
    )
    add_thresholds(command)
    command.add_argument(
        "--thresholds",
        action="store_true",
        help=f"also measure the accuracy over a grid of thresholds, with {TRAINING_IMAGES} training images per class; "
        "writes thresholds.json and a plot",
    )
    add_quiet(command)
    add_extractor_options(command, layers=False)  # the representations choose them


def run(given: argparse.Namespace) -> None:
    """Runs `fne evaluate`."""
    chosen: dict[str, Any] = {"images_per_class": given.images} if given.images else {}
    if given.representation:
        chosen["representations"] = given.representation
    if given.classifier:
        chosen["classifiers"] = given.classifier
    if given.thresholds:
        _refuse_too_few(given.source)
    model = network(given)
    result = fne.evaluate(
        given.source,
        model,
        given.output,
        seeds=given.seeds,
        lower=given.lower,
        upper=given.upper,
        progress=not given.quiet,
        **chosen,
        **extractor_options(given),
    )
    for line in result.table().split("\n"):
        say(line)
    if given.thresholds:
        _thresholds(given, model)


def _refuse_too_few(source: str) -> None:
    """Says before the network runs that the grid of thresholds needs more images."""
    _, labels, classes, _ = classes_of(source)
    if splits(labels, TRAINING_IMAGES, 0) is None:
        smallest = smallest_class(labels, classes)
        raise fne.InvalidArgumentError(
            f"--thresholds trains with {TRAINING_IMAGES} images per class and needs one more for the test; "
            f"'{smallest.name}' has {smallest.images}"
        )


def _thresholds(given: argparse.Namespace, model: fne.Model) -> None:
    output = Path(given.output)
    labels = classes_of(given.source)[1]
    layers = [tensor.name for tensor in model.layers()]
    grid, near = fne.threshold_study(fne.Job(output / "job"), labels, seeds=given.seeds, layers=layers)
    say()
    say("accuracy by thresholds, lower down, upper across; in brackets the paper's")
    say("        " + "".join(f"{upper:^9.2f}" for upper in UPPERS))
    for lower, row in zip(LOWERS, grid, strict=True):
        cells = (
            f"[{value:.3f}]" if (lower, upper) == (LOWER, UPPER) else f" {value:.3f} "
            for upper, value in zip(UPPERS, row, strict=True)
        )
        say(f"{lower:8.2f}" + "".join(f"{cell:^9}" for cell in cells))
    say(f"{near:.2%} of the standardized values lie within 0.01 of one of the paper's thresholds")
    found = {"lower": LOWERS, "upper": UPPERS, "accuracy": grid.tolist(), "share within 0.01 of the paper's": near}
    (output / "thresholds.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if importlib.util.find_spec("matplotlib"):
        plot_thresholds(grid, LOWERS, UPPERS, output / "thresholds.png")
