"""Where a job's network and images were when it ran. The file is beside the job's own: equal jobs do not share it."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fne._arguments import as_path
from fne._cache import cache_folder, write_atomically
from fne._feeds import Feeds, feed_texts
from fne._model import Model
from fne._saved import content, exists, parsed
from fne.errors import FileError, JobWarning, SavedDataError
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


def places_of(model: Model, feeds: Feeds, images: str | None) -> Places:
    """The places of a job that is made with an open model.

    Args:
        feeds: those of the extractor, which come after the model's
    """
    origin = model._origin
    own = origin.options
    return Places(
        _named(origin.graph),
        own.get("signature"),
        own.get("tags"),
        [*feed_texts(own.get("feeds")), *feed_texts(feeds)],
        images,
    )


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


def images_folder(source: Any, root: Any, names: Sequence[str]) -> str:
    """The folder that a job's names are relative to. Of absolute names it is the folder that they have in common.

    Args:
        source, root: as in `fne.embed_dataset`
    """
    if names and all(os.path.isabs(name) for name in names):
        return os.path.commonpath([os.path.dirname(name) for name in names])
    if isinstance(source, (str, bytes, os.PathLike)) and as_path(source).is_dir():
        return str(as_path(source).absolute())
    if root is not None:
        return str(as_path(root).absolute())
    is_list = isinstance(source, (str, bytes, os.PathLike))
    return str(as_path(source).absolute().parent) if is_list else os.getcwd()


def remember(folder: Path, places: Places) -> None:
    """Writes the places of a finished job. Where this fails there is a JobWarning, since the job itself is whole."""
    path = folder / PLACES
    data = json.dumps({"format": _FORMAT, **places._asdict()}, indent=1).encode() + b"\n"
    try:
        for left in folder.glob(f"{PLACES}.{16 * '[0-9a-f]'}"):  # by a run that was killed while it wrote
            left.unlink(missing_ok=True)
        if exists(path) and content(path) == data:
            return
        write_atomically(path, data)
    except (OSError, FileError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else failure
        warnings.warn(
            JobWarning(
                f"the job in '{folder}' is whole, but where its network and its images are could not be written to "
                f"'{path}': {reason}"
            ),
            stacklevel=3,
        )


def recalled(folder: Path) -> Places:
    """The places of a job. A job that was made by a C program says nothing.

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


def common(parts: Sequence[Places]) -> Places:
    """What all shards of a job agree on."""
    first = parts[0] if parts else Places()
    same_model = all(part[:-1] == first[:-1] for part in parts)
    images = first.images if all(part.images == first.images for part in parts) else None
    return first._replace(images=images) if same_model else Places(images=images)
