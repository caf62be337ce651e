"""Pillow as the decoder that the library calls for images that it does not read itself."""

from __future__ import annotations

import ctypes
from functools import cache
from types import SimpleNamespace
from typing import Any

from fne import _ffi, _pillow
from fne._ffi import check, lib
from fne.errors import FNEError, OutOfMemoryError, UnsupportedImageError


def pillow_decoder(limits: Any) -> Any:
    """The decoder for images within limits, as ctypes hands it to the library.

    Args:
        limits: the struct of `fne.ImageOptions`
    """
    return _made(limits.max_side, limits.max_pixels, limits.max_expansion)


@cache  # an extractor may call it for as long as it lives, also a copy of the one that it was made for
def _made(max_side: int, max_pixels: int, max_expansion: int) -> Any:
    limits = SimpleNamespace(max_side=max_side, max_pixels=max_pixels, max_expansion=max_expansion)

    # Threads of the library call it. What is raised must not pass through C.
    def decode(_user: Any, address: int, size: int, refusal: bytes, decoding: int) -> int:
        try:
            _decode(ctypes.string_at(address, size), UnsupportedImageError(_ffi.decoded(refusal)), limits, decoding)
            return _ffi.OK
        except MemoryError:
            return OutOfMemoryError.status
        except FNEError as failure:
            lib.fne_decoding_message(decoding, str(failure).encode("utf-8", "replace"))
            return failure.status
        except BaseException as failure:
            lib.fne_decoding_message(decoding, f"Pillow failed ({failure!r})".encode("utf-8", "replace"))
            return UnsupportedImageError.status

    return _ffi.DECODER(decode)


def _decode(content: bytes, refusal: UnsupportedImageError, limits: Any, decoding: int) -> None:
    pixels = _pillow.decoded(content, refusal, limits)
    target = ctypes.c_void_p()
    check(lib.fne_decoding_rows(decoding, pixels.shape[0], pixels.shape[1], ctypes.byref(target)))
    ctypes.memmove(target, pixels.ctypes.data, pixels.nbytes)
