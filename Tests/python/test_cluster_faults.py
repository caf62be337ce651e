"""Faults on Ray and Spark, by the command that prints what a run with each of them ends with."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ROOT


@pytest.fixture(scope="module")
def table():
    """Two of the faults: two machines for each, on each engine."""
    command = [sys.executable, ROOT / "Tests/python/cluster_faults.py", "--images", "96"]
    done = subprocess.run(
        [*command, "--fault", "killed-worker", "--fault", "other-settings"],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("|")]


def test_killed_workers_change_no_byte(table):
    row = next(row for row in table if row[0].startswith("two workers killed"))
    assert row[1:3] == ["bytes equal", "bytes equal"]


def test_machines_that_differ_are_an_error(table):
    row = next(row for row in table if "TF_ENABLE_ONEDNN_OPTS=0" in row[0])
    assert all(cell.startswith("error: ") and "workers that differ computed the rows" in cell for cell in row[1:3])
