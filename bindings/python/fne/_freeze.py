"""Keras models and SavedModel folders as frozen GraphDefs.

The installed tensorflow freezes a model once. The result is kept in the cache.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from fne._cache import cached
from fne._saved import content, file_errors
from fne.errors import BackendUnavailableError, GraphError, TensorError


class Frozen(NamedTuple):
    """A GraphDef file, and for each Keras layer's name its tensor."""

    path: Path
    layers: dict[str, str]


def is_keras_model(model: Any) -> bool:
    """Whether it is a keras.Model. This does not import Keras."""
    for name in ("keras", "tf_keras"):
        keras = sys.modules.get(name)
        if keras is not None and isinstance(model, getattr(keras, "Model", ())):
            return True
    return False


def is_saved_model(path: str | os.PathLike[str]) -> bool:
    """Whether it is a folder that tf.saved_model.save or Keras' export wrote."""
    return os.path.isfile(os.path.join(path, "saved_model.pb"))


def freeze_keras(model: Any) -> Frozen:
    """A Keras model as a GraphDef whose only placeholder is the model's input.

    Its name in the cache is a checksum of its configuration and its weights.
    """
    import hashlib

    digest = hashlib.sha256(model.to_json().encode())
    for weight in model.get_weights():
        digest.update(str((weight.dtype, weight.shape)).encode())
        digest.update(weight.tobytes())
    return _cached(f"keras-{digest.hexdigest()[:32]}", lambda: keras_graph(model))


def freeze_saved_model(path: str | os.PathLike[str]) -> Frozen:
    """A SavedModel's serving signature as a GraphDef. Its name in the cache is a checksum of its files."""
    import hashlib

    folder = Path(path)
    digest = hashlib.sha256()
    for file in sorted(part for part in folder.rglob("*") if part.is_file() and part.name != "fingerprint.pb"):
        digest.update(str(file.relative_to(folder)).encode() + b"\0")
        with file_errors(file), open(file, "rb") as opened:
            digest.update(
                hashlib.file_digest(opened, "sha256").digest() if sys.version_info >= (3, 11) else opened.read()
            )
    return _cached(f"saved-model-{digest.hexdigest()[:32]}", lambda: _saved_model_graph(folder))


def _cached(name: str, make: Any) -> Frozen:
    made: list[tuple[bytes, dict[str, str]]] = []

    def graph() -> bytes:
        made[:] = [make()]
        return made[0][0]

    # The file of the layers comes first, so that it exists wherever the graph does.
    def layers() -> bytes:
        if not made:
            graph()
        return json.dumps(made[0][1]).encode()

    names = cached(name + ".json", layers)
    path = cached(name + ".pb", lambda: made[0][0] if made else graph())
    return Frozen(path, json.loads(content(names)))


def import_tensorflow() -> Any:
    """The module tensorflow."""
    try:
        import tensorflow
    except ImportError as failure:
        raise BackendUnavailableError(
            "tensorflow, which freezes Keras models and SavedModels, is not installed: pip install tensorflow-cpu"
        ) from failure
    return tensorflow


def keras_graph(model: Any) -> tuple[bytes, dict[str, str]]:
    """A Keras model as a serialized GraphDef, and for each layer's name its tensor."""
    tensorflow = import_tensorflow()
    if len(getattr(model, "inputs", None) or []) != 1:
        raise TensorError(f"the Keras model {model.name!r} must have one input, images; build it with an input shape")
    # Every layer's output, so that its tensor can be found afterwards. The outputs themselves are not kept.
    layers = [layer for layer in _flat(model) if _outputs(layer) == 1]
    try:
        every = _functional(model, [layer.output for layer in layers])
    except (ValueError, AttributeError):  # a nested model's tensors do not belong to the outer one
        layers = [layer for layer in model.layers if _outputs(layer) == 1]
        every = _functional(model, [layer.output for layer in layers])
    shape = [None, *model.inputs[0].shape[1:]]
    images = tensorflow.TensorSpec(shape, tensorflow.float32, name="input")
    graph, outputs = _constant(tensorflow, tensorflow.function(lambda x: every(x, training=False)), images)
    names = dict(zip((layer.name for layer in layers), outputs, strict=True))
    return graph, names


def _functional(model: Any, outputs: list[Any]) -> Any:
    base = next(kind for kind in type(model).__mro__ if kind.__name__ == "Model")
    return base(model.inputs, outputs)


def _flat(model: Any) -> list[Any]:
    """A model's layers, with those of the models inside it."""
    result: list[Any] = []
    for layer in model.layers:
        result += _flat(layer) if getattr(layer, "layers", None) else [layer]
    return result


def _outputs(layer: Any) -> int:
    try:
        output = layer.output
    except (AttributeError, ValueError):
        return 0
    return 1 if hasattr(output, "shape") else len(output)


def _saved_model_graph(folder: Path) -> tuple[bytes, dict[str, str]]:
    tensorflow = import_tensorflow()
    loaded = tensorflow.saved_model.load(str(folder))
    signature = loaded.signatures.get("serving_default") or next(iter(loaded.signatures.values()), None)
    if signature is None:
        raise GraphError(f"the SavedModel '{folder}' has no signature; save it with one, such as serving_default")
    specs = list(signature.structured_input_signature[1].values())
    if len(specs) != 1 or len(specs[0].shape) != 4:
        raise TensorError(
            f"the SavedModel '{folder}' takes {len(specs)} inputs of shapes {[s.shape for s in specs]}; "
            "images are needed"
        )
    name = next(iter(signature.structured_input_signature[1]))
    spec = tensorflow.TensorSpec(specs[0].shape, specs[0].dtype, name="input")
    function = tensorflow.function(lambda x: list(signature(**{name: x}).values()))
    return _constant(tensorflow, function, spec)[0], {}


def _constant(tensorflow: Any, function: Any, spec: Any) -> tuple[bytes, list[str]]:
    """The function as a serialized GraphDef with its variables as constants, and the tensors of its outputs."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(function.get_concrete_function(spec))
    graph = frozen.graph.as_graph_def()
    nodes = {node.name: node for node in graph.node}
    outputs = [output.op.name for output in frozen.outputs]
    # TensorFlow adds an Identity node for each output. As a layer's second reader it would hide what follows the layer.
    added = {name for name in outputs if nodes[name].op == "Identity"}
    sources = []
    for name in outputs:
        while name in added:
            name = nodes[name].input[0].split(":")[0]
        sources.append(name)
    kept = tensorflow.compat.v1.GraphDef(versions=graph.versions, library=graph.library)
    for node in graph.node:
        if node.name in added or node.op == "NoOp":
            continue
        copy = kept.node.add()
        copy.CopyFrom(node)
        copy.input[:] = [text for text in node.input if not (text.startswith("^") and nodes[text[1:]].op == "NoOp")]
    return kept.SerializeToString(), sources
