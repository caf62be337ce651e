"""Runs programs in which calls of the system fail, by Tests/c/failing_reads.c."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from conftest import ROOT

_BEGIN = """
import ctypes, errno, os, signal, sys, threading, time
import numpy as np
import fne
from pathlib import Path

_shim = ctypes.CDLL(None)

def fail(word, call="open", error=errno.EIO, times=1 << 40):
    _shim.fail(os.fsencode(word), call.encode(), error, ctypes.c_long(times))

def calls():
    return _shim.calls()

def raised(kind, function, *arguments, **options):
    try:
        function(*arguments, **options)
    except kind as failure:
        assert type(failure) is kind, repr(failure)
        return str(failure)
    raise AssertionError("nothing was raised")
"""


def build_shim(folder: Path) -> Path:
    """The library for LD_PRELOAD."""
    library = folder / "failing_reads.so"
    source = ROOT / "Tests/c/failing_reads.c"
    command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", source, "-o", library, "-ldl"]
    subprocess.run(command, check=True)
    return library


def run(shim: Path, program: str, *arguments: object) -> str:
    """Runs a program of Python with the shim. Its asserts are the test's. Returns what it prints."""
    command = [sys.executable, "-c", _BEGIN + textwrap.dedent(program), *map(str, arguments)]
    environment = dict(os.environ, LD_PRELOAD=str(shim))
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout
