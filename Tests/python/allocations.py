"""Fails allocations inside of libfne.so, one after the other, and looks what each call makes of it.

    .venv/bin/python Tests/python/allocations.py [--above BYTES] [--rest] [--most CALLS] [SCENARIO ...]

Each scenario is a process of its own, with a library for LD_PRELOAD that counts the allocations of more than BYTES
(4096) that libfne.so and the codecs make while a switch is on, and fails the k-th, or with --rest also all after it.
The scenario makes its call for k = 1, 2 and so on until k is more than the call makes, or at CALLS places spread over
these. A failed call must raise OutOfMemoryError, the call after it must give the right result, and what was written
must be right. A process that ends early is a trap.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHIM = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <link.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static struct { uintptr_t start, end; } libraries[8];
static int library_count;
static long seen, fail_from, fail_to;
static size_t above;
static int on;

static int find(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)size, (void)unused;
    const char *names[] = {"/libfne.so", "/libjpeg.so", "/libpng16.so", "/libz.so"};
    for (int n = 0; n < 4; ++n) {
        if (strstr(info->dlpi_name, names[n]) == NULL || library_count == 8) continue;
        uintptr_t end = 0;
        for (int p = 0; p < info->dlpi_phnum; ++p)
            if (info->dlpi_phdr[p].p_vaddr + info->dlpi_phdr[p].p_memsz > end)
                end = info->dlpi_phdr[p].p_vaddr + info->dlpi_phdr[p].p_memsz;
        libraries[library_count].start = info->dlpi_addr;
        libraries[library_count++].end = info->dlpi_addr + end;
    }
    return 0;
}

int allocations_fail(long first, long last, size_t size) {
    library_count = 0;
    dl_iterate_phdr(find, NULL);
    seen = 0, fail_from = first, fail_to = last, above = size;
    __atomic_store_n(&on, 1, __ATOMIC_SEQ_CST);
    return library_count;
}

long allocations_seen(void) {
    __atomic_store_n(&on, 0, __ATOMIC_SEQ_CST);
    return seen;
}

static int fails(size_t size, void *caller) {
    if (!__atomic_load_n(&on, __ATOMIC_RELAXED) || size <= above) return 0;
    for (int n = 0; n < library_count; ++n) {
        if ((uintptr_t)caller < libraries[n].start || (uintptr_t)caller >= libraries[n].end) continue;
        long number = __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST);
        return number >= fail_from && number <= fail_to;
    }
    return 0;
}
#define FAILS(size) fails(size, __builtin_return_address(0))

void *malloc(size_t size) { return FAILS(size) ? (errno = ENOMEM, NULL) : __libc_malloc(size); }
void *calloc(size_t count, size_t size) {
    return FAILS(count * size) ? (errno = ENOMEM, NULL) : __libc_calloc(count, size);
}
void *realloc(void *memory, size_t size) { return FAILS(size) ? (errno = ENOMEM, NULL) : __libc_realloc(memory, size); }
int posix_memalign(void **memory, size_t alignment, size_t size) {
    if (FAILS(size)) return ENOMEM;
    void *got = __libc_memalign(alignment, size);
    if (got == NULL) return ENOMEM;
    *memory = got;
    return 0;
}
void *aligned_alloc(size_t alignment, size_t size) {
    return FAILS(size) ? (errno = ENOMEM, NULL) : __libc_memalign(alignment, size);
}
// operator new(size_t, nothrow): what the library asks in place of the one that throws.
void *_ZnwmRKSt9nothrow_t(size_t size, const void *nothrow) {
    (void)nothrow;
    return FAILS(size) ? NULL : __libc_malloc(size);
}
void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
    if (flags & MAP_ANONYMOUS && FAILS(size)) return errno = ENOMEM, MAP_FAILED;
    return (void *)syscall(SYS_mmap, address, size, protection, flags, file, offset);
}
"""

SIZE = (48, 64)


