"""The images of a data set with classes, embedded once into a job that stays."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from fne._arguments import as_path, choice, listed
from fne._evaluation.dataset import SPLITS, DataSet, data_set
from fne._evaluation.protocol import smallest_class
from fne._evaluation.representations import Representations, Roles
from fne._job import Job, embed_dataset
from fne._model import as_model
from fne._options import ExtractorOptions
from fne.errors import InvalidArgumentError, InvalidTypeError, UnknownTensorError


@dataclass
class EmbeddedClasses:
    """A data set with the features of all layers that have a role.

    classes: the names of the classes
    data: the features and the labels of the images that could be embedded
    is_test: bool, which of these are for the test, where the data set has a split of its own
    folder: where the results go
    """

    classes: list[str]
    data: Representations
    is_test: NDArray[numpy.bool_] | None
    folder: Path
    _job: Job
    _images: int
    _roles: Roles
    _thresholds: tuple[float, float]

    def identity(self) -> str:
        """A checksum of all that decides a measurement: the features, the labels, the split and the thresholds."""
        decisive = [
            self._job.manifest["files"]["features.npy"],
            self._job.manifest["settings"]["layers"],
            self.classes,
            self.data.labels.tolist(),
            None if self.is_test is None else self.is_test.tolist(),
            self._thresholds,
        ]
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    def facts(self) -> dict[str, Any]:
        """The data set and the network, as the files of the results have them."""
        return {
            "images": self._images,
            "failed": len(self._job.failures),
            "classes": len(self.classes),
            "smallest class": smallest_class(self.data.labels, self.classes, self.is_test)._asdict(),
            "test images of the data set's split": None if self.is_test is None else int(self.is_test.sum()),
            "crops": self._job.rows_per_image,
            "thresholds": list(self._thresholds),
            "features": self.data.feature_count(self._roles.layers),
            "layers": len(self._roles.layers),
            "settings": {name: value for name, value in self._job.manifest["settings"].items() if name != "layers"},
        }


def embedded_classes(
    source: str | os.PathLike[str] | DataSet,
    model: Any,
    output: str | os.PathLike[str],
    *,
    split: str,
    lower: float,
    upper: float,
    progress: bool | Callable[[str, int, int], Any],
    check: Callable[[DataSet], Any],
    extractor: ExtractorOptions,
) -> EmbeddedClasses:
    """Embeds the images of a data set with classes, or takes the job that is there already.

    Args:
        source, model, output, split, lower, upper, progress, extractor: as in `fne.evaluate`; or a data set that was
            read already
        check: is called with the data set before the network runs. It raises where there is nothing to measure.

    Raises:
        InvalidArgumentError, InvalidTypeError: as in `fne.evaluate`
        UnknownTensorError: the network has no layers
    """
    lower, upper = float(lower), float(upper)
    if not (lower <= upper and math.isfinite(lower) and math.isfinite(upper)):
        raise InvalidArgumentError(
            f"lower is {lower} and upper is {upper}; both must be finite, and lower not above upper"
        )
    _check_options(extractor)
    folder = as_path(output)
    choice("split", split, SPLITS)
    found = source if isinstance(source, DataSet) else data_set(source, split)
    _refuse_inside(found.source, folder)
    labels, classes = found.labels, found.classes
    check(found)
    opened = as_model(model, extractor.get("size"))
    tensors = Roles.tensors(opened.tensors())
    roles = Roles.of(tensors)
    if not roles.layers:
        raise UnknownTensorError(
            "the network has no convolution and no dense layer before its outputs: there is nothing to embed"
        )
    wanted: ExtractorOptions = {**extractor, "layers": [tensor.name for tensor in tensors]}
    job = embed_dataset(found.names, opened, folder / "job", root=found.root, codes=None, progress=progress, **wanted)
    _refuse_lost_classes(job, labels, classes)
    data = Representations(job, labels, roles, lower, upper)
    is_test = None if found.is_test is None else found.is_test[job.ok]
    return EmbeddedClasses(classes, data, is_test, folder, job, len(labels), roles, (lower, upper))


def _check_options(extractor: ExtractorOptions) -> None:
    if "layers" in extractor:
        raise InvalidArgumentError("layers cannot be given: the representations choose the layers")
    for option in extractor:
        if option not in ExtractorOptions.__optional_keys__:
            raise InvalidTypeError(
                f"evaluate takes no option {option!r}; it takes those of fne.Extractor, but for layers and on_error"
            )


def _refuse_inside(source: Path, output: Path) -> None:
    """An output folder inside the source would be a class of the next run."""
    if not source.is_dir():
        return
    real = output.resolve()
    for place in (source, *(entry for entry in source.iterdir() if entry.is_dir())):
        if real.is_relative_to(place.resolve()):
            raise InvalidArgumentError(f"the output '{output}' lies inside '{place}', whose images are to be evaluated")


def _refuse_lost_classes(job: Job, labels: NDArray[numpy.int64], classes: Sequence[str]) -> None:
    counts = numpy.bincount(labels[job.ok], minlength=len(classes))
    lost = [name for name, count in zip(classes, counts, strict=True) if not count]
    if lost:
        image = int(numpy.flatnonzero(labels == classes.index(lost[0]))[0])
        raise InvalidArgumentError(
            f"no image of {listed(lost)} could be embedded; '{job.names[image]}': {job.failures[image]}"
        )
