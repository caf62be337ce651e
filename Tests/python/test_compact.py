"""Compact codes beside NumPy: the main directions, the rotation, the codes, the file, and what is refused."""

from __future__ import annotations

import ctypes
import hashlib
import json
import pickle
import struct

import numpy as np
import pytest

import fne
from fne import _ffi
from fne._command import main
from fne.compact import FEWEST_IMAGES, CompactCodes

HEADER = struct.Struct("<8sIIQQQQQ")


def features_of(count=600, features=150, seed=1):
    """Rows with an offset that is large against what they differ in, along directions of falling variance."""
    random = np.random.default_rng(seed)
    scales = 0.97 ** np.arange(features)
    mixed = random.normal(size=(count, features)) * scales @ np.linalg.qr(random.normal(size=(features, features)))[0]
    return (mixed + 100 * random.random(features)).astype(np.float32)


@pytest.fixture(scope="module")
def features():
    return features_of()


@pytest.fixture(scope="module")
def compact(features):
    return CompactCodes.fit(features)


def saved_numbers(compact):
    """The numbers of the file, read as the page says."""
    data = compact.to_bytes()
    magic, version, zero, f, c, d, images, text = HEADER.unpack_from(data)
    assert (magic, version, zero, images) == (b"FNECOMP\n", 1, 0, compact.image_count)
    sizes = [f, f * c, c, c * d, d]
    assert len(data) == HEADER.size + 8 * sum(sizes) + text + 64
    assert data[-64:].decode() == hashlib.sha256(data[:-64]).hexdigest()
    mean, basis, variances, rotation, cuts = np.split(
        np.frombuffer(data, "<f8", sum(sizes), HEADER.size), np.cumsum(sizes)[:-1]
    )
    return mean, basis.reshape(f, c), variances, rotation.reshape(c, d), cuts


# ---- fit


def test_fit_is_the_singular_value_decomposition(features, compact):
    centred = features.astype(np.float64) - features.astype(np.float64).mean(0)
    _, values, rows = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(compact.mean, features.astype(np.float64).mean(0), rtol=1e-14)
    np.testing.assert_allclose(compact.variances, values[:64] ** 2 / len(features), rtol=1e-10)
    cosines = np.linalg.svd(rows[:64] @ compact.components)[1]  # of the angles between the two subspaces
    np.testing.assert_allclose(cosines, 1, atol=1e-12)
    agreement = np.abs((rows[:64] * compact.components.T).sum(1))
    np.testing.assert_allclose(agreement, 1, atol=1e-8)
    assert (compact.components.max(0) == np.abs(compact.components).max(0)).all(), "the largest number is positive"


def test_blocks_do_not_show(features, compact, monkeypatch):
    monkeypatch.setattr("fne.compact._BLOCK_BYTES", 4 * 150 * 37)
    streamed = CompactCodes.fit(features)
    np.testing.assert_array_equal(streamed.mean, compact.mean)
    np.testing.assert_allclose(streamed.variances, compact.variances, rtol=1e-12)
    np.testing.assert_allclose(streamed.components, compact.components, atol=1e-9)
    np.testing.assert_array_equal(compact.transform(features).words, whole_words(compact, features))


