"""`fne layers`: the layers of a network."""

from __future__ import annotations

import argparse
from itertools import repeat
from typing import Any

import fne
from fne._command.arguments import add_feeds, add_model, network, new_command, size
from fne._command.output import give, say
from fne._command.reading import reading
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
        "  fne layers network.pb '*/Relu' --all\n"
        "  fne layers network.pb --size 224",
    )
    add_model(command)
    command.add_argument(
        "pattern", nargs="?", default="all", help="a selector: a name, a glob, all, penultimate, or last:25%% (all)"
    )
    add_feeds(command)
    command.add_argument("--all", action="store_true", help="list every tensor, not only the outputs of layers")
    command.add_argument("--size", type=size, metavar="S or HxW", help="the pixels of the images (as the graph says)")
    command.add_argument("--input-tensor", metavar="NAME", help="the tensor that images are fed to")


def run(given: argparse.Namespace) -> None:
    """Runs `fne layers`."""
    model = network(given, given.feeds)
    pattern = model.resolved(given.pattern)
    shapes, why = _shapes(model, given)
    listed = [
        (tensor, shape)
        for tensor, shape in zip(model.tensors(), shapes or repeat(None), strict=False)
        if given.all or tensor.is_default or tensor.is_classifier or tensor.is_classifier_input or tensor.is_penultimate
    ]
    tensors = [tensor for tensor, _ in listed]
    try:
        numbers = select(
            pattern,
            [tensor.name for tensor in tensors],
            [tensor.is_default for tensor in tensors],
            [tensor.is_penultimate for tensor in tensors],
        )
    except fne.UnknownTensorError as failure:
        raise fne.InvalidArgumentError(f"{failure}; --all lists every tensor") from None
    chosen = [listed[number] for number in numbers]
    read = list(reading(model, given.input_tensor))
    give(
        {
            "layers": [
                {**tensor._asdict(), "shape": shape, "features": _features(tensor, shape, model.engine) or None}
                for tensor, shape in chosen
            ],
            "reads": read,
            "notes": model.notes(),
        }
    )
    width = max(len(printable(tensor.name)) for tensor, _ in chosen)
    module = "       module" if any(tensor.module for tensor, _ in chosen) else ""
    say(f"{'name':{width}}  {'kind':11}  {'shape':18}  {'features':>8}  default{module}")
    for tensor, shape in chosen:
        name, features = printable(tensor.name), _features(tensor, shape, model.engine) or "?"
        described = _shape(tensor, shape, model.engine)
        say(f"{name:{width}}  {tensor.kind:11}  {described:18}  {features:>8}  {_role(tensor)}".rstrip())
    taken = [_features(tensor, shape, model.engine) for tensor, shape in chosen if tensor.is_default]
    say(f"{len(taken)} default layers, {sum(taken)} features")
    for line in read:
        say(line)
    for note in model.notes():
        say(note)
    if shapes is None:
        say(why)


def _shapes(model: fne.Model, given: argparse.Namespace) -> tuple[list[tuple[int, ...] | None] | None, str]:
    """The shapes of the model's tensors, or None and how to see them. The graph may not say the images' size, and those
    of an ONNX file are computed by ONNX Runtime."""
    try:
        return model.shapes(given.input_tensor, given.size), ""
    except fne.BackendError as error:
        return None, f"the shapes are not known: {error}"
    except (fne.InvalidArgumentError, fne.TensorError):
        if given.size is not None or given.input_tensor is not None:
            raise
        return None, "--size shows the shapes for images of a size, which the graph does not say"


def _shape(tensor: fne.TensorInfo, shape: tuple[int, ...] | None, engine: str) -> str:
    if shape:
        rows = "n" if shape[0] == 1 else f"{shape[0]}n"
        return f"[{', '.join([rows, *map(str, shape[1:])])}]"
    if engine == "onnxruntime":
        return "?"  # the rank does not say which axes are the images' and the channels'
    return {4: "[n, h, w, {}]", 2: "[n, {}]"}.get(tensor.rank or 0, "?").format(tensor.channels or "?")


def _features(tensor: fne.TensorInfo, shape: tuple[int, ...] | None, engine: str) -> int:
    """The features of a tensor; 0 where they are not known."""
    if tensor.channels or not shape or len(shape) < 2:
        return tensor.channels or 0
    # Of a map of an ONNX network that is no layer, the shape does not say which axis has the channels.
    return 0 if engine == "onnxruntime" and len(shape) > 3 else shape[-1]


def _role(tensor: fne.TensorInfo) -> str:
    role = "yes" if tensor.is_default else "classifier" if tensor.is_classifier else ""
    if tensor.is_classifier_input:
        role = f"{role} (the classifier's input)" if role else "the classifier's input"
    return f"{role:12}  {printable(tensor.module)}" if tensor.module else role
