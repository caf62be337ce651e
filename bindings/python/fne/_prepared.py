"""Networks that stay prepared between the calls of `fne.full_network_embedding`.

To open a network takes as long as many images. So the extractors of the last calls are kept, in memory. One is used
again where the network and the options are the same. What says that the network is the same:

- Of bytes, and of a GraphDef object, the SHA-256 of the bytes. An object that has changed has others.
- Of a Keras model, a PyTorch module, a Keras file and a SavedModel, the checksum of their content, by which the cache
  of converted networks names them. It is computed in each call.
- Of a file, its device, inode, size and times. The kernel sets one of the times at each change. A file that was changed
  within the last two seconds is opened anew, because a second change can have the same time. Of an ONNX file, the files
  around it count too, because weights and preprocessing may be in these.
- Of a `fne.Model`, the object, which cannot change.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import time
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from fne._extractor import Extractor
from fne._freeze import Frozen
from fne._model import Model
from fne._model_source import frozen as frozen_source
from fne._model_source import named
from fne._torch_export import is_torch_module

#: The most extractors that are kept.
_MOST = 4
#: Where the networks together have more bytes, only the last one is kept. An extractor takes about three times as much.
_MOST_BYTES = 256 << 20
#: The most files around an ONNX file. With more of them it is opened anew.
_MOST_FILES = 256
#: The seconds after which a change of a file has another time than the one before.
_SETTLED = 2.0


class _Network(NamedTuple):
    """What an extractor is opened with, and what it is known by.

    key: the source, or a checksum of its content
    source: what `fne.Model` takes, a `fne.Model`, or a converted network
    path: the file whose state says whether the network is the same; None: the key says it
    """

    key: Any
    source: Any
    path: Path | None = None


class _State(NamedTuple):
    """What is known of a file, or of a `fne.Model`, when its extractor is opened.

    mark: differs after a change; None: it does not tell changes, so that nothing is kept
    size: the bytes of the network
    changed: the time of the last change
    """

    mark: Any
    size: int
    changed: float = 0.0


class _Kept(NamedTuple):
    extractor: Extractor
    state: _State


_lock = Lock()
_kept: OrderedDict[Any, _Kept] = OrderedDict()


def clear_prepared() -> None:
    """Frees the networks that `full_network_embedding` keeps prepared in memory. A running call keeps its own.

    The folder of converted networks (FNE_CACHE) stays as it is.
    """
    with _lock:
        dropped = list(_kept.values())
        _kept.clear()
    dropped.clear()  # sessions are closed without the lock, because that takes time


def _forget() -> None:
    """What a forked child does. It cannot use its parent's sessions, and another thread may have held the lock."""
    global _lock, _kept
    _lock, _kept = Lock(), OrderedDict()


os.register_at_fork(after_in_child=_forget)
atexit.register(clear_prepared)


@contextmanager
def prepared(
    model: Any,
    input_tensor: str | None,
    layers: str | Sequence[str] | None,
    size: Any,
    **options: Any,
) -> Iterator[Extractor]:
    """An extractor for a call: one that was kept, or else a new one, which is kept where that is safe.

    Args: those of `fne.Extractor`
    """
    layers = layers if layers is None or isinstance(layers, str) else list(layers)
    network = _network(model, size)
    key = network.key, repr((input_tensor, _resolved(model, layers), size, sorted(options.items())))
    with _lock:
        known = _kept.get(key)
    if known is not None and known.state == _state(network, known.extractor):
        with _lock:
            if key in _kept:
                _kept.move_to_end(key)
        known.extractor._warn_again(stacklevel=4)
        yield known.extractor
        return
    began = time.time()
    extractor = Extractor(_opened(network.source), input_tensor, layers, size, **options)
    state = _state(network, extractor)
    # A file that changes while it is opened, or shortly before, may hold something else than what was read.
    if state.mark is None or state.changed > began - _SETTLED:
        with extractor:
            yield extractor
        return
    _keep(key, _Kept(extractor, state))
    yield extractor


def _keep(key: Any, new: _Kept) -> None:
    dropped = []
    with _lock:
        dropped.append(_kept.pop(key, None))
        _kept[key] = new
        while len(_kept) > 1 and (len(_kept) > _MOST or sum(each.state.size for each in _kept.values()) > _MOST_BYTES):
            dropped.append(_kept.popitem(last=False)[1])
    dropped.clear()  # without the lock, as above; a call that uses one of them keeps it until it ends


def _resolved(model: Any, layers: str | list[str] | None) -> Any:
    """The layers as tensors where the model says so now. Other names of layers are a table that anyone may change."""
    return model.resolved(layers) if isinstance(model, Model) else layers


def _network(model: Any, size: Any) -> _Network:
    if isinstance(model, Model):
        model._handle()  # raises where the model is closed
        return _Network(("model", id(model)), model)
    source = named(model)
    frozen = frozen_source(source, size=size if is_torch_module(source) else None)
    if frozen is not None:
        if isinstance(frozen.graph, bytes):
            return _Network(("bytes", hashlib.sha256(frozen.graph).digest()), frozen)
        return _Network(("converted", frozen.graph.name), frozen)  # the name has the checksum of the content
    if isinstance(source, (str, os.PathLike)):
        path = Path(os.path.abspath(source))
        return _Network(("file", str(path)), model, path)
    if hasattr(source, "SerializeToString") and hasattr(source, "node"):
        source = source.SerializeToString()
    if isinstance(source, (bytes, bytearray, memoryview)):
        source = bytes(source)  # the bytes that were hashed are those that are opened
        return _Network(("bytes", hashlib.sha256(source).digest()), source)
    return _Network(("other", id(source)), source)  # Model says what is wrong with it


def _opened(source: Any) -> Any:
    """What an extractor is opened with. A model that was frozen for the key is not frozen again."""
    if not isinstance(source, Frozen):
        return source
    model = Model(source.graph)
    model.aliases = source.layers
    return model


def _state(network: _Network, extractor: Extractor) -> _State:
    """The state of what an extractor was opened with."""
    if isinstance(network.source, Model):
        return _State(weakref.ref(network.source), _size(network.source._origin.graph))
    if network.path is None:
        frozen = network.source.graph if isinstance(network.source, Frozen) else network.source
        return _State("", _size(frozen))
    files = [network.path] if extractor._engine == "tensorflow" else _around(network.path)
    return _State(None, 0) if files is None else _files_state(files)


def _size(graph: Any) -> int:
    return len(graph) if isinstance(graph, bytes) else os.path.getsize(graph)


def _files_state(files: list[Path]) -> _State:
    try:
        facts = [os.stat(file) for file in files]
    except OSError:
        return _State(None, 0)
    marks = tuple(
        (str(file), fact.st_dev, fact.st_ino, fact.st_size, fact.st_mtime_ns, fact.st_ctime_ns)
        for file, fact in zip(files, facts, strict=True)
    )
    return _State(marks, sum(fact.st_size for fact in facts), max(fact.st_ctime for fact in facts))


def _around(path: Path) -> list[Path] | None:
    """The files in the folder of an ONNX file, and in that of the file which it leads to. None: they are too many."""
    folders = {path.parent, Path(os.path.realpath(path)).parent}
    found: list[Path] = []
    for folder in sorted(folders):
        for place, _, names in os.walk(folder):
            found += [Path(place, name) for name in names]
            if len(found) > _MOST_FILES:
                return None
    return sorted(found)
