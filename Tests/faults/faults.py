"""Lets reads, writes, threads and allocations fail, kills jobs, and damages their files: nothing wrong may come of it.

    faults.py SECONDS [--seed N] [--only faults|kills|damage] [--table] [--case NUMBER]

It prints the seed. With that seed, --only and --case it repeats one case. --table damages every file in every way for
every reader, instead of some of them by chance. The status is 1 where there is a finding.

A fault is a system call below the job's folder or the images that fails once, some times, always or by chance. The run
must then end with the right bytes, or with an FNEError that names the file. After an error, the same run without faults
must end with the right bytes. A kill is a SIGKILL in the middle of a run, or a copy of the folder at that moment, which
is the same for the next run. Damage is done to a file of a job, and each reader must notice it, repair it, or give the
right values all the same.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

HERE = Path(__file__).resolve().parent
#: Longer than any pause that the library makes before it gives up.
PATIENCE = 60.0


class Worker:
    """A process that runs cases. A new one takes the place of one that died."""

    def __init__(self, session: Path, shim: Path) -> None:
        self._session, self._shim = session, shim
        self._process: subprocess.Popen[bytes] | None = None

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(HERE / "worker.py"), str(self._session), *arguments]

    def _environment(self, preload: bool) -> dict[str, str]:
        preloaded = {"LD_PRELOAD": str(self._shim)} if preload else {}
        return dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", SWIFT_BACKTRACE="enable=no", **preloaded)

    def set_up(self) -> None:
        """The network is made by TensorFlow's Python package, and the stages by libfne alone."""
        for part, preload in (("network", False), ("stages", True)):
            subprocess.run(self._command(part), check=True, env=self._environment(preload))

    def run(self, case: dict[str, Any]) -> dict[str, Any]:
        """The worker's answer, or how it ended."""
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(case).encode() + b"\n")
        process.stdin.flush()
        line = self._line(process)
        if line.endswith(b"\n"):
            return dict(json.loads(line))
        hangs = process.poll() is None and not line and not self._ended(process)
        status = self.stop()
        if hangs:
            return {"outcome": "hang", "finding": f"no end after {PATIENCE:g} s"}
        said = (self._session / "stderr").read_text(errors="replace")[-1500:]
        return {"outcome": "death", "status": status, "finding": f"the process ended with {status}", "trace": said}

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            with open(self._session / "stderr", "wb") as errors:
                self._process = subprocess.Popen(
                    self._command(),
                    env=self._environment(True),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                )
            if self._line(self._process) != b"ready\n":
                raise SystemExit(f"the worker does not start: {(self._session / 'stderr').read_text()}")
        return self._process

    @staticmethod
    def _line(process: subprocess.Popen[bytes]) -> bytes:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
        return process.stdout.readline() if ready else b""

    @staticmethod
    def _ended(process: subprocess.Popen[bytes]) -> bool:
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.kill()
        assert process.stdin is not None and process.stdout is not None
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        return process.wait()


