"""Photographs that are there twice, and those whose label their neighbours doubt.

    .venv/bin/python examples/find_duplicates.py FOLDER [--job JOB]     FOLDER has a folder of photographs for each class

Two photographs are duplicates where their codes agree far more than those of any other pair; a label is doubtful where most of the
nearest photographs have another one.
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
        nearest, cosines = codes.search(codes, min(11, len(codes)), metric="cosine")

    print("duplicates")
    for image, (others, scores) in enumerate(zip(nearest, cosines, strict=True)):
        for other, score in zip(others, scores, strict=True):
            if other > image and score > given.duplicate:
                print(f"  {score:.3f}  {names[image]}  {names[other]}")
    print("doubtful labels: its own label, the one of most neighbours, how many of ten")
    doubts = []
    for image, others in enumerate(nearest):
        labels = collections.Counter(Path(names[other]).parts[0] for other in others if other != image)
        label, count = labels.most_common(1)[0]
        own = Path(names[image]).parts[0]
        if label != own and count >= 7:
            doubts.append((count, names[image], own, label))
    for count, name, own, label in sorted(doubts, reverse=True):
        print(f"  {name}: {own}, {label} ({count})")


if __name__ == "__main__":
    main()
