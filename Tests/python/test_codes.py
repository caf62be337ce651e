"""Packed codes: integers equal to NumPy's in every way, whatever the kernel, the sizes and the threads."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

import fne
from fne import PackedCodes, _ffi


def random_codes(n, features, seed=0, kind="random"):
    random = np.random.default_rng(seed)
    if kind == "zeros":
        return np.zeros((n, features), np.int8)
    if kind in ("ones", "minus"):
        return np.full((n, features), 1 if kind == "ones" else -1, np.int8)
    if kind == "alternating":
        return np.broadcast_to(np.where(np.arange(features) % 2, 1, -1), (n, features)).astype(np.int8)
    if kind == "sparse":
        return (random.random((n, features)) < 0.02).astype(np.int8) * random.choice([-1, 1], (n, features)).astype(
            np.int8
        )
    return random.integers(-1, 2, (n, features), dtype=np.int8)


SIZES = [1, 2, 63, 64, 65, 127, 128, 129, 191, 255, 256, 257, 511, 512, 513, 1000, 4096, 12416]
KINDS = ["random", "zeros", "ones", "minus", "alternating", "sparse"]


@pytest.mark.parametrize("features", SIZES)
def test_packing(features):
    codes = random_codes(5, features, features)
    codes[3] = fne.SKIPPED_CODE
    packed = PackedCodes.pack(codes)
    expected = np.where(codes == fne.SKIPPED_CODE, 0, codes)
    np.testing.assert_array_equal(packed.unpack(), expected)
    bits = np.unpackbits(packed.words.view(np.uint8).reshape(5, 2, -1), axis=2, bitorder="little")
    np.testing.assert_array_equal(bits[:, 0, :features], expected != 0)
    np.testing.assert_array_equal(bits[:, 1, :features], expected == -1)
    assert not bits[:, :, features:].any()


@pytest.mark.parametrize("features", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_dot_products(features, kind):
    a, b = random_codes(7, features, 1), random_codes(9, features, 2, kind)
    expected = a.astype(np.int32) @ b.astype(np.int32).T
    np.testing.assert_array_equal(PackedCodes.pack(a).dot(PackedCodes.pack(b)), expected)
    np.testing.assert_array_equal(PackedCodes.pack(b).dot(PackedCodes.pack(a), threads=3), expected.T)
    gram = PackedCodes.pack(b).gram()
    np.testing.assert_array_equal(gram, b.astype(np.int32) @ b.astype(np.int32).T)


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 200, 1000])
@pytest.mark.parametrize("queries", [1, 2, 3, 4, 5, 9])
def test_all_shapes(rows, queries):
    base, query = random_codes(rows, 300, 3), random_codes(queries, 300, 4)
    expected = query.astype(np.int32) @ base.astype(np.int32).T
    for threads in (None, 1, 2, 7):
        np.testing.assert_array_equal(PackedCodes.pack(query).dot(PackedCodes.pack(base), threads=threads), expected)


def reference(base, query, metric):
    """Scores that sort ascending, and scores as given back."""
    a, b = query.astype(np.float64), base.astype(np.float64)
    dot = a @ b.T
    if metric == "hamming":
        scores = (query[:, None] != base[None]).sum(2).astype(np.float64)
        return scores, scores
    if metric == "cosine":
        product = (a != 0).sum(1)[:, None] * (b != 0).sum(1)[None].astype(np.float64)
        dot = np.divide(dot, np.sqrt(product), out=np.zeros_like(dot), where=product > 0)
    return -dot, dot


@pytest.mark.parametrize("metric", ["dot", "cosine", "hamming"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "queries", "k"), [(1, 1, 1), (70, 3, 70), (500, 9, 10), (3000, 2, 64)])
def test_search(metric, kind, rows, queries, k):
    base, query = random_codes(rows, 150, 5, kind), random_codes(queries, 150, 6)
    base[rows // 2] = 0
    order, given = reference(base, query, metric)
    best = np.argsort(order, axis=1, kind="stable")[:, :k]
    for threads in (None, 1, 3):
        indices, scores = PackedCodes.pack(base).search(PackedCodes.pack(query), k, metric=metric, threads=threads)
        np.testing.assert_array_equal(scores, np.take_along_axis(given, best, 1))
        np.testing.assert_array_equal(indices, best)
    assert indices.dtype == np.int64 and scores.shape == (queries, k)


def rows_of_equal_cosines(features):
    """Rows of t^2 codes that are not 0, whose dot product with a row of ones is t, 0 or -t: cosines that differ by
    rounding alone."""
    random = np.random.default_rng(features)
    rows = []
    for number in range(4000):
        t = int(random.integers(1, int(features**0.5) + 1))
        dot = t * (number % 3 - 1) if number < 3000 else -t
        row = np.zeros(features, np.int8)
        count = t * t if (t * t - dot) % 2 == 0 else t * t + 1
        row[:count] = 1
        row[: (count - dot) // 2] = -1
        rows.append(random.permutation(row))
    return np.stack(rows)


@pytest.mark.parametrize("features", [65, 512, 700])
@pytest.mark.parametrize("metric", ["dot", "cosine", "hamming", "centred"])
def test_no_row_is_lost(features, metric):
    """A search leaves out blocks whose rows cannot be among the best. Here they miss it by a rounding, or just reach
    it, or all scores are equal, or negative, or 0."""
    near = rows_of_equal_cosines(features)
    ones = np.ones((1, features), np.int8)
    queries = np.concatenate([ones, -ones, 0 * ones, near[:1], random_codes(1, features, 1)])
    bases = [near, near[3000:], -near[3000:], np.repeat(near[:1], 700, 0), 0 * near[:300]]
    bases += [random_codes(3000, features, 2), near[np.argsort(near.sum(1), kind="stable")]]
    for base in bases:
        packed = PackedCodes.pack(base)
        order, given = reference(base, queries, metric) if metric != "centred" else exact_centred(packed, queries)
        for k in (1, 10, 100):
            best = np.argsort(order, axis=1, kind="stable")[:, :k]
            for threads in (1, 2, 3, 4):
                for first, stop in ((0, 5), (0, 1), (1, 2), (2, 3), (3, 5)):
                    asked = PackedCodes.pack(queries[first:stop])
                    found, scores = packed.search(asked, k, metric=metric, threads=threads)
                    np.testing.assert_array_equal(scores, np.take_along_axis(given, best, 1)[first:stop])
                    np.testing.assert_array_equal(found, best[first:stop])


# ---- codes less their mean


def exact_centred(packed, queries):
    """Centred scores by the formula in docs/codes.md, rounded as there, and in the order in which they sort."""
    mean, features, lib = packed.mean(), packed.feature_count, _ffi.lib

    def offsets(codes):
        products = np.zeros(len(codes))
        given = codes.words.ctypes.data, len(codes), features, mean.ctypes.data, 1
        assert lib.fne_packed_offsets(*given, products.ctypes.data, len(codes)) == 0
        return products

    square = float(sum(int(value) ** 2 for value in np.rint(mean.astype(np.float64) * 2.0**40))) * 2.0**-80
    base, of_base, of_queries = packed.unpack(), offsets(packed), offsets(PackedCodes.pack(queries))

    def norms(codes, products):
        squared = (codes != 0).sum(1) - products - products + square
        return np.sqrt(np.where(squared > features * 2.0**-30, squared, 0))

    dots = queries.astype(np.float64) @ base.T.astype(np.float64) - of_queries[:, None] - of_base + square
    both = norms(queries, of_queries)[:, None] * norms(base, of_base)
    scores = np.divide(dots, both, out=np.zeros_like(dots), where=both > 0)
    return -scores, scores


def centred_cosines(base, query, mean=None):
    """In float64, by the formula. A row that is the mean has the cosine 0 with any."""
    mean = (base.astype(np.float64).mean(0) if mean is None else np.asarray(mean)).astype(np.float32).astype(np.float64)
    a, b = query - mean, base - mean
    norms = np.sqrt((a**2).sum(1))[:, None] * np.sqrt((b**2).sum(1))
    return np.divide(a @ b.T, norms, out=np.zeros((len(a), len(b))), where=norms > 0)


def skewed_codes(rows, features, seed):
    """Mostly -1, as in deep layers."""
    random = np.random.default_rng(seed)
    shares = random.dirichlet([4, 1.5, 1.5], features)
    return (random.random((rows, features, 1)) > shares.cumsum(1)[None, :, :2]).sum(2).astype(np.int8) - np.int8(1)


@pytest.mark.parametrize("kind", [*KINDS, "skewed"])
@pytest.mark.parametrize(("rows", "queries", "k"), [(1, 1, 1), (70, 3, 70), (500, 9, 10), (3000, 2, 64)])
def test_centred_search(kind, rows, queries, k):
    base = skewed_codes(rows, 150, 5) if kind == "skewed" else random_codes(rows, 150, 5, kind)
    query = random_codes(queries, 150, 6)
    base[rows // 2] = 0
    expected = centred_cosines(base, query)
    results = []
    for threads in (None, 1, 3):
        packed = PackedCodes.pack(base)
        found, scores = packed.search(PackedCodes.pack(query), k, metric="centred", threads=threads)
        np.testing.assert_allclose(scores, np.take_along_axis(expected, found, 1), rtol=0, atol=1e-12)
        np.testing.assert_allclose(scores, -np.sort(-expected, 1)[:, :k], rtol=0, atol=1e-12)
        tied = np.diff(scores) == 0
        assert (np.diff(found)[tied] > 0).all(), "of equal scores the first row comes first"
        results.append((found.tobytes(), scores.tobytes()))
    assert len(set(results)) == 1, "the threads change nothing"


@pytest.mark.parametrize("features", SIZES)
def test_means_and_centred_products(features):
    codes = skewed_codes(90, features, features)
    packed = PackedCodes.pack(codes)
    mean = packed.mean(threads=2)
    np.testing.assert_array_equal(mean, codes.astype(np.float64).mean(0).astype(np.float32))
    assert mean.dtype == np.float32 and packed.mean() is mean and not mean.flags.writeable
    centred = codes - mean.astype(np.float64)
    gram = packed.gram(centred=True)
    np.testing.assert_allclose(gram, centred @ centred.T, rtol=0, atol=1e-9)
    assert gram.dtype == np.float64 and packed.gram().dtype == np.int32


def test_a_mean_over_many_rows():
    """More rows than 16 bits count, on several threads."""
    codes = np.ones((70_000, 70), np.int8)
    codes[:, 1], codes[:, 2], codes[::2, 3] = -1, 0, -1
    codes[:, 4:] = random_codes(70_000, 66, 3)
    for threads in (1, 3):
        mean = PackedCodes.pack(codes).mean(threads=threads)
        np.testing.assert_array_equal(mean, codes.astype(np.float64).mean(0).astype(np.float32))


def test_another_mean():
    base, query = random_codes(60, 130, 1), random_codes(4, 130, 2)
    packed = PackedCodes.pack(base)
    random = np.random.default_rng(3)
    for mean in (
        random.uniform(-1, 1, 130),
        random.uniform(-1e-6, 1e-6, 130).astype(np.float32),
        np.zeros(130, int),
        random_codes(1, 130, 4)[0],
    ):
        found, scores = packed.search(PackedCodes.pack(query), 60, metric="centred", mean=mean)
        expected = np.take_along_axis(centred_cosines(base, query, mean), found, 1)
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-10)
    plain = packed.search(PackedCodes.pack(query), 60, metric="cosine")
    found, scores = packed.search(PackedCodes.pack(query), 60, metric="centred", mean=np.zeros(130))
    np.testing.assert_allclose(scores, plain[1], atol=1e-15)


def test_rows_that_are_the_mean():
    """A row without a difference to the mean has no direction, and its score is 0."""
    one = random_codes(1, 200, 1)
    for rows in (1, 80):
        same = PackedCodes.pack(np.repeat(one, rows, 0))
        np.testing.assert_array_equal(same.mean(), one[0])
        found, scores = same.search(PackedCodes.pack(np.concatenate([one, -one])), rows, metric="centred")
        assert not scores.any() and not np.signbit(scores).any()
        np.testing.assert_array_equal(found, [np.arange(rows)] * 2)
        assert not same.gram(centred=True).any()
    zeros = PackedCodes.pack(np.zeros((5, 200), np.int8))
    assert not zeros.search(PackedCodes.pack(one), 5, metric="centred")[1].any()
    # One row of 100,000 differs in one feature. The others are nearer to the mean than rounding can tell.
    many = np.repeat(one, 100_000, 0)
    many[7, 0] = many[7, 0] % 2 - 1
    found, scores = PackedCodes.pack(many).search(PackedCodes.pack(many[7:8]), 3, metric="centred")
    np.testing.assert_array_equal(found, [[7, 0, 1]])
    np.testing.assert_allclose(scores, [[1, 0, 0]], atol=1e-12)


def test_a_centred_search_keeps_its_numbers():
    base, query = PackedCodes.pack(skewed_codes(300, 90, 1)), PackedCodes.pack(skewed_codes(2, 90, 2))
    first = base.search(query, 5, metric="centred")
    kept = base._own_centre
    again = base.search(query, 5, metric="centred")
    assert kept is not None and base._own_centre is kept and kept.offsets.nbytes == 8 * 300
    np.testing.assert_array_equal(first[1], again[1])
    part = base[:50]
    np.testing.assert_array_equal(part.mean(), base.unpack()[:50].astype(np.float64).mean(0).astype(np.float32))
    from concurrent.futures import ThreadPoolExecutor

    fresh = PackedCodes(base.words, 90)
    with ThreadPoolExecutor(4) as pool:
        means = list(pool.map(lambda _: fresh.mean(), range(8)))
    assert all(mean is means[0] for mean in means)


def test_what_a_centred_search_refuses():
    packed = PackedCodes.pack(random_codes(3, 70))
    for value, error, message in [
        (np.nan, fne.NotFiniteError, "mean of feature 69 is nan"),
        (np.inf, fne.NotFiniteError, "mean of feature 69 is inf"),
        (1.5, fne.InvalidArgumentError, "mean of feature 69 is 1.5; the mean of codes is -1 to 1"),
    ]:
        with pytest.raises(error, match=message):
            packed.search(packed, 1, metric="centred", mean=np.r_[np.zeros(69), value])
    for wrong in (np.zeros(69), np.zeros((1, 70)), np.array(["a"] * 70)):
        with pytest.raises(ValueError, match=r"must be numbers of the shape \(70,\)"):
            packed.search(packed, 1, metric="centred", mean=wrong)
    with pytest.raises(ValueError, match='only "centred" takes a mean'):
        packed.search(packed, 1, metric="cosine", mean=np.zeros(70))
    with pytest.raises(fne.InvalidArgumentError, match="no codes"):
        packed[:0].mean()
    assert packed[:0].gram(centred=True).shape == (0, 0)
    assert packed.search(packed[:0], 2, metric="centred")[0].shape == (0, 2)


def test_the_centred_functions_of_c():
    base, query = skewed_codes(200, 90, 1), skewed_codes(3, 90, 2)
    x, y = PackedCodes.pack(base).words, PackedCodes.pack(query).words
    lib, at = _ffi.lib, lambda array: array.ctypes.data
    mean, offsets, cosines = np.zeros(90, np.float32), np.zeros(200), centred_cosines(base, query)
    assert lib.fne_packed_mean(at(x), 200, 90, 2, at(mean), 90) == 0
    assert lib.fne_packed_offsets(at(x), 200, 90, at(mean), 2, at(offsets), 200) == 0
    np.testing.assert_allclose(offsets, base @ mean.astype(np.float64), rtol=0, atol=1e-10)
    found, scores = np.zeros((3, 200), np.uint64), np.zeros((3, 200))
    given = at(x), 200, at(y), 3, 90, 200
    for arguments in ((at(mean), at(offsets)), (at(mean), None), (None, None)):
        scores[:] = 0
        assert lib.fne_packed_search_centred(*given, *arguments, 0, at(found), at(scores), 600) == 0
        np.testing.assert_allclose(scores, np.take_along_axis(cosines, found.astype(int), 1), rtol=0, atol=1e-12)
    kept = scores.copy()
    assert lib.fne_packed_search(*given, 3, 0, at(found), at(scores), 600) == 0
    np.testing.assert_array_equal(scores, kept)
    assert lib.fne_packed_search_centred(*given, None, at(offsets), 0, at(found), at(scores), 600) != 0
    assert "without the mean" in _ffi.last_error()
    products = np.zeros((3, 200))
    for given_mean in (at(mean), None):
        assert lib.fne_packed_dot_centred(at(y), 3, at(x), 200, 90, given_mean, 0, at(products), 600) == 0
        expected = (query - mean.astype(np.float64)) @ (base - mean.astype(np.float64)).T
        np.testing.assert_allclose(products, expected, rtol=0, atol=1e-10)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    """The kernels alone, whose variants can be pinned."""
    library = tmp_path_factory.mktemp("kernels") / "kernels.so"
    clang = shutil.which("clang") or str(
        Path(shutil.which(os.environ.get("SWIFT", "swift"))).resolve().parent / "clang"
    )
    sources = sorted((ROOT / "Sources/CKernels").glob("*.c"))
    command = [clang, "-O2", "-shared", "-fPIC", f"-I{ROOT}/Sources/CKernels/include", *sources, "-lm", "-o", library]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(library))


@pytest.mark.parametrize("variant", ["baseline", "avx2", "avx512", "vpopcntdq"])
def test_every_kernel(kernels, variant):
    """A hundred million pairs of features, random and not, in each kernel that the processor has, against NumPy."""
    if kernels.ck_pin_variant(variant.encode()) != 0:
        assert variant != "baseline"
        return
    pairs = 0
    for features, rows, queries in [
        (5000, 250, 90),
        (64, 31, 5),
        (65, 1, 1),
        (511, 64, 3),
        (513, 65, 4),
        (12416, 7, 7),
    ]:
        for kind in KINDS if features < 5000 else ["random"]:
            a, b = random_codes(queries, features, 21), random_codes(rows, features, 22, kind)
            x, y = PackedCodes.pack(a).words, PackedCodes.pack(b).words
            both, opposite = np.zeros((queries, rows), np.int32), np.zeros((queries, rows), np.int32)
            sizes = [ctypes.c_size_t(size) for size in (queries, rows, x.shape[2], rows)]
            kernels.ck_packed_counts(
                ctypes.c_void_p(x.ctypes.data),
                sizes[0],
                ctypes.c_void_p(y.ctypes.data),
                *sizes[1:],
                ctypes.c_void_p(both.ctypes.data),
                ctypes.c_void_p(opposite.ctypes.data),
            )
            dot = a.astype(np.float64) @ b.astype(np.float64).T
            shared = (a != 0).astype(np.float64) @ (b != 0).astype(np.float64).T
            np.testing.assert_array_equal(both, shared)
            np.testing.assert_array_equal(both - 2 * opposite, dot)
            counts = np.zeros(rows)
            kernels.ck_count_codes(ctypes.c_void_p(y.ctypes.data), *sizes[1:3], ctypes.c_void_p(counts.ctypes.data))
            np.testing.assert_array_equal(counts, (b != 0).sum(1))
            sums = np.full(features, 99, np.int16)
            kernels.ck_sum_codes(
                ctypes.c_void_p(y.ctypes.data),
                *sizes[1:3],
                ctypes.c_size_t(features),
                ctypes.c_void_p(sums.ctypes.data),
            )
            np.testing.assert_array_equal(sums, b.sum(0, dtype=np.int16))
            pairs += queries * rows * features
    assert pairs > 10**8
    kernels.ck_pin_variant(None)


@pytest.mark.parametrize("variant", ["baseline", "avx2", "avx512", "vpopcntdq"])
@pytest.mark.parametrize("rows", [1, 7, 8, 9, 64])
def test_every_kernel_tells_what_rows_may_reach(kernels, variant, rows):
    """Where a row has a score, or is a rounding below it, the kernels say so, and not where all are well below."""
    if kernels.ck_pin_variant(variant.encode()) != 0:
        assert variant != "baseline"
        return

    def pointers(*arrays):
        return [ctypes.c_void_p(array.ctypes.data) for array in arrays]

    class Centre(ctypes.Structure):
        _fields_ = [(name, ctypes.c_double) for name in ("square", "nearest", "norm", "offset")]

    random = np.random.default_rng(rows)
    for turn in range(300):
        counts = random.integers(0 if turn % 3 else 1, 513, rows).astype(np.float64)
        both = (random.random(rows) * (counts + 1)).astype(np.int32)
        opposite = (random.random(rows) * (both + 1)).astype(np.int32)
        if turn % 4 == 0:
            opposite = both.copy()  # all products are negative
        count = float(random.integers(1, 513))
        scores, size = np.zeros(rows), ctypes.c_size_t(rows)
        if turn % 2:
            given, end = [*pointers(both, opposite), size, *pointers(counts)], []
            kernels.ck_cosines(*given, ctypes.c_double(count), *pointers(scores))
            reach = kernels.ck_cosines_reach
        else:
            offsets = random.uniform(-1, 1, rows) * counts
            centre = Centre(random.uniform(0, 300), 512 * 2.0**-30, count**0.5, random.uniform(-1, 1) * count)
            squares, count = counts.copy(), centre.norm * centre.norm
            kernels.ck_centred_squares(*pointers(squares), size, *pointers(offsets), ctypes.byref(centre))
            given = [*pointers(both, opposite), size, *pointers(squares, offsets)]
            end = [ctypes.byref(centre)]
            kernels.ck_centred_cosines(*given, *end, *pointers(scores))
            reach = kernels.ck_centred_cosines_reach

        def may_reach(score, given=given, end=end, count=count, reach=reach):
            near = -(2.0**-200) if abs(score) < 2.0**-200 else score
            bound = (near * abs(near) - 2.0**-40 * near * near) * count
            return reach(*given, *end, ctypes.c_double(bound)) != 0

        assert may_reach(scores.max()) and may_reach(np.nextafter(scores.max(), np.inf)) and may_reach(-1e9)
        assert not may_reach(scores.max() + 1e-9) and may_reach(np.nan)
    kernels.ck_pin_variant(None)


def layers():
    return [
        fne.Layer(name, "convolution", 4, slice(a, b))
        for name, a, b in [("conv1", 0, 64), ("conv2", 64, 100), ("pool", 100, 229), ("dense", 229, 300)]
    ]


def test_slicing():
    codes = random_codes(20, 300, 7)
    packed = PackedCodes.pack(codes, layers())
    np.testing.assert_array_equal(packed[3:9].unpack(), codes[3:9])
    assert packed[3:9].words.base is not None and len(packed[5]) == 1
    np.testing.assert_array_equal(packed[np.arange(20) % 3 == 0].unpack(), codes[::3])
    np.testing.assert_array_equal(packed[[7, 2]].unpack(), codes[[7, 2]])
    for first, stop in [(0, 300), (0, 1), (63, 65), (64, 128), (1, 300), (299, 300), (100, 229), (37, 101)]:
        part = packed.select(slice(first, stop))
        np.testing.assert_array_equal(part.unpack(), codes[:, first:stop])
        np.testing.assert_array_equal(part.words, PackedCodes.pack(codes[:, first:stop]).words)
    np.testing.assert_array_equal(packed.select("pool").unpack(), codes[:, 100:229])
    np.testing.assert_array_equal(packed.select("last:50%").unpack(), codes[:, 100:])
    both = packed.select(["dense", "conv1"])
    np.testing.assert_array_equal(both.unpack(), np.hstack([codes[:, 229:], codes[:, :64]]))
    assert [layer.features for layer in both.layers] == [slice(0, 71), slice(71, 135)]
    with pytest.raises(ValueError, match="do not know their layers"):
        PackedCodes.pack(codes).select("pool")
    for wrong in (slice(5, 5), slice(0, 9, 2)):
        with pytest.raises(ValueError, match="range"):
            packed.select(wrong)


@pytest.mark.parametrize("features", [1, 63, 64, 65, 130, 700])
def test_columns_of_layers_in_any_order(features):
    """Ranges that begin and end at any bit, that overlap, and that are put at any bit, against NumPy's columns."""
    random, codes = np.random.default_rng(features), random_codes(9, features, 1)
    for _ in range(60):
        ends = np.sort(random.integers(0, features + 1, (random.integers(1, 6), 2)), 1)
        ranges = [slice(int(first), int(stop)) for first, stop in ends if stop > first]
        if not ranges:
            continue
        kept = [fne.Layer(f"layer{number}", "dense", 2, columns) for number, columns in enumerate(ranges)]
        chosen = PackedCodes.pack(codes, kept).select([layer.name for layer in kept])
        expected = np.concatenate([codes[:, columns] for columns in ranges], 1)
        np.testing.assert_array_equal(chosen.words, PackedCodes.pack(expected).words)
        assert chosen.feature_count == expected.shape[1] == chosen.layers[-1].features.stop


