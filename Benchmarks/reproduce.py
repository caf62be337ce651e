"""The evaluation on data that needs no download: scikit-learn's digits, with the default network.

    make reproduce

It shows that the whole way works on this machine; what docs/results.md claims rests on photographs.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_digits

import fne

IMAGES_PER_DIGIT = 30


def main() -> None:
    digits = load_digits()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "digits"
        for label in range(10):
            (folder / str(label)).mkdir(parents=True)
            for number in np.flatnonzero(digits.target == label)[:IMAGES_PER_DIGIT]:
                pixels = (digits.images[number] * 15.9375).astype(np.uint8)
                large = cv2.resize(pixels, (96, 96), interpolation=cv2.INTER_CUBIC)
                cv2.imwrite(str(folder / str(label) / f"{number}.png"), large)
        result = fne.evaluate(
            folder,
            fne.zoo.efficientnet_lite0(),
            "build/reproduce",
            images_per_class=(1, 5, 10),
            seeds=3,
            representations=("fne", "fne last 50%", "standardized", "l2", "penultimate", "outputs"),
            classifiers=("svm", "centroid", "knn"),
            progress=True,
        )
    print(result.table())
    print("written to build/reproduce: evaluation.json, accuracy.png, shares.png, confusion.png")


if __name__ == "__main__":
    main()
