"""The library itself: its file, its build, its log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fne._ffi import LOG, decoded, lib

_LEVELS = {0: "info", 1: "warning", 2: "error"}


def library_path() -> str:
    """The file of libfne that is in use."""
    return str(lib._name)


def build_info() -> str:
    """One line that says how the library was built."""
    return str(lib.fne_build_info().decode())


def set_log_callback(callback: Callable[[str, str], Any] | None) -> None:
    """Sets the function that receives the library's log.

    Args:
        callback: is called with (level, message), where the level is "info", "warning" or "error". None drops the log.
            Other threads may call it too, one call at a time. It must not call libfne.
    """

    def forward(_user: Any, level: int, message: bytes) -> None:
        if callback is not None:
            callback(_LEVELS.get(level, "info"), decoded(message))

    global _kept
    receiver = LOG(forward) if callback is not None else LOG()
    lib.fne_set_log_callback(receiver, None)
    _kept = receiver  # the library no longer uses the one before, which may be freed now


_kept: Any = None
