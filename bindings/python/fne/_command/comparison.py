"""How `fne search` and `fne report` compare the images of a job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from fne._arguments import as_count
from fne._codes import EXPANDED
from fne._expansion import NEAREST
from fne._job import Job
from fne._kept_layers import selected
from fne.compact import CompactCodes
from fne.errors import InvalidArgumentError

#: The layers that are compared where none are asked for. Deep layers tell what an image shows (docs/command.md).
LAYERS = "last:25%"
#: So many images have a mean that is worth taking away.
FEWEST_IMAGES = 50


class Comparison(NamedTuple):
    """What is compared, and how.

    layers: the names of the job's layers whose codes are compared
    metric, expand: as in `PackedCodes.search`
    words: all three in words
    """

    layers: list[str]
    metric: str
    expand: int
    words: str


def comparison(
    job: Job,
    layers: str | Sequence[str] | None = None,
    metric: str | None = None,
    penultimate: Callable[[], Sequence[str]] | None = None,
    expand: int | None = None,
) -> Comparison:
    """The layers and the metric that were asked for, or those that are usually best.

    Args:
        layers: selectors over the job's layers; None: "last:25%"
        metric: None: "centred", or "cosine" where the job has fewer than 50 images
        penultimate: gives the names of what the network's classifiers read; None: this is not known
        expand: None: 2 where the metric is "centred" and the job has 50 images, else 0
    """
    asked = [LAYERS] if layers is None else [layers] if isinstance(layers, str) else list(layers)
    chosen = [layer.name for layer in selected(job.layers, asked, penultimate, f"the job in '{job.folder}'")]
    return _described(job, chosen, metric, expand, f"{len(chosen)} of {len(job.layers)} layers ({', '.join(asked)})")


def compact_comparison(job: Job, compact: CompactCodes, metric: str | None, expand: int | None = None) -> Comparison:
    """The comparison of a job's compact codes, by the metric that was asked for, or the one that is usually best."""
    return _described(job, compact.layers or [], metric, expand, f"{compact.dimensions} compact features")


def _described(job: Job, layers: list[str], metric: str | None, expand: int | None, what: str) -> Comparison:
    images = int(job.ok.sum())
    found = metric or ("centred" if images >= FEWEST_IMAGES else "cosine")
    words = f"{_METRIC_WORDS[found]} of {what}, {images} images"
    if metric is None and found == "cosine":
        words += f"; below {FEWEST_IMAGES} their mean is not subtracted"
    usual = NEAREST if found == "centred" and images >= FEWEST_IMAGES else 0
    count = usual if expand is None else as_count("expand", expand, 0)
    if count and found not in EXPANDED:
        raise InvalidArgumentError(f"--expand is {count}, and --metric {found}; only cosine and centred can expand")
    if count:
        words += f"; each query takes its {count} nearest along"
    return Comparison(layers, found, count, words)


_METRIC_WORDS = {
    "centred": "cosine of the codes less their mean",
    "cosine": "cosine of the codes",
    "dot": "dot product of the codes",
    "hamming": "number of codes that differ",
}
