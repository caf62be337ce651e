"""Runs one case after the other, for faults.py, which preloads the shim: `worker.py SESSION` reads a case per line of
its input, as JSON, and answers with a line of JSON. `worker.py SESSION setup` makes what the cases begin with."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import PIL.Image

import fne
from fne._command.report import write_report

ROOT = Path(__file__).resolve().parents[2]
SIZE = (48, 64)
IMAGES = 14
#: The images of one batch.
BATCH = 2
CODES = ("int8", "packed")
#: They tell of a run, of the images' files, and where these were. No result depends on them, and no checksum is kept
#: of them.
ASIDE = ("runs.jsonl", "image_files.npy", "places.json")

GROUPS = [
    "open",
    "read",
    "write",
    "sync",
    "rename",
    "resize",
    "mkdir",
    "list",
    "stat",
    "unlink",
    "lock",
    "close",
    "map",
]
GROUPS += ["thread", "memory", "access"]
#: Instead of an errno, as in the shim.
SHORT, KILL, COPY = -1, -2, -3


class Wrong(Exception):
    """A run gave what it must not give. The text says what."""


# ---- workloads


class Session:
    """The images, the network, and the jobs that cases begin with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = folder / "images"
        self.paths = sorted(self.images.iterdir()) if self.images.exists() else []
        self.network = folder / "network.pb"
        self.stages = folder / "stages"
        self.cases = folder / "cases"

    def embed(self, output: Path, **options: Any) -> fne.Job:
        given = {"size": SIZE, "codes": CODES, "batch_size": BATCH, "checkpoint_seconds": 1, **options}
        return fne.embed_dataset(given.pop("source", self.images), self.network, output, **given)

    def interrupted(self, output: Path, images: int, **options: Any) -> None:
        """Begins a job, and stops it after so many images."""

        class Stop(Exception):
            pass

        def progress(phase: str, done: int, _total: int) -> None:
            if phase == "embedding" and done >= images:
                raise Stop

        try:
            self.embed(output, progress=progress, **options)
        except Stop:
            return
        raise Wrong("the job was not interrupted")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def contents(folder: Path) -> dict[str, str]:
    """Of all files of a job that equal jobs share."""
    return {path.name: digest(path.read_bytes()) for path in sorted(folder.iterdir()) if path.name not in ASIDE}


def read(job: fne.Job) -> dict[str, str]:
    """All that can be read of a job."""
    values: dict[str, Any] = {
        "state": job.state,
        "images": len(job),
        "done": job.images_done,
        "names": job.names,
        "layers": [(layer.name, str(layer.features)) for layer in job.layers],
    }
    if job.state != "running":
        values |= {"statuses": job.statuses.tolist(), "failures": job.failures}
        values |= {"features": digest(np.ascontiguousarray(job.features()).tobytes())}
        values |= {"stats": job.stats.tolist(), "statistics": digest(job.statistics().to_bytes())}
    if job.state == "finished":
        values |= {"codes": digest(np.ascontiguousarray(job.codes()).tobytes())}
        values |= {"packed": digest(np.ascontiguousarray(job.packed_codes().words).tobytes())}
    return {name: digest(json.dumps(value).encode()) for name, value in values.items()}


# A workload returns a function that gives its results, which is called when nothing fails any more.

Result = Callable[[], dict[str, str]]


def of_job(folder: Path) -> Result:
    return lambda: contents(folder / "job")


def embed(session: Session, folder: Path) -> Result:
    session.embed(folder / "job")
    return of_job(folder)


def crops(session: Session, folder: Path) -> Result:
    session.embed(folder / "job", crops=10, batch_size=10, codes="packed")
    return of_job(folder)


def listed(session: Session, folder: Path) -> Result:
    session.embed(folder / "job", source=session.folder / "list.txt", codes="int8", streams=1)
    return of_job(folder)


def given(session: Session, folder: Path) -> Result:
    statistics = session.stages / "finished" / "statistics.fne"
    session.embed(folder / "job", statistics=statistics, keep_features=False)
    return of_job(folder)


