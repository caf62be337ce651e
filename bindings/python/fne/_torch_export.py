"""PyTorch modules as ONNX files, by PyTorch's own exporters."""

from __future__ import annotations

import copy
import importlib.util
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fne._arguments import as_size
from fne._saved import exists
from fne._text import in_short
from fne.errors import FNEError, GraphError, InvalidArgumentError, NotInstalledError, OutOfMemoryError, TensorError

#: The bytes of weights above which they stand in a file of their own, as a protobuf file holds 2 GiB.
_MOST_INSIDE = 1_500_000_000
_INPUT = "images"
_BATCH = "n"
#: The oldest set of operators that has all operators of today's networks as PyTorch's older exporter writes them.
_OPSET = 17
_WAY_OUT = (
    "Export it yourself with torch.onnx.export, with a first axis of any size, and open the .onnx file. Or embed with "
    "fne.fne_torch, which runs the network in PyTorch"
)


def is_torch_module(source: Any) -> bool:
    """Whether this is a torch.nn.Module. This does not import torch."""
    torch = sys.modules.get("torch")
    module: Any = getattr(getattr(torch, "nn", None), "Module", None)
    return module is not None and isinstance(source, module)


def plain_module(module: Any) -> Any:
    """The module itself, where torch.compile or nn.DataParallel stands around it."""
    kind = type(module).__name__
    if kind == "OptimizedModule":
        return plain_module(module._orig_mod)
    return plain_module(module.module) if kind in ("DataParallel", "DistributedDataParallel") else module


def image_size(size: int | Sequence[int] | None, module: Any) -> tuple[int, int]:
    """(height, width) of the images that a module is exported for.

    Raises:
        InvalidArgumentError: there is none, or it is no size
    """
    if size is None:
        raise InvalidArgumentError(
            f"the size of the images that {_named(module)} takes is needed, as a PyTorch module does not say it: pass "
            "size=224 or size=(height, width)"
        )
    return as_size("size", size)


def export(module: Any, size: tuple[int, int], path: Path) -> None:
    """Writes a module as an ONNX file for images of this (height, width), with a first axis of any size.

    The module stays as it is. A copy in evaluation mode, in float32 and on the CPU is exported. Weights of more than
    1.5 GB are written to a second file beside the path.

    Raises:
        GraphError: PyTorch cannot export it
        TensorError: its first convolution takes neither one channel nor three
        NotInstalledError: what PyTorch needs for it is not installed
    """
    torch: Any = sys.modules["torch"]
    with _torch_errors(module):
        copied = copy.deepcopy(module).cpu().float().eval()
        images = torch.zeros(2, _channels(torch, copied), *size)
        is_large = sum(each.numel() * each.element_size() for each in copied.state_dict().values()) > _MOST_INSIDE
        failures: list[Exception] = []
        for exporter in [_export_captured] if is_large else [_export_traced, _export_captured]:
            try:
                with _quiet(torch), _plain_attention(torch), torch.no_grad():
                    exporter(torch, copied, images, str(path), is_large)
                return
            except (FNEError, MemoryError):
                raise
            except Exception as failure:
                failures.append(failure)
                if importlib.util.find_spec("onnxscript") is None:
                    break
        raise _why(module, failures)


def has_weights_beside(path: Path) -> bool:
    """Whether an exported file has its weights in a second one, as PyTorch names it."""
    return exists(Path(f"{path}.data"))


def _export_traced(torch: Any, module: Any, images: Any, path: str, is_large: bool) -> None:
    """By the older exporter, in a quarter of the newer one's time.

    Each weight keeps its name, by which a layer's module is known. So no constants are folded, no normalizations are
    joined with convolutions, and equal weights stay apart, which takes initializers that are inputs. ONNX Runtime does
    all this itself.
    """
    names = {"input_names": [_INPUT], "dynamic_axes": {_INPUT: {0: _BATCH}}}
    plain = {"do_constant_folding": False, "training": torch.onnx.TrainingMode.PRESERVE}
    torch.onnx.export(
        module, (images,), path, dynamo=False, opset_version=_OPSET, keep_initializers_as_inputs=True, **names, **plain
    )


def _export_captured(torch: Any, module: Any, images: Any, path: str, is_large: bool) -> None:
    """By the newer exporter, which also writes large files.

    It writes equal weights of up to 1,024 numbers once, so that their layers have the path of one module.
    """
    batch = torch.export.Dim(_BATCH)
    further = {"dynamic_shapes": ({0: batch},), "external_data": is_large, "verbose": False}
    torch.onnx.export(module, (images,), path, dynamo=True, input_names=[_INPUT], **further)


def _channels(torch: Any, module: Any) -> int:
    """The channels that the first convolution takes; 3 where there is none."""
    convolution = next((each for each in module.modules() if isinstance(each, torch.nn.Conv2d)), None)
    channels = 3 if convolution is None else int(convolution.in_channels)
    if channels not in (1, 3):
        raise TensorError(
            f"the first convolution of {_named(module)} takes {channels} channels; images of 1 or 3 are needed"
        )
    return channels


@contextmanager
def _quiet(torch: Any) -> Iterator[None]:
    """Hides what the exporters say of themselves. The graph that the older one prints as it fails goes to stderr."""
    set_stream = getattr(torch._C, "_jit_set_onnx_log_output_stream", None)
    if set_stream is not None:
        set_stream("stderr")
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _plain_attention(torch: Any) -> Iterator[None]:
    """Keeps nn.MultiheadAttention from its one operation for evaluation, which the older exporter does not know."""
    attention: Any = getattr(torch.backends, "mha", None)
    if attention is None or not attention.get_fastpath_enabled():
        yield
        return
    attention.set_fastpath_enabled(False)
    try:
        yield
    finally:
        attention.set_fastpath_enabled(True)


def _named(module: Any) -> str:
    return f"the PyTorch module {type(module).__name__!r}"


@contextmanager
def _torch_errors(module: Any) -> Iterator[None]:
    """Makes an error of this package, which says what to do, of whatever PyTorch raises."""
    try:
        yield
    except FNEError:
        raise
    except MemoryError as failure:
        raise OutOfMemoryError(f"there is no memory to export {_named(module)}") from failure
    except Exception as failure:
        raise _why(module, [failure]) from failure


def _why(module: Any, failures: list[Exception]) -> FNEError:
    missing = next((each for each in failures if isinstance(each, ImportError) and each.name), None)
    missing_names = ("onnx", "onnxscript")
    if missing is not None and str(missing.name).split(".")[0] in missing_names:
        return NotInstalledError(
            f"{missing.name}, with which PyTorch exports a module, is not installed: pip install fne[torch]"
        )
    said = "; and with the newer exporter: ".join(map(in_short, failures))
    return GraphError(f"{_named(module)} cannot be exported: {said}. {_WAY_OUT}")
