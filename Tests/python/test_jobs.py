"""Jobs on disk: the values, what interruptions leave, what is refused, shards, and what is done with a finished one."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import job_kills
import numpy as np
import pytest
from forged_jobs import read_manifest, write_manifest

import fne

SIZE = (48, 64)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, photographs):
    """A folder with two subfolders, 24 photographs and 3 files that are none."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, path in enumerate(photographs):
        target = folder / ("ab"[number % 2]) / path.name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    (folder / "a" / "broken.jpg").write_bytes(photographs[0].read_bytes()[:2000])
    (folder / "empty.PNG").write_bytes(b"")
    (folder / "b" / "text.jpeg").write_text("no picture")
    (folder / "notes.txt").write_text("left out")
    (folder / ".hidden.jpg").write_text("left out")
    return folder


@pytest.fixture(scope="module")
def names(pictures):
    endings = (".jpg", ".jpeg", ".png")
    found = [path.relative_to(pictures) for path in pictures.rglob("*") if path.suffix.lower() in endings]
    return sorted(str(path) for path in found if not path.name.startswith("."))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, pictures, graph):
    output = tmp_path_factory.mktemp("whole") / "job"
    return fne.embed_dataset(pictures, graph, output, size=SIZE, codes=("int8", "packed"))


def embed(source, model, output, **options):
    return fne.embed_dataset(source, model, output, **{"size": SIZE, "codes": ("int8", "packed"), **options})


# ---- values


def test_the_values_are_those_of_the_parts(whole, pictures, graph, names):
    assert whole.state == "finished" and whole.names == names and len(whole) == len(names) == 27
    with fne.Extractor(graph, size=SIZE, pad_batches=True, on_error="skip") as extractor:
        extraction = extractor.extract([pictures / name for name in names])
        assert [layer.name for layer in extractor.layers] == [layer.name for layer in whole.layers]
        assert extractor.layers == whole.layers
    np.testing.assert_array_equal(whole.features(), extraction.features)
    np.testing.assert_array_equal(whole.statuses, extraction.statuses)
    good = extraction.features[extraction.ok].astype(np.float64)
    assert len(good) == 24
    np.testing.assert_allclose(whole.stats, [good.mean(0), good.std(0)], rtol=1e-12, atol=1e-12)
    statistics = fne.Statistics(whole.feature_count).update(extraction.features[extraction.ok])
    np.testing.assert_array_equal(whole.stats, [statistics.mean(), statistics.std()])
    assert whole.statistics().to_bytes() == statistics.to_bytes()
    z = np.divide(good - whole.stats[0], whole.stats[1], out=np.zeros_like(good), where=whole.stats[1] != 0)
    expected = np.full(whole.codes().shape, fne.SKIPPED_CODE, np.int8)
    expected[whole.ok] = (z > 0.15).astype(np.int8) - (z < -0.25)
    np.testing.assert_array_equal(whole.codes(), expected)


