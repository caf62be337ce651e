"""SavedModel folders as frozen graphs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fne._arguments import listed
from fne._frozen_function import FrozenGraph, freeze, import_tensorflow, serialized
from fne._text import in_short
from fne.errors import FNEError, GraphError, InvalidArgumentError, MissingFileError, OutOfMemoryError, TensorError

_FILES = ("saved_model.pb", "saved_model.pbtxt")
_DEFAULT_SIGNATURE = "serving_default"
_DEFAULT_TAGS = {"serve"}


def is_saved_model(path: str | os.PathLike[str]) -> bool:
    """Whether it is a folder that tf.saved_model.save or Keras' export wrote."""
    return any(os.path.isfile(os.path.join(path, name)) for name in _FILES)


def saved_model_graph(folder: Path, signature: str | None = None, tags: Sequence[str] | None = None) -> FrozenGraph:
    """A SavedModel's signature as a graph with the signature's inputs as placeholders of their own types.

    A single input is named "input", and several have their names in the signature. Of a SavedModel of TensorFlow 1 all
    tensors keep their names.

    Args:
        signature: its name; None: "serving_default", or the only one
        tags: those of the graph; None: those of the only graph, or "serve"

    Raises:
        InvalidArgumentError: there is no such signature, or no graph with such tags; the message lists what there is
        TensorError: the signature takes no images
        GraphError: TensorFlow cannot load it
        FileError: the variables are missing
    """
    tensorflow = import_tensorflow()
    with _loading_errors(folder):
        saved = _description(folder)
        graph = _with_tags(folder, list(saved.meta_graphs), tags)
        freezing = _freeze_objects if graph.HasField("object_graph_def") else _freeze_graph
        return freezing(tensorflow, folder, graph, signature)


@contextmanager
def _loading_errors(folder: Path) -> Iterator[None]:
    """Makes an FNEError, which names the folder, of whatever TensorFlow raises."""
    try:
        yield
    except FNEError:
        raise
    except MemoryError as failure:
        raise OutOfMemoryError(f"there is no memory to freeze the SavedModel '{folder}'") from failure
    except Exception as failure:
        if not (folder / "variables" / "variables.index").exists():
            raise MissingFileError(
                f"the SavedModel '{folder}' has no variables: 'variables/variables.index' is missing. The weights are "
                "in the folder 'variables'; copy it together with saved_model.pb"
            ) from failure
        raise GraphError(
            f"the SavedModel '{folder}' cannot be loaded: {in_short(failure)}. Load it with the "
            "TensorFlow that wrote it, and pass a frozen GraphDef that you made of it"
        ) from failure


def _description(folder: Path) -> Any:
    from tensorflow.python.saved_model.loader_impl import parse_saved_model

    return parse_saved_model(str(folder))


def _with_tags(folder: Path, graphs: list[Any], tags: Sequence[str] | None) -> Any:
    """The description of the graph with these tags."""
    found = [set(graph.meta_info_def.tags) for graph in graphs]
    if tags is None:
        wanted = found[0] if len(found) == 1 else _DEFAULT_TAGS
    else:
        wanted = {tags} if isinstance(tags, str) else set(tags)
    if wanted not in found:
        choices = "; ".join(listed(sorted(each)) or "none" for each in found)
        raise InvalidArgumentError(
            f"the SavedModel '{folder}' has no graph with the tags {listed(sorted(wanted)) or '(none)'}. Pass the tags "
            f"of one of its {len(found)} graphs: {choices}"
        )
    return graphs[found.index(wanted)]


def _chosen(folder: Path, signature: str | None, inputs: dict[str, str]) -> str:
    """The name of the signature to take.

    Args:
        inputs: for each signature its inputs, as the messages describe them
    """
    if not inputs:
        raise GraphError(
            f"the SavedModel '{folder}' has no signature. Save it with one: tf.saved_model.save(module, folder, "
            "signatures=module.__call__.get_concrete_function(tf.TensorSpec([None, height, width, 3])))"
        )
    if signature is None and _DEFAULT_SIGNATURE in inputs:
        return _DEFAULT_SIGNATURE
    if signature is None and len(inputs) == 1:
        return next(iter(inputs))
    if signature in inputs:
        return signature
    choices = "; ".join(f"'{name}' takes {taken}" for name, taken in inputs.items())
    problem = f"no signature {signature!r}" if signature is not None else f"several, and none is '{_DEFAULT_SIGNATURE}'"
    raise InvalidArgumentError(f"the SavedModel '{folder}' has {problem}. Pass the signature to take: {choices}")


