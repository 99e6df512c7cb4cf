"""A compact one-stage, anchor-free detector: YOLOX's architecture (Ge et al. 2021, arXiv 2107.08430), in plain PyTorch.

Backbone: CSPDarknet (Wang et al. 2020, arXiv 1911.11929). Neck: path aggregation over strides 8, 16, 32 (Liu et al.
2018, arXiv 1803.01534). Head: decoupled, one box per cell. The `nano` size has exactly the layers of YOLOX-nano, in the
order in which its ONNX file lists them, so `training.weights` can load that file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)
Activation = Literal["silu", "relu"]
Layout = Literal["csp", "plain"]


@dataclass(frozen=True)
class ModelSpec:
    """What decides the layers.

    Attributes:
        width: factor on the channels of the large model (64 in the stem, 256 in the head).
        depth: factor on the number of bottlenecks.
        depthwise: 3x3 convolutions are a depthwise and a pointwise one.
        num_classes: columns after the objectness.
        activation: `silu` as in YOLOX; `relu` costs a CPU less.
        layout: `csp` is YOLOX. `plain` has fewer and simpler layers (see `PlainBackbone`): a CPU spends most of a very
            small YOLOX's time between its many layers.
    """

    width: float
    depth: float
    depthwise: bool
    num_classes: int = 80
    activation: Activation = "silu"
    layout: Layout = "csp"

    def channels(self, of_large: int) -> int:
        """Scale a number of channels."""
        return int(of_large * self.width)

    def with_classes(self, num_classes: int) -> ModelSpec:
        """Give the same layers for another number of classes."""
        return replace(self, num_classes=num_classes)


SIZES: dict[str, ModelSpec] = {
    "femto": ModelSpec(width=0.25, depth=0.33, depthwise=False, activation="relu", layout="plain"),
    "pico": ModelSpec(width=0.125, depth=0.33, depthwise=True),
    "nano": ModelSpec(width=0.25, depth=0.33, depthwise=True),
    "tiny": ModelSpec(width=0.375, depth=0.33, depthwise=False),
    "small": ModelSpec(width=0.5, depth=0.33, depthwise=False),
}
"""Sizes by name, from 0.25 to 9 million parameters."""

PLAIN_CHANNELS, PLAIN_HIDDEN = (64, 128, 192, 256, 384), 128
"""Channels of the stages, and of neck and head, of a plain layout of width 1."""


class Conv(nn.Sequential):
    """Convolution, batch norm, activation."""

    def __init__(self, spec: ModelSpec, into: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(into, out, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
            # The published weights were trained with these two numbers.
            nn.BatchNorm2d(out, eps=1e-3, momentum=0.03),
            nn.SiLU(inplace=True) if spec.activation == "silu" else nn.ReLU(inplace=True),
        )


def conv3x3(spec: ModelSpec, into: int, out: int, stride: int = 1) -> nn.Module:
    """A 3x3 convolution, or the depthwise and pointwise pair that stands for it."""
    if not spec.depthwise:
        return Conv(spec, into, out, 3, stride)
    return nn.Sequential(Conv(spec, into, into, 3, stride, groups=into), Conv(spec, into, out, 1))


class Bottleneck(nn.Module):
    """1x1, then 3x3, with a shortcut around both."""

    def __init__(self, spec: ModelSpec, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.reduce = Conv(spec, channels, channels, 1)
        self.mix = conv3x3(spec, channels, channels)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Keep shape."""
        y: Tensor = self.mix(self.reduce(x))
        return y + x if self.shortcut else y


class CrossStage(nn.Module):
    """Half of the channels go through bottlenecks, half around them (CSP)."""

    def __init__(self, spec: ModelSpec, into: int, out: int, num_blocks: int, shortcut: bool) -> None:
        super().__init__()
        half = out // 2
        self.through = Conv(spec, into, half, 1)
        self.around = Conv(spec, into, half, 1)
        self.blocks = nn.Sequential(*(Bottleneck(spec, half, shortcut) for _ in range(num_blocks)))
        self.join = Conv(spec, 2 * half, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, into, h, w) to (B, out, h, w)."""
        # Both 1x1 run before the blocks: the order in which the published files list their weights.
        through, around = self.through(x), self.around(x)
        joined: Tensor = self.join(torch.cat((self.blocks(through), around), 1))
        return joined


class Pooling(nn.Module):
    """Max pooling at three sizes side by side (SPP): the deepest layer sees far around each cell."""

    def __init__(self, spec: ModelSpec, channels: int) -> None:
        super().__init__()
        self.reduce = Conv(spec, channels, channels // 2, 1)
        self.pools = nn.ModuleList(nn.MaxPool2d(size, 1, size // 2) for size in (5, 9, 13))
        self.join = Conv(spec, channels // 2 * 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Keep shape."""
        x = self.reduce(x)
        joined: Tensor = self.join(torch.cat([x, *(pool(x) for pool in self.pools)], 1))
        return joined