def test_columns_of_many_rows():
    codes = random_codes(3000, 900, 2)
    np.testing.assert_array_equal(PackedCodes.pack(codes).select(slice(70, 890)).unpack(), codes[:, 70:890])


def test_saving(tmp_path):
    packed = PackedCodes.pack(random_codes(9, 300, 8), layers())
    packed.save(tmp_path / "codes.npy")
    for mmap in (True, False):
        read = PackedCodes.load(tmp_path / "codes", mmap=mmap)
        assert isinstance(read.words, np.memmap) == mmap and read.layers == layers() and read.feature_count == 300
        np.testing.assert_array_equal(read.words, packed.words)
        assert read.search(packed[:1], 1)[0][0, 0] == 0
    (tmp_path / "codes.json").write_text(json.dumps({"format": "else"}))
    with pytest.raises(fne.FNEError, match="no packed codes"):
        PackedCodes.load(tmp_path / "codes.npy")
    (tmp_path / "codes.json").write_text(json.dumps({"format": "fne-packed-codes", "version": 1, "features": "9"}))
    with pytest.raises(fne.errors.SavedDataError, match=r"codes\.json' is damaged: features is missing or wrong"):
        PackedCodes.load(tmp_path / "codes.npy")


def test_saved_words_are_the_bytes_that_numpy_writes(tmp_path):
    packed = PackedCodes.pack(random_codes(9, 300, 8), layers())
    packed.save(tmp_path / "codes")
    np.save(tmp_path / "numpy.npy", packed.words)
    assert (tmp_path / "codes.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()
    described = [
        {"name": layer.name, "kind": "convolution", "rank": 4, "first_feature": layer.features.start}
        | {"features": layer.feature_count}
        for layer in layers()
    ]
    facts = {"format": "fne-packed-codes", "version": 1, "features": 300, "layers": described}
    assert json.loads((tmp_path / "codes.json").read_text()) == facts
    (tmp_path / "numpy.json").write_text(json.dumps(facts))
    assert PackedCodes.load(tmp_path / "numpy").layers == layers()


def test_codes_can_be_saved_over_the_file_that_they_are_mapped_from(tmp_path):
    packed = PackedCodes.pack(random_codes(9, 300, 8))
    packed.save(tmp_path / "codes")
    PackedCodes.load(tmp_path / "codes")[2:5].save(tmp_path / "codes")
    np.testing.assert_array_equal(PackedCodes.load(tmp_path / "codes").words, packed.words[2:5])
    assert sorted(os.listdir(tmp_path)) == ["codes.json", "codes.npy"]


def test_codes_that_cannot_be_saved(tmp_path):
    codes = random_codes(2, 10, 8)
    for wrong, message in [
        (fne.Layer("a", "convolution", 4, slice(5, 11)), "'a' ends with column 10"),
        (fne.Layer("a", "conv", 4, slice(0, 5)), "'a' is 'conv'"),
        (fne.Layer("a", "dense", 2, slice(5, 5)), "'a' has the columns 5 to 5"),
    ]:
        with pytest.raises(fne.InvalidArgumentError, match=message):
            PackedCodes.pack(codes, [wrong]).save(tmp_path / "codes")
    assert os.listdir(tmp_path) == []
    with pytest.raises(fne.FileError, match=r"none/codes\.npy"):
        PackedCodes.pack(codes).save(tmp_path / "none/codes")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("codes.npy", lambda data: data[:-1]),
        ("codes.npy", lambda data: data[:-80]),
        ("codes.npy", lambda data: data + bytes(80)),
        ("codes.npy", lambda data: data[:100]),
        ("codes.npy", lambda data: b""),
        ("codes.npy", lambda data: data.replace(b"<u8", b"<i8")),
        ("codes.npy", lambda data: data.replace(b"False", b"True ")),
        ("codes.npy", lambda data: data.replace(b"(9, 2, 5)", b"(9, 5, 2)")),
        ("codes.json", lambda data: data[:-3]),
        ("codes.json", lambda data: b"[]"),
        ("codes.json", lambda data: data.replace(b": 300", b": 0")),
        ("codes.json", lambda data: data.replace(b": 300", b": 299")),
        ("codes.json", lambda data: data.replace(b": 300", b": 9223372036854775807")),
        ("codes.json", lambda data: data.replace(b": 300", b": 3e2")),
        ("codes.json", lambda data: data.replace(b"convolution", b"else")),
        ("codes.json", lambda data: data.replace(b'"rank": 4', b'"rank": 4294967300')),
        ("codes.json", lambda data: data.replace(b'"version": 1', b'"version": 2')),
        ("codes.json", lambda data: data.replace(b'"layers"', b'"layer"')),
        ("codes.json", lambda data: data.replace(b'"version"', b'"version": 1, "version"')),
    ],
)
def test_damaged_saved_codes(tmp_path, name, change):
    PackedCodes.pack(random_codes(9, 300, 8), layers()).save(tmp_path / "codes")
    path = tmp_path / name
    before = path.read_bytes()
    path.write_bytes(change(before))
    assert path.read_bytes() != before
    with pytest.raises(fne.errors.SavedDataError, match=name.replace(".", r"\.")):
        PackedCodes.load(tmp_path / "codes")


