"""Damage to the files of jobs: whoever reads them notices it, and a further run makes it good."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import warnings
from pathlib import Path

import job_kills
import numpy as np
import pytest
from forged_jobs import read_manifest

import fne
from fne._command import main

SIZE = (48, 64)
IMAGES, BATCH = 600, 4


@pytest.fixture(scope="module")
def sources(tmp_path_factory, photographs):
    """600 names of 24 photographs and of one that is none, so that the features have several blocks."""
    folder = tmp_path_factory.mktemp("sources")
    for number, path in enumerate(photographs[:24]):
        shutil.copy(path, folder / f"{number}.jpg")
    (folder / "24.jpg").write_text("no picture")
    return [folder / f"{number % 25}.jpg" for number in range(IMAGES)]


def embed(sources, graph, output, **options):
    options = {"size": SIZE, "codes": ("int8", "packed"), "batch_size": BATCH, **options}
    return fne.embed_dataset(sources, graph, output, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, sources, graph):
    return embed(sources, graph, tmp_path_factory.mktemp("whole") / "job")


@pytest.fixture
def job(tmp_path, whole):
    return shutil.copytree(whole.folder, tmp_path / "job")


# ---- the checksums, computed independently


def sha256_states(data, block):
    """The states of SHA-256 after each whole block, from the formulas of FIPS 180-4."""
    primes = [n for n in range(2, 312) if all(n % divisor for divisor in range(2, n))]
    constants = [root(n << 96, 3) % 2**32 for n in primes[:64]]
    state = [root(n << 64, 2) % 2**32 for n in primes[:8]]
    states = []
    for start in range(0, len(data) - len(data) % block, 64):
        w = list(struct.unpack(">16I", data[start : start + 64]))
        for i in range(16, 64):
            small = turned(w[i - 15], 7) ^ turned(w[i - 15], 18) ^ w[i - 15] >> 3
            large = turned(w[i - 2], 17) ^ turned(w[i - 2], 19) ^ w[i - 2] >> 10
            w.append((w[i - 16] + small + w[i - 7] + large) % 2**32)
        a, b, c, d, e, f, g, h = state
        for i in range(64):
            first = h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + (e & f ^ ~e & g) + constants[i] + w[i]
            second = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + (a & b ^ a & c ^ b & c)
            a, b, c, d, e, f, g, h = (first + second) % 2**32, a, b, c, (d + first) % 2**32, e, f, g
        state = [(x + y) % 2**32 for x, y in zip(state, (a, b, c, d, e, f, g, h), strict=True)]
        if (start + 64) % block == 0:
            states.append("".join(f"{word:08x}" for word in state))
    return states


def turned(word, bits):
    return (word >> bits | word << 32 - bits) % 2**32


def root(n, degree):
    """The integer part of a root."""
    low, high = 0, 1 << n.bit_length() // degree + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**degree <= n else (low, middle)
    return low


def test_the_manifest_has_the_checksums(whole):
    manifest = read_manifest(whole.folder)
    unrecorded = {"manifest.json", "runs.jsonl", "image_files.npy", "places.json"}
    assert set(manifest["files"]) == {path.name for path in whole.folder.iterdir()} - unrecorded
    for name, checksum in manifest["files"].items():
        content = (whole.folder / name).read_bytes()
        assert checksum["bytes"] == len(content) and checksum["sha256"] == hashlib.sha256(content).hexdigest()
        states = checksum.get("block_states", [])
        assert len(states) == len(content) // checksum.get("block_bytes", len(content) + 1)
        if name == "features.npy":
            assert len(states) >= 4 and states == sha256_states(content, checksum["block_bytes"])
    text = (whole.folder / "manifest.json").read_text()
    seal = text[-68:-4]
    assert hashlib.sha256(text.replace(seal, "0" * 64).encode()).hexdigest() == seal


# ---- readers

FILES = [
    "codes.npy",
    "codes_packed.npy",
    "features.npy",
    "images.jsonl",
    "images.list",
    "manifest.json",
    "statistics.fne",
    "stats.npy",
    "status.npy",
]
KINDS = {
    "removed": lambda data: None,
    "emptied": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "flipped early": lambda data: flipped(data, 140),
    "flipped in the middle": lambda data: flipped(data, len(data) // 2),
    "flipped late": lambda data: flipped(data, len(data) - 2),
    "half zeroed": lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
    "longer": lambda data: data + b"\0",
    "swapped": lambda data: data[len(data) // 3 + 1 :] + data[: len(data) // 3 + 1],
}
READERS = {
    "names": lambda job: job.names,
    "statuses": lambda job: job.statuses,
    "failures": lambda job: job.failures,
    "features": lambda job: job.features(),
    "features of a layer and some images": lambda job: job.features(layers="last:50%", images=[3, 299, 598]),
    "features of a slice": lambda job: job.features(images=slice(280, 320)),
    "codes": lambda job: job.codes(),
    "packed codes": lambda job: job.packed_codes().words,
    "stats": lambda job: job.stats,
    "statistics": lambda job: np.frombuffer(job.statistics().to_bytes(), np.uint8),
    "statistics of some images": lambda job: job.statistics(images=slice(100, 500)).mean(),
    "ternarize": lambda job: job.ternarize(images=slice(0, 9)),
}


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :]


def damage(path, kind):
    content = KINDS[kind](path.read_bytes())
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FILES)
def test_no_reader_serves_what_is_wrong(whole, job, name, kind):
    """Each reader gives the right values or raises, and `verify` names the file."""
    damage(job / name, kind)
    for reader, read in READERS.items():
        try:
            found = read(fne.Job(job))
        except (fne.errors.SavedDataError, fne.FileError) as failure:
            assert name in str(failure), reader
            continue
        expected = read(whole)
        if isinstance(found, np.ndarray):
            np.testing.assert_array_equal(found, expected, reader)
        else:
            assert found == expected, reader
    with pytest.raises((fne.errors.SavedDataError, fne.FileError), match=name.replace(".", r"\.")):
        fne.Job(job).verify()


def test_large_files_are_compared_when_asked(job, monkeypatch):
    """A reader of many bytes does not compare them, unless it is told to."""
    monkeypatch.setattr(fne._job, "_VERIFIED_UNASKED", 1 << 17)
    damage(job / "features.npy", "flipped late")
    assert fne.Job(job).features().shape == (IMAGES, 144)
    with pytest.raises(fne.errors.SavedDataError, match=r"features\.npy"):
        fne.Job(job).features(images=[IMAGES - 1])
    with pytest.raises(fne.errors.SavedDataError, match=r"features\.npy"):
        fne.Job(job, verify=True).features()
    assert fne.Job(job, verify=False).features(images=[IMAGES - 1]).shape == (1, 144)


# ---- repair


def again(sources, graph, output, **options):
    """Runs a job again. Returns it, the numbers of images that were embedded, and the warnings."""
    embedded = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        job = embed(
            sources,
            graph,
            output,
            progress=lambda phase, done, total: phase == "embedding" and embedded.append((done, total)),
            **options,
        )
    return job, embedded, [str(warning.message) for warning in caught if warning.category is fne.JobWarning]


def test_a_whole_job_needs_nothing(job, sources, graph, whole):
    before = {path.name: path.stat().st_mtime_ns for path in job.iterdir()}
    _, embedded, said = again(sources, graph, job)
    assert not embedded and not said
    assert {path.name: path.stat().st_mtime_ns for path in job.iterdir()} == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in FILES if name != "manifest.json"])
def test_repair(job, sources, graph, whole, name, kind):
    damage(job / name, kind)
    repaired, _, said = again(sources, graph, job)
    assert any(name in sentence for sentence in said)
    assert job_kills.digests(job) == job_kills.digests(whole.folder)
    repaired.verify()


def test_only_what_is_lost_is_embedded_again(job, sources, graph, whole):
    block = read_manifest(job)["files"]["features.npy"]["block_bytes"]
    path = job / "features.npy"
    path.write_bytes(flipped(path.read_bytes(), 2 * block + 5))
    _, embedded, said = again(sources, graph, job)
    rows = {place // (144 * 4) for place in (2 * block - 128, 3 * block - 129)}
    first, last = min(rows) // BATCH * BATCH, (max(rows) // BATCH + 1) * BATCH
    assert {total for _, total in embedded} == {last - first} and embedded[-1][0] == last - first
    assert f"in {max(rows) - min(rows) + 1} rows from row {min(rows)} on" in said[0]
    assert job_kills.digests(job) == job_kills.digests(whole.folder)


def test_derived_files_need_no_network(job, sources, graph, whole):
    for name in ("codes.npy", "stats.npy", "status.npy", "codes_packed.npy", "statistics.fne", "images.list"):
        (job / name).unlink()
    _, embedded, said = again(sources, graph, job)
    assert not embedded and len(said) == 6
    assert job_kills.digests(job) == job_kills.digests(whole.folder)


def test_the_manifest_is_not_guessed(job, sources, graph):
    (job / "manifest.json").write_bytes(flipped((job / "manifest.json").read_bytes(), 300))
    with pytest.raises(fne.errors.SavedDataError, match=r"manifest\.json': "):
        embed(sources, graph, job)
    (job / "manifest.json").unlink()
    with pytest.raises(fne.InvalidArgumentError, match="and no job"):
        embed(sources, graph, job)


def test_damage_without_the_model_is_an_error(job):
    damage(job / "features.npy", "cut")
    handle = None
    with pytest.raises(fne.errors.SavedDataError, match=r"features\.npy.*which repairs it"):
        handle = fne.Job(job)
    assert handle is None


# ---- shards


def test_no_damaged_shard_is_merged(tmp_path, sources, graph):
    for index in range(2):
        embed(sources, graph, tmp_path / f"shard{index}", shard=(index, 2))
    shards = [tmp_path / "shard0", tmp_path / "shard1"]
    merged = fne.merge_shards(shards, tmp_path / "merged", codes=("int8", "packed"))
    merged.verify()
    for kind in ("flipped in the middle", "half zeroed", "cut"):
        damaged = shutil.copytree(shards[1], tmp_path / kind)
        damage(damaged / "features.npy", kind)
        with pytest.raises(fne.errors.SavedDataError, match=r"features\.npy"):
            fne.merge_shards([shards[0], damaged], tmp_path / "merged again")
    damaged = shutil.copytree(shards[1], tmp_path / "repaired")
    damage(damaged / "features.npy", "half zeroed")
    again(sources, graph, damaged, shard=(1, 2))
    result = fne.merge_shards([shards[0], damaged], tmp_path / "merged again", codes="int8")
    np.testing.assert_array_equal(result.features(), merged.features())
    assert result.statistics().to_bytes() == merged.statistics().to_bytes()


# ---- images


def test_failed_images_are_tried_again(tmp_path, sources, graph, photographs):
    folder = shutil.copytree(sources[0].parent, tmp_path / "pictures")
    names = [folder / path.name for path in sources[:50]]
    job = embed(names, graph, tmp_path / "job")
    assert set(job.failures) == {24, 49}
    shutil.copy(photographs[0], folder / "24.jpg")
    job, embedded, said = again(names, graph, tmp_path / "job")
    assert len(job.failures) == 2 and not embedded and "2 of 50 image files have another size or time" in said[0]
    job, embedded, _ = again(names, graph, tmp_path / "job", retry_failed=True)
    assert not job.failures and embedded[-1][1] == 6, "the batches of images 24 and 49"
    expected = embed(names, graph, tmp_path / "expected")
    assert job_kills.digests(job.folder) == job_kills.digests(expected.folder)
    assert not again(names, graph, tmp_path / "job")[2]


def test_changed_images_are_named(tmp_path, sources, graph, photographs):
    folder = shutil.copytree(sources[0].parent, tmp_path / "pictures")
    names = [folder / path.name for path in sources[:25]]
    job = embed(names, graph, tmp_path / "job")
    facts = np.load(job.folder / "image_files.npy")
    assert facts.dtype == np.int64 and facts.shape == (25, 2)
    for name, (size, time) in zip(names, facts, strict=True):
        assert (name.stat().st_size, name.stat().st_mtime_ns) == (size, time)
    shutil.copy(photographs[1], names[7])
    os.utime(names[7], ns=(0, 7))
    _, embedded, said = again(names, graph, tmp_path / "job")
    assert not embedded and len(said) == 1 and str(names[7]) in said[0] and said[0].startswith("1 of 25 ")
    job.verify()


# ---- the command


def test_the_command(tmp_path, job, sources, graph, capsys):
    assert main(["verify", str(job), "--quiet"]) == 0
    size = sum(file["bytes"] for file in read_manifest(job)["files"].values())
    assert f"whole; 8 files with {size / 1e6:,.1f} MB" in capsys.readouterr().out
    damage(job / "codes.npy", "flipped late")
    damage(job / "stats.npy", "flipped early")
    assert main(["verify", str(job), str(tmp_path / "none"), "--quiet"]) == 1
    said = capsys.readouterr().err
    assert "'codes.npy' is not what the job wrote" in said and "'stats.npy'" in said and "none" in said
    names = tmp_path / "names"
    names.write_text("".join(f"{path}\n" for path in sources))
    given = [str(graph), "--size", "48x64", "--batch-size", str(BATCH), "--codes", "int8,packed", "--quiet"]
    assert main(["embed", str(names), given[0], str(job), *given[1:]]) == 0
    assert "fne: warning: " in capsys.readouterr().err
    assert main(["verify", str(job), "--quiet"]) == 0
    assert main(["embed", str(names), given[0], str(job), *given[1:], "--retry-failed"]) == 0
    assert fne.Job(Path(job)).images_done == IMAGES
