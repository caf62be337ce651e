"""Standardization and discretization against the documented formula in NumPy, and the rules of fne 1.x."""

from __future__ import annotations

import implementation_a
import numpy as np
import pytest

import fne


def neighbourhood(mean, std):
    """float32 values on both sides of every threshold, and extremes."""
    values = []
    for threshold in (-0.25, 0.15):
        x = np.float32(mean + threshold * std)
        for direction in (-np.inf, np.inf):
            y = x
            for _ in range(4):
                values.append(y)
                y = np.nextafter(y, np.float32(direction), dtype=np.float32)
    return [*values, np.float32(mean), np.float32(0), np.float32(3e38), np.float32(-3e38), np.float32(1e-45)]


def cases():
    random = np.random.default_rng(1)
    means = np.r_[0, 0, 1, -5, random.normal(0, 1, 300) * 10.0 ** random.uniform(-30, 30, 300)]
    stds = np.r_[0, 1, 0, 2, 10.0 ** random.uniform(-30, 30, 290), np.zeros(10)]
    x = np.array([neighbourhood(mean, std) for mean, std in zip(means, stds, strict=True)], np.float32).T
    return np.ascontiguousarray(x), means, stds


def test_documented_rules_at_every_threshold():
    x, mean, std = cases()
    expected, _ = implementation_a.embed(x.astype(np.float64), np.stack([mean, std]))
    np.testing.assert_array_equal(fne.ternarize(x, mean, std), expected)


def test_other_thresholds():
    x = np.random.default_rng(0).normal(0, 1, (50, 20)).astype(np.float32)
    mean, std = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    expected, _ = implementation_a.embed(x.astype(np.float64), np.stack([mean, std]), -1, 2)
    np.testing.assert_array_equal(fne.ternarize(x, mean, std, lower=-1, upper=2), expected)
    with pytest.raises(ValueError, match="lower must not exceed upper"):
        fne.ternarize(x, mean, std, lower=1, upper=0)


def test_rules_of_fne_1():
    """bucketize(z, [-0.25, 0.15], right=False) - 1 of float32 z, where NaN sorts last."""
    x, mean, std = cases()
    mean, std = mean.astype(np.float32), std.astype(np.float32)
    with np.errstate(all="ignore"):
        z = (x - mean) / std
    boundaries = np.array([-0.25, 0.15], np.float32)
    expected = np.searchsorted(boundaries, z.ravel(), side="left").reshape(z.shape) - 1
    np.testing.assert_array_equal(fne.ternarize(x, mean, std, rules="torch"), expected)


def test_standardize():
    x, mean, std = cases()
    with np.errstate(all="ignore"):
        expected = np.where(std == 0, 0, (x.astype(np.float64) - mean) / std)
    np.testing.assert_array_equal(fne.standardize(x, mean, std), expected)


def test_bad_values_are_named():
    x = np.zeros((3, 4), np.float32)
    x[2, 1] = np.nan
    ones = np.ones(4)
    for function in (fne.standardize, fne.ternarize):
        with pytest.raises(fne.NotFiniteError, match="row 2, feature 1 is NaN"):
            function(x, ones, ones)
        with pytest.raises(ValueError, match="statistics of feature 3"):
            function(x * 0, ones, np.array([1, 1, 1, -1.0]))
        with pytest.raises(fne.ShapeMismatchError):
            function(x, np.ones(3), ones)
        with pytest.raises(ValueError, match="float32"):
            function(x.astype(np.float64), ones, ones)


@pytest.mark.parametrize("features", [1, 7, 8, 1001])
def test_l2_normalize(features):
    x = np.random.default_rng(features).normal(0, 3, (5, features)).astype(np.float32)
    x[1] = 0
    x[2] *= 1e-30
    x[3] *= 1e18
    norms = np.maximum(np.sqrt((x.astype(np.float64) ** 2).sum(1, keepdims=True)), 1e-12)
    np.testing.assert_allclose(fne.l2_normalize(x), x / norms, rtol=1e-6, atol=1e-45)
    expected = fne.l2_normalize(x)
    assert fne.l2_normalize(x, out=x) is x
    np.testing.assert_array_equal(x, expected)
    x[4, features // 2] = np.inf
    with pytest.raises(fne.NotFiniteError, match=f"row 4, feature {features // 2} is infinite"):
        fne.l2_normalize(x)
