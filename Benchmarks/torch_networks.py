"""Compares networks of torchvision and timm, as ONNX files, with PyTorch itself: `torch_networks.py [NAME ...]`.

Each network has random weights and random statistics in its normalizations, and is exported by both exporters of
PyTorch. The layers must be PyTorch's convolutions and linear layers, in the order in which these run. The rows must be
what forward hooks find, averaged by PyTorch, after the normalization and the activation that follow a layer. It prints
a line of a markdown table per network. The largest difference is a share of the largest value of its layer. --double
adds the differences of libfne and of PyTorch's float32 from PyTorch's float64. --details says more about each layer
that does not match. The exported files are in a temporary folder, and go when the network is done.

It needs torch, torchvision, timm, onnx and onnxscript.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
import torchvision
from torch import nn
from torch.overrides import TorchFunctionMode

import fne

TORCHVISION = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet1_0",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet50",
    "resnext50_32x4d",
    "shufflenet_v2_x1_0",
    "squeezenet1_1",
    "swin_t",
    "swin_v2_t",
    "vgg16",
    "vit_b_16",
]
TIMM = [
    "beit_base_patch16_224",
    "cait_xxs24_224",
    "coatnet_pico_rw_224",
    "convnextv2_atto",
    "cspresnet50",
    "deit_tiny_distilled_patch16_224",
    "dla34",
    "eca_nfnet_l0",
    "edgenext_xx_small",
    "efficientformer_l1",
    "efficientvit_b0",
    "eva02_tiny_patch14_224",
    "fastvit_t8",
    "ghostnet_100",
    "hrnet_w18_small",
    "inception_resnet_v2",
    "lcnet_050",
    "levit_128s",
    "mixer_s32_224",
    "mobilenetv4_conv_small",
    "mobilevit_xxs",
    "mobilevitv2_050",
    "nf_resnet26",
    "nf_regnet_b0",
    "pit_ti_224",
    "poolformer_s12",
    "pvt_v2_b0",
    "repvgg_a0",
    "repvit_m0_9",
    "res2net50_14w_8s",
    "resmlp_12_224",
    "resnetv2_50",
    "resnetv2_50x1_bit",
    "seresnet50",
    "skresnet18",
    "tiny_vit_5m_224",
    "vit_small_patch16_224",
    "xcit_nano_12_p16_224",
]
EXPORTERS = ("TorchScript", "dynamo")
LAYERS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
IMAGES = 3
ALLOWED = 1e-4
# Values that differ by more are those of another layer.
SAME_LAYER = 2e-2


# The fast path is one operator, which no exporter knows. PyTorch takes it where no weight needs a gradient.
torch.backends.mha.set_fastpath_enabled(False)


# ---- the networks


def build(name: str) -> nn.Module:
    """A network with random weights, in which no parameter is 0 and no normalization is the identity."""
    torch.manual_seed(7)
    if name in TORCHVISION:
        extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        network = getattr(torchvision.models, name)(weights=None, **extra)
    else:
        import timm

        network = timm.create_model(name, pretrained=False)
    random = torch.Generator().manual_seed(7)

    def uniform(shape: Any, low: float, high: float) -> torch.Tensor:
        return torch.rand(shape, generator=random) * (high - low) + low

    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                assert module.running_mean is not None and module.running_var is not None
                module.running_mean.copy_(uniform(module.running_mean.shape, -0.2, 0.2))
                module.running_var.copy_(uniform(module.running_var.shape, 0.5, 1.5))
                module.weight.copy_(uniform(module.weight.shape, 0.5, 1.5))
                module.bias.copy_(uniform(module.bias.shape, -0.2, 0.2))
        for parameter in network.parameters():
            # Gains of 0 and of 1e-6 at the ends of blocks would leave the network a chain of sums.
            if parameter.abs().max() < 1e-3:
                parameter.copy_(uniform(parameter.shape, 0.1, 0.4))
    return network.eval().requires_grad_(False)


def side(network: nn.Module, name: str) -> int:
    """The sides of a network's images."""
    given = getattr(network, "pretrained_cfg", None) or getattr(network, "default_cfg", None)
    if given:
        return int(given["input_size"][-1])
    return 299 if name == "inception_v3" else 224


