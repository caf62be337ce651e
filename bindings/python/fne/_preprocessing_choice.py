"""Which preprocessing an extractor has: the options given, a preset, or what stands beside the model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fne._arguments import as_size, listed
from fne._model import Model, ModelInput
from fne._preprocessing import PRESETS, Preprocessing, preset_named
from fne._preprocessing_files import Found, beside
from fne.errors import PreprocessingWarning, TensorError, UnknownTensorError

#: The options that say which numbers the network is fed with. One of them means that the caller knows.
_NUMBERS = ("mean", "scale", "channel_order")

#: The options that a preset gives, where they are not given themselves.
PRESET_OPTIONS = (*_NUMBERS, "resize_mode", "interpolation")


class Choice(NamedTuple):
    """The options of an extractor without `preset`, and where the preprocessing comes from, for messages.

    notes: what the caller is to be warned of (`warn_of`)
    """

    options: dict[str, Any]
    source: str
    notes: tuple[str, ...] = ()


def warn_of(notes: tuple[str, ...], stacklevel: int) -> None:
    """Gives a PreprocessingWarning for each note.

    Args:
        stacklevel: of the caller
    """
    for note in notes:
        warnings.warn(PreprocessingWarning(note), stacklevel=stacklevel + 1)


def chosen_preprocessing(model: Model, options: Mapping[str, Any]) -> Choice:
    """The options, completed by those of the preset, or by what stands beside an ONNX file.

    Options that are given come first. An option that is None counts as not given.

    The notes say where nothing says how an ONNX network is fed, and which entry of a file beside it cannot be taken.
    """
    given = {name: value for name, value in options.items() if name not in PRESET_OPTIONS or value is not None}
    preset, engine = given.pop("preset", None), given.pop("engine", None)
    model.check_engine(engine)
    by_caller = any(name in given for name in _NUMBERS)
    if preset is not None:
        source = f"the preset {preset!r}" if isinstance(preset, str) else "the preset"
        preprocessing = preset_named(preset)
        return Choice(_completed(given, preprocessing, _input(model, given)), preprocessing.source or source)
    if model.engine != "onnxruntime" or all(name in given for name in PRESET_OPTIONS):
        return Choice(given, "the options" if by_caller else "the default")
    taken = _input(model, given)
    found = beside_model(model)
    notes = () if found is None else tuple(found.notes)
    preprocessing = Preprocessing() if found is None or found.preprocessing is None else found.preprocessing
    if preprocessing.source:
        if taken is not None and taken.whole_numbers:
            preprocessing = preprocessing.without_numbers()
        return Choice(_completed(given, preprocessing, taken), preprocessing.source, notes)
    if not by_caller and not (taken is not None and taken.whole_numbers):
        notes = (*notes, _nothing_known())
    return Choice(given, "the options" if by_caller else "the default", notes)


def beside_model(model: Model) -> Found | None:
    """What stands beside a model that was opened from a file."""
    return None if model.file is None else beside(Path(model.file))


def _nothing_known() -> str:
    return (
        "nothing says which numbers this ONNX network expects, so it is fed with pixels from 0 to 255. Wrong numbers "
        f"make poor features. Pass a preset, one of {listed(PRESETS)}, or mean and scale; or put the "
        "preprocessor_config.json or the config.json that came with the network beside it"
    )


def _input(model: Model, options: dict[str, Any]) -> ModelInput | None:
    """What the model reads; None: no extractor can be opened with it, which then says why."""
    try:
        return model.input(options.get("input_tensor"))
    except (TensorError, UnknownTensorError):
        return None


def _completed(given: dict[str, Any], preprocessing: Preprocessing, taken: ModelInput | None) -> dict[str, Any]:
    height, width = (None, None) if taken is None else taken.size
    fixed = None if height is None or width is None else (height, width)
    size = as_size("size", given["size"]) if given.get("size") is not None else fixed or preprocessing.size
    options = {**preprocessing.options(size), "size": size}
    missing = {name: value for name, value in options.items() if given.get(name) is None}
    return {**given, **missing}
