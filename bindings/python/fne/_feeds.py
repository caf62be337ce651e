"""Values for a network's inputs beside the image."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy

from fne import _ffi
from fne.errors import InvalidTypeError

#: Values by the inputs' names, or texts "name=value".
Feeds: TypeAlias = Mapping[str, Any] | Sequence[str] | None


def set_feeds(options: Any, feeds: Feeds) -> None:
    """Sets a struct's feeds. They are values by the inputs' names, or texts such as "phase_train=false"."""
    if not feeds:
        return
    texts = feed_texts(feeds)
    options.feeds = _ffi.strings([_ffi.text(text) for text in texts])
    options.feed_count = len(texts)


def feed_texts(feeds: Feeds) -> list[str]:
    """Feeds as texts "name=value"."""
    if not feeds:
        return []
    items = feeds.items() if isinstance(feeds, Mapping) else None
    if isinstance(feeds, str) or (items is None and not all(isinstance(text, str) for text in feeds)):
        raise InvalidTypeError("feeds are a dict of values by the inputs' names, or a list of texts 'name=value'")
    return list(feeds) if items is None else [f"{name}={_value(name, value)}" for name, value in items]


def _value(name: str, value: Any) -> str:
    """A number, a truth value or an array of them as JSON."""
    array = numpy.asarray(value)
    if array.dtype.kind not in "biuf":
        raise InvalidTypeError(f"the feed '{name}' is of type {array.dtype}; it must be of numbers or truth values")
    return json.dumps(array.tolist())