def _described(tensors: dict[str, tuple[Any, str]]) -> str:
    return ", ".join(f"{name} ({dtype}, {shape})" for name, (shape, dtype) in tensors.items()) or "nothing"


def _check_images(folder: Path, signature: str, tensors: dict[str, tuple[Any, str]], inputs: dict[str, str]) -> None:
    """Refuses a signature none of whose inputs can be images."""
    if any(shape.rank in (None, 4) and dtype != "string" for shape, dtype in tensors.values()):
        return
    others = "".join(f"; '{name}' takes {taken}" for name, taken in inputs.items() if name != signature)
    raise TensorError(
        f"the signature '{signature}' of the SavedModel '{folder}' takes {_described(tensors)}; images are needed, "
        f"numbers [batch, height, width, 3]{others and '. Other signatures: ' + others[2:]}"
    )


# ---- TensorFlow 2: functions of objects


def _freeze_objects(tensorflow: Any, folder: Path, graph: Any, signature: str | None) -> FrozenGraph:
    loaded = tensorflow.saved_model.load(str(folder), tags=list(graph.meta_info_def.tags))
    specs = {name: function.structured_input_signature[1] for name, function in loaded.signatures.items()}
    tensors = {
        name: {each: (spec.shape, spec.dtype.name) for each, spec in sorted(taken.items())}
        for name, taken in specs.items()
    }
    inputs = {name: _described(taken) for name, taken in tensors.items()}
    chosen = _chosen(folder, signature, inputs)
    _check_images(folder, chosen, tensors[chosen], inputs)
    names = sorted(specs[chosen])
    placeholders = ["input"] if len(names) == 1 else names
    function = loaded.signatures[chosen]
    frozen = freeze(
        tensorflow,
        lambda *arguments: function(**dict(zip(names, arguments, strict=True))),
        [
            tensorflow.TensorSpec(specs[chosen][name].shape, specs[chosen][name].dtype, name=placeholder)
            for name, placeholder in zip(names, placeholders, strict=True)
        ],
    )
    return FrozenGraph(frozen.graph, {})


# ---- TensorFlow 1: a graph and a session


def _freeze_graph(tensorflow: Any, folder: Path, graph: Any, signature: str | None) -> FrozenGraph:
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_from_session_graph
    from tensorflow.python.saved_model.loader_impl import SavedModelLoader
    from tensorflow.python.util.deprecation import silence

    signatures = {name: one for name, one in graph.signature_def.items() if one.outputs}
    tensors = {
        name: {
            each: (tensorflow.TensorShape(info.tensor_shape), tensorflow.as_dtype(info.dtype).name)
            for each, info in sorted(one.inputs.items())
        }
        for name, one in signatures.items()
    }
    inputs = {name: _described(taken) for name, taken in tensors.items()}
    chosen = _chosen(folder, signature, inputs)
    _check_images(folder, chosen, tensors[chosen], inputs)
    outputs = sorted({info.name.split(":")[0] for info in signatures[chosen].outputs.values() if info.name})
    loader = SavedModelLoader(str(folder))
    # The operations that fill tables and the like are not run: only the variables are read.
    on_processor = tensorflow.compat.v1.ConfigProto(device_count={"GPU": 0}, allow_soft_placement=True)
    with tensorflow.Graph().as_default() as opened, tensorflow.compat.v1.Session(config=on_processor) as session:
        saver, _ = loader.load_graph(opened, list(graph.meta_info_def.tags), clear_devices=True)
        if saver is not None:
            loader.restore_variables(session, saver)
        with silence():  # it calls a deprecated function of its own
            frozen = convert_variables_to_constants_from_session_graph(session, opened.as_graph_def(), outputs)
    return FrozenGraph(serialized(frozen), {})
