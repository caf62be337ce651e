"""The classes of a data set: a folder of folders, or a list."""

from __future__ import annotations

import os
from pathlib import Path

import numpy
from numpy.typing import NDArray

from fne._arguments import as_path
from fne._intake import list_images
from fne._saved import content
from fne.errors import InvalidArgumentError


def classes_of(source: str | os.PathLike[str]) -> tuple[list[str], NDArray[numpy.int64], list[str], Path]:
    """The images of a data set, and the class of each.

    Args:
        source: a folder that holds a folder for each class, or a list whose lines are a name, a tab and a class.
            Of a folder, the images of `fne.list_images` are taken. A list is UTF-8, with or without a byte order mark.
            Bytes in it that are not UTF-8 are taken as `os.fsdecode` takes them.

    Returns:
        the names, the labels int64 [N], the names of the classes, and the folder that the names are relative to

    Raises:
        InvalidArgumentError: there are fewer than two classes, or the list is wrong
    """
    path = as_path(source)
    if path.is_dir():
        found = [(name, name.split(os.sep, 1)) for name in list_images(path).names]
        named = [(name, parts[0]) for name, parts in found if len(parts) > 1]
        root = path
    else:
        named = _listed(path)
        root = path.parent
    classes = sorted({label for _, label in named})
    if len(classes) < 2:
        raise InvalidArgumentError(f"'{path}' has {len(classes)} classes; two are needed, each a folder of images")
    number = {name: label for label, name in enumerate(classes)}
    return [name for name, _ in named], numpy.array([number[label] for _, label in named]), classes, root


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
