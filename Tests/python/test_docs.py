"""Documentation that is run or checked: docstrings, the pages' programs and commands, links, and the rooms."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import inspect
import os
import pkgutil
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request

import numpy
import pytest
from conftest import ROOT
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC

import fne
from fne._libpath import tensorflow_library

NAMED = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "bindings/python/README.md"]
PAGES = [ROOT / name for name in NAMED] + sorted((ROOT / "docs").glob("*.md"))

# Modules whose requirements may be missing (make extras).
NEEDS = {"fne.ray": "ray", "fne.spark": "pyspark", "fne.spark_ml": "pyspark"}


def modules():
    names = [
        module.name
        for module in pkgutil.walk_packages(fne.__path__, "fne.")
        if not module.name.endswith(("__main__", "fne_torch", "_torch_features", "_torch_layout"))
    ]
    return [name for name in names if name not in NEEDS or importlib.util.find_spec(NEEDS[name])]


@pytest.mark.parametrize("name", ["fne", *modules()])
def test_examples_in_docstrings(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    examples = [
        example
        for name in modules()
        for test in finder.find(importlib.import_module(name))
        for example in test.examples
        if not example.options.get(doctest.SKIP)
    ]
    assert len(examples) > 20


def test_everything_public_is_documented():
    for name in fne.__all__:
        thing = getattr(fne, name)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        assert thing.__doc__, name
        for member, value in vars(thing).items() if inspect.isclass(thing) else ():
            if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                assert value.__doc__ or (value.fget.__doc__ if isinstance(value, property) else None), (
                    f"{name}.{member}"
                )


# ---- what the pages show is run


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def commands(text):
    return re.findall(r"^ {4}(fne (?!.*\$)\w.*)$", text, re.MULTILINE)


@pytest.fixture
def place(tmp_path, monkeypatch, photographs, lite0):
    """A folder with what the pages name: photographs, flowers in two classes, a test set, a query, a network."""
    for name in ("photographs", "test", "flowers/rose", "flowers/tulip"):
        (tmp_path / name).mkdir(parents=True)
    for number, path in enumerate(photographs):
        shutil.copy(path, tmp_path / "photographs")
        shutil.copy(path, tmp_path / "flowers" / ("rose" if number < 12 else "tulip"))
    for path in photographs[:3]:
        shutil.copy(path, tmp_path / "test")
    shutil.copy(photographs[0], tmp_path / "query.jpg")
    shutil.copy(photographs[1], tmp_path / "drawing.png")
    (tmp_path / "network.pb").symlink_to(lite0)
    (tmp_path / "build").symlink_to(ROOT / "build")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", ["README.md", "docs/python.md", "bindings/python/README.md"])
def test_python_of_the_guides(page, place, capsys):
    """Block after block, as a reader types them."""
    names = {}
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), names)
    output = capsys.readouterr().out
    assert "24 photographs, 21008 features" in output or page == "docs/python.md"
    assert names["features"].shape[1] == 21008 if page != "README.md" else "1.00 0-0.jpg" in output
    if page == "docs/python.md":
        assert names["test_features"].shape == (4, 21008)
        assert names["extraction"].features.shape == (240, 21008) and names["extraction"].ok.all()
        assert names["indices"][0, 0] == 0  # the query is the first photograph
        assert names["classifier"].score(names["paths"][1::2], names["labels"][1::2]) > 0.5


def test_python_of_jobs_and_codes(place, lite0):
    """Blocks that go on from the Python guide."""
    job = fne.embed_dataset("photographs", lite0, "given", codes="int8")
    extractor = job.extractor(lite0)
    paths = [f"photographs/{name}" for name in job.names]
    shards = ["shard0", "shard1"]
    for index, folder in enumerate(shards):
        fne.embed_dataset("photographs", lite0, folder, shard=(index, 2), codes=None)
    mean, std = job.stats
    names = {
        "fne": fne,
        "numpy": numpy,
        "network": lite0,
        "codes": job.codes(),
        "extractor": extractor,
        "folders": shards,
    }
    names |= {"paths": paths, "mean": mean, "std": std, "SVC": SVC, "OneVsRestClassifier": OneVsRestClassifier}
    names["features"] = numpy.random.default_rng(0).normal(size=(210, 100)).astype(numpy.float32)
    names |= {"labels": [int(name[0]) for name in job.names], "job": job}
    for block in blocks("docs/codes.md", "python"):
        exec(compile(block, "docs/codes.md", "exec"), names)
    assert (names["indices"][:, 0] == range(5)).all() and len(names["packed"]) == 24
    numpy.testing.assert_array_equal(names["packed"].unpack(), job.codes())
    for block in blocks("docs/jobs.md", "python"):
        exec(compile(block, "docs/jobs.md", "exec"), names)
    assert names["training"].count == 20 and names["total"].count == 24
    whole = numpy.concatenate([fne.Job(folder).codes() for folder in shards])
    numpy.testing.assert_array_equal(whole, job.codes())


def test_python_of_the_documented_function(place, lite0):
    model, image_paths, batch_size = lite0, ["query.jpg", "test/0-1.jpg"], 16
    given = {"model": model, "image_paths": image_paths, "batch_size": batch_size, "input_tensor": "import/input:0"}
    names = given | {"target_tensors": None, "input_reshape": (224, 224)}
    exec(blocks("docs/from-1.x.md", "python")[0], names)
    assert names["features"].shape == names["stats"].shape == (2, 21008)


@pytest.mark.parametrize("page", ["README.md", "docs/command.md", "bindings/python/README.md"])
def test_commands_of_the_guides(page, place):
    """Line after line, in one folder."""
    lines = commands((ROOT / page).read_text())
    assert len(lines) >= 3
    for line in lines:
        command = [sys.executable, "-m", "fne", *shlex.split(line, comments=True)[1:]]
        if command[3] == "serve":
            look_at(command)
            continue
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, f"{line}\n{result.stdout}{result.stderr}"
    found = subprocess.run(
        [sys.executable, "-m", "fne", "search", "job", "query.jpg", "-k", "1"], capture_output=True, text=True
    )
    assert [line.split() for line in found.stdout.splitlines()[1:]] == [["query.jpg"], ["1.0000", "0-0.jpg"]]


def look_at(command):
    """Starts a server, reads its page, and ends it. It takes any port, since the usual one may be taken."""
    server = subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        with urllib.request.urlopen(server.stdout.readline().split(" ")[0]) as answer:
            assert answer.status == 200
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) == 0


def compiled(line, source, name, folder):
    (folder / name).write_text(source)
    strict = line.replace(" -O2", " -O2 -Wall -Wextra -Werror", 1)
    result = subprocess.run(strict, shell=True, capture_output=True, text=True, cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder / "program"


def test_c_and_cpp_of_the_guides(place):
    """The guide's programs, built by its own line; README's lines inside of a main function."""
    line = re.search(r"^ {4}(gcc -O2 .*)$", (ROOT / "docs/c.md").read_text(), re.MULTILINE).group(1)
    environment = dict(os.environ, FNE_TENSORFLOW=os.path.dirname(tensorflow_library()))
    images = [f"photographs/0-{part}.jpg" for part in range(3)] + ["query.jpg"]

    (program,) = blocks("docs/c.md", "c")
    run = [compiled(line, program, "program.c", place), "network.pb", *images]
    out = subprocess.run(run, capture_output=True, text=True, env=environment).stdout
    features, *shares = map(int, re.findall(r"\b\d+\b(?= features| are)", out))
    codes, _ = fne.full_network_embedding("network.pb", images, 4, None, None, (224, 224))
    assert features == codes.shape[1] and shares == [int((codes == value).sum()) for value in (-1, 0, 1)]

    program, of_job = blocks("docs/c.md", "cpp")
    plus = line.replace("gcc", "g++ -std=c++17").replace("program.c", "program.cpp")
    run = [compiled(plus, program, "program.cpp", place), "network.pb", *images]
    out = subprocess.run(run, capture_output=True, text=True, env=environment).stdout
    rows = [row.split("\t") for row in out.splitlines()]
    assert [row[0] for row in rows] == images and rows[0][1:] == ["query.jpg", "1.000"]

    fne.embed_dataset("photographs", "network.pb", "job-of-c", size=(224, 224), codes="packed")
    run = [compiled(plus, of_job, "program.cpp", place), "network.pb", "job-of-c", "query.jpg"]
    assert subprocess.run(run, capture_output=True, text=True, env=environment).stdout == "0-0.jpg\n"

    (lines,) = blocks("README.md", "c")
    include, body = lines.split("\n", 1)
    body = "#include <stdio.h>\nint main(void) {" + body + 'printf("%d\\n", (int)features); return 0; }\n'
    run = [compiled(line, f"{include}\n{body}", "program.c", place)]
    assert subprocess.run(run, capture_output=True, text=True, env=environment).stdout == "21008\n"


def test_swift_of_the_guide():
    """The guide shows lines of examples/swift, which test_examples.py builds and runs."""
    package = ROOT / "examples/swift"
    sources = [package / "Package.swift", package / "Sources/nearest/main.swift"]
    whole = [[line.strip() for line in source.read_text().splitlines()] for source in sources]
    shown = blocks("docs/swift.md", "swift")
    assert len(shown) == 2
    for block in shown:
        lines = [line.strip() for line in block.splitlines()]
        assert any(lines == source[at : at + len(lines)] for source in whole for at in range(len(source))), block


def test_options_of_the_command_are_real():
    """Every `fne ...` line of the pages and of the help parses."""
    from fne._command import _parser

    lines = [line for page in PAGES for line in commands(page.read_text())]
    help_texts = [action for action in _parser()._actions if action.dest == "run" or hasattr(action, "choices")]
    for action in help_texts:
        for command in (getattr(action, "choices", None) or {}).values():
            lines += re.findall(r"^ {2}(fne .*)", command.epilog or "", re.MULTILINE)
    assert len(lines) >= 30
    for line in lines:
        _parser().parse_args(shlex.split(line, comments=True)[1:])


# ---- what the pages name


def anchors(page):
    """The anchors of a page's headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip()) for title in titles}


