"""`make bench`: its medians, its file of figures, its progress, and parts that fail or are stopped. No figure of it."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "Benchmarks"))

import figures
import jobs
import machine
import parts
import speed
from figures import Record, Spread, figure, left_out, ratios, spread, taking_turns
from networks import Network
from processes import Engine, NotRunning
from progress import Budget, Progress

# ---- medians and rounds


def test_a_spread_is_numpys_median_and_range():
    for count in (1, 2, 5, 8):
        values = np.random.default_rng(count).normal(size=count)
        found = spread(values.tolist())
        assert found == pytest.approx((np.median(values), values.min(), values.max(), count), abs=0)
    assert spread(7) == (7.0, 7.0, 7.0, 1)
    assert spread(np.float64(0.5)) == (0.5, 0.5, 0.5, 1)


def test_what_is_no_figure():
    with pytest.raises(ValueError, match="at least one round"):
        spread([])
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite"):
            spread([1.0, value])


def test_the_text_has_a_range_where_there_are_rounds():
    assert Spread(1.23456, 1.0, 2.0, 3).text() == "1.23 (1.00 to 2.00)"
    assert Spread(1234.5, 1000.0, 2000.0, 4).text(0) == "1234 (1000 to 2000)"
    assert Spread(0.5, 0.5, 0.5, 1).text(1) == "0.5"


def test_ratios_are_of_each_round():
    above, below = [2.0, 9.0, 4.0], [1.0, 3.0, 8.0]
    assert ratios(above, below) == (np.array(above) / np.array(below)).tolist()
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


def test_engines_take_turns_and_each_round_begins_with_another():
    calls, begun = [], []
    ways = {name: lambda name=name: calls.append(name) or len(calls) for name in "abc"}
    found = taking_turns(ways, 3, warm=1, begin=begun.append)
    assert "".join(calls) == "cab" + "abc" + "bca" + "cab"
    assert begun == [1, 2, 3]
    assert found == {"a": [4, 9, 11], "b": [5, 7, 12], "c": [6, 8, 10]}


# ---- the file


@pytest.fixture
def record(tmp_path, monkeypatch):
    """A file of a run, and this process as its part "speed"."""
    path = tmp_path / "bench" / "figures.json"
    made = Record.begin(path, ["speed", "cold"], trial=True, machine={"cores": 2})
    monkeypatch.setenv(figures.VARIABLE, json.dumps({"file": str(path), "part": "speed", "budget": [0, 0, 1, 1]}))
    return made


def content(record):
    return json.loads(record.path.read_text())


def test_the_form_of_the_file(record):
    assert content(record) == {
        "form": 1,
        "complete": False,
        "trial": True,
        "machine": {"cores": 2},
        "parts": {"speed": {"status": "not begun"}, "cold": {"status": "not begun"}},
        "figures": [],
        "left_out": [],
    }
    assert figure("GoogLeNet, libfne", "images/s", [3.0, 1.0, 2.5], 1) == "2.5 (1.0 to 3.0)"
    assert figure("size", "MB", np.float32(0.5)) == "0.50"
    assert content(record)["figures"] == [
        {
            "part": "speed",
            "name": "GoogLeNet, libfne",
            "unit": "images/s",
            "median": 2.5,
            "smallest": 1.0,
            "largest": 3.0,
            "rounds": 3,
        },
        {"part": "speed", "name": "size", "unit": "MB", "median": 0.5, "smallest": 0.5, "largest": 0.5, "rounds": 1},
    ]
    assert [path.name for path in record.path.parent.iterdir()] == ["figures.json"]


def test_a_part_has_each_name_once(record):
    figure("size", "MB", 1)
    with pytest.raises(ValueError, match="speed has two figures of the name 'size'"):
        figure("size", "MB", 2)
    Record(record.path).add("cold", "size", "MB", spread(3))
    assert [each["median"] for each in content(record)["figures"]] == [1, 3]


def test_what_is_left_out_is_printed_and_kept(record, capsys):
    left_out("OpenVINO", "it is not installed")
    assert capsys.readouterr().out == "  OpenVINO: left out: it is not installed\n"
    assert content(record)["left_out"] == [{"part": "speed", "what": "OpenVINO", "why": "it is not installed"}]


def test_a_run_is_complete_if_all_was_measured(record):
    def complete():
        found = Record(record.path)
        found.finish()
        return content(record)["complete"]

    record.tell("speed", "measured", seconds=1.3)
    assert content(record)["parts"]["speed"] == {"status": "measured", "seconds": 1.3}
    assert not complete()
    Record(record.path).tell("cold", "failed", message="no memory")
    assert content(record)["parts"]["cold"] == {"status": "failed", "message": "no memory"}
    assert not complete()
    Record(record.path).tell("cold", "measured")
    assert complete()
    left_out("OpenVINO", "it is not installed")
    assert not complete()


def test_a_script_alone_prints_only(monkeypatch, tmp_path):
    monkeypatch.delenv(figures.VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    assert figure("size", "MB", [1, 2, 3]) == "2.00 (1.00 to 3.00)"
    assert list(tmp_path.iterdir()) == []


# ---- progress


def test_the_time_left_follows_the_pace():
    budget = Budget(began=1000.0, before=100.0, own=100.0, total=400.0)
    assert budget.left(0.0, 1100.0) == pytest.approx(300)  # as expected
    assert budget.left(0.5, 1150.0) == pytest.approx(250)
    assert budget.left(1.0, 1420.0) == pytest.approx(400)  # it took twice as long, so the rest does
    assert Budget(1000.0, 0.0, 100.0, 100.0).left(0.0, 1000.0) == pytest.approx(100)
    assert Budget(1000.0, 0.0, 100.0, 100.0).left(1.0, 9000.0) == 0


def test_progress_tells_part_subject_round_and_time():
    now, stream = [1000.0], io.StringIO()
    shown = Progress("speed", Budget(1000.0, 0.0, 120.0, 600.0), stream, lambda: now[0])
    shown.plan(4)
    begin = shown.rounds("MobileNet V2", 3, "libfne")
    begin(1)
    now[0] += 1
    begin(2)  # the last line is not a while ago
    now[0] += 59
    begin(3)
    shown.step("GoogLeNet", "getting warm")
    assert stream.getvalue().splitlines() == [
        "[speed] MobileNet V2, libfne, round 1 of 3; about 10 min left",
        "[speed] MobileNet V2, libfne, round 3 of 3; about 9 min left",  # as expected: 540 s
        "[speed] GoogLeNet, getting warm; about 6 min left",  # 510 s, by the pace of 60 and 20 s for 90 and 20
    ]


def test_progress_of_a_script_alone_has_no_estimate():
    stream = io.StringIO()
    shown = Progress("", None, stream)
    shown.step("one image", "round 1 of 2")
    assert stream.getvalue() == "one image, round 1 of 2\n"


# ---- the machine


def test_the_machine_is_described():
    processors = """processor\t: 0