def build_shim(folder: Path) -> Path:
    source, library = folder / "allocations.c", folder / "allocations.so"
    source.write_text(SHIM)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-fno-builtin", source, "-o", library], check=True)
    return library


class Case:
    """A call, and what makes sure that it did no harm."""

    def __init__(
        self, call: Callable[[], Any], check: Callable[[Any], None], fresh: Callable[[], None] = lambda: None
    ) -> None:
        self.call = call  # gives the result
        self.check = check  # asserts that the result is right
        self.fresh = fresh  # is called before each round


def cases(folder: Path, graph: Path, pictures: Path) -> dict[str, Callable[[], Case]]:
    """The scenarios. Each is made in the process that runs it."""
    import numpy as np

    import fne
    from fne._selection import select as selected

    random = np.random.default_rng(11)
    whole = [path for path in sorted(pictures.iterdir()) if path.stem != "broken"]

    def equals(expected: Any) -> Callable[[Any], None]:
        return lambda result: np.testing.assert_array_equal(result, expected)

    def case(call: Callable[[], Any], fresh: Callable[[], None] = lambda: None) -> Case:
        fresh()
        return Case(call, equals(call()), fresh)

    def names(model: fne.Model) -> list[str]:
        return [tensor.name for tensor in model.tensors()]

    def model() -> Case:
        return case(lambda: names(fne.Model(graph)))

    def model_in_memory() -> Case:
        content = graph.read_bytes()
        return case(lambda: names(fne.Model(content)))

    def model_of_many_nodes() -> Case:
        content = chain(2_000)
        return case(lambda: names(fne.Model(content)))

    def extractor(**options: Any) -> Callable[[], Case]:
        def make() -> Case:
            opened = fne.Model(graph)
            image = whole[:1]

            def call() -> Any:
                with fne.Extractor(opened, size=SIZE, **options) as extractor:
                    open_extractor.append(extractor.layers)
                    return [layer.name for layer in extractor.layers] + [extractor.feature_count]

            open_extractor: list[Any] = []
            with fne.Extractor(opened, size=SIZE, **options) as extractor:
                extractor.extract(image)
            return case(call)

        return make

    def extraction() -> Case:
        extractor = fne.Extractor(graph, size=SIZE, pad_batches=True)
        return case(lambda: extractor.extract(whole).features)

    def codes() -> Case:
        return case(lambda: fne.full_network_embedding(graph, whole, 8, "input", None, SIZE)[0])

    def pixels() -> Case:
        images = [random.integers(0, 256, (90 + i, 110, 3), np.uint8) for i in range(6)]
        extractor = fne.Extractor(graph, size=SIZE, pad_batches=True, crops=10)
        return case(lambda: extractor.extract(images).features)

    def statistics() -> Case:
        rows = random.normal(0, 1, (40, 700)).astype(np.float32)

        def call() -> Any:
            first, second = fne.Statistics(700), fne.Statistics(700)
            first.update(rows[:30])
            second.update(rows[30:])
            first.merge(second)
            again = fne.Statistics.from_bytes(first.to_bytes())
            return np.concatenate([again.mean(), again.std(), np.frombuffer(first.to_bytes(), np.uint8)])

        return case(call)

    def statistics_stay() -> Case:
        """A row is added, or it is not."""
        rows = random.normal(0, 1, (300, 2_000)).astype(np.float32)
        kept: list[fne.Statistics] = []

        def fresh() -> None:
            kept[:] = [fne.Statistics(2_000)]

        def call() -> Any:
            before = kept[0].count
            try:
                kept[0].update(rows)
            except MemoryError:
                assert kept[0].count == before
                raise
            return kept[0].count % len(rows)

        return case(call, fresh)

    def search() -> Case:
        codes = random.integers(-1, 2, (900, 333), np.int8)

        def call() -> Any:
            packed = fne.PackedCodes.pack(codes)
            indices, scores = packed.search(fne.PackedCodes.pack(codes[:700]), k=5, metric="cosine")
            products = packed.dot(fne.PackedCodes.pack(codes[:64]))
            found, centred = packed.search(fne.PackedCodes.pack(codes[:700]), k=5, metric="centred")
            grams = packed[:64].gram(centred=True)
            numbers = (indices, scores, products, packed.mean(), found, centred, grams)
            return np.concatenate([np.asarray(some).ravel() for some in numbers])

        return case(call)

    def decode() -> Case:
        def call() -> Any:
            return np.concatenate([fne.read_image(file).ravel() for file in whole])

        return case(call)

    def select() -> Case:
        layers = [f"block{i}/conv{j}" for i in range(60) for j in range(20)]
        return case(lambda: selected(["last:50%", "block1*"], layers))

    def job(**options: Any) -> Callable[[], Case]:
        def make() -> Case:
            import job_kills

            output = folder / "job"
            opened = fne.Model(graph)
            begun: list[int] = []

            def fresh() -> None:
                shutil.rmtree(output, ignore_errors=True)
                begun.clear()

            def call() -> Any:
                begun.append(1)
                fne.embed_dataset(
                    pictures, opened, output, size=SIZE, codes=("int8", "packed"), checkpoint_seconds=1, **options
                )
                return sorted(job_kills.digests(output).items())

            return case(call, fresh)

        return make

    def merge() -> Case:
        import job_kills

        shards = [folder / f"shard{i}" for i in range(2)]
        for i, shard in enumerate(shards):
            fne.embed_dataset(pictures, graph, shard, size=SIZE, codes=None, shard=(i, 2))
        output = folder / "merged"

        def call() -> Any:
            fne.merge_shards(shards, output, codes=("int8", "packed"))
            return sorted(job_kills.digests(output).items())

        return case(call, lambda: shutil.rmtree(output, ignore_errors=True))

    def reading() -> Case:
        output = folder / "read"
        fne.embed_dataset(pictures, graph, output, size=SIZE, codes="int8")

        def call() -> Any:
            opened = fne.Job(output)
            return np.concatenate([opened.statistics().mean(), [len(opened), opened.feature_count]])

        return case(call)

    def saved_codes() -> Case:
        layers = [fne.Layer(f"layer{i}", "dense", 2, slice(i, i + 1)) for i in range(333)]
        packed = fne.PackedCodes.pack(random.integers(-1, 2, (900, 333), np.int8), layers)

        def call() -> Any:
            packed.save(folder / "saved")
            read = fne.PackedCodes.load(folder / "saved", mmap=False)
            return np.concatenate([read.words.ravel(), [layer.features.start for layer in read.layers or []]])

        return case(call)

    return {
        "model": model,
        "model in memory": model_in_memory,
        "model of many nodes": model_of_many_nodes,
        "extractor": extractor(),
        "extractor in bfloat16": extractor(precision="bfloat16"),
        "extraction": extraction,
        "codes": codes,
        "pixels": pixels,
        "statistics": statistics,
        "statistics stay": statistics_stay,
        "search": search,
        "saved codes": saved_codes,
        "decode": decode,
        "select": select,
        "job": job(),
        "merge": merge,
        "reading": reading,
    }


