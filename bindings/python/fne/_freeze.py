"""Keras models and SavedModel folders become frozen GraphDefs, by the installed tensorflow, once: the result is cached."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from fne.errors import error
from fne.zoo._cache import cached


class Frozen(NamedTuple):
    """A GraphDef file, and the tensors of Keras' layers by the layers' names."""

    path: Path
    layers: dict[str, str]


def is_keras_model(model: Any) -> bool:
    """Whether it is a keras.Model; asks nothing of a process that has not imported Keras."""
    for name in ("keras", "tf_keras"):
        keras = sys.modules.get(name)
        if keras is not None and isinstance(model, getattr(keras, "Model", ())):
            return True
    return False


def is_saved_model(path: str | os.PathLike[str]) -> bool:
    """Whether it is a folder that tf.saved_model.save, or Keras' export, wrote."""
    return os.path.isfile(os.path.join(path, "saved_model.pb"))


def freeze_keras(model: Any) -> Frozen:
    """A Keras model as a GraphDef whose only placeholder is its input. The key is its configuration and its weights."""
    import hashlib

    digest = hashlib.sha256(model.to_json().encode())
    for weight in model.get_weights():
        digest.update(str((weight.dtype, weight.shape)).encode())
        digest.update(weight.tobytes())
    return _cached(f"keras-{digest.hexdigest()[:32]}", lambda: _frozen_keras(model))


def freeze_saved_model(path: str | os.PathLike[str]) -> Frozen:
    """A SavedModel's serving signature as a GraphDef. The key is the contents of its files."""
    import hashlib

    folder = Path(path)
    digest = hashlib.sha256()
    for file in sorted(part for part in folder.rglob("*") if part.is_file() and part.name != "fingerprint.pb"):
        digest.update(str(file.relative_to(folder)).encode() + b"\0")
        with open(file, "rb") as content:
            digest.update(
                hashlib.file_digest(content, "sha256").digest() if sys.version_info >= (3, 11) else content.read()
            )
    return _cached(f"saved-model-{digest.hexdigest()[:32]}", lambda: _frozen_saved_model(folder))


def _cached(name: str, make: Any) -> Frozen:
    made: list[tuple[bytes, dict[str, str]]] = []

    def graph() -> bytes:
        made[:] = [make()]
        return made[0][0]

    # The layers' file first: where the graph is there, so are its layers.
    def layers() -> bytes:
        if not made:
            graph()
        return json.dumps(made[0][1]).encode()

    names = cached(name + ".json", layers)
    path = cached(name + ".pb", lambda: made[0][0] if made else graph())
    return Frozen(path, json.loads(names.read_bytes()))


def _tensorflow() -> Any:
    try:
        import tensorflow
    except ImportError as failure:
        raise error(
            12, "Keras models and SavedModels are frozen by tensorflow: pip install tensorflow-cpu"
        ) from failure
    return tensorflow


def _frozen_keras(model: Any) -> tuple[bytes, dict[str, str]]:
    tensorflow = _tensorflow()
    if len(getattr(model, "inputs", None) or []) != 1:
        raise error(11, f"the Keras model {model.name!r} must have one input, images; build it with an input shape")
    # Every layer's output, so that its tensor can be told afterwards; these outputs themselves are not kept.
    layers = [layer for layer in _flat(model) if _outputs(layer) == 1]
    try:
        every = _functional(model, [layer.output for layer in layers])
    except (ValueError, AttributeError):  # a nested model's tensors are not the outer one's
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
    """A model's layers, those of models inside of it too."""
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


def _frozen_saved_model(folder: Path) -> tuple[bytes, dict[str, str]]:
    tensorflow = _tensorflow()
    loaded = tensorflow.saved_model.load(str(folder))
    signature = loaded.signatures.get("serving_default") or next(iter(loaded.signatures.values()), None)
    if signature is None:
        raise error(8, f"the SavedModel '{folder}' has no signature; save it with one, such as serving_default")
    specs = list(signature.structured_input_signature[1].values())
    if len(specs) != 1 or len(specs[0].shape) != 4:
        raise error(
            11,
            f"the SavedModel '{folder}' takes {len(specs)} inputs of shapes {[s.shape for s in specs]}; images are needed",
        )
    name = next(iter(signature.structured_input_signature[1]))
    spec = tensorflow.TensorSpec(specs[0].shape, specs[0].dtype, name="input")
    function = tensorflow.function(lambda x: list(signature(**{name: x}).values()))
    return _constant(tensorflow, function, spec)[0], {}


def _constant(tensorflow: Any, function: Any, spec: Any) -> tuple[bytes, list[str]]:
    """The function as a serialized GraphDef with its variables as constants, and the tensors behind its outputs."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(function.get_concrete_function(spec))
    graph = frozen.graph.as_graph_def()
    nodes = {node.name: node for node in graph.node}
    outputs = [output.op.name for output in frozen.outputs]
    # Outputs are Identity nodes that TensorFlow adds; as further readers they would hide what follows a layer.
    added = {name for name in outputs if nodes[name].op == "Identity"}
    behind = []
    for name in outputs:
        while name in added:
            name = nodes[name].input[0].split(":")[0]
        behind.append(name)
    kept = tensorflow.compat.v1.GraphDef(versions=graph.versions, library=graph.library)
    for node in graph.node:
        if node.name in added or node.op == "NoOp":
            continue
        copy = kept.node.add()
        copy.CopyFrom(node)
        copy.input[:] = [text for text in node.input if not (text.startswith("^") and nodes[text[1:]].op == "NoOp")]
    return kept.SerializeToString(), behind
