"""Keras models as frozen graphs."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

from fne._frozen_function import FrozenGraph, freeze, import_tensorflow
from fne._keras_calls import LayerCalls, named_layers
from fne._text import in_short
from fne.errors import FNEError, GraphError, OutOfMemoryError, TensorError

_WAY_OUT = "Export it with model.export('folder') and open the folder, or pass a frozen GraphDef that you made of it"
#: The packages whose classes and functions are the same wherever the configuration is the same.
_KNOWN = {"keras", "tf_keras", "tensorflow", "builtins"}


def keras_of(model: Any) -> ModuleType | None:
    """The Keras package whose Model this is; None: it is no Keras model. This does not import Keras."""
    for name in ("keras", "tf_keras"):
        keras = sys.modules.get(name)
        if keras is not None and isinstance(model, getattr(keras, "Model", ())):
            return keras
    return None


@contextmanager
def keras_errors(what: str, way_out: str = _WAY_OUT) -> Iterator[None]:
    """Makes a GraphError, which says what could not be frozen and what to do, of whatever Keras raises."""
    try:
        yield
    except FNEError:
        raise
    except MemoryError as failure:
        raise OutOfMemoryError(f"there is no memory to freeze {what}") from failure
    except Exception as failure:
        raise GraphError(f"{what} cannot be frozen: {in_short(failure)}. {way_out}") from failure


def identity(model: Any) -> str | None:
    """A checksum of a model's configuration and weights; None: they do not say what it computes (`has_own_code`)."""
    if has_own_code(model):
        return None
    what = f"the Keras model {model.name!r}"
    with keras_errors(what):
        _inputs(model, what)  # without them there may be no weights
        digest = hashlib.sha256(model.to_json().encode())
        for weight in model.get_weights():
            digest.update(str((weight.dtype, weight.shape)).encode())
            digest.update(weight.tobytes())
        return digest.hexdigest()[:32]


def has_own_code(model: Any) -> bool:
    """Whether a model has classes or functions that are not Keras' own, which may change without a trace in it."""
    return not all(map(_is_known, [model, *(layer for _, layer in named_layers(model)), *_operations(model)]))


def _operations(model: Any) -> list[Any]:
    return list(getattr(model, "operations", []))


def _is_known(part: Any) -> bool:
    functions = (value for value in vars(part).values() if isinstance(value, FunctionType))
    return all(thing.__module__.split(".")[0] in _KNOWN for thing in (type(part), *functions))


def keras_graph(model: Any) -> FrozenGraph:
    """A Keras model as a graph whose placeholders are the model's inputs, with the tensors of its layers.

    The placeholder of a single input is named "input". Several have the names of the inputs.

    Raises:
        GraphError: Keras fails, or does not run on TensorFlow
        TensorError: the model's inputs are not known, or none is for images
    """
    tensorflow = import_tensorflow()
    what = f"the Keras model {model.name!r}"
    _check_backend(model, what)
    with keras_errors(what):
        inputs = _inputs(model, what)
        names = [each.name for each in inputs]
        specs = [
            tensorflow.TensorSpec([None, *each.shape[1:]], each.dtype, name=name if len(names) > 1 else "input")
            for each, name in zip(inputs, names, strict=True)
        ]
        calls = LayerCalls(tensorflow, model)
        every = _of_a_list(model)

        def run(*images: Any) -> Any:
            with calls:
                every(list(images), training=False)
            return {**dict(zip(names, images, strict=True)), **calls.tensors()}

        return freeze(tensorflow, run, specs)


def _check_backend(model: Any, what: str) -> None:
    config: Any = getattr(keras_of(model), "config", None)
    backend = config.backend() if hasattr(config, "backend") else "tensorflow"
    if backend != "tensorflow":
        raise GraphError(
            f"{what} runs on {backend}, and only Keras on TensorFlow can be frozen. Save the model with "
            "model.save('model.keras'), set KERAS_BACKEND=tensorflow, and open the file in a new process"
        )


def _inputs(model: Any, what: str) -> list[Any]:
    inputs = _known_inputs(model)
    first: Any = next(iter(getattr(model, "layers", [])), None)
    if not inputs and type(model).__name__ == "Sequential" and len(_known_inputs(first)) == 1:
        model.build(tuple(first.inputs[0].shape))  # as later versions of Keras do by themselves
        inputs = _known_inputs(model)
    if not inputs:
        raise TensorError(
            f"{what} has no input of a known shape. Begin it with keras.Input((height, width, 3)). Or, where it is a "
            "class of your own, call it once on images, export it with model.export('folder'), and open the folder"
        )
    shapes = [tuple(each.shape) for each in inputs]
    if not any(len(shape) == 4 for shape in shapes):
        raise TensorError(f"{what} takes inputs of shapes {shapes}; images are needed, [batch, height, width, 3]")
    return inputs


def _known_inputs(model: Any) -> list[Any]:
    try:
        return list(model.inputs or [])
    except (AttributeError, ValueError):  # what Keras raises depends on its version
        return []


def _of_a_list(model: Any) -> Any:
    """The model as one that takes its inputs as a list, whatever their structure is."""
    base = next(kind for kind in type(model).__mro__ if kind.__name__ == "Model")
    return base(model.inputs, model.outputs, name=model.name)
