"""Keras Applications: networks with ImageNet weights, where these can be downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fne.errors import error
from fne.zoo._cache import cached

# How keras.applications' preprocess_input of each family works, in the terms of an Extractor.
_CAFFE: dict[str, Any] = {"channel_order": "bgr", "mean": (103.939, 116.779, 123.68)}
_TF: dict[str, Any] = {"mean": 127.5, "scale": 1 / 127.5}
_TORCH: dict[str, Any] = {
    "mean": (255 * 0.485, 255 * 0.456, 255 * 0.406),
    "scale": (1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)),
}
_RAW: dict[str, Any] = {}
_FAMILIES: list[tuple[str, dict[str, Any]]] = [
    ("ResNet50V2", _TF), ("ResNet101V2", _TF), ("ResNet152V2", _TF), ("VGG", _CAFFE), ("ResNet", _CAFFE),
    ("InceptionResNet", _TF), ("Inception", _TF), ("Xception", _TF), ("MobileNetV3", _RAW), ("MobileNet", _TF), ("NASNet", _TF),
    ("DenseNet", _TORCH), ("EfficientNetV2", _RAW), ("EfficientNet", _RAW), ("ConvNeXt", _RAW),
]  # fmt: skip


def from_keras(name: str, weights: str | None = "imagenet") -> Path:
    """A network of keras.applications as a frozen GraphDef in the cache. Needs tensorflow; the weights are downloaded by Keras, once.

    Args:
        name: such as "VGG16"
        weights: as Keras takes them; None: random ones

    Raises:
        BackendUnavailableError: there is no tensorflow
        FileError: the weights could not be downloaded
        InvalidArgumentError: no such network

    >>> fne.Extractor(zoo.from_keras("VGG16"), **zoo.keras_preprocessing("VGG16"))  # doctest: +SKIP
    """

    def make() -> bytes:
        from fne import _freeze

        applications = _freeze._tensorflow().keras.applications
        network = getattr(applications, name, None)
        if not callable(network):
            raise error(1, f"keras.applications has no network {name!r}")
        try:
            model = network(weights=weights)
        except Exception as failure:
            raise error(4, f"the weights of {name} could not be had: {failure}. Download them on a machine that can, and copy "
                           f"~/.keras/models or the file in {_folder()}") from failure  # fmt: skip
        return _freeze._frozen_keras(model)[0]

    return cached(f"keras-{name}-{'random' if weights is None else Path(weights).name}.pb", make)


def _folder() -> Path:
    from fne.zoo._cache import cache_folder

    return cache_folder()


def keras_preprocessing(name: str) -> dict[str, Any]:
    """What keras.applications' preprocess_input of that network does, as options of `fne.Extractor`: channel_order, mean, scale.

    >>> keras_preprocessing("MobileNetV2")
    {'mean': 127.5, 'scale': 0.00784313725490196}
    """
    for family, options in _FAMILIES:
        if name.startswith(family):
            return dict(options)
    raise error(1, f"the preprocessing of {name!r} is not known")
