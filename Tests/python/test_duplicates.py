"""`fne duplicates` and `fne mislabels`: copies that are made here, on the default network, and wrong labels."""

from __future__ import annotations

import csv
import json
import shutil

import cv2
import numpy as np
import pytest

import fne
from fne._codes import PackedCodes
from fne._command import main
from fne._duplicates import LIMIT, Group, _neighbours, _neighbours_of_all, duplicates, even_rows, groups_of
from fne._folders import places_in_folders
from fne._forest import Edges, spanning_forest
from fne._mislabels import mislabels

COPIED = range(3, 64, 8)


def rotated(image):
    height, width = image.shape[:2]
    return cv2.warpAffine(image, cv2.getRotationMatrix2D((width / 2, height / 2), 3, 1), (width, height))


def scaled(image, share):
    return cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)


def cropped(image):
    height, width = (int(side * 0.85) for side in image.shape[:2])
    return image[10 : 10 + height, 5 : 5 + width]


KINDS = {
    "half": lambda image: scaled(image, 0.5),
    "quarter": lambda image: scaled(image, 0.25),
    "crop": cropped,
    "mirror": lambda image: image[:, ::-1],
    "grey": lambda image: cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR),
    "rotated": rotated,
    "jpeg30": lambda image: image,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """64 pictures, of four parts of photographs each, in train; copies of eight of them in test."""
    folder = tmp_path_factory.mktemp("copies")
    random = np.random.default_rng(4)
    photographs = [cv2.imread(path) for path in fne.zoo.sample_images()]
    for number in range(64):
        parts = [part(photographs[random.integers(len(photographs))], random) for _ in range(4)]
        picture = np.vstack([np.hstack(parts[:2]), np.hstack(parts[2:])])
        write(folder / f"train/{number // 8}/{number:02d}.jpg", picture, 92)
        for kind, change in KINDS.items() if number in COPIED else ():
            quality = 30 if kind == "jpeg30" else 92
            write(folder / f"test/{number // 8}/{number:02d}-{kind}.jpg", change(picture), quality)
    return folder


def part(image, random):
    """A random part of a photograph, turned by chance, 150 pixels a side."""
    side = int(min(image.shape[:2]) * random.uniform(0.3, 0.8))
    top, left = (random.integers(0, length - side + 1) for length in image.shape[:2])
    turned = np.rot90(image[top : top + side, left : left + side], random.integers(4))
    return cv2.resize(turned, (150, 150), interpolation=cv2.INTER_AREA)


def write(path, image, quality):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, quality])


@pytest.fixture(scope="module")
def job(tmp_path_factory, folder, lite0):
    """The pictures, and two copies of eight of them."""
    names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.jpg"))]
    names = [name for name in names if "-" not in name or name.endswith(("-half.jpg", "-mirror.jpg"))]
    output = tmp_path_factory.mktemp("job") / "job"
    return fne.embed_dataset(names, lite0, output, root=folder, size=224, codes="packed")


@pytest.fixture(scope="module")
def features(folder, lite0, tmp_path_factory):
    job = fne.embed_dataset(folder, lite0, tmp_path_factory.mktemp("all") / "job", size=224, codes=None)
    return {name.rsplit("/", 1)[1][:-4]: row for name, row in zip(job.names, job.features(), strict=True)}


def found(features, names):
    """The groups among some images, whose codes are made by their own statistics."""
    rows = np.stack([features[name] for name in names])
    codes = fne.ternarize(rows, rows.mean(0, dtype=np.float64), rows.std(0, dtype=np.float64))
    return [{names[image] for image in group.images} for group in groups_of(even_rows(PackedCodes.pack(codes)), LIMIT)]


ORIGINALS = [f"{number:02d}" for number in range(64)]


@pytest.mark.parametrize("kind", KINDS)
def test_copies_of_a_kind(features, kind):
    pairs = [{f"{number:02d}", f"{number:02d}-{kind}"} for number in COPIED]
    groups = found(features, [*ORIGINALS, *(f"{number:02d}-{kind}" for number in COPIED)])
    assert sum(pair in groups for pair in pairs) >= 7
    assert [group for group in groups if not any(group & pair for pair in pairs)] == []


