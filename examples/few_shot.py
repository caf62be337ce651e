"""A classifier from ten photographs per class, in one page.

    .venv/bin/python examples/few_shot.py FOLDER [--images 10]

FOLDER has one folder of photographs for each class. Photographs outside of these folders are left out. The program
embeds the photographs with the default network, at about 100 images per second on two cores. A second run finds the
features in its cache. It trains a linear SVM on some photographs of each class, and says how well it does on the
others.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy
from sklearn.metrics import classification_report
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

import fne
from fne.sklearn import FullNetworkEmbedder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=10, help="training photographs per class, at least 2")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "few-shot-features")
    given = parser.parse_args()

    paths = [Path(path) for path in fne.list_images(given.folder)]
    paths = [path for path in paths if path.parent != given.folder]
    names = numpy.array([path.relative_to(given.folder).parts[0] for path in paths])
    classes, counts = numpy.unique(names, return_counts=True)
    if len(classes) < 2:
        parser.error(f"{given.folder} has photographs in {len(classes)} folders; two classes are needed")
    # Layers and C are chosen in folds of the training photographs. Each class needs one photograph in each fold.
    folds = min(3, given.images, counts.min())
    if folds < 2:
        fewest = f"; {classes[counts.argmin()]} has {counts.min()}" if counts.min() < 2 else ""
        parser.error(f"each class needs two training photographs or more: --images is {given.images}{fewest}")
    if given.images >= counts.max():
        parser.error(f"--images {given.images} leaves no photograph to test: the largest class has {counts.max()}")
    random = numpy.random.default_rng(0)
    training = numpy.zeros(len(paths), bool)
    for name in classes:
        training[random.permutation(numpy.flatnonzero(names == name))[: given.images]] = True
    files = numpy.array([str(path) for path in paths])

    # The statistics come from the training photographs of each fold. The network sees each photograph once.
    classifier = make_pipeline(FullNetworkEmbedder(cache=given.cache), LinearSVC(dual=True))
    grid = {"linearsvc__C": [1e-4, 1e-3, 1e-2], "fullnetworkembedder__layers": [None, "last:50%"]}
    search = GridSearchCV(classifier, grid, cv=folds).fit(files[training], names[training])
    print(f"{training.sum()} training photographs of {len(classes)} classes; the folds prefer {search.best_params_}")
    print(classification_report(names[~training], search.predict(files[~training]), digits=3))


if __name__ == "__main__":
    main()
