"""Hugging Face's preprocessor_config.json, which its image processors write."""

from __future__ import annotations

from typing import Any

from fne._config_entries import Entries
from fne._preprocessing import Preprocessing

#: Pillow's numbers of what it computes.
_RESAMPLE = {2: "antialiased", 3: "bicubic"}

#: Processors for which a size of one number is that of the shorter side. For all others it is both sides.
_SHORTER_SIDE = ("CLIP", "ConvNext", "Levit", "MobileNetV1", "MobileNetV2", "MobileViT", "PoolFormer", "Dinov2", "Bit")

#: Entries that say nothing on how images are fed.
_OTHERS = {
    "image_processor_type", "feature_extractor_type", "processor_class", "auto_map", "do_convert_rgb",
    "data_format", "input_data_format", "return_tensors", "device", "disable_grouping", "size_divisor",
    "model_input_names", "tokenizer_class",
}  # fmt: skip # a table


def of_hugging_face(entries: Entries) -> Preprocessing | None:
    """What the processor does; None: it is none of images."""
    if not any(name in entries for name in ("image_mean", "do_normalize", "do_rescale", "do_resize", "size")):
        return None
    mean, scale = _numbers(entries)
    resizing = _resizing(entries) if entries.flag("do_resize", True) else {}
    resample = entries.get("resample")
    if resizing:
        if resample is not None and resample not in _RESAMPLE:
            entries.note("resample", "is taken as bicubic")
        resizing["interpolation"] = _RESAMPLE.get(resample, "antialiased" if resample is None else "bicubic")
    if entries.flag("do_pad", False):
        entries.note("do_pad")
    order = "bgr" if entries.flag("do_flip_channel_order", False) else "rgb"
    entries.note_others(_OTHERS | {"size", "crop_size", "crop_pct", "pad_size"})
    return Preprocessing(mean=mean, scale=scale, channel_order=order, **resizing)


def _numbers(entries: Entries) -> tuple[float | tuple[float, ...], float | tuple[float, ...]]:
    """mean and scale. The processor multiplies by rescale_factor, subtracts image_mean and divides by image_std."""
    factor = entries.number("rescale_factor", 1 / 255)
    factor = factor if entries.flag("do_rescale", True) else 1.0
    means, deviations = entries.channels("image_mean"), entries.channels("image_std", least=0)
    if not entries.flag("do_normalize", True):
        return 0.0, factor
    if means is None or deviations is None:
        entries.notes.append("image_mean and image_std are not both there, so the pixels are not normalized")
        return 0.0, factor
    return tuple(mean / factor for mean in means), tuple(factor / deviation for deviation in deviations)


def _resizing(entries: Entries) -> dict[str, Any]:
    """The options of `Preprocessing` that say how images are resized and cropped."""
    kind = entries.word("image_processor_type", "") or entries.word("feature_extractor_type", "")
    shortest, size = _size(entries, "size", any(name in kind for name in _SHORTER_SIDE))
    if size is None:
        return {}
    crop: tuple[int, int] | None = None
    if entries.flag("do_center_crop", "crop_size" in entries):
        crop = _size(entries, "crop_size", False)[1] or size
    share = 1.0
    if "crop_pct" in entries:  # ConvNext's: large images are not cropped
        share = entries.number("crop_pct", 1.0) if shortest and size[0] < 384 else 1.0
        shortest, crop = shortest and size[0] < 384, size
    elif crop is not None:
        share = crop[0] / size[0]
        if crop[0] * size[1] != crop[1] * size[0] and not (shortest and crop[0] <= crop[1]):
            entries.note("crop_size", "is taken with the share of its height")
    elif shortest:
        entries.notes.append("images are not cropped there, but libfne takes their centre")
    if share > 1:
        entries.note("crop_size", "is taken as 'size'")
        share = 1.0
    mode = "shortest_side" if shortest else "stretch"
    return {"resize_mode": mode, "crop_share": share, "size": crop or size}


def _size(entries: Entries, name: str, of_shorter_side: bool) -> tuple[bool, tuple[int, int] | None]:
    """Whether a size is that of the shorter side, and height and width in pixels."""
    value = entries.get(name)
    if isinstance(value, dict) and set(value) == {"shortest_edge"}:
        of_shorter_side, value = True, value["shortest_edge"]
    if isinstance(value, dict) and {"height", "width"} <= set(value):
        sides = entries.side(name, value["height"]), entries.side(name, value["width"])
        return False, None if None in sides else sides  # type: ignore[return-value]
    if type(value) is int:
        side = entries.side(name, value)
        return of_shorter_side, None if side is None else (side, side)
    entries.note(name)
    return False, None
