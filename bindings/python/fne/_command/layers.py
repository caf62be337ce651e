"""`fne layers`: the layers of a network."""

from __future__ import annotations

import argparse
from typing import Any

import fne
from fne._command.arguments import add_feeds, add_model, network, new_command
from fne._command.output import say
from fne._selection import select
from fne._text import printable


def add_command(commands: Any) -> None:
    """Adds `fne layers`."""
    command = new_command(
        commands,
        "layers",
        run,
        "Lists a network's layers: name, kind, shape, features, and whether each is a default layer.",
        "examples:\n"
        "  fne layers network.pb\n"
        "  fne layers network.pb 'block4_*'\n"
        "  fne layers network.pb '*/Relu' --all",
    )
    add_model(command)
    command.add_argument(
        "pattern", nargs="?", default="all", help="a selector: a name, a glob, all, penultimate, or last:25%% (all)"
    )
    add_feeds(command)
    command.add_argument("--all", action="store_true", help="list every tensor, not only the outputs of layers")


def run(given: argparse.Namespace) -> None:
    """Runs `fne layers`."""
    model = network(given, given.feeds)
    pattern = model.resolved(given.pattern)
    tensors = [
        tensor
        for tensor in model.tensors()
        if given.all or tensor.is_default or tensor.is_classifier or tensor.is_classifier_input or tensor.is_penultimate
    ]
    try:
        numbers = select(
            pattern,
            [tensor.name for tensor in tensors],
            [tensor.is_default for tensor in tensors],
            [tensor.is_penultimate for tensor in tensors],
        )
    except fne.UnknownTensorError as failure:
        raise fne.InvalidArgumentError(f"{failure}; --all lists every tensor") from None
    chosen = [tensors[number] for number in numbers]
    width = max(len(printable(tensor.name)) for tensor in chosen)
    say(f"{'name':{width}}  {'kind':11}  {'shape':16}  {'features':>8}  default")
    for tensor in chosen:
        shape = {4: "[n, h, w, {}]", 2: "[n, {}]"}.get(tensor.rank or 0, "?").format(tensor.channels or "?")
        features = str(tensor.channels or "?")
        say(f"{printable(tensor.name):{width}}  {tensor.kind:11}  {shape:16}  {features:>8}  {_role(tensor)}".rstrip())
    taken = [tensor.channels or 0 for tensor in chosen if tensor.is_default]
    say(f"{len(taken)} default layers, {sum(taken)} features")
    for note in model.notes():
        say(note)


def _role(tensor: fne.TensorInfo) -> str:
    role = "yes" if tensor.is_default else "classifier" if tensor.is_classifier else ""
    if tensor.is_classifier_input:
        return f"{role} (the classifier's input)" if role else "the classifier's input"
    return role
