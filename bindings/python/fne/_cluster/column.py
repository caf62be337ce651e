"""The column of images in a table: found by its type, whatever wrote it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy
import pyarrow
from numpy.typing import NDArray

from fne._arguments import listed
from fne.errors import FileError, FNEError, InvalidArgumentError, InvalidTypeError

#: The columns that hold images where none is named, from the one that holds most: Spark's binaryFile has "content" and
#: "path", Ray's read_binary_files "bytes" and "path", and both write pixels into "image".
USUAL = ("content", "bytes", "image", "path")
_ADDRESS = re.compile("([A-Za-z][A-Za-z0-9+.-]+):/")
_OPENCV_CHANNELS = {0: 1, 16: 3, 24: 4}  # OpenCV's types of 8 bits, which Spark's image source writes


class Refused(NamedTuple):
    """An item that is no image.

    status: the number of the error in fne.h
    reason: a sentence that says why
    """

    status: int
    reason: str


def chosen(names: Sequence[str], column: str | None, added: Sequence[str]) -> str:
    """The name of the column of images.

    Args:
        names: the table's columns
        column: the one that was asked for, or None
        added: the columns that will be added

    Raises:
        InvalidArgumentError: there is no such column, or the table has one that would be added
    """
    taken = [name for name in added if name in names]
    if taken:
        raise InvalidArgumentError(f"the data has a column '{taken[0]}' already, which fne would add; rename it")
    if column is None:
        column = next((name for name in USUAL if name in names), None)
        if column is None:
            raise InvalidArgumentError(
                f"no column is named {' or '.join(map(repr, USUAL))}; pass column, one of {listed(sorted(names))}"
            )
    elif column not in names:
        raise InvalidArgumentError(f"there is no column '{column}'; the data has {listed(sorted(names))}")
    return column


def images_of(column: Any, name: str) -> list[Any]:
    """The images of a column: paths, encoded images as bytes, pixels as uint8 [height, width, 3], or `Refused`.

    Args:
        column: an array of Arrow: text is a path or a file's address, binary is an encoded image, a tensor is pixels,
            and structs are those of Spark's image source and of Hugging Face's `datasets`
        name: the column's name, for the message

    Raises:
        InvalidTypeError: the column's type is none of these
    """
    return [_taken(item.as_py(), column.type, name) for item in column]


def _taken(item: Any, type_: Any, name: str) -> Any:
    convert = _of_type(type_)
    if convert is None:
        raise InvalidTypeError(
            f"the column '{name}' holds {type_}. Images are paths as text, encoded images as binary, pixels as tensors "
            "of uint8 [height, width, 3], or the structs of Spark's image source"
        )
    if item is None:
        return _refused(InvalidArgumentError, f"the column '{name}' is null here")
    return convert(item)


def _of_type(type_: Any) -> Callable[[Any], Any] | None:
    is_text = pyarrow.types.is_string(type_) or pyarrow.types.is_large_string(type_)
    is_binary = pyarrow.types.is_binary(type_) or pyarrow.types.is_large_binary(type_)
    if is_text:
        return _of_path
    if is_binary or pyarrow.types.is_null(type_):
        return _as_it_is
    if pyarrow.types.is_struct(type_):
        fields = {field.name for field in type_}
        if {"height", "width", "mode", "data"} <= fields:
            return _of_spark
        return _of_hugging_face if {"bytes", "path"} <= fields else None
    return _of_pixels if isinstance(type_, pyarrow.BaseExtensionType) else None


def _as_it_is(item: Any) -> Any:
    return item


def _of_path(path: str) -> Any:
    """A path of this machine. Hadoop writes "file:/folder/image.jpg", and elsewhere it is encoded as an address."""
    address = _ADDRESS.match(path)
    if address is None:
        return path
    if address[1].lower() != "file":
        return _refused(
            FileError,
            f"'{path}' is an address, and a worker reads files. Read the bytes first, with Ray's read_binary_files or "
            "the column 'content' of Spark's binaryFile",
        )
    plain = re.sub("^/+", "/", path[len("file:") :])
    return plain if os.path.exists(plain) or not os.path.exists(unquote(plain)) else unquote(plain)


def _of_hugging_face(item: dict[str, Any]) -> Any:
    if item["bytes"] is not None:
        return item["bytes"]
    if item["path"] is not None:
        return _of_path(item["path"])
    return _refused(InvalidArgumentError, "both bytes and path are null here")


def _of_spark(item: dict[str, Any]) -> Any:
    """Pixels of Spark's image source: rows of BGR, BGRA or grey. An image that Spark could not read has none."""
    count = _OPENCV_CHANNELS.get(item["mode"])
    height, width, data = item["height"], item["width"], item["data"]
    if count is None or height < 1 or width < 1 or len(data) != height * width * count:
        return _refused(
            InvalidArgumentError,
            f"Spark's image is none of 8 bits (mode {item['mode']}, {height} x {width}); read files with binaryFile",
        )
    pixels = numpy.frombuffer(data, numpy.uint8).reshape(height, width, count)
    return _rgb(pixels if count == 1 else pixels[..., [2, 1, 0]])


def _of_pixels(item: Any) -> Any:
    pixels = numpy.asarray(item)
    if pixels.ndim == 3 and pixels.shape[0] == 1 and pixels.shape[2] not in (1, 3, 4):
        pixels = pixels[0]  # Ray writes grey [height, width] so, in a column with colour images
    is_picture = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (1, 3, 4))
    if pixels.dtype != numpy.uint8 or not is_picture or not pixels.size:
        return _refused(
            InvalidArgumentError,
            f"the tensor is {pixels.dtype} {pixels.shape}; it must be uint8 [height, width, 3], as Ray's read_images "
            'makes it with mode="RGB"',
        )
    return _rgb(pixels.reshape(*pixels.shape[:2], -1))


def _rgb(pixels: NDArray[numpy.uint8]) -> NDArray[numpy.uint8]:
    """Pixels [height, width, 1, 3 or 4] as RGB. Grey is repeated and alpha is dropped, as `fne.read_image` does."""
    return numpy.ascontiguousarray(numpy.repeat(pixels, 3, 2) if pixels.shape[2] == 1 else pixels[..., :3])


def _refused(error: type[FNEError], reason: str) -> Refused:
    return Refused(error.status, reason)
