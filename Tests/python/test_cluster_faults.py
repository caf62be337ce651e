"""Faults on Ray and Spark, by the command that prints what a run with each of them ends with."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ROOT

#: test_clusters.py has machines of Ray that differ.
COMMANDS = {
    "ray": ["--fault", "killed-worker"],
    "spark": ["--fault", "killed-worker", "--fault", "other-settings"],
}


@pytest.fixture(scope="module")
def table():
    """The rows by engine, as (title, what the run ended with)."""
    command = [sys.executable, ROOT / "Tests/python/cluster_faults.py", "--images", "96"]
    running = {
        engine: subprocess.Popen(
            [*command, "--engine", engine, *faults], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        for engine, faults in COMMANDS.items()
    }
    lines = {engine: process.communicate()[0].splitlines() for engine, process in running.items()}
    assert all(process.returncode == 0 for process in running.values())
    return {
        engine: [tuple(line.strip("| ").split(" | ")[:2]) for line in found if line.startswith("|")][2:]
        for engine, found in lines.items()
    }


@pytest.mark.parametrize("engine", COMMANDS)
def test_killed_workers_change_no_byte(table, engine):
    assert table[engine][0] == ("two workers killed one after the other", "bytes equal")


def test_machines_that_differ_are_an_error(table):
    title, ending = table["spark"][1]
    assert "TF_ENABLE_ONEDNN_OPTS=0" in title
    assert ending.startswith("error: ") and "workers that differ computed the rows" in ending
