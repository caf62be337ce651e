"""Files that Keras wrote: .keras, .h5, and folders of the same content."""

from __future__ import annotations

import importlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from fne._frozen_function import import_tensorflow
from fne._keras_graph import keras_errors
from fne._saved import file_errors
from fne.errors import GraphError, NotInstalledError

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_METADATA = "metadata.json"
_MEMBERS = {"config.json", _METADATA}


def is_keras_file(path: Path) -> bool:
    """Whether a whole Keras model is in this file or folder, or Keras' weights, as its first bytes and names say."""
    if os.path.isdir(path):
        return all(os.path.isfile(path / name) for name in _MEMBERS)
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            first = file.read(len(_HDF5))
    except OSError:  # the library tries again what may pass, and names the file
        return False
    return first == _HDF5 or (first.startswith(_ZIP) and zipfile.is_zipfile(path) and _names_in(path) >= _MEMBERS)


def _names_in(path: Path) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):  # not Keras' matter; the library says what the file is
        return set()


def load_keras_file(path: Path) -> Any:
    """The Keras model in a file, by the Keras that is installed. Code in the file is not run.

    Raises:
        NotInstalledError, BackendUnavailableError: Keras, or TensorFlow, is not installed
        GraphError: the file holds weights alone, or Keras cannot read it
    """
    version = _version(path)
    import_tensorflow()
    failures: list[Exception] = []
    for keras in _installed(path, version):
        try:
            with _well_named(path) as named:
                return keras.models.load_model(named, compile=False)
        except Exception as failure:
            failures.append(failure)
    hint = (
        " It was written by Keras 2, which `pip install --no-deps tf_keras` brings." if version.startswith("2.") else ""
    )
    with keras_errors(
        f"the Keras model in '{path}'",
        f"Load it yourself, such as with keras.models.load_model(path, custom_objects={{...}}) or safe_mode=False, and "
        f"pass the model.{hint}",
    ):
        raise failures[0]


def _installed(path: Path, version: str) -> list[ModuleType]:
    """The Keras packages that are installed, the one of the file's version first."""
    found = []
    for name in ("tf_keras", "keras") if version.startswith("2.") else ("keras",):
        try:
            found.append(importlib.import_module(name))
        except ImportError:
            continue
    if not found:
        raise NotInstalledError(
            f"'{path}' is a Keras model, and Keras, which reads it, is not installed: pip install tensorflow-cpu. Or "
            "export it where Keras is, with model.export('folder'), and open the folder"
        )
    return found


@contextmanager
def _well_named(path: Path) -> Iterator[str]:
    """A path whose ending says what is in the file, as Keras goes by the ending."""
    ending = ".keras" if path.is_dir() or _first_byte(path) == _ZIP[:1] else ".h5"
    if path.is_dir() or path.suffix == ending or (ending, path.suffix) == (".h5", ".hdf5"):
        yield str(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        link = os.path.join(folder, "model" + ending)
        os.symlink(path.absolute(), link)
        yield link


def _first_byte(path: Path) -> bytes:
    with file_errors(path), open(path, "rb") as file:
        return file.read(1)


def _version(path: Path) -> str:
    """The version of the Keras that wrote a model; "" where the file does not say."""
    if path.is_dir():
        return _version_in(path, (path / _METADATA).read_bytes())
    if _first_byte(path) == _ZIP[:1]:
        with zipfile.ZipFile(path) as archive:
            return _version_in(path, archive.read(_METADATA))
    return _hdf5_version(path)


def _version_in(path: Path, metadata: bytes) -> str:
    try:
        return str(json.loads(metadata).get("keras_version", ""))
    except (ValueError, AttributeError) as failure:
        raise GraphError(f"the Keras model in '{path}' is damaged: its {_METADATA} cannot be read") from failure


def _hdf5_version(path: Path) -> str:
    """As _version. It refuses HDF5 files that hold no whole model."""
    try:
        import h5py
    except ImportError:
        raise NotInstalledError(
            f"'{path}' is an HDF5 file, such as Keras writes, and h5py, which reads it, is not installed: "
            "pip install tensorflow-cpu"
        ) from None
    try:
        with h5py.File(path, "r") as file:
            facts, groups = dict(file.attrs), set(file)
    except OSError as failure:
        raise GraphError(f"the HDF5 file '{path}' is damaged: {failure}") from failure
    if "model_config" in facts:
        version = facts.get("keras_version", "")
        return version.decode() if isinstance(version, bytes) else str(version)
    if "layer_names" in facts or groups & {"layers", "_layer_checkpoint_dependencies"}:
        raise GraphError(
            f"'{path}' holds the weights of a Keras model alone, and not the network. Build the network in Keras, call "
            f"model.load_weights('{path}'), and pass the model"
        )
    raise GraphError(f"'{path}' is an HDF5 file without a Keras model. Pass a file that model.save(...) wrote")