class Backbone(nn.Module):
    """From the picture to features at strides 8, 16 and 32."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = (spec.channels(c) for c in (64, 128, 256, 512, 1024))
        few, many = max(round(3 * spec.depth), 1), max(round(3 * spec.depth), 1) * 3
        self.stem = Conv(spec, 12, c1, 3)
        self.stage2 = nn.Sequential(conv3x3(spec, c1, c2, 2), CrossStage(spec, c2, c2, few, True))
        self.stage3 = nn.Sequential(conv3x3(spec, c2, c3, 2), CrossStage(spec, c3, c3, many, True))
        self.stage4 = nn.Sequential(conv3x3(spec, c3, c4, 2), CrossStage(spec, c4, c4, many, True))
        self.stage5 = nn.Sequential(
            conv3x3(spec, c4, c5, 2), Pooling(spec, c5), CrossStage(spec, c5, c5, few, shortcut=False)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W) to three maps; H and W are multiples of 32."""
        # Every 2x2 block of pixels becomes 12 channels: top left, bottom left, top right, bottom right.
        rows, odd_rows = images[..., ::2, :], images[..., 1::2, :]
        x = torch.cat((rows[..., ::2], odd_rows[..., ::2], rows[..., 1::2], odd_rows[..., 1::2]), 1)
        p3 = self.stage3(self.stage2(self.stem(x)))
        p4 = self.stage4(p3)
        return p3, p4, self.stage5(p4)


class Neck(nn.Module):
    """Mix the three maps: down from the coarse one, then up again."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        c3, c4, c5 = (spec.channels(c) for c in (256, 512, 1024))
        few = max(round(3 * spec.depth), 1)
        self.reduce5 = Conv(spec, c5, c4, 1)
        self.down4 = CrossStage(spec, 2 * c4, c4, few, shortcut=False)
        self.reduce4 = Conv(spec, c4, c3, 1)
        self.down3 = CrossStage(spec, 2 * c3, c3, few, shortcut=False)
        self.shrink3 = conv3x3(spec, c3, c3, 2)
        self.up4 = CrossStage(spec, 2 * c3, c4, few, shortcut=False)
        self.shrink4 = conv3x3(spec, c4, c4, 2)
        self.up5 = CrossStage(spec, 2 * c4, c5, few, shortcut=False)

    def forward(self, p3: Tensor, p4: Tensor, p5: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Keep shapes."""
        top = self.reduce5(p5)
        middle = self.reduce4(self.down4(torch.cat((_double(top), p4), 1)))
        out3 = self.down3(torch.cat((_double(middle), p3), 1))
        out4 = self.up4(torch.cat((self.shrink3(out3), middle), 1))
        out5 = self.up5(torch.cat((self.shrink4(out4), top), 1))
        return out3, out4, out5


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


class Branch(nn.Module):
    """The head at one stride: classes on one side, box and objectness on the other."""

    def __init__(self, spec: ModelSpec, into: int) -> None:
        super().__init__()
        hidden = spec.channels(256)
        self.stem = Conv(spec, into, hidden, 1)
        self.class_convs = nn.Sequential(conv3x3(spec, hidden, hidden), conv3x3(spec, hidden, hidden))
        self.class_scores = nn.Conv2d(hidden, spec.num_classes, 1)
        self.box_convs = nn.Sequential(conv3x3(spec, hidden, hidden), conv3x3(spec, hidden, hidden))
        self.box = nn.Conv2d(hidden, 4, 1)
        self.objectness = nn.Conv2d(hidden, 1, 1)
        expect_nothing(self.class_scores, self.objectness)

    def forward(self, x: Tensor) -> Tensor:
        """(B, into, h, w) to (B, 5 + classes, h, w)."""
        x = self.stem(x)
        scores = self.class_scores(self.class_convs(x))
        near = self.box_convs(x)
        return torch.cat((self.box(near), self.objectness(near), scores), 1)


def expect_nothing(*scores: nn.Conv2d) -> None:
    """Have every cell say "nothing here" with 99 % at the start (Lin et al. 2017, arXiv 1708.02002)."""
    for one in scores:
        nn.init.constant_(one.bias, -math.log(99.0))  # type: ignore[arg-type]


class PlainBackbone(nn.Module):
    """3x3 convolutions that halve the map, each followed by a residual block (He et al. 2016, arXiv 1512.03385).

    At a width of 0.25 most channels are multiples of 16: as many numbers as a CPU's vector holds.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = (spec.channels(c) for c in PLAIN_CHANNELS)
        blocks = max(round(3 * spec.depth), 1)
        self.stem = nn.Sequential(Conv(spec, 3, c1, 3, 2), Conv(spec, c1, c2, 3, 2))
        self.stage3 = plain_stage(spec, c2, c3, blocks)
        self.stage4 = plain_stage(spec, c3, c4, blocks)
        self.stage5 = plain_stage(spec, c4, c5, blocks)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See Backbone."""
        p3 = self.stage3(self.stem(images))
        p4 = self.stage4(p3)
        return p3, p4, self.stage5(p4)


