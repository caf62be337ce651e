"""Functions of TensorFlow as serialized GraphDefs, in which variables are constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from fne.errors import BackendUnavailableError


class FrozenGraph(NamedTuple):
    """A serialized GraphDef, and for each name its tensor."""

    graph: bytes
    tensors: dict[str, str]


def import_tensorflow() -> Any:
    """The module tensorflow."""
    try:
        import tensorflow
    except ImportError as failure:
        raise BackendUnavailableError(
            "tensorflow, which freezes Keras models and SavedModels, is not installed: pip install tensorflow-cpu"
        ) from failure
    return tensorflow


def freeze(tensorflow: Any, function: Any, specs: Sequence[Any]) -> FrozenGraph:
    """A function as a graph.

    Args:
        function: takes a tensor for each of the specs, and gives a dictionary of tensors
        specs: `tensorflow.TensorSpec`s with names
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    names: list[str] = []

    def listed(*arguments: Any) -> Any:
        outputs = function(*arguments)
        names[:] = outputs
        return list(outputs.values())

    frozen = convert_variables_to_constants_v2(tensorflow.function(listed).get_concrete_function(*specs))
    graph = frozen.graph.as_graph_def()
    nodes = {node.name: node for node in graph.node}
    outputs = [output.op.name for output in frozen.outputs]
    # TensorFlow adds an Identity node for each output. As a layer's second reader it would hide what follows the layer.
    added = {name for name in outputs if nodes[name].op == "Identity" and _is_first_output(nodes[name].input[0])}
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
    return FrozenGraph(kept.SerializeToString(), dict(zip(names, sources, strict=True)))


def _is_first_output(tensor: str) -> bool:
    return tensor.split(":")[1:] in ([], ["0"])
