"""Prints the figures that README and docs quote, side by side in one run.

    make bench                     with the default network, ResNet-50, VGG16 and the sample photographs
    make bench ASSETS=folder       also with folder/models/*.pb (each with its NAME.layers.txt: kind, tensor, shape) and
                                   the photographs below folder/images
    make bench-peers               installs what libfne is compared with (PyTorch, ONNX Runtime, OpenVINO, ...)
    make bench ONLY="speed codes"  some parts
    make bench QUICK=1             a trial in five minutes, of which the figures say little

Each part is a process, and so is each engine of a table, which takes turns with libfne. Figures are medians with their
ranges. Ratios are medians of the ratios of neighbouring runs, so that they hold on a noisy machine. The original is the
documented function, run by TensorFlow's Python (Tests/python/implementation_a.py).

Tables go to the standard output, and how far the run is to the standard error. Each figure is also in a JSON file, with
its name, unit, median, smallest, largest and number of rounds, beside the machine and the versions. It is written as
the figures come, so that Ctrl-C keeps what was measured. A part that fails says so, and the others go on.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from figures import VARIABLE, Record, print_at_once
from machine import description, text
from networks import PEERS, ROOT
from parts import PARTS, Command, LeftOut
from progress import Budget

from fne._progress import duration

#: What TensorFlow writes to the standard error whatever the level of its log is.
CHATTER = ("WARNING: All log messages before absl::InitializeLog()", "I0000 ")
TRIAL = "This is a trial: few networks, images and rounds. Quote none of its figures."


class Failed(Exception):
    """A part ended with an error. The text is its last line."""


def environment(told: Mapping[str, object]) -> dict[str, str]:
    """Of a part: this package first, whatever Python it runs in."""
    found = {name: value for name, value in os.environ.items() if name not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    paths = [str(ROOT / "bindings/python"), os.environ.get("PYTHONPATH", "")]
    return {
        **found,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        VARIABLE: json.dumps(told),
    }


def run(command: Command, told: Mapping[str, object]) -> None:
    """Runs a command of a part. Its standard error is shown, but for TensorFlow's chatter.

    Raises:
        Failed: it ended with an error
        KeyboardInterrupt: the user stopped it. The command has ended then.
    """
    process = subprocess.Popen(command, env=environment(told), stderr=subprocess.PIPE, text=True, errors="replace")
    last = ""
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(CHATTER):
                continue
            sys.stderr.write(line)
            sys.stderr.flush()
            last = line.strip() or last
        status = process.wait()
    except KeyboardInterrupt:
        stop(process)
        raise
    if status == -signal.SIGINT:
        raise KeyboardInterrupt
    if status != 0:
        raise Failed(last or f"it ended with status {status}")


def processor_seconds() -> float:
    """Of all parts so far, with their engines."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def stop(process: subprocess.Popen[str]) -> None:
    """Ends a process as Ctrl-C does, and with force if it does not end."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def measure(record: Record, name: str, given: argparse.Namespace, budget: Budget) -> str:
    """Runs a part, and returns what became of it: measured, left out, or failed."""
    began, used = time.monotonic(), processor_seconds()

    def taken() -> dict[str, float]:
        processor = processor_seconds() - used
        return {"seconds": round(time.monotonic() - began, 1), "processor_seconds": round(processor, 1)}

    print(f"\n## {name}: {PARTS[name].about}\n")
    record.tell(name, "measuring")
    status, message = "measured", ""
    try:
        commands = PARTS[name].commands(given)
        own = budget.own / max(len(commands), 1)
        for number, command in enumerate(commands):
            part = budget._replace(before=budget.before + number * own, own=own)
            run(command, {"file": str(record.path), "part": name, "budget": part})
    except KeyboardInterrupt:
        Record(record.path).tell(name, "interrupted", **taken())
        raise
    except LeftOut as why:
        status, message = "left out", str(why)
    except Exception as failure:  # whatever it is, the others go on
        status, message = "failed", str(failure)
    if message:
        print(f"  {name} {'is left out' if status == 'left out' else 'failed'}: {message}")
    Record(record.path).tell(name, status, **taken(), **({"message": message} if message else {}))
    return status


def measure_all(path: Path, names: list[str], given: argparse.Namespace) -> None:
    """Runs the parts one after the other."""
    seconds = {name: PARTS[name].seconds[0 if given.quick else 1] for name in names}
    began, before = time.time(), 0.0
    for name in names:
        measure(Record(path), name, given, Budget(began, before, seconds[name], sum(seconds.values())))
        before += seconds[name]


def summary(path: Path) -> str:
    """What became of the parts, and where the figures are."""
    content = Record(path).content
    lines = [f"\n## {len(content['figures'])} figures in {path}\n"]
    for name, part in content["parts"].items():
        taken = f" in {duration(part['seconds'])}" if "seconds" in part else ""
        message = f": {part['message']}" if "message" in part else ""
        lines.append(f"  {name:12s} {part['status']}{taken}{message}")
    lines += [f"  {each['part']}: {each['what']} left out: {each['why']}" for each in content["left_out"]]
    return "\n".join(lines + ([f"\n{TRIAL}"] if content["trial"] else []))


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, help="a folder with networks and photographs")
    parser.add_argument("--rounds", type=int, help="of each figure (each part has its own number)")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="a part; may be given again")
    parser.add_argument("--network", help="only networks whose title starts so")
    parser.add_argument("--quick", action="store_true", help="a trial in five minutes")
    parser.add_argument("--json", type=Path, help="the file of the figures (build/bench/TIME.json)")
    parser.add_argument("--images", type=int, help="of the parts jobs and update (2000)")
    parser.add_argument("--new", type=int, help="images of these that are new to the update (10)")
    return parser


def parse() -> argparse.Namespace:
    """The options of the command line."""
    parser = options()
    given = parser.parse_args()
    if given.assets is not None and not given.assets.is_dir():
        parser.error(f"--assets is '{given.assets}', which is no folder")
    if given.rounds is not None and given.rounds < 1:
        parser.error(f"--rounds is {given.rounds}, and must be at least 1")
    given.assets = given.assets and given.assets.absolute()
    return given


def main() -> int:
    print_at_once()
    # What ends the run in another way ends its part too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    given = parse()
    names = [name for name in PARTS if not given.only or name in given.only]
    began = time.strftime("%Y-%m-%dT%H-%M-%S")
    path = (given.json or ROOT / "build/bench" / f"{began}{'-trial' if given.quick else ''}.json").absolute()
    print("looking at the machine", file=sys.stderr, flush=True)
    machine = description(PEERS)
    Record.begin(path, names, trial=given.quick, began=began, options=sys.argv[1:], machine=machine)
    print(text(machine))
    if given.quick:
        print(TRIAL)
    try:
        measure_all(path, names, given)
    except KeyboardInterrupt:
        print(summary(path))
        return 130
    Record(path).finish()
    print(summary(path))
    return int(any(part["status"] == "failed" for part in Record(path).content["parts"].values()))


if __name__ == "__main__":
    sys.exit(main())