def test_images_that_are_no_copies(features):
    assert found(features, ORIGINALS) == []


def test_groups_of_three_and_more(features):
    kinds = ("half", "mirror", "rotated")
    expected = [{f"{number:02d}", *(f"{number:02d}-{kind}" for kind in kinds)} for number in COPIED]
    groups = found(features, [*ORIGINALS, *(f"{number:02d}-{kind}" for number in COPIED for kind in kinds)])
    assert sum(group in expected for group in groups) >= 7 and len(groups) <= 8


def points(*places):
    """Rows of norm 1 at these angles, in degrees."""
    turned = np.radians(places)
    return np.stack([np.cos(turned), np.sin(turned)], 1).astype(np.float32)


def test_the_score_is_the_margin():
    """The largest distance inside over the smallest to a row outside, by hand: 1 - cos of the angles."""
    groups = groups_of(points(0, 4, 9, 60, 120, 123), LIMIT)
    far = [1 - np.cos(np.radians(angle)) for angle in (5, 51, 3, 60)]
    assert [group.images for group in groups] == [[4, 5], [0, 1, 2]]
    assert [group.score for group in groups] == pytest.approx([far[2] / far[3], far[0] / far[1]], rel=1e-3)
    assert groups_of(points(0, 10, 22, 35), LIMIT) == []


def test_many_copies():
    """More copies than the neighbours that are asked for first are one group; rows that are all equal are one too."""
    random = np.random.default_rng(1)
    rows = random.normal(size=(300, 64)).astype(np.float32)
    rows[20:70] = rows[20] + 0.01 * random.normal(size=(50, 64))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert [group.images for group in groups_of(rows, LIMIT)] == [list(range(20, 70))]
    equal = PackedCodes.pack(np.ones((40, 5), np.int8))
    assert [group.images for group in groups_of(even_rows(equal), LIMIT)] == [list(range(40))]
    assert groups_of(even_rows(PackedCodes.pack(np.int8([[1, 0], [0, 1]]))), LIMIT) == []


