"""The names that Keras layers can be called by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

from fne._arguments import listed
from fne.errors import UnknownTensorError

Tensor = TypeVar("Tensor")


def with_own_names(tensors: Mapping[str, Tensor], own: Mapping[str, str]) -> dict[str, Tensor]:
    """The tensors of layers by the paths of their names, and by their own names where only one layer has the name.

    Args:
        own: the layers' own names by their paths

    >>> with_own_names({"conv": "a", "base/conv": "b", "base/bias": "c"}, {"base/conv": "conv", "base/bias": "bias"})
    {'conv': 'a', 'base/conv': 'b', 'base/bias': 'c', 'bias': 'c'}
    """
    counts = Counter(own.values())
    short = {own[path]: tensor for path, tensor in tensors.items() if counts[own.get(path, "")] == 1}
    return {**tensors, **{name: tensor for name, tensor in short.items() if name not in tensors}}


def several(tensors: Mapping[str, str], name: str) -> list[str]:
    """The tensors of one layer that gives several ("conv#1", "conv#2"); empty: no layer of this name does.

    Raises:
        UnknownTensorError: several layers have this name

    >>> several({"a/conv#1": "x", "a/conv#2": "y"}, "conv")
    ['x', 'y']
    """
    named = {path: tensor for path, tensor in tensors.items() if _is_named(path.split("#")[0], name)}
    layers = dict.fromkeys(path.split("#")[0] for path in named)
    if name in layers:
        layers, named = {name: None}, {path: tensor for path, tensor in named.items() if path.split("#")[0] == name}
    if len(layers) > 1:
        raise UnknownTensorError(f"several layers are called {name!r}; call one of them by its path: {listed(layers)}")
    return list(dict.fromkeys(named.values()))


def _is_named(path: str, name: str) -> bool:
    return path == name or path.endswith("/" + name)
