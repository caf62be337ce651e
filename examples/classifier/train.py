"""Trains a classifier in Python for classify.cpp.

    .venv/bin/python examples/classifier/train.py FOLDER OUTPUT [--model network.pb] [--size 224]
        [--channel-order bgr] [--mean 103.939,116.779,123.68] [--scale 1]

FOLDER has one folder of photographs for each class. Photographs outside of these folders are left out. OUTPUT
receives the files that classify.cpp reads:

- preprocessing.txt: what the network is fed with
- statistics.fne: mean and deviation of the training photographs
- weights.f32: float32 [classes, features + 1], the last column being the intercepts
- classes.txt: the classes, one per line
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy
from sklearn.svm import LinearSVC

import fne


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", type=Path, help="a frozen GraphDef (the default network)")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--channel-order", choices=["rgb", "bgr"], default="rgb", help="what the network is fed with")
    parser.add_argument(
        "--mean", type=channels, default="0", help="M or three, as 103.939,116.779,123.68, in the order fed"
    )
    parser.add_argument(
        "--scale", type=channels, default="1", help="S or three: the network is fed (pixel - mean) * scale"
    )
    parser.add_argument("--penalty", type=float, default=1e-3, help="LinearSVC's C")
    given = parser.parse_args()

    model = given.model or fne.zoo.efficientnet_lite0()
    job = fne.embed_dataset(
        given.folder,
        model,
        given.output / "job",
        size=(given.size, given.size),
        channel_order=given.channel_order,
        mean=given.mean,
        scale=given.scale,
        progress=True,
    )
    good = [image for image in numpy.flatnonzero(job.ok) if len(Path(job.names[image]).parts) > 1]
    labels = [Path(job.names[image]).parts[0] for image in good]
    if len(set(labels)) < 2:
        parser.error(f"{given.folder} has photographs in {len(set(labels))} folders; two classes are needed")
    statistics = job.statistics(good)
    codes = job.ternarize(statistics, images=good).astype(numpy.float32)
    classifier = LinearSVC(C=given.penalty, dual=True).fit(codes, labels)
    weights = numpy.hstack([classifier.coef_, classifier.intercept_[:, None]])
    if len(weights) == 1:  # two classes have one plane, and the first lies below it
        weights = numpy.vstack([-weights, weights])

    (given.output / "preprocessing.txt").write_text(
        f"size {given.size}\n"
        f"channel_order {given.channel_order}\n"
        f"mean {' '.join(map(repr, given.mean))}\n"
        f"scale {' '.join(map(repr, given.scale))}\n",
        "ascii",
    )
    (given.output / "statistics.fne").write_bytes(statistics.to_bytes())
    weights.astype("<f4").tofile(given.output / "weights.f32")
    # Names are the file system's bytes, even if they are not UTF-8.
    (given.output / "classes.txt").write_bytes(
        "".join(f"{name}\n" for name in classifier.classes_).encode("utf-8", "surrogateescape")
    )
    print(f"{len(good)} photographs of {len(classifier.classes_)} classes; written to {given.output}")


def channels(text: str) -> tuple[float, ...]:
    numbers = tuple(float(part) for part in text.split(","))
    if len(numbers) not in (1, 3):
        raise ValueError(text)
    return numbers * (3 // len(numbers))


if __name__ == "__main__":
    main()