def test_packed_codes(whole):
    planes = np.array(whole.packed_codes().words)
    features = whole.feature_count
    assert planes.dtype == np.uint64 and planes.shape == (27, 2, -(-features // 64))
    bits = np.unpackbits(planes.view(np.uint8).reshape(27, 2, -1), axis=2, bitorder="little")
    assert not bits[:, :, features:].any()
    codes = bits[:, 0, :features].astype(np.int8) - 2 * bits[:, 1, :features].astype(np.int8)
    expected = np.where(whole.ok[:, None], whole.codes(), 0)
    np.testing.assert_array_equal(codes, expected)


def test_failures_are_named(whole, names):
    bad = {names[image]: reason for image, reason in whole.failures.items()}
    assert set(bad) == {"a/broken.jpg", "empty.PNG", "b/text.jpeg"}
    assert bad["empty.PNG"] == "the file is empty" and "no JPEG, PNG or WebP" in bad["b/text.jpeg"]
    lines = [json.loads(line) for line in (whole.folder / "images.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == names and [line["image"] for line in lines] == list(range(27))
    assert [line["status"] for line in lines] == whole.statuses.tolist()
    assert whole.manifest["results"] == {"embedded": 24, "failed": 3}
    for image in whole.failures:
        assert np.isnan(whole.features(images=[image])).all() and (whole.codes(images=[image]) == -128).all()


def test_the_manifest_says_what_decides_the_bytes(whole, graph):
    import hashlib

    settings = whole.manifest["settings"]
    assert settings["model"]["sha256"] == hashlib.sha256(graph.read_bytes()).hexdigest()
    assert settings["batch_size"] == 4 and settings["input"]["height"] == 48 and settings["precision"] == "float32"
    listed = (whole.folder / "images.list").read_bytes()
    assert whole.manifest["images"]["sha256"] == hashlib.sha256(listed).hexdigest()
    assert whole.manifest["engines"][0]["tensorflow"] == fne.backend_info()[0]
    text = "".join(path.read_text() for path in (whole.folder / "manifest.json", whole.folder / "images.jsonl"))
    assert str(whole.folder) not in text and str(graph) not in text
    assert sorted(path.name for path in whole.folder.iterdir()) == [
        "codes.npy",
        "codes_packed.npy",
        "features.npy",
        "image_files.npy",
        "images.jsonl",
        "images.list",
        "manifest.json",
        "places.json",
        "runs.jsonl",
        "statistics.fne",
        "stats.npy",
        "status.npy",
    ]


@pytest.mark.parametrize("options", [{"batch_size": 3}, {"crops": 10, "batch_size": 7}, {"streams": 1}, {"streams": 5}])
def test_options(tmp_path, pictures, graph, names, options):
    job = embed(pictures, graph, tmp_path / "job", **options)
    with fne.Extractor(graph, size=SIZE, pad_batches=True, on_error="skip", **options) as extractor:
        extraction = extractor.extract([pictures / name for name in names])
    np.testing.assert_array_equal(job.features(), extraction.features)
    assert job.rows_per_image == options.get("crops", 1)


def test_rows_do_not_depend_on_their_place(tmp_path, pictures, graph, whole, names):
    """Nor on how many threads, streams or neighbours there are, as long as the batch size is the same."""
    order = np.random.default_rng(3).permutation(27)
    job = embed([names[i] for i in order], graph, tmp_path / "job", root=pictures, streams=3, loader_threads=1)
    np.testing.assert_array_equal(job.features(), whole.features(images=order))
    np.testing.assert_array_equal(job.stats, whole.stats)
    assert job.statistics().to_bytes() == whole.statistics().to_bytes()
    np.testing.assert_array_equal(job.codes(), whole.codes(images=order))


# ---- sources


def test_lists(tmp_path, pictures, graph, names, whole):
    expected = job_kills.digests(whole.folder)
    plain, crlf, zero = tmp_path / "plain.txt", pictures.parent / "crlf.txt", tmp_path / "zero"
    plain.write_text("\n".join(names) + "\n\n")
    crlf.write_bytes("".join(f"{pictures.name}/{name}\r\n" for name in names).encode())
    zero.write_bytes(b"".join(os.fsencode(name) + b"\0" for name in names))
    for number, (source, root) in enumerate([(plain, pictures), (zero, pictures), (names, pictures)]):
        embed(source, graph, tmp_path / f"job{number}", root=root)
        assert job_kills.digests(tmp_path / f"job{number}") == expected
    job = embed(crlf, graph, tmp_path / "job")  # relative to the list
    np.testing.assert_array_equal(job.codes(), whole.codes())
    assert job.names[0] == f"{pictures.name}/{names[0]}"
    job = embed([pictures / name for name in names], graph, tmp_path / "absolute")
    np.testing.assert_array_equal(job.codes(), whole.codes())


def test_names_that_are_not_utf8(tmp_path, photographs, graph):
    folder = os.fsencode(tmp_path / "odd")
    os.mkdir(folder)
    odd = [b"a \xff\xfe.jpg", 'b \u00e4\u65e5 "q" \\.jpg'.encode(), b"c\nd.jpg", b"e \xed\xa0\x80.jpg"]
    for name in odd:
        shutil.copy(photographs[0], os.path.join(folder, name))
    job = embed(os.fsdecode(folder), graph, tmp_path / "job")
    assert job.names == [os.fsdecode(name) for name in sorted(odd)] and job.ok.all()
    assert (tmp_path / "job/images.list").read_bytes() == b"".join(name + b"\0" for name in sorted(odd))


def test_folders_with_links(tmp_path, photographs, graph):
    folder = tmp_path / "linked"
    (folder / "real").mkdir(parents=True)
    shutil.copy(photographs[0], folder / "real/one.JPEG")
    (folder / "real/loop").symlink_to(folder)
    (folder / "again").symlink_to(folder / "real")
    (folder / "folder.jpg").mkdir()
    assert embed(folder, graph, tmp_path / "job").names == ["real/one.JPEG"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "No such file"),
        ("void", "holds no images, such as JPEG, PNG or WebP files. 0 files and folders were left out"),
        ("void.txt", "is empty"),
        ([], "no images"),
    ],
)
def test_sources_without_images(tmp_path, graph, source, message):
    (tmp_path / "void").mkdir()
    (tmp_path / "void.txt").touch()
    given = tmp_path / source if isinstance(source, str) else source
    with pytest.raises(fne.FNEError, match=message):
        embed(given, graph, tmp_path / "job")
    assert not (tmp_path / "job").exists()


def test_no_image_is_good(tmp_path, graph):
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(fne.ImageError, match=r"none of the 1 images could be embedded; '.*a.jpg'"):
        embed([tmp_path.name + "/a.jpg"], graph, tmp_path / "job", root=tmp_path.parent)


# ---- interruptions


class StopError(Exception):
    pass


def stopping(phase, at):
    seen = iter(range(1000))

    def progress(now, done, total):
        if now == phase and next(seen) == at:
            raise StopError(f"{now} {done} of {total}")

    return progress


STOPS = [("embedding", 0), ("embedding", 1), ("embedding", 4), ("statistics", 0), ("statistics", 1), ("codes", 0)]
STOPS += [("codes", 1)] + [("finishing", at) for at in range(7)]


@pytest.mark.parametrize(("phase", "at"), STOPS)
def test_stopped_and_gone_on_with(tmp_path, pictures, graph, whole, phase, at):
    output = tmp_path / "job"
    with pytest.raises(StopError, match=phase):
        embed(pictures, graph, output, progress=stopping(phase, at))
    if (phase, at) != ("finishing", 6):
        assert fne.Job(output).state == "running"
    seen = []
    embed(pictures, graph, output, progress=lambda now, done, total: seen.append((now, done)))
    assert job_kills.digests(output) == job_kills.digests(whole.folder)
    if phase == "embedding" and at == 4:
        assert seen[0][1] >= 12, "what was done is not done again"
    if phase != "embedding":
        assert "embedding" not in dict(seen)


def test_killed(tmp_path, pictures, graph):
    """SIGKILL in each phase, also in the middle of a write; Tests/python/job_kills.py does so on real data."""
    network = tmp_path / "network.pb"
    from conftest import small_network

    network.write_bytes(small_network(48, 48)[0].SerializeToString())
    hits = job_kills.main(str(pictures), str(network), 48, 10, tmp_path, seconds=0.1)
    assert sum(hits.values()) >= 10 and min(hits[phase] for phase in job_kills.PHASES if phase != "loading") >= 1, hits


def test_full_disk(tmp_path, pictures, graph, whole):
    """Writes that fail after so many bytes: an error that says so, nothing lost, and the job goes on when there is
    room."""
    shim = job_kills.build_shim(tmp_path)
    program = (
        "import sys, fne\nfrom pathlib import Path\n"
        f"fne.embed_dataset(sys.argv[1], Path(sys.argv[2]), sys.argv[3], size={SIZE}, codes=('int8', 'packed'))"
    )
    failed = 0
    for room in range(3_000, 40_000, 4_000):
        output = tmp_path / f"job{room}"
        command = [sys.executable, "-c", program, pictures, graph, output]
        environment = dict(os.environ, LD_PRELOAD=str(shim), WRITE_ROOM=str(room))
        result = subprocess.run([str(part) for part in command], env=environment, capture_output=True, text=True)
        failed += result.returncode != 0
        if result.returncode != 0:
            assert "FileError" in result.stderr and "No space left on device" in result.stderr
            assert "Make room and run it again. Nothing that was done is lost" in result.stderr
        embed(pictures, graph, output)
        assert job_kills.digests(output) == job_kills.digests(whole.folder)
    assert failed >= 4


def test_bad_images_can_end_the_run(tmp_path, pictures, graph, whole):
    """The image is mended, and the job goes on."""
    copy = tmp_path / "pictures"
    shutil.copytree(pictures, copy)
    with pytest.raises(fne.ImageError, match=r"a/broken.jpg"):
        embed(copy, graph, tmp_path / "job", on_error="raise")
    for name in ("a/broken.jpg", "b/text.jpeg", "empty.PNG"):
        shutil.copy(copy / "a/0-0.jpg", copy / name)
    job = embed(copy, graph, tmp_path / "job", on_error="raise")
    assert job.ok.all() and len(job) == 27


# ---- what is refused


def test_another_job_in_the_folder(tmp_path, pictures, graph, names, whole):
    output = tmp_path / "job"
    shutil.copytree(whole.folder, output)
    before = job_kills.digests(output)
    other = tmp_path / "other.pb"
    other.write_bytes(graph.read_bytes())
    embed(pictures, other, output)  # the same bytes by another name

    def refused(match, source=pictures, model=graph, **options):
        with pytest.raises(fne.JobMismatchError, match=match):
            embed(source, model, output, **options)
        assert job_kills.digests(output) == before

    from conftest import small_network

    refused("model.sha256", model=small_network(48, 64)[0].SerializeToString() + b"\x22\x00")
    refused(r"input.mean\[0\] is 0.0 there and 1.0 here", mean=1.0)
    refused("batch_size is 4 there and 5 here", batch_size=5)
    refused("features is 144 there and 24 here", layers="relu1")
    refused("input.crops is 1 there and 10 here", crops=10)
    refused("image_options.max_scans is 100 there and 7 here", image_options=fne.ImageOptions(max_scans=7))
    refused("codes.lower is -0.25 there and -0.5 here", lower=-0.5)
    refused("codes.formats", codes="int8")
    refused(f"image 3 is '{names[3]}' there and '{names[4]}' here", source=names[:3] + names[4:], root=pictures)
    refused("it has 27 of 27 images", source=names[:20], root=pictures)
    refused("codes.statistics", statistics=whole.statistics())


def test_an_unfinished_job_notices_changes(tmp_path, pictures, graph, names):
    output = tmp_path / "job"
    with pytest.raises(StopError):
        embed(names, graph, output, root=pictures, progress=stopping("embedding", 2))
    with pytest.raises(fne.JobMismatchError, match="image 1 is 'a/0-2.jpg' there"):
        embed([names[0], names[0], *names[2:]], graph, output, root=pictures)
    with pytest.raises(fne.JobMismatchError, match="scale"):
        embed(names, graph, output, root=pictures, scale=2)
    embed(names, graph, output, root=pictures)


def test_another_engine(tmp_path, pictures, graph, whole):
    output = tmp_path / "job"
    with pytest.raises(StopError):
        embed(pictures, graph, output, progress=stopping("embedding", 3))
    manifest = read_manifest(output)
    manifest["engines"][0]["processor"] = "x86_64 sse4.1"
    write_manifest(output, manifest)
    with pytest.raises(fne.JobMismatchError, match=r"another engine: processor is \"x86_64 sse4.1\" there"):
        embed(pictures, graph, output)
    job = embed(pictures, graph, output, accept_other_engine=True)
    engines = job.manifest["engines"]
    assert len(engines) == 2 and engines[0]["first_image"] == 0 and 8 <= engines[1]["first_image"] < 27
    np.testing.assert_array_equal(job.codes(), whole.codes())


def test_a_folder_of_something_else(tmp_path, pictures, graph):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(fne.InvalidArgumentError, match=r"holds 'letter.txt' and no job"):
        embed(pictures, graph, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    with pytest.raises(fne.FileError, match="is a file, not a folder"):
        embed(pictures, graph, tmp_path / "letter.txt")
    with pytest.raises(fne.FileError, match="manifest.json"):
        fne.Job(tmp_path)


def hold(pictures, graph, output, pipe):
    def progress(phase, done, total):
        if done == 0:
            pipe.send("running")
            pipe.recv()

    embed(pictures, graph, output, progress=progress)
    pipe.send("finished")


def test_two_processes(tmp_path, pictures, graph, whole):
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=hold, args=(pictures, graph, tmp_path / "job", theirs))
    process.start()
    assert ours.recv() == "running"
    with pytest.raises(fne.JobBusyError, match="another process runs the job"):
        embed(pictures, graph, tmp_path / "job")
    while True:
        ours.send("go on")
        if ours.recv() == "finished":
            break
    process.join()
    assert job_kills.digests(tmp_path / "job") == job_kills.digests(whole.folder)


@pytest.mark.parametrize(
    "damage", [b"", b"{}", b'{"format": "fne-job", "version": 9}', b"[1, 2", b'{"format": "fne-job"']
)
def test_damaged_manifests(tmp_path, pictures, graph, damage):
    (tmp_path / "manifest.json").write_bytes(damage)
    with pytest.raises(fne.FNEError, match="manifest.json"):
        fne.Job(tmp_path)
    with pytest.raises(fne.FNEError, match="manifest.json"):
        embed(pictures, graph, tmp_path)


def test_damaged_checkpoints(tmp_path, pictures, graph, whole):
    """The job goes on from the checkpoint before it, or from its start, and says so."""
    stopped = tmp_path / "stopped"
    with pytest.raises(StopError):
        embed(pictures, graph, stopped, progress=stopping("embedding", 4))
    good = (stopped / "checkpoint").read_bytes()
    for number, damaged in enumerate((b"", good[:40], good[:-1], good[:30] + bytes([good[30] ^ 1]) + good[31:])):
        output = shutil.copytree(stopped, tmp_path / f"job{number}")
        (output / "checkpoint").write_bytes(damaged)
        with pytest.warns(fne.JobWarning, match="checkpoint"):
            embed(pictures, graph, output)
        assert job_kills.digests(output) == job_kills.digests(whole.folder)


# ---- given statistics


def test_given_statistics(tmp_path, pictures, graph, names, whole):
    training = fne.Statistics(whole.feature_count).update(np.array(whole.features(images=slice(0, 9)))[whole.ok[:9]])
    expected = whole.ternarize(training)
    saved = tmp_path / "training.fne"
    saved.write_bytes(training.to_bytes())
    for number, statistics in enumerate([training, saved, str(saved)]):
        job = embed(pictures, graph, tmp_path / f"job{number}", statistics=statistics)
        np.testing.assert_array_equal(job.codes(), expected)
        assert not (job.folder / "stats.npy").exists() and job.manifest["codes"]["statistics"] == "given"
    with pytest.raises(StopError):
        embed(
            pictures,
            graph,
            tmp_path / "lean",
            statistics=training,
            keep_features=False,
            progress=stopping("embedding", 3),
        )
    lean = embed(pictures, graph, tmp_path / "lean", statistics=training, keep_features=False)
    np.testing.assert_array_equal(lean.codes(), expected)
    np.testing.assert_array_equal(lean.packed_codes().words, job.packed_codes().words)
    with pytest.raises(fne.FileError, match="features.npy"):
        lean.features()
    with pytest.raises(fne.InvalidArgumentError, match="without features"):
        embed(pictures, graph, tmp_path / "none", keep_features=False)
    with pytest.raises(fne.ShapeMismatchError, match="7 features"):
        embed(pictures, graph, tmp_path / "wrong", statistics=fne.Statistics(7).update(np.ones((2, 7), np.float32)))


def test_codes_later(tmp_path, pictures, graph, whole):
    """First the features alone; the same folder with codes is the job as if it had been asked for at once."""
    job = embed(pictures, graph, tmp_path / "job", codes=None)
    assert job.state == "features" and not (job.folder / "codes.npy").exists()
    with pytest.raises(fne.FileError, match="state 'features'"):
        job.codes()
    np.testing.assert_array_equal(job.ternarize(), whole.codes())
    with pytest.raises(StopError):
        embed(pictures, graph, tmp_path / "job", progress=stopping("codes", 1))
    embed(pictures, graph, tmp_path / "job")
    assert job_kills.digests(tmp_path / "job") == job_kills.digests(whole.folder)


# ---- shards


@pytest.mark.parametrize("count", [2, 3, 7])
def test_shards_are_the_whole(tmp_path, pictures, graph, whole, count):
    folders = [tmp_path / f"shard{index}" for index in range(count)]
    for index, folder in enumerate(folders):
        shard = embed(pictures, graph, folder, shard=(index, count))
        assert shard.state == "features" and len(shard) % 4 in (0, 27 % 4)
    merged = fne.merge_shards(folders[::-1], tmp_path / "merged", codes=("int8", "packed"))
    assert merged.state == "finished"
    assert job_kills.digests(tmp_path / "merged") == job_kills.digests(whole.folder)
    with pytest.raises(StopError):
        fne.merge_shards(folders, tmp_path / "again", codes=("int8", "packed"), progress=stopping("embedding", 1))
    fne.merge_shards(folders, tmp_path / "again", codes=("int8", "packed"))
    assert job_kills.digests(tmp_path / "again") == job_kills.digests(whole.folder)
    # The codes in the shards' own folders, by the statistics of all.
    total = fne.Statistics(whole.feature_count)
    for folder in folders:
        total.merge(fne.Job(folder).statistics())
    assert total.to_bytes() == whole.statistics().to_bytes()
    parts = [embed(pictures, graph, folder, shard=(i, count), statistics=total) for i, folder in enumerate(folders)]
    np.testing.assert_array_equal(np.concatenate([part.codes() for part in parts]), whole.codes())


def test_shards_that_do_not_go_together(tmp_path, pictures, graph, names):
    def shard(index, count=3, **options):
        folder = tmp_path / f"{index}of{count}{len(options)}"
        embed(pictures, graph, folder, shard=(index, count), **options)
        return folder

    parts = [shard(index) for index in range(3)]
    for given, match in [
        (parts[:2], "images 16 to 26 are in none of the shards"),
        (parts[1:], "images 0 to 7 are in none"),
        ([*parts, parts[1]], "in two shards"),
        ([*parts[:2], shard(2, scale=2)], "scale"),
        ([], "no shards"),
        ([tmp_path / "nowhere"], "manifest.json"),
    ]:
        with pytest.raises(fne.FNEError, match=match):
            fne.merge_shards(given, tmp_path / "merged")
    with pytest.raises(StopError):
        embed(pictures, graph, tmp_path / "stopped", shard=(2, 3), progress=stopping("embedding", 0))
    with pytest.raises(fne.JobMismatchError, match="is not finished"):
        fne.merge_shards([*parts[:2], tmp_path / "stopped"], tmp_path / "merged")
    for index, count, match in [(3, 3, "the index must be 0 to 2"), (0, 20, "is empty: 27 images are 7 batches")]:
        with pytest.raises(fne.InvalidArgumentError, match=match):
            embed(pictures, graph, tmp_path / "bad", shard=(index, count))


def with_engine(folder, copy, changed):
    """A copy of a shard whose manifest names another engine."""
    shutil.copytree(folder, copy)
    manifest = read_manifest(copy)
    manifest["engines"][0] = {"first_image": manifest["engines"][0]["first_image"], **changed}
    write_manifest(copy, manifest)
    return copy


def test_shards_of_different_engines(tmp_path, pictures, graph, whole):
    first, second = (embed(pictures, graph, tmp_path / str(index), shard=(index, 2)).folder for index in range(2))
    here = {name: value for name, value in read_manifest(first)["engines"][0].items() if name != "first_image"}
    onnx = {"onnxruntime": "1.32.0", **{name: value for name, value in here.items() if name != "tensorflow"}}
    others = {
        "tensorflow": ({**here, "tensorflow": "2.16.1"}, r"tensorflow is \"2.16.1\" there and \""),
        "processor": ({**here, "processor": "x86_64 sse4.1"}, r"processor is \"x86_64 sse4.1\" there"),
        "onnxruntime": (onnx, r"tensorflow is null there and \""),
    }
    for name, (engine, difference) in others.items():
        other = with_engine(second, tmp_path / name, engine)
        refused = f"shards '.*0' and '.*{name}' were embedded by different engines: {difference}.*accept_other_engine"
        merged = tmp_path / f"merged {name}"
        with pytest.raises(fne.JobMismatchError, match=refused):
            fne.merge_shards([other, first], merged)
        assert not merged.exists()
        with pytest.raises(StopError):
            fne.merge_shards([other, first], merged, accept_other_engine=True, progress=stopping("embedding", 1))
        with pytest.raises(fne.JobMismatchError, match="different engines"):
            fne.merge_shards([other, first], merged)
        job = fne.merge_shards([other, first], merged, accept_other_engine=True)
        assert job.manifest["engines"] == [{"first_image": 0, **here}, {"first_image": len(fne.Job(first)), **engine}]
        np.testing.assert_array_equal(job.features(), whole.features())
        np.testing.assert_array_equal(job.codes(), whole.codes())


def test_a_shard_of_two_engines(tmp_path, pictures, graph):
    """As a job that was resumed with another engine."""
    first, second = (embed(pictures, graph, tmp_path / str(index), shard=(index, 2)).folder for index in range(2))
    manifest = read_manifest(first)
    manifest["engines"].append({**manifest["engines"][0], "first_image": 8, "processor": "x86_64 sse4.1"})
    write_manifest(first, manifest)
    with pytest.raises(fne.JobMismatchError, match=r"the shard '.*0' was embedded by different engines: processor"):
        fne.merge_shards([first, second], tmp_path / "merged")
    job = fne.merge_shards([first, second], tmp_path / "merged", accept_other_engine=True)
    assert [engine["first_image"] for engine in job.manifest["engines"]] == [0, 8, len(fne.Job(first))]


# ---- afterwards


def test_selecting(whole):
    features, layers = np.array(whole.features()), whole.layers
    assert [layer.name for layer in layers] == ["relu1", "relu2", "bias3", "swish4", "relu5"]
    np.testing.assert_array_equal(whole.features("relu2"), features[:, layers[1].features])
    np.testing.assert_array_equal(whole.features("import/relu2:0"), features[:, layers[1].features])
    np.testing.assert_array_equal(whole.features("last:25%"), features[:, layers[3].features.start :])  # ceil(1.25)
    np.testing.assert_array_equal(
        whole.features(["relu*"]), np.hstack([features[:, layers[i].features] for i in (0, 1, 4)])
    )
    np.testing.assert_array_equal(whole.features(["relu5", "all"])[:, :32], features[:, layers[4].features])
    assert isinstance(whole.features("last:50%", slice(3, 9)), np.memmap)
    np.testing.assert_array_equal(whole.features("bias3", whole.ok), features[whole.ok][:, layers[2].features])
    np.testing.assert_array_equal(
        whole.codes(["swish4", "relu1"], [5, 2]),
        np.hstack([whole.codes()[[5, 2]][:, layers[i].features] for i in (3, 0)]),
    )
    for wrong in ("nothing", "relu9*"):
        with pytest.raises(fne.UnknownTensorError, match="no layer"):
            whole.features(wrong)
    for wrong in ("last:0%", "last:101%"):
        with pytest.raises(ValueError, match="share"):
            whole.features(wrong)


def test_statistics_of_a_training_split(whole):
    mask = np.arange(27) % 3 != 0
    rows = np.array(whole.features())[mask & whole.ok]
    own = whole.statistics(mask)
    assert own.count == len(rows)
    np.testing.assert_allclose(own.mean(), rows.astype(np.float64).mean(0), rtol=1e-12, atol=1e-13)
    codes = whole.ternarize(own, layers=["relu5", "bias3"], images=~mask, lower=-0.5, upper=0.4)
    columns = whole.columns(["relu5", "bias3"])
    x, good = np.array(whole.features(images=~mask))[:, columns].astype(np.float64), whole.ok[~mask]
    std = own.std()[columns]
    z = np.divide(x - own.mean()[columns], std, out=np.zeros_like(x), where=std != 0)
    np.testing.assert_array_equal(codes[good], ((z > 0.4).astype(int) - (z < -0.5))[good])
    assert (codes[~good] == fne.SKIPPED_CODE).all()


def test_arrow_reads_the_images(whole):
    """images.jsonl is what Arrow, pandas and Spark read: here with the standard library alone."""
    table = [json.loads(line) for line in (whole.folder / "images.jsonl").read_text("utf-8").splitlines()]
    assert {tuple(row) for row in table} == {("image", "name", "status", "reason")}


def test_an_existing_job_is_finished_without_its_model(tmp_path, pictures, graph, whole):
    from fne import _ffi

    output = tmp_path / "job"
    with pytest.raises(StopError):
        embed(pictures, graph, output, progress=stopping("codes", 1))
    handle = _ffi.open_handle(_ffi.lib.fne_job_open, _ffi.lib.fne_job_close, os.fsencode(output), None, None, None)
    _ffi.check(_ffi.lib.fne_job_run(handle(), None))
    handle.close()
    assert job_kills.digests(output) == job_kills.digests(whole.folder)
    with pytest.raises(StopError):
        embed(pictures, graph, tmp_path / "early", progress=stopping("embedding", 2))
    handle = _ffi.open_handle(
        _ffi.lib.fne_job_open, _ffi.lib.fne_job_close, os.fsencode(tmp_path / "early"), None, None, None
    )
    with pytest.raises(fne.InvalidArgumentError, match="run it with its model"):
        _ffi.check(_ffi.lib.fne_job_run(handle(), None))
    handle.close()


def test_path(tmp_path, pictures, graph, whole):
    """Folders that must be made, and relative ones."""
    os.chdir(tmp_path)
    try:
        embed(pictures, graph, "deep/er/job")
        assert job_kills.digests(Path("deep/er/job")) == job_kills.digests(whole.folder)
    finally:
        os.chdir("/")


def test_the_manifest_has_the_engine_threads_that_compute(tmp_path, graph, photographs):
    """The first extractor of a process decides; a job that asks for others says what it got."""
    program = textwrap.dedent("""
        import sys, fne
        lines = []
        fne.set_log_callback(lambda level, message: lines.append(message))
        fne.Extractor(sys.argv[1], size=(48, 64), engine_threads=1)
        job = fne.embed_dataset(sys.argv[3:], sys.argv[1], sys.argv[2], size=(48, 64), engine_threads=2)
        assert job.manifest["settings"]["engine_threads"] == 1
        warning = "engine_threads is 2, but the first extractor of the process has made it 1"
        assert any(warning in line for line in lines), lines
    """)
    command = [sys.executable, "-c", program, graph, tmp_path / "job", *photographs[:3]]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
