"""Reads a state dictionary from PyTorch's older file format. It needs no PyTorch and runs nothing that the file names.

The format is that of torch.serialization before 1.6. Five pickles come first: a magic number, a protocol version, facts
of the system, the object, the list of storage keys. For each key an int64 count follows, and that many little-endian
numbers.

Memory is bounded by the file's size: tensors must be parts of their storages without gaps, and are not copied.
"""

from __future__ import annotations

import collections
import io
import pickle
import pickletools
from typing import Any

import numpy
from numpy.typing import NDArray

from fne.errors import SavedDataError

_MAGIC = 0x1950A86A20F9469CFC6C


class WeightsError(SavedDataError, pickle.UnpicklingError):
    """The file is no state dictionary, is damaged, or asks for what is not allowed."""


class _Storage:
    """A storage, which the file names before its numbers. Its kind is "float" or "long"."""

    def __init__(self, kind: str, count: int) -> None:
        self.kind, self.count = kind, count
        self.numbers: NDArray[Any] = numpy.empty(0)


class _Tensor:
    def __init__(self, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self) -> NDArray[numpy.float32]:
        """The tensor's numbers, a view of its storage."""
        if not all(type(number) is int and number >= 0 for number in (self.offset, *self.shape, *self.strides)):
            raise WeightsError("a tensor's offset, sizes and strides must be integers of at least 0")
        # The axes may stand in any order. From the shortest step on, each is as long as all those before it together.
        length = 1
        for stride, size in sorted(zip(self.strides, self.shape, strict=True)):
            if size != 1 and stride != length:
                raise WeightsError("a tensor's numbers overlap or leave gaps")
            length *= size
        if self.offset + length > len(self.storage.numbers):
            raise WeightsError("a tensor reaches beyond its storage")
        part = self.storage.numbers[self.offset : self.offset + length]
        steps = [
            stride * part.itemsize if size != 1 else 0 for stride, size in zip(self.strides, self.shape, strict=True)
        ]
        view: NDArray[numpy.float32] = numpy.lib.stride_tricks.as_strided(part, self.shape, steps)
        return view


def _rebuild_tensor(storage: _Storage, offset: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _Unpickler(pickle.Unpickler):
    """An unpickler that knows the few names a state dictionary of float32 needs, and refuses all others."""

    def __init__(self, file: io.BytesIO, storages: dict[str, _Storage]) -> None:
        super().__init__(file)
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch", "FloatStorage"): "float",
            ("torch", "LongStorage"): "long",
        }
        if (module, name) not in known:
            raise WeightsError(f"the file asks for {module}.{name}, which is not allowed")
        return known[module, name]

    def persistent_load(self, identity: Any) -> _Storage:
        kind, number_type, key, _location, count = identity[:5]
        if kind != "storage":
            raise WeightsError("an unknown persistent object")
        return self._storages.setdefault(key, _Storage(number_type, count))


def read_state_dict(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays by their names, in the file's order, read-only. Integers (batch counters) are left out.

    Raises:
        WeightsError: the file is no state dictionary, is damaged, or asks for what is not allowed
    """
    try:
        return _read(data)
    except (WeightsError, MemoryError):
        raise
    except Exception as failure:  # damaged pickles raise exceptions of every kind
        raise WeightsError(f"the file is damaged: {failure}") from failure


def _read(data: bytes) -> dict[str, NDArray[Any]]:
    file = io.BytesIO(data)
    storages: dict[str, _Storage] = {}

    def load() -> Any:
        _check_sizes(file, len(data))
        return _Unpickler(file, storages).load()

    if load() != _MAGIC:
        raise WeightsError("this is not a file of PyTorch's older format")
    load()  # protocol version
    load()  # system facts
    state = load()
    kinds = {"float": (4, "<f4"), "long": (8, "<i8")}
    for key in load():
        storage = storages[key]
        width, number_type = kinds[storage.kind]
        count = int.from_bytes(file.read(8), "little")
        content = file.read(count * width)
        if count != storage.count or len(content) != count * width:
            raise WeightsError("the file is truncated")
        storage.numbers = numpy.frombuffer(content, number_type)
    return {str(name): tensor.array() for name, tensor in state.items() if tensor.storage.kind == "float"}


def _check_sizes(file: io.BytesIO, most: int) -> None:
    """Refuses the next pickle where it asks for memory by a number alone: a place in the memo, an empty bytearray."""
    start = file.tell()
    for operation, argument, _ in pickletools.genops(file):
        if operation.name == "BYTEARRAY8" or (operation.name.endswith("PUT") and int(argument or 0) > most):
            raise WeightsError("the file asks for more memory than it fills")
    file.seek(start)