def shards(session: Session, folder: Path) -> Result:
    names = ("shard0", "shard1", "job")
    for index in range(2):
        session.embed(folder / names[index], shard=(index, 2))
    merge(session, folder)
    return lambda: {f"{name}/{file}": of for name in names for file, of in contents(folder / name).items()}


def merge(session: Session, folder: Path) -> Result:
    fne.merge_shards([folder / "shard0", folder / "shard1"], folder / "job", codes=CODES)
    return of_job(folder)


def later(session: Session, folder: Path) -> Result:
    with contextlib.suppress(fne.errors.JobMismatchError):  # it may have begun to make codes
        session.embed(folder / "job", codes=None)
    return embed(session, folder)


def open_job(session: Session, folder: Path) -> Result:
    value = read(fne.Job(folder / "job"))
    return lambda: value


def report(session: Session, folder: Path) -> Result:
    write_report(fne.Job(folder / "job"), folder / "page.html", session.images)
    return lambda: {"page": digest((folder / "page.html").read_bytes())}


def extract(session: Session, folder: Path) -> Result:
    with fne.Extractor(session.network, size=SIZE, batch_size=BATCH, on_error="skip") as extractor:
        found = extractor.extract(session.paths)
    return lambda: {"features": digest(found.features.tobytes()), "statuses": str(found.statuses.tolist())}


def strict(session: Session, folder: Path) -> Result:
    good = [path for path in session.paths if "broken" not in path.name]
    with fne.Extractor(session.network, size=SIZE, batch_size=BATCH, on_error="raise") as extractor:
        found = extractor.extract(good)
    return lambda: {"features": digest(found.features.tobytes())}


def statistics(session: Session, folder: Path) -> Result:
    rows = np.random.default_rng(5).normal(size=(70, 3000)).astype(np.float32)
    total = fne.Statistics(3000).update(rows)
    total.merge(fne.Statistics.from_bytes(total.to_bytes()))
    packed = fne.PackedCodes.pack(fne.ternarize(rows, total.mean(), total.std()))
    nearest, scores = packed.search(packed, 3)
    values = [total.to_bytes(), total.mean().tobytes(), total.std().tobytes(), nearest.tobytes(), scores.tobytes()]
    return lambda: {str(number): digest(value) for number, value in enumerate(values)}


Workload = Callable[[Session, Path], Result]
#: Each with the stages that are copied into its folder first, under the names that they get there.
WORKLOADS: dict[str, tuple[Workload, dict[str, str]]] = {
    "embed": (embed, {}),
    "crops": (crops, {}),
    "listed": (listed, {}),
    "given": (given, {}),
    "shards": (shards, {}),
    "merge": (merge, {"shard0": "shard0", "shard1": "shard1"}),
    "later": (later, {}),
    "codes": (embed, {"features": "job"}),
    "resume": (embed, {"running": "job"}),
    "again": (embed, {"finished": "job"}),
    "open": (open_job, {"finished": "job"}),
    "report": (report, {"finished": "job"}),
    "extract": (extract, {}),
    "strict": (strict, {}),
    "statistics": (statistics, {}),
}
#: Those that write a job into the folder `job`.
WRITERS = ("embed", "crops", "listed", "given", "merge", "later", "codes", "resume")


def watched(session: Session, workload: str, folder: Path) -> list[Path]:
    """Where system calls may fail. The pictures on a page are left out where they cannot be read."""
    inputs = [session.images, session.folder / "list.txt", session.stages]
    return [folder] if workload == "report" else [folder, *inputs]


# ---- faults


