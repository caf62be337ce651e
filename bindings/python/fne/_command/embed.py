"""`fne embed` and `fne merge`: a data set becomes a job's folder."""

from __future__ import annotations

import argparse
from dataclasses import asdict
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
from fne._intake import Changes

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
        "  fne embed photographs network.pb job --size 224 --update\n"
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
    command.add_argument(
        "--update",
        action="store_true",
        help="bring a job up to date: append new images, embed changed ones again, mark removed ones",
    )
    command.add_argument(
        "--keep-statistics", action="store_true", help="with --update: keep the statistics that the codes are made with"
    )
    command.add_argument(
        "--embed-unrecorded",
        action="store_true",
        help="with --update: embed images again of which the job does not know their file's size and time",
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
        update=given.update,
        keep_statistics=given.keep_statistics,
        embed_unrecorded=given.embed_unrecorded,
        accept_other_engine=given.accept_other_engine,
        allow_batch_statistics=given.allow_batch_statistics,
        checkpoint_seconds=given.checkpoint_seconds,
        **code_options(given),
        **extractor_options(given),
    )
    _tell(job, job.intake.changes if given.update else None)


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


def _tell(job: fne.Job, changes: Changes | None = None) -> None:
    removed = set(job.removed)
    failures = {image: reason for image, reason in job.failures.items() if image not in removed}
    embedded = len(job) - len(removed) - len(failures)
    give(
        {
            "job": str(job.folder),
            "images": len(job),
            "embedded": embedded,
            "features": job.feature_count,
            "state": job.state,
            "failures": [
                {"image": image, "name": job.names[image], "reason": reason} for image, reason in failures.items()
            ],
        }
        | ({} if changes is None else {"update": asdict(changes), "removed": job.removed})
    )
    for image, reason in list(failures.items())[:_MOST_NAMED]:
        warn(f"skipped: {job.names[image]}: {reason}")
    if len(failures) > _MOST_NAMED:
        more = len(failures) - _MOST_NAMED
        warn(f"skipped: {more} more; {job.folder / 'images.jsonl'} names them")
    say(
        f"{job.folder}: {embedded} images embedded, {len(failures)} skipped, "
        + (f"{len(removed)} removed, " if removed else "")
        + f"{job.feature_count} features, {job.state}"
    )
    if changes is not None:
        again = f", {changes.retried} tried again" if changes.retried else ""
        say(
            f"update: {changes.new} new, {changes.changed} changed, {changes.removed} removed, {changes.kept} kept"
            + again
        )
    if job.intake.taken:
        say(f"embedded now: {_counted(job.intake.taken)}")
    if job.intake.left_out:
        say(f"left out of the folder: {_counted(job.intake.left_out)}")


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
