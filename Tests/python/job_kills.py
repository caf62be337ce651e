"""Kills a job again and again, and compares what it ends with to an uninterrupted run's.

    .venv/bin/python Tests/python/job_kills.py IMAGES MODEL [KILLS]     IMAGES: a folder; MODEL: a GraphDef, 224 x 224

Each of the phases loading, writing, statistics, codes and renaming is hit in turn, at a random moment: loading by the
clock, writing by a system call of the worker's (the shim kills it in the middle of a write), the others from inside of
their progress reports. Every killed job is run again until it ends by itself.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PHASES = ("loading", "writing", "statistics", "codes", "renaming")

# Runs a job; kills itself in the phase and at the report that the environment names.
WORKER = """
import os, signal, sys, fne
from pathlib import Path
source, model, output, size = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
phase, at = os.environ.get("KILL_PHASE"), int(os.environ.get("KILL_AT", 0))
seen = 0
def progress(now, done, total):
    global seen
    if now == "embedding" and done == 0: print("embedding", flush=True)
    if now == phase:
        if seen == at: os.kill(os.getpid(), signal.SIGKILL)
        seen += 1
job = fne.embed_dataset(source, Path(model), output, size=(size, size), batch_size=4, codes=("int8", "packed"),
                        checkpoint_seconds=1, progress=progress)
print("finished", flush=True)
"""

# Counts pwrite64 calls; at the one that WRITE_KILL names half of it is written, and the process dies.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>
typedef ssize_t (*write_fn)(int, const void *, size_t, off_t);
static long calls, bytes;
static ssize_t hooked(write_fn real, int file, const void *data, size_t size, off_t at) {
    const char *kill_at = getenv("WRITE_KILL"), *room = getenv("WRITE_ROOM");
    long call = __atomic_fetch_add(&calls, 1, __ATOMIC_SEQ_CST);
    if (kill_at != NULL && call == atol(kill_at)) {
        real(file, data, size / 2, at);
        kill(getpid(), SIGKILL);
    }
    if (room != NULL && __atomic_add_fetch(&bytes, (long)size, __ATOMIC_SEQ_CST) > atol(room)) {
        real(file, data, size / 2, at);
        errno = ENOSPC;
        return -1;
    }
    return real(file, data, size, at);
}
ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    return hooked((write_fn)dlsym(RTLD_NEXT, "pwrite"), file, data, size, at);
}
ssize_t pwrite64(int file, const void *data, size_t size, off_t at) {
    return hooked((write_fn)dlsym(RTLD_NEXT, "pwrite64"), file, data, size, at);
}
"""


def build_shim(folder: Path) -> Path:
    """A library for LD_PRELOAD that lets a write fail (WRITE_ROOM, bytes) or kills in it (WRITE_KILL, its number)."""
    source, library = folder / "shim.c", folder / "shim.so"
    source.write_text(SHIM)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", source, "-o", library, "-ldl"], check=True)
    return library


def digests(folder: Path) -> dict[str, str]:
    """Of all files of a job but those that equal jobs do not share."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name not in ("runs.jsonl", "image_files.npy", "places.json")
    }


def start(job: tuple[str, str, int], output: Path, **environment: str) -> subprocess.Popen[str]:
    source, model, size = job
    command = [sys.executable, "-c", WORKER, source, model, str(output), str(size)]
    return subprocess.Popen(command, env=dict(os.environ, **environment), stdout=subprocess.PIPE, text=True)


def finish(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    with worker.stdout:
        output = worker.stdout.read()
    worker.wait()
    return output


def kill_once(
    phase: str, job: tuple[str, str, int], output: Path, shim: Path, seconds: float, rng: random.Random
) -> bool:
    """Runs the job and kills it in the phase. Whether it died there."""
    if phase == "loading":
        worker = start(job, output)
        assert worker.stdout is not None
        worker.stdout.readline()  # embedding has begun
        time.sleep(rng.uniform(0, seconds))
        worker.send_signal(signal.SIGKILL)
    elif phase == "writing":
        worker = start(job, output, LD_PRELOAD=str(shim), WRITE_KILL=str(rng.randrange(4, 60)))
    else:
        reports = {"statistics": 2, "codes": 3, "renaming": 7}[phase]
        name = "finishing" if phase == "renaming" else phase
        worker = start(job, output, KILL_PHASE=name, KILL_AT=str(rng.randrange(reports)))
    finish(worker)
    return worker.returncode == -signal.SIGKILL


def main(source: str, model: str, size: int, kills: int, folder: Path, seconds: float, seed: int = 1) -> dict[str, int]:
    """Kills as often; returns how often each phase was hit. Raises when the bytes differ."""
    rng = random.Random(seed)
    shim = build_shim(folder)
    job = (source, model, size)
    assert "finished" in finish(start(job, folder / "whole"))
    expected = digests(folder / "whole")
    hits = dict.fromkeys(PHASES, 0)
    attempt = 0
    while sum(hits.values()) < kills:
        output = folder / f"killed{attempt}"
        attempt += 1
        # Sometimes more than one kill before the job may end.
        for phase in (
            rng.sample(PHASES, rng.randint(1, 2)) if attempt % 3 == 0 else [min(PHASES, key=lambda p: hits[p])]
        ):
            hits[phase] += kill_once(phase, job, output, shim, seconds, rng)
        result = finish(start(job, output))
        assert "finished" in result, result
        found = digests(output)
        assert found == expected, (
            f"after kill {sum(hits.values())}: {sorted(set(found.items()) ^ set(expected.items()))}"
        )
        shutil.rmtree(output)
    return hits


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        number = int(sys.argv[3]) if len(sys.argv) > 3 else 50
        print(main(sys.argv[1], sys.argv[2], 224, number, Path(temporary), seconds=2.5))