def pictures(size: int, double: bool = False) -> torch.Tensor:
    """Pictures of soft shapes, which differ as photographs do, [n, 3, size, size]."""
    random = torch.Generator().manual_seed(5)
    found = torch.zeros(IMAGES, 3, size, size)
    for places in (2, 5, 14, 40, size):
        noise = torch.randn(IMAGES, 3, places, places, generator=random)
        strength = torch.rand(IMAGES, 1, 1, 1, generator=random) + 0.1
        found += strength * functional.interpolate(noise, (size, size), mode="bicubic")
    return found.double() if double else found


def export(network: nn.Module, exporter: str, size: int, path: Path) -> str:
    """Writes a network's ONNX file. Returns what has to be said about it."""
    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["scores"]}
    try:
        if exporter == "TorchScript":
            axes = {"images": {0: "n"}, "scores": {0: "n"}}
            example = torch.zeros(1, 3, size, size)
            torch.onnx.export(network, (example,), path, dynamo=False, opset_version=17, dynamic_axes=axes, **names)
        else:
            shapes = ({0: torch.export.Dim("n", min=1)},)
            example = torch.zeros(2, 3, size, size)
            torch.onnx.export(network, (example,), path, dynamo=True, dynamic_shapes=shapes, verbose=False, **names)
        return ""
    except Exception:  # each exporter has its own errors
        example = torch.zeros(1, 3, size, size)
        options = {"opset_version": 17} if exporter == "TorchScript" else {"verbose": False}
        torch.onnx.export(network, (example,), path, dynamo=exporter == "dynamo", **options, **names)
        return "exported for one image, since the exporter fixes the batch"


# ---- what PyTorch finds

ACTIVATIONS = {
    functional.relu,
    functional.relu6,
    functional.hardtanh,
    functional.gelu,
    functional.silu,
    functional.hardswish,
    functional.hardsigmoid,
    functional.sigmoid,
    functional.leaky_relu,
    functional.elu,
    functional.mish,
    functional.tanh,
    torch.relu,
    torch.relu_,
    torch.sigmoid,
    torch.sigmoid_,
    torch.tanh,
    torch.Tensor.relu,
    torch.Tensor.relu_,
    torch.Tensor.sigmoid,
    torch.Tensor.sigmoid_,
    torch.Tensor.tanh,
    torch._C._nn.gelu,
    torch._C._nn.hardtanh_,
}


#: These give the same numbers in another form. LeViT has such steps between a layer and its normalization.
FORMS = {
    torch.flatten,
    torch.reshape,
    torch.Tensor.flatten,
    torch.Tensor.reshape,
    torch.Tensor.reshape_as,
    torch.Tensor.view,
}


def is_activation(module: nn.Module) -> bool:
    """Whether a module is an activation. Those of timm may be several operations."""
    place, kind = type(module).__module__, type(module).__name__
    return place.startswith(("torch.nn.modules.activation", "timm.layers.activations")) and "Attention" not in kind


@dataclass
class Record:
    """A layer that ran, by what it gave for each image."""

    name: str
    is_convolution: bool
    # Whether it depends on the image. A layer of constants alone is none of the network's.
    depends: bool
    values: list[np.ndarray[Any, Any]] = field(default_factory=list)