@pytest.mark.parametrize("name", ["codes.npy", "codes.json"])
def test_a_missing_part_of_saved_codes(tmp_path, name):
    PackedCodes.pack(random_codes(9, 300, 8)).save(tmp_path / "codes")
    (tmp_path / name).unlink()
    with pytest.raises(fne.FileError, match=name.replace(".", r"\.")):
        PackedCodes.load(tmp_path / "codes")


def test_search_without_memory():
    """k * queries entries that cannot be had are an error, before any thread begins."""
    program = """
    import resource, numpy, fne
    packed = fne.PackedCodes.pack(numpy.ones((20000, 3), numpy.int8))
    used = int(open("/proc/self/statm").read().split()[0]) * 4096
    out = [numpy.empty((1500, 20000), type) for type in (numpy.uint64, numpy.float64)]
    resource.setrlimit(resource.RLIMIT_AS, (used + 1_000_000_000, used + 1_000_000_000))
    try:
        packed.search(packed[:1500], k=20000, threads=1)
    except MemoryError as error:
        print("refused")
    """
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
    assert result.stdout == "refused\n", result.stderr


def test_sparse():
    codes = random_codes(9, 300, 9)
    sparse = PackedCodes.pack(codes).to_scipy_sparse()
    np.testing.assert_array_equal(sparse.toarray(), codes)
    assert sparse.dtype == np.int8 and sparse.nnz == (codes != 0).sum()


