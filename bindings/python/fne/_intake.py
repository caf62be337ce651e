"""What is taken of a folder of images, and what is left out."""

from __future__ import annotations

import ctypes
import os
import warnings
from dataclasses import dataclass, field, fields
from typing import Any

from fne import _ffi
from fne._arguments import choice, path_bytes
from fne._ffi import check, lib
from fne._interrupts import Callbacks
from fne.errors import JobWarning

ON_UNREADABLE = {"skip": 0, "raise": 1}


@dataclass
class Changes:
    """How many images an update added and took away.

    Attributes:
        new: images that the job did not have, or that came back
        changed: images that were embedded again, because their files had another size or time
        retried: images that had failed before, and were tried again
        removed: images that are no longer there
        kept: images whose rows stayed as they were
    """

    new: int = 0
    changed: int = 0
    retried: int = 0
    removed: int = 0
    kept: int = 0


@dataclass
class Intake:
    """What a run took of a data set, and what it left out.

    Attributes:
        taken: how many images were embedded, by format: "JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF",
            "JPEG2000" or "other". Images that former runs embedded do not count.
        left_out: how much was left out of the folder, by reason: "hidden" (names that begin with a dot), "no image"
            (by their first bytes), "camera raw", "unreadable file", "unreadable folder", "special file" (pipes, sockets
            and devices) or "broken link"
        changes: of an update, how many images were new, changed, retried, removed and kept
    """

    taken: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    changes: Changes = field(default_factory=Changes)


def intake_of(function: Any, handle: _ffi.Handle) -> Intake:
    """What a function of the library counts for an object."""
    info = _ffi.sized(_ffi.IntakeInfo)
    check(function(handle(), ctypes.byref(info)))
    changes = Changes(**{kind.name: int(getattr(info, f"{kind.name}_count")) for kind in fields(Changes)})
    return Intake(_counts(info.taken, _ffi.FORMATS), _counts(info.left_out, _ffi.LEFT_OUT), changes)


def _counts(numbers: Any, names: dict[int, str]) -> dict[str, int]:
    return {name: int(numbers[number]) for number, name in names.items() if numbers[number]}


class Listing(list[str]):
    """The paths of the images below a folder.

    Attributes:
        names: the same relative to the folder
        intake: an `Intake`, which says what was left out
    """

    names: list[str]
    intake: Intake


def list_images(folder: str | os.PathLike[str], *, on_error: str = "skip") -> Listing:
    """Lists the images below a folder, as `embed_dataset` takes them.

    A file is taken where its name has the ending of an image, such as .jpg, .png, .webp, .tif, .bmp, .avif, .gif or
    .heic. Of any other file the first bytes decide. Names that begin with a dot and cameras' raw files are left out.
    Links are followed, and each real folder is listed once. The list does not depend on what can be decoded.

    Args:
        folder: the folder
        on_error: what is done where a folder or a file below it cannot be read: "skip" it, with a `JobWarning`, or
            "raise"

    Returns:
        the paths, in the order of the bytes of their names

    Raises:
        FileError: the folder cannot be read

    >>> fne.list_images("photographs")[:2]  # doctest: +SKIP
    ['photographs/cats/1.jpg', 'photographs/cats/2.webp']
    """
    fails = choice("on_error", on_error, ON_UNREADABLE)
    out = ctypes.c_void_p()
    with Callbacks() as calls:
        progress = _ffi.LISTING(lambda _user, _found: calls.proceed())
        status = lib.fne_listing_open(path_bytes(folder), fails, progress, None, ctypes.byref(out))
    check(status)
    handle = _ffi.Handle(out.value, lib.fne_listing_close)
    try:
        names = _names(handle)
        result = Listing(os.path.join(os.fsdecode(folder), name) for name in names)
        result.names, result.intake = names, intake_of(lib.fne_listing_intake_info, handle)
    finally:
        handle.close()
    unreadable = {reason: count for reason, count in result.intake.left_out.items() if reason.startswith("unreadable")}
    if unreadable:
        found = ", ".join(f"{count} {reason}s" for reason, count in unreadable.items())
        message = f"'{os.fsdecode(folder)}': {found} left out. on_error=\"raise\" names the first"
        warnings.warn(JobWarning(message), stacklevel=2)
    return result


def _names(handle: _ffi.Handle) -> list[str]:
    name = ctypes.c_char_p()
    names = []
    for index in range(_ffi.count(lib.fne_listing_count, handle)):
        check(lib.fne_listing_name(handle(), index, ctypes.byref(name)))
        names.append(os.fsdecode(name.value or b""))
    return names
