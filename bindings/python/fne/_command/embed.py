"""`fne embed` and `fne merge`: a data set becomes a job's folder."""

from __future__ import annotations

import argparse
from typing import Any

import fne
from fne._command.arguments import (
    add_code_options,
    add_extractor_options,
    add_model,
    code_options,
    extractor_options,
    network,
    new_command,
    shard,
)
from fne._command.output import give, say, warn
from fne._extractor import ON_ERROR

_MOST_NAMED = 5


def add_command(commands: Any) -> None:
    """Adds `fne embed`."""
    command = new_command(
        commands,
        "embed",
        run,
        "Embeds images into a folder: pooled features, statistics, ternary codes. The same command resumes a job that "
        "was interrupted, and repairs one that is damaged.",
        "examples:\n"
        "  fne embed photographs network.pb job --size 224\n"
        "  fne embed photographs efficientnet_lite0 job --codes packed --precision bfloat16\n"
        "  fne embed test.txt network.pb test --size 224 --statistics train/statistics.fne\n"
        "  fne embed photographs network.pb shard0 --size 224 --shard 0/8",
    )
    command.add_argument("source", help="a folder of images, or a file that lists names, one per line")
    add_model(command)
    command.add_argument("output", help="the job's folder, which is made where it does not exist")
    command.add_argument("--root", help="the folder that names in a list are relative to (the list's folder)")
    command.add_argument("--shard", type=shard, default=(0, 1), metavar="I/N", help="embed part I, from 0 on, of N")
    command.add_argument(
        "--accept-other-engine", action="store_true", help="resume with another TensorFlow, ONNX Runtime or processor"
    )
    command.add_argument(
        "--allow-batch-statistics", action="store_true", help="take a network whose rows depend on their batch"
    )
    command.add_argument(
        "--checkpoint-seconds", type=int, default=15, metavar="S", help="the most work that a kill loses (15)"
    )
    command.add_argument(
        "--on-error", choices=ON_ERROR, default="skip", help="what is done at a bad image: skip it, or end (skip)"
    )
    command.add_argument(
        "--retry-failed", action="store_true", help="try images again that could not be embedded before"
    )
    add_code_options(command)
    add_extractor_options(command)


def run(given: argparse.Namespace) -> None:
    """Runs `fne embed`."""
    job = fne.embed_dataset(
        given.source,
        network(given),
        given.output,
        root=given.root,
        shard=given.shard,
        on_error=given.on_error,
        retry_failed=given.retry_failed,
        accept_other_engine=given.accept_other_engine,
        allow_batch_statistics=given.allow_batch_statistics,
        checkpoint_seconds=given.checkpoint_seconds,
        **code_options(given),
        **extractor_options(given),
    )
    _tell(job)


def add_merge_command(commands: Any) -> None:
    """Adds `fne merge`."""
    command = new_command(
        commands,
        "merge",
        run_merge,
        "Puts finished shards together. The result has the same bytes as one job over all the images.",
        "examples:\n  fne merge job shard0 shard1 shard2",
    )
    command.add_argument("output", help="the folder of the whole")
    command.add_argument("shards", nargs="+", help="the folders of all shards, in any order")
    command.add_argument(
        "--accept-other-engine",
        action="store_true",
        help="merge shards of different versions of TensorFlow or ONNX Runtime, or of different processors",
    )
    add_code_options(command)


def run_merge(given: argparse.Namespace) -> None:
    """Runs `fne merge`."""
    accepts = given.accept_other_engine
    _tell(fne.merge_shards(given.shards, given.output, accept_other_engine=accepts, **code_options(given)))


def _tell(job: fne.Job) -> None:
    failed = len(job.failures)
    give(
        {
            "job": str(job.folder),
            "images": len(job),
            "embedded": len(job) - failed,
            "features": job.feature_count,
            "state": job.state,
            "failures": [
                {"image": image, "name": job.names[image], "reason": reason} for image, reason in job.failures.items()
            ],
        }
    )
    for image, reason in list(job.failures.items())[:_MOST_NAMED]:
        warn(f"skipped: {job.names[image]}: {reason}")
    if failed > _MOST_NAMED:
        more = failed - _MOST_NAMED
        warn(f"skipped: {more} more; {job.folder / 'images.jsonl'} names them")
    say(
        f"{job.folder}: {len(job) - failed} images embedded, {failed} skipped, "
        f"{job.feature_count} features, {job.state}"
    )
    if job.intake.taken:
        say(f"embedded now: {_counted(job.intake.taken)}")
    if job.intake.left_out:
        say(f"left out of the folder: {_counted(job.intake.left_out)}")


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
