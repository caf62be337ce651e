"""Search among packed codes beside faiss and NumPy. bench.py runs it in the peers' Python (make bench-peers). It also
runs alone in any Python that has numpy, and uses faiss-cpu and scikit-learn where they are. It prints medians of
interleaved rounds.

    .venv/bin/python Benchmarks/codes.py [ROUNDS] [large | compact] [trial]

"large" measures only search among a million codes, and "compact" only search among a million compact codes. "trial" has
a tenth of the codes, of which the figures say little.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(variable, None)
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bindings/python"))

import numpy as np  # noqa: E402  (reads the variables above)
from figures import figure, left_out, print_at_once, ratios, taking_turns  # noqa: E402  (needs fne)
from progress import progress  # noqa: E402  (needs fne)

from fne import PackedCodes  # noqa: E402  (found on the path above)
from fne.compact import CompactCodes  # noqa: E402  (found on the path above)

FEATURES, BASE, QUERIES, K = 12_416, 100_000, 100, 10  # VGG16's features
COMPACT_FEATURES = 512
LAST_FEATURES, LARGE_BASE = 4_096, 1_000_000  # as many as the last tenth of EfficientNet-Lite0's layers has
PENULTIMATE = 1_280  # as many as its classifier reads
NO_FAISS = "faiss-cpu is not installed; make bench-peers"
IMAGES: tuple[int, ...] = (340, 1700)  # that a classifier is trained on and told, half of each


def random_words(random: np.random.Generator, rows: int, features: int = FEATURES) -> np.ndarray:
    words = -(-features // 64)
    nonzero = random.integers(0, 2**64, (rows, words), dtype=np.uint64)
    return np.stack([nonzero, random.integers(0, 2**64, (rows, words), dtype=np.uint64) & nonzero], axis=1)


def seconds(body: Callable[[], Any]) -> Callable[[], float]:
    """What a call takes."""

    def timed() -> float:
        start = time.perf_counter()
        body()
        return time.perf_counter() - start

    return timed


def main(rounds: int) -> None:
    progress.plan(rounds + 4 + len(IMAGES))
    random = np.random.default_rng(1)
    base, queries = (
        PackedCodes(random_words(random, BASE), FEATURES),
        PackedCodes(random_words(random, QUERIES), FEATURES),
    )
    query = queries[:1]
    dense = np.empty((BASE, FEATURES), np.float32)
    for first in range(0, BASE, 5000):
        dense[first : first + 5000] = base[first : first + 5000].unpack()
    asked = queries.unpack().astype(np.float32)

    def numpy_search() -> Any:
        products = asked @ dense.T
        return np.argpartition(-products, K, axis=1)[:, :K]

    ways: dict[str, Callable[[], Any]] = {
        "libfne, 100 queries": lambda: base.search(queries, K),
        "libfne, 1 query": lambda: base.search(query, K),
        "numpy sum of the same bytes": lambda: base.words.sum(),
        "numpy float32, 100 queries": numpy_search,
    }
    try:
        import faiss
    except ImportError:
        left_out("search, faiss", NO_FAISS)
    else:
        flat = faiss.IndexFlatIP(FEATURES)
        flat.add(dense)
        binary = faiss.IndexBinaryFlat(FEATURES)
        binary.add(np.ascontiguousarray(base.words[:, 0]).view(np.uint8)[:, : FEATURES // 8])
        plane = np.ascontiguousarray(queries.words[:, 0]).view(np.uint8)[:, : FEATURES // 8].copy()
        ways["faiss IndexFlatIP float32, 100 queries"] = lambda: flat.search(asked, K)
        ways["faiss IndexBinaryFlat, one plane, 100 queries"] = lambda: binary.search(plane, K)
        ways["faiss IndexBinaryFlat, one plane, 1 query"] = lambda: binary.search(plane[:1], K)
        found, _ = base.search(queries, K)
        scores = np.take_along_axis(asked @ dense.T, found, 1)
        assert (np.sort(scores, 1) == np.sort(flat.search(asked, K)[0], 1)).all(), "other results than faiss'"
    name = f"search of {BASE} codes"
    times = taking_turns({way: seconds(body) for way, body in ways.items()}, rounds, 1, progress.rounds(name, rounds))
    ours = times["libfne, 100 queries"]
    sizes = f"{base.words.nbytes / 1e6:.0f} MB packed, {dense.nbytes / 1e9:.2f} GB float32"
    print(f"{name} of {FEATURES} features, k = {K}: {sizes}")
    for way, taken in times.items():
        milliseconds = figure(f"{name}, {way}", "ms", [1000 * each for each in taken], 1)
        ratio = figure(f"{name}, {way}, times libfne's 100 queries", "ratio", ratios(taken, ours))
        print(f"  {way:46s} {milliseconds:>28s} ms   {ratio} times libfne's 100 queries")

    def speed(way: str, size: int) -> list[float]:
        return [size / taken for taken in times[way]]

    one, total = speed("libfne, 1 query", base.words.nbytes), speed("numpy sum of the same bytes", base.words.nbytes)
    gigabytes = figure(f"{name}, one query, bytes read", "GB/s", [each / 1e9 for each in one], 1)
    beside = figure(f"{name}, one query, bytes read, of numpy's sum", "ratio", ratios(one, total))
    print(f"  bytes per second, one query: {gigabytes} GB/s, {beside} of numpy's sum")
    if "faiss IndexBinaryFlat, one plane, 100 queries" in times:
        size = BASE * FEATURES // 8
        shares = []
        for asking in ("100 queries", "1 query"):
            mine = speed(f"libfne, {asking}", base.words.nbytes)
            theirs = speed(f"faiss IndexBinaryFlat, one plane, {asking}", size)
            title = f"{name}, {asking}, bytes read, of faiss' binary index"
            shares.append(f"{figure(title, 'ratio', ratios(mine, theirs))} ({asking})")
        print(f"  bytes read per second, of faiss' binary index: {', '.join(shares)}")
    packed = base.words.nbytes / BASE
    float64, int8 = 8 * FEATURES / packed, FEATURES / packed
    print(f"  bytes per image: {packed:.0f}; float64 {float64:.1f} times, int8 {int8:.2f} times")
    large(rounds)
    compact(rounds)
    classifier(rounds)


def large(rounds: int) -> None:
    """Search among a million codes of the last layers: by the cosine, by that of the codes less their mean, and beside
    what faiss searches instead, floats of the penultimate or one plane of bits."""
    random = np.random.default_rng(3)
    base = PackedCodes(random_words(random, LARGE_BASE, LAST_FEATURES), LAST_FEATURES)
    queries = PackedCodes(random_words(random, QUERIES, LAST_FEATURES), LAST_FEATURES)
    start = time.perf_counter()
    base.mean()
    name = f"search of {LARGE_BASE} codes"
    once = figure(f"{name}, their mean and one number for each", "s", time.perf_counter() - start)
    print(
        f"{LARGE_BASE} codes of {LAST_FEATURES} features, {base.words.nbytes / 1e6:.0f} MB; their mean and one number"
    )
    print(f"  for each of them take {once} s once")
    ways: dict[str, Callable[[int], Any]] = {
        "cosine": lambda count: base.search(queries[:count], K, metric="cosine"),
        "centred": lambda count: base.search(queries[:count], K, metric="centred"),
        **large_faiss(random, base, queries),
    }
    for count in (1, 4, QUERIES):
        asked = f"{count} {'query' if count == 1 else 'queries'}"
        progress.step(name, asked)
        print(f"  {asked}, medians, and speed beside the cosine's")
        times = interleaved(ways, count, 2 * rounds if count < QUERIES else max(3, rounds // 2))
        for way, taken in times.items():
            milliseconds = figure(f"{name}, {asked}, {way}", "ms", [1000 * each for each in taken], 1)
            ratio = figure(
                f"{name}, {asked}, {way}, speed beside the cosine's", "ratio", ratios(times["cosine"], taken)
            )
            print(f"    {way:52s} {milliseconds:>28s} ms   {ratio}")


def interleaved(ways: dict[str, Callable[[int], Any]], count: int, rounds: int) -> dict[str, list[float]]:
    """The seconds of each way in each round, but for the first."""
    return taking_turns({name: seconds(partial(way, count)) for name, way in ways.items()}, rounds, 1)


def large_faiss(
    random: np.random.Generator, base: PackedCodes, queries: PackedCodes
) -> dict[str, Callable[[int], Any]]:
    """What faiss searches for the same images. It takes 5 GB, and while it is made 10."""
    try:
        import faiss
    except ImportError:
        left_out("search of many codes, faiss", NO_FAISS)
        return {}
    flat = faiss.IndexFlatIP(PENULTIMATE)
    flat.add(random.random((len(base), PENULTIMATE), np.float32))
    binary = faiss.IndexBinaryFlat(LAST_FEATURES)
    binary.add(np.ascontiguousarray(base.words[:, 0]).view(np.uint8))
    floats = random.random((len(queries), PENULTIMATE), np.float32)
    bits = np.ascontiguousarray(queries.words[:, 0]).view(np.uint8)
    return {
        f"faiss IndexFlatIP, {PENULTIMATE} float32": lambda count: flat.search(floats[:count], K),
        f"faiss IndexBinaryFlat, {LAST_FEATURES} bits, one plane": lambda count: binary.search(bits[:count], K),
    }


def both_times(body: Callable[[], Any]) -> Callable[[], tuple[float, float]]:
    """Measures a call on the clock, and the processors' time."""

    def run() -> tuple[float, float]:
        start, used = time.perf_counter(), time.process_time()
        body()
        return time.perf_counter() - start, time.process_time() - used

    return run