def chain(count: int) -> bytes:
    """A GraphDef of a placeholder and so many nodes, each of which reads some of those before it."""
    import tensorflow as tf

    definition = tf.compat.v1.GraphDef()
    node = definition.node.add(name="input", op="Placeholder")
    node.attr["dtype"].type = tf.float32.as_datatype_enum
    names = ["input"]
    for i in range(count):
        node = definition.node.add(name=f"block{i // 50}/some/node{i}", op="AddN" if i % 3 else "Identity")
        node.input.extend(names[-1 - j % len(names)] for j in range(4 if i % 3 else 1))
        node.attr["T"].type = tf.float32.as_datatype_enum
        if i % 3:
            node.attr["N"].i = 4
        names.append(node.name)
    return definition.SerializeToString()


def scenario(name: str, above: int, rest: bool, most: int, folder: Path, graph: Path, pictures: Path) -> None:
    """Runs one scenario in this process, and prints what came of it."""
    import fne

    shim = ctypes.CDLL(None)
    shim.allocations_fail.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_size_t]
    shim.allocations_seen.restype = ctypes.c_long
    made = cases(folder, graph, pictures)[name]()

    def attempt(first: int) -> tuple[int, str]:
        made.fresh()
        assert shim.allocations_fail(first, 1 << 60 if rest else first, above) >= 3, "the libraries are not found"
        try:
            result = made.call()
            outcome = "succeeded"
        except MemoryError as error:
            assert isinstance(error, fne.FNEError)
            outcome = "out of memory"
        seen = shim.allocations_seen()
        if outcome == "succeeded":
            made.check(result)
        else:
            made.check(made.call())  # goes on where the failed call stopped
        return seen, outcome

    outcomes: Counter[str] = Counter()
    total, _ = attempt(1 << 60)
    number = 1
    while True:
        print(number, end=" ", flush=True)
        seen, outcome = attempt(number)
        if seen < number:
            break
        outcomes[outcome] += 1
        number += 1 if most == 0 else max(1, total // most)
    print()
    print(json.dumps({"allocations": total, **outcomes}), flush=True)


def run(
    name: str, folder: Path, graph: Path, pictures: Path, above: int = 4096, rest: bool = False, most: int = 0
) -> dict[str, int]:
    """Runs a scenario in a process of its own. The outcomes, counted, with "allocations", those that a call makes."""
    folder.mkdir(exist_ok=True)
    shim = build_shim(folder)  # its path must have no space
    result = subprocess.run(
        [sys.executable, __file__, "--child", name, str(above), str(int(rest)), str(most), folder, graph, pictures],
        env=dict(os.environ, LD_PRELOAD=str(shim)),
        capture_output=True,
        text=True,
    )
    if result.returncode != 0:
        at = result.stdout.split()[-1:] or ["the start"]
        raise AssertionError(f"{name}: ended with {result.returncode} at allocation {at[0]}\n{result.stderr[-3000:]}")
    outcomes: dict[str, int] = json.loads(result.stdout.splitlines()[-1])
    return outcomes


NAMES = (
    "model",
    "model in memory",
    "model of many nodes",
    "extractor",
    "extractor in bfloat16",
    "extraction",
    "codes",
    "pixels",
    "statistics",
    "statistics stay",
    "search",
    "saved codes",
    "decode",
    "select",
    "job",
    "merge",
    "reading",
)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        name, above, rest, most, *paths = sys.argv[2:]
        scenario(name, int(above), rest == "1", int(most), *map(Path, paths))
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("--above", type=int, default=4096)
    parser.add_argument("--rest", action="store_true")
    parser.add_argument("--most", type=int, default=0)
    parser.add_argument("scenario", nargs="*")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        graph, pictures = prepare(folder)
        failed = 0
        for name in options.scenario or NAMES:
            try:
                print(
                    f"{name}:", run(name, folder / "work", graph, pictures, options.above, options.rest, options.most)
                )
            except AssertionError as error:
                failed += 1
                print(error)
        sys.exit(f"{failed} scenarios failed" if failed else 0)


def prepare(folder: Path) -> tuple[Path, Path]:
    """A small network, and a folder of pictures."""
    import numpy as np
    import PIL.Image
    from conftest import small_network

    graph, pictures = folder / "network.pb", folder / "pictures"
    graph.write_bytes(small_network(*SIZE)[0].SerializeToString())
    pictures.mkdir()
    random = np.random.default_rng(5)
    for i in range(9):
        pixels = random.integers(0, 256, (60 + i, 80, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(pictures / (f"{i}.png" if i % 3 == 0 else f"{i}.jpg"))
    (pictures / "broken.jpg").write_bytes((pictures / "1.jpg").read_bytes()[:700])
    return graph, pictures


if __name__ == "__main__":
    main()
