"""Preprocessing: which numbers a network expects of an image, and the presets that have names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fne._arguments import choice
from fne.errors import InvalidTypeError

#: What torchvision and timm's IMAGENET_DEFAULT_MEAN and IMAGENET_DEFAULT_STD are, as shares of white.
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: OpenAI's CLIP, clip/clip.py.
_CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
#: The share of the resized image's sides that the centre crop takes: 224 of 256.
_CROP = 0.875


@dataclass(frozen=True)
class Preprocessing:
    """How images become the numbers that a network expects. `fne.Extractor` takes it as `preset`.

    Attributes:
        mean, scale: the value fed is (pixel - mean) * scale, where pixels are 0 to 255. Each is one number, or one for
            each channel in the order fed.
        channel_order: "rgb" or "bgr", the order fed
        resize_mode, interpolation: as in `fne.Extractor`
        crop_share: the share of the resized image's sides that the centre crop takes. Images are resized to the
            network's size, divided by this and rounded down.
        size: (height, width) for a network that takes any size; None: the network or the caller says it
        source: where the numbers come from, for messages

    >>> Preprocessing.of_shares((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)).mean
    (127.5, 127.5, 127.5)
    """

    mean: float | tuple[float, ...] = 0.0
    scale: float | tuple[float, ...] = 1.0
    channel_order: str = "rgb"
    resize_mode: str = "stretch"
    interpolation: str = "bilinear"
    crop_share: float = 1.0
    size: tuple[int, int] | None = None
    source: str = ""

    @classmethod
    def of_shares(
        cls, mean: Sequence[float], std: Sequence[float], white: float = 255.0, **others: Any
    ) -> Preprocessing:
        """That of a network which is fed with (pixel / white - mean) / std, as most libraries write it."""
        return cls(
            mean=tuple(white * value for value in mean), scale=tuple(1 / (white * value) for value in std), **others
        )

    def without_numbers(self) -> Preprocessing:
        """The same for a network that is fed with the pixels themselves, since it reads whole numbers."""
        return replace(self, mean=0.0, scale=1.0)

    def options(self, size: tuple[int, int] | None) -> dict[str, Any]:
        """The same as options of `fne.Extractor`, for a network that is fed with images of this (height, width).

        Without a size there is no resize_size.
        """
        result: dict[str, Any] = {
            "mean": self.mean,
            "scale": self.scale,
            "channel_order": self.channel_order,
            "resize_mode": self.resize_mode,
            "interpolation": self.interpolation,
        }
        if size is not None and self.crop_share < 1:
            result["resize_size"] = tuple(math.floor(side / self.crop_share + 1e-6) for side in size)
        return result


#: The presets by their names. docs/networks.md says where their numbers come from.
PRESETS = {
    "imagenet": Preprocessing.of_shares(
        *IMAGENET, resize_mode="shortest_side", interpolation="antialiased", crop_share=_CROP
    ),
    "inception": Preprocessing(
        mean=127.5, scale=1 / 127.5, resize_mode="shortest_side", interpolation="bicubic", crop_share=_CROP
    ),
    "clip": Preprocessing.of_shares(*_CLIP, resize_mode="shortest_side", interpolation="bicubic"),
    "caffe": Preprocessing(
        mean=(103.939, 116.779, 123.68),
        channel_order="bgr",
        resize_mode="shortest_side",
        interpolation="antialiased",
        crop_share=_CROP,
    ),
    "raw": Preprocessing(),
}


def preset_named(preset: str | Preprocessing) -> Preprocessing:
    """A preset by its name, or the preprocessing itself."""
    if isinstance(preset, Preprocessing):
        return preset
    if not isinstance(preset, str):
        raise InvalidTypeError(f"preset is a {type(preset).__name__}; it must be a name or a fne.Preprocessing")
    return choice("preset", preset, PRESETS)
