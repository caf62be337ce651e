"""What a network reads, in words."""

from __future__ import annotations

from collections.abc import Iterator

import fne
from fne._command.output import warn
from fne._preprocessing import PRESETS
from fne._preprocessing_choice import beside_model
from fne._text import printable


def reading(model: fne.Model, input_tensor: str | None = None) -> Iterator[str]:
    """What the network reads, and what stands beside it on how it is fed. What cannot be taken of that is warned of.

    Nothing is said of a network that reads no images: an extractor says what is wrong.
    """
    try:
        taken = model.input(input_tensor)
    except (fne.TensorError, fne.UnknownTensorError):
        return
    height, width = (side or "?" for side in taken.size)
    colours = {1: "grey", 3: "three channels"}.get(taken.channels or 0, "any number of channels")
    pixels = ", the pixels as they are" if taken.whole_numbers else ""
    yield f"reads images of {height} x {width} pixels, {colours}{pixels}: {printable(taken.name or '')}"
    if model.engine != "onnxruntime":
        return
    found = beside_model(model)
    for note in [] if found is None else found.notes:
        warn(printable(note))
    if found is not None and found.preprocessing is not None:
        yield f"is fed as {printable(found.preprocessing.source)} says"
    else:
        yield f"nothing beside it says how it is fed; --preset takes {', '.join(PRESETS)}"
