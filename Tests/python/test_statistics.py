"""Exact statistics against Python's fractions: not close, equal."""

from __future__ import annotations

import math
import pickle
from fractions import Fraction

import numpy as np
import pytest

import fne


def exact(column, ddof=0):
    """Mean and standard deviation of a column, each rounded once."""
    values = [Fraction(float(value)) for value in column]
    n = len(values)
    mean = sum(values) / n
    variance = (n * sum(v * v for v in values) - sum(values) ** 2) / Fraction(n * (n - ddof))
    return float(mean), rounded_root(variance)


def rounded_root(value):
    """The double nearest to the root of a fraction."""
    if value == 0:
        return 0.0
    shift = 2 * (200 - (value.numerator.bit_length() - value.denominator.bit_length()) // 2)
    scaled = Fraction(value.numerator << max(shift, 0), value.denominator << max(-shift, 0))
    root = math.isqrt(scaled.numerator // scaled.denominator)  # 200 bits: the last is far below a double's
    return (
        float(Fraction(2 * root + 1, 2) / Fraction(2) ** (shift // 2))
        if root * root != scaled
        else float(Fraction(root) / Fraction(2) ** (shift // 2))
    )


def columns():
    random = np.random.default_rng(11)
    n = 150
    return np.stack(
        [
            random.normal(0, 1, n),
            np.maximum(random.normal(0, 1, n), 0),
            random.normal(1e6, 1, n),
            random.normal(0, 1, n) * 10.0 ** random.uniform(-40, 38, n),
            np.full(n, 0.1),
            np.full(n, -3e38),
            np.where(np.arange(n) == 3, 1e-45, 0),
            np.where(np.arange(n) % 2 == 0, 3.4e38, -3.4e38),
            np.arange(n),
            random.integers(0, 2, n) * 1e-42,
            np.r_[1e30, np.ones(n - 1)],
        ],
        axis=1,
    ).astype(np.float32)


@pytest.mark.parametrize("ddof", [0, 1])
def test_equal_to_fractions(ddof):
    rows = columns()
    statistics = fne.Statistics(rows.shape[1]).update(rows)
    for feature, column in enumerate(rows.T):
        mean, std = exact(column, ddof)
        assert statistics.mean()[feature] == mean
        assert statistics.std(ddof)[feature] == std


def test_mean_of_a_million_deviations():
    """Where n * sum(x^2) - sum(x)^2 cancels all that a double holds."""
    x = np.float32(2**23) + np.arange(400, dtype=np.float32) % 9
    statistics = fne.Statistics(1).update(x[:, None])
    assert (statistics.mean()[0], statistics.std()[0]) == exact(x)
    assert statistics.mean()[0] / statistics.std()[0] > 1e6


def test_same_bits_in_any_order_split_and_merge_tree():
    rows = columns()
    reference = fne.Statistics(rows.shape[1]).update(rows)
    random = np.random.default_rng(5)
    for _ in range(20):
        parts = np.split(random.permutation(rows), np.sort(random.integers(0, len(rows), 6)))
        objects = [fne.Statistics(rows.shape[1]).update(part) for part in parts]
        while len(objects) > 1:
            one = objects.pop(random.integers(len(objects)))
            objects[random.integers(len(objects))].merge(one)
        merged = objects[0]
        assert merged.count == len(rows)
        assert merged.mean().tobytes() == reference.mean().tobytes()
        assert merged.std().tobytes() == reference.std().tobytes()
        assert merged.to_bytes() == reference.to_bytes()


def test_constant_feature_has_no_deviation():
    rows = np.full((77, 3), [0.1, -7.3e20, 0], np.float32)
    statistics = fne.Statistics(3).update(rows)
    np.testing.assert_array_equal(statistics.std(), [0, 0, 0])
    np.testing.assert_array_equal(statistics.mean(), rows[0].astype(np.float64))


def test_close_to_numpy():
    rows = np.random.default_rng(0).normal(3, 2, (500, 40)).astype(np.float32)
    statistics = fne.Statistics(40).update(rows[:123]).update(rows[123:])
    np.testing.assert_allclose(statistics.mean(), rows.astype(np.float64).mean(0), rtol=1e-14)
    np.testing.assert_allclose(statistics.std(1), rows.astype(np.float64).std(0, ddof=1), rtol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_is_refused_and_nothing_is_added(bad):
    rows = np.ones((5, 4), np.float32)
    statistics = fne.Statistics(4).update(rows)
    before = statistics.to_bytes()
    rows[3, 2] = bad
    with pytest.raises(fne.NotFiniteError, match="row 3, feature 2"):
        statistics.update(rows)
    assert statistics.to_bytes() == before and statistics.count == 5


def test_pickle_and_damage():
    statistics = fne.Statistics(11).update(columns())
    copy = pickle.loads(pickle.dumps(statistics))
    assert copy.std().tobytes() == statistics.std().tobytes()
    data = statistics.to_bytes()
    for position in range(0, len(data), 97):
        broken = bytearray(data)
        broken[position] ^= 0x10
        with pytest.raises(fne.FNEError):
            fne.Statistics.from_bytes(bytes(broken))
    for length in (0, 1, 31, 40, len(data) - 1):
        with pytest.raises(fne.FNEError):
            fne.Statistics.from_bytes(data[:length])


def test_impossible_sums_are_refused():
    """A sum of squares that no rows have, with a right checksum: merging it would overflow."""
    data = bytearray(fne.Statistics(1).update(np.ones((3, 1), np.float32)).to_bytes())
    lanes = 32
    for lane, value, rows in [(26, 2**61, 3), (26, -5, 3), (0, 5, 0), (9, 5, 0), (8, 2**40, 3), (3, 2**33, 3)]:
        forged = bytearray(data)
        forged[24:32] = rows.to_bytes(8, "little")
        forged[lanes + 8 * lane : lanes + 8 * lane + 8] = value.to_bytes(8, "little", signed=True)
        checksum = 0xCBF29CE484222325
        for byte in forged[:-8]:
            checksum = (checksum ^ byte) * 0x100000001B3 % 2**64
        forged[-8:] = checksum.to_bytes(8, "little")
        with pytest.raises(fne.FNEError):
            fne.Statistics.from_bytes(bytes(forged))


def test_arguments():
    statistics = fne.Statistics(3)
    with pytest.raises(fne.ShapeMismatchError, match="4 features were given to statistics of 3"):
        statistics.update(np.ones((2, 4), np.float32))
    with pytest.raises(ValueError, match="0 rows were seen"):
        statistics.mean()
    with pytest.raises(ValueError, match="shape"):
        statistics.update(np.ones(3, np.float32))
    with pytest.raises(ValueError, match="int64"):
        statistics.update(np.ones((2, 3), np.int64))
    with pytest.raises(ValueError, match="float32 cannot"):
        statistics.update(np.full((2, 3), 0.1))
    assert statistics.update(np.full((2, 3), 0.5)).count == 2  # float64 without loss
    with pytest.raises(fne.ShapeMismatchError):
        statistics.merge(fne.Statistics(2))
    with pytest.raises(ValueError):
        fne.Statistics(0)
    statistics.close()
    with pytest.raises(ValueError, match="closed"):
        statistics.mean()


def test_many_features_are_shared_out_to_threads():
    """The same bytes as row by row, which is too little for threads."""
    x = (
        np.random.default_rng(8).normal(0, 1, (70, 20_011)).astype(np.float32)
        * np.float32(2) ** np.arange(-35, 35)[:, None]
    )
    x = x.astype(np.float32)
    together, row_by_row = fne.Statistics(20_011).update(x), fne.Statistics(20_011)
    for row in x:
        row_by_row.update(row[None])
    assert pickle.dumps(together) == pickle.dumps(row_by_row)
    assert together.mean()[20_010] == pytest.approx(x[:, 20_010].astype(np.float64).mean(), rel=1e-12)
