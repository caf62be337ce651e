"""Small PyTorch networks of own classes and of torch.nn alone, and what their hooks give."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import nn

SIZE = (32, 40)


def randomized(module, seed=0):
    """The module in evaluation mode, with statistics of batch normalizations and biases that are not 0 and 1."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for each in module.modules():
            for name in ("bias", "running_mean"):
                value = getattr(each, name, None)
                if value is not None:
                    value.copy_(0.3 * torch.randn(value.shape, generator=random))
            if getattr(each, "running_var", None) is not None:
                each.running_var.copy_(0.5 + torch.rand(each.running_var.shape, generator=random))
            if isinstance(each, (nn.Conv2d, nn.Linear)):
                each.weight.copy_(torch.randn(each.weight.shape, generator=random) / each.weight[0].numel() ** 0.5)
    return module.eval()


def sequential():
    """Of torch.nn alone, so that its export is kept. The paths are "0" to "9"."""
    torch.manual_seed(0)
    return randomized(
        nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 12, 3, groups=4),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(12, 16),
            nn.GELU(),
            nn.Linear(16, 5),
        )
    )


class Block(nn.Module):
    """Depthwise separable, with a residual sum."""

    def __init__(self, channels):
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.act = nn.Hardswish()
        self.project = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        return x + self.norm2(self.project(self.act(self.norm1(self.depthwise(x)))))


class Convolutional(nn.Module):
    """Convolutions of every kind. One activation serves two layers, and two layers have the same weights."""

    def __init__(self, channels=3):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.SiLU())
        self.blocks = nn.ModuleList([Block(16) for _ in range(2)])
        self.grouped = nn.Conv2d(16, 24, 3, groups=2)
        self.act = nn.ReLU()
        self.twins = nn.ModuleDict({"a": nn.Conv2d(24, 24, 1), "b": nn.Conv2d(24, 24, 1)})
        self.head = nn.Linear(24, 7)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        x = self.act(self.grouped(x))
        x = self.act(self.twins["b"](self.twins["a"](x)))
        return self.head(x.mean((2, 3)))

    @classmethod
    def with_twins(cls, channels=3):
        """PyTorch's older exporter writes equal weights once."""
        torch.manual_seed(0)
        network = randomized(cls(channels))
        network.twins["b"].load_state_dict(network.twins["a"].state_dict())
        return network

    #: The module whose output is the layer's, and the call of it; by the layer.
    ends: ClassVar = {
        "stem.0": ("stem.2", 0),
        "blocks.0.depthwise": ("blocks.0.act", 0),
        "blocks.0.project": ("blocks.0.norm2", 0),
        "blocks.1.depthwise": ("blocks.1.act", 0),
        "blocks.1.project": ("blocks.1.norm2", 0),
        "grouped": ("act", 0),
        "twins.a": ("twins.a", 0),
        "twins.b": ("act", 1),
    }


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        x = (q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5).softmax(-1) @ v
        return self.proj(x.transpose(1, 2).reshape(n, tokens, width))


class Transformer(nn.Module):
    """A block of attention as timm writes it, and one of torch.nn."""

    def __init__(self, width=16):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, 8)
        self.norm, self.attn = nn.LayerNorm(width), Attention(width, 4)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.encoder = nn.TransformerEncoderLayer(width, 4, 24, activation="gelu", batch_first=True)
        self.head = nn.Linear(width, 7)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = x + self.attn(self.norm(x))
        x = x + self.mlp(x)
        return self.head(self.encoder(x).mean(1))

    ends: ClassVar = {
        "patches": ("patches", 0),
        "attn.qkv": ("attn.qkv", 0),
        "attn.proj": ("attn.proj", 0),
        "mlp.1": ("mlp.2", 0),
        "mlp.3": ("mlp.3", 0),
        "encoder.self_attn.out_proj": ("encoder.self_attn", 0),
        "encoder.linear1": ("encoder.linear1", 0),
        "encoder.linear2": ("encoder.linear2", 0),
    }


class NormalizedLinear(nn.Module):
    """As LeViT has it: the tokens of all images are normalized on one axis."""

    def __init__(self, read, width):
        super().__init__()
        self.linear, self.bn = nn.Linear(read, width, bias=False), nn.BatchNorm1d(width)

    def forward(self, x):
        x = self.linear(x)
        return self.bn(x.flatten(0, 1)).reshape_as(x)


