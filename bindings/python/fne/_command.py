"""The command `fne`; `python -m fne` is the same."""

from __future__ import annotations

import argparse
import fnmatch
import importlib.util
import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fne
from fne import zoo
from fne._classifiers import CLASSIFIERS
from fne._evaluate import classes_of, smallest_class, splits
from fne._plots import PAPER, plot_thresholds
from fne._representations import REPRESENTATIONS

EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130

DESCRIPTION = """The Full-Network Embedding of images.

exit status: 0 done; 1 an error, named in one line on the standard error; 2 wrong usage; 130 interrupted (Ctrl-C)"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    given = _parser().parse_args(arguments)
    try:
        return int(given.run(given) or 0)
    except KeyboardInterrupt:
        print("fne: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (fne.FNEError, OSError, ValueError, TypeError, ImportError) as failure:
        if given.debug:
            traceback.print_exc()
        print(f"fne: {failure}", file=sys.stderr)
        return EXIT_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "fne", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"fne {fne.__version__} ({fne.build_info()})")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _layers_command(commands)
    _embed_command(commands)
    _merge_command(commands)
    _evaluate_command(commands)
    _search_command(commands)
    _report_command(commands)
    _doctor_command(commands)
    return parser


def _command(commands: Any, name: str, run: Any, text: str, example: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text.split(".")[0],
        description=text,
        epilog="examples:\n" + example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    command.set_defaults(run=run)
    return command


# ---- layers


def _layers_command(commands: Any) -> None:
    command = _command(
        commands,
        "layers",
        _layers,
        "Lists a network's layers: name, kind, shape, features, and whether each is a default layer.",
        "  fne layers network.pb\n  fne layers network.pb 'block4_*'\n  fne layers network.pb '*/Relu' --all",
    )
    command.add_argument("model", help="a frozen GraphDef (.pb), a SavedModel's folder, or efficientnet_lite0")
    command.add_argument("pattern", nargs="?", default="*", help="a glob over the names")
    command.add_argument("--all", action="store_true", help="every tensor, not only the outputs of layers")


def _layers(given: argparse.Namespace) -> None:
    model = fne.Model(network(given.model))
    chosen = [
        tensor
        for tensor in model.tensors()
        if fnmatch.fnmatchcase(tensor.name, given.pattern)
        and (given.all or tensor.is_default or tensor.is_classifier or tensor.is_classifier_input)
    ]
    if not chosen:
        raise ValueError(f"no layer is named {given.pattern!r}; --all lists every tensor")
    width = max(len(tensor.name) for tensor in chosen)
    print(f"{'name':{width}}  {'kind':11}  {'shape':16}  {'features':>8}  default")
    for tensor in chosen:
        shape = {4: "[n, h, w, {}]", 2: "[n, {}]"}.get(tensor.rank or 0, "?").format(tensor.channels or "?")
        default = "yes" if tensor.is_default else "classifier" if tensor.is_classifier else ""
        if tensor.is_classifier_input:
            default += " (the classifier's input)" if default else "the classifier's input"
        print(f"{tensor.name:{width}}  {tensor.kind:11}  {shape:16}  {tensor.channels or '?':>8}  {default}".rstrip())
    taken = [tensor.channels or 0 for tensor in chosen if tensor.is_default]
    print(f"{len(taken)} default layers, {sum(taken)} features")


# ---- evaluate

#: training images a class of the grid of thresholds
_THRESHOLD_IMAGES = 10


def _evaluate_command(commands: Any) -> None:
    command = _command(
        commands,
        "evaluate",
        _evaluate,
        "Measures how well classes are told apart, with few training images, beside single layers.",
        "  fne evaluate flowers network.pb evaluation --size 224\n"
        "  fne evaluate flowers efficientnet_lite0 evaluation --images 1 --images 10 --images all --seeds 3 --thresholds",
    )
    command.add_argument(
        "source", help="a folder with a folder of images for each class, or a list of name, tab, class"
    )
    command.add_argument("model", help="a frozen GraphDef (.pb), a SavedModel's folder, or efficientnet_lite0")
    command.add_argument("output", help="a folder for the features, evaluation.json and plots")
    command.add_argument(
        "--images", action="append", type=_images, metavar="K", help="training images a class, or all; may be repeated"
    )
    command.add_argument("--seeds", type=int, default=5, help="random splits for each number of images (5)")
    command.add_argument(
        "--representation", action="append", metavar="NAME", choices=REPRESENTATIONS,
        help=f"may be repeated (all): {', '.join(REPRESENTATIONS)}".replace("%", "%%"),
    )  # fmt: skip
    command.add_argument("--classifier", action="append", choices=CLASSIFIERS, help="may be repeated (svm)")
    command.add_argument("--lower", type=float, default=-0.25, metavar="Z", help="below it is -1 (-0.25)")
    command.add_argument("--upper", type=float, default=0.15, metavar="Z", help="above it is 1 (0.15)")
    command.add_argument(
        "--thresholds",
        action="store_true",
        help=f"also the accuracy over a grid of thresholds, {_THRESHOLD_IMAGES} images a class: thresholds.json and a plot",
    )
    command.add_argument("--quiet", action="store_true", help="no progress line")
    _extractor_options(command)


def _evaluate(given: argparse.Namespace) -> None:
    options = _given_extractor_options(given)
    chosen: dict[str, Any] = {"images_per_class": given.images} if given.images else {}
    if given.representation:
        chosen["representations"] = given.representation
    if given.thresholds:
        _, labels, classes, _ = classes_of(given.source)
        if splits(labels, _THRESHOLD_IMAGES, 0) is None:
            smallest = smallest_class(labels, classes)
            raise fne.errors.error(
                1,
                f"--thresholds trains with {_THRESHOLD_IMAGES} images a class and needs one more for the test; "
                f"'{smallest['name']}' has {smallest['images']}",
            )
    model = fne.Model(network(given.model))
    result = fne.evaluate(
        given.source, model, given.output, seeds=given.seeds, classifiers=given.classifier or ("svm",), lower=given.lower,
        upper=given.upper, progress=not given.quiet, **chosen, **options,
    )  # fmt: skip
    print(result.table())
    if given.thresholds:
        _thresholds(given, model)


def _thresholds(given: argparse.Namespace, model: fne.Model) -> None:
    lowers, uppers = (-1.0, -0.5, -0.25, -0.1, 0.0), (0.0, 0.15, 0.3, 0.5, 1.0)
    _, labels, _, _ = classes_of(given.source)
    job = fne.Job(Path(given.output) / "job")
    layers = [tensor.name for tensor in model.layers()]
    grid, near = fne.threshold_study(
        job, labels, lowers=lowers, uppers=uppers, images=_THRESHOLD_IMAGES, seeds=given.seeds, layers=layers
    )
    print("\naccuracy by thresholds, lower down, upper across; in brackets the paper's")
    print("        " + "".join(f"{upper:^9.2f}" for upper in uppers))
    for lower, row in zip(lowers, grid, strict=True):
        cells = (
            f"[{value:.3f}]" if (lower, upper) == PAPER else f" {value:.3f} "
            for upper, value in zip(uppers, row, strict=True)
        )
        print(f"{lower:8.2f}" + "".join(f"{cell:^9}" for cell in cells))
    print(f"{near:.2%} of the standardized values lie within 0.01 of one of the paper's thresholds")
    output = Path(given.output)
    found = {"lower": lowers, "upper": uppers, "accuracy": grid.tolist(), "share within 0.01 of the paper's": near}
    (output / "thresholds.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if importlib.util.find_spec("matplotlib"):
        plot_thresholds(grid, lowers, uppers, output / "thresholds.png")


# ---- search


def _search_command(commands: Any) -> None:
    command = _command(
        commands,
        "search",
        _search,
        "Finds a job's images that are nearest to others, by the cosine of their ternary codes.",
        "  fne search job query.jpg --model network.pb -k 10\n"
        "  fne search job a.jpg b.jpg --model network.pb --images photographs -o sheet.png",
    )
    command.add_argument("job", help="the job's folder")
    command.add_argument("queries", nargs="+", metavar="image", help="images to look for")
    command.add_argument("--model", default="efficientnet_lite0", help="the job's network (efficientnet_lite0)")
    command.add_argument("-k", type=int, default=10, metavar="K", help="how many to find (10)")
    command.add_argument(
        "--layers", action="append", metavar="SELECTOR", help="compare some layers only; may be repeated"
    )
    command.add_argument("--metric", choices=["cosine", "dot", "hamming"], default="cosine")
    command.add_argument("--images", metavar="FOLDER", help="what the job's names are relative to, for the sheet")
    command.add_argument("-o", "--output", metavar="SHEET.png", help="also draw the images found, a row for each query")


def _search(given: argparse.Namespace) -> None:
    from fne._search import contact_sheet, search_job

    job = fne.Job(given.job)
    found = search_job(job, network(given.model), given.queries, given.k, layers=given.layers, metric=given.metric)
    for query, hits in zip(given.queries, found, strict=True):
        print(query)
        for hit in hits:
            print(f"  {hit.score:8.4f}  {hit.name}")
    if given.output:
        contact_sheet(given.queries, found, given.output, given.images)
        print(given.output)


# ---- report, doctor


def _report_command(commands: Any) -> None:
    command = _command(
        commands,
        "report",
        _report,
        "Writes one self-contained HTML page on a finished job: data set, network, failures, codes, a map, neighbours.",
        "  fne report job --images photographs -o report.html",
    )
    command.add_argument("job", help="the job's folder")
    command.add_argument("--images", metavar="FOLDER", help="what the job's names are relative to, for the pictures")
    command.add_argument("-o", "--output", default="report.html", help="the page (report.html)")


def _report(given: argparse.Namespace) -> None:
    from fne._report import write_report

    write_report(fne.Job(given.job), given.output, given.images)
    print(given.output)


def _doctor_command(commands: Any) -> None:
    _command(
        commands,
        "doctor",
        _doctor,
        "Says what was found and what is missing, each with the way out. Its exit status is 1 where something is.",
        "  fne doctor",
    )


def _doctor(given: argparse.Namespace) -> int:
    from fne._doctor import run

    return EXIT_ERROR if run() else 0


# ---- embed, merge


def _embed_command(commands: Any) -> None:
    command = _command(
        commands,
        "embed",
        _embed,
        "Embeds images into a folder: pooled features, statistics, ternary codes. Interrupted, the same command goes on.",
        "  fne embed photographs network.pb job --size 224\n"
        "  fne embed photographs efficientnet_lite0 job --codes packed --precision bfloat16\n"
        "  fne embed test.txt network.pb test --size 224 --statistics train/statistics.fne\n"
        "  fne embed photographs network.pb shard0 --size 224 --shard 0/8",
    )
    command.add_argument("source", help="a folder of JPEG and PNG files, or a file that lists names, one a line")
    command.add_argument("model", help="a frozen GraphDef (.pb), or efficientnet_lite0, the default network")
    command.add_argument("output", help="the job's folder; made where it does not exist")
    command.add_argument("--root", help="what relative names in a list are relative to (its folder)")
    command.add_argument("--shard", type=_shard, default=(0, 1), metavar="I/N", help="embed part I, from 0 on, of N")
    command.add_argument(
        "--accept-other-engine", action="store_true", help="go on with another TensorFlow or processor"
    )
    command.add_argument(
        "--checkpoint-seconds", type=int, default=15, metavar="S", help="what a kill loses at most (15)"
    )
    command.add_argument("--on-error", choices=["skip", "raise"], default="skip", help="what a bad image does (skip)")
    _code_options(command)
    _extractor_options(command)


def _code_options(command: argparse.ArgumentParser) -> None:
    codes = command.add_argument_group("codes")
    codes.add_argument("--codes", default="int8", metavar="LIST", help="int8, packed, int8,packed or none (int8)")
    codes.add_argument("--statistics", metavar="FILE", help="make codes with these saved statistics")
    codes.add_argument("--no-features", action="store_true", help="keep the codes only; needs --statistics")
    codes.add_argument("--lower", type=float, default=-0.25, metavar="Z", help="below it is -1 (-0.25)")
    codes.add_argument("--upper", type=float, default=0.15, metavar="Z", help="above it is 1 (0.15)")
    codes.add_argument("--quiet", action="store_true", help="no progress line")


def _extractor_options(command: argparse.ArgumentParser) -> None:
    network = command.add_argument_group("network and preprocessing (fne.Extractor documents them)")
    add = network.add_argument
    add("--input-tensor", metavar="NAME")
    add("--layers", action="append", metavar="SELECTOR", help="a name, a glob, all, or last:25%%; may be repeated")
    add("--size", type=_size, metavar="S or HxW", help="input pixels (as the graph says)")
    add("--resize-mode", choices=["stretch", "shortest_side"])
    add("--resize-size", type=_size, metavar="S or HxW")
    add("--interpolation", choices=["bilinear", "antialiased"])
    add("--crops", type=int, choices=[1, 10])
    add("--channel-order", choices=["rgb", "bgr"])
    add("--mean", type=_channels, metavar="M or R,G,B", help="fed is (pixel - mean) * scale")
    add("--scale", type=_channels, metavar="S or R,G,B")
    add("--precision", choices=["float32", "bfloat16"])
    add("--float32-layers", type=int, metavar="N")
    for name in ("batch-size", "streams", "loader-threads", "engine-threads"):
        add(f"--{name}", type=int, metavar="N")
    add("--device", metavar="DEVICE", help="cpu, gpu or gpu:N")
    add("--gpu-memory-growth", action="store_true", default=None)


_EXTRACTOR_OPTIONS = (
    "input_tensor", "layers", "size", "resize_mode", "resize_size", "interpolation", "crops", "channel_order", "mean",
    "scale", "precision", "float32_layers", "batch_size", "streams", "loader_threads", "engine_threads", "device",
    "gpu_memory_growth",
)  # fmt: skip


def _given_extractor_options(given: argparse.Namespace) -> Any:
    return {name: getattr(given, name) for name in _EXTRACTOR_OPTIONS if getattr(given, name) is not None}


def _given_code_options(given: argparse.Namespace) -> Any:
    formats = [] if given.codes == "none" else given.codes.split(",")
    return {
        "codes": formats or None,
        "statistics": given.statistics,
        "keep_features": not given.no_features,
        "lower": given.lower,
        "upper": given.upper,
        "progress": not given.quiet,
    }


def _embed(given: argparse.Namespace) -> None:
    job = fne.embed_dataset(
        given.source,
        network(given.model),
        given.output,
        root=given.root,
        shard=given.shard,
        on_error=given.on_error,
        accept_other_engine=given.accept_other_engine,
        checkpoint_seconds=given.checkpoint_seconds,
        **_given_code_options(given),
        **_given_extractor_options(given),
    )
    _tell(job)


def _merge_command(commands: Any) -> None:
    command = _command(
        commands,
        "merge",
        _merge,
        "Puts finished shards together: the same bytes as one job over all the images.",
        "  fne merge job shard0 shard1 shard2",
    )
    command.add_argument("output", help="the folder of the whole")
    command.add_argument("shards", nargs="+", help="the folders of all shards, in any order")
    _code_options(command)


def _merge(given: argparse.Namespace) -> None:
    _tell(fne.merge_shards(given.shards, given.output, **_given_code_options(given)))


def _tell(job: fne.Job) -> None:
    failed = len(job.failures)
    for image, reason in list(job.failures.items())[:5]:
        print(f"skipped: {job.names[image]}: {reason}", file=sys.stderr)
    if failed > 5:
        print(f"skipped: {failed - 5} more; {job.folder / 'images.jsonl'} names them", file=sys.stderr)
    print(
        f"{job.folder}: {len(job) - failed} images embedded, {failed} skipped, {job.feature_count} features, {job.state}"
    )


# ---- arguments


def network(name: str) -> Any:
    """A file, or a network of the zoo by its name."""
    return zoo.efficientnet_lite0() if name == "efficientnet_lite0" else name


def _images(text: str) -> int | str:
    return text if text == "all" else int(text)


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    return int(height), int(width or height)


def _channels(text: str) -> float | list[float]:
    numbers = [float(part) for part in text.split(",")]
    return numbers[0] if len(numbers) == 1 else numbers


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    return int(index), int(count)