def test_links_in_the_pages_lead_somewhere():
    count = 0
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", page.read_text()):
            if target.startswith("http"):
                continue
            count += 1
            file = page.parent / target if target else page
            assert file.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(file), f"{page.name}: {target}#{anchor}"
    assert count > 80


def test_every_page_is_in_the_index():
    """docs/index.md lists each page once, in the order of the site's navigation."""
    listed = re.findall(r"^- \[[^]]*\]\((\S+\.md)\)", (ROOT / "docs/index.md").read_text(), re.MULTILINE)
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert sorted(listed) == sorted(pages)
    navigation = re.findall(r"^ +- ([\w.-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert [name for name in navigation if name in pages] == listed


def test_the_rooms_are_those_of_the_package():
    """The table of docs/architecture.md against Package.swift, which the compiler keeps."""
    manifest = (ROOT / "Package.swift").read_text()
    targets = re.findall(r"\.target\(\s*name: \"(\w+)\"(?:,\s*dependencies: \[(.*?)\])?", manifest, re.DOTALL)
    package = {name: set(re.findall(r"\w+", uses)) for name, uses in targets}
    rows = re.findall(r"^\| `(\w+)` \| .* \| ([\w, ]*) ?\|$", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE)
    table = {name: set(re.findall(r"\w+", uses)) - {"nothing"} for name, uses in rows if name[0] in "CF"}
    assert table == package


@pytest.mark.parametrize(
    ("room", "names"),
    [
        ("TensorFlow", r"TensorFlow[A-Z]\w*|CTensorFlow\w*|TF_\w+|ctf_\w+|LoadingLog|GraphBuilder"),
        ("OnnxRuntime", r"OnnxRuntime[A-Z]\w*|COnnxRuntime\w*|corto?_\w+|PoolingProof|ProofRuns"),
    ],
)
def test_engines_stay_in_their_rooms(room, names):
    """The compiler keeps the arrows between the rooms. Inside FNENetwork, an engine's own folder names its types, and
    Backend, which loads its library, and AddressSpace, which asks how large that is."""
    named = set()
    for path in ROOT.glob("Sources/FNE*/**/*.swift"):
        code = re.sub(r"//.*", "", path.read_text())
        if re.search(rf"\b({names})\b", re.sub(r'".*"', "", code)):
            named.add(path.relative_to(ROOT / "Sources/FNENetwork"))
    assert {str(path.parent) for path in named} == {".", room}
    assert {path.name for path in named if str(path.parent) == "."} <= {"AddressSpace.swift", "Backend.swift"}
