"""`full_network_embedding`, the function that the original package documents.

`cd fne; python fne.py` runs an example: it embeds sample photographs with the default network.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # it runs in its own folder, where "fne" would be this file and not the package
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy
from numpy.typing import DTypeLike, NDArray

from fne._arguments import as_array, as_count, as_path, refuse_masked
from fne._embedding import Discretization, ternarize
from fne._extractor import Extractor
from fne._ffi import FEW_IMAGES
from fne._images import read_image
from fne._kinds import as_images, kind
from fne._prepared import prepared
from fne._preprocessing import Preprocessing
from fne._progress import ProgressLine
from fne._statistics import Statistics
from fne.errors import (
    FewImagesWarning,
    InvalidArgumentError,
    ShapeMismatchError,
    SkippedImagesWarning,
    from_status,
)


def full_network_embedding(
    model: Any,
    image_paths: Any,
    batch_size: int,
    input_tensor: str | None,
    target_tensors: Sequence[str] | None,
    input_reshape: int | tuple[int, int] | None,
    stats: NDArray[Any] | None = None,
    *,
    dtype: DTypeLike = numpy.float64,
    on_error: str = "raise",
    progress: bool | Callable[[int, int], Any] = False,
    out: NDArray[Any] | None = None,
    rows: NDArray[numpy.float32] | None = None,
    target_layer_names: Sequence[str] | None = None,
    output_dir: str | os.PathLike[str] | None = None,
    preset: str | Preprocessing | None = None,
) -> tuple[NDArray[Any], NDArray[numpy.float64]]:
    """The Full-Network Embedding of image files.

    Images are read as RGB 0-255, stretched to `input_reshape` bilinearly, and fed without mean or scale. Target tensors
    that have a height and a width are averaged over these. Each feature is then standardized and discretized: above
    0.15 it becomes 1, below -0.25 it becomes -1, in between 0.

    The networks of the last calls stay prepared in memory, so that a second call on the same network with the same
    options begins at once. `fne.clear_prepared` frees them.

    Args:
        model: a `tf.compat.v1.GraphDef`, its bytes, a path to it, a Keras model or its file, a SavedModel's folder, or
            a `fne.Model`
        image_paths: image files, or a folder of these (`fne.list_images`); also the other kinds of images that
            `fne.Extractor.extract` takes, but bytes are a path here, as in the original
        batch_size: the most images per run of the network. Several small runs at once are fastest on a CPU, so numbers
            above 4 make no difference.
        input_tensor: such as "import/input:0"; None: the graph's only placeholder that can take images
        target_tensors: such as ["import/conv1:0", ...], in the order of the features; None: all convolutional and dense
            layers, after their activation, without the classifier's output
        input_reshape: (height, width) that the network is fed with, or one number for a square; None: what the graph's
            placeholder says
        stats: float64 [2, F], the mean and the standard deviation of the training images; None or empty: those of these
            images
        dtype: the type of the features
        out: [N, F], of any number type, that receives the features, such as a `numpy.memmap`; None: a new array of
            `dtype`
        rows: float32 [N, F], C-contiguous, in which the pooled activations wait for the statistics, such as a
            `numpy.memmap`; None: a new array. With `stats` nothing waits, and apart from `out` memory does not grow
            with N.
        on_error: "raise" raises at the first bad image. "skip" leaves bad images out, with a `SkippedImagesWarning`.
        progress: True shows a line on a terminal. A function is called with (images done, images in all).
        target_layer_names: the names of a Keras model's layers, in place of target_tensors
        preset: how the network is fed, as in `fne.Extractor`, such as "imagenet"; None: as the first sentence says,
            and for an ONNX file as what stands beside it says
        output_dir: a folder that receives fne.npy and stats.npy; None: nothing is written

    Returns:
        features [N, F] of -1, 0 and 1, and stats float64 [2, F], the mean and the (population) standard deviation. F is
        the number of channels of all target tensors together.

    Raises:
        FNEError: see `fne.errors`. Each class is also the built-in exception of its case (ValueError, OSError, ...).
    """
    paths = _images(image_paths)
    if not paths:
        raise InvalidArgumentError("image_paths is empty: there are no images to embed")
    given = None if stats is None else as_array("stats", stats, numpy.float64)
    if given is not None and given.size == 0:
        given = None
    if target_layer_names is not None:
        if target_tensors is not None:
            raise InvalidArgumentError("both target_tensors and target_layer_names are given")
        target_tensors = target_layer_names
    show = ProgressLine() if progress is True else progress or None
    most = as_count("batch_size", batch_size)
    with prepared(
        model,
        input_tensor,
        target_tensors,
        input_reshape,
        batch_size=None if most >= _DEFAULT_BATCH else most,
        on_error=on_error,
        preset=preset,
    ) as extractor:
        shape = (len(paths), extractor.feature_count)
        if given is not None and given.shape != (2, shape[1]):
            raise ShapeMismatchError(
                f"stats has shape {given.shape}; these layers need (2, {shape[1]}): mean and deviation"
            )
        refuse_masked("out", out)
        if out is not None and out.shape != shape:
            raise ShapeMismatchError(f"out has shape {out.shape}; the features need {shape}")
        features = numpy.empty(shape, dtype) if out is None else out
        if given is None:
            kept, given, skipped = _with_own_statistics(extractor, paths, features, rows, show)
            if kept < FEW_IMAGES:
                warnings.warn(FewImagesWarning(kept), stacklevel=2)
        else:
            kept, skipped = _with_given_statistics(extractor, paths, features, given, show)
    if skipped:
        warnings.warn(
            SkippedImagesWarning(list(skipped), [_name(paths[i], i) for i in skipped], list(skipped.values())),
            stacklevel=2,
        )
        features = features[:kept]
    if output_dir is not None:
        folder = as_path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        numpy.save(folder / "fne.npy", features)
        numpy.save(folder / "stats.npy", given)
    return features, given


def _images(given: Any) -> list[Any]:
    """The images of a call. Unlike elsewhere, one path alone is taken, and bytes are a path."""
    if isinstance(given, bytes) or (isinstance(given, (str, os.PathLike)) and not os.path.isdir(given)):
        given = [given]
    return [as_path(path) if isinstance(path, bytes) else path for path in as_images("image_paths", given)]


def _name(image: Any, number: int) -> str:
    return os.fspath(image) if isinstance(image, (str, os.PathLike)) else f"image {number}"


# The images whose codes are made at a time, so that memory does not grow with the number of all images.
_CHUNK = 512

# The library's own batch size on a CPU. It is not passed on, as a graph may have a fixed batch size, which comes first.
_DEFAULT_BATCH = 4


def _with_own_statistics(
    extractor: Extractor,
    paths: Sequence[str | os.PathLike[str]],
    features: NDArray[Any],
    rows: NDArray[numpy.float32] | None,
    show: Callable[[int, int], Any] | None,
) -> tuple[int, NDArray[numpy.float64], dict[int, str]]:
    """Writes the features. Returns the number of their rows, the statistics, and why images were skipped."""
    if rows is None and all(kind(path, number) == "path" for number, path in enumerate(paths)):
        embedding, stats = extractor._embed_files(paths, show)
        codes = embedding.codes[embedding.ok] if embedding.reasons else embedding.codes
        features[: len(codes)] = codes
        return len(codes), stats, dict(sorted(embedding.reasons.items()))
    extraction = extractor.extract(paths, out=rows, progress=show)
    _some_must_be_good(extraction.statuses, extraction.reasons)
    statistics = Statistics(features.shape[1])
    chunks = [slice(first, first + _CHUNK) for first in range(0, len(paths), _CHUNK)]

    def good(chunk: slice) -> NDArray[numpy.float32]:
        return extraction.features[chunk][extraction.ok[chunk]] if extraction.reasons else extraction.features[chunk]

    for chunk in chunks:
        statistics.update(good(chunk))
    stats = numpy.stack([statistics.mean(), statistics.std()])
    kept = 0
    for chunk in chunks:
        codes = ternarize(good(chunk), stats[0], stats[1])
        features[kept : kept + len(codes)] = codes
        kept += len(codes)
    return kept, stats, dict(sorted(extraction.reasons.items()))


def _with_given_statistics(
    extractor: Extractor,
    paths: Sequence[str | os.PathLike[str]],
    features: NDArray[Any],
    stats: NDArray[numpy.float64],
    show: Callable[[int, int], Any] | None,
) -> tuple[int, dict[int, str]]:
    """Writes the features. Returns the number of their rows, and why images were skipped."""
    kept = 0
    statuses = numpy.zeros(len(paths), numpy.int32)
    reasons: dict[int, str] = {}
    discretization = Discretization(stats[0], stats[1])
    for first in range(0, len(paths), _CHUNK):
        chunk = slice(first, first + _CHUNK)

        def progress(done: int, _total: int, first: int = first) -> None:
            if show is not None:
                show(first + done, len(paths))

        embedding = extractor._embed_part(paths[chunk], discretization, None, progress, (first, len(paths)))
        codes = embedding.codes[embedding.ok] if embedding.reasons else embedding.codes
        features[kept : kept + len(codes)] = codes
        kept += len(codes)
        statuses[chunk] = embedding.statuses
        reasons |= {first + index: reason for index, reason in sorted(embedding.reasons.items())}
    _some_must_be_good(statuses, reasons)
    return kept, reasons


def _some_must_be_good(statuses: NDArray[numpy.int32], reasons: dict[int, str]) -> None:
    if len(reasons) == len(statuses):
        raise from_status(int(statuses[0]), f"none of the {len(statuses)} images could be embedded: {reasons[0]}")


def _sides(centre: int) -> tuple[slice, slice]:
    return slice(None, centre), slice(centre, None)


def _example() -> None:
    """Embeds parts of the sample photographs with the default network.

    There are four of each, because statistics of a handful of images say little. It writes ../outputs/fne.npy and
    ../outputs/stats.npy.
    """
    from fne import zoo

    pictures = []
    for path in zoo.sample_images():
        pixels = read_image(path)
        middle, centre = pixels.shape[0] // 2, pixels.shape[1] // 2
        pictures += [half[:, side] for half in (pixels[:middle], pixels[middle:]) for side in _sides(centre)]
    features, stats = full_network_embedding(
        zoo.efficientnet_lite0(), pictures, 8, "input:0", None, (224, 224), output_dir=os.path.join("..", "outputs")
    )
    print(f"{len(pictures)} images, {features.shape[1]} features, statistics {stats.shape}")
    for value in (-1, 0, 1):
        print(f"share of {value:2d}: {numpy.mean(features == value):.3f}")
    print("written to ../outputs/fne.npy and ../outputs/stats.npy")


if __name__ == "__main__":
    _example()
