"""Arguments that several sub-commands take."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import fne
from fne._backend import ENGINES
from fne._images import INTERPOLATIONS
from fne._options import (
    CHANNEL_ORDERS,
    DECODE_MODES,
    GOALS,
    PRECISIONS,
    RESIZE_MODES,
    TOKEN_POOLINGS,
    ExtractorOptions,
)
from fne._preprocessing import PRESETS
from fne._thresholds import LOWER, UPPER
from fne.zoo._efficientnet import EFFICIENTNET_LITE0

EXIT_ERROR, EXIT_INTERRUPTED = 1, 130

DEFAULT_NETWORK = EFFICIENTNET_LITE0


def new_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int | None], text: str, epilog: str
) -> argparse.ArgumentParser:
    """Adds a sub-command. The first sentence of its text stands in the list of commands."""
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text.split(".")[0],
        description=text,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    command.set_defaults(run=run)
    return command


def add_model(command: argparse.ArgumentParser) -> None:
    """Adds the argument for the network, and the options that say what is taken of it."""
    command.add_argument(
        "model",
        help="a frozen GraphDef (.pb), an ONNX file, a SavedModel's folder, a Keras model (.keras, .h5), a network of "
        f"a library such as timm:resnet50 or torchvision:resnet50, or {DEFAULT_NETWORK}, the default network",
    )
    add_saved_model_choice(command)


def add_saved_model_choice(command: argparse.ArgumentParser) -> None:
    """Adds the options that say what is taken of a SavedModel, and whether a graph may do more than compute."""
    command.add_argument(
        "--allow-unsafe", action="store_true", help="take a graph that may read and write files, from a trusted source"
    )
    command.add_argument("--engine", choices=ENGINES, help="the library that is to run the network (the file decides)")
    command.add_argument("--signature", metavar="NAME", help="a SavedModel's signature (serving_default, or the only)")
    command.add_argument(
        "--tags", metavar="TAG,TAG", help="the tags of a SavedModel's graph (those of the only graph, or serve)"
    )


def network(given: argparse.Namespace, feeds: list[str] | None = None) -> fne.Model:
    """The network that the arguments name: a file or a folder, or one of the zoo.

    Args:
        feeds: values for inputs beside the image, where no extractor gets them
    """
    tags = None if given.tags is None else [tag for tag in given.tags.split(",") if tag]
    return fne.Model(
        given.model,
        signature=given.signature,
        tags=tags,
        allow_unsafe=given.allow_unsafe,
        feeds=feeds,
        engine=given.engine,
    )


def add_images(command: argparse.ArgumentParser) -> None:
    """Adds the option that says where a job's images are."""
    command.add_argument(
        "--images",
        metavar="FOLDER",
        help="the folder that the job's names are relative to, for the pictures (where it was when the job ran)",
    )


def images_of(job: fne.Job, given: str | None) -> str:
    """The folder of a job's images: the one that is given, or where they were, or else the working directory."""
    return given or job.places.images or "."


def add_goal(command: argparse.ArgumentParser, default: str, why: str) -> None:
    """Adds the option that says whether images come one at a time.

    Args:
        why: when to choose the other goal
    """
    command.add_argument(
        "--goal", choices=list(GOALS), default=default, help=f"what the network is opened for: {why} ({default})"
    )


def add_quiet(command: Any) -> None:
    """Adds the option that hides the progress line."""
    command.add_argument("--quiet", action="store_true", help="show no progress line")


def add_thresholds(command: Any) -> None:
    """Adds the options for the two thresholds."""
    command.add_argument("--lower", type=float, default=LOWER, metavar="Z", help=f"codes are -1 below it ({LOWER})")
    command.add_argument("--upper", type=float, default=UPPER, metavar="Z", help=f"codes are 1 above it ({UPPER})")


# ---- codes


def add_code_options(command: argparse.ArgumentParser) -> None:
    """Adds the options that say which codes a job makes."""
    codes = command.add_argument_group("codes")
    codes.add_argument("--codes", default="int8", metavar="LIST", help="int8, packed, int8,packed or none (int8)")
    codes.add_argument("--statistics", metavar="FILE", help="make codes with these saved statistics")
    codes.add_argument("--no-features", action="store_true", help="keep the codes only; it needs --statistics")
    add_thresholds(codes)
    add_quiet(codes)


