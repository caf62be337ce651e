"""The package's types, checked by mypy --strict: the optional parts too, so all of these must be installed."""

from __future__ import annotations

import subprocess
import sys

from conftest import ROOT


def test_types():
    command = [sys.executable, "-m", "mypy", "--strict", "-p", "fne"]
    result = subprocess.run(command, cwd=ROOT / "bindings/python", capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
