"""Prints what installing the wheel takes in an empty environment: `install.py WHEEL [EXTRAS ...]`.

`make wheel` makes the wheel. EXTRAS are such as "onnx,zoo" and "tensorflow,zoo", which are the default. It prints the
seconds that pip takes, which depend on the network and on pip's cache, and the size of what it installed. pip itself
and the environment do not count.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def size(folder: Path) -> int:
    """The bytes of the files in a folder. Links count as links."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("extras", nargs="*", default=["onnx,zoo", "tensorflow,zoo"])
    given = parser.parse_args()
    print("| installed | seconds | size |\n|---|---|---|")
    for extras in given.extras:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            before, started = size(Path(folder)), time.perf_counter()
            pip = [f"{folder}/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            subprocess.run([*pip, f"{given.wheel.resolve()}[{extras}]"], check=True)
            seconds = time.perf_counter() - started
            print(f"| fne[{extras}] | {seconds:.1f} | {(size(Path(folder)) - before) / 1e6:,.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
