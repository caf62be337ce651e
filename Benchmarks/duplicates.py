"""What `fne duplicates` and `fne mislabels` find: `duplicates.py FOLDER OUT [--network FILE OPTIONS]...`.

FOLDER has a folder of photographs for each class. Features are kept in OUT. Three tables are printed for the default
network and for those that are named, such as

    .venv/bin/python Benchmarks/duplicates.py flowers17 /tmp/out --network mobilenet.pb '{"size": 224, "mean": 127.5}'

1. Copies. Copies of eight photographs, made in one way, are added to the set, for eight choices of photographs. A copy
   is found if its group is the photograph and the copy, alone or with images that are a group without copies too.
2. Groups among the set as it is, and names of their images. Whether these are copies is for people to decide.
3. Labels. 5 % are given another class by chance, five times. Beside `fne mislabels` there is a plain vote (a label is
   doubted where more of ten neighbours have another class than its own).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from figures import figure, print_at_once
from progress import progress

import fne
from fne._command.comparison import comparison
from fne._duplicates import LIMIT, Group, even_rows, groups_of
from fne._folders import places_in_folders
from fne._mislabels import mislabels

ROUNDS, PER_ROUND, FLIPPED, SEEDS = 8, 8, 0.05, 5
Pixels = Any


class Figures(NamedTuple):
    """Labels that were doubted, of these wrong ones, and all wrong ones."""

    doubted: int
    right: int
    wrong: int

    @property
    def precision(self) -> float:
        return self.right / max(self.doubted, 1)

    @property
    def recall(self) -> float:
        return self.right / self.wrong


def _scaled(share: float) -> Callable[[Pixels], Pixels]:
    return lambda image: cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)


def _cropped(image: Pixels) -> Pixels:
    height, width = (int(0.85 * side) for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 3, (image.shape[1] - width) // 3
    return image[top : top + height, left : left + width]


def _grey(image: Pixels) -> Pixels:
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


def _rotated(image: Pixels) -> Pixels:
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 3, 1)
    return cv2.warpAffine(image, turn, (width, height), flags=cv2.INTER_LINEAR)


#: How copies are made, and their JPEG quality.
KINDS: dict[str, tuple[Callable[[Pixels], Pixels], int]] = {
    "half size": (_scaled(0.5), 92),
    "quarter size": (_scaled(0.25), 92),
    "15 % crop": (_cropped, 92),
    "mirror": (lambda image: image[:, ::-1], 92),
    "grey": (_grey, 92),
    "rotated by 3 degrees": (_rotated, 92),
    "JPEG quality 30": (lambda image: image, 30),
}


def write_copies(paths: list[Path], folder: Path) -> None:
    """Writes a copy of each kind of each photograph: folder/KIND/NUMBER.jpg. A file that is there stays as it is."""
    for kind, (change, quality) in KINDS.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number, path in enumerate(paths):
            target = folder / kind / f"{number:03d}.jpg"
            # A file that is written again has another time, of which a job that was kept would warn.
            if target.exists():
                continue
            cv2.imwrite(str(target), change(cv2.imread(str(path))), [cv2.IMWRITE_JPEG_QUALITY, quality])


def embedded(source: Path, graph: Any, output: Path, options: dict[str, Any]) -> fne.Job:
    return fne.embed_dataset(source, graph, output, codes=None, **options)


def coded(features: np.ndarray) -> fne.PackedCodes:
    """Codes by the features' own statistics, as a job over these images has them."""
    statistics = fne.Statistics(features.shape[1])
    statistics.update(features)
    return fne.PackedCodes.pack(fne.ternarize(features, statistics.mean(), statistics.std()))


def groups(features: np.ndarray) -> list[Group]:
    return groups_of(even_rows(coded(features)), LIMIT)


def found_copies(originals: np.ndarray, copies: np.ndarray, chosen: np.ndarray) -> Iterator[tuple[int, int]]:
    """Of each round how many copies are found, and how many groups hold others."""
    known = {frozenset(group.images) for group in groups(originals)}
    partners = {
        image: next((group for group in known if image in group), frozenset()) for image in range(len(originals))
    }
    for start in range(0, len(chosen), PER_ROUND):
        part = chosen[start : start + PER_ROUND]
        found = groups(np.concatenate([originals, copies[start : start + PER_ROUND]]))
        expected = [{len(originals) + number, int(image)} for number, image in enumerate(part)]
        right = [any(pair <= set(group.images) <= pair | partners[min(pair)] for group in found) for pair in expected]
        others = [
            group
            for group in found
            if frozenset(group.images) not in known and not any(pair <= set(group.images) for pair in expected)
        ]
        yield sum(right), len(others)