#: Cases that had findings once. They come before those of chance.
KNOWN: dict[str, list[dict[str, Any]]] = {
    "faults": [
        # A file was taken for missing where the system could not tell.
        {"workload": "again", "groups": ["access"], "only": "job/manifest.json", "error": "EIO", "first": 1},
        {"workload": "embed", "groups": ["access"], "only": "job/codes.npy.part", "error": "ESTALE", "times": 1 << 40},
        {"workload": "again", "groups": ["access"], "only": "job/features.npy", "error": "EIO"},
        {"workload": "embed", "groups": ["stat"], "only": "images/06.png", "error": "EIO"},
        {"workload": "embed", "groups": ["list"], "only": "job", "error": "EIO"},
        # A hiccup was taken for a bad image.
        {"workload": "embed", "groups": ["read"], "only": "images/02.jpg", "error": "EIO"},
        {"workload": "extract", "groups": ["open"], "only": "images/03.png", "error": "EMFILE", "times": 3},
        # The errors of Python's own files came as they are.
        {"workload": "open", "groups": ["stat"], "only": "job/features.npy", "error": "ESTALE"},
        {"workload": "open", "groups": ["open"], "only": "job/images.jsonl", "error": "EMFILE"},
        {"workload": "report", "groups": ["open"], "only": "page.html", "error": "EROFS"},
        {"workload": "report", "groups": ["read"], "only": "job/runs.jsonl", "error": "EIO"},
        # A picture was left out of the page where there was no memory for it.
        {"workload": "report", "groups": ["memory"], "error": "ENOMEM", "first": 14},
    ],
    "kills": [
        # What a killed run left was taken for the folder of somebody else.
        {"workload": "listed", "groups": ["resize"], "only": "features.npy.part", "error": "COPY"},
        # A file that was about to become a checkpoint was left over.
        {"workload": "given", "groups": ["sync"], "only": "checkpoint.new", "error": "COPY", "times": 1 << 40},
    ],
    "damage": [
        # The names of a job that is not finished were not compared.
        {"stage": "running", "file": "images.list", "damage": "flip", "reader": "open", "seed": "1"},
    ],
}


def faults_of(number: int, seed: int, right: dict[str, Any]) -> dict[str, Any]:
    """The case of that number: a workload, and what fails in it."""
    random = Random(f"{seed}:{number}")
    workload = random.choice(list(WORKLOADS))
    errors = {
        "open": "EMFILE ENFILE EIO ENOMEM ESTALE EINTR ETIMEDOUT",
        "read": "EIO ESTALE ETIMEDOUT EINTR ENOMEM SHORT",
        "write": "EIO ENOSPC EDQUOT EINTR ESTALE SHORT",
        "sync": "EIO ENOSPC EDQUOT EINTR",
        "rename": "EIO ENOSPC EDQUOT ESTALE",
        "resize": "EIO ENOSPC EDQUOT EINTR EOPNOTSUPP",
        "mkdir": "EIO ENOSPC EDQUOT",
        "list": "EIO ESTALE ETIMEDOUT ENOMEM",
        "stat": "EIO ESTALE ETIMEDOUT ENOMEM",
        "access": "EIO ESTALE ETIMEDOUT ENOMEM",
        "unlink": "EIO EROFS ESTALE",
        "lock": "EIO ENOLCK EINTR",
        "close": "EIO ENOSPC EDQUOT EINTR",
        "map": "ENOMEM ENODEV",
        "thread": "EAGAIN",
        "memory": "ENOMEM",
    }
    calls = right[workload]["calls"]
    group = random.choice([group for group in errors if calls[group] for _ in range(2 if group in "read write" else 1)])
    plan: dict[str, Any] = {"groups": [group], "error": random.choice(errors[group].split()), "seed": number}
    if random.random() < 0.2:
        plan |= {"first": 0, "times": 0, "chance": random.choice([0.02, 0.1, 0.5])}
    else:
        # Nothing can be done about a call that is interrupted for ever.
        times = random.choice([1, 1, 1, 3, 3 if plan["error"] == "EINTR" else 1 << 40])
        plan |= {"first": random.randrange(calls[group]), "times": times, "chance": 0.0}
    return {"kind": "fault", "workload": workload, "number": number, **plan}