def test_the_spanning_forest():
    """Against Kruskal's algorithm, edge by edge, on graphs with two parts, equal lengths and edges that are twice."""
    random = np.random.default_rng(6)
    for count, edges in ((2, 1), (40, 60), (200, 2000)):
        half = random.integers(0, 2, edges) * (count // 2)
        ends = random.integers(0, max(count // 2, 1), (2, edges)) + half if count > 2 else np.array([[0], [1]])
        lengths = np.float32(random.integers(0, 50, edges))
        firsts, seconds = (np.concatenate([end, end[:5]]) for end in ends)
        lengths = np.concatenate([lengths, lengths[:5]])
        part = len(lengths) // 2
        both = [
            Edges(firsts[:part], seconds[:part], lengths[:part]),
            Edges(firsts[part:], seconds[part:], lengths[part:]),
        ]
        tree, expected = list(range(count)), []
        for edge in np.argsort(lengths, kind="stable"):
            one, other = tree[firsts[edge]], tree[seconds[edge]]
            if one != other:
                tree = [one if name == other else name for name in tree]
                expected.append((firsts[edge], seconds[edge], lengths[edge]))
        assert list(zip(*spanning_forest(both, count), strict=True)) == expected


def test_neighbours_and_groups_in_blocks(monkeypatch):
    """Against a sort of all distances; small blocks and few edges at once change no group."""
    random = np.random.default_rng(7)
    rows = random.normal(size=(300, 64)).astype(np.float32)
    rows[20:70] = rows[20] + 0.01 * random.normal(size=(50, 64))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    groups = groups_of(rows, LIMIT)
    everywhere = 1 - rows.astype(np.float64) @ rows.astype(np.float64).T
    np.fill_diagonal(everywhere, np.inf)

    def check_all(k):
        parts = list(_neighbours_of_all(rows, k))
        np.testing.assert_array_equal(np.concatenate([some for some, _, _ in parts]), np.arange(300))
        distances = np.concatenate([far for _, _, far in parts])
        np.testing.assert_allclose(distances, np.sort(everywhere, axis=1)[:, :k], atol=1e-6)
        found = np.concatenate([places for _, places, _ in parts])
        np.testing.assert_allclose(np.take_along_axis(everywhere, found, 1), distances, rtol=0, atol=2e-5)

    check_all(16)
    monkeypatch.setattr("fne._duplicates._BLOCK_BYTES", 4 * 11 * 30)
    monkeypatch.setattr("fne._duplicates._ROWS_AT_ONCE", 11)
    monkeypatch.setattr("fne._duplicates._MOST_EDGES", 500)
    in_blocks = groups_of(rows, LIMIT)
    check_all(16)
    check_all(3)
    monkeypatch.setattr("fne._duplicates._BLOCK_BYTES", 4 * 11 * 11 * 3)
    check_all(16)
    assert [group.images for group in in_blocks] == [group.images for group in groups] == [list(range(20, 70))]
    assert in_blocks[0].score == pytest.approx(groups[0].score, rel=0.01)
    chosen = np.array([0, 75, 120, 299])
    far = 1 - rows[chosen].astype(np.float64) @ rows.astype(np.float64).T
    far[np.arange(4), chosen] = np.inf
    found, distances = _neighbours(rows, chosen, 7)
    np.testing.assert_array_equal(found, np.argsort(far, axis=1)[:, :7])
    np.testing.assert_allclose(distances, np.sort(far, axis=1)[:, :7], atol=1e-6)


def test_even_rows_are_those_of_an_eigendecomposition(monkeypatch):
    """Against NumPy's on the unpacked codes, for images of the sample and beyond it."""
    monkeypatch.setattr("fne._duplicates._SAMPLE", 200)
    random = np.random.default_rng(3)
    codes = np.sign(random.normal(size=(210, 40)) + random.normal(size=40)).astype(np.int8)
    chosen = codes[np.linspace(0, 209, 200).astype(int)].astype(float)
    values, vectors = np.linalg.eigh((chosen - chosen.mean(0)).T @ (chosen - chosen.mean(0)))
    rows = (codes - chosen.mean(0)) @ vectors / np.sqrt(values)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    even = even_rows(PackedCodes.pack(codes))
    assert even.shape == (210, 41)
    np.testing.assert_allclose(even @ even[:50].T, rows @ rows[:50].T, atol=1e-4)


# ---- the commands


def test_duplicates_across_splits(job, tmp_path, capsys):
    """Lines, JSON, the table and the sheet say the same; what lies in train and test is a leak."""
    assert main(["duplicates", str(job.folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    table, sheet = tmp_path / "copies.csv", tmp_path / "copies.html"
    assert main(["duplicates", str(job.folder), "--json", "--csv", str(table), "-o", str(sheet)]) == 0
    result = json.loads(capsys.readouterr().out)
    groups = [[image["name"] for image in group["images"]] for group in result["groups"]]
    assert groups == [[job.names[image] for image in group.images] for group in sorted_by_leak(result, job)]
    assert result["missing pictures"] == 0 and len(groups) >= 8
    leaks = [group["leak"] for group in result["groups"]]
    assert leaks.count(["test", "train"]) >= 7
    assert leaks == sorted(leaks, key=lambda leak: not leak)
    told = sum("LEAK: the same picture is in test and train" in line for line in lines)
    assert told == leaks.count(["test", "train"])
    assert [line.strip() for line in lines if line.startswith("  ")] == [name for group in groups for name in group]
    with table.open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == [name for group in groups for name in group]
    assert sheet.read_text().count("<img") == sum(map(len, groups))
    assert main(["duplicates", str(job.folder), "--extra"]) == 0
    assert capsys.readouterr().out.splitlines() == [name for group in groups for name in group[1:]]


def sorted_by_leak(result, job):
    """The product's groups, in the order of the command: those across splits first."""
    leaks = {tuple(image["image"] for image in group["images"]): group["leak"] for group in result["groups"]}
    return sorted(duplicates(job), key=lambda group: not leaks[tuple(group.images)])


def test_any_job_will_do(folder, lite0, tmp_path):
    """Codes of bytes, and none, give the groups of packed ones."""
    packed, dense, none = (
        fne.embed_dataset(folder / "test", lite0, tmp_path / str(codes), size=224, codes=codes)
        for codes in ("packed", "int8", None)
    )
    assert duplicates(dense, 0.9) == duplicates(none, 0.9) == duplicates(packed, 0.9) != []


def test_bad_limits_and_options(job, tmp_path, capsys):
    for limit in ("0", "1", "nan"):
        assert main(["duplicates", str(job.folder), "--limit", limit]) == 1
        assert "it must be above 0 and below 1" in capsys.readouterr().err
    assert main(["duplicates", str(job.folder), "--extra", "-o", str(tmp_path / "a.png")]) == 1
    assert "--extra prints names alone" in capsys.readouterr().err


def test_places_in_folders():
    names = ["train/a/1.jpg", "Val/b/x/2.jpg", "a/3.jpg", "4.jpg", "test/5.jpg"]
    expected = [("train", "a"), ("Val", "b"), ("", "a"), ("", ""), ("test", "")]
    assert places_in_folders(names) == places_in_folders([f"/data/{name}" for name in names]) == expected


def test_votes_on_labels():
    """Two classes of codes that are unlike. The wrong label is found; its copies do not vote, and have no other say."""
    random = np.random.default_rng(5)
    centres = random.integers(-1, 2, (2, 400))
    codes = np.repeat(centres, 20, 0)
    noise = random.random(codes.shape) < 0.3
    codes = np.where(noise, random.integers(-1, 2, codes.shape), codes).astype(np.int8)
    codes[1] = codes[2] = codes[0]
    labels = ["b"] * 3 + ["a"] * 17 + ["b"] * 19 + [""]
    packed = PackedCodes.pack(codes)
    groups = [Group([0, 1, 2], 0.0)]
    found = mislabels(packed, labels, groups, "centred")
    assert {(doubt.image, doubt.label, doubt.other) for doubt in found} == {(0, "b", "a"), (1, "b", "a"), (2, "b", "a")}
    assert found == sorted(found, key=lambda doubt: -doubt.score) and all(doubt.score == 1 for doubt in found)
    assert mislabels(packed, ["a"] * 40, groups, "centred") == []


def test_mislabels(folder, lite0, tmp_path, capsys):
    """A picture that is in another's class; the copy that has the right label does not vote for it."""
    for split in ("train", "val"):
        shutil.copytree(folder / "train", tmp_path / "set" / split)
    for number in range(8):  # the validation keeps two of each class
        for path in sorted((tmp_path / f"set/val/{number}").iterdir())[2:]:
            path.unlink()
    wrong = tmp_path / "set/train/2/wrong.jpg"
    shutil.copy(folder / "train/5/43.jpg", wrong)
    job = fne.embed_dataset(tmp_path / "set", lite0, tmp_path / "job", size=224, codes=None)
    table = tmp_path / "doubts.csv"
    options = ["--limit", "0", "--csv", str(table), "-o", str(tmp_path / "doubts.html")]
    assert main(["mislabels", str(job.folder), "--json", *options]) == 0
    result = json.loads(capsys.readouterr().out)
    doubts = {doubt["name"]: doubt for doubt in result["doubts"]}
    assert doubts["train/2/wrong.jpg"]["label"] == "2"
    assert {doubt[key] for doubt in doubts.values() for key in ("label", "other")} <= set("01234567")
    with table.open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == list(doubts)
    assert main(["mislabels", str(job.folder), "--limit", "0"]) == 0
    assert f"{len(doubts)} labels look wrong, of 81 images in 8 classes" in capsys.readouterr().out
    one = fne.embed_dataset(folder / "train/1", lite0, tmp_path / "one", size=224, codes=None)
    assert main(["mislabels", str(one.folder)]) == 1
    assert "lie in 0 folders of classes; two are needed" in capsys.readouterr().err


def test_the_report_has_a_section(job, tmp_path):
    page = tmp_path / "report.html"
    assert main(["report", str(job.folder), "--map", "pca", "-o", str(page)]) == 0
    count = len(duplicates(job))
    section = page.read_text().split("Duplicates and doubtful labels")[1]
    assert f"{count} groups of copies" in section and "a leak: test, train" in section
