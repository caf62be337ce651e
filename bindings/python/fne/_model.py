"""Models: frozen TensorFlow GraphDefs, and the tensors that they hold."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy

from fne import _ffi
from fne._arguments import as_path, as_size, choice, path_bytes
from fne._backend import load_backend
from fne._feeds import Feeds, set_feeds
from fne._ffi import check, lib
from fne._layer_names import several
from fne._model_source import frozen as frozen_source
from fne._model_source import named
from fne._saved import content, exists
from fne._selection import select
from fne._torch_export import has_weights_beside, is_torch_module
from fne.errors import InvalidArgumentError, InvalidTypeError, MissingFileError, UnknownTensorError

_OTHER = "other/"

#: For each engine, why it does not run a network of the other one, and what to do.
_WRONG_ENGINE = {
    "tensorflow": "is an ONNX file, which TensorFlow does not run. Leave engine out, or open the network as a "
    "frozen GraphDef, a Keras model or a SavedModel",
    "onnxruntime": "is a TensorFlow graph, which ONNX Runtime does not run. Leave engine out, or convert the "
    "network to ONNX with tf2onnx, and open that",
}


class TensorInfo(NamedTuple):
    """A tensor of a graph.

    name: without "import/" and ":0"
    operation: such as TensorFlow's "Conv2D" or ONNX's "Conv"
    kind: "convolution", "depthwise", "dense", "input" or "other"
    rank, channels: None where the graph does not state them. `Model.shapes` gives the shapes for an image size.
    is_default: whether it is taken when no layers are selected
    is_classifier: whether it is the output of a classifier's last layer, which is taken only when it is selected
    is_classifier_input: whether a classifier's last layer reads it, before changes of shape. In most networks it is the
        globally pooled last map.
    is_penultimate: whether the selector "penultimate" selects it
    module: the path of the layer's module in PyTorch, such as "features.0", where an ONNX file keeps it; else None
    """

    name: str
    operation: str
    kind: str
    rank: int | None
    channels: int | None
    is_default: bool
    is_classifier: bool
    is_classifier_input: bool
    is_penultimate: bool = False
    module: str | None = None


class ModelInput(NamedTuple):
    """What a network reads.

    name: the tensor that images are fed to, without "import/" and ":0"
    size: (height, width) in pixels; None stands for a side that the network leaves open
    channels: the numbers per pixel, 3 or 1; None: the network leaves it open
    whole_numbers: whether the network reads whole numbers, such as uint8, and is fed with the pixels as they are
    """

    name: str | None
    size: tuple[int | None, int | None]
    channels: int | None
    whole_numbers: bool


class Origin(NamedTuple):
    """What opens a model again, in a copy or in another process.

    graph: the absolute path that was given, or the graph's bytes
    options: the other arguments of `Model`
    is_cached: whether the path is that of a file in the cache, which other machines lack
    """

    graph: str | bytes
    options: dict[str, Any]
    is_cached: bool = False

    def portable(self) -> Origin:
        """The same for another machine: the graph's bytes stand for a file of the cache.

        A file that has its weights beside it, more than 1.5 GB, stays a path. It is found where the cache is the same.
        """
        if not self.is_cached or has_weights_beside(self._path):
            return self
        return Origin(content(self._path), self.options)

    def model(self) -> Model:
        """The model, opened again.

        Raises:
            MissingFileError: it is in the cache of another machine
        """
        if self.is_cached and not exists(self._path):
            raise MissingFileError(
                f"there is no '{self._path}', the cache's file of this network where it was opened first. With more "
                "than 1.5 GB of weights, it does not travel with a copy. Copy the file and those beside it that begin "
                "with its name to the same place, or open the network here"
            )
        return Model(self.graph, **self.options)

    @property
    def _path(self) -> Path:
        return Path(os.fsdecode(self.graph))


class Model:
    """A frozen TensorFlow GraphDef, or an ONNX file. To open one takes neither TensorFlow nor ONNX Runtime.

    Models can be copied and pickled. A pickle holds the path of the model's file, which is opened again where it is
    loaded. Of bytes, a GraphDef, a Keras model or a PyTorch module it holds the bytes of the graph. A PyTorch module of
    more than 1.5 GB stays in the cache, and its pickle is for processes that have the same cache.

    Args:
        graph: a path to a .pb or .onnx file, its bytes, a `tf.compat.v1.GraphDef`, or "efficientnet_lite0" for the
            default network (`fne.zoo.efficientnet_lite0`). "timm:resnet50" and "torchvision:resnet50" are networks of
            these libraries with their weights (`fne.zoo.from_timm`, `fne.zoo.from_torchvision`). An extractor then
            prepares images as the library does. The weights of an ONNX file may be in files beside it. Its layers may
            be called by the paths of PyTorch's modules, such as "features.0", where the exporter kept them. A
            `keras.Model`, the path of a model that Keras saved (.keras or .h5), and a SavedModel's folder are taken
            too: the installed tensorflow freezes these once, into the cache. Layers of Keras models may be called by
            their Keras names as well. A layer "conv" in a nested model "base" is "base/conv", and also "conv" where no
            other layer has this name. The outputs of a layer that is called twice are "conv#1" and "conv#2", and
            "conv" stands for both. A `torch.nn.Module` is exported once, into the cache, by the installed torch, as it
            computes in evaluation mode. The module stays as it is. Its layers may be called by the paths of its
            modules.
        signature: the signature of a SavedModel; None: "serving_default", or the only one
        tags: the tags of a SavedModel's graph; None: those of the only graph, or "serve"
        allow_unsafe: take a graph whose operations are not all on the list of those that only compute. A graph is a
            program, and with this it may read and write files.
        feeds: values for inputs beside the image, such as `{"phase_train": False}`: numbers, truth values or arrays.
            Texts such as `["phase_train=false"]` are taken too. A value becomes a constant of the graph, and what
            follows from it is simplified. A value that lacks the first axis of the input's shape is given to each
            image of a batch.
        engine: the library that is to run the network, "tensorflow" or "onnxruntime"; None: the one that does. The file
            decides: TensorFlow runs graphs of TensorFlow, and ONNX Runtime runs ONNX files.
        size: for a `torch.nn.Module`, the size of its images: one number or (height, width)

    Raises:
        FileError, GraphError, UnknownTensorError, InvalidArgumentError
        InvalidArgumentError: another engine runs the network than the one that was asked for
        TensorError: a Keras model or a signature takes no images
        InvalidArgumentError: the SavedModel has no such signature or tags; the message lists what there is
        BackendUnavailableError, NotInstalledError: what freezes the model is not installed

    >>> from fne import zoo
    >>> layers = Model(zoo.efficientnet_lite0()).layers()
    >>> len(layers), layers[0].name, layers[0].kind, layers[0].channels
    (49, 'stem/Relu6', 'convolution', 32)
    """

    def __init__(
        self,
        graph: Any,
        *,
        signature: str | None = None,
        tags: Sequence[str] | None = None,
        allow_unsafe: bool = False,
        feeds: Feeds = None,
        engine: str | None = None,
        size: int | Sequence[int] | None = None,
    ) -> None:
        given, graph = graph, named(graph, engine)
        tags = [tags] if isinstance(tags, str) else tags
        choices = {"allow_unsafe": bool(allow_unsafe), "feeds": deepcopy(feeds)}
        options = _ffi.sized(_ffi.ModelOptions)
        options.allow_unsafe = int(bool(allow_unsafe))
        set_feeds(options, feeds)
        close = lib.fne_model_close
        #: The tensors of Keras' layers by the layers' names; empty for a model that was not made by Keras.
        self.aliases: dict[str, str] = {}
        if isinstance(graph, (str, os.PathLike)):
            self._origin = Origin(
                str(as_path(graph).absolute()),
                {"signature": signature, "tags": tags, **choices},
                is_cached=graph is not given,
            )
        is_given = isinstance(graph, (str, os.PathLike))
        frozen = frozen_source(graph, signature, tags, size)
        if frozen is not None:
            graph, self.aliases = frozen.graph, frozen.layers
            if not is_given and isinstance(graph, (str, os.PathLike)):
                self._origin = Origin(str(as_path(graph).absolute()), choices, is_cached=True)
        if isinstance(graph, (str, os.PathLike)):
            path = path_bytes(graph)
            self._handle = _ffi.open_handle(lib.fne_model_open, close, path, ctypes.byref(options))
            self.check_engine(engine)
            return
        if hasattr(graph, "SerializeToString") and hasattr(graph, "node"):
            graph = graph.SerializeToString()
        if not isinstance(graph, (bytes, bytearray, memoryview)):
            if hasattr(graph, "as_graph_def"):
                raise InvalidTypeError(
                    f"a {type(graph).__name__} of TensorFlow is no model yet; pass its .as_graph_def(), in which the "
                    "variables must be constants"
                )
            raise InvalidTypeError(
                "a model is a path, bytes, a tf.compat.v1.GraphDef, a keras.Model, a torch.nn.Module or a SavedModel's "
                f"folder, not {type(graph).__name__}"
            )
        data = bytes(graph)
        if not is_given:
            self._origin = Origin(data, choices)
        self._handle = _ffi.open_handle(lib.fne_model_open_memory, close, data, len(data), ctypes.byref(options))
        self.check_engine(engine)

    def __reduce__(self) -> tuple[Any, ...]:
        return reopened, (self._origin.portable(), self.aliases)

    def tensors(self) -> list[TensorInfo]:
        """The first output of every node that is not a constant, in the graph's order."""
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
                    bool(info.is_penultimate),
                    None if info.module is None else info.module.decode(),
                )
            )
        return result

    def layers(self) -> list[TensorInfo]:
        """The outputs of the default layers, in the graph's order."""
        return [tensor for tensor in self.tensors() if tensor.is_default]

    def penultimate(self) -> list[TensorInfo]:
        """The tensors that the selector "penultimate" selects: what the classifiers read, in the graph's order.

        These are default layers where a classifier reads their outputs, also several that are concatenated, such as the
        branches of the last Inception block. Where it reads something else, such as a residual sum, it is this tensor.
        The list is empty where the graph has no classifier.
        """
        return [tensor for tensor in self.tensors() if tensor.is_penultimate]

    def notes(self) -> list[str]:
        """What a user should know about the network, in sentences, such as which layers cannot be taken."""
        result = []
        for index in range(_ffi.count(lib.fne_model_note_count, self._handle)):
            note = ctypes.c_char_p()
            check(lib.fne_model_note(self._handle(), index, ctypes.byref(note)))
            result.append((note.value or b"").decode())
        return result

    def shapes(
        self, input_tensor: str | None = None, size: int | tuple[int, int] | None = None
    ) -> list[tuple[int, ...] | None]:
        """The shapes of `tensors()` for an image size, as far as they follow from the graph.

        Args:
            input_tensor: the tensor that images are fed to; None: the graph's only placeholder that can take images
            size: (height, width) in pixels, or one number for a square; None: what the graph's placeholder says

        Returns:
            for each tensor its shape. The first dimension is counted per image: 1 stands for n, and 16 for 16 n. None
            stands for a shape that is not known, and for one whose first dimension does not grow with the images.

        Raises:
            InvalidArgumentError: the size is not known, or is not the graph's
            BackendUnavailableError: the network is an ONNX file, whose shapes ONNX Runtime computes, and that is not
                found

        >>> from fne import zoo
        >>> model = Model(zoo.efficientnet_lite0())
        >>> dict(zip([tensor.name for tensor in model.tensors()], model.shapes()))["stem/Relu6"]
        (1, 112, 112, 32)
        """
        count = _ffi.count(lib.fne_model_tensor_count, self._handle)
        ranks = numpy.empty(count, numpy.int32)
        dimensions = numpy.empty((count, _ffi.SHAPE_RANK), numpy.int64)
        height, width = (0, 0) if size is None else as_size("size", size)
        name = None if input_tensor is None else _ffi.text(input_tensor)
        given = ranks.ctypes.data, dimensions.ctypes.data, count
        if self.engine == "onnxruntime":
            load_backend(engine=self.engine)
        check(lib.fne_model_shapes(self._handle(), name, height, width, *given))
        return [tuple(row[:rank].tolist()) if rank >= 0 else None for rank, row in zip(ranks, dimensions, strict=True)]

    def input(self, input_tensor: str | None = None) -> ModelInput:
        """What the network reads, as far as its file fixes it.

        Args:
            input_tensor: as in `fne.Extractor`

        Raises:
            UnknownTensorError: there is no such input, or more than one could be meant
            TensorError: images cannot be fed to it
        """
        info = _ffi.sized(_ffi.InputInfo)
        name = None if input_tensor is None else _ffi.text(input_tensor)
        check(lib.fne_model_input_info(self._handle(), name, ctypes.byref(info)))
        return ModelInput(
            None if info.name is None else info.name.decode(),
            (info.height or None, info.width or None),
            info.channels or None,
            bool(info.whole_numbers),
        )

    @property
    def file(self) -> str | None:
        """The absolute path that the model was opened from; None: it was not opened from a path."""
        return self._origin.graph if isinstance(self._origin.graph, str) else None

    def check_engine(self, engine: str | None) -> None:
        """Checks that an engine runs the network. None stands for the one that does.

        Raises:
            InvalidArgumentError: another one does; the message says what to do
        """
        if engine is None:
            return
        reason = choice("engine", engine, _WRONG_ENGINE)
        if engine != self.engine:
            raise InvalidArgumentError(f"{self.file or 'the model'} {reason}")

    @property
    def engine(self) -> str:
        """The library that runs the network: "tensorflow", or "onnxruntime" for an ONNX file."""
        engine = ctypes.c_char_p()
        check(lib.fne_model_engine(self._handle(), ctypes.byref(engine)))
        return (engine.value or b"").decode()

    def sha256(self) -> str:
        """The SHA-256 of the network's bytes. A job's manifest holds it too.

        The bytes of the files beside an ONNX file follow its own, in the order of their names.
        """
        digits = ctypes.create_string_buffer(65)
        check(lib.fne_model_sha256(self._handle(), digits))
        return digits.value.decode()

    def resolved(self, layers: str | Sequence[str] | None) -> list[str] | None:
        """The same selectors, where tensors stand for other names of layers and for globs over these.

        Other names are those of Keras' layers, and the paths of PyTorch's modules in an ONNX file.
        """
        if layers is None:
            return None
        selectors = [layers] if isinstance(layers, str) else list(layers)
        if not self.aliases:
            return self._without_modules(selectors)
        result: list[str] = []
        by_glob: set[str] = set()
        for selector in selectors:
            if selector in self.aliases:
                tensor = self.aliases[selector]
                result += [] if tensor in by_glob else [tensor]
                continue
            matching = several(self.aliases, selector) or self._matching_aliases(selector)
            result += [tensor for tensor in matching if tensor not in result] if matching else [selector]
            by_glob.update(matching)
        return result

    def _matching_aliases(self, selector: str) -> list[str]:
        """The tensors of the Keras layers whose names match a glob, each once."""
        names = list(self.aliases)
        return list(dict.fromkeys(self.aliases[names[number]] for number in _matching(selector, names)))

    def _without_modules(self, selectors: list[str]) -> list[str]:
        """The same selectors, where tensors stand for the paths of modules, as the library selects by them.

        What chooses from lists of tensors' names does not know the paths.
        """
        tensors = self.tensors()
        layers = [tensor for tensor in tensors if tensor.is_default or tensor.is_classifier]
        if not any(layer.module for layer in layers):
            return selectors
        names, modules = {tensor.name for tensor in tensors}, [layer.module or "" for layer in layers]
        result: list[str] = []
        by_glob: set[str] = set()
        for selector in selectors:
            matching = [] if selector in names else _matching(selector, modules)
            if not matching or selector in modules:
                found = layers[matching[0]].name if matching else selector
                result += [] if found in by_glob else [found]
                continue
            chosen = sorted({*matching, *_matching(selector, [layer.name for layer in layers])})
            result += [layers[number].name for number in chosen if layers[number].name not in result]
            by_glob.update(layers[number].name for number in chosen)
        return result

    def close(self) -> None:
        """Frees the model. Extractors that were opened with it stay usable."""
        self._handle.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def as_model(model: Any, size: int | tuple[int, int] | None = None) -> Model:
    """The model itself, or one that is opened of what makes one.

    Args:
        size: (height, width) that the network will be fed with. A PyTorch module is exported for it.
    """
    if isinstance(model, Model):
        return model
    return Model(model, size=size if is_torch_module(model) else None)


def _matching(selector: str, names: Sequence[str]) -> list[int]:
    """The numbers of the names that a selector matches, which is a name or a glob."""
    try:
        # The prefix keeps "all" and "last:25%" from selecting by these names: they select layers of the graph.
        return select(_OTHER + selector, [_OTHER + name for name in names])
    except UnknownTensorError:
        return []


def reopened(origin: Origin, aliases: dict[str, str]) -> Model:
    """A model of what a pickle of it holds."""
    model = origin.model()
    model.aliases = aliases
    return model
