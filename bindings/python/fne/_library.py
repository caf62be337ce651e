"""The library itself: its file, its build, its log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fne._ffi import LOG, lib

_LEVELS = {0: "info", 1: "warning", 2: "error"}


def library_path() -> str:
    """The file of libfne that is in use."""
    return str(lib._name)


def build_info() -> str:
    """One line on how the library was built."""
    return str(lib.fne_build_info().decode())


def set_log_callback(callback: Callable[[str, str], Any] | None) -> None:
    """Sets the function that receives the library's log, as (level, message); None drops it.

    Levels are "info", "warning" and "error". The function may be called from other threads, one call at a time, and must
    not call libfne.
    """

    def forward(_user: Any, level: int, message: bytes) -> None:
        if callback is not None:
            callback(_LEVELS.get(level, "info"), message.decode("utf-8", "replace"))

    global _kept
    receiver = LOG(forward) if callback is not None else LOG()
    lib.fne_set_log_callback(receiver, None)
    _kept = receiver  # the former one is free only now


_kept: Any = None