class Recorder(TorchFunctionMode):
    """Follows what layers give through a normalization and an activation, for one image.

    Every axis beside the channels is of this image, since there is no other, whatever the network makes of its batch.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.records: list[Record] = []
        self.stages: list[
            list[torch.Tensor]
        ] = []  # a layer's own value, normalized, activated; kept, since ids are keys
        self.activated: list[bool] = []
        self.of: dict[int, int] = {}  # which layer a tensor is the last value of
        self.readers: dict[int, int] = {}
        self.forms: list[torch.Tensor] = []  # kept, since ids are keys
        self.inside = 0
        self.parameters = {id(value): name.rpartition(".")[0] for name, value in network.named_parameters()}
        self.hooks = []
        for name, module in network.named_modules():
            if isinstance(module, LAYERS):
                self.hooks += [module.register_forward_pre_hook(self._enter)]
                self.hooks += [module.register_forward_hook(self._leave(name, not isinstance(module, nn.Linear)))]
            elif is_activation(module):
                self.hooks += [module.register_forward_pre_hook(self._enter)]
                self.hooks += [module.register_forward_hook(self._activation)]

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        self.inside += 1

    def _leave(self, name: str, is_convolution: bool) -> Any:
        def leave(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            self.inside -= 1
            self.read(inputs)
            self.begin(name, is_convolution, output)

        return leave

    def _activation(self, module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        self.inside -= 1
        self.read(inputs)
        self.go_on(inputs[0], output, ends=True)

    def begin(self, name: str, is_convolution: bool, output: torch.Tensor) -> None:
        """A layer has run."""
        self.records.append(Record(name, is_convolution, output.requires_grad))
        self.stages.append([])
        self.activated.append(False)
        self._take(len(self.records) - 1, output)

    def go_on(self, source: torch.Tensor, output: torch.Tensor, ends: bool) -> None:
        """A normalization or an activation has made the output of a source."""
        place = self.of.get(id(source))
        if place is not None and not self.activated[place]:
            self.activated[place] = ends
            self._take(place, output)

    def reform(self, source: torch.Tensor, output: torch.Tensor) -> None:
        """The output has the source's numbers, and its channels."""
        place = self.of.get(id(source))
        if place is not None and not self.records[place].is_convolution and output.shape[-1] == source.shape[-1]:
            self.of[id(output)] = place
            self.readers[id(output)] = 0
            self.forms.append(output)

    def _take(self, place: int, output: torch.Tensor) -> None:
        channels = 1 if self.records[place].is_convolution else output.ndim - 1
        axes = [axis for axis in range(output.ndim) if axis != channels]
        self.stages[place].append(output)
        with torch._C.DisableTorchFunction():  # these do not count as readers
            self.records[place].values.append(output.detach().double().mean(axes).numpy())
        self.of[id(output)] = place
        self.readers[id(output)] = 0  # of a tensor that is gone and had the same number

    def read(self, values: Any) -> None:
        """Counts those who read tensors."""
        for value in values:
            if isinstance(value, torch.Tensor):
                self.readers[id(value)] = self.readers.get(id(value), 0) + 1
            elif isinstance(value, (list, tuple)):
                self.read(value)

    def __torch_function__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        output = function(*given, **(named or {}))
        if self.inside or not isinstance(output, (torch.Tensor, tuple, list)):
            return output
        # The second argument of reshape_as gives its shape alone.
        self.read(given[:1] if function is torch.Tensor.reshape_as else [*given, *(named or {}).values()])
        source = given[0] if given else (named or {}).get("input")
        if isinstance(output, torch.Tensor) and isinstance(source, torch.Tensor):
            if function in (functional.batch_norm, torch.batch_norm):
                self.go_on(source, output, ends=False)
            elif function in ACTIVATIONS:
                self.go_on(source, output, ends=True)
            elif function in FORMS and output is not source:
                self.reform(source, output)
            elif output is source:  # such as the sum of a block, in place
                self.of.pop(id(output), None)
        return output

    def run(self, network: nn.Module, image: torch.Tensor) -> list[Record]:
        """The layers that ran, each with its value at its end."""
        linear = functional.linear

        def recorded(data: torch.Tensor, weight: torch.Tensor, bias: Any = None) -> torch.Tensor:
            """Attention calls this with a part of its own weights, and without a module."""
            output = linear(data, weight, bias)
            owner = self.parameters.get(id(weight if weight._base is None else weight._base))
            if self.inside == 0 and owner is not None:
                self.read([data])
                self.begin(owner, False, output)
            return output

        functional.linear = recorded  # type: ignore[assignment]
        try:
            with self:
                network(image.clone().requires_grad_())
        finally:
            functional.linear = linear
            for hook in self.hooks:
                hook.remove()
        for record, stages in zip(self.records, self.stages, strict=True):
            # What several read before the activation is the layer's end.
            several = [self.readers.get(id(stage), 0) > 1 and stage is not after for stage, after in pairwise(stages)]
            record.values = [record.values[several.index(True) if True in several else -1]]
        return [record for record in self.records if record.depends]


