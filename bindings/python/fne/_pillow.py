"""Images of formats that libfne does not read itself. Pillow reads them where it is installed."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
from functools import cache
from typing import Any

import numpy
from numpy.typing import NDArray

from fne._text import printable
from fne.errors import DamagedImageError, FileSystemError, FNEError, ImageLimitError, UnsupportedImageError

_ORIENTATION = 0x0112
_LONGEST_PATH = 4096
_SMALL_FILE = 2**20  # the library's rule for max_expansion
_JPEG_WORK = 12  # bytes a pixel, of the kinds of JPEG that libfne leaves to Pillow, such as lossless ones


def installed() -> bool:
    """Whether Pillow can be imported."""
    return "PIL" in sys.modules or importlib.util.find_spec("PIL") is not None


def header(source: Any, refusal: FNEError, limits: Any) -> tuple[int, int, str, int]:
    """The height, width, format and orientation of an image that libfne refused.

    Args:
        source: a path or bytes
        refusal: libfne's error; it is raised where Pillow cannot read the image either
        limits: the struct of `fne.ImageOptions`
    """
    with _open(source, refusal) as image:
        orientation = _orientation(image)
        width, height = image.size
        _check(image, limits, _name(source), source)
        return (*((width, height) if orientation >= 5 else (height, width)), image.format, orientation)


def read(source: Any, refusal: FNEError, limits: Any) -> NDArray[numpy.uint8]:
    """The pixels of an image that libfne refused. The arguments are those of `header`."""
    with _open(source, refusal) as image:
        return to_rgb(image, limits, _name(source), source)


def decoded(content: bytes, refusal: FNEError, limits: Any) -> NDArray[numpy.uint8]:
    """The pixels of an image that libfne has read as bytes and refused. Errors do not name it."""
    with _opened(content, refusal) as image:
        return to_rgb(image, limits, "", content)


def is_path(source: bytes) -> bool:
    """Whether what was given as an encoded image can only be the name of a file."""
    return len(source) <= _LONGEST_PATH and printable(os.fsdecode(source)).encode() == source


def to_rgb(image: Any, limits: Any, name: str = "", source: Any = None) -> NDArray[numpy.uint8]:
    """A `PIL.Image.Image` as RGB uint8 [height, width, 3].

    Its orientation is applied and its alpha is dropped. Of 16 bits, the high 8 are taken.
    """
    from PIL import ImageOps

    _check(image, limits, name, source)
    mode = image.mode
    if mode in ("I", "F"):
        raise UnsupportedImageError(f"{name}a picture of mode {mode} has no range of values; convert it to 8 bits")
    try:
        if _orientation(image) != 1:
            image = ImageOps.exif_transpose(image)
        if mode.startswith("I;16"):
            high = (numpy.asarray(image).astype(numpy.uint16) >> 8).astype(numpy.uint8)
            return numpy.repeat(high[..., None], 3, axis=2)
        if mode in ("RGBa", "La"):  # the colours are multiplied by alpha
            image = image.convert("RGBA" if mode == "RGBa" else "LA")
        return numpy.array(image.convert("RGB"))
    except MemoryError:
        raise
    except Exception as failure:  # for damaged files, Pillow's readers raise exceptions of every kind
        _refuse_machine_errors(failure, name)
        raise DamagedImageError(f"{name}the image is damaged or cannot be converted ({failure})") from failure


def _open(source: Any, refusal: FNEError) -> Any:
    if not isinstance(refusal, UnsupportedImageError):
        raise refusal
    if isinstance(source, bytes) and is_path(source):
        # It is not opened: what came as an image from elsewhere must not choose a file.
        raise path_refused(refusal) from None
    return _opened(source, refusal)


def path_refused(refusal: FNEError) -> UnsupportedImageError:
    """The error of a path that was given as bytes."""
    return UnsupportedImageError(f"{refusal}; bytes are an encoded image, and a path is passed as str")


@cache
def _register_heif() -> None:
    """Lets Pillow read HEIC where pillow-heif is installed."""
    if importlib.util.find_spec("pillow_heif") is not None:
        import pillow_heif

        pillow_heif.register_heif_opener()


def _opened(source: Any, refusal: FNEError) -> Any:
    if not installed():
        raise UnsupportedImageError(f"{refusal}, or install Pillow, which reads more formats") from None
    import PIL.Image

    _register_heif()
    try:
        return PIL.Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    except PIL.Image.DecompressionBombError as bomb:
        raise ImageLimitError(f"{_name(source)}refused by Pillow: {bomb}") from None
    except MemoryError:
        raise
    except Exception as failure:  # as above
        _refuse_machine_errors(failure, _name(source))
        raise refusal from None


def _refuse_machine_errors(failure: Exception, name: str) -> None:
    """Raises where the system failed, as `FileSystemError` describes it. Pillow's own errors have no number."""
    of_the_file = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
    if isinstance(failure, OSError) and failure.errno is not None and not isinstance(failure, of_the_file):
        raise FileSystemError(f"{name}{failure.strerror}. The disk, the network or the system fails") from failure


def _check(image: Any, limits: Any, name: str, source: Any) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise DamagedImageError(f"{name}the picture is empty ({width} x {height})")
    refused = f"{name}the image is refused: {width} x {height} pixels"
    if max(width, height) > limits.max_side:
        raise ImageLimitError(f"{refused} have a side beyond the limit of {limits.max_side} (max_side)")
    if width * height > limits.max_pixels:
        raise ImageLimitError(f"{refused} are more than the limit of {limits.max_pixels} (max_pixels)")
    if image.format == "JPEG" and source is not None:
        size = len(source) if isinstance(source, bytes) else os.path.getsize(source)
        limit = limits.max_expansion * max(size, _SMALL_FILE)
        if width * height * _JPEG_WORK > limit:
            raise ImageLimitError(f"{refused} are too many for a file of {size} bytes (max_expansion)")


def _orientation(image: Any) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # an image with broken EXIF data is taken as it is stored
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _name(source: Any) -> str:
    return "" if isinstance(source, bytes) else f"{os.fsdecode(source)}: "
