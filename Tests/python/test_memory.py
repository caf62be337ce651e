"""What the library does when the system gives no memory. Each trial is a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap

import allocations
import pytest
from conftest import ROOT

from fne._libpath import tensorflow_library

LIBRARY = ROOT / "build/lib/libfne.so.2"


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """A small network, and a folder of pictures."""
    return allocations.prepare(tmp_path_factory.mktemp("trial"))


@pytest.mark.parametrize("name", allocations.NAMES)
def test_each_large_allocation_fails_once(tmp_path, trial, name):
    """The k-th allocation of more than 4 KiB, for every k: an error, or a result that is right."""
    outcomes = allocations.run(name, tmp_path, *trial)
    tried = sum(outcomes.values()) - outcomes["allocations"]
    assert tried >= min(outcomes["allocations"], 1)
    assert set(outcomes) <= {"allocations", "succeeded", "out of memory"}


@pytest.mark.parametrize("name", ["model of many nodes", "extractor in bfloat16", "codes", "search", "job", "merge"])
def test_no_allocation_succeeds_any_more(tmp_path, trial, name):
    """From a place on, the system gives nothing at all, however small."""
    outcomes = allocations.run(name, tmp_path, *trial, above=0, rest=True, most=12)
    assert outcomes["out of memory"] >= 10


def test_the_reserve(tmp_path):
    """Threads and forks take memory of it, grow it and free it, and find their bytes as they left them."""
    functions = ("malloc", "calloc", "realloc", "free", "malloc_usable_size", "posix_memalign")
    program = tmp_path / "reserve"
    subprocess.run(
        [
            *("gcc", "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"),
            *(f"-D__real_{name}=failing_{name}" for name in functions),
            *("-I", ROOT / "Sources/CMemory/include", ROOT / "Tests/c/reserve.c", ROOT / "Sources/CMemory/memory.c"),
            *("-o", program, "-lpthread"),
        ],
        check=True,
    )
    result = subprocess.run([program], capture_output=True, text=True)
    assert result.returncode == 0 and result.stdout == "ok\n", result.stderr


def test_every_way_to_allocate_is_wrapped():
    """Memory of the reserve must not reach a function that frees it without knowing it."""
    known = re.search(r"^WRAPPED := ((?:.*\\\n)*.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1)
    wrapped = set(known.replace("\\", " ").split())
    text = subprocess.run(["nm", "-D", "--undefined-only", LIBRARY], check=True, capture_output=True, text=True).stdout
    imported = {line.split()[-1].split("@")[0] for line in text.splitlines()}
    others = {"aligned_alloc", "memalign", "valloc", "pvalloc", "reallocarray", "malloc_trim", "cfree"}
    allocates = {name for name in imported if re.match(r"_Zn[wa]|_Zd[la]", name)} | imported & (wrapped | others)
    # What the wrappers themselves call where operator new would throw.
    assert allocates - {"_ZnwmRKSt9nothrow_t", "_ZnwmSt11align_val_tRKSt9nothrow_t"} <= wrapped
    assert {"malloc", "free", "realloc"} <= allocates


def limited(mebibytes: int, program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a program that may take so much address space, as `ulimit -v` sets it."""
    shell = ["sh", "-c", 'ulimit -S -v "$1"; shift; exec "$@"', "sh", str(mebibytes << 10)]
    return subprocess.run(
        [*shell, sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        env=dict(os.environ, OPENBLAS_NUM_THREADS="1"),
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("mebibytes", [740, 760, 1_000])
def test_a_limit_that_tensorflow_may_end_the_process_at(mebibytes, trial):
    """Without the check, TensorFlow 2.21 did so at 740 and 760 MiB while it was loaded. At 1,000 MiB it depends on how
    many images are embedded, and of how many threads the C library sets memory aside."""
    program = """
        import resource, sys, fne
        model = fne.Model(sys.argv[1])
        for _ in range(2):
            try:
                fne.Extractor(model, size=(48, 64)).extract([sys.argv[2]])
                print("embedded")
            except fne.errors.OutOfMemoryError as error:
                print(error)
            hard = resource.getrlimit(resource.RLIMIT_AS)[1]
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    """
    graph, pictures = trial
    result = limited(mebibytes, program, graph, pictures / "0.png")
    assert result.returncode == 0, result.stderr
    message, after = result.stdout.splitlines()
    found = re.fullmatch(
        r"the process may take (\d+) MiB of address space \(RLIMIT_AS, 'ulimit -v'\), and (\d+) MiB of it are left\. "
        r"TensorFlow needs about (\d+) MiB, and ends the process where it gets none\. Raise the limit, or lift it with "
        r"'ulimit -v unlimited'",
        message,
    )
    limit, left, needed = map(int, found.groups())
    assert limit == mebibytes and left < limit and left < needed
    assert needed > os.path.getsize(tensorflow_library()) * 0.6 / 2**20
    assert after == "embedded"


@pytest.mark.parametrize("nodes", [20, 3_000])
def test_a_process_that_has_taken_all_it_may(tmp_path, nodes):
    """Nothing is left, not even for pieces of 64 bytes. When there is memory again, the next call works."""
    program = """
        import resource, sys, fne
        content = open(sys.argv[1], "rb").read()
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (taken, hard))
        held, size = [], 1 << 20
        while size >= 64:
            try:
                held.append(bytearray(size))
            except MemoryError:
                size //= 2
        del held[-50:]  # for Python itself
        outcomes = []
        for _ in range(3):
            try:
                fne.Model(content)
            except MemoryError as error:
                outcomes.append(type(error).__name__)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        del held
        print(*outcomes, len(fne.Model(content).tensors()))
    """
    graph = tmp_path / "graph.pb"
    graph.write_bytes(allocations.chain(nodes))
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(program), graph], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["OutOfMemoryError"] * 3 + [str(nodes + 1)]


def test_a_limit_that_suffices(trial):
    processors = len(os.sched_getaffinity(0))
    program = "import sys, fne; print(fne.Extractor(sys.argv[1], size=(48, 64)).extract([sys.argv[2]]).features.shape)"
    graph, pictures = trial
    result = limited(2_500 + 400 * processors, program, graph, pictures / "0.png")
    assert result.returncode == 0 and result.stdout.startswith("(1, "), result.stderr