def compact(rounds: int) -> None:
    """One query among a million codes of 512 features, as compact codes are, and how long it takes to make them."""
    random = np.random.default_rng(4)
    base = PackedCodes(random_words(random, LARGE_BASE, COMPACT_FEATURES), COMPACT_FEATURES)
    query = PackedCodes(random_words(random, 1, COMPACT_FEATURES), COMPACT_FEATURES)
    base.mean()
    name = f"search of {LARGE_BASE} compact codes"
    progress.step(name)
    print(
        f"{LARGE_BASE} compact codes, {base.words.nbytes / 1e6:.0f} MB; one query, on the clock and of the processors"
    )
    for threads in (1, 2):
        ways = {
            metric: both_times(partial(base.search, query, K, metric=metric, threads=threads))
            for metric in ("dot", "cosine", "centred")
        }
        for metric, taken in taking_turns(ways, 10 * rounds, 1).items():
            title = f"{name}, {metric}, {threads} thread{'s' * (threads > 1)}"
            wall, processor = (
                figure(f"{title}, {what}", "ms", [1000 * each[at] for each in taken])
                for at, what in enumerate(("time", "processor time"))
            )
            print(f"  {threads} thread{'s' * (threads > 1)}, {metric:8s} {wall} ms, {processor} ms")
    call = seconds(partial(base[:K].search, query, K, metric="cosine"))
    microseconds = figure(f"{name}, of these Python's call", "microseconds", [1e6 * call() for _ in range(1000)], 0)
    print(f"  of these Python's call takes {microseconds} microseconds")
    features = random.standard_normal((4000, 1280)).astype(np.float32)
    codes = CompactCodes.fit(features)
    start = time.perf_counter()
    codes.transform(features, threads=1)
    each = 1e6 * (time.perf_counter() - start) / len(features)
    microseconds = figure("a compact code of 1280 features, one thread", "microseconds", each, 0)
    print(f"  a code of 1280 features takes {microseconds} microseconds of one thread")


