"""Models: frozen TensorFlow GraphDefs and what they hold."""

from __future__ import annotations

import ctypes
import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from fne import _ffi, _freeze
from fne._ffi import check, lib


class TensorInfo(NamedTuple):
    """A tensor of a graph.

    name: without "import/" and ":0"
    operation: TensorFlow's, such as "Conv2D"
    kind: "convolution", "depthwise", "dense", "input" or "other"
    rank, channels: None where the graph does not say them outright
    is_default: taken when no layer is selected
    is_classifier: output of a classifier's last layer, left out unless it is named
    is_classifier_input: what such a layer reads, in front of changes of shape: often the globally pooled last map
    """

    name: str
    operation: str
    kind: str
    rank: int | None
    channels: int | None
    is_default: bool
    is_classifier: bool
    is_classifier_input: bool


class Model:
    """A frozen TensorFlow GraphDef. Needs no TensorFlow.

    Args:
        graph: a path to a .pb file, its bytes, a `tf.compat.v1.GraphDef`; or a `keras.Model` or a SavedModel's folder, which the
            installed tensorflow freezes once, into the cache. Layers may then be called by their Keras names too.
        allow_unsafe: take graphs with operations that are not on the list of those that only compute. A graph is a
            program: with this it may read and write files.

    Raises:
        FileError, GraphError, UnsafeGraphError

    >>> from fne import zoo
    >>> layers = Model(zoo.efficientnet_lite0()).layers()
    >>> len(layers), layers[0].name, layers[0].kind, layers[0].channels
    (49, 'stem/Relu6', 'convolution', 32)
    """

    def __init__(self, graph: Any, *, allow_unsafe: bool = False) -> None:
        self._source = (graph, allow_unsafe)
        options = _ffi.sized(_ffi.ModelOptions)
        options.allow_unsafe = int(bool(allow_unsafe))
        close = lib.fne_model_close
        #: Tensors by the names of Keras' layers; empty but for models that were frozen from one.
        self.aliases: dict[str, str] = {}
        if isinstance(graph, (str, os.PathLike)) and _freeze.is_saved_model(graph):
            graph = _freeze.freeze_saved_model(graph).path
        elif _freeze.is_keras_model(graph):
            graph, self.aliases = _freeze.freeze_keras(graph)
        if self.aliases or isinstance(graph, (str, os.PathLike)):
            self._frozen = graph
        if isinstance(graph, (str, os.PathLike)):
            path = _ffi.path(graph)
            self._handle = _ffi.open_handle(lib.fne_model_open, close, path, ctypes.byref(options))
            return
        if hasattr(graph, "SerializeToString") and hasattr(graph, "node"):
            graph = graph.SerializeToString()
        if not isinstance(graph, (bytes, bytearray, memoryview)):
            raise TypeError(
                f"a model is a path, bytes, a tf.compat.v1.GraphDef, a keras.Model or a SavedModel folder, not {type(graph).__name__}"
            )
        data = bytes(graph)
        if not self.aliases:  # what a pickle holds; a path stays one
            self._source = (data, allow_unsafe)
        self._frozen = data
        self._handle = _ffi.open_handle(lib.fne_model_open_memory, close, data, len(data), ctypes.byref(options))

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, self._source

    def tensors(self) -> list[TensorInfo]:
        """The first output of every node that is no constant, in graph order."""
        result = []
        for index in range(_ffi.count(lib.fne_model_tensor_count, self._handle)):
            info = _ffi.sized(_ffi.TensorInfo)
            check(lib.fne_model_tensor_info(self._handle(), index, ctypes.byref(info)))
            result.append(
                TensorInfo(
                    info.name.decode(),
                    info.operation.decode(),
                    _ffi.KINDS[info.kind],
                    info.rank if info.rank >= 0 else None,
                    info.channels if info.channels >= 0 else None,
                    bool(info.is_default),
                    bool(info.is_classifier),
                    bool(info.is_classifier_input),
                )
            )
        return result

    def layers(self) -> list[TensorInfo]:
        """The default layers' outputs, in graph order."""
        return [tensor for tensor in self.tensors() if tensor.is_default]

    def sha256(self) -> str:
        """Of the GraphDef's bytes, as a job's manifest has it."""
        import hashlib

        source = self._frozen
        data = Path(source).read_bytes() if isinstance(source, (str, os.PathLike)) else source
        return hashlib.sha256(data).hexdigest()

    def resolved(self, layers: str | Sequence[str] | None) -> list[str] | None:
        """Selectors in which Keras' names, and globs over these, stand for their tensors."""
        if layers is None:
            return None
        result = []
        for selector in [layers] if isinstance(layers, str) else layers:
            matching = [name for name in self.aliases if fnmatch.fnmatchcase(name, selector)]
            result += [self.aliases[name] for name in matching] or [selector]
        return list(dict.fromkeys(result))

    def close(self) -> None:
        """Frees the model; extractors opened from it stay usable."""
        self._handle.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _reopened(graph: Any, allow_unsafe: bool) -> Model:
    return Model(graph, allow_unsafe=allow_unsafe)
