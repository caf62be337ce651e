"""The template of a Slurm array, with a stand-in for sbatch that starts the tasks one after another."""

from __future__ import annotations

import shutil
import sys

import pytest
from conftest import ROOT
from schedulers import SHARDS, began, compare_with_one_job, environment_of, run

TEMPLATE = ROOT / "examples/distributed/slurm.sh"
#: It runs the script for each index of --array, as Slurm does: a copy of it, with the variables of a task. A job that
#: depends on one with a failed task is not run.
SBATCH = """#!{python}
import os, re, shutil, subprocess, sys
options = [word for word in sys.argv[1:] if word.startswith("--")]
script, *arguments = [word for word in sys.argv[1:] if not word.startswith("--")]
given = dict(option[2:].partition("=")[::2] for option in options)
folder = os.path.dirname(os.path.realpath(__file__))
number = len(os.listdir(folder + "/spool"))
copy = shutil.copy(script, f"{{folder}}/spool/{{number}}")
needed = re.match("afterok:(.*)", given.get("dependency", ""))
if needed and os.path.exists(f"{{folder}}/failed-{{needed[1]}}"):
    sys.exit(f"job {{number}} is cancelled")
first, last = map(int, given.get("array", "0-0").split("-"))
for index in range(first, last + 1):
    task = {{"SLURM_JOB_ID": str(number), "SLURM_CPUS_PER_TASK": "2"}}
    if "array" in given:
        task["SLURM_ARRAY_JOB_ID"], task["SLURM_ARRAY_TASK_ID"] = str(number), str(index)
        task["SLURM_ARRAY_TASK_COUNT"] = str(last - first + 1)
    if index == int(os.environ.get("KILLED_TASK", -1)):
        task["KILL_AFTER"] = "6"
    if subprocess.run([copy, *arguments], env=dict(os.environ, **task), stdout=subprocess.DEVNULL).returncode:
        open(f"{{folder}}/failed-{{number}}", "w").close()
print(f"{{number}};cluster")
"""


@pytest.fixture
def source(tmp_path, photographs):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for path in photographs:
        shutil.copy(path, folder)
    (folder / "broken.jpg").write_bytes(photographs[0].read_bytes()[:500])
    return folder


@pytest.fixture
def environment(tmp_path, graph, source):
    result = environment_of(tmp_path, graph, source)
    (tmp_path / "bin/spool").mkdir()
    (tmp_path / "bin/sbatch").write_text(SBATCH.format(python=sys.executable))
    (tmp_path / "bin/sbatch").chmod(0o755)
    return result


def test_an_array_and_the_merge_after_it(tmp_path, graph, source, environment):
    assert run([TEMPLATE], environment)[0] == 0
    assert began(tmp_path) == [(shard, 0) for shard in range(SHARDS)]
    compare_with_one_job(tmp_path, graph, source)


def test_a_task_is_killed(tmp_path, graph, source, environment):
    """The merge does not run. The task that Slurm starts again goes on, and so does the whole array."""
    status, said = run([TEMPLATE], environment, KILLED_TASK=1)
    assert status == 1 and "is cancelled" in said and not (tmp_path / "output/job").exists()
    # One index of the array again: it is still one shard of three.
    task = {"SLURM_ARRAY_TASK_ID": 1, "SLURM_ARRAY_TASK_COUNT": 1}
    assert run([TEMPLATE, "embed"], environment, **task)[0] == 0
    assert run([TEMPLATE], environment)[0] == 0
    first, second, *_ = [done for shard, done in began(tmp_path) if shard == 1]
    assert first == 0 < second
    compare_with_one_job(tmp_path, graph, source)


def test_what_is_missing_is_named(environment):
    assert run([TEMPLATE, "other"], environment)[0] == 2
    del environment["MODEL"]
    status, said = run([TEMPLATE], environment)
    assert status == 1 and "MODEL" in said