class Shim:
    """The preloaded library. Without it nothing fails."""

    def __init__(self) -> None:
        process = ctypes.CDLL(None)
        if not hasattr(process, "faults_begin"):
            raise SystemExit("the shim is not preloaded")
        self._begin, self._end = process.faults_begin, process.faults_end
        self._begin.argtypes = [ctypes.c_uint, ctypes.c_long, ctypes.c_long, ctypes.c_ulonglong, ctypes.c_double]
        self._begin.argtypes += [ctypes.c_int, *[ctypes.c_char_p] * 4]
        self._end.restype = ctypes.c_char_p

    def begin(self, plan: dict[str, Any], folders: list[Path], copied: tuple[Path, Path] | None = None) -> None:
        groups = sum(1 << GROUPS.index(group) for group in plan["groups"])
        special = {"SHORT": SHORT, "KILL": KILL, "COPY": COPY}
        error = special.get(plan["error"]) or getattr(errno, plan["error"])
        source, target = copied or ("", "")
        self._begin(
            groups,
            plan.get("first", 0),
            plan["times"],
            plan.get("seed", 0),
            plan.get("chance", 0.0),
            error,
            os.fsencode(":".join(map(str, folders))),
            os.fsencode(plan.get("only", "")),
            os.fsencode(source),
            os.fsencode(target),
        )

    def end(self) -> tuple[dict[str, int], int, list[str]]:
        """How many calls of each group could have failed, how many did, and which were the first."""
        calls, failed = (ctypes.c_long * len(GROUPS))(), ctypes.c_long()
        said = self._end(calls, ctypes.byref(failed))
        return dict(zip(GROUPS, calls, strict=True)), failed.value, os.fsdecode(said).splitlines()


def described(failure: BaseException) -> str:
    return f"{type(failure).__name__}: {failure}"


def compare(found: dict[str, str], right: dict[str, str], folder: Path | None = None) -> None:
    """
    Raises:
        Wrong: they differ
    """
    names = sorted(name for name in found.keys() | right.keys() if found.get(name) != right.get(name))
    if not names:
        return
    surplus = [name for name in names if name not in right]
    if surplus == names:
        raise Wrong(f"files are left over: {surplus}")
    if folder is not None and (folder / "job" / "status.npy").exists():
        statuses = np.load(folder / "job" / "status.npy")
        if np.count_nonzero(statuses) != 1:
            raise Wrong(f"images are marked as failed: statuses {statuses.tolist()}")
    if "statuses" in names:
        raise Wrong(f"images are marked as failed: {found['statuses']}")
    raise Wrong(f"wrong bytes: {names}")


