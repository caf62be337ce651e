"""Stand-ins for schedulers: what the templates of examples/distributed find on a machine of a cluster."""

from __future__ import annotations

import os
import subprocess
import sys

from conftest import ROOT
from job_kills import digests

import fne

SHARDS = 3
#: The command of this checkout. It notes how many images were done when it began, and kills itself after KILL_AFTER.
COMMAND = """#!{python}
import os, signal, time
import fne
from fne._command import main
run, began = fne.embed_dataset, []
def watched(*arguments, **options):
    def progress(phase, done, total):
        if phase == "embedding" and not began:
            began.append(done)
            open(os.environ["BEGAN"], "a").write(f"{{options['shard'][0]}} {{done}}\\n")
        if phase == "embedding" and "KILL_AFTER" in os.environ:
            time.sleep(0.6)  # there is a checkpoint after a second
            if done >= int(os.environ["KILL_AFTER"]):
                os.kill(os.getpid(), signal.SIGKILL)
    return run(*arguments, **{{**options, "progress": progress}})
fne.embed_dataset = watched
raise SystemExit(main())
"""


def environment_of(folder, network, source):
    """The variables that the templates read. Shards go to folder/output."""
    command = folder / "bin/fne"
    command.parent.mkdir()
    command.write_text(COMMAND.format(python=sys.executable))
    command.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "bindings/python"), os.environ.get("PYTHONPATH", "")]),
        "BEGAN": str(folder / "began"),
        "SOURCE": str(source),
        "MODEL": str(network),
        "OUTPUT": str(folder / "output"),
        "SHARDS": str(SHARDS),
        "EMBED_OPTIONS": "--size 48x64 --batch-size 2 --checkpoint-seconds 1",
        "MERGE_OPTIONS": "--codes int8,packed",
    }


def began(folder):
    """For each run of a shard: the shard, and how many images were done before it."""
    lines = (folder / "began").read_text().splitlines()
    return [tuple(map(int, line.split())) for line in lines]


def run(command, environment, **variables):
    """The exit status of a task, and what it said."""
    variables = {name: str(value) for name, value in variables.items()}
    result = subprocess.run(command, env={**environment, **variables}, capture_output=True, text=True)
    return result.returncode, result.stderr


def compare_with_one_job(folder, network, source):
    """The bytes of all files of the merged job are those of one job over all images."""
    job = fne.embed_dataset(source, network, folder / "one", size=(48, 64), batch_size=2, codes=("int8", "packed"))
    assert digests(folder / "output/job") == digests(job.folder)
    assert len(job) == len(list(source.iterdir())) and job.failures