model name\t: AMD EPYC
flags\t\t: fpu avx avx2 avx512f ht

processor\t: 1
model name\t: AMD EPYC
flags\t\t: fpu avx avx2 avx512f ht
"""
    found = machine.hardware(processors, "MemFree: 1 kB\nMemTotal:       24414062 kB\n")
    sets = ["avx", "avx2", "avx512f"]
    assert found == {"processor": "AMD EPYC", "instruction_sets": sets, "memory_gb": 25.0}
    arm = machine.hardware("processor\t: 0\nFeatures\t: fp asimd asimddp\n", "")
    assert arm["instruction_sets"] == ["asimd", "asimddp"]
    assert machine.versions()["NumPy"] == np.__version__


def test_the_machine_in_words():
    told = {
        "cores": 2,
        "processor": "AMD EPYC",
        "memory_gb": 25.0,
        "load_at_start": [0.1],
        "instruction_sets": ["avx2"],
        "system": "Linux",
        "python": "3.11",
        "libfne": "2.0.0",
        "versions": {"NumPy": "2"},
        "peers": {"NumPy": "1", "OpenVINO": "3"},
        "onednn_by_default": True,
        machine.ONEDNN_VARIABLE: None,
    }
    found = machine.text(told)
    assert found.startswith("2 cores of AMD EPYC, 25 GB of memory, load 0.1\n")
    assert "NumPy 2, OpenVINO 3" in found
    assert found.endswith("oneDNN is on by default")
    assert machine.text({**told, machine.ONEDNN_VARIABLE: "0"}).endswith("; TF_ENABLE_ONEDNN_OPTS=0 is set")


# ---- processes


def engine(program):
    return Engine([sys.executable, "-c", textwrap.dedent(program)])


def test_an_engine_answers_each_time_it_is_asked():
    found = engine(
        """
        import sys
        print("a library says something")
        print("ready", flush=True)
        for number, _ in enumerate(sys.stdin):
            sys.stderr.write("a warning " * 20_000)  # more than a pipe holds
            print(number, flush=True)
        """
    )
    assert [found.ask() for _ in range(3)] == ["0", "1", "2"]
    found.close()


def test_an_engine_that_ends_says_why():
    with pytest.raises(NotRunning, match="No module named 'not_there'"):
        engine("import not_there")
    with pytest.raises(NotRunning, match="status 3 and said nothing"):
        engine("raise SystemExit(3)")
    found = engine("print('ready', flush=True); input(); raise SystemExit('no memory')")
    with pytest.raises(NotRunning, match="no memory"):
        found.ask()


# ---- the command

# bench.py with other parts, and without a look at the machine.
FAKE = """
import sys
sys.path.insert(0, {benchmarks!r})
import bench, parts
from parts import LeftOut, Part

