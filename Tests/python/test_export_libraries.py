"""Exported jobs, as FAISS and Hugging Face's datasets read them."""

from __future__ import annotations

import csv

import datasets
import faiss
import numpy as np
import pytest
from test_export import guide

import fne


@pytest.fixture
def job(tmp_path, photographs, graph, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return fne.embed_dataset(photographs[0].parent, graph, "job", size=(48, 64))


def test_an_index_of_faiss(job):
    names = {"fne": fne, "faiss": faiss}
    exec(guide("faiss"), names)
    rows = job.features("last:10%").astype(np.float64)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = unit[:3] @ unit.T
    np.testing.assert_allclose(names["cosines"], -np.sort(-cosines)[:, :5], atol=1e-6)
    assert names["rows"][:, 0].tolist() == [0, 1, 2]
    with open("job.faiss.names.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [row["name"] for row in table] == job.names and [int(row["row"]) for row in table] == list(range(24))


def test_a_data_set_of_hugging_face(job):
    names = {"fne": fne, "datasets": datasets}
    exec(guide("datasets"), names)
    found = names["dataset"].with_format("numpy")
    np.testing.assert_array_equal(found["features"][:], job.features("last:10%"))
    assert list(found["name"]) == job.names
