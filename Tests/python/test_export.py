"""Jobs as files of other libraries, read by these and compared with the job."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import sys

import h5py
import numpy as np
import pandas
import pyarrow.parquet
import pytest
from conftest import ROOT

import fne
from fne import _export
from fne._command import main


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, photographs):
    """Two classes, an image beside them, one that fails, and a name that is not UTF-8."""
    folder = tmp_path_factory.mktemp("classes")
    for number, path in enumerate(photographs[:8]):
        target = folder / ("rose" if number < 5 else "tulip") / path.name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    shutil.copy(photographs[9], folder / 'beside, "quoted".jpg')
    shutil.copy(photographs[10], os.fsencode(folder) + b"/tulip/\xff.jpg")
    (folder / "rose" / "bad.jpg").write_bytes(b"none")
    return folder


@pytest.fixture(scope="module", params=["int8", "packed"])
def job(request, tmp_path_factory, pictures, graph):
    return fne.embed_dataset(
        pictures, graph, tmp_path_factory.mktemp("job") / "job", size=(48, 64), codes=request.param
    )


def read(path, values):
    """The columns of a file, by the library of its format: image, name, class, values."""
    kind = path.suffix
    if kind == ".parquet":
        frame = pandas.read_parquet(path)
        return [frame["image"].tolist(), frame["name"].tolist(), frame["class"].tolist(), np.stack(frame[values])]
    if kind == ".csv":
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))[1:]
        numbers = np.array([row[3:] for row in rows]).astype(np.float32 if values == "features" else np.int8)
        return [[int(row[0]) for row in rows], [row[1] for row in rows], [row[2] for row in rows], numbers]
    if kind == ".npz":
        with np.load(path) as found:
            return [*(found[name].tolist() for name in ("image", "name", "class")), found[values]]
    with h5py.File(path) as found:
        texts = [found[name].asstr()[:].tolist() for name in ("name", "class")]
        return [found["image"][:].tolist(), *texts, found[values][:]]


@pytest.mark.parametrize("ending", ["parquet", "csv", "npz", "h5"])
@pytest.mark.parametrize("values", ["codes", "features"])
@pytest.mark.parametrize("layers", [None, ["relu5", "relu1"]])
def test_every_format_has_the_jobs_rows(tmp_path, job, ending, values, layers, monkeypatch):
    monkeypatch.setattr(_export, "_BLOCK_BYTES", 3 * 4 * job.feature_count)  # several blocks
    path = tmp_path / f"out.{ending}"
    assert fne.export_job(job, path, values=values, layers=layers) == 10
    images, names, classes, rows = read(path, values)
    good = np.flatnonzero(job.ok)
    assert images == good.tolist() and len(images) == len(job) - 1
    assert names == [os.fsencode(job.names[image]).decode("utf-8", "replace") for image in good]
    assert set(classes) == {"", "rose", "tulip"} and classes == [name.rpartition("/")[0] for name in names]
    expected = job.features(layers) if values == "features" else job.ternarize(layers=layers)
    np.testing.assert_array_equal(rows, expected[good])
    assert rows.dtype == expected.dtype and sorted(path.name for path in tmp_path.iterdir()) == [path.name]


def test_names_of_columns_and_settings(tmp_path, job):
    fne.export_job(job, tmp_path / "a.csv", layers=["relu5", "relu1"])
    with open(tmp_path / "a.csv", encoding="utf-8") as file:
        header = next(csv.reader(file))
    assert header[:4] == ["image", "name", "class", "relu5_0"] and header[3 + 32] == "relu1_0" and len(header) == 59
    fne.export_job(job, tmp_path / "a.parquet")
    about = json.loads(pyarrow.parquet.read_schema(tmp_path / "a.parquet").metadata[b"fne"])
    assert about["settings"] == job.manifest["settings"]
    assert about["columns"] == [[layer.name, layer.feature_count] for layer in job.layers]


def test_ten_crops(tmp_path, pictures, graph):
    job = fne.embed_dataset(pictures, graph, tmp_path / "job", size=(48, 64), crops=10)
    assert fne.export_job(job, tmp_path / "a.npz") == 100
    images, _, _, rows = read(tmp_path / "a.npz", "codes")
    assert images == np.flatnonzero(job.ok).repeat(10).tolist()
    np.testing.assert_array_equal(rows, job.codes()[job.ok.repeat(10)])


def test_compact_codes(tmp_path, photographs, graph):
    names = [str(photographs[number % 24]) for number in range(210)]
    (tmp_path / "list.txt").write_text("\n".join(names))
    rows = np.random.default_rng(3).normal(size=(210, fne.Extractor(graph).feature_count)).astype(np.float32)
    job = fne.embed_dataset(photographs[:5], graph, tmp_path / "job", size=(48, 64))
    compact = fne.compact.CompactCodes.fit(rows)
    features = np.array(job.features())
    compact.save(tmp_path / "compact.fne")
    expected = compact.transform(features).unpack()
    assert main(["export", str(job.folder), "--to", "npz", "--compact", str(tmp_path / "compact.fne")]) == 0
    np.testing.assert_array_equal(read(tmp_path / "job.npz", "codes")[3], expected)
    with pytest.raises(fne.InvalidArgumentError, match="compact codes are written whole"):
        fne.export_job(job, tmp_path / "a.npz", compact=compact, layers="all")


def test_the_command(tmp_path, job, capsys, monkeypatch):
    assert main(["export", str(job.folder), "--to", "csv", "-o", str(tmp_path / "x"), "--layers", "last:10%"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/x: 10 rows, 1 images that failed are left out\n"
    assert main(["export", str(job.folder)]) == 1
    assert "give the format with --to" in capsys.readouterr().err
    assert main(["export", str(job.folder), "-o", "x.txt"]) == 1
    assert "'x.txt' does not say the format by its ending (.parquet, .csv," in capsys.readouterr().err
    for module, to in (("pyarrow", "parquet"), ("faiss", "faiss"), ("h5py", "hdf5")):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, module, None)
            assert main(["export", str(job.folder), "--to", to, "-o", str(tmp_path / "y")]) == 1
        assert re.search(r"needs \S+: pip install \S+, or fne\[export\]", capsys.readouterr().err)


def test_a_file_appears_when_it_is_whole(tmp_path, job, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text("former")

    def failing(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(_export.os, "replace", failing)
    with pytest.raises(fne.FileError, match="a.csv' cannot be written: No space left on device"):
        fne.export_job(job, path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.csv"] and path.read_text() == "former"


def test_what_is_not_there(tmp_path, pictures, graph, job):
    bare = fne.embed_dataset(pictures, graph, tmp_path / "bare", size=(48, 64), codes=None)
    with pytest.raises(fne.FileError, match=r"codes.npy' does not exist"):
        fne.export_job(bare, tmp_path / "a.npz")
    assert fne.export_job(bare, tmp_path / "a.npz", values="features") == 10
    with pytest.raises(fne.UnknownTensorError):
        fne.export_job(job, tmp_path / "b.npz", layers="nothing")
    with pytest.raises(fne.InvalidArgumentError, match="values is 'rows'; it must be one of 'codes', 'features'"):
        fne.export_job(job, tmp_path / "b.npz", values="rows")
    assert not (tmp_path / "b.npz").exists()


def test_samples(job, pictures):
    found = fne.samples(job)
    assert [sample["image"] for sample in found] == np.flatnonzero(job.ok).tolist()
    assert all(os.path.exists(sample["filepath"]) for sample in found)
    assert {sample["label"] for sample in found} == {"", "rose", "tulip"}
    assert found[0]["filepath"] == str(pictures / job.names[0])
    (job.folder / "places.json").rename(job.folder / "away")
    assert fne.samples(job.folder)[0]["filepath"] == job.names[0]
    (job.folder / "away").rename(job.folder / "places.json")


def guide(word):
    """The block of docs/export.md that uses a library."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/export.md").read_text(), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if word in block]
    assert len(block.splitlines()) == 3
    return block


def test_the_guide(tmp_path, job, monkeypatch, capsys):
    shutil.copytree(job.folder, tmp_path / "job")
    monkeypatch.chdir(tmp_path)
    names = {"fne": fne, "pandas": pandas}
    exec(guide("pandas"), names)
    assert names["frame"].shape == (10, 4) and capsys.readouterr().out.split()[:5] == [
        "class",
        "1",
        "rose",
        "5",
        "tulip",
    ]
    exec(guide("samples"), names)
    assert len(names["found"]) == 10
    for line in re.findall(r"^ {4}(fne .*?)(?: +#.*)?$", (ROOT / "docs/export.md").read_text(), re.MULTILINE):
        assert main(line.split()[1:]) == 0
