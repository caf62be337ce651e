"""Preprocessing that stands beside a model: Hugging Face's preprocessor_config.json and timm's config.json."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from fne._config_entries import Entries
from fne._hugging_face import of_hugging_face
from fne._preprocessing import Preprocessing
from fne._saved import parsed
from fne._timm import of_timm
from fne.errors import FNEError

_READERS = {"preprocessor_config.json": of_hugging_face, "config.json": of_timm}

#: More bytes than any such file has.
_MOST_BYTES = 1 << 20


class Found(NamedTuple):
    """What a file says. The notes are sentences on what was not taken of it. None: it says nothing that can be used."""

    file: Path
    preprocessing: Preprocessing | None
    notes: list[str]


def beside(model: Path) -> Found | None:
    """What stands beside a model's file.

    Files of the model's own name come first, such as "vit.config.json" for "vit.onnx". A folder that is called "onnx"
    may have the files in the folder above it, as on Hugging Face's hub. None: there is no such file.
    """
    folders = [model.parent] + ([model.parent.parent] if model.parent.name == "onnx" else [])
    prefixes = [(model.parent, f"{model.stem}."), *((folder, "") for folder in folders)]
    for folder, prefix in prefixes:
        for name in _READERS:
            found = _read(folder / (prefix + name), name)
            if found is not None:
                return found
    return None


def _read(path: Path, name: str) -> Found | None:
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            return Found(path, None, [f"'{path}' has more than {_MOST_BYTES} bytes; it is not taken"])
        members = parsed(data, {}, f"'{path}'")
    except OSError as failure:  # an FNEError may be one too, and has its sentence
        said = str(failure) if isinstance(failure, FNEError) else f"'{path}' cannot be read: {failure.strerror}"
        return Found(path, None, [f"{said}; it is not taken"])
    except FNEError as failure:
        return Found(path, None, [f"{failure}; it is not taken"])
    entries = Entries(members)
    preprocessing = _READERS[name](entries)
    if preprocessing is None and not entries.notes:
        return None
    notes = [f"'{path}': {note}" for note in entries.notes]
    source = None if preprocessing is None else replace(preprocessing, source=f"'{path}'")
    return Found(path, source, notes)
