"""Keras models and SavedModel folders as frozen GraphDefs, and PyTorch modules as ONNX files.

The installed tensorflow or torch makes a file of a model once. The result is kept in the cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fne._cache import cache_folder, cached, cached_files
from fne._frozen_function import FrozenGraph, import_tensorflow
from fne._keras_file import load_keras_file
from fne._keras_graph import has_own_code, identity, keras_graph
from fne._saved import content, file_errors
from fne._saved_model import saved_model_graph
from fne._torch_export import export, image_size, plain_module
from fne._torch_identity import identity as torch_identity
from fne.errors import GraphError

__all__ = [
    "Frozen",
    "checksum",
    "freeze_keras",
    "freeze_keras_file",
    "freeze_saved_model",
    "freeze_torch",
    "import_tensorflow",
    "keras_graph",
]

#: Part of the names in the cache. It changes where graphs or names of layers are made in another way.
_FORMAT = "3"
_TORCH_FORMAT = "1"


class Frozen(NamedTuple):
    """A GraphDef or an ONNX file, and for each Keras layer's name its tensor.

    graph: the path of a file in the cache; or bytes, where nothing short says what the model computes
    """

    graph: Path | bytes
    layers: dict[str, str]


def freeze_keras(model: Any) -> Frozen:
    """A Keras model as a GraphDef. Its name in the cache is a checksum of its configuration and its weights.

    A model with classes or functions that are not Keras' own is not kept, because these may change.
    """
    name = identity(model)
    if name is None:
        made = keras_graph(model)
        return Frozen(made.graph, made.tensors)
    return _kept(f"keras-{_FORMAT}-{name}", lambda: keras_graph(model))


def freeze_keras_file(path: Path) -> Frozen:
    """The Keras model in a file as a GraphDef. Its name in the cache is a checksum of the file."""
    name = f"keras-file-{_FORMAT}-{checksum(path)}"
    if not _is_kept(name):
        model = load_keras_file(path)
        return freeze_keras(model) if has_own_code(model) else _kept(name, lambda: keras_graph(model))
    return _kept(name, lambda: keras_graph(load_keras_file(path)))


def freeze_saved_model(path: Path, signature: str | None = None, tags: Sequence[str] | None = None) -> Frozen:
    """A SavedModel's signature as a GraphDef. Its name in the cache is a checksum of its files and of the choice."""
    choice = hashlib.sha256(repr((signature, tags if tags is None else sorted(tags))).encode()).hexdigest()[:8]
    name = f"saved-model-{_FORMAT}-{checksum(path)}-{choice}"
    return _kept(name, lambda: saved_model_graph(path, signature, tags))


def freeze_torch(module: Any, size: int | Sequence[int] | None) -> Frozen:
    """A PyTorch module as an ONNX file. Its name in the cache is a checksum of its classes, attributes and weights.

    A module with classes or functions that are not of torch, torchvision or timm is not kept, because these may change.
    """
    module = plain_module(module)
    height, width = image_size(size, module)
    name = torch_identity(module)
    if name is None:
        return Frozen(_exported(module, (height, width)), {})
    kept = f"torch-{_TORCH_FORMAT}-{name}-{height}x{width}.onnx"
    return Frozen(cached_files(kept, lambda path: export(module, (height, width), path)), {})


def _exported(module: Any, size: tuple[int, int]) -> bytes:
    """The module as an ONNX file's bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "module.onnx")
        export(module, size, path)
        if len(os.listdir(folder)) > 1:
            raise GraphError(
                f"the PyTorch module {type(module).__name__!r} has own classes and more than 1.5 GB of weights, "
                "and is not kept. Export it yourself with torch.onnx.export, and open the .onnx file"
            )
        return content(path)


def checksum(path: Path) -> str:
    """A checksum of a file, or of all files in a folder with their names."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if os.path.isdir(path) else [path]:
        if not os.path.isfile(file) or file.name == "fingerprint.pb":  # TensorFlow's own checksum, with a random number
            continue
        digest.update(str(file.relative_to(path)).encode() + b"\0")
        with file_errors(file), open(file, "rb") as opened:
            digest.update(
                hashlib.file_digest(opened, "sha256").digest() if sys.version_info >= (3, 11) else opened.read()
            )
    return digest.hexdigest()[:32]


def _is_kept(name: str) -> bool:
    return all((cache_folder() / (name + ending)).exists() for ending in (".json", ".pb"))


def _kept(name: str, make: Callable[[], FrozenGraph]) -> Frozen:
    made: list[FrozenGraph] = []

    def once() -> FrozenGraph:
        if not made:
            made.append(make())
        return made[0]

    # The file of the layers comes first, so that it exists wherever the graph does.
    names = cached(name + ".json", lambda: json.dumps(once().tensors).encode())
    path = cached(name + ".pb", lambda: once().graph)
    return Frozen(path, json.loads(content(names)))
