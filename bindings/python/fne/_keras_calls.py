"""What each layer of a Keras model computes in one call of the model."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from fne._layer_names import with_own_names

_one_at_a_time = threading.RLock()


class LayerCalls:
    """Notes what each layer gives while the model is called: layers of nested models, and layers of layers, too.

    A nested model's `layer.output` belongs to the nested model alone, so it is no part of the outer model. What a call
    gives is. In the body of the `with`, the layers' functions `call` are replaced.

    Args:
        tensorflow: the module
        model: a Keras model
    """

    def __init__(self, tensorflow: Any, model: Any) -> None:
        self._tensorflow = tensorflow
        self._layers = list(named_layers(model))
        self._given: list[list[Any]] = []

    def __enter__(self) -> LayerCalls:
        _one_at_a_time.acquire()
        self._given = [[] for _ in self._layers]
        self._replaced: list[tuple[Any, Any]] = []
        for (_, layer), outputs in zip(self._layers, self._given, strict=True):
            self._replaced.append((layer, vars(layer).get("call")))
            vars(layer)["call"] = _noting(outputs, resizing(self._tensorflow, layer) or layer.call)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        for layer, before in self._replaced:
            del vars(layer)["call"]
            if before is not None:
                vars(layer)["call"] = before
        _one_at_a_time.release()

    def tensors(self) -> dict[str, Any]:
        """The tensors that layers gave, by the layers' names.

        A layer in a model has the path of its names, "base/block1/conv", and also its own name, "conv", where no other
        layer has it. Where a layer gives several tensors, as one that is called twice does, they are "base/conv#1" and
        "base/conv#2". What a layer computes inside of a loop is left out, because it has no tensor in the graph.
        """
        result: dict[str, Any] = {}
        own: dict[str, str] = {}
        for (path, layer), outputs in zip(self._layers, self._given, strict=True):
            tensors = self._in_the_graph(outputs)
            for number, tensor in enumerate(tensors, 1):
                suffix = f"#{number}" if len(tensors) > 1 else ""
                result[path + suffix] = tensor
                own[path + suffix] = layer.name + suffix
        return with_own_names(result, own)

    def _in_the_graph(self, outputs: list[Any]) -> list[Any]:
        graph = self._tensorflow.compat.v1.get_default_graph()
        return [
            output
            for output in self._tensorflow.nest.flatten(outputs)
            if isinstance(output, self._tensorflow.Tensor) and getattr(output, "graph", None) is graph
        ]


def _noting(outputs: list[Any], call: Any) -> Any:
    def noting(*arguments: Any, **named: Any) -> Any:
        output = call(*arguments, **named)
        outputs.append(output)
        return output

    return noting


def named_layers(model: Any) -> Iterator[tuple[str, Any]]:
    """The layers in a model with the paths of their names, each layer once."""
    return _named(model, "", {id(model)})


def _named(owner: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    for layer in _inner(owner):
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        yield path + layer.name, layer
        yield from _named(layer, f"{path}{layer.name}/", seen)


def _inner(owner: Any) -> list[Any]:
    """The layers directly in a model or a layer."""
    flattened = getattr(owner, "_flatten_layers", None)
    if flattened is None:
        return list(getattr(owner, "layers", []))
    every = list(flattened(include_self=False, recursive=False))
    known = {id(layer) for layer in every}
    # A model's own list has the order of its layers, and leaves out the model that a Sequential holds inside.
    listed = getattr(owner, "layers", None)
    return list(listed) if isinstance(listed, list) and {id(layer) for layer in listed} <= known else every


def resizing(tensorflow: Any, layer: Any) -> Any:
    """What replaces `call` of an UpSampling2D of Keras 3, which fails where the size is known only when it runs.

    None: the layer is another one, or works.
    """
    if type(layer).__name__ != "UpSampling2D" or type(layer).__module__.split(".")[0] != "keras":
        return None
    if layer.interpolation == "nearest" or layer.data_format != "channels_last":
        return None

    def call(images: Any) -> Any:
        size = tensorflow.shape(images)[1:3] * tensorflow.constant(layer.size)
        return tensorflow.cast(tensorflow.image.resize(images, size, method=layer.interpolation), images.dtype)

    return call
