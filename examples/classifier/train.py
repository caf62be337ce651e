"""Trains a classifier in Python for classify.cpp.

    .venv/bin/python examples/classifier/train.py FOLDER OUTPUT [--model network.pb] [--size 224]

FOLDER has a folder of photographs for each class. OUTPUT receives what the program needs: statistics.fne (mean and deviation of the
training photographs), weights.f32 (float32 [classes, features + 1], the last column the intercepts) and classes.txt.
"""

from __future__ import annotations

import argparse
import shutil
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
    parser.add_argument("--penalty", type=float, default=1e-3, help="LinearSVC's C")
    given = parser.parse_args()

    model = given.model or fne.zoo.efficientnet_lite0()
    size = (given.size, given.size)
    job = fne.embed_dataset(given.folder, model, given.output / "job", size=size, progress=True)
    good = numpy.flatnonzero(job.ok)
    labels = [Path(job.names[image]).parts[0] for image in good]
    classifier = LinearSVC(C=given.penalty, dual=True).fit(job.codes(images=good).astype(numpy.float32), labels)
    weights = numpy.hstack([classifier.coef_, classifier.intercept_[:, None]])
    if len(weights) == 1:  # two classes have one plane: below it is the first
        weights = numpy.vstack([-weights, weights])

    shutil.copy(job.folder / "statistics.fne", given.output / "statistics.fne")
    weights.astype("<f4").tofile(given.output / "weights.f32")
    (given.output / "classes.txt").write_text("".join(f"{name}\n" for name in classifier.classes_))
    print(f"{len(good)} photographs of {len(classifier.classes_)} classes; written to {given.output}")


if __name__ == "__main__":
    main()
