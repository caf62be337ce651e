"""What the folders of images say: their split, such as train or test, and their class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

#: Folders of these names are splits of a data set, and no classes.
SPLITS = ("train", "training", "test", "testing", "val", "valid", "validation")


class Place(NamedTuple):
    """split: "" where there is none; label: the class's folder, "" where there is none."""

    split: str
    label: str


def places_in_folders(names: Sequence[str]) -> list[Place]:
    """The split and the class of each image.

    The first folder is the class. Where it is a split's, the folder in it is the class. Of absolute names the folder
    that they have in common does not count.

    >>> places_in_folders(["train/rose/1.jpg", "test/rose/2.jpg", "tulip/3.jpg", "4.jpg"])[1:3]
    [Place(split='test', label='rose'), Place(split='', label='tulip')]
    """
    if names and all(os.path.isabs(name) for name in names):
        common = os.path.commonpath([os.path.dirname(name) for name in names])
        names = [os.path.relpath(name, common) for name in names]
    return [_place(PurePath(name).parts[:-1]) for name in names]


def _place(folders: Sequence[str]) -> Place:
    split = folders[0] if folders and folders[0].lower() in SPLITS else ""
    rest = folders[1:] if split else folders
    return Place(split, rest[0] if rest else "")
