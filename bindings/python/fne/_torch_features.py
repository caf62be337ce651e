"""The features of a batch: a PyTorch network runs, and hooks that exist for this run average the layers' outputs.

Some networks put the images of a batch elsewhere than on a layer's first axis. Swin transformers, for example, run
linear layers on windows, [n * windows, tokens, channels]. Then the network also runs three images of noise, alone and
as a batch. The layout is the one by which the batch's rows are those of the single images.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import torch
from torch import nn

from fne._torch_layout import (
    CONVOLUTIONS,
    STANDARD,
    UnsupportedLayerError,
    has_images,
    layout_of,
    matching_layout,
    possible_layouts,
    remember,
    row_means,
)
from fne.errors import UnknownTensorError

#: The images of a proof.
_PROBES = 3


class UnknownLayerError(UnknownTensorError, KeyError):
    """The network has no module of that name. The message lists similar names."""

    __str__ = UnknownTensorError.__str__  # that of KeyError would put the message in quotes


class Tap(NamedTuple):
    """A call of a layer within a run of the network. A layer that runs several times has several calls."""

    name: str
    module: nn.Module
    call: int


class Features(NamedTuple):
    """The features of a batch.

    rows: [n, F] on the CPU; float64 where a layer's output is, else float32
    layers: (name, columns) of each call of a layer, in the order of the columns
    """

    rows: torch.Tensor
    layers: list[tuple[str, int]]


Take = Callable[[Tap, torch.Tensor], None]


def modules_of(model: nn.Module, layers: Sequence[str]) -> list[nn.Module]:
    """The network's modules of these names.

    Raises:
        UnknownLayerError: there is no such module
        UnsupportedLayerError: a module is no convolution and no linear layer
    """
    modules = dict(model.named_modules())
    for name in layers:
        if name not in modules:
            close = get_close_matches(name, [known for known in modules if known], 5, 0.3)
            raise UnknownLayerError(f"the network has no layer {name!r}; similar names: {', '.join(close) or 'none'}")
        if not isinstance(modules[name], (nn.Linear, *CONVOLUTIONS)):
            raise UnsupportedLayerError(
                f"layer {name!r} is a {type(modules[name]).__name__}; "
                "only convolutions, transposed convolutions and nn.Linear can be taken"
            )
    return [modules[name] for name in layers]


def features_of(model: nn.Module, layers: Sequence[str], batch: Any) -> Features:
    """Runs the network on a batch.

    Args:
        layers: names of its convolutions and linear layers
        batch: [n, ..], or what else the network takes

    Raises:
        UnsupportedLayerError: a layer's output cannot be divided among the images; or no layer ran
    """
    weight = next(model.parameters(), None)
    batch = batch if weight is None else _as_the_weights(model, batch.to(weight.device))
    means, doubtful = _means(model, layers, batch)
    if doubtful:
        _prove(model, layers, batch, doubtful)
        means, _ = _means(model, layers, batch)
    if not means:
        raise UnsupportedLayerError(
            f"none of the layers ran: {', '.join(layers) or 'none was named'}; the network may use their weights "
            "without calling them"
        )
    rows = torch.cat([mean.to(torch.promote_types(mean.dtype, torch.float32)) for _, mean in means], 1)
    return Features(rows.cpu(), [(tap.name, mean.shape[1]) for tap, mean in means])


class FeatureRows:
    """The features of batches, one below the other."""

    def __init__(self, model: nn.Module, layers: Sequence[str]) -> None:
        self._model, self._layers = model, layers
        self._rows: list[torch.Tensor] = []
        self._columns: list[tuple[str, int]] = []

    def add(self, batch: Any) -> None:
        """Runs the network on a batch."""
        rows, columns = features_of(self._model, self._layers, batch)
        if self._rows and columns != self._columns:
            raise UnsupportedLayerError(
                "layers ran in another order, or had other widths, than for the first batch: "
                f"{sorted(set(columns) ^ set(self._columns)) or [name for name, _ in columns]}; "
                "columns would mean something else from batch to batch"
            )
        self._rows.append(rows)
        self._columns = columns

    def all(self) -> torch.Tensor:
        """All features, [n, F]; empty where there were no batches."""
        return torch.cat(self._rows) if self._rows else torch.Tensor()

    @property
    def missing(self) -> list[str]:
        """The layers that never ran."""
        ran = {name for name, _ in self._columns}
        return [name for name in self._layers if name not in ran] if self._rows else []


def _as_the_weights(model: nn.Module, batch: Any) -> Any:
    """float32 images as the type of a network that was converted as a whole, by `double`, `half` or `bfloat16`."""
    types = {weight.dtype for weight in model.parameters() if weight.is_floating_point()}
    if len(types) == 1 and isinstance(batch, torch.Tensor) and batch.dtype == torch.float32:
        return batch.to(types.pop())
    return batch


def _run(model: nn.Module, layers: Sequence[str], batch: Any, take: Take) -> None:
    """Runs the network, and hands over each output of the layers. The hooks are gone afterwards."""
    calls: Counter[str] = Counter()
    thread = threading.get_ident()

    def hook(name: str, module: nn.Module) -> Callable[[nn.Module, Any, torch.Tensor], None]:
        def collect(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            if threading.get_ident() == thread:  # another thread may run the same network for itself
                take(Tap(name, module, calls[name]), output)
                calls[name] += 1

        return collect

    modules = modules_of(model, layers)
    handles = [module.register_forward_hook(hook(name, module)) for name, module in zip(layers, modules, strict=True)]
    try:
        with _eagerly:
            model(batch)
    finally:
        for handle in handles:
            handle.remove()


class _Eagerly:
    """Makes compiled networks run as they were written. What torch.compile made does not call hooks that came later.

    PyTorch has one such setting for all threads. So the first thread that needs it sets it, and the last one resets it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._stance: Any = None

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            set_stance = getattr(getattr(torch, "compiler", None), "set_stance", None)  # since PyTorch 2.6
            if self._users == 1 and set_stance is not None and "torch._dynamo" in sys.modules:
                self._stance = set_stance("force_eager")

    def __exit__(self, *_failure: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._stance is not None:
                self._stance.__exit__(None, None, None)
                self._stance = None


_eagerly = _Eagerly()


def _means(
    model: nn.Module, layers: Sequence[str], batch: Any
) -> tuple[list[tuple[Tap, torch.Tensor]], list[tuple[Tap, torch.Size]]]:
    """The means of the layers' outputs, [n, channels] each; and the outputs' shapes where layouts need a proof."""
    means: list[tuple[Tap, torch.Tensor]] = []
    doubtful: list[tuple[Tap, torch.Size]] = []
    images = (len(batch) or None) if isinstance(batch, torch.Tensor) and batch.ndim else None
    training = any(module.training for module in model.modules())

    def take(tap: Tap, output: torch.Tensor) -> None:
        if not has_images(tap.module, output):
            raise _unproven(tap, output.shape, "it has no axis of images")
        layout = STANDARD if images is None else layout_of(tap.module, tap.call, output, images)
        if layout is None and training:
            if output.shape[0] != images:
                raise _unproven(tap, output.shape, "call eval() on the network first, so that runs can be compared")
            layout = STANDARD
        if layout is None:
            doubtful.append((tap, output.shape))
        else:
            means.append((tap, row_means(tap.module, output, images, layout)))

    _run(model, layers, batch, take)
    return means, doubtful


def _unproven(tap: Tap, shape: torch.Size, reason: str, others: Sequence[str] = ()) -> UnsupportedLayerError:
    same = f"; nor for {', '.join(map(repr, others))}" if others else ""
    return UnsupportedLayerError(
        f"layer {tap.name!r} gave an output of shape {list(shape)}, and nothing shows which part of it belongs to "
        f"which image: {reason}{same}; layers like this have to be left out"
    )


class _Proof:
    """Finds the layouts of layers' outputs from runs of three images, each alone and then all together."""

    def __init__(self, doubtful: list[tuple[Tap, torch.Size]]) -> None:
        self._alone: dict[Tap, list[tuple[torch.Size, torch.Tensor]]] = {tap: [] for tap, _ in doubtful}
        self._problems = dict.fromkeys(self._alone, "it does not run in every run of the network")

    def take_alone(self, tap: Tap, output: torch.Tensor) -> None:
        if tap in self._alone:
            self._alone[tap].append((output.shape, row_means(tap.module, output, 1)))

    def take_together(self, tap: Tap, output: torch.Tensor) -> None:
        alone = self._alone.get(tap, [])
        if len(alone) < _PROBES:
            return
        layouts = possible_layouts(tap.module, alone[0][0], output.shape, _PROBES)
        layout = matching_layout(tap.module, output, layouts, torch.cat([mean for _, mean in alone]))
        if layout is not None:
            remember(tap.module, tap.call, layout)
            del self._problems[tap]
        elif layouts:
            self._problems[tap] = "the values for three images are not those for each of them alone"
        else:
            self._problems[tap] = f"of one image it has {list(alone[0][0])}, of three {list(output.shape)}"

    def finish(self, shapes: dict[Tap, torch.Size]) -> None:
        """Raises an error that names the layers whose layouts were not found."""
        for tap, problem in self._problems.items():
            others = list(dict.fromkeys(other.name for other in self._problems if other.name != tap.name))
            raise _unproven(tap, shapes[tap], problem, others)


def _prove(
    model: nn.Module, layers: Sequence[str], batch: torch.Tensor, doubtful: list[tuple[Tap, torch.Size]]
) -> None:
    """Finds the layouts of layers' outputs.

    Args:
        doubtful: the calls whose layouts are unknown, and the shapes of their outputs for the batch
    """
    proof = _Proof(doubtful)
    probes = _probes(batch)
    try:
        with torch.no_grad(), torch.random.fork_rng([batch.device] if batch.device.type == "cuda" else []):
            for number in range(_PROBES):
                _run(model, layers, probes[number : number + 1], proof.take_alone)
            _run(model, layers, probes, proof.take_together)
    except Exception as failure:  # the network's own
        reason = f"the network does not run batches of one and of three images ({failure})"
        raise _unproven(*doubtful[0], reason) from failure
    proof.finish(dict(doubtful))


def _probes(batch: torch.Tensor) -> torch.Tensor:
    """Three images of noise within the batch's range of values. Their means differ."""
    low, high = batch.min().double().cpu(), batch.max().double().cpu()
    if low == high:
        high = low + 1
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand((_PROBES, *batch.shape[1:]), generator=generator, dtype=torch.float64)
    powers = torch.arange(1.0, _PROBES + 1).reshape(-1, *[1] * (batch.ndim - 1))
    return (low + (high - low) * noise**powers).to(batch.device, batch.dtype)
