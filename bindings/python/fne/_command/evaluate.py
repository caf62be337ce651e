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
from fne._command.output import give, say
from fne._evaluation.classifiers import CLASSIFIERS, VOTES
from fne._evaluation.dataset import SPLITS, DataSet, data_set
from fne._evaluation.evaluate import choices, prepared
from fne._evaluation.plots import plot_thresholds
from fne._evaluation.protocol import IMAGES_PER_CLASS, PROTOCOL, PROTOCOLS, SEEDS, smallest_class, splits
from fne._evaluation.representations import DEFAULT_REPRESENTATIONS, REPRESENTATIONS
from fne._evaluation.result import Evaluation
from fne._evaluation.retrieval import METRICS
from fne._evaluation.thresholds import TRAINING_IMAGES
from fne._thresholds import LOWER, LOWERS, UPPER, UPPERS


def add_command(commands: Any) -> None:
    """Adds `fne evaluate`."""
    command = new_command(
        commands,
        "evaluate",
        run,
        "Measures how well classes are told apart with few training images, or found by search, beside single layers.",
        "examples:\n"
        "  fne evaluate flowers network.pb evaluation --size 224\n"
        "  fne evaluate flowers efficientnet_lite0 evaluation --images 1 --images 10 --images all --thresholds\n"
        "  fne evaluate flowers efficientnet_lite0 evaluation --classifier ridge\n"
        "  fne evaluate flowers efficientnet_lite0 evaluation --task retrieval\n"
        "  fne evaluate flowers vgg16.pb crops --protocol paper --size 224\n"
        f"\n{choices()}",
    )
    command.add_argument(
        "source",
        help="a folder that holds a folder of images for each class, or folders such as train and val that hold these; "
        "or a list of name, tab, class",
    )
    add_model(command)
    command.add_argument("output", help="a folder for the features, evaluation.json and plots")
    command.add_argument(
        "--task",
        choices=TASKS,
        default="classify",
        help="classify: classifiers are trained on a few images of each class; retrieval: each image is a query among "
        "all others (classify)",
    )
    command.add_argument(
        "--split",
        choices=SPLITS,
        default="auto",
        help=f"auto: {SPLITS['auto']}; none: {SPLITS['none']} (auto)",
    )
    command.add_argument(
        "--images", action="append", type=images, metavar="K", help="training images per class, or all; may be repeated"
    )
    command.add_argument("--seeds", type=int, help=f"the number of random splits for each number of images ({SEEDS})")
    command.add_argument(
        "--representation",
        action="append",
        metavar="NAME",
        choices=REPRESENTATIONS,
        help="one of the representations below; may be repeated (all but best layer)",
    )
    command.add_argument(
        "--classifier",
        action="append",
        metavar="NAME",
        choices=CLASSIFIERS,
        help="one of the classifiers below; may be repeated (svm)",
    )
    command.add_argument("--vote", choices=VOTES, help="how the crops of an image decide (sum)")
    command.add_argument("--protocol", choices=PROTOCOLS, help="what holds where other options do not say (library)")
    command.add_argument(
        "--reference",
        metavar="NAME",
        choices=REPRESENTATIONS,
        default="fne",
        help="the representation that the table of differences compares with (fne)",
    )
    command.add_argument(
        "--metric",
        action="append",
        choices=METRICS,
        help="for retrieval, how rows are compared; may be repeated (all)",
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


#: The tasks, and the options that belong to each alone.
TASKS = {
    "classify": ("images", "seeds", "classifier", "vote", "protocol", "thresholds"),
    "retrieval": ("metric",),
}


def run(given: argparse.Namespace) -> int:
    """Runs `fne evaluate`."""
    for task, options in TASKS.items():
        for option in options if task != given.task else ():
            if getattr(given, option):
                raise fne.InvalidArgumentError(f"--{option} belongs to --task {task}; the task is {given.task}")
    found = data_set(given.source, given.split)
    for line in found.described():
        say(line)
    return _retrieval(given, found) if given.task == "retrieval" else _classify(given, found)


def _retrieval(given: argparse.Namespace, found: DataSet) -> int:
    chosen: dict[str, Any] = {"metrics": given.metric} if given.metric else {}
    if given.representation:
        chosen["representations"] = given.representation
    result = fne.evaluate_retrieval(
        found,
        network(given),
        given.output,
        **chosen,
        **_shared(given),
        **extractor_options(given),
    )
    give(result.as_json())
    _say_lines(result.table((given.reference, "cosine")))
    return 0


def _say_lines(text: str) -> None:
    for line in text.split("\n"):
        say(line)


def _shared(given: argparse.Namespace) -> dict[str, Any]:
    """The options that both tasks take."""
    return {"split": given.split, "lower": given.lower, "upper": given.upper, "progress": not given.quiet}


def _classify(given: argparse.Namespace, found: DataSet) -> int:
    given.seeds = SEEDS if given.seeds is None else given.seeds
    if given.thresholds:
        _refuse_too_few(found)
    model = network(given)
    measuring = prepared(
        found,
        model,
        given.output,
        images_per_class=given.images or IMAGES_PER_CLASS,
        seeds=given.seeds,
        representations=given.representation or DEFAULT_REPRESENTATIONS,
        classifiers=given.classifier or None,
        vote=given.vote,
        protocol=given.protocol or PROTOCOL,
        **_shared(given),
        extractor=extractor_options(given),
    )
    try:
        result = measuring.run()
        _say_result(result, given.reference)
    except KeyboardInterrupt:
        result = measuring.result()
        if result.scores:
            give(result.as_json())
            _say_result(result, given.reference)
            say("this was measured before the interruption; the same command goes on from there")
        raise
    measured = _thresholds(given, model, found) if given.thresholds else None
    give({**result.as_json(), "thresholds": measured})
    return 0


def _say_result(result: Evaluation, reference: str) -> None:
    """Prints the accuracies, and the differences where the reference was measured."""
    _say_lines(result.table())
    measured = {score.representation for score in result.scores}
    if reference in measured and len(measured) > 1:
        say()
        _say_lines(result.difference_table(reference))
        say("± standard error over the splits; + ahead, - behind, = level, by Student's interval of 95 %")


def _refuse_too_few(found: DataSet) -> None:
    """Says before the network runs that the grid of thresholds needs more images."""
    if splits(found.labels, TRAINING_IMAGES, 0, is_test=found.is_test) is None:
        smallest = smallest_class(found.labels, found.classes, found.is_test)
        needed = " and needs one more for the test" if found.is_test is None else ""
        raise fne.InvalidArgumentError(
            f"--thresholds trains with {TRAINING_IMAGES} images per class{needed}; "
            f"'{smallest.name}' has {smallest.images}"
        )


def _thresholds(given: argparse.Namespace, model: fne.Model, found: DataSet) -> dict[str, Any]:
    output = Path(given.output)
    layers = [tensor.name for tensor in model.layers()]
    grid, near = fne.threshold_study(
        fne.Job(output / "job"), found.labels, seeds=given.seeds, layers=layers, is_test=found.is_test
    )
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
    measured = {"lower": LOWERS, "upper": UPPERS, "accuracy": grid.tolist(), "share within 0.01 of the paper's": near}
    (output / "thresholds.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    if importlib.util.find_spec("matplotlib"):
        plot_thresholds(grid, LOWERS, UPPERS, output / "thresholds.png")
    return measured