def plain_stage(spec: ModelSpec, into: int, out: int, num_blocks: int) -> nn.Sequential:
    """Halve the map, then mix."""
    return nn.Sequential(conv3x3(spec, into, out, 2), *(Squeeze(spec, out) for _ in range(num_blocks)))


class Squeeze(nn.Module):
    """1x1 to half of the channels, 3x3 back to all, with a shortcut around both."""

    def __init__(self, spec: ModelSpec, channels: int) -> None:
        super().__init__()
        self.reduce = Conv(spec, channels, channels // 2, 1)
        self.mix = conv3x3(spec, channels // 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Keep shape."""
        mixed: Tensor = self.mix(self.reduce(x))
        return mixed + x


class PlainNeck(nn.Module):
    """Add the coarse maps to the finer ones, then the other way (Lin et al. 2017, arXiv 1612.03144)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        hidden = spec.channels(PLAIN_HIDDEN)
        self.reduce3, self.reduce4, self.reduce5 = (Conv(spec, spec.channels(c), hidden, 1) for c in PLAIN_CHANNELS[2:])
        self.mix4, self.mix3 = conv3x3(spec, hidden, hidden), conv3x3(spec, hidden, hidden)
        self.shrink3, self.shrink4 = conv3x3(spec, hidden, hidden, 2), conv3x3(spec, hidden, hidden, 2)

    def forward(self, p3: Tensor, p4: Tensor, p5: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give three maps of equal channels."""
        top = self.reduce5(p5)
        middle = self.mix4(self.reduce4(p4) + _double(top))
        out3 = self.mix3(self.reduce3(p3) + _double(middle))
        out4 = middle + self.shrink3(out3)
        return out3, out4, top + self.shrink4(out4)


class PlainBranch(nn.Module):
    """The head at one stride, with one 3x3 convolution for everything."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        hidden = spec.channels(PLAIN_HIDDEN)
        self.mix = conv3x3(spec, hidden, hidden)
        self.class_scores = nn.Conv2d(hidden, spec.num_classes, 1)
        self.box = nn.Conv2d(hidden, 4, 1)
        self.objectness = nn.Conv2d(hidden, 1, 1)
        expect_nothing(self.class_scores, self.objectness)

    def forward(self, x: Tensor) -> Tensor:
        """See Branch."""
        x = self.mix(x)
        return torch.cat((self.box(x), self.objectness(x), self.class_scores(x)), 1)


class Detector(nn.Module):
    """The whole network.

    Args:
        spec: see ModelSpec.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.backbone: nn.Module
        self.neck: nn.Module
        if spec.layout == "csp":
            self.backbone, self.neck = Backbone(spec), Neck(spec)
            self.branches = nn.ModuleList(Branch(spec, spec.channels(c)) for c in (256, 512, 1024))
        else:
            self.backbone, self.neck = PlainBackbone(spec), PlainNeck(spec)
            self.branches = nn.ModuleList(PlainBranch(spec) for _ in STRIDES)

    def forward(self, images: Tensor) -> Tensor:
        """Say what is in every cell.

        Args:
            images: float32 (B, 3, H, W), BGR, 0..255; H and W are multiples of 32.

        Returns:
            float32 (B, cells, 5 + classes): centre x, y in cells from the cell's corner, log width and log height in
            cells, objectness and class logits. Cells as in `cell_grid`.
        """
        maps = self.neck(*self.backbone(images))
        found = [branch(x).flatten(2) for branch, x in zip(self.branches, maps, strict=True)]
        return torch.cat(found, 2).transpose(1, 2)

    def num_parameters(self) -> int:
        """Count the weights."""
        return sum(parameter.numel() for parameter in self.parameters())


class Scored(nn.Module):
    """A detector whose objectness and class columns are probabilities: what is exported, and what is judged."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> Tensor:
        """See Detector.forward; columns from 4 on are 0..1."""
        raw = self.detector(images)
        return torch.cat((raw[..., :4], raw[..., 4:].sigmoid()), 2)


def cell_grid(height: int, width: int) -> Tensor:
    """Give float32 (cells, 3): column, row and stride of every cell, stride by stride, row by row."""
    parts = []
    for stride in STRIDES:
        rows, columns = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        strides = torch.full_like(rows, stride)
        parts.append(torch.stack((columns, rows, strides), -1).reshape(-1, 3))
    return torch.cat(parts).float()


def decode_boxes(raw: Tensor, grid: Tensor) -> Tensor:
    """Turn (..., cells, 4) box columns into xyxy in pixels of the input."""
    centre = (raw[..., :2] + grid[:, :2]) * grid[:, 2:]
    half = raw[..., 2:4].clamp(max=10.0).exp() * grid[:, 2:] / 2
    return torch.cat((centre - half, centre + half), -1)
