"""`full_network_embedding`, the function that the original package documents.

`cd fne; python fne.py` runs an example: sample photographs through the default network.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # run in its own folder, as the original documents: "fne" must be the package, not this file
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy
from numpy.typing import DTypeLike, NDArray

from fne._embedding import ternarize
from fne._extractor import Extractor
from fne._progress import ProgressLine
from fne._statistics import Statistics
from fne.errors import SkippedImagesWarning, error


def full_network_embedding(
    model: Any,
    image_paths: Sequence[str | os.PathLike[str]],
    batch_size: int,
    input_tensor: str | None,
    target_tensors: Sequence[str] | None,
    input_reshape: tuple[int, int] | None,
    stats: NDArray[Any] | None = None,
    *,
    dtype: DTypeLike = numpy.float64,
    on_error: str = "raise",
    progress: bool | Callable[[int, int], Any] = False,
    output_dir: str | os.PathLike[str] | None = None,
) -> tuple[NDArray[Any], NDArray[numpy.float64]]:
    """The Full-Network Embedding of image files.

    Images are read as RGB 0-255, stretched to `input_reshape` bilinearly and fed without mean or scale; the target
    tensors are averaged over height and width where they have them, standardized, and discretized: above 0.15 is 1,
    below -0.25 is -1, else 0.

    Args:
        model: a `tf.compat.v1.GraphDef`, its bytes, a path to it, or a `fne.Model`
        image_paths: JPEG or PNG files
        batch_size: images a run of the network
        input_tensor: such as "import/input:0"; None: the graph's only float32 placeholder
        target_tensors: such as ["import/conv1:0", ...], the order of the features; None: all convolutional and dense
            layers, after their activation, without the classifier's output
        input_reshape: (height, width) that the network is fed with; None: as the graph's placeholder says
        stats: float64 [2, F], mean and standard deviation from the training images; None or empty: computed here
        dtype: of the features returned
        on_error: "raise": the first bad image raises; "skip": bad images are left out, with a `SkippedImagesWarning`
        progress: True shows a line on a terminal; a function is called with (images done, images in all)
        output_dir: a folder that receives fne.npy and stats.npy; None writes nothing

    Returns:
        features [N, F] of -1, 0 and 1, and stats float64 [2, F]: mean and (population) standard deviation. F is the
        number of channels of all target tensors together.

    Raises:
        FNEError: see `fne.errors`; each is also the built-in exception of its case (ValueError, OSError, ...)
    """
    paths = [image_paths] if isinstance(image_paths, (str, os.PathLike)) else list(image_paths)
    if not paths:
        raise error(1, "image_paths is empty: there are no images to embed")
    given = None if stats is None else numpy.asarray(stats, numpy.float64)
    if given is not None and given.size == 0:
        given = None
    show = ProgressLine() if progress is True else progress or None
    with Extractor(
        model, input_tensor, target_tensors, input_reshape, batch_size=batch_size, on_error=on_error
    ) as extractor:
        if given is not None and given.shape != (2, extractor.feature_count):
            raise error(
                18, f"stats has shape {given.shape}; these layers need (2, {extractor.feature_count}): mean and deviation"
            )
        extraction = extractor.extract(paths, progress=show)
    pooled = extraction.features
    if extraction.reasons:
        skipped = sorted(extraction.reasons)
        if len(skipped) == len(paths):
            raise error(
                int(extraction.statuses[0]), f"none of the {len(paths)} images could be read: {extraction.reasons[0]}"
            )
        warnings.warn(
            SkippedImagesWarning(
                skipped, [os.fspath(paths[i]) for i in skipped], [extraction.reasons[i] for i in skipped]
            ),
            stacklevel=2,
        )
        pooled = pooled[extraction.ok]
    if given is None:
        statistics = Statistics(pooled.shape[1]).update(pooled)
        given = numpy.stack([statistics.mean(), statistics.std()])
    features = ternarize(pooled, given[0], given[1]).astype(dtype)
    if output_dir is not None:
        os.makedirs(output_dir, exist_ok=True)
        numpy.save(os.path.join(output_dir, "fne.npy"), features)
        numpy.save(os.path.join(output_dir, "stats.npy"), given)
    return features, given


def _example() -> None:
    """Embeds the sample photographs with the default network and writes ../outputs/fne.npy and ../outputs/stats.npy."""
    from fne import zoo

    paths = zoo.sample_images()
    features, stats = full_network_embedding(
        zoo.efficientnet_lite0(), paths, 8, "input:0", None, (224, 224), output_dir=os.path.join("..", "outputs")
    )
    print(f"{len(paths)} images, {features.shape[1]} features, statistics {stats.shape}")
    for value in (-1, 0, 1):
        print(f"share of {value:2d}: {numpy.mean(features == value):.3f}")
    print("written to ../outputs/fne.npy and ../outputs/stats.npy")


if __name__ == "__main__":
    _example()
