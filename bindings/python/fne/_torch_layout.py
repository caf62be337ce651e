"""Where a layer's output has the images of a batch, and the mean of each image's positions."""

from __future__ import annotations

import weakref
from typing import NamedTuple

import torch
from torch import nn

from fne.errors import TensorError

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class UnsupportedLayerError(TensorError, NotImplementedError):
    """A module's outputs cannot be taken as features."""


class Layout(NamedTuple):
    """Where a layer's output has the images of a batch.

    axis: the axis of the images. Its size is that of the batch, or k times as much where each image has k parts, such
        as the windows of a Swin transformer.
    parts_first: whether part j of image i stands at j * batch + i, instead of at i * k + j
    """

    axis: int
    parts_first: bool


STANDARD = Layout(0, parts_first=False)

#: The layouts that were proven, for each call of a module within a run of its network.
_proven: weakref.WeakKeyDictionary[nn.Module, dict[int, Layout]] = weakref.WeakKeyDictionary()


def remember(module: nn.Module, call: int, layout: Layout) -> None:
    """Keeps the layout that was proven for the outputs of a module's call."""
    _proven.setdefault(module, {})[call] = layout


def layout_of(module: nn.Module, call: int, output: torch.Tensor, images: int) -> Layout | None:
    """The layout of a layer's output for a batch; None where nothing says which axis has the images."""
    known = _proven.get(module, {}).get(call)
    if known is not None and known.axis < output.ndim and output.shape[known.axis] % images == 0:
        return known
    if images == 1:  # then all positions are those of the one image
        return STANDARD
    return STANDARD if output.shape[0] == images and not is_ambiguous(module, output) else None


def is_ambiguous(module: nn.Module, output: torch.Tensor) -> bool:
    """Whether another axis than the first may have the images: [tokens, batch, channels] with as many tokens."""
    return isinstance(module, nn.Linear) and output.shape[0] in output.shape[1:-1]


def has_images(module: nn.Module, output: torch.Tensor) -> bool:
    """Whether the output has an axis of images. PyTorch's layers also take a single image without one."""
    if isinstance(module, CONVOLUTIONS):
        return output.ndim == len(module.kernel_size) + 2
    return output.ndim >= 2


def row_means(module: nn.Module, output: torch.Tensor, images: int | None, layout: Layout = STANDARD) -> torch.Tensor:
    """The means over the positions of each image.

    Args:
        output: [n, channels, positions..] of a convolution, [n, positions.., channels] of nn.Linear, or another layout
        images: n; None: as many as the first axis has

    Returns:
        [n, channels], no view of the output
    """
    is_linear = isinstance(module, nn.Linear)
    if layout == STANDARD and images in (None, output.shape[0]):
        if output.ndim == 2:  # the activation that follows may work in place
            return output.clone()
        return output.mean(tuple(range(1, output.ndim - 1) if is_linear else range(2, output.ndim)))
    assert images is not None
    axis, parts = layout.axis, output.shape[layout.axis] // images
    sizes = (parts, images) if layout.parts_first else (images, parts)
    split = output.reshape(*output.shape[:axis], *sizes, *output.shape[axis + 1 :])
    kept = (axis + layout.parts_first, split.ndim - 1 if is_linear else axis + 2)
    return split.mean([number for number in range(split.ndim) if number not in kept])


def possible_layouts(module: nn.Module, one: torch.Size, several: torch.Size, images: int) -> list[Layout]:
    """The layouts that the shapes of an output allow.

    Args:
        one, several: the shapes for one image and for that many images
    """
    if len(one) != len(several):
        return []
    grown = [axis for axis in range(len(one)) if one[axis] != several[axis]]
    if len(grown) != 1 or several[grown[0]] != images * one[grown[0]]:
        return []
    axis = grown[0]
    if axis == len(one) - 1 or (axis and not isinstance(module, nn.Linear)):  # that of the channels, or a spatial one
        return []
    return [Layout(axis, False)] if one[axis] == 1 else [Layout(axis, False), Layout(axis, True)]


def matching_layout(
    module: nn.Module, output: torch.Tensor, layouts: list[Layout], expected: torch.Tensor
) -> Layout | None:
    """The layout that gives the rows of the single images; None where none does, or where several do.

    Args:
        output: that of several images
        expected: the rows of the same images, each of which ran alone, [images, channels]
    """
    if layouts == [STANDARD]:  # one row per image, on the first axis
        return STANDARD
    if not layouts:
        return None
    scale = float(expected.abs().max())
    precision = torch.finfo(output.dtype).eps
    errors = [float((row_means(module, output, len(expected), layout) - expected).abs().max()) for layout in layouts]
    least = min(errors)
    others = [error for error in errors if error <= max(10 * least, 4 * precision * scale)]
    return layouts[errors.index(least)] if least <= max(1e-3, 8 * precision) * scale and len(others) == 1 else None