def classifier(rounds: int) -> None:
    """A linear SVM through the Gram matrix beside LinearSVC, on codes of 17 noisy classes."""
    try:
        from sklearn.svm import SVC, LinearSVC
    except ImportError:
        left_out("a linear SVM", "scikit-learn is not installed")
        return
    random = np.random.default_rng(2)
    for images in IMAGES:
        progress.step(f"a linear SVM, {images // 2} images")
        labels = np.arange(images) % 17
        centres = random.integers(-1, 2, (17, FEATURES), dtype=np.int8)
        noise = random.integers(-1, 2, (images, FEATURES), dtype=np.int8)
        codes = np.where(random.random((images, FEATURES)) < 0.06, centres[labels], noise).astype(np.int8)
        packed, half = PackedCodes.pack(codes), images // 2
        wide = codes.astype(np.float64)
        sparse = packed.to_scipy_sparse().astype(np.float64)
        results: dict[str, tuple[list[float], np.ndarray]] = {}

        def fit(name: str, body: Callable[[], np.ndarray], results: Any = results) -> None:
            start = time.perf_counter()
            predicted = body()
            results.setdefault(name, ([], predicted))[0].append(time.perf_counter() - start)

        def gram(packed: PackedCodes = packed, half: int = half, labels: Any = labels) -> np.ndarray:
            model = SVC(kernel="precomputed", C=0.01).fit(packed[:half].gram(), labels[:half])
            return model.predict(packed[half:].dot(packed[:half]))

        for _ in range(max(1, rounds // 2)):
            fit("SVC, Gram of packed codes", gram)
            fit(
                "SVC(linear) on float64",
                lambda w=wide, h=half, y=labels: SVC(kernel="linear", C=0.01).fit(w[:h], y[:h]).predict(w[h:]),
            )
            fit(
                "LinearSVC on float64",
                lambda w=wide, h=half, y=labels: LinearSVC(C=0.01).fit(w[:h], y[:h]).predict(w[h:]),
            )
            fit(
                "LinearSVC on sparse",
                lambda w=sparse, h=half, y=labels: LinearSVC(C=0.01).fit(w[:h], y[:h]).predict(w[h:]),
            )
        print(f"a linear SVM, {half} training images of 17 classes, fit and predict of as many:")
        exact = results["SVC(linear) on float64"][1]
        for name, (taken, predicted) in results.items():
            accuracy, equal = np.mean(predicted == labels[half:]), np.mean(predicted == exact)
            title = f"a linear SVM, {half} images, {name}"
            milliseconds = figure(title, "ms", [1000 * each for each in taken], 0)
            figure(f"{title}, accuracy", "ratio", accuracy)
            figure(f"{title}, equal to SVC(linear)", "ratio", equal)
            print(f"  {name:28s} {milliseconds:>24s} ms, accuracy {accuracy:.3f}, equal to SVC(linear) {equal:.4f}")


if __name__ == "__main__":
    print_at_once()
    given = sys.argv[1:]
    parts = {"large": large, "compact": compact}
    if "trial" in given:
        BASE, LARGE_BASE, IMAGES = BASE // 10, LARGE_BASE // 10, IMAGES[:1]
    numbers = [int(argument) for argument in given if argument.isdecimal()]
    part = next((parts[argument] for argument in given if argument in parts), main)
    part(numbers[0] if numbers else 5)