class Cases:
    """Runs cases."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.shim = Shim()
        self.right = json.loads((session.folder / "right.json").read_text())

    def run(self, case: dict[str, Any]) -> dict[str, Any]:
        run = {"fault": self.fault, "kill": self.kill, "after": self.after, "damage": self.damage}[case["kind"]]
        folder = self.session.cases / str(case["number"])
        if case["kind"] != "after":
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        result = run(case, folder)
        if not result.get("finding") and not case.get("keep"):
            shutil.rmtree(folder, ignore_errors=True)
        return result

    def _prepared(self, workload: str, folder: Path) -> Workload:
        function, stages = WORKLOADS[workload]
        for stage, name in stages.items():
            shutil.copytree(self.session.stages / stage, folder / name)
        return function

    def fault(self, case: dict[str, Any], folder: Path) -> dict[str, Any]:
        workload = case["workload"]
        function = self._prepared(workload, folder)
        failure = result = None
        self.shim.begin(case, watched(self.session, workload, folder))
        try:
            result = function(self.session, folder)
        except BaseException as raised:
            failure = raised
        finally:
            _, failed, said = self.shim.end()
        answer: dict[str, Any] = {"outcome": "right", "failed": failed, "said": said[:4]}
        try:
            if result is not None:
                value = result()
                if case["groups"] == ["unlink"]:  # what could not be removed may stay
                    value = {name: value[name] for name in value if name in self.right[workload]["value"]}
                compare(value, self.right[workload]["value"], folder)
                answer["outcome"] = "right" if failed else "nothing failed"
                return answer
            assert failure is not None
            answer |= {"outcome": "error", "error": described(failure)}
            if not isinstance(failure, fne.FNEError):
                answer["trace"] = "".join(traceback.format_exception(failure))[-1500:]
                raise Wrong("another class of error")
            if failed == 0:
                raise Wrong("an error although nothing failed")
            names = {Path(line.split(" ", 2)[2]).name for line in said if line.split(" ", 2)[2]}
            stems = {name.removesuffix(".new").removesuffix(".part") for name in names}
            if names and not any(stem in str(failure) for stem in stems):
                raise Wrong("the message does not name the file")
            try:
                compare(function(self.session, folder)(), self.right[workload]["value"], folder)
            except Wrong as wrong:
                raise Wrong(f"run again: {wrong}") from None
            except BaseException as again:
                answer["trace"] = "".join(traceback.format_exception(again))[-1500:]
                raise Wrong(f"run again: {described(again)}") from None
        except Wrong as wrong:
            answer["finding"] = str(wrong)
        return answer

    # ---- kills

    def kill(self, case: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Copies the folder in the middle of a run, as a kill would leave it, or is killed. `after` goes on."""
        workload = case["workload"]
        function = self._prepared(workload, folder)
        plan = {"groups": WRITES, "times": 1, **case}
        self.shim.begin(plan, [folder / "job"], (folder / "job", folder / "copied"))
        try:
            function(self.session, folder)
        finally:
            _, failed, said = self.shim.end()
        shutil.rmtree(folder / "job")
        if not (folder / "copied").exists():
            return {"outcome": "nothing there yet", "failed": failed, "said": said}
        (folder / "copied").rename(folder / "job")
        return self.after(case, folder) | {"failed": failed, "said": said}

    def after(self, case: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Runs a job again that was killed."""
        try:
            found = WORKLOADS[case["workload"]][0](self.session, folder)()
            compare(found, self.right[case["workload"]]["value"], folder)
        except Wrong as wrong:
            return {"outcome": "wrong", "finding": f"run again after a kill: {wrong}"}
        except BaseException as failure:
            trace = "".join(traceback.format_exception(failure))[-1500:]
            return {"outcome": "error", "finding": f"run again after a kill: {described(failure)}", "trace": trace}
        return {"outcome": "right"}

    # ---- damage

    def damage(self, case: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Damages a file of a job, and lets a reader read it."""
        stage, reader = case["stage"], case["reader"]
        job = folder / "job"
        shutil.copytree(self.session.stages / stage, job)
        other = "shard1" if stage == "shard0" else None
        if other:
            shutil.copytree(self.session.stages / other, folder / other)
        older = self.session.stages / OLDER[stage] / case["file"]
        if not damaged(job / case["file"], case["damage"], older, Random(f"{case['seed']}")):
            return {"outcome": "cannot be", "letter": " "}
        read_it, right = READERS[reader][0], self.right["readers"][stage][reader]
        try:
            value = read_it(self.session, folder, stage)()
        except fne.FNEError as failure:
            noticed = isinstance(failure, fne.errors.SavedDataError)
            return {
                "outcome": "noticed" if noticed else "refused",
                "letter": "n" if noticed else "f",
                "error": described(failure),
            }
        except BaseException as failure:
            trace = "".join(traceback.format_exception(failure))[-1500:]
            return {"outcome": "another class", "letter": "X", "finding": described(failure), "trace": trace}
        if value != right:
            names = [name for name in right if value.get(name) != right[name]]
            surplus = [name for name in value if name not in right]
            answer = {"outcome": "served wrong", "letter": "W", "wrong": names + surplus}
            if case["file"] in ASIDE or self._verify_notices(job, reader):
                return answer | {"outcome": "not looked at", "letter": "u"}
            return answer | {"finding": f"served wrong: {names + surplus}"}
        if reader in ("again", "merge again"):
            return {"outcome": "repaired", "letter": "r"}
        return {"outcome": "right", "letter": "."}

    def _verify_notices(self, job: Path, reader: str) -> bool:
        """Whether a reader that does not compare contents left that to `verify`, which notices the damage."""
        if reader not in ("open", "report") or not hasattr(fne.Job, "verify"):
            return False
        try:
            fne.Job(job).verify()
        except fne.errors.SavedDataError:
            return True
        return False


WRITES = ["open", "write", "sync", "rename", "resize", "unlink"]


def damaged(path: Path, kind: str, older: Path, random: Random) -> bool:
    """Damages a file. False where this kind changes nothing."""
    data = path.read_bytes()
    if kind == "delete":
        path.unlink()
        return True
    block = min(512, max(1, len(data) // 4))
    at = random.randrange(0, max(1, len(data) - block))
    if kind == "empty":
        changed = b""
    elif kind == "cut":
        changed = data[: random.randrange(0, len(data))] if data else data
    elif kind == "flip":
        changed = bytearray(data)
        if data:
            changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
        changed = bytes(changed)
    elif kind == "zero":
        changed = data[:at] + bytes(len(data[at : at + block])) + data[at + block :]
    elif kind == "swap":
        to = random.randrange(0, max(1, len(data) - block))
        first, second = min(at, to), max(at, to)
        if second - first < block:
            return False
        changed = (
            data[:first]
            + data[second : second + block]
            + data[first + block : second]
            + data[first : first + block]
            + data[second + block :]
        )
    elif kind == "append":
        changed = data + random.randbytes(random.choice([1, 8, 700]))
    else:
        if not older.exists():
            return False
        changed = older.read_bytes()
    path.write_bytes(changed)
    return changed != data


DAMAGES = ("delete", "empty", "cut", "flip", "zero", "swap", "append", "older")
#: Where the older copy of a stage's file comes from: an earlier moment, or a job of other pictures of the same names.
OLDER = {
    "running": "earlier",
    "running codes": "earlier codes",
    "features": "other features",
    "finished": "other",
    "shard0": "other shard0",
    "merged": "other",
}


def read_open(session: Session, folder: Path, stage: str) -> Result:
    result = open_job(session, folder)
    # How much of a running job is done is what a run would build on, which damage makes less.
    return lambda: {name: value for name, value in result().items() if name != "done"}


def read_again(session: Session, folder: Path, stage: str) -> Result:
    options: dict[str, Any] = {}
    if stage == "running codes":
        options = {"statistics": session.stages / "finished" / "statistics.fne"}
    if stage == "shard0":
        options = {"shard": (0, 2)}
    if stage == "merged":
        fne.merge_shards([session.stages / "shard0", session.stages / "shard1"], folder / "job", codes=CODES)
    else:
        session.embed(folder / "job", **options)
    return of_job(folder)


def read_merge(session: Session, folder: Path, stage: str) -> Result:
    shards = [folder / "job"] + ([folder / "shard1"] if stage == "shard0" else [])
    fne.merge_shards(shards, folder / "whole", codes=CODES)
    return lambda: contents(folder / "whole")


def read_verify(session: Session, folder: Path, stage: str) -> Result:
    fne.Job(folder / "job").verify()
    return of_job(folder)


def read_report(session: Session, folder: Path, stage: str) -> Result:
    return report(session, folder)


Reader = Callable[[Session, Path, str], Result]
ALL = ("running", "running codes", "features", "finished", "shard0", "merged")
#: Each with the stages that it can read.
READERS: dict[str, tuple[Reader, tuple[str, ...]]] = {
    "open": (read_open, ALL),
    "again": (read_again, ALL),
    "merge": (read_merge, ("features", "finished", "shard0", "merged")),
    "report": (read_report, ("finished", "merged")),
    "verify": (read_verify, ("features", "finished", "shard0", "merged") if hasattr(fne.Job, "verify") else ()),
}


def damage_cases(session: Session) -> list[dict[str, Any]]:
    """Each file of each stage, damaged in each way, for each reader."""
    return [
        {"kind": "damage", "stage": stage, "file": path.name, "damage": kind, "reader": reader}
        for stage in ALL
        for path in sorted((session.stages / stage).iterdir())
        for kind in DAMAGES
        for reader, (_, stages) in READERS.items()
        if stage in stages
    ]


# ---- setting up


def pictures(folder: Path, shift: int) -> None:
    folder.mkdir()
    photograph = fne.read_image(next(path for path in fne.zoo.sample_images() if path.endswith("coffee.png")))
    for number in range(IMAGES - 1):
        top, left = 7 * number + shift, 11 * number
        image = PIL.Image.fromarray(photograph[top : top + 60, left : left + 80])
        image.save(folder / f"{number:02}.{'png' if number % 3 == 0 else 'jpg'}")
    (folder / "05-broken.jpg").write_bytes((folder / "02.jpg").read_bytes()[:300])
    for path in folder.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))


def setup(session: Session) -> None:
    sys.path.insert(0, str(ROOT / "Tests/python"))
    from conftest import small_network

    session.network.write_bytes(small_network(*SIZE)[0].SerializeToString())


def stages(session: Session) -> None:
    """The jobs that cases begin with, and what is right."""
    pictures(session.images, 0)
    pictures(session.folder / "other images", 1)
    (session.folder / "list.txt").write_text(
        "".join(f"images/{path.name}\n" for path in sorted(session.images.iterdir()))
    )
    session = Session(session.folder)
    base = session.stages
    base.mkdir()
    other = {"source": session.folder / "other images"}
    session.embed(base / "finished")
    session.embed(base / "other", **other)
    statistics = base / "finished" / "statistics.fne"
    for name, images in (("running", 8), ("earlier", 4)):
        session.interrupted(base / name, images)
        session.interrupted(base / f"{name} codes", images, statistics=statistics)
    session.embed(base / "features", codes=None)
    session.embed(base / "other features", codes=None, **other)
    for index in range(2):
        session.embed(base / f"shard{index}", shard=(index, 2))
    session.embed(base / "other shard0", shard=(0, 2), **other)
    fne.merge_shards([base / "shard0", base / "shard1"], base / "merged", codes=CODES)

    shim = Shim()
    right: dict[str, Any] = {"readers": {}}
    for name, (function, needed) in WORKLOADS.items():
        values = []
        counts: list[dict[str, int]] = []
        for groups in (GROUPS, WRITES):
            folder = session.cases / "right" / name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for stage, target in needed.items():
                shutil.copytree(base / stage, folder / target)
            everything = watched(session, name, folder)
            shim.begin(
                {"groups": groups, "times": 0, "error": "EIO"}, everything if groups == GROUPS else [folder / "job"]
            )
            result = function(session, folder)
            counts.append(shim.end()[0])
            values.append(result())
        if any(value != values[0] for value in values):
            raise SystemExit(f"{name} gives other bytes each time: {values}")
        right[name] = {"value": values[0], "calls": counts[0], "writes": sum(counts[1].values())}
    for stage in ALL:
        right["readers"][stage] = {}
        for reader, (function, possible) in READERS.items():
            if stage not in possible:
                continue
            folder = session.cases / "right" / "reader"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            shutil.copytree(base / stage, folder / "job")
            shutil.copytree(base / "shard1", folder / "shard1")
            right["readers"][stage][reader] = function(session, folder, stage)()
    (session.folder / "right.json").write_text(json.dumps(right))
    (session.folder / "damage.json").write_text(json.dumps(damage_cases(session)))


def main() -> None:
    session = Session(Path(sys.argv[1]))
    if sys.argv[2:] == ["network"]:
        return setup(session)
    if sys.argv[2:] == ["stages"]:
        return stages(session)
    cases = Cases(session)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(cases.run(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
