"""Where a job's network and images were: `fne search` and `fne report` find them without being told."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from job_kills import digests

import fne
from fne import _ffi
from fne._command import main
from fne._ffi import check, lib


@pytest.fixture
def folder(tmp_path, photographs):
    """Six photographs in a folder."""
    images = tmp_path / "images"
    images.mkdir()
    for path in photographs[:6]:
        shutil.copy(path, images)
    return images


@pytest.fixture
def own(tmp_path, graph):
    return Path(shutil.copy(graph, tmp_path / "own.pb"))


def sources(folder):
    """The same images, as each kind of source names them, and the folder that is remembered."""
    names = sorted(path.name for path in folder.iterdir())
    absolute = [str(folder / name) for name in names]
    (folder.parent / "absolute.txt").write_text("\n".join(absolute))
    (folder / "relative.txt").write_text("\n".join(names))
    (folder.parent / "rooted.txt").write_text("\n".join(names))
    return {
        "folder": (folder, {}, folder),
        "relative list": (folder / "relative.txt", {}, folder),
        "absolute list": (folder.parent / "absolute.txt", {}, folder),
        "list with a root": (folder.parent / "rooted.txt", {"root": folder}, folder),
        "absolute paths": (absolute, {}, folder),
        "relative paths": ([f"images/{name}" for name in names], {}, folder.parent),
    }


def searched(capsys, *arguments):
    status = main(["search", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err


@pytest.mark.parametrize(
    "kind", ["folder", "relative list", "absolute list", "list with a root", "absolute paths", "relative paths"]
)
def test_search_needs_no_options(tmp_path, folder, own, monkeypatch, capsys, kind):
    """As README writes it, from another working directory, for each kind of source."""
    monkeypatch.chdir(tmp_path)
    source, options, remembered = sources(folder)[kind]
    fne.embed_dataset(source, "own.pb", "job", size=(48, 64), **options)
    query = sorted(path for path in folder.iterdir() if path.suffix == ".jpg")[2]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    status, lines, err = searched(capsys, "../job", query, "-k", 2, "-o", "sheet.png")
    assert status == 0 and lines[-1] == "sheet.png", err
    assert Path(lines[2].split()[1]).name == query.name
    sheet = fne.read_image("sheet.png")
    np.testing.assert_array_equal(sheet[6:134, 6:134], sheet[6:134, 152:280])  # the query, and itself as the nearest
    places = fne.Job("../job").places
    assert (places.model, places.images) == (str(own), str(remembered))


def test_the_options_overrule_what_is_remembered(tmp_path, folder, own, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    job = fne.embed_dataset("images", "own.pb", "job", size=(48, 64))
    query = next(iter(sorted(folder.iterdir())))
    moved = folder.rename(tmp_path / "moved")
    query = moved / query.name
    status, lines, _ = searched(capsys, "job", query, "-k", 4, "-o", "sheet.png")
    assert status == 0 and lines[-2] == "sheet.png"
    assert lines[-1] == (
        f"4 of 4 pictures are missing: these images are not below '{folder}', or cannot be read; "
        "--images names their folder"
    )
    tile = fne.read_image("sheet.png")[6:134, 152:280]
    assert set(np.unique(tile)) == {96, 224} and (tile[:50] == 224).all(), "grey, with words in the middle"
    status, lines, _ = searched(capsys, "job", query, "-k", 4, "-o", "sheet.png", "--images", "moved")
    assert status == 0 and lines[-1] == "sheet.png"

    elsewhere = own.rename(tmp_path / "moved.pb")
    status, _, err = searched(capsys, "job", query)
    assert status == 1 and err == (
        f"fne: the network of the job in 'job' was '{own}', which does not exist any more; name it with --model\n"
    )
    assert searched(capsys, "job", query, "--model", "moved.pb")[0] == 0
    shutil.copy(elsewhere, own)
    own.write_bytes(own.read_bytes()[:-1] + b"\0")
    status, _, err = searched(capsys, "job", query)
    assert status == 1 and "--model" in err
    with pytest.raises(fne.FNEError):
        job.extractor()


def c_job(output, model, source, **given):
    """A job as a C program makes it, with relative paths or others. It is run, and stays open."""
    network, job = ctypes.c_void_p(), ctypes.c_void_p()
    check(lib.fne_model_open(model, None, ctypes.byref(network)))
    extracting = _ffi.defaults(_ffi.ExtractorOptions, lib.fne_extractor_options_init)
    extracting.height, extracting.width = 48, 64
    options = _ffi.defaults(_ffi.JobOptions, lib.fne_job_options_init)
    options.source = source
    for name, value in given.items():
        setattr(options, name, value)
    try:
        check(lib.fne_job_open(output, network, ctypes.byref(extracting), ctypes.byref(options), ctypes.byref(job)))
    finally:
        lib.fne_model_close(network)
    check(lib.fne_job_run(job, None))
    return job


def extracted(job, path, features):
    """The row of an image by the job's own extractor, without its model."""
    extractor = ctypes.c_void_p()
    check(lib.fne_job_extractor(job, None, None, ctypes.byref(extractor)))
    row = np.empty((1, features), np.float32)
    paths = _ffi.strings([os.fsencode(path)])
    try:
        check(lib.fne_extract_files(extractor, paths, 1, row.ctypes.data, row.size, None))
    finally:
        lib.fne_extractor_close(extractor)
    return row


