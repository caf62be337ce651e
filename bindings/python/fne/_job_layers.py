"""Selectors over the layers that a job keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fne._job import Job
from fne._selection import select
from fne.errors import UnknownTensorError

_PENULTIMATE = "penultimate"
_LAYERS_PROPER = ("convolution", "depthwise", "dense")


def selected(job: Job, selectors: Sequence[str], penultimate: Callable[[], Sequence[str]] | None = None) -> list[str]:
    """The names of the job's layers that are selected.

    Args:
        penultimate: gives the names of what the network's classifiers read; None: this is not known

    Raises:
        UnknownTensorError: a selector selects no layer, or the job does not keep what a classifier reads
    """
    names = [layer.name for layer in job.layers]
    read = None
    if penultimate is not None and _PENULTIMATE in selectors and _PENULTIMATE not in names:
        read = _kept(job, names, penultimate())
    return [names[number] for number in select(selectors, names, _defaults(job), read)]


def _defaults(job: Job) -> list[bool] | None:
    """Which layers a share such as "last:10%" counts. A tensor that is kept beside the layers is not one of them."""
    proper = [layer.kind in _LAYERS_PROPER for layer in job.layers]
    return proper if any(proper) else None


def _kept(job: Job, names: Sequence[str], penultimate: Sequence[str]) -> list[bool]:
    """Which layers of the job are what a classifier reads. All that it reads must be there."""
    if not penultimate:
        raise UnknownTensorError("the network has no classifier whose input 'penultimate' could select")
    missing = [name for name in penultimate if name not in names]
    if missing:
        raise UnknownTensorError(
            f"the job in '{job.folder}' does not keep '{missing[0]}', which the network's classifier reads; embed the "
            "images again with --layers last:100% --layers penultimate"
        )
    return [name in penultimate for name in names]