def reference(network: nn.Module, images: torch.Tensor) -> list[Record]:
    """The network's layers in the order in which they run, with their rows [n, C]."""
    found = Recorder(network).run(network, images[:1])
    for image in images[1:]:
        for record, more in zip(found, Recorder(network).run(network, image[None]), strict=True):
            assert record.name == more.name
            record.values += more.values
    return found


def classifiers(network: nn.Module, layers: list[Record]) -> set[str]:
    """The names of the layers whose outputs are the classes."""
    if not hasattr(network, "get_classifier"):
        return {layers[-1].name}
    heads = network.get_classifier()  # type: ignore[operator]
    found = heads if isinstance(heads, (tuple, list)) else [heads]
    inner = {id(module): name for name, module in network.named_modules()}
    return {inner[id(part)] for head in found for part in head.modules() if isinstance(part, LAYERS)}


# ---- the comparison


@dataclass
class Outcome:
    """What came of one file."""

    found: int = 0
    features: int = 0
    in_order: bool = True
    largest: float = 0.0
    double: float = 0.0
    torch_double: float = 0.0
    remarks: list[str] = field(default_factory=list)


def short(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error)).split(". ")[0][:200]


def opened(path: Path, outcome: Outcome) -> fne.Extractor | None:
    """An extractor of all layers but those that are refused, which the outcome then names."""
    model = fne.Model(path)
    outcome.remarks += model.notes()
    names = [layer.name for layer in model.layers()]
    for _ in range(12):
        try:
            return fne.Extractor(model, layers=names)
        except fne.TensorError as error:
            outcome.remarks.append(f"refused: {short(error)}")
            refused = next((name for name in names if f"layer '{name}'" in str(error)), None)
            if refused is None:
                return None
            names.remove(refused)
    return None


