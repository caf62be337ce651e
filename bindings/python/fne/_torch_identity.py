"""What names a PyTorch module: its classes, its configuration and its weights."""

from __future__ import annotations

import enum
import functools
import hashlib
import sys
import types
from typing import Any

#: The packages whose classes and functions are the same wherever their versions are.
_KNOWN = {"torch", "torchvision", "timm", "builtins", "collections", "functools", "math", "operator", "typing"}
_PLAIN = (type(None), type(...), bool, int, float, complex, str, bytes, enum.Enum)
#: Attributes that say how a module is trained, or that torch.compile was called for it.
_OTHERS = {"training", "requires_grad", "_is_torch_compile"}
_CALLABLE = (type, types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType)


def identity(module: Any) -> str | None:
    """A checksum of all that says what a module computes.

    These are its classes with the versions of their packages, its attributes, its weights, and its hooks. None: a class
    or a function is not of torch, torchvision or timm, so that it may change without a trace, or something is no plain
    value.
    """
    walk = _Walk(sys.modules["torch"])
    try:
        walk.take(module)
    except (_OwnCodeError, RecursionError):
        return None
    for package in sorted(walk.packages):
        walk.say("version", package, getattr(sys.modules.get(package), "__version__", ""))
    return walk.digest.hexdigest()[:32]


class _OwnCodeError(Exception):
    """A part of the module is not known by its name."""


class _Walk:
    """Goes through an object and what it holds. What it has seen is told by its number."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self.digest = hashlib.sha256()
        self.packages: set[str] = {"torch"}
        # The objects are held, so that no other one gets the same id.
        self._seen: dict[int, tuple[int, Any]] = {}

    def say(self, *words: object) -> None:
        self.digest.update(repr(words).encode() + b"\n")

    def take(self, value: Any) -> None:
        if isinstance(value, _PLAIN):
            self.say(type(value).__name__, value)
            return
        if id(value) in self._seen:
            self.say("seen", self._seen[id(value)][0])
            return
        self._seen[id(value)] = len(self._seen), value
        if isinstance(value, self.torch.Tensor):
            self._tensor(value)
        elif isinstance(value, (list, tuple, set, frozenset)):
            self._sequence(value)
        elif isinstance(value, dict):
            self._members("dict", dict(value))
        elif isinstance(value, functools.partial):
            self._members("partial", {"call": value.func, "arguments": value.args, "named": value.keywords})
        elif isinstance(value, types.MethodType):
            self._members("method", {"self": value.__self__, "function": value.__func__})
        elif isinstance(value, _CALLABLE):
            self._code(value)
        elif isinstance(value, (self.torch.dtype, self.torch.device, self.torch.layout)):
            self.say(str(value))
        else:
            self._object(value)

    def _tensor(self, tensor: Any) -> None:
        self._known(type(tensor))
        plain = tensor.detach().cpu().contiguous()
        if plain.layout != self.torch.strided or plain.is_quantized:
            raise _OwnCodeError
        self.say("tensor", str(plain.dtype), tuple(plain.shape))
        self.digest.update(plain.reshape(-1).view(self.torch.uint8).numpy().data)

    def _sequence(self, values: Any) -> None:
        is_set = isinstance(values, (set, frozenset))
        self.say(type(values).__name__, len(values))
        for value in sorted(values, key=repr) if is_set else values:
            self.take(value)

    def _members(self, kind: str, members: dict[Any, Any]) -> None:
        taken = {name: value for name, value in members.items() if name not in _OTHERS}
        self.say(kind, len(taken))
        for name, value in taken.items():
            self.take(name)
            self.take(value)

    def _code(self, code: Any) -> None:
        """A class or a function, and the values that the function encloses."""
        self._known(code)
        for cell in getattr(code, "__closure__", None) or ():
            self.take(cell.cell_contents)
        for value in getattr(code, "__defaults__", None) or ():
            self.take(value)

    def _object(self, value: Any) -> None:
        self._known(type(value))
        if not hasattr(value, "__dict__"):
            raise _OwnCodeError
        self._members("object", vars(value))

    def _known(self, code: Any) -> None:
        owner = getattr(code, "__objclass__", None) or getattr(code, "__self__", None)
        name = getattr(code, "__module__", None) or getattr(owner, "__module__", None) or ""
        package = str(name).split(".")[0]
        if package not in _KNOWN:
            raise _OwnCodeError
        self.packages.add(package)
        self.say("code", name, getattr(code, "__qualname__", ""))
