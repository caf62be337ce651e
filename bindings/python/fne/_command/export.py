"""`fne export`: a job's rows as a file of another library."""

from __future__ import annotations

import argparse
from typing import Any

import fne
from fne._arguments import as_path
from fne._command.arguments import new_command
from fne._command.output import give, say
from fne._export import FORMATS, VALUES
from fne.compact import CompactCodes


def add_command(commands: Any) -> None:
    """Adds `fne export`."""
    command = new_command(
        commands,
        "export",
        run,
        "Writes a finished job's rows to a Parquet, CSV, NumPy, FAISS or HDF5 file. Each row has the number of its "
        "image, its name, its class, which is the folder that the image is in, and its values. Images that failed are "
        "left out. Parquet needs pyarrow, FAISS faiss-cpu, and HDF5 h5py.",
        "examples:\n"
        "  fne export job --to parquet\n"
        "  fne export job --to csv --layers last:10% -o last.csv\n"
        "  fne export job --to npz --values features\n"
        "  fne export job --to faiss --compact compact.fne",
    )
    command.add_argument("job", help="the job's folder")
    command.add_argument("--to", choices=FORMATS, help="the format (as the name of the output ends)")
    command.add_argument("-o", "--output", metavar="FILE", help="the file (the job's name, with the format's ending)")
    command.add_argument("--values", choices=VALUES, default="codes", help="what a row has (codes)")
    command.add_argument(
        "--layers", action="append", metavar="SELECTOR", help="the layers to write; may be repeated (all)"
    )
    command.add_argument("--compact", metavar="FILE", help="write compact codes by this file (fne.compact)")


def run(given: argparse.Namespace) -> None:
    """Runs `fne export`."""
    job = fne.Job(given.job)
    output = given.output
    if output is None:
        if given.to is None:
            raise fne.InvalidArgumentError("give the format with --to, or a file with --output")
        output = f"{as_path(given.job)}.{'h5' if given.to == 'hdf5' else given.to}"
    compact = None if given.compact is None else CompactCodes.load(given.compact)
    rows = fne.export_job(job, output, given.to, values=given.values, layers=given.layers, compact=compact)
    failed = len(job.failures)
    give({"output": str(output), "rows": rows, "failed": failed})
    left_out = f", {failed} images that failed are left out" if failed else ""
    say(f"{output}: {rows} rows{left_out}")
