"""Keras Applications: networks with ImageNet weights, which Keras downloads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fne import _freeze
from fne._cache import cache_folder, cached
from fne._preprocessing import PRESETS
from fne.errors import FileError, InvalidArgumentError

# What preprocess_input of keras.applications does for each family, as options of an Extractor.
# A name has the family of the first entry that it begins with.
_CAFFE: dict[str, Any] = {"channel_order": "bgr", "mean": PRESETS["caffe"].mean}
_TF: dict[str, Any] = {"mean": PRESETS["inception"].mean, "scale": PRESETS["inception"].scale}
_TORCH: dict[str, Any] = {"mean": PRESETS["imagenet"].mean, "scale": PRESETS["imagenet"].scale}
_RAW: dict[str, Any] = {}
_FAMILIES: list[tuple[str, dict[str, Any]]] = [
    ("ResNet50V2", _TF),
    ("ResNet101V2", _TF),
    ("ResNet152V2", _TF),
    ("VGG", _CAFFE),
    ("ResNet", _CAFFE),
    ("Inception", _TF),
    ("Xception", _TF),
    ("MobileNetV3", _RAW),
    ("MobileNet", _TF),
    ("NASNet", _TF),
    ("DenseNet", _TORCH),
    ("EfficientNet", _RAW),
    ("ConvNeXt", _RAW),
]


def from_keras(name: str, weights: str | os.PathLike[str] | None = "imagenet") -> Path:
    """A network of keras.applications as a frozen GraphDef in the cache.

    It needs tensorflow. Keras downloads the weights, once.

    Args:
        name: such as "VGG16"
        weights: what Keras takes as weights, such as "imagenet" or a file; None: random ones

    Raises:
        BackendUnavailableError: tensorflow is not installed
        FileError: the weights could not be downloaded
        InvalidArgumentError: there is no such network

    >>> fne.Extractor(zoo.from_keras("VGG16"), **zoo.keras_preprocessing("VGG16"))  # doctest: +SKIP
    """

    def make() -> bytes:
        applications = _freeze.import_tensorflow().keras.applications
        network = getattr(applications, name, None)
        if not callable(network):
            raise InvalidArgumentError(f"keras.applications has no network {name!r}")
        try:
            model = network(weights=weights)
        except Exception as failure:
            raise FileError(
                f"the weights of {name} could not be downloaded: {failure}. Download them on another machine, and copy "
                f"its ~/.keras/models, or the file in {cache_folder()}"
            ) from failure
        return _freeze.keras_graph(model)[0]

    return cached(f"keras-{name}-{_weights_name(weights)}.pb", make)


def _weights_name(weights: str | os.PathLike[str] | None) -> str:
    """What names weights in the cache: of a file its checksum, as files in two folders may have one name."""
    if weights is None:
        return "random"
    return _freeze.checksum(Path(weights)) if os.path.isfile(weights) else Path(weights).name


def keras_preprocessing(name: str) -> dict[str, Any]:
    """What preprocess_input of keras.applications does for that network, as options of `fne.Extractor`.

    The options are channel_order, mean and scale.

    >>> keras_preprocessing("MobileNetV2")
    {'mean': 127.5, 'scale': 0.00784313725490196}
    """
    for family, options in _FAMILIES:
        if name.startswith(family):
            return dict(options)
    raise InvalidArgumentError(f"the preprocessing of {name!r} is not known")