@pytest.mark.parametrize("rest", [False, True])
def test_a_linear_svm_through_the_gram(rest):
    """SVC(kernel="precomputed") is the same classifier as SVC(kernel="linear") on the codes, also one against the
    rest."""
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import SVC

    def svm(kernel):
        return OneVsRestClassifier(SVC(kernel=kernel, C=0.01)) if rest else SVC(kernel=kernel, C=0.01)

    codes, labels = random_codes(60, 500, 10), np.arange(60) % 3
    codes[labels == 1, :40] = 1
    codes[labels == 2, 40:90] = -1
    train, test = codes[:40], random_codes(20, 500, 11)
    gram = svm("precomputed").fit(PackedCodes.pack(train).gram(), labels[:40])
    linear = svm("linear").fit(train.astype(np.float64), labels[:40])
    for part in (codes[40:], test):
        kernel = PackedCodes.pack(part).dot(PackedCodes.pack(train))
        np.testing.assert_array_equal(gram.predict(kernel), linear.predict(part.astype(np.float64)))
        np.testing.assert_allclose(
            gram.decision_function(kernel), linear.decision_function(part.astype(np.float64)), atol=1e-6
        )


def test_straight_from_the_extractor(network, photographs, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photographs[0].read_bytes()[:900])
    images = [*photographs[:5], broken, *photographs[5:]]
    with fne.Extractor(network[0], on_error="skip", batch_size=4) as extractor:
        features = extractor.extract(photographs).features
        statistics = fne.Statistics(extractor.feature_count).update(features)
        mean, std = statistics.mean(), statistics.std()
        codes = extractor.embed(images, mean, std).codes
        packed, outcome = extractor.embed_packed(images, mean, std)
        np.testing.assert_array_equal(packed.unpack(), np.where(codes == fne.SKIPPED_CODE, 0, codes))
        assert outcome.ok.sum() == 24 and list(outcome.reasons) == [5] and packed.layers == extractor.layers
        assert type(outcome) is fne.Outcome and not hasattr(outcome, "codes")
        assert outcome.statuses.tolist() == [0] * 5 + [outcome.statuses[5]] + [0] * 19 and outcome.statuses[5] > 0
        mixed = [fne.read_image(photographs[0]), photographs[1], photographs[2].read_bytes()]
        np.testing.assert_array_equal(extractor.embed_packed(mixed, mean, std)[0].words, packed[:3].words)