class Levit(nn.Module):
    """Normalized products on tokens, of which one has an activation, and attention between them."""

    def __init__(self, width=16, heads=4):
        super().__init__()
        self.patches, self.heads = nn.Conv2d(3, width, 8, 8), heads
        self.qkv, self.ln1 = NormalizedLinear(width, 3 * width), NormalizedLinear(width, 2 * width)
        self.act, self.ln2 = nn.Hardswish(), NormalizedLinear(2 * width, width)
        self.head = nn.Linear(width, 7)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).view(n, tokens, self.heads, -1).split([width // self.heads] * 3, dim=3)
        q, k, v = q.permute(0, 2, 1, 3), k.permute(0, 2, 3, 1), v.permute(0, 2, 1, 3)
        x = x + ((q @ k).softmax(-1) @ v).transpose(1, 2).reshape(n, tokens, width)
        x = x + self.ln2(self.act(self.ln1(x)))
        return self.head(x.mean(1))

    ends: ClassVar = {
        "patches": ("patches", 0),
        "qkv.linear": ("qkv", 0),
        "ln1.linear": ("act", 0),
        "ln2.linear": ("ln2", 0),
    }


class TalkingHeads(nn.Module):
    """As CaiT has it: products over the heads before and after the softmax. The average of the second one's map is the
    same for every image, since the rows of a softmax sum to one."""

    def __init__(self, width=16, heads=4):
        super().__init__()
        self.patches, self.heads = nn.Conv2d(3, width, 8, 8), heads
        self.qkv, self.before, self.after = (
            nn.Linear(width, 3 * width),
            nn.Linear(heads, heads),
            nn.Linear(heads, heads),
        )
        self.head = nn.Linear(width, 7)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        maps = self.before((q @ k.transpose(-2, -1)).permute(0, 2, 3, 1)).permute(0, 3, 1, 2).softmax(-1)
        maps = self.after(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.head((maps @ v).transpose(1, 2).reshape(n, tokens, width).mean(1))


class VisionTransformer(nn.Module):
    """As torchvision writes it, with nn.MultiheadAttention and a class token."""

    def __init__(self, width=16):
        super().__init__()
        self.conv_proj = nn.Conv2d(3, width, 8, 8)
        self.class_token, self.position = (
            nn.Parameter(torch.randn(1, 1, width)),
            nn.Parameter(torch.randn(1, 21, width)),
        )
        self.blocks = nn.Sequential(AttentionBlock(width, 4), AttentionBlock(width, 2))
        self.head = nn.Linear(width, 7)

    def forward(self, x):
        n = x.shape[0]
        x = self.conv_proj(x).reshape(n, -1, 20).permute(0, 2, 1)
        x = torch.cat([self.class_token.expand(n, -1, -1), x], 1) + self.position
        return self.head(self.blocks(x)[:, 0])

    ends: ClassVar = {
        "conv_proj": ("conv_proj", 0),
        **{
            f"blocks.{number}.{layer}": (f"blocks.{number}.{end}", 0)
            for number in range(2)
            for layer, end in [("attention.out_proj", "attention"), ("mlp.0", "mlp.1"), ("mlp.2", "mlp.2")]
        },
    }


class AttentionBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


def pooled(value):
    """A module's output as [n, C]."""
    value = value[0] if isinstance(value, tuple) else value
    value = value.detach().numpy().astype(np.float64)
    return value.mean((2, 3)) if value.ndim == 4 else value.reshape(len(value), -1, value.shape[-1]).mean(1)


def hooked(module, batch, ends):
    """For each layer the pooled output of the call of a module that `ends` names, by forward hooks.

    Args:
        batch: float32 [n, height, width, channels]
    """
    calls, handles = {}, []
    for name, each in module.named_modules():

        def keep(_module, _inputs, output, name=name):
            calls.setdefault(name, []).append(output)

        handles.append(each.register_forward_hook(keep))
    attention = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it calls no modules
    try:
        with torch.no_grad():
            module(torch.from_numpy(np.ascontiguousarray(batch.transpose(0, 3, 1, 2))))
    finally:
        torch.backends.mha.set_fastpath_enabled(attention)
        for handle in handles:
            handle.remove()
    # A layer of torch.nn's transformer calls the activation as a function.
    for name in set(calls) & {"encoder.linear1"}:
        calls[name] = [nn.functional.gelu(value) for value in calls[name]]
    return {layer: pooled(calls[name][place]) for layer, (name, place) in ends.items()}


def images(count, channels=3, seed=3):
    return np.random.default_rng(seed).normal(0, 1, (count, *SIZE, channels)).astype(np.float32)
