"""Where a job's network and images were when it ran. The library writes it to a file that equal jobs do not share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fne import _ffi
from fne._cache import cache_folder
from fne._model import Model
from fne._saved import content, exists, parsed
from fne.errors import FileError, SavedDataError
from fne.zoo._efficientnet import EFFICIENTNET_LITE0, EFFICIENTNET_LITE0_FILES

#: The file in a job's folder.
PLACES = "places.json"

_FORMAT = "fne-places"
_SHAPE = {
    "format": str,
    "model": (None, str),
    "signature": (None, str),
    "tags": (None, [str]),
    "feeds": [str],
    "images": (None, str),
}


class Places(NamedTuple):
    """Where a job's network and images were, on the machine that ran it.

    model: the absolute path of the network's file or folder, or "efficientnet_lite0"; None: it was in memory only, or
        is not known
    signature, tags: what was taken of a SavedModel
    feeds: values for inputs beside the image, as texts "name=value"
    images: the absolute path of the folder that the images' names are relative to; None: it is not known
    """

    model: str | None = None
    signature: str | None = None
    tags: list[str] | None = None
    feeds: Sequence[str] = ()
    images: str | None = None


def set_places(options: Any, model: Model) -> None:
    """Sets in a struct of a job's options what the open model was made of. The library writes it when the job ends."""
    origin = model._origin
    name = _named(origin.graph)
    options.model_source = b"" if name is None else os.fsencode(name)
    signature, tags = origin.options.get("signature"), origin.options.get("tags")
    options.model_signature = None if signature is None else _ffi.text(signature)
    if tags:
        options.model_tags, options.model_tag_count = _ffi.strings([_ffi.text(tag) for tag in tags]), len(tags)


def _named(graph: str | bytes) -> str | None:
    """The path that opens a model again. The default network has its name, since its file can be made anew."""
    if isinstance(graph, bytes):
        return None
    try:
        folder = Path(os.path.abspath(cache_folder()))
        is_default = Path(graph).parent == folder and Path(graph).name in EFFICIENTNET_LITE0_FILES
    except FileError:  # there is no cache
        is_default = False
    return EFFICIENTNET_LITE0 if is_default else graph


def recalled(folder: Path) -> Places:
    """The places of a job. A job without the file says nothing.

    Raises:
        SavedDataError: the file is damaged
    """
    path = folder / PLACES
    if not exists(path):
        return Places()
    found = parsed(content(path), _SHAPE, f"'{path}'")
    if found["format"] != _FORMAT:
        raise SavedDataError(f"'{path}' is damaged: format is missing or wrong")
    return Places(**{name: found[name] for name in Places._fields})