def script(text):
    return lambda given: [[sys.executable, "-c", "import sys; sys.path.insert(0, {benchmarks!r})\\n" + text]]

def missing(given):
    raise LeftOut("it needs a camera")

GOOD = "from figures import figure; from progress import progress; "
GOOD += "progress.step('all'); print(figure({{!r}}, 's', [1, 2]))"
bench.description = lambda peers: {{"cores": 2}}
bench.text = str
bench.PARTS = {{
    "one": Part("the first", (1, 1), script(GOOD.format("first"))),
    "two": Part("the second", (1, 1), script(GOOD.format("before") + "\\n" + {second!r})),
    "three": Part("the third", (1, 1), missing),
    "four": Part("the fourth", (1, 1), script(GOOD.format("last"))),
}}
sys.exit(bench.main())
"""


def run_bench(tmp_path, second, *options):
    program = FAKE.format(benchmarks=str(ROOT / "Benchmarks"), second=second)
    path = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-c", program, "--json", str(path), *options], capture_output=True, text=True, timeout=60
    )
    return done, json.loads(path.read_text())


def statuses(found):
    return {name: part["status"] for name, part in found["parts"].items()}


def test_a_part_that_fails_says_so_and_the_others_go_on(tmp_path):
    done, found = run_bench(tmp_path, "raise ValueError('no peers')", "--quick")
    assert done.returncode == 1
    assert statuses(found) == {"one": "measured", "two": "failed", "three": "left out", "four": "measured"}
    assert found["parts"]["two"]["message"] == "ValueError: no peers"
    assert found["parts"]["three"]["message"] == "it needs a camera"
    assert [(each["part"], each["name"]) for each in found["figures"]] == [
        ("one", "first"),
        ("two", "before"),
        ("four", "last"),
    ]
    assert set(found["parts"]["one"]) == {"status", "seconds", "processor_seconds"}
    assert 0 < found["parts"]["one"]["processor_seconds"] < 60
    assert (found["trial"], found["complete"], found["machine"]) == (True, False, {"cores": 2})
    assert "two failed: ValueError: no peers" in done.stdout
    assert "1.50 (1.00 to 2.00)" in done.stdout
    assert done.stdout.count("Quote none of its figures") == 2
    assert re.search(r"^\[one\] all; about \d+ s left$", done.stderr, re.MULTILINE)


@pytest.mark.parametrize("way", ["SIGINT", "SIGTERM"])
def test_what_was_measured_stays_when_the_run_is_stopped(tmp_path, way):
    stopping = f"import os, signal, time; os.kill(os.getppid(), signal.{way}); time.sleep(60)"
    done, found = run_bench(tmp_path, stopping)
    assert done.returncode == 130
    assert statuses(found) == {"one": "measured", "two": "interrupted", "three": "not begun", "four": "not begun"}
    assert [each["name"] for each in found["figures"]] == ["first", "before"]
    assert not found["complete"]
    assert f"2 figures in {tmp_path / 'figures.json'}" in done.stdout


def test_parts_that_are_asked_for(tmp_path):
    done, found = run_bench(tmp_path, "", "--only", "two", "--only", "four")
    assert done.returncode == 0
    assert statuses(found) == {"two": "measured", "four": "measured"}
    assert (found["trial"], found["complete"]) == (False, True)


# ---- the table of speed


class FakeEngine:
    """Answers with given seconds, one after the other."""

    def __init__(self, seconds):
        self.seconds = list(seconds)

    def ask(self):
        return str(self.seconds.pop(0))

    def close(self):
        assert self.seconds == []


def test_the_table_of_speed(record, monkeypatch, capsys, tmp_path):
    """libfne takes 2 and 4 s beside each engine. The original has half of its speed with oneDNN, a quarter without."""
    network = Network(tmp_path / "none.pb", ["a:0"], "Net", None)
    monkeypatch.setattr(speed, "PEERS", tmp_path / "none")
    rows = speed.rows_of_the_table(network)
    assert [dict(row.variables).get(machine.ONEDNN_VARIABLE) for row in rows[:3]] == ["1", "0", None]

    def start(row, base):
        name, scope = row.title, row.scope
        if name == "libfne, float32":
            asked = [each for each in rows if each.scope == scope and each.title != "TensorFlow, Session.run"]
            return FakeEngine([2, 4] * len(asked) if scope == speed.FILES else [1, 3] * len(asked))
        if name == "TensorFlow, Session.run":
            raise NotRunning("No module named 'tensorflow'")
        times = {"the original, with oneDNN": 2, "the original, without oneDNN": 4}.get(name, 0.5)
        return FakeEngine([2 * times, 4 * times])

    monkeypatch.setattr(speed.Row, "start", start)
    speed.table(network, speed.measured(network, rows, ["image"] * 12, 2))
    found = {each["name"]: (each["median"], each["smallest"], each["largest"]) for each in content(record)["figures"]}
    assert found["Net, the original, with oneDNN, files to codes, speed"] == (2.25, 1.5, 3)
    assert found["Net, libfne, float32, files to codes, speed"] == (4.5, 3, 6)
    for own, times in (("libfne, float32", 1), ("libfne, bfloat16", 2)):
        assert found[f"Net, {own}, times the original, with oneDNN"] == (2 * times,) * 3
        assert found[f"Net, {own}, times the original, without oneDNN"] == (4 * times,) * 3
    # From tensors libfne takes 1 and 3 s, and 1 and 2 s in bfloat16.
    assert found["Net, libfne, bfloat16, tensors to rows, times libfne in float32"] == (1.25, 1, 1.5)
    assert (
        "libfne, bfloat16: 8.00 (8.00 to 8.00) times as fast as the original, without oneDNN" in capsys.readouterr().out
    )
    (left,) = content(record)["left_out"]
    assert left["what"] == "Net, TensorFlow, Session.run, tensors to rows"


# ---- the parts


def test_each_part_has_its_script():
    for trial in (True, False):
        given = parts_options(trial)
        for name in ("library", "postprocess", "agreement", "speed", "cold", "memory", "precision", "jobs", "listing"):
            for _, script, *_options in parts.PARTS[name].commands(given):
                assert (ROOT / "Benchmarks" / script).exists()
    for name in ("duplicates", "evaluation"):
        with pytest.raises(parts.LeftOut, match="flowers17"):
            parts.PARTS[name].commands(parts_options(False))


def parts_options(trial):
    import bench

    return bench.options().parse_args(["--quick"] if trial else [])


def test_a_trial_ends_within_five_minutes_by_what_is_expected():
    assert sum(part.seconds[0] for part in parts.PARTS.values()) <= 300


def test_jobs_that_differ(tmp_path):
    for job in ("one", "other"):
        (tmp_path / job / "features").mkdir(parents=True)
        (tmp_path / job / "codes.npy").write_bytes(b"the same")
        (tmp_path / job / "runs.jsonl").write_text(job)
    assert jobs.differing(tmp_path / "one", tmp_path / "other") == []
    (tmp_path / "other/codes.npy").write_bytes(b"another")
    (tmp_path / "one/statistics.fne").write_bytes(b"")
    (tmp_path / "other/features/more.npy").write_bytes(b"")
    expected = ["codes.npy", "features/more.npy", "statistics.fne"]
    assert jobs.differing(tmp_path / "one", tmp_path / "other") == expected
