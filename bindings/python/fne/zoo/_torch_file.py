"""Reads a state dictionary from PyTorch's older file format. It needs no PyTorch and runs nothing that the file names.

The format is that of torch.serialization before 1.6. Five pickles come first: a magic number, a protocol version, facts
of the system, the object, the list of storage keys. For each key an int64 count follows, and that many little-endian
numbers.
"""

from __future__ import annotations

import collections
import io
import pickle
from typing import Any

import numpy
from numpy.typing import NDArray

_MAGIC = 0x1950A86A20F9469CFC6C


class _Storage:
    """A storage, which the file names before its numbers. Its kind is "float" or "long"."""

    def __init__(self, kind: str, count: int) -> None:
        self.kind, self.count = kind, count
        self.numbers: NDArray[Any] = numpy.empty(0)


class _Tensor:
    def __init__(self, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self) -> NDArray[numpy.float32]:
        """The tensor's numbers, copied from its storage."""
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        if min((*self.shape, 1)) < 1 or min((*self.strides, self.offset, 0)) < 0 or last >= len(self.storage.numbers):
            raise pickle.UnpicklingError("a tensor reaches beyond its storage")
        numbers = self.storage.numbers[self.offset :]
        steps = [stride * numbers.itemsize for stride in self.strides]
        return numpy.lib.stride_tricks.as_strided(numbers, self.shape, steps).astype(numpy.float32)


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
            raise pickle.UnpicklingError(f"the file asks for {module}.{name}, which is not allowed")
        return known[module, name]

    def persistent_load(self, identity: Any) -> _Storage:
        kind, number_type, key, _location, count = identity[:5]
        if kind != "storage":
            raise pickle.UnpicklingError("an unknown persistent object")
        return self._storages.setdefault(key, _Storage(number_type, count))


def read_state_dict(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays by their names, in the file's order. Integers (batch counters) are left out."""
    file = io.BytesIO(data)
    storages: dict[str, _Storage] = {}

    def load() -> Any:
        return _Unpickler(file, storages).load()

    if load() != _MAGIC:
        raise pickle.UnpicklingError("this is not a file of PyTorch's older format")
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
            raise pickle.UnpicklingError("the file is truncated")
        storage.numbers = numpy.frombuffer(content, number_type)
    return {name: tensor.array() for name, tensor in state.items() if tensor.storage.kind == "float"}