class Run:
    """Cases, what came of them, and the findings."""

    def __init__(self, worker: Worker, seed: int, session: Path) -> None:
        self.worker, self.seed, self.session = worker, seed, session
        self.outcomes: Counter[str] = Counter()
        self.findings: list[str] = []
        self.cells: dict[tuple[str, str, str], dict[str, str]] = {}
        self.damages = json.loads((session / "damage.json").read_text())
        self.right = json.loads((session / "right.json").read_text())

    def case(self, kind: str, number: int) -> dict[str, Any]:
        """The cases that are known have numbers below 0."""
        from worker import KNOWN

        if number >= 0:
            return dict(getattr(self, kind)(number))
        return {"kind": kind.rstrip("s"), "number": number, "first": 0, "times": 1, **KNOWN[kind][number]}

    def faults(self, number: int) -> dict[str, Any]:
        from worker import faults_of

        return faults_of(number, self.seed, self.right)

    def kills(self, number: int) -> dict[str, Any]:
        from worker import WRITERS

        random = Random(f"{self.seed}:{number}:kill")
        # A copy is as good as a kill, and a hundred times as fast, since the process goes on.
        error = "KILL" if number % 20 == 0 else "COPY"
        workload = random.choice(WRITERS)
        first = random.randrange(self.right[workload]["writes"])
        return {"kind": "kill", "number": number, "workload": workload, "first": first, "error": error}

    def damage(self, number: int) -> dict[str, Any]:
        random = Random(f"{self.seed}:{number}:damage")
        return dict(random.choice(self.damages), number=number, seed=f"{self.seed}:{number}")

    def run(self, kind: str, case: dict[str, Any]) -> dict[str, Any]:
        answer = self.worker.run(case)
        if kind == "kills" and answer["outcome"] == "death" and answer["status"] == -signal.SIGKILL:
            answer = self.worker.run(dict(case, kind="after")) | {"killed": True}
        self.outcomes[f"{kind}: {answer['outcome']}{' (killed)' if answer.get('killed') else ''}"] += 1
        if kind == "damage":
            cell = (case["stage"], case["file"], case["damage"])
            cells = self.cells.setdefault(cell, {})
            letter = answer.get("letter", "X")
            if cells.get(case["reader"], " ") not in "WX":
                cells[case["reader"]] = letter
        if "finding" in answer:
            self._say(kind, case, answer)
        return answer

    def _say(self, kind: str, case: dict[str, Any], answer: dict[str, Any]) -> None:
        hidden = ("kind", "keep", "seed", "number", "place", "chance", "first")
        what = ", ".join(f"{name} {value}" for name, value in case.items() if name not in hidden)
        lines = [f"FINDING {answer['finding']}", f"    {what}"]
        lines += [f"    failed: {said}" for said in answer.get("said", [])[:3]]
        lines += [f"    {answer['error']}"] if "error" in answer else []
        lines += ["    " + line for line in answer.get("trace", "").splitlines()[-12:]]
        lines.append(f"    repeat: Tests/faults/faults.py 0 --seed {self.seed} --only {kind} --case {case['number']}")
        text = "\n".join(lines).replace(str(self.session), "SESSION")
        self.findings.append(text)
        print(text, flush=True)

    def until(self, kind: str, seconds: float) -> None:
        from worker import KNOWN

        end = time.monotonic() + seconds
        number = -len(KNOWN[kind])
        while number < 0 or time.monotonic() < end:
            self.run(kind, self.case(kind, number))
            number += 1

    def table(self) -> None:
        for number, case in enumerate(self.damages):
            self.run("damage", dict(case, number=number, seed=f"{self.seed}:{number}"))

    def print_table(self) -> None:
        from worker import DAMAGES, READERS

        readers = list(READERS)
        print(f"\nDamage. In each cell a letter for each of: {', '.join(readers)}.")
        print("n: noticed, an error says that the data are damaged. f: refused with another error. r: repaired.")
        print(".: the right values, as what is damaged is not read. u: not looked at, and `verify` notices it.")
        print("W: served wrong. X: died, or another error. -: does not apply. blank: not tried.\n")
        print(f"{'':36}" + "".join(f"{kind:<9}" for kind in DAMAGES))
        for stage, file in sorted({(stage, file) for stage, file, _ in self.cells}):
            cells = []
            for kind in DAMAGES:
                found = self.cells.get((stage, file, kind), {})
                letters = "".join("-" if found.get(r) == " " else found.get(r, " ") for r in readers)
                cells.append(f"{letters:<9}")
            print(f"{stage:<15}{file:<21}" + "".join(cells))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("seconds", type=float)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", choices=("faults", "kills", "damage"))
    parser.add_argument("--case", type=int)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    session = Path(tempfile.mkdtemp(prefix="faults."))
    worker = Worker(session, session / "shim.so")
    warnings = ["-Wall", "-Wextra", "-Werror"]
    build = ["gcc", "-shared", "-fPIC", "-O1", *warnings, str(HERE / "shim.c"), "-o", str(session / "shim.so"), "-ldl"]
    try:
        subprocess.run(build, check=True)
        worker.set_up()
        run = Run(worker, options.seed, session)
        kinds = [options.only] if options.only else ["faults", "kills", "damage"]
        if options.case is not None:
            answer = run.run(kinds[0], run.case(kinds[0], options.case))
            print(json.dumps(answer, indent=1))
        else:
            if options.table:
                run.table()
            for kind in kinds:
                run.until(kind, options.seconds / len(kinds))
            if run.cells:
                run.print_table()
        print()
        for outcome, count in sorted(run.outcomes.items()):
            print(f"{count:6} {outcome}")
        print(f"{len(run.findings)} findings, seed {options.seed}")
        return 1 if run.findings else 0
    finally:
        worker.stop()
        shutil.rmtree(session, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
