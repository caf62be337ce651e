"""What a model is opened from: files and folders, told apart by what is in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fne import _freeze
from fne._arguments import as_path, listed
from fne._freeze import Frozen
from fne._keras_file import is_keras_file
from fne._keras_graph import keras_of
from fne._saved import file_errors
from fne._saved_model import is_saved_model
from fne._torch_export import is_torch_module
from fne.errors import FileError, GraphError, InvalidArgumentError
from fne.zoo._efficientnet import EFFICIENTNET_LITE0, efficientnet_lite0
from fne.zoo._pytorch import from_timm, from_torchvision

_CHECKPOINT_WAY_OUT = (
    "Build the network, restore the checkpoint into it with tf.train.Checkpoint(model=model).restore(...) (in "
    "TensorFlow 1 with tf.train.Saver), export it with model.export('folder') or as a frozen GraphDef, and open that"
)


def frozen(
    source: Any,
    signature: str | None = None,
    tags: Sequence[str] | None = None,
    size: int | Sequence[int] | None = None,
) -> Frozen | None:
    """A Keras model, a file of one, a SavedModel's folder or a PyTorch module as a graph. None: it is something else.

    Args:
        size: the images' size, for a PyTorch module

    Raises:
        FNEError: it is a folder or a checkpoint that is no model; the message says what it is
        InvalidArgumentError: a signature or tags are given, and it is no SavedModel; or a size is given, and it is no
            PyTorch module, or none is given and it is one
    """
    if is_torch_module(source):
        _refuse_choices("a PyTorch module", signature, tags)
        return _freeze.freeze_torch(source, size)
    if size is not None:
        raise InvalidArgumentError(
            f"size is for a torch.nn.Module, and the model is a {type(source).__name__}; pass size to fne.Extractor"
        )
    if keras_of(source) is not None:
        _refuse_choices("a Keras model", signature, tags)
        return _freeze.freeze_keras(source)
    if not isinstance(source, (str, os.PathLike)):
        _refuse_choices(type(source).__name__, signature, tags)
        return None
    path = as_path(source)
    if is_saved_model(path):
        return _freeze.freeze_saved_model(path, signature, tags)
    _refuse_choices(f"'{path}'", signature, tags)
    if is_keras_file(path):
        return _freeze.freeze_keras_file(path)
    _refuse_checkpoint(path)
    if os.path.isdir(path):
        raise _wrong_folder(path)
    return None


#: What makes the ONNX file of a network such as "timm:resnet50".
_LIBRARIES: dict[str, Callable[[str], Path]] = {"timm": from_timm, "torchvision": from_torchvision}


def named(source: Any, engine: str | None = None) -> Any:
    """The file of the network that a name stands for. What is no such name is given back as it is.

    Names are "efficientnet_lite0", and those of a library's networks, such as "timm:resnet50".

    Args:
        engine: the library that is to run the network; None: the one that is installed
    """
    if not isinstance(source, str):
        return source
    if source == EFFICIENTNET_LITE0:
        return efficientnet_lite0(engine)
    library, colon, name = source.partition(":")
    return _LIBRARIES[library](name) if colon and library in _LIBRARIES else source


def _refuse_choices(what: str, signature: str | None, tags: Sequence[str] | None) -> None:
    if signature is not None or tags is not None:
        raise InvalidArgumentError(f"a signature and tags are for a SavedModel's folder, and {what} is none")


def _refuse_checkpoint(path: Path) -> None:
    """Refuses the common part of the names of a checkpoint's files, which people pass for the checkpoint."""
    if not os.path.exists(path) and os.path.isfile(f"{path}.index"):
        raise GraphError(f"'{path}' is a checkpoint: weights alone, and not the network. {_CHECKPOINT_WAY_OUT}")


def _wrong_folder(folder: Path) -> FileError | GraphError:
    """The error for a folder that is no SavedModel."""
    with file_errors(folder):
        parts = sorted(folder.iterdir())
    names = [part.name for part in parts]
    if not names:
        return FileError(
            f"the folder '{folder}' is empty. A SavedModel's folder has the file saved_model.pb and the folder "
            "'variables'"
        )
    if "checkpoint" in names or any(name.endswith(".index") for name in names):
        return GraphError(
            f"the folder '{folder}' holds a checkpoint: weights alone, and not the network. {_CHECKPOINT_WAY_OUT}"
        )
    models = [part.name for part in parts if is_saved_model(part)]
    models += [part.name for part in parts if part.suffix in (".pb", ".keras", ".h5") and os.path.isfile(part)]
    if models:
        return FileError(f"the folder '{folder}' is no model; pass one of those in it: {listed(models[:12])}")
    return FileError(
        f"the folder '{folder}' is no model: it has no saved_model.pb. In it are {listed(names[:12])}"
        + (" and others" if len(names) > 12 else "")
    )