def difference(values: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> float:
    """The largest difference as a share of the largest value."""
    return float(np.abs(values - wanted).max() / max(np.abs(wanted).max(), 1e-30))


def matched(blocks: list[Any], modules: list[str | None], wanted: list[Record]) -> list[int | None]:
    """For each layer that is wanted, the place of the block that has its values."""
    free = set(range(len(blocks)))
    found: list[int | None] = []
    for record in wanted:
        rows = np.stack(record.values)
        scores = {place: difference(blocks[place], rows) for place in free if blocks[place].shape[1] == rows.shape[1]}
        best = min(scores, key=lambda place: (scores[place], modules[place] != record.name, place), default=None)
        found.append(None if best is None or scores[best] > SAME_LAYER else best)
        free -= {found[-1]}  # type: ignore[arg-type]
    return found


def compare(path: Path, note: str, images: torch.Tensor, wanted: list[Record], double: list[Record] | None) -> Outcome:
    """The layers of one file beside PyTorch's."""
    outcome = Outcome(remarks=[note] if note else [])
    try:
        extractor = opened(path, outcome)
    except fne.FNEError as error:
        outcome.remarks.append(f"refused: {short(error)}")
        return outcome
    if extractor is None:
        return outcome
    with extractor:
        rows = extractor.extract(np.ascontiguousarray(images.numpy().transpose(0, 2, 3, 1))).features
        layers = extractor.layers
    modules = {layer.name: layer.module for layer in fne.Model(path).layers()}
    blocks = [rows[:, layer.features] for layer in layers]
    places = matched(blocks, [modules[layer.name] for layer in layers], wanted)
    taken = [place for place in places if place is not None]
    outcome.found, outcome.features, outcome.in_order = len(taken), rows.shape[1], taken == sorted(taken)
    missing = [record.name for record, place in zip(wanted, places, strict=True) if place is None]
    beyond, misnamed = [], 0
    for number, (record, place) in enumerate(zip(wanted, places, strict=True)):
        if place is None:
            continue
        misnamed += modules[layers[place].name] != record.name
        values = np.stack(record.values)
        value = difference(blocks[place], values)
        outcome.largest = max(outcome.largest, value)
        if value > ALLOWED:
            beyond.append(f"{record.name} ({value:.1e})")
        if double is not None:
            exact = np.stack(double[number].values)
            outcome.double = max(outcome.double, difference(blocks[place], exact))
            outcome.torch_double = max(outcome.torch_double, difference(values, exact))
    extra = [layer.name for place, layer in enumerate(layers) if place not in taken]
    for title, names in (("missing", missing), ("not PyTorch's", extra), ("beyond 1e-4", beyond)):
        if names:
            outcome.remarks.append(f"{len(names)} {title}: {', '.join(names[:LISTED])}")
    if misnamed:
        outcome.remarks.append(f"{misnamed} without their module's path")
    return outcome


LISTED = 3


def line(name: str, doubled: bool) -> str:
    """The row of the table for a network."""
    network = build(name)
    size = side(network, name)
    images = pictures(size)
    layers = reference(network, images)
    heads = classifiers(network, layers)
    wanted = [record for record in layers if record.name not in heads]
    double = None
    if doubled:
        exact = build(name).double()
        double = [record for record in reference(exact, images.double()) if record.name not in heads]
    outcomes = {}
    for exporter in EXPORTERS:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
            path = Path(folder) / "network.onnx"
            try:
                note = export(network, exporter, size, path)
            except Exception as error:  # each exporter has its own errors
                outcomes[exporter] = Outcome(remarks=[f"not exported: {type(error).__name__}: {short(error)}"])
                continue
            outcomes[exporter] = compare(path, note, images, wanted, double)
    both = list(outcomes.values())
    cells = [f"{name}, {'torchvision' if name in TORCHVISION else 'timm'}", str(len(wanted))]
    cells += [str(outcome.found) for outcome in both]
    cells += [f"{max(outcome.features for outcome in both):,}", "yes" if all(o.in_order for o in both) else "no"]
    cells += [f"{outcome.largest:.1e}" if outcome.found else "" for outcome in both]
    if doubled:
        cells += [f"{max(o.double for o in both):.1e}", f"{max(o.torch_double for o in both):.1e}"]
    remarks: dict[str, list[str]] = {}
    for exporter, outcome in outcomes.items():
        for remark in outcome.remarks:
            remarks.setdefault(remark, []).append(exporter)
    texts = [text if len(of) == len(EXPORTERS) else f"{of[0]}: {text}" for text, of in remarks.items()]
    return f"| {' | '.join(cells)} | {'; '.join(texts)} |"


HEADER = ["network", "layers there", *(f"found, {name}" for name in EXPORTERS), "features", "in order"]


def header(doubled: bool) -> str:
    columns = HEADER + [f"largest difference, {name}" for name in EXPORTERS]
    columns += ["libfne from float64", "PyTorch from float64"] if doubled else []
    columns += ["remarks"]
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"


def main() -> None:
    global LISTED
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", help="networks of torchvision or timm")
    parser.add_argument("--double", action="store_true", help="compare both with float64 too")
    parser.add_argument("--details", action="store_true", help="name every layer that does not match")
    parser.add_argument("--row", action="store_true", help="print the row of one network alone")
    given = parser.parse_args()
    if given.row:
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        LISTED = 1000 if given.details else LISTED
        print(line(given.names[0], given.double), flush=True)
        return
    print(header(given.double), flush=True)
    options = [name for name in ("--double", "--details") if getattr(given, name[2:])]
    for name in given.names or TORCHVISION + TIMM:  # a process for each, which gives all memory back
        command = [sys.executable, __file__, name, "--row", *options]
        with tempfile.TemporaryFile("w+") as errors:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True, check=False)
            errors.seek(0)
            said = (errors.read().strip().splitlines() or [""])[-1]
        rows = [text for text in done.stdout.splitlines() if text.startswith("| ")]
        print(rows[-1] if rows and done.returncode == 0 else f"| {name} | | failed: {said} |", flush=True)


if __name__ == "__main__":
    main()
