"""Layer selectors: the table of cases that the Swift tests read too, by every way that Python has to select layers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import ROOT

import fne
from fne._selection import select

CASES = json.loads((ROOT / "Tests/selectors.json").read_text("utf-8"))
ERRORS = {"unknown": fne.UnknownTensorError, "invalid": fne.InvalidArgumentError}


def layers_of(names):
    """Layers of one to three features."""
    stops = np.cumsum([1 + number % 3 for number in range(len(names))]).tolist()
    starts = [0, *stops[:-1]]
    return [
        fne.Layer(name, "convolution", 4, slice(start, stop))
        for name, start, stop in zip(names, starts, stops, strict=True)
    ]


def columns_of(layers, indices):
    return np.concatenate([np.arange(layers[i].features.start, layers[i].features.stop) for i in indices])


def by_select(case):
    return select(case["selectors"] or None, case["names"], case["default"])


def by_job(case):
    """The columns that a job with these layers gives."""
    job = fne.Job.__new__(fne.Job)
    job.folder, job.layers = "job", layers_of(case["names"])
    columns = job.columns(case["selectors"] or None)
    return np.arange(columns.start, columns.stop) if isinstance(columns, slice) else columns


def by_packed_codes(case):
    """The columns of packed codes, each of which has its number in base 3 as its values."""
    layers = layers_of(case["names"])
    count = layers[-1].features.stop
    digits = np.arange(count) // 3 ** np.arange(6)[:, None] % 3
    chosen = fne.PackedCodes.pack((digits - 1).astype(np.int8), layers).select(case["selectors"])
    return (chosen.unpack() + 1).astype(int).T @ 3 ** np.arange(6)


def id_of(case):
    return f"{','.join(case['selectors'])} of {len(case['names'])}".replace("[", "(").replace("]", ")")


@pytest.mark.parametrize("case", CASES, ids=id_of)
def test_the_table(case):
    ways = [by_select]
    if case["default"] is None or all(case["default"]):
        ways += [by_job, by_packed_codes] if case["selectors"] else [by_job]
    for way in ways:
        if "error" in case:
            with pytest.raises(ERRORS[case["error"]]):
                way(case)
        else:
            expected = case["indices"]
            if way is not by_select:
                expected = columns_of(layers_of(case["names"]), expected)
            np.testing.assert_array_equal(way(case), expected)


def test_the_table_tries_every_way():
    for kind in ("indices", "error"):
        plain = [case for case in CASES if kind in case and case["default"] is None and case["selectors"]]
        assert len(plain) >= 2, kind
    assert max(layers_of(case["names"])[-1].features.stop for case in CASES) < 3**6


@pytest.mark.parametrize("count", range(1, 201))
def test_every_whole_percent(count):
    """The last ceil(count * percent / 100), without rounding."""
    names = [f"layer{number}" for number in range(count)]
    for percent in range(1, 101):
        assert select(f"last:{percent}%", names) == list(range(count - -(-count * percent // 100), count))


def test_the_kinds_of_arguments():
    names = np.array(["conv1", "conv2", "dense"])
    assert select("conv*", names) == select(["conv*"], list(names)) == select(("conv1", "conv2"), names) == [0, 1]
    assert select(None, names) == [0, 1, 2] and select(None, names, [True, False, True]) == [0, 2]
    assert select("last:50%", names, np.array([True, True, False])) == [1]
    assert all(type(number) is int for number in select(None, names))
    with pytest.raises(ValueError, match="the list of layers is empty"):
        select([], names)
    for selectors in ("conv1\0", ["dense", "conv\0*"]):
        with pytest.raises(ValueError, match="zero byte"):
            select(selectors, names)
    with pytest.raises(fne.UnknownTensorError, match="no layer 'conv3'. The nearest names are 'conv1', 'conv2'"):
        select("conv3", names)
    with pytest.raises(fne.FNEError):
        select("all", [])


def test_an_extractor_selects_the_same(network):
    """What `Extractor` makes of selectors is what `select` makes of its layers' names."""
    tensors = [t for t in fne.Model(network[0]).tensors() if t.is_default or t.is_classifier]
    names, default = [t.name for t in tensors], [t.is_default for t in tensors]
    for selectors in (None, "all", "last:25%", "last:62%", ["scores", "relu*"], ["relu[25]", "import/relu1:0", "all"]):
        with fne.Extractor(network[0], layers=selectors) as extractor:
            assert [layer.name for layer in extractor.layers] == [names[i] for i in select(selectors, names, default)]
    for selectors, kind in (
        (["relu1", "import/relu1:0"], "invalid"),
        (["relu1", "relu1"], "invalid"),
        ("relu9", "unknown"),
    ):
        for way in (
            lambda layers: fne.Extractor(network[0], layers=layers),
            lambda layers: select(layers, names, default),
        ):
            with pytest.raises(ERRORS[kind]):
                way(selectors)
