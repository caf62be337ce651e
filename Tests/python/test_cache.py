"""The folder of converted networks: its limit, what is removed, and several processes at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

import fne
from fne import _cache, _cache_limit

MINUTE = 60


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of at most 10,000 bytes, in a process that has used nothing yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("FNE_CACHE", str(folder))
    monkeypatch.setenv("FNE_CACHE_GB", "0.00001")
    monkeypatch.setattr(_cache_limit, "_used", set())
    folder.mkdir()
    return folder


def written(folder, name, size=3000, minutes=100):
    """A file that was used so many minutes ago."""
    path = folder / name
    path.write_bytes(bytes(size))
    used = time.time() - minutes * MINUTE
    os.utime(path, (used, used))
    return path


def names(folder):
    return sorted(os.listdir(folder))


def test_what_was_used_longest_ago_is_removed(cache):
    """With all files of a network, until the others fit."""
    for minutes, name in [(90, "keras-3-a"), (80, "saved-model-3-b"), (70, "torch-2-c"), (60, "keras-file-3-d")]:
        ending, beside = (".onnx", ".onnx.data") if name.startswith("torch") else (".pb", ".json")
        written(cache, name + ending, 2000, minutes)
        written(cache, name + beside, 1000, minutes)
    path = _cache.cached("keras-3-new.pb", lambda: bytes(4000))
    assert path.read_bytes() == bytes(4000)
    assert names(cache) == [
        "keras-3-new.pb",
        "keras-file-3-d.json",
        "keras-file-3-d.pb",
        "torch-2-c.onnx",
        "torch-2-c.onnx.data",
    ]


def test_one_file_s_use_is_that_of_its_network(cache):
    written(cache, "keras-3-a.pb", minutes=90)
    written(cache, "keras-3-a.json", minutes=20)
    written(cache, "keras-3-b.pb", minutes=50)
    _cache.cached("keras-3-new.pb", lambda: bytes(2000))
    assert names(cache) == ["keras-3-a.json", "keras-3-a.pb", "keras-3-new.pb"]


def test_a_use_is_noted_and_the_time_of_change_stays(cache):
    old, other = written(cache, "keras-3-a.pb", minutes=90), written(cache, "keras-3-b.pb", minutes=80)
    changed = old.stat().st_mtime_ns
    code = "from fne._cache import cached; cached('keras-3-a.pb', lambda: 1 / 0)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert old.stat().st_mtime_ns == changed and time.time() - old.stat().st_atime < MINUTE
    _cache.cached("keras-3-new.pb", lambda: bytes(6000))
    assert old.exists() and not other.exists()


def test_what_is_in_use_stays(cache):
    """What this process has used stays, however long ago, and what any process has used just now."""
    own, recent = written(cache, "keras-3-own.pb"), written(cache, "keras-3-recent.pb", minutes=5)
    assert _cache.cached("keras-3-own.pb", lambda: 1 / 0) == own
    used = time.time() - 100 * MINUTE
    os.utime(own, (used, used))
    other = written(cache, "keras-3-other.pb", minutes=20)
    new = _cache.cached("keras-3-new.pb", lambda: bytes(20000))
    assert names(cache) == sorted(path.name for path in (own, recent, new)) and not other.exists()


def test_other_files_stay(cache):
    """Only what this package makes is removed, also what an ended process has left."""
    for name in ("mine.pb", "keras.pb", "torch-2-c.txt", "notes.json", "keras-3-a.pb.bak"):
        written(cache, name, 9000)
    left = written(cache, "keras-3-a.pb.0123456789abcdef")
    folder = cache / "unfinished-x"
    folder.mkdir()
    written(folder, "torch-2-c.onnx")
    (cache / "keras-3-folder.pb").mkdir()
    (cache / "keras-3-link.pb").symlink_to(written(cache.parent, "outside.pb", 90000))
    os.utime(folder, (time.time() - 3600, time.time() - 3600))
    _cache.cached("keras-3-new.pb", lambda: bytes(9000))
    assert not left.exists() and folder.exists() and (cache.parent / "outside.pb").exists()
    os.utime(folder, (time.time() - 2 * 86400, time.time() - 2 * 86400))
    _cache.cached("keras-3-newer.pb", lambda: bytes(9000))
    others = ["mine.pb", "keras.pb", "torch-2-c.txt", "notes.json", "keras-3-a.pb.bak"]
    assert names(cache) == sorted([*others, *(f"keras-3-{name}.pb" for name in ("folder", "link", "new", "newer"))])


@pytest.mark.parametrize("limit, stays", [("0", True), ("1", True), ("", True), ("0.000001", False)])
def test_the_variable(cache, monkeypatch, limit, stays):
    monkeypatch.setenv("FNE_CACHE_GB", limit)
    old = written(cache, "keras-3-a.pb", 50000)
    _cache.cached("keras-3-new.pb", lambda: bytes(9000))
    assert old.exists() == stays


@pytest.mark.parametrize("limit", ["ten", "-1", "nan", "inf"])
def test_a_variable_that_is_no_number(cache, monkeypatch, limit):
    monkeypatch.setenv("FNE_CACHE_GB", limit)
    with pytest.raises(fne.InvalidArgumentError, match=f"FNE_CACHE_GB is '{limit}'.*0 for no limit"):
        _cache.cached("keras-3-new.pb", lambda: pytest.fail("nothing is made"))


def test_the_default_is_10_gb(monkeypatch):
    monkeypatch.delenv("FNE_CACHE_GB")
    assert _cache_limit.cache_limit() == 10_000_000_000


def test_several_processes(cache):
    """Each makes and reads networks that together are far above the limit. Each finds whole files, and none fails."""
    code = """
import os, random, sys, time
from fne import _cache_limit
from fne._cache import cached, cached_files
_cache_limit._GRACE_SECONDS = 2.0
random.seed(int(sys.argv[1]))
end = time.monotonic() + 3
while time.monotonic() < end:
    _cache_limit._used.clear()
    number = random.randrange(12)
    content = bytes([number]) * 3000
    if number % 2:
        assert cached(f"keras-3-{number}.pb", lambda: content).read_bytes() == content
        continue
    def make(path):
        path.write_bytes(content)
        path.with_name(path.name + ".data").write_bytes(content)
    path = cached_files(f"torch-2-{number}.onnx", make)
    assert path.read_bytes() == path.with_name(path.name + ".data").read_bytes() == content
    time.sleep(random.random() / 20)
"""
    workers = [
        subprocess.Popen([sys.executable, "-c", code, str(number)], stderr=subprocess.PIPE) for number in range(4)
    ]
    for worker in workers:
        _, said = worker.communicate(timeout=60)
        assert worker.returncode == 0, said.decode()
    assert names(cache) and not any(name.startswith("unfinished-") for name in names(cache))


def test_a_file_that_cannot_be_made_leaves_nothing(cache):
    def make(path):
        path.write_bytes(b"half")
        raise fne.GraphError("a fault")

    with pytest.raises(fne.GraphError, match="a fault"):
        _cache.cached_files("torch-2-a.onnx", make)
    assert names(cache) == []
