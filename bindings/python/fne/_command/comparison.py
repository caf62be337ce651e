"""How `fne search` and `fne report` compare the images of a job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from fne._job import Job
from fne._selection import select
from fne.errors import UnknownTensorError

#: The layers that are compared where none are asked for. Deep layers tell what an image shows (docs/command.md).
LAYERS = "last:10%"
#: So many images have a mean that is worth taking away.
FEWEST_IMAGES = 50
_PENULTIMATE = "penultimate"
_LAYERS_PROPER = ("convolution", "depthwise", "dense")


class Comparison(NamedTuple):
    """What is compared, and how.

    layers: the names of the job's layers whose codes are compared
    metric: as in `PackedCodes.search`
    words: both in words
    """

    layers: list[str]
    metric: str
    words: str


def comparison(
    job: Job,
    layers: str | Sequence[str] | None = None,
    metric: str | None = None,
    penultimate: Callable[[], Sequence[str]] | None = None,
) -> Comparison:
    """The layers and the metric that were asked for, or those that are usually best.

    Args:
        layers: selectors over the job's layers; None: "last:10%"
        metric: None: "centred", or "cosine" where the job has fewer than 50 images
        penultimate: gives the names of what the network's classifiers read; None: this is not known
    """
    asked = [LAYERS] if layers is None else [layers] if isinstance(layers, str) else list(layers)
    names = [layer.name for layer in job.layers]
    read = None
    if penultimate is not None and _PENULTIMATE in asked and _PENULTIMATE not in names:
        read = _kept(job, names, penultimate())
    chosen = [names[number] for number in select(asked, names, _defaults(job), read)]
    images = int(job.ok.sum())
    found = metric or ("centred" if images >= FEWEST_IMAGES else "cosine")
    words = f"{_METRIC_WORDS[found]} of {len(chosen)} of {len(names)} layers ({', '.join(asked)}), {images} images"
    if metric is None and found == "cosine":
        words += f"; below {FEWEST_IMAGES} their mean is not subtracted"
    return Comparison(chosen, found, words)


_METRIC_WORDS = {
    "centred": "cosine of the codes less their mean",
    "cosine": "cosine of the codes",
    "dot": "dot product of the codes",
    "hamming": "number of codes that differ",
}


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
