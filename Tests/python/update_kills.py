"""Kills updates of a job at each of their steps, and leaves what they left for a test to look at.

    python update_kills.py SHIM NETWORK IMAGES JOB FOLDER STRIDE [OPTION=VALUE...]

JOB is a finished job, of which FOLDER gets a copy for each kill. A step is a write, a renaming or a removal of a file.
Every STRIDE-th step is one kill, until an update ends by itself. The numbers of the copies are printed. A network must
not be loaded before the process forks, so the updates run in children.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>
static long steps;
static void step(void) {
    const char *kill_at = getenv("STEP_KILL");
    if (kill_at != NULL && __atomic_fetch_add(&steps, 1, __ATOMIC_SEQ_CST) == atol(kill_at)) kill(getpid(), SIGKILL);
}
#define HOOK(name, parameters, arguments) \
    name parameters { step(); return ((__typeof__(&name))dlsym(RTLD_NEXT, #name)) arguments; }
ssize_t HOOK(pwrite, (int file, const void *data, size_t size, off_t at), (file, data, size, at))
ssize_t pwrite64(int, const void *, size_t, off_t);
ssize_t HOOK(pwrite64, (int file, const void *data, size_t size, off_t at), (file, data, size, at))
int HOOK(rename, (const char *from, const char *to), (from, to))
int HOOK(unlink, (const char *path), (path))
"""


def build_shim(folder: Path) -> Path:
    """A library for LD_PRELOAD that kills the process before the step that STEP_KILL names."""
    source, library = folder / "steps.c", folder / "steps.so"
    source.write_text(SHIM)
    command = ["gcc", "-shared", "-fPIC", "-O1", "-include", "stdio.h", source, "-o", library, "-ldl"]
    subprocess.run(command, check=True)
    return library


def killed(shim: Path, network: Path, images: Path, job: Path, folder: Path, stride: int, **options: Any) -> list[Path]:
    """The copies of the job whose updates were killed, in the order of the steps."""
    command = [sys.executable, __file__, network, images, job, folder, stride, json.dumps(options)]
    environment = dict(os.environ, LD_PRELOAD=str(shim))
    result = subprocess.run(list(map(str, command)), env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [folder / name for name in result.stdout.split()]


def _main(network: str, images: str, job: str, folder: Path, stride: int, options: dict[str, Any]) -> None:
    import fne

    at = 0
    while True:
        copy = folder / str(at)
        shutil.copytree(job, copy)
        child = os.fork()
        if child == 0:
            os.environ["STEP_KILL"] = str(at)
            fne.embed_dataset(images, Path(network), copy, update=True, **options)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        print(at, flush=True)
        at += stride


if __name__ == "__main__":
    network, images, job, folder, stride, options = sys.argv[1:]
    _main(network, images, job, Path(folder), int(stride), json.loads(options))
