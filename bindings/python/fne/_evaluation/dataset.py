"""The classes of a data set: a folder of folders, with or without a split of its own, or a list."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from fne._arguments import as_path, listed
from fne._intake import list_images
from fne._saved import content
from fne.errors import InvalidArgumentError

#: What is done with folders such as train and val.
SPLITS = {
    "auto": "folders such as train and val, with a folder for each class in them, are a split: classifiers are trained "
    "on the one, and tested on the other",
    "none": "each folder is a class",
}

#: The names of a split's folders, in any case. Of those for the test, the first that is there is taken.
_TRAINING = ("train", "training")
_TEST = ("test", "testing", "val", "valid", "validation")

#: So many classes are listed with their images.
_MOST_LISTED = 12


class DataSet(NamedTuple):
    """The images of a data set, and the class of each.

    names: relative to root
    labels: int64 [N], the number of each image's class
    classes: their names
    root: the folder that the names are relative to
    is_test: bool [N], the images for the test, where the data set has a split of its own
    notes: what a user should know, in sentences
    source: what it was read from
    """

    names: list[str]
    labels: NDArray[numpy.int64]
    classes: list[str]
    root: Path
    is_test: NDArray[numpy.bool_] | None = None
    notes: Sequence[str] = ()
    source: Path = Path()

    def described(self) -> list[str]:
        """What was found, in lines: the classes with the number of their images, the split, and the notes."""
        counts = numpy.bincount(self.labels, minlength=len(self.classes)).tolist()
        found = f"{len(self.classes)} classes, {len(self.names)} images: "
        if len(self.classes) <= _MOST_LISTED:
            found += ", ".join(f"{name} {count}" for name, count in zip(self.classes, counts, strict=True))
        else:
            least, most = (counts.index(count) for count in (min(counts), max(counts)))
            found += f"from {counts[least]} ('{self.classes[least]}') to {counts[most]} ('{self.classes[most]}')"
        return [found, *self.notes]


def data_set(source: str | os.PathLike[str], split: str = "auto") -> DataSet:
    """The images of a data set, and the class of each.

    Args:
        source: a folder that holds a folder for each class; a folder that holds such folders for the training and for
            the test; or a list whose lines are a name, a tab and a class. Of a folder, the images of `fne.list_images`
            are taken. A list is UTF-8, with or without a byte order mark. Bytes in it that are not UTF-8 are taken as
            `os.fsdecode` takes them.
        split: a name of SPLITS

    Raises:
        InvalidArgumentError: there are fewer than two classes, a class has no image for the training, or the list is
            wrong
    """
    path = as_path(source)
    if not path.is_dir():
        return _labelled(path, path.parent, _listed(path))
    found = [Path(name) for name in list_images(path).names]
    folders = _split_folders(found) if split == "auto" else None
    return _by_class(path, found) if folders is None else _by_split(path, found, *folders)


def _labelled(path: Path, root: Path, named: Sequence[tuple[str, str]]) -> DataSet:
    """A data set of names and their classes."""
    classes = sorted({label for _, label in named})
    if len(classes) < 2:
        raise InvalidArgumentError(f"'{path}' has {len(classes)} classes; two are needed, each a folder of images")
    number = {name: label for label, name in enumerate(classes)}
    labels = numpy.array([number[label] for _, label in named], numpy.int64)
    return DataSet([name for name, _ in named], labels, classes, root, source=path)


def _by_class(path: Path, found: Sequence[Path]) -> DataSet:
    """The data set of a folder that holds a folder for each class."""
    result = _labelled(path, path, [(str(name), name.parts[0]) for name in found if len(name.parts) > 1])
    notes = []
    beside = len(found) - len(result.names)
    if beside:
        notes.append(f"warning: {beside} images lie beside the folders of the classes, and are left out")
    deeper = Counter(name.parts[0] for name in found if len(name.parts) > 2)
    inside: dict[str, list[str]] = {}
    for name in found:
        if len(name.parts) > 2 and name.parts[1] not in inside.setdefault(name.parts[0], []):
            inside[name.parts[0]].append(name.parts[1])
    for label, count in deeper.items():
        notes.append(
            f"warning: {count} images of the class '{label}' lie in folders inside of it, such as "
            f"'{inside[label][0]}', and count as '{label}'"
        )
    return result._replace(notes=notes)


def _split_folders(found: Sequence[Path]) -> tuple[str, str] | None:
    """The folders for the training and for the test. None: the folders are no split, but classes."""
    inside: dict[str, set[str]] = {}
    for name in found:
        if len(name.parts) > 1:
            inside.setdefault(name.parts[0], set()).update(name.parts[1:-1][:1])
    if any(folder.lower() not in (*_TRAINING, *_TEST) for folder in inside):
        return None
    training = [folder for folder, classes in inside.items() if folder.lower() in _TRAINING and len(classes) > 1]
    test = [folder for name in _TEST for folder, classes in inside.items() if folder.lower() == name and classes]
    return (training[0], test[0]) if len(training) == 1 and test else None


def _by_split(path: Path, found: Sequence[Path], training: str, test: str) -> DataSet:
    """The data set of a folder that holds folders of classes for the training and for the test."""
    taken = [name for name in found if name.parts[0] in (training, test) and len(name.parts) > 2]
    result = _labelled(path, path, [(str(name), name.parts[1]) for name in taken])
    is_test = numpy.array([name.parts[0] == test for name in taken])
    for part, mask in ((training, ~is_test), (test, is_test)):
        counts = numpy.bincount(result.labels[mask], minlength=len(result.classes))
        empty = [name for name, count in zip(result.classes, counts, strict=True) if not count]
        if empty and part == training:
            raise InvalidArgumentError(
                f"'{path / training}' has no images of {listed(empty[:_MOST_LISTED])}, which '{test}' has; the classes "
                "of the test must be those of the training. If these folders are no split, take the split 'none'"
            )
    notes = [
        f"the folders are a split: {int((~is_test).sum())} images of '{training}' are for the training, "
        f"{int(is_test.sum())} of '{test}' for the test"
    ]
    if empty:
        notes.append(f"warning: '{test}' has no images of {listed(empty[:_MOST_LISTED])}, which are not tested")
    others = Counter(name.parts[0] if len(name.parts) > 1 else "" for name in found)
    others.subtract(name.parts[0] for name in taken)
    for folder, count in others.items():
        if count:
            where = f"of '{folder}'" if folder else "beside these folders"
            why = " in no class's folder" if folder in (training, test) else ""
            notes.append(f"warning: {count} images {where}{why} are left out")
    return result._replace(is_test=is_test, notes=notes)


def _listed(path: Path) -> list[tuple[str, str]]:
    """The names and the classes of a list."""
    text = content(path).decode("utf-8-sig", "surrogateescape")
    if "\0" in text:
        raise InvalidArgumentError(f"'{path}' holds zero bytes; a list is text in UTF-8")
    named: list[tuple[str, str]] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        name, tab, label = line.rstrip("\r").rpartition("\t")
        label = label.strip()
        if not tab:
            raise InvalidArgumentError(
                f"'{path}', line {number}: each line must be an image's name, a tab, and its class"
            )
        if not name.strip() or not label:
            raise InvalidArgumentError(f"'{path}', line {number}: the {'class' if name.strip() else 'name'} is empty")
        first = lines.setdefault(os.path.normpath(path.parent / name), number)
        if first != number:
            raise InvalidArgumentError(f"'{path}': line {number} names '{name}' again, which is on line {first}")
        named.append((name, label))
    return named