def whole_words(compact, features):
    """What the library makes of all rows in one call."""
    words = np.empty((len(features), 2, compact.dimensions // 64), np.uint64)
    lib, handle = _ffi.lib, compact._handle()
    status = lib.fne_compact_transform(handle, features.ctypes.data, *features.shape, 3, words.ctypes.data, words.size)
    assert status == 0
    return words


def splitmix64(state):
    """The generator's next state and number, in Python's integers."""
    mask = 2**64 - 1
    state = (state + 0x9E3779B97F4A7C15) & mask
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return state, z ^ (z >> 31)


@pytest.mark.parametrize(("components", "dimensions"), [(64, 512), (3, 3), (5, 70)])
def test_the_rotation_can_be_made_again(features, components, dimensions):
    """By the page's words alone: the generator in integers, and Gram-Schmidt column by column."""
    state, numbers = 20, np.empty((dimensions, components))
    for place in np.ndindex(numbers.shape):
        total = 0
        for _ in range(6):
            state, output = splitmix64(state)
            total += (output >> 32) + (output & 0xFFFFFFFF)
        numbers[place] = total - 6 * 2**32
    columns = []
    for column in numbers.T:
        for _ in range(2):  # the second time removes what rounding left
            for other in columns:
                column = column - (column @ other) * other
        columns.append(column / np.sqrt(column @ column))
    rotation = saved_numbers(CompactCodes.fit(features, components=components, dimensions=dimensions))[3]
    np.testing.assert_allclose(rotation, columns, atol=2e-8)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(components), atol=1e-6)
    assert (rotation == rotation.astype(np.float32)).all()


def test_the_generator_is_the_published_one():
    """The first numbers of SplitMix64 with the seed 1234567, as in the Rosetta Code task of that name."""
    state, numbers = 1234567, []
    for _ in range(5):
        state, output = splitmix64(state)
        numbers.append(output)
    assert numbers == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_the_cuts_are_those_of_the_projections(features, compact):
    mean, basis, _, rotation, cuts = saved_numbers(compact)
    turned = (features.astype(np.float64) - mean) @ basis @ rotation
    np.testing.assert_allclose(cuts, 0.6 * turned.std(0), rtol=1e-10)


# ---- transform


@pytest.mark.parametrize(("components", "dimensions"), [(64, 512), (10, 100), (1, 1), (40, 41)])
def test_codes_are_numpys(features, components, dimensions):
    compact = CompactCodes.fit(features, components=components, dimensions=dimensions)
    mean, basis, _, rotation, cuts = saved_numbers(compact)
    others = features_of(130, seed=2)
    turned = (others.astype(np.float64) - mean) @ basis @ rotation
    expected = np.where(turned > cuts, 1, np.where(turned < -cuts, -1, 0))
    clear = np.abs(np.abs(turned) - cuts) > 1e-9 * cuts
    assert clear.mean() > 0.999
    packed = compact.transform(others)
    assert packed.feature_count == dimensions and packed.layers is None
    np.testing.assert_array_equal(packed.unpack()[clear], expected[clear])
    for threads in (1, 2, 7):
        np.testing.assert_array_equal(compact.transform(others, threads=threads).words, packed.words)
    np.testing.assert_array_equal(compact.transform(others.astype(np.float64)).words, packed.words)
    np.testing.assert_array_equal(compact.transform(others[:1]).words, packed.words[:1])
    assert len(compact.transform(others[:0])) == 0


def test_values_at_a_threshold_are_zero():
    """Numbers that all sums hold exactly: x itself is turned by the identity, and its cut is .5."""
    numbers = [np.zeros(2), np.eye(2), np.ones(2), np.eye(2), np.full(2, 0.5)]
    compact = CompactCodes.from_bytes(forged(numbers))
    rows = np.float32([[0.5, -0.5], [np.nextafter(np.float32(0.5), np.float32(1)), -0.50001], [0, 3.4e38]])
    np.testing.assert_array_equal(compact.transform(rows).unpack(), [[0, 0], [1, -1], [0, 1]])


def test_scores_keep_their_order(features, compact):
    """Compact codes find what the features less their mean find."""
    centred = features - features.mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    near = np.vstack([features[:50], features[:50] + np.random.default_rng(0).normal(0, 0.05, (50, 150))])
    found, _ = compact.transform(features).search(compact.transform(near.astype(np.float32)), k=1, metric="cosine")
    assert (found[:50, 0] == np.arange(50)).all() and (found[50:, 0] == np.arange(50)).mean() > 0.95
    np.testing.assert_allclose(np.diag(unit @ unit.T), 1, rtol=1e-5)


# ---- saving


def test_saved_and_loaded(tmp_path, features, compact):
    compact.save(tmp_path / "compact.fne")
    assert (tmp_path / "compact.fne").read_bytes() == compact.to_bytes()
    for other in (
        CompactCodes.load(tmp_path / "compact.fne"),
        CompactCodes.from_bytes(compact.to_bytes()),
        pickle.loads(pickle.dumps(compact)),
    ):
        assert other.to_bytes() == compact.to_bytes()
        assert (other.image_count, other.layers, other.dimensions) == (600, None, 512)
        np.testing.assert_array_equal(other.transform(features).words, compact.transform(features).words)


def forged(numbers, text=b'{"layers": null, "model_sha256": null}', **header):
    mean, basis, _, rotation, _ = numbers
    fields = {"magic": b"FNECOMP\n", "version": 1, "zero": 0, "f": len(mean), "c": basis.shape[1]}
    fields |= {"d": rotation.shape[1], "images": 200, "size": len(text), **header}
    data = HEADER.pack(*fields.values()) + b"".join(part.astype("<f8").tobytes() for part in numbers) + text
    return data + hashlib.sha256(data).hexdigest().encode()


def test_damage_is_found(compact):
    data = compact.to_bytes()
    for place in [*range(0, HEADER.size, 3), *range(HEADER.size, len(data), 33331), len(data) - 100, len(data) - 1]:
        damaged = bytearray(data)
        damaged[place] ^= 1
        with pytest.raises(fne.errors.SavedDataError):
            CompactCodes.from_bytes(bytes(damaged))
    for size in (0, 1, 55, 56, 119, 120, len(data) - 1):
        with pytest.raises(fne.errors.SavedDataError):
            CompactCodes.from_bytes(data[:size])
    with pytest.raises(fne.errors.SavedDataError):
        CompactCodes.from_bytes(data + b"\0")


def test_impossible_files_are_refused():
    """Their checksums are right."""
    good = [np.zeros(2), np.eye(2), np.ones(2), np.eye(2), np.ones(2)]
    assert CompactCodes.from_bytes(forged(good)).dimensions == 2
    for header in (
        {"version": 2},
        {"zero": 1},
        {"f": 0},
        {"c": 0},
        {"d": 0},
        {"c": 3},
        {"f": 2**63},
        {"d": 2**63},
        {"size": 2**64 - 1},
        {"size": 0},
    ):
        with pytest.raises(fne.errors.SavedDataError):
            CompactCodes.from_bytes(forged(good, **header))
    for part, value, words in (
        (0, np.nan, "mean"),
        (0, 1e39, "mean"),
        (1, 3, "basis"),
        (1, np.inf, "basis"),
        (2, -1, "variance"),
        (3, -3, "rotation"),
        (4, 0, "cut"),
        (4, np.inf, "cut"),
    ):
        numbers = [number.copy() for number in good]
        numbers[part].flat[-1] = value
        with pytest.raises(fne.errors.SavedDataError, match=words):
            CompactCodes.from_bytes(forged(numbers))
    for text in (b"", b"{}", b'{"layers": [1], "model_sha256": null}'):
        with pytest.raises(fne.errors.SavedDataError, match="text of the compact codes"):
            CompactCodes.from_bytes(forged(good, text))


# ---- refusals


def test_refusals(features, compact):
    with pytest.raises(fne.InvalidArgumentError, match=r"there are 199 images, and at least 200 are needed"):
        CompactCodes.fit(features[: FEWEST_IMAGES - 1])
    assert CompactCodes.fit(features[:FEWEST_IMAGES]).image_count == 200
    with pytest.raises(fne.InvalidArgumentError, match=r"differ in 10 directions.*components=10"):
        CompactCodes.fit(np.hstack([features[:, :10]] * 15))
    with pytest.raises(fne.InvalidArgumentError, match="same features"):
        CompactCodes.fit(np.ones((200, 100), np.float32))
    with pytest.raises(fne.InvalidArgumentError, match="at most 8192"):
        CompactCodes.fit(np.zeros((1, 8193), np.float32))
    with pytest.raises(fne.InvalidArgumentError, match="dimensions is 10"):
        CompactCodes.fit(features, dimensions=10)
    with pytest.raises(fne.InvalidArgumentError, match="dimensions is 65537"):
        CompactCodes.fit(features, dimensions=65537)
    with pytest.raises(fne.InvalidArgumentError, match="only a job has layers"):
        CompactCodes.fit(features, layers="penultimate")
    with pytest.raises(fne.InvalidArgumentError, match="must be float32"):
        CompactCodes.fit(np.zeros((300, 4), np.int8))
    with pytest.raises(fne.InvalidArgumentError, match="float32 cannot hold"):
        compact.transform(np.full((1, 150), 0.1))
    with pytest.raises(fne.ShapeMismatchError, match="the rows have 149 features; these codes were fitted to 150"):
        compact.transform(features[:, 1:])
    bad = features.copy()
    bad[300, 7] = np.inf
    for call in (CompactCodes.fit, compact.transform):
        with pytest.raises(fne.NotFiniteError, match="row 300, feature 7"):
            call(bad)


# ---- C


def test_c(features, compact):
    lib, data = _ffi.lib, compact.to_bytes()
    handle = ctypes.c_void_p()
    assert lib.fne_compact_open_memory(data, len(data), ctypes.byref(handle)) == 0
    f, d = ctypes.c_uint64(), ctypes.c_uint64()
    assert lib.fne_compact_sizes(handle, ctypes.byref(f), ctypes.byref(d)) == 0
    assert (f.value, d.value) == (150, 512)
    words = np.full((600, 2, 8), 99, np.uint64)

    def transform(rows, count, features, threads, room):
        return lib.fne_compact_transform(handle, rows, count, features, threads, words.ctypes.data, room)

    rows = features.ctypes.data
    assert transform(rows, 600, 151, 0, words.size) == 18  # FNE_SHAPE_MISMATCH
    assert transform(rows, 600, 150, 0, words.size - 1) == 2  # FNE_BUFFER_TOO_SMALL
    assert transform(rows, 0, 150, 0, words.size) == 1  # FNE_INVALID_ARGUMENT
    assert transform(rows, 2**62, 150, 0, words.size) == 1
    assert transform(rows, 600, 150, 1025, words.size) == 1
    assert transform(None, 600, 150, 0, words.size) == 1
    assert (words == 99).all()
    bad = features.copy()
    bad[599, 149] = np.nan
    assert transform(bad.ctypes.data, 600, 150, 2, words.size) == 15  # FNE_NOT_FINITE
    assert "row 599, feature 149 is NaN" in _ffi.last_error()
    assert transform(rows, 600, 150, 2, words.size) == 0
    lib.fne_compact_close(handle)
    np.testing.assert_array_equal(words, compact.transform(features).words)


# ---- jobs


@pytest.fixture(scope="module")
def job(tmp_path_factory, lite_pictures, graph):
    return fne.embed_dataset(lite_pictures, graph, tmp_path_factory.mktemp("compact") / "job", size=(48, 64))


@pytest.fixture(scope="module")
def lite_pictures(tmp_path_factory):
    """A folder with 210 small pictures, and a file that is none."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(3)
    for number in range(210):
        coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8))
        coarse.resize((64, 48), Image.Resampling.BILINEAR).save(folder / f"{number:03d}.png")
    (folder / "100-none.png").write_bytes(b"no picture")
    return folder


def test_a_job(job, graph, tmp_path):
    assert len(job) == 211 and job.ok.sum() == 210
    last = job.layers[-1]
    rows = np.array(job.features(last.name))
    compact = CompactCodes.fit(job, layers=last.name, components=4, dimensions=64)
    assert compact.layers == [last.name] and compact.image_count == 210
    plain = CompactCodes.fit(rows[job.ok], components=4, dimensions=64)
    np.testing.assert_array_equal(compact.mean, plain.mean)
    np.testing.assert_allclose(compact.components, plain.components, atol=1e-9)
    compact.save(tmp_path / "compact.fne")
    packed = CompactCodes.load(tmp_path / "compact.fne").transform(job)
    np.testing.assert_array_equal(packed.words[job.ok], compact.transform(rows[job.ok]).words)
    assert not packed.words[~job.ok].any() and len(packed) == 211


def test_jobs_that_do_not_fit(job, graph, tmp_path, lite_pictures):
    with pytest.raises(fne.InvalidArgumentError, match=r"has \d+ layers; say which"):
        CompactCodes.fit(job)
    with pytest.raises(fne.InvalidArgumentError, match="needs the job's model"):
        CompactCodes.fit(job, layers="penultimate")
    with pytest.raises(fne.UnknownTensorError):
        CompactCodes.fit(job, layers="nothing")
    model = fne.Model(graph)
    for given in (model, graph):
        fitted = CompactCodes.fit(job, layers="penultimate", model=given, components=2)
        assert fitted.layers == [tensor.name for tensor in model.penultimate()] == [job.layers[-1].name]
    paths = sorted(lite_pictures.glob("00?.png"))
    ten = fne.embed_dataset(paths, graph, tmp_path / "ten", size=(48, 64), crops=10)
    with pytest.raises(fne.InvalidArgumentError, match="ten crops"):
        CompactCodes.fit(ten, layers=ten.layers[-1].name)
    compact = CompactCodes.fit(job, layers=job.layers[-1].name, components=2)
    names_only = json.dumps({"layers": compact.layers, "model_sha256": "0" * 64}).encode()
    with pytest.raises(fne.JobMismatchError, match="another model"):
        CompactCodes.from_bytes(forged(saved_numbers(compact), names_only)).transform(job)
    names_only = json.dumps({"layers": ["elsewhere"], "model_sha256": None}).encode()
    with pytest.raises(fne.UnknownTensorError, match="elsewhere"):
        CompactCodes.from_bytes(forged(saved_numbers(compact), names_only)).transform(job)


def test_the_command(job, graph, lite_pictures, tmp_path, capsys):
    query, file = lite_pictures / "042.png", tmp_path / "compact.fne"
    command = ["search", str(job.folder), str(query), "--model", str(graph), "-k", "3", "--compact", str(file)]
    assert main(command) == 1  # the layer has 32 features, and 64 components are wanted
    assert "differ in" in capsys.readouterr().err and not file.exists()
    compact = CompactCodes.fit(job, layers="penultimate", model=graph, components=8)
    compact.save(file)
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "cosine of the codes less their mean of 512 compact features, 210 images" in printed
    good = np.flatnonzero(job.ok)
    place = job.names.index("042.png")
    packed = compact.transform(job)[good]
    indices, scores = packed.search(packed[good.tolist().index(place)], k=3, metric="centred", expand=2)
    lines = [f"  {score:8.4f}  {job.names[good[index]]}" for index, score in zip(indices[0], scores[0], strict=True)]
    assert printed.splitlines()[-3:] == lines and lines[0].endswith("042.png")
    assert main([*command, "--layers", "penultimate"]) == 1
    assert "leave one of the two out" in capsys.readouterr().err


def test_the_command_fits(tmp_path, lite_pictures, graph, capsys):
    wide = fne.embed_dataset(lite_pictures, graph, tmp_path / "job", size=(48, 64))
    file = tmp_path / "compact.fne"
    arguments = ["search", str(wide.folder), str(lite_pictures / "007.png"), "--model", str(graph), "-k", "1"]
    assert main([*arguments, "--compact", str(file), "--layers", "all"]) == 0
    printed = capsys.readouterr().out
    assert f"{file}: fitted to 210 images" in printed and printed.splitlines()[-1].endswith("007.png")
    assert CompactCodes.load(file).layers == [layer.name for layer in wide.layers]


def test_unfinished_jobs_are_refused(tmp_path, lite_pictures, graph, job):
    def stop(phase, done, total):
        if done > 50:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        fne.embed_dataset(lite_pictures, graph, tmp_path / "job", size=(48, 64), progress=stop)
    begun, last = fne.Job(tmp_path / "job"), job.layers[-1].name
    assert begun.state == "running"
    compact = CompactCodes.fit(job, layers=last, components=2)
    for call in (lambda: CompactCodes.fit(begun, layers=last), lambda: compact.transform(begun)):
        with pytest.raises(fne.InvalidArgumentError, match="is not finished"):
            call()