def test_a_job_of_a_c_program_remembers_too(tmp_path, folder, own, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    handle = c_job(b"job", b"./own.pb", b"images//.")
    job = fne.Job(tmp_path / "job")
    assert job.places == fne.Places(str(own), images=str(folder), feeds=[])
    monkeypatch.chdir(tmp_path / "elsewhere")
    try:
        query = sorted(folder.iterdir())[2]
        row = job.features(images=[job.names.index(query.name)])
        assert searched(capsys, "../job", query, "-o", "sheet.png")[0] == 0
        with job.extractor() as extractor:
            np.testing.assert_array_equal(extractor.extract([query]).features, row)
        monkeypatch.chdir(tmp_path)
        np.testing.assert_array_equal(extracted(handle, query, job.feature_count), row)
        own.rename(tmp_path / "moved.pb")
        with pytest.raises(fne.FileError, match=r"own\.pb"):
            extracted(handle, query, job.feature_count)
        (job.folder / "places.json").unlink()
        with pytest.raises(fne.FileError, match="does not say where its network is. Pass the model"):
            extracted(handle, query, job.feature_count)
        (job.folder / "places.json").write_text('{"format": "fne-places", "model": 3}')
        with pytest.raises(fne.errors.SavedDataError, match="is damaged: model is missing or wrong"):
            extracted(handle, query, job.feature_count)
    finally:
        lib.fne_job_close(handle)


def test_a_shard_that_cannot_say_where_it_was(tmp_path, folder, own):
    """The merge is whole, and remembers what the others agree on without it, which is nothing."""
    options = {"size": (48, 64), "codes": None}
    shards = [fne.embed_dataset(folder, own, tmp_path / f"s{i}", shard=(i, 2), **options).folder for i in (0, 1)]
    (shards[1] / "places.json").write_text("{")
    with pytest.warns(fne.JobWarning, match="what the shard remembers is left out: '.*s1/places.json'"):
        merged = fne.merge_shards(shards, tmp_path / "whole")
    assert merged.places == fne.Places(feeds=[])
    merged.verify()


def test_the_model_was_where_it_was_read(tmp_path, folder, own, monkeypatch):
    """A host may change its working directory before it opens the job."""
    monkeypatch.chdir(tmp_path)
    model = fne.Model("own.pb")
    monkeypatch.chdir(folder)
    network, job = model._handle(), ctypes.c_void_p()
    extracting = _ffi.defaults(_ffi.ExtractorOptions, lib.fne_extractor_options_init)
    extracting.height, extracting.width = 48, 64
    options = _ffi.defaults(_ffi.JobOptions, lib.fne_job_options_init)
    options.source = os.fsencode(folder)
    output = os.fsencode(tmp_path / "job")
    check(lib.fne_job_open(output, network, ctypes.byref(extracting), ctypes.byref(options), ctypes.byref(job)))
    try:
        check(lib.fne_job_run(job, None))
    finally:
        lib.fne_job_close(job)
    assert fne.Job(tmp_path / "job").places.model == str(own)


def test_what_a_host_says_of_its_model(tmp_path, folder, own):
    """A host that makes its file of something else names that. Such a model is not opened without the host."""
    tags = _ffi.strings([b"serve", b"gpu"])
    given = {"model_source": os.fsencode(tmp_path), "model_signature": b"s", "model_tags": tags, "model_tag_count": 2}
    output = tmp_path / "job"
    handle = c_job(os.fsencode(output), os.fsencode(own), os.fsencode(folder), **given)
    try:
        job = fne.Job(output)
        assert job.places == fne.Places(str(tmp_path), "s", ["serve", "gpu"], [], str(folder))
        with pytest.raises(fne.FileError, match="which is no file. Pass the model"):
            extracted(handle, folder, job.feature_count)
    finally:
        lib.fne_job_close(handle)
    lib.fne_job_close(c_job(os.fsencode(output), os.fsencode(own), os.fsencode(folder), model_source=b""))
    assert fne.Job(output).places == fne.Places(images=str(folder), feeds=[])
    del given["model_source"]
    with pytest.raises(fne.InvalidArgumentError, match="need model_source"):
        c_job(os.fsencode(output), os.fsencode(own), os.fsencode(folder), **given)


def test_a_folder_whose_name_is_no_text(tmp_path, folder, own):
    """JSON cannot hold it, so nothing wrong is written."""
    odd = os.fsencode(tmp_path) + b"/\xff"
    os.rename(folder, odd)
    job = fne.embed_dataset(odd, own, tmp_path / "job", size=(48, 64))
    assert job.places == fne.Places(str(own), feeds=[])


def test_names_that_share_a_beginning(tmp_path, graph, photographs):
    """The folder in common is one of whole names."""
    for name in ("ab", "abc"):
        (tmp_path / name).mkdir()
        shutil.copy(photographs[0], tmp_path / name / "x.jpg")
    for names, common in [
        (["ab/x.jpg", "abc/x.jpg"], tmp_path),
        (["abc/x.jpg", "ab/x.jpg"], tmp_path),
        (["ab/x.jpg"], tmp_path / "ab"),
    ]:
        paths = [str(tmp_path / name) for name in names]
        with pytest.warns(fne.FewImagesWarning):
            job = fne.embed_dataset(paths, graph, tmp_path / f"job {len(names)} {names[0][:3]}", size=(48, 64))
        assert job.places.images == os.path.commonpath([os.path.dirname(path) for path in paths]) == str(common)


def test_a_default_network_needs_no_place(tmp_path, folder, monkeypatch, capsys):
    """Its name is remembered, since its file can be made anew."""
    job = fne.embed_dataset(folder, "efficientnet_lite0", tmp_path / "job")
    assert job.places.model == "efficientnet_lite0"
    assert fne.embed_dataset(folder, fne.zoo.efficientnet_lite0(), job.folder).places.model == "efficientnet_lite0"
    query = next(iter(sorted(folder.iterdir())))
    assert searched(capsys, job.folder, query)[0] == 0
    (job.folder / "places.json").unlink()
    assert fne.Job(job.folder).places == fne.Places()
    assert searched(capsys, job.folder, query)[0] == 0
    with pytest.raises(fne.FileError, match="does not say where its network is"):
        job.model()


def test_a_network_in_memory(tmp_path, folder, graph, capsys):
    job = fne.embed_dataset(folder, graph.read_bytes(), tmp_path / "job", size=(48, 64))
    assert job.places.model is None
    status, _, err = searched(capsys, job.folder, next(iter(sorted(folder.iterdir()))))
    assert status == 1 and "does not say where its network is; name it with --model" in err


def test_feeds_are_remembered(tmp_path, folder):
    """The network of the job has the values that it was run with, whoever gave them."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.float32, [None, 16, 16, 3], name="image")
        factor = tf.compat.v1.placeholder(tf.float32, [], name="factor")
        tf.nn.relu(tf.nn.conv2d(image * factor, np.ones((3, 3, 3, 4), np.float32), 2, "SAME"), name="out")
    path = tmp_path / "fed.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    images = sorted(folder.iterdir())
    for number, (model, options) in enumerate(
        [(fne.Model(path, feeds={"factor": 0.5}), {}), (path, {"feeds": {"factor": 0.5}})]
    ):
        job = fne.embed_dataset(folder, model, tmp_path / str(number), **options)
        assert list(job.places.feeds) == ["factor=0.5"]
        with job.extractor() as extractor:
            np.testing.assert_array_equal(extractor.extract(images).features, job.features())


def test_equal_jobs_do_not_share_the_places(tmp_path, folder, own):
    """A job elsewhere has the same bytes. A merge keeps what its shards agree on."""
    there = shutil.copytree(folder, tmp_path / "there")
    here = fne.embed_dataset(folder, own, tmp_path / "a", size=(48, 64))
    other = fne.embed_dataset(there, own, tmp_path / "b", size=(48, 64))
    assert digests(here.folder) == digests(other.folder) and here.places != other.places
    here.verify()
    shards = [
        fne.embed_dataset(source, own, tmp_path / f"s{index}", size=(48, 64), shard=(index, 2), codes=None)
        for index, source in enumerate((folder, folder))
    ]
    assert fne.merge_shards([s.folder for s in shards], tmp_path / "whole").places == here.places
    shards[1] = fne.embed_dataset(there, own, tmp_path / "s2", size=(48, 64), shard=(1, 2), codes=None)
    merged = fne.merge_shards([s.folder for s in shards], tmp_path / "mixed")
    assert merged.places == here.places._replace(images=None) and digests(merged.folder) == digests(here.folder)


def test_places_that_cannot_be_written(tmp_path, folder, own):
    job = fne.embed_dataset(folder, own, tmp_path / "job", size=(48, 64))
    places = job.folder / "places.json"
    places.unlink()
    places.mkdir()  # a folder in the place of the file
    with pytest.warns(fne.JobWarning, match=r"is whole, but where .* could not be written: .*places.json"):
        fne.embed_dataset(folder, own, job.folder, size=(48, 64))
    assert fne.Job(job.folder).state == "finished"


def test_what_a_killed_run_left_is_removed(tmp_path, folder, own):
    job = fne.embed_dataset(folder, own, tmp_path / "job", size=(48, 64))
    (job.folder / "places.json.new").write_bytes(b"{")
    (job.folder / "places.json.bak").write_bytes(b"a user's own")
    fne.embed_dataset(folder, own, tmp_path / "job", size=(48, 64))
    assert sorted(path.name for path in job.folder.glob("places.json*")) == ["places.json", "places.json.bak"]


def test_a_folder_of_queries_and_a_page(tmp_path, folder, own, capsys):
    fne.embed_dataset(folder, own, tmp_path / "job", size=(48, 64))
    queries = tmp_path / "queries"
    (queries / "deep").mkdir(parents=True)
    names = sorted(path.name for path in folder.iterdir())
    shutil.copy(folder / names[4], queries / "deep")
    shutil.copy(folder / names[1], queries / "z.jpg")
    (queries / "bad.jpg").write_bytes(b"none")
    output = tmp_path / "sheet.html"
    status, lines, err = searched(capsys, tmp_path / "job", queries, "-k", 1, "-o", output)
    assert status == 0 and err.startswith(f"skipped: {queries}/bad.jpg: ") and err.count("\n") == 1
    assert [Path(line.split()[-1]).name for line in lines[1:-1]] == [names[4], names[4], "z.jpg", names[1]]
    page = output.read_text("utf-8")
    assert page.count("<img") == 4 and page.count('class="row"') == 2 and "cosine of the codes" in page
    (folder / names[1]).unlink()
    status, lines, _ = searched(capsys, tmp_path / "job", queries, "-k", 1, "-o", output)
    assert lines[-1].startswith("1 of 2 pictures are missing") and "<b>not found</b>" in output.read_text("utf-8")
    empty = tmp_path / "empty"
    empty.mkdir()
    status, _, err = searched(capsys, tmp_path / "job", empty)
    assert status == 1 and "holds no images to look for" in err
    (empty / "bad.jpg").write_bytes(b"none")
    status, _, err = searched(capsys, tmp_path / "job", empty)
    assert status == 1 and "none of the images to look for could be embedded" in err


def test_the_file_can_be_read_as_json(tmp_path, folder, own):
    job = fne.embed_dataset(folder, own, tmp_path / "job", size=(48, 64))
    found = json.loads((job.folder / "places.json").read_text())
    assert found["model"] == str(own) and found["images"] == str(folder) and found["format"] == "fne-places"
