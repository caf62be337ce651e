"""timm's config.json, whose `pretrained_cfg` says how its networks are fed."""

from __future__ import annotations

from typing import Any

from fne._config_entries import Entries
from fne._preprocessing import IMAGENET, Preprocessing

#: timm's words for what Pillow computes.
_INTERPOLATIONS = {"bilinear": "antialiased", "bicubic": "bicubic"}

#: Entries that say nothing on how images are fed at evaluation.
_OTHERS = {
    "url", "file", "hf_hub_id", "hf_hub_filename", "architecture", "tag", "custom_load", "source", "state_dict",
    "fixed_input_size", "min_input_size", "pool_size", "num_classes", "first_conv", "classifier", "label_offset",
    "label_names", "label_descriptions", "license", "origin_url", "paper_name", "paper_ids", "notes",
    "test_input_size", "test_crop_pct", "test_crop_mode", "input_range",
}  # fmt: skip # a table


def of_timm(config: Entries) -> Preprocessing | None:
    """What timm's config.json says; None: this is another config.json."""
    members = config.get("pretrained_cfg")
    if not isinstance(members, dict):
        return None
    return of_pretrained_cfg(members, config.notes)


def of_pretrained_cfg(members: dict[str, Any], notes: list[str]) -> Preprocessing:
    """What timm does for the networks of this `pretrained_cfg` at evaluation.

    Images are resized so that the shorter side is the input's, divided by crop_pct, and the centre is cut out.

    Args:
        notes: receives sentences on entries that cannot be taken
    """
    entries = Entries(members)
    mean, std = entries.channels("mean") or IMAGENET[0], entries.channels("std", least=0) or IMAGENET[1]
    mode = entries.word("crop_mode", "center")
    if mode not in ("center", "squash"):
        entries.note("crop_mode", "is taken as 'center'")
    word = entries.word("interpolation", "bilinear")
    if word not in _INTERPOLATIONS:
        nearest = "bilinear" if word.startswith("bilinear") else "bicubic"
        entries.note("interpolation", f"is taken as {nearest!r}")
        word = nearest
    share = entries.number("crop_pct", 0.875)
    if share > 1:
        entries.note("crop_pct", "is taken as 1")
    result = Preprocessing.of_shares(
        mean,
        std,
        resize_mode="stretch" if mode == "squash" else "shortest_side",
        interpolation=_INTERPOLATIONS[word],
        crop_share=min(share, 1.0),
        size=_size(entries),
    )
    entries.note_others(_OTHERS)
    notes += entries.notes
    return result


def _size(entries: Entries) -> tuple[int, int] | None:
    value = entries.get("input_size")
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 3:
        entries.note("input_size")
        return None
    height, width = (entries.side("input_size", side) for side in value[1:])
    return None if height is None or width is None else (height, width)
