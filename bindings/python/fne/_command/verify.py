"""`fne verify`: are the files of a finished job what the job wrote?"""

from __future__ import annotations

import argparse
from typing import Any

import fne
from fne._command.arguments import EXIT_ERROR, add_quiet, new_command
from fne._command.output import give, say, warn


def add_command(commands: Any) -> None:
    """Adds `fne verify`."""
    command = new_command(
        commands,
        "verify",
        run,
        "Compares the files of finished jobs with their checksums. The exit status is 1 where one is damaged. "
        "`fne embed`, with the arguments that made the job, repairs it.",
        "examples:\n  fne verify job\n  fne verify shard0 shard1 shard2",
    )
    command.add_argument("jobs", nargs="+", metavar="job", help="the folder of a job")
    add_quiet(command)


def run(given: argparse.Namespace) -> int:
    """Runs `fne verify`."""
    status, found = 0, []
    for folder in given.jobs:
        try:
            job = fne.Job(folder)
            job.verify(progress=not given.quiet)
        except fne.FNEError as failure:
            warn(f"fne: {failure}")
            status = EXIT_ERROR
            found.append({"job": folder, "whole": False, "reason": str(failure)})
            continue
        files = job.manifest["files"]
        size = sum(file["bytes"] for file in files.values())
        found.append({"job": folder, "whole": True, "files": len(files), "bytes": size})
        say(f"{folder}: whole; {len(files)} files with {size / 1e6:,.1f} MB were compared with their checksums")
    give({"jobs": found})
    return status
