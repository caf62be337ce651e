"""Photographs that are there twice, and labels that look wrong.

    .venv/bin/python examples/find_duplicates.py FOLDER [--job JOB]

FOLDER has one folder of photographs for each class. Two photographs are duplicates if the cosine of their codes is
above a threshold (--duplicate). Every such pair is listed, however many copies there are. A label is doubtful if most
of the nearest photographs have another one. What a photograph shows is compared by the last layers, less their mean.
Photographs outside of the classes' folders have no label.
"""

from __future__ import annotations

import argparse
import collections
import tempfile
from pathlib import Path

import fne


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--job", type=Path, help="where the embedding is kept (a temporary folder)")
    parser.add_argument(
        "--duplicate", type=float, default=0.8, help="cosine above which two are the same photograph (0.8)"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        job = fne.embed_dataset(
            given.folder,
            fne.zoo.efficientnet_lite0(),
            given.job or Path(temporary) / "job",
            codes="packed",
            progress=True,
        )
        good = [image for image in range(len(job)) if job.ok[image]]
        names = [job.names[image] for image in good]
        codes = job.packed_codes()[good]
        if len(codes) < 2:
            parser.error(f"{given.folder} holds {len(codes)} photographs that can be read; two are needed to compare")
        # A photograph may have many copies: more neighbours are asked for until the last one of each is no copy.
        count = min(11, len(codes))
        nearest, cosines = codes.search(codes, count, metric="cosine")
        while count < len(codes) and (cosines[:, -1] > given.duplicate).any():
            count = min(4 * count, len(codes))
            nearest, cosines = codes.search(codes, count, metric="cosine")

    print("duplicates")
    for image, (others, scores) in enumerate(zip(nearest, cosines, strict=True)):
        for other, score in zip(others, scores, strict=True):
            if other > image and score > given.duplicate:
                print(f"  {score:.3f}  {names[image]}  {names[other]}")
    print("doubtful labels: its own label, the one of most neighbours, how many of ten")
    doubts = []
    last = codes.select("last:10%")
    metric = "centred" if len(codes) >= 50 else "cosine"  # the mean of a few codes is not worth taking away
    alike, _ = last.search(last, min(11, len(codes)), metric=metric)
    for image, others in enumerate(alike):
        own = label_of(names[image])
        labels = collections.Counter(label_of(names[other]) for other in [x for x in others if x != image][:10])
        label, votes = labels.most_common(1)[0]
        if own and label and label != own and votes >= 7:
            doubts.append((votes, names[image], own, label))
    for votes, name, own, label in sorted(doubts, reverse=True):
        print(f"  {name}: {own}, {label} ({votes})")


def label_of(name: str) -> str:
    folders = Path(name).parts[:-1]
    return folders[0] if folders else ""


if __name__ == "__main__":
    main()
