"""Selectors over the layers that a job or packed codes keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fne._layer import Layer
from fne._selection import select
from fne.errors import UnknownTensorError

_PENULTIMATE = "penultimate"
_LAYERS_PROPER = ("convolution", "depthwise", "dense")


def selected(
    layers: Sequence[Layer],
    selectors: str | Sequence[str] | None,
    penultimate: Callable[[], Sequence[str]] | None = None,
    where: str = "the list",
) -> list[Layer]:
    """The layers that are selected, in the order of the selectors.

    A share such as "last:10%" counts the network's layers. A tensor that is kept beside them is not one of them.

    Args:
        layers: those that are kept
        selectors: as in `fne._selection.select`; None: all that are kept
        penultimate: gives the names of what the network's classifiers read; None: this is not known
        where: what keeps the layers, for the message

    Raises:
        UnknownTensorError: a selector selects no layer, or what a classifier reads is not kept
    """
    if selectors is None:
        return list(layers)
    names = [layer.name for layer in layers]
    asked = [selectors] if isinstance(selectors, str) else list(selectors)
    read = None
    if penultimate is not None and _PENULTIMATE in asked and _PENULTIMATE not in names:
        read = _kept(names, penultimate(), where)
    proper = [layer.kind in _LAYERS_PROPER for layer in layers]
    return [layers[number] for number in select(asked, names, proper if any(proper) else None, read)]


def _kept(names: Sequence[str], penultimate: Sequence[str], where: str) -> list[bool]:
    """Which layers are what a classifier reads. All that it reads must be there."""
    if not penultimate:
        raise UnknownTensorError("the network has no classifier whose input 'penultimate' could select")
    missing = [name for name in penultimate if name not in names]
    if missing:
        raise UnknownTensorError(
            f"{where} does not keep '{missing[0]}', which the network's classifier reads; embed the images again with "
            "--layers last:100% --layers penultimate"
        )
    return [name in penultimate for name in names]