def with_flipped(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of which some are another class, and which these are."""
    random = np.random.default_rng(seed)
    classes = np.unique(labels)
    wrong = random.choice(len(labels), round(FLIPPED * len(labels)), replace=False)
    result = labels.copy()
    for image in wrong:
        result[image] = random.choice(classes[classes != labels[image]])
    return result, wrong


def plain_vote(codes: fne.PackedCodes, labels: np.ndarray, metric: str) -> np.ndarray:
    nearest, _ = codes.search(codes, 11, metric=metric)
    doubted = []
    for image, others in enumerate(nearest):
        names, votes = np.unique(labels[[other for other in others if other != image][:10]], return_counts=True)
        own = votes[names == labels[image]].sum()
        if votes[names != labels[image]].max(initial=0) > own:
            doubted.append(image)
    return np.array(doubted, int)


def label_figures(job: fne.Job, features: np.ndarray) -> dict[str, Figures]:
    how = comparison(job)
    packed = coded(features)
    known = groups_of(even_rows(packed), LIMIT)
    codes = fne.PackedCodes.pack(packed.unpack()[:, job.columns(how.layers)])
    labels = np.array([place.label for place in places_in_folders(job.names)])
    sums: dict[str, Figures] = {}
    for seed in range(SEEDS):
        given, wrong = with_flipped(labels, seed)
        ways = {
            "fne mislabels": np.array([doubt.image for doubt in mislabels(codes, given.tolist(), known, how.metric)]),
            "plain vote": plain_vote(codes, given, how.metric),
        }
        for name, doubted in ways.items():
            one = Figures(len(doubted), len(np.intersect1d(doubted, wrong)), len(wrong))
            sums[name] = Figures(*np.add(sums.get(name, (0, 0, 0)), one).tolist())
    return sums


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--network", nargs=2, action="append", default=[], metavar=("FILE", "OPTIONS"))
    given = parser.parse_args()
    print_at_once()
    networks = [("EfficientNet-Lite0", fne.zoo.efficientnet_lite0(), {"size": 224})]
    networks += [(Path(file).stem, file, json.loads(options)) for file, options in given.network]
    progress.plan(len(networks) * (len(KINDS) + 2))
    for name, graph, options in networks:
        progress.step(name, "embedding")
        measure(name, graph, options, given.folder, given.out)


def measure(name: str, graph: Any, options: dict[str, Any], folder: Path, out: Path) -> None:
    """Prints the tables of a network."""
    job = embedded(folder, graph, out / f"{name}-set", options)
    images = len(job)
    chosen = np.linspace(0, images - 1, ROUNDS * PER_ROUND).astype(int)
    np.random.default_rng(0).shuffle(chosen)
    write_copies([folder / job.names[image] for image in chosen], out / "copies")
    copies = embedded(out / "copies", graph, out / f"{name}-copies", options)
    originals, changed = np.array(job.features()), np.array(copies.features())
    print(f"\n## {name}, {images} images\n\n| copies | found | other groups, mean of the rounds |\n|---|---|---|")
    for kind in KINDS:
        progress.step(name, kind)
        rows = [number for number, path in enumerate(copies.names) if Path(path).parts[0] == kind]
        rounds = list(found_copies(originals, changed[rows], chosen))
        right, others = (sum(counts) for counts in zip(*rounds, strict=True))
        figure(f"{name}, {kind}, copies found", "%", 100 * right / len(rows), 1)
        figure(f"{name}, {kind}, other groups", "number", [each for _, each in rounds])
        print(f"| {kind} | {right} of {len(rows)} | {others / len(rounds):.2f} |")
    print("\n| score | group in the set as it is |\n|---|---|")
    for group in groups(originals):
        print(f"| {group.score:.3f} | {', '.join(job.names[image] for image in group.images)} |")
    progress.step(name, "labels")
    print("\n| labels | precision, recall |\n|---|---|")
    for way, figures in label_figures(job, originals).items():
        figure(f"{name}, {way}, precision", "ratio", figures.precision)
        figure(f"{name}, {way}, recall", "ratio", figures.recall)
        print(f"| {way} | {figures.precision:.2f}, {figures.recall:.2f} |")


if __name__ == "__main__":
    main()