def test_both_at_once_in_c(network, photographs):
    """The run's codes and its packed codes in one call."""
    with fne.Extractor(network[0], batch_size=4) as extractor:
        features = extractor.feature_count
        mean, std = np.zeros(features), np.ones(features)
        codes, packed = np.zeros((24, features), np.int8), np.zeros((24, 2, -(-features // 64)), np.uint64)
        run = _ffi.sized(_ffi.ExtractRun)
        run.codes, run.codes_capacity, run.packed, run.packed_capacity = (
            codes.ctypes.data,
            codes.size,
            packed.ctypes.data,
            packed.size,
        )
        run.mean, run.std, run.statistics_size = mean.ctypes.data, std.ctypes.data, features
        paths = _ffi.strings([os.fsencode(path) for path in photographs])

        def extract():
            return _ffi.lib.fne_extract_files(extractor._handle(), paths, 24, None, 0, ctypes.byref(run))

        assert extract() == 0
        np.testing.assert_array_equal(PackedCodes(packed, features).unpack(), codes)
        run.packed_capacity -= 1
        assert extract() == 2 and "run->packed" in _ffi.last_error()


def test_errors():
    packed = PackedCodes.pack(random_codes(3, 70))
    with pytest.raises(fne.InvalidArgumentError, match="row 1, feature 2 is 5"):
        PackedCodes.pack(np.int8([[0, 0, 0], [0, 0, 5]]))
    with pytest.raises(fne.ShapeMismatchError, match="70"):
        packed.dot(PackedCodes.pack(random_codes(3, 71)))
    with pytest.raises(fne.ShapeMismatchError, match=r"uint64 \[n, 2, 17\] is needed for 1066 features"):
        PackedCodes(packed.words, 1066)
    with pytest.raises(fne.InvalidArgumentError, match="k is 4; it must be 1 to 3"):
        packed.search(packed, 4)
    with pytest.raises(ValueError, match="metric"):
        packed.search(packed, 1, metric="euclidean")
    for wrong in (np.zeros(3, np.int8), np.zeros((3, 2)), np.zeros((3, 0), np.int8)):
        with pytest.raises(ValueError, match="int8"):
            PackedCodes.pack(wrong)
    assert packed[:0].dot(packed).shape == (0, 3) and PackedCodes.pack(np.zeros((0, 9), np.int8)).unpack().shape == (
        0,
        9,
    )


def test_the_c_reader(tmp_path):
    """The example that reads the format without libfne."""
    source = ROOT / "examples/read_packed_codes.c"
    program = tmp_path / "read"
    subprocess.run(["gcc", "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", source, "-o", program], check=True)
    codes = random_codes(7, 300, 12)
    PackedCodes.pack(codes).save(tmp_path / "codes.npy")
    out = subprocess.run([program, tmp_path / "codes.npy", "2", "5"], capture_output=True, text=True, check=True).stdout
    assert int(out) == int(codes[2].astype(int) @ codes[5].astype(int))
    assert len(source.read_text().splitlines()) <= 40


@pytest.mark.parametrize("feature", [0, 63, 4095, 4096, 8999])
@pytest.mark.parametrize("value", [2, -2, 127, -127])
def test_values_that_are_no_codes_are_named(feature, value):
    codes = np.zeros((3, 9000), np.int8)
    codes[:, ::7], codes[0, ::5], codes[1, 9] = 1, -1, -128  # of a skipped image
    codes[2, feature] = value
    with pytest.raises(fne.InvalidArgumentError, match=f"row 2, feature {feature} is {value};"):
        PackedCodes.pack(codes)
