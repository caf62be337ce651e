"""Updates of jobs: the bytes of a job over the new list, what is not computed again, kills, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnx_networks
import pytest
import update_kills
from forged_jobs import read_manifest
from job_kills import digests

import fne
from fne._command import main

SIZE = (48, 64)
BOTH = ("int8", "packed")


@pytest.fixture
def folder(tmp_path, photographs):
    """Fourteen photographs in two folders, and two files that are none."""
    images = tmp_path / "images"
    for number, path in enumerate(photographs[:14]):
        target = images / "bd"[number % 2] / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (images / "b" / "broken.jpg").write_bytes(photographs[0].read_bytes()[:2000])
    (images / "d" / "text.jpg").write_text("no picture")
    return images


def embed(source, model, output, **options):
    return fne.embed_dataset(source, model, output, **{"size": SIZE, "codes": BOTH, **options})


def grow(folder, photographs):
    """Two new images, one before and one after the others in order, two removed and two changed ones, and a failed one
    that can be read now."""
    (folder / "a").mkdir()
    shutil.copy(photographs[20], folder / "a" / "new.jpg")
    shutil.copy(photographs[21], folder / "zz.jpg")
    gone = sorted((folder / "b").glob("*-*.jpg"))[:2]
    for path in gone:
        path.unlink()
    for number, path in enumerate(sorted((folder / "d").glob("*-*.jpg"))[:2]):
        shutil.copyfile(photographs[18 + number], path)
    shutil.copyfile(photographs[22], folder / "b" / "broken.jpg")
    return [str(path.relative_to(folder)) for path in gone]


def assert_equals_a_job_over_its_list(job, folder, model, output, **options):
    """All bytes are those of a new job over the same list, apart from what says that images were removed."""
    paths = [folder / name for name in job.names]
    missing = [image for image, path in enumerate(paths) if not path.exists()]
    assert job.removed == missing
    new = embed(job.names, model, output, root=folder, **options)
    expected, found = digests(new.folder), digests(job.folder)
    if not missing:
        assert found == expected
        return
    apart = {"manifest.json", "images.jsonl"}
    assert {name: found[name] for name in found if name not in apart} == {
        name: expected[name] for name in expected if name not in apart
    }
    lines = [json.loads(line) for line in (job.folder / "images.jsonl").read_text().splitlines()]
    others = [json.loads(line) for line in (new.folder / "images.jsonl").read_text().splitlines()]
    assert [line["reason"] for line in np.array(lines)[missing]] == ["removed by an update"] * len(missing)
    for image in missing:
        lines[image]["reason"] = others[image]["reason"]
    assert lines == others
    manifests = [read_manifest(job.folder), read_manifest(new.folder)]
    assert manifests[0]["images"].pop("removed") == missing
    for manifest in manifests:
        del manifest["files"]["images.jsonl"]
    assert manifests[0] == manifests[1]


def counts(job):
    changes = job.intake.changes
    return changes.new, changes.changed, changes.retried, changes.removed, changes.kept


def spoil(path):
    """Makes the file no image, of the same size and time."""
    facts = path.stat()
    path.write_bytes(b"x" * facts.st_size)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


# ---- the bytes


@pytest.mark.parametrize("codes", ["int8", "packed", BOTH, None])
def test_the_bytes_are_those_of_a_job_over_the_new_list(tmp_path, folder, photographs, graph, codes):
    before = embed(folder, graph, tmp_path / "job", codes=codes)
    names, rows = before.names, np.array(before.features())
    gone = grow(folder, photographs)
    job = embed(folder, graph, tmp_path / "job", codes=codes, update=True)
    assert job.names == [*names, "a/new.jpg", "zz.jpg"] and job.state == before.state
    assert [job.names[image] for image in job.removed] == gone
    assert counts(job) == (2, 3, 1, 2, 10) and sum(job.intake.taken.values()) == 5
    kept = [image for image, name in enumerate(names) if name.startswith("b/") and name not in (*gone, "b/broken.jpg")]
    np.testing.assert_array_equal(job.features(images=kept), rows[kept])
    assert np.isnan(job.features(images=job.removed)).all()
    job.verify()
    assert_equals_a_job_over_its_list(job, folder, graph, tmp_path / "new", codes=codes)


def test_kept_images_are_not_computed_again(tmp_path, folder, photographs, graph):
    """Their files are no images any more, with the same sizes and times. Whoever reads them gets other rows."""
    names = embed(folder, graph, tmp_path / "job").names
    shutil.copy(photographs[20], folder / "new.jpg")
    kept = [folder / name for name in names if "-" in name]
    contents = [path.read_bytes() for path in kept]
    for path in kept:
        spoil(path)
    job = embed(folder, graph, tmp_path / "job", update=True)
    assert counts(job) == (1, 0, 2, 0, 14) and job.intake.taken == {"JPEG": 1}
    for path, content in zip(kept, contents, strict=True):
        path.write_bytes(content)
    assert_equals_a_job_over_its_list(job, folder, graph, tmp_path / "new")


def test_an_update_of_nothing_changes_nothing(tmp_path, folder, graph):
    """Images that have failed are tried again beside other changes, or where that is asked for."""
    embed(folder, graph, tmp_path / "job")
    before = {path: path.stat().st_ino for path in (tmp_path / "job").iterdir()}
    job = embed(folder, graph, tmp_path / "job", update=True)
    assert counts(job) == (0, 0, 0, 0, 16) and job.intake.taken == {}
    assert {path: path.stat().st_ino for path in (tmp_path / "job").iterdir()} == before
    expected = digests(job.folder)
    job = embed(folder, graph, tmp_path / "job", update=True, retry_failed=True)
    assert counts(job) == (0, 0, 2, 0, 14) and digests(job.folder) == expected


def test_an_update_of_no_job_is_a_new_job(tmp_path, folder, graph):
    job = embed(folder, graph, tmp_path / "job", update=True)
    assert counts(job) == (16, 0, 0, 0, 0)
    assert digests(job.folder) == digests(embed(folder, graph, tmp_path / "new").folder)


def test_several_updates_in_a_row(tmp_path, folder, photographs, graph):
    embed(folder, graph, tmp_path / "job")
    gone = grow(folder, photographs)
    embed(folder, graph, tmp_path / "job", update=True)
    shutil.copy(photographs[12], folder / gone[0])  # it comes back, with another content
    shutil.copy(photographs[23], folder / "0.jpg")
    (folder / "zz.jpg").unlink()
    job = embed(folder, graph, tmp_path / "job", update=True)
    assert job.names[-3:] == ["a/new.jpg", "zz.jpg", "0.jpg"]
    assert counts(job) == (2, 0, 1, 1, 14)
    assert_equals_a_job_over_its_list(job, folder, graph, tmp_path / "second")
    shutil.copy(photographs[13], folder / gone[1])
    shutil.copy(photographs[21], folder / "zz.jpg")
    job = embed(folder, graph, tmp_path / "job", update=True)
    assert counts(job) == (2, 0, 1, 0, 16) and job.removed == []
    assert_equals_a_job_over_its_list(job, folder, graph, tmp_path / "third")


def test_ten_crops_and_small_batches(tmp_path, folder, photographs, graph):
    options = {"crops": 10, "batch_size": 20, "resize_mode": "shortest_side", "resize_size": (56, 72)}
    embed(folder, graph, tmp_path / "job", **options)
    grow(folder, photographs)
    job = embed(folder, graph, tmp_path / "job", update=True, **options)
    assert job.rows_per_image == 10
    assert_equals_a_job_over_its_list(job, folder, graph, tmp_path / "new", **options)


def test_onnx_runtime(tmp_path, folder, photographs):
    path = tmp_path / "network.onnx"
    onnx.save(onnx_networks.convolutional()[0], path)
    options = {"size": (onnx_networks.HEIGHT, onnx_networks.WIDTH), "preset": "raw"}
    embed(folder, path, tmp_path / "job", **options)
    grow(folder, photographs)
    job = embed(folder, path, tmp_path / "job", update=True, **options)
    assert counts(job) == (2, 3, 1, 2, 10)
    assert_equals_a_job_over_its_list(job, folder, path, tmp_path / "new", **options)


# ---- lists


def test_a_list(tmp_path, folder, photographs, graph):
    """A name that is no longer in the list is removed, though its file is there. A name may be there twice."""
    names = ["a.jpg", "b.jpg", "a.jpg", "c.jpg", "d.jpg"]
    for number, name in enumerate("abcdef"):
        shutil.copy(photographs[number], folder / f"{name}.jpg")
    images = folder / "images.txt"
    images.write_text("\n".join(names))
    embed(images, graph, tmp_path / "job")
    images.write_text("\n".join(["f.jpg", "d.jpg", "a.jpg", "e.jpg", "d.jpg", "b.jpg"]))
    job = embed(images, graph, tmp_path / "job", update=True)
    assert job.names == [*names, "f.jpg", "e.jpg", "d.jpg"] and job.removed == [2, 3]
    assert counts(job) == (3, 0, 0, 2, 3)
    (folder / "c.jpg").unlink()
    lines = [folder / name if image != 2 else folder / "gone.jpg" for image, name in enumerate(job.names)]
    new = embed(lines, graph, tmp_path / "new")
    for name in ("features.npy", "status.npy", "statistics.fne", "stats.npy", "codes.npy", "codes_packed.npy"):
        assert (job.folder / name).read_bytes() == (new.folder / name).read_bytes()


def test_a_listed_file_that_is_gone_is_missing_and_not_removed(tmp_path, folder, graph):
    paths = sorted(map(str, folder.rglob("*.jpg")))
    embed(paths, graph, tmp_path / "job")
    os.unlink(paths[3])
    job = embed(paths, graph, tmp_path / "job", update=True)
    assert counts(job) == (0, 1, 2, 0, 13) and job.removed == [] and "No such file" in job.failures[3]
    assert digests(job.folder) == digests(embed(paths, graph, tmp_path / "new").folder)


def test_a_folder_that_cannot_be_entered_hides_no_removal(tmp_path, folder, graph):
    """Whoever runs the tests as root may enter every folder. A link that leads to itself cannot be followed either."""
    for name in ("b/broken.jpg", "d/text.jpg"):
        (folder / name).unlink()
    embed(folder, graph, tmp_path / "job")
    shutil.move(folder / "b", tmp_path / "b")
    (folder / "b").symlink_to("b")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fne.JobWarning)
        job = embed(folder, graph, tmp_path / "job", update=True)
    assert job.removed == [] and counts(job) == (0, 7, 0, 0, 7)
    assert all("symbolic links" in reason for reason in job.failures.values()) and len(job.failures) == 7


# ---- statistics


def test_kept_statistics(tmp_path, folder, photographs, graph):
    """The job equals one that was made without codes, of which codes are then made with the former statistics."""
    embed(folder, graph, tmp_path / "job")
    statistics = tmp_path / "statistics.fne"
    shutil.copy(tmp_path / "job" / "statistics.fne", statistics)
    codes = np.array(fne.Job(tmp_path / "job").codes())
    for _ in range(2):
        shutil.copy(photographs[20 + _], folder / f"new{_}.jpg")
        job = embed(folder, graph, tmp_path / "job", update=True, keep_statistics=True)
    assert (job.folder / "codes_statistics.fne").read_bytes() == statistics.read_bytes()
    np.testing.assert_array_equal(job.codes()[:16], codes)
    embed(job.names, graph, tmp_path / "new", root=folder, codes=None)
    new = embed(job.names, graph, tmp_path / "new", root=folder, statistics=statistics)
    found = digests(job.folder)
    del found["codes_statistics.fne"]
    assert found == digests(new.folder)
    job.verify()
    # Without the option, the codes follow the statistics again, also where no image is new.
    job = embed(folder, graph, tmp_path / "job", update=True)
    assert not (job.folder / "codes_statistics.fne").exists()
    assert_equals_a_job_over_its_list(job, folder, graph, tmp_path / "own")


def test_given_statistics(tmp_path, folder, photographs, graph):
    given = embed(folder, graph, tmp_path / "train").folder / "statistics.fne"
    embed(folder, graph, tmp_path / "job", statistics=given)
    shutil.copy(photographs[20], folder / "new.jpg")
    with pytest.raises(fne.JobMismatchError, match="statistics"):
        embed(folder, graph, tmp_path / "job", update=True)
    job = embed(folder, graph, tmp_path / "job", update=True, statistics=given)
    assert_equals_a_job_over_its_list(job, folder, graph, tmp_path / "new", statistics=given)


# ---- what a job knows of its files


@pytest.mark.parametrize("damage", [os.unlink, lambda path: path.write_bytes(b"x")], ids=["missing", "damaged"])
def test_a_job_without_a_record_of_its_files(tmp_path, folder, photographs, graph, damage):
    names = embed(folder, graph, tmp_path / "job").names
    damage(tmp_path / "job" / "image_files.npy")
    image = names.index("b/0-0.jpg")
    shutil.copyfile(photographs[20], folder / "b" / "0-0.jpg")
    rows = np.array(fne.Job(tmp_path / "job").features())
    with pytest.warns(fne.JobWarning, match=r"no record .* 14 of its 16 image files.*embed_unrecorded"):
        job = embed(folder, graph, tmp_path / "job", update=True)
    assert counts(job) == (0, 0, 0, 0, 16)
    np.testing.assert_array_equal(job.features(images=[image]), rows[[image]])
    job = embed(folder, graph, tmp_path / "job", update=True, embed_unrecorded=True)
    assert counts(job) == (0, 14, 2, 0, 0)
    assert_equals_a_job_over_its_list(job, folder, graph, tmp_path / "new")


# ---- what is refused


def test_another_model_and_other_options_are_refused(tmp_path, folder, photographs, graph):
    embed(folder, graph, tmp_path / "job")
    before = digests(tmp_path / "job")
    shutil.copy(photographs[20], folder / "new.jpg")
    for options, message in [
        ({"layers": "last:25%"}, "features is 144 there"),
        ({"batch_size": 8}, "batch_size is 4 there and 8 here"),
        ({"mean": (1, 2, 3)}, "mean"),
        ({"codes": "int8"}, "formats"),
        ({"upper": 0.2}, "upper"),
    ]:
        with pytest.raises(fne.JobMismatchError, match=message):
            embed(folder, graph, tmp_path / "job", update=True, **options)
    with pytest.raises(fne.JobMismatchError, match="none of the job's 16 images"):
        embed([tmp_path / "elsewhere.jpg"], graph, tmp_path / "job", update=True)
    with pytest.raises(fne.JobMismatchError, match="Set update to take the images as they are now"):
        embed(folder, graph, tmp_path / "job")
    with pytest.raises(fne.InvalidArgumentError, match="update"):
        embed(folder, graph, tmp_path / "job", keep_statistics=True)
    with pytest.raises(fne.InvalidArgumentError, match="keep_statistics"):
        embed(folder, graph, tmp_path / "job", update=True, keep_statistics=True, codes=None)
    with pytest.raises(fne.InvalidArgumentError, match="one shard cannot be updated"):
        embed(folder, graph, tmp_path / "job", update=True, shard=(0, 2))
    assert digests(tmp_path / "job") == before


def test_shards_and_jobs_without_features_are_refused(tmp_path, folder, graph):
    shards = [embed(folder, graph, tmp_path / f"shard{i}", codes=None, shard=(i, 2)).folder for i in range(2)]
    with pytest.raises(fne.InvalidArgumentError, match="Merge the shards"):
        embed(folder, graph, shards[0], codes=None, update=True)
    whole = fne.merge_shards(shards, tmp_path / "whole", codes=BOTH).folder
    (folder / "b" / "0-0.jpg").unlink()
    job = embed(folder, graph, whole, update=True)
    assert counts(job) == (0, 0, 2, 1, 13)
    assert_equals_a_job_over_its_list(job, folder, graph, tmp_path / "new")
    options = {"keep_features": False, "statistics": whole / "statistics.fne"}
    embed(folder, graph, tmp_path / "codes", **options)
    for given in (options, {}):
        with pytest.raises(fne.InvalidArgumentError, match="without features cannot be updated"):
            embed(folder, graph, tmp_path / "codes", update=True, **given)


# ---- repairing


def test_an_updated_job_is_repaired(tmp_path, folder, photographs, graph):
    """Removed images stay removed, though their files are there, and all names of the failures are lost."""
    paths = sorted(map(str, folder.rglob("*.jpg")))
    embed(paths, graph, tmp_path / "job")
    job = embed(paths[1:], graph, tmp_path / "job", update=True)
    expected = digests(job.folder)
    assert job.removed == [0]
    for name in ("features.npy", "images.jsonl", "status.npy"):
        content = bytearray((job.folder / name).read_bytes())
        content[-40:] = bytes(40)
        (job.folder / name).write_bytes(content)
    with pytest.warns(fne.JobWarning, match="damaged"):
        embed(paths, graph, tmp_path / "job")
    assert digests(job.folder) == expected


# ---- kills


def test_an_update_that_is_killed_goes_on(tmp_path, folder, photographs):
    """Killed at every seventh step, it ends in the same bytes. Until then, the job is the former one, or an error says
    what to do. FNE_TEST_STRIDE=1 kills at every step."""
    network = tmp_path / "network.onnx"
    onnx.save(onnx_networks.convolutional()[0], network)
    options = {"size": (onnx_networks.HEIGHT, onnx_networks.WIDTH), "preset": "raw", "codes": BOTH}
    embed(folder, network, tmp_path / "job", **options)
    before = digests(tmp_path / "job")
    grow(folder, photographs)
    shutil.copytree(tmp_path / "job", tmp_path / "whole")
    expected = digests(embed(folder, network, tmp_path / "whole", update=True, **options).folder)
    (tmp_path / "killed").mkdir()
    stride = int(os.environ.get("FNE_TEST_STRIDE", "7"))
    shim = update_kills.build_shim(tmp_path)
    killed = update_kills.killed(shim, network, folder, tmp_path / "job", tmp_path / "killed", stride, **options)
    seen = set()
    for output in killed:
        try:
            job = fne.Job(output)
            former = job.names == fne.Job(tmp_path / "job").names
            job.verify()
            found = {name: digest for name, digest in folder_digests(output).items() if name != "lock"}
            assert found == (before if former else expected)
            seen.add("former" if former else "new")
        except fne.JobBusyError as error:
            assert "an update of this job is under way" in str(error) and "with update set" in str(error)
            seen.add("error")
        with warnings.catch_warnings():
            warnings.simplefilter("error", fne.JobWarning)  # nothing that was done is lost
            job = embed(folder, network, output, update=True, **options)
        assert digests(output) == expected
    assert seen == {"former", "new", "error"} and len(killed) > 60 / stride


def folder_digests(folder):
    """Without the folder of an update."""
    copy = Path(f"{folder}.copy")
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("update.part"))
    try:
        return digests(copy)
    finally:
        shutil.rmtree(copy)


def test_an_interrupted_exchange_is_named_and_finished(tmp_path, folder, photographs, graph):
    """As a kill leaves it: the manifest of the job says that its files move."""
    embed(folder, graph, tmp_path / "job")
    grow(folder, photographs)
    shutil.copytree(tmp_path / "job", tmp_path / "whole")
    expected = embed(folder, graph, tmp_path / "whole", update=True)
    shutil.copytree(expected.folder, tmp_path / "job" / "update.part", ignore=shutil.ignore_patterns("places.json"))
    text = (expected.folder / "manifest.json").read_text()
    (tmp_path / "job" / "manifest.json").write_text(text.replace('"state": "finished"', '"state": "updating"'))
    os.rename(tmp_path / "job" / "update.part" / "features.npy", tmp_path / "job" / "features.npy")
    for read in (fne.Job, lambda job: embed(folder, graph, job), lambda job: fne.merge_shards([job], tmp_path / "m")):
        with pytest.raises(fne.JobBusyError, match=r"manifest.json': an update of this job is under way"):
            read(tmp_path / "job")
    job = embed(folder, graph, tmp_path / "job", update=True)
    assert counts(job) == (0, 0, 0, 0, 16)
    assert digests(job.folder) == digests(expected.folder)


def test_what_changes_during_an_interruption(tmp_path, folder, photographs, graph):
    """The update that was begun is finished, and what has changed since is a second one."""
    embed(folder, graph, tmp_path / "job")
    grow(folder, photographs)
    with pytest.raises(KeyboardInterrupt):
        embed(folder, graph, tmp_path / "job", update=True, progress=stop_in("finishing"))
    shutil.copy(photographs[23], folder / "0.jpg")
    shutil.copyfile(photographs[0], folder / "a" / "new.jpg")
    with pytest.raises(fne.JobMismatchError, match="without keep_statistics is not finished"):
        embed(folder, graph, tmp_path / "job", update=True, keep_statistics=True)
    job = embed(folder, graph, tmp_path / "job", update=True)
    assert job.names[-3:] == ["a/new.jpg", "zz.jpg", "0.jpg"]
    assert counts(job) == (3, 4, 2, 2, 14) and sum(job.intake.taken.values()) == 2
    assert_equals_a_job_over_its_list(job, folder, graph, tmp_path / "new")


def stop_in(wanted):
    def progress(phase, done, total):
        if phase == wanted:
            raise KeyboardInterrupt

    return progress


def test_an_interrupted_first_run_is_finished_first(tmp_path, folder, photographs, graph):
    with pytest.raises(KeyboardInterrupt):
        embed(folder, graph, tmp_path / "job", progress=stop_in("statistics"))
    grow(folder, photographs)
    job = embed(folder, graph, tmp_path / "job", update=True)
    assert job.names[-2:] == ["a/new.jpg", "zz.jpg"] and counts(job) == (2, 3, 1, 2, 10)
    assert_equals_a_job_over_its_list(job, folder, graph, tmp_path / "new")


def test_a_damaged_plan_begins_anew(tmp_path, folder, photographs, graph):
    embed(folder, graph, tmp_path / "job")
    grow(folder, photographs)
    with pytest.raises(KeyboardInterrupt):
        embed(folder, graph, tmp_path / "job", update=True, progress=stop_in("finishing"))
    plan = tmp_path / "job" / "update.part" / "update.plan"
    content = bytearray(plan.read_bytes())
    content[200] ^= 1
    plan.write_bytes(content)
    with pytest.warns(fne.JobWarning, match="the plan of the update is damaged. It begins anew"):
        job = embed(folder, graph, tmp_path / "job", update=True)
    assert_equals_a_job_over_its_list(job, folder, graph, tmp_path / "new")


# ---- the command


def test_the_command(tmp_path, folder, photographs, graph, capsys):
    arguments = ["embed", str(folder), str(graph), str(tmp_path / "job"), "--size", "48x64", "--codes", "int8,packed"]
    assert main(arguments) == 0
    gone = grow(folder, photographs)
    capsys.readouterr()
    assert main([*arguments, "--update"]) == 0
    out, err = capsys.readouterr()
    assert "update: 2 new, 3 changed, 2 removed, 10 kept, 1 tried again" in out.splitlines()
    assert "15 images embedded, 1 skipped, 2 removed, " in out and gone[0] not in err and "text.jpg" in err
    assert main([*arguments, "--update", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["update"] == {"new": 0, "changed": 0, "retried": 0, "removed": 0, "kept": 16}
    assert [fne.Job(tmp_path / "job").names[image] for image in result["removed"]] == gone
    assert len(result["failures"]) == 1 and result["embedded"] == 15
    shutil.copy(photographs[23], folder / "0.jpg")
    assert main([*arguments, "--update", "--keep-statistics"]) == 0
    assert (tmp_path / "job" / "codes_statistics.fne").exists()
    assert main([*arguments, "--keep-statistics"]) != 0
    assert "need" in capsys.readouterr().err