def code_options(given: argparse.Namespace) -> Any:
    """The options of `fne.embed_dataset` and `fne.merge_shards` that these arguments give."""
    formats = [] if given.codes == "none" else given.codes.split(",")
    return {
        "codes": formats or None,
        "statistics": given.statistics,
        "keep_features": not given.no_features,
        "lower": given.lower,
        "upper": given.upper,
        "progress": not given.quiet,
    }


# ---- the extractor


def add_extractor_options(command: argparse.ArgumentParser, *, layers: bool = True) -> None:
    """Adds the options of `fne.Extractor`.

    Args:
        layers: whether the layers can be selected
    """
    group = command.add_argument_group("network and preprocessing (fne.Extractor documents them)")
    add = group.add_argument
    add("--input-tensor", metavar="NAME", help="the tensor that images are fed to (the graph's only placeholder)")
    if layers:
        add(
            "--layers",
            action="append",
            metavar="SELECTOR",
            help="a name, a glob, all, penultimate, or last:25%%; may be repeated",
        )
    add_feeds(group)
    add("--size", type=size, metavar="S or HxW", help="the pixels that the network is fed with (as the graph says)")
    add("--preset", choices=PRESETS, help="how the network is fed (as what stands beside an ONNX file says)")
    add("--resize-mode", choices=RESIZE_MODES, help="fill the size, or keep the aspect and cut (stretch)")
    add("--resize-size", type=size, metavar="S or HxW", help="the pixels that images are resized to before the crop")
    add("--interpolation", choices=INTERPOLATIONS, help="how images are resized (bilinear)")
    add("--decode", choices=DECODE_MODES, help="scaled reads large JPEGs at a part of their size, which is fast (full)")
    add("--crops", type=int, choices=[1, 10], help="the crops of each image (1)")
    add("--channels", type=int, choices=[1, 3], help="1 for a network of grey images (as the graph says, else 3)")
    add("--channel-order", choices=CHANNEL_ORDERS, help="the order that the network is fed with (rgb)")
    add("--mean", type=channels, metavar="M or R,G,B", help="the value fed is (pixel - mean) * scale")
    add("--scale", type=channels, metavar="S or R,G,B", help="see --mean")
    add("--precision", choices=PRECISIONS, help="what layers multiply (float32)")
    add("--float32-layers", type=int, metavar="N", help="how many layers stay float32 with bfloat16")
    add("--token-pooling", choices=TOKEN_POOLINGS, help="what is taken of a transformer's tokens (mean)")
    add("--prefix-tokens", type=int, metavar="N", help="the tokens before the image's own (1)")
    add("--batch-size", type=int, metavar="N", help="the rows per run of the network")
    add("--streams", type=int, metavar="N", help="the batches that are in the network at once")
    add("--loader-threads", type=int, metavar="N", help="the threads that read and resize images")
    add("--engine-threads", type=int, metavar="N", help="the threads of one operation of TensorFlow")
    add("--device", metavar="DEVICE", help="cpu, gpu or gpu:N")
    add("--gpu-memory-growth", action="store_true", default=None, help="take the GPU's memory when it is needed")


def add_feeds(command: Any) -> None:
    """Adds the option that gives values to inputs beside the image."""
    command.add_argument(
        "--feed",
        dest="feeds",
        action="append",
        metavar="NAME=VALUE",
        help="a value for an input beside the image, such as phase_train=false; may be repeated",
    )


def extractor_options(given: argparse.Namespace) -> Any:
    """The options of `fne.Extractor` that were given."""
    # The model has been asked for its engine already.
    options = {name: getattr(given, name, None) for name in ExtractorOptions.__annotations__ if name != "engine"}
    return {name: value for name, value in options.items() if value is not None}


# ---- types


def size(text: str) -> tuple[int, int]:
    """A size such as 224, or 224x320: height and width."""
    height, _, width = text.partition("x")
    try:
        return int(height), int(width or height)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 224 or 224x320") from None


def channels(text: str) -> float | list[float]:
    """A number, or one for each of the three channels."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, nor three such as 1,2,3") from None
    return numbers[0] if len(numbers) == 1 else numbers


def shard(text: str) -> tuple[int, int]:
    """A part of a whole such as 0/8: its index and the number of parts."""
    index, _, count = text.partition("/")
    try:
        return int(index), int(count)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a shard such as 0/8") from None


def images(text: str) -> int | str:
    """A number of images, or "all"."""
    try:
        return text if text == "all" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of images, nor all") from None
