"""Functions of TensorFlow as serialized GraphDefs, in which variables are constants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    return FrozenGraph(serialized(kept), dict(zip(names, sources, strict=True)))


def serialized(graph: Any) -> bytes:
    """A GraphDef as bytes that are the same each time that a model is frozen.

    TensorFlow numbers functions and gradients through a process, and puts the values of variables in any order. A job
    knows its model by the bytes. So functions get numbers of their own, those that nothing calls and the names of
    gradients are left out, and the values of variables stand first, by their names.
    """
    functions = _functions(graph)
    names = {function.signature.name: f"function_{number}" for number, function in enumerate(functions)}
    result = type(graph)(versions=graph.versions, node=graph.node)
    result.library.function.extend(functions)
    for function in result.library.function:
        function.signature.name = names[function.signature.name]
    for node in _nodes(result):
        node.op = names.get(node.op, node.op)
        node.attr.pop("_gradient_op_type", None)
        for called in _called(node):
            called.name = names.get(called.name, called.name)
    _name_captured(result)
    values = {node.name for node in result.node if node.op == "Const"}
    values |= {node.name for node in result.node if node.op == "Identity" and node.input[0] in values}
    result.node.sort(key=lambda node: (0, node.name) if node.name in values else (1, ""))
    return bytes(result.SerializeToString(deterministic=True))


def _name_captured(graph: Any) -> None:
    """Gives the values that a function captures the names of their first readers, in place of TensorFlow's numbers."""
    numbered = {node.name: node for node in graph.node if node.op == "Const" and node.name.split("/")[-1].isdigit()}
    names: dict[str, str] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in numbered:
                names.setdefault(name, f"{node.name}/captured_{place}")
                node.input[place] = names[name]
    for name, new in names.items():
        numbered[name].name = new


def _functions(graph: Any) -> list[Any]:
    """The functions of a graph that are called, in the order in which they are called first."""
    functions = {function.signature.name: function for function in graph.library.function}
    found: dict[str, None] = {}
    nodes = list(graph.node)
    while nodes:
        called = [name for node in nodes for name in (node.op, *(one.name for one in _called(node)))]
        new = [name for name in dict.fromkeys(called) if name in functions and name not in found]
        found.update(dict.fromkeys(new))
        nodes = [node for name in new for node in functions[name].node_def]
    return [functions[name] for name in found]


def _nodes(graph: Any) -> Iterator[Any]:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _called(node: Any) -> list[Any]:
    """The functions that a node's attributes name, by the names of the attributes."""
    result = []
    for _, value in sorted(node.attr.items()):
        result += [value.func] if value.HasField("func") else list(value.list.func)
    return result


def _is_first_output(tensor: str) -> bool:
    return tensor.split(":")[1:] in ([], ["0"])
