"""What a detector is told after each batch: which cells should have seen which object, and how wrong they were.

Cells are assigned to objects by SimOTA (Ge et al. 2021, arXiv 2107.08430, section 2.1): among the cells around an
object's centre those win whose present prediction would cost least; the better the best predictions overlap, the more
cells an object gets.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.model import decode_boxes

# Cells whose centre is within so many cells of an object's centre may be assigned to it.
_CENTRE_RADIUS = 1.5
# At most so many of the best overlaps decide how many cells an object gets.
_TOP_OVERLAPS = 10
_IOU_COST = 3.0
_BOX_WEIGHT = 5.0


@dataclass(frozen=True)
class Target:
    """What is in one picture of the batch.

    Attributes:
        xyxy: float32 (N, 4), pixels of the model's input. N may be 0.
        class_id: int64 (N,).
        ignore: bool (N,); cells inside that see something are neither right nor wrong.
    """

    xyxy: Tensor
    class_id: Tensor
    ignore: Tensor


class DetectionLoss(nn.Module):
    """Box overlap, objectness and class losses, summed and divided by the number of assigned cells.

    Args:
        l1: add the distance of the raw box columns, as the last part of training does to sharpen boxes.
    """

    def __init__(self, l1: bool = False) -> None:
        super().__init__()
        self.l1 = l1

    def forward(self, logits: Tensor, grid: Tensor, targets: list[Target]) -> dict[str, Tensor]:
        """Judge a batch.

        Args:
            logits: float32 (B, cells, 5 + classes), from `Detector`.
            grid: float32 (cells, 3), from `cell_grid`.
            targets: one for each picture.

        Returns:
            Scalars `total` (the one to minimise), `box`, `objectness`, `class`, `l1`, and `assigned`, the number of
            assigned cells.
        """
        logits = logits.float()
        boxes = decode_boxes(logits[..., :4], grid)
        assigned = [_assign(logits[b].detach(), boxes[b].detach(), grid, t) for b, t in enumerate(targets)]
        wanted = torch.zeros(logits.shape[:2], device=logits.device)
        counted = torch.ones_like(wanted)
        for picture, (target, (cells, _, _)) in enumerate(zip(targets, assigned, strict=True)):
            counted[picture, _inside(grid, target.xyxy[target.ignore]).any(0)] = 0
            counted[picture, cells] = 1
            wanted[picture, cells] = 1
        picture_of = torch.cat([torch.full_like(cells, b) for b, (cells, _, _) in enumerate(assigned)])
        cell = torch.cat([cells for cells, _, _ in assigned])
        box = torch.cat([t.xyxy[index] for t, (_, index, _) in zip(targets, assigned, strict=True)])
        class_id = torch.cat([t.class_id[index] for t, (_, index, _) in zip(targets, assigned, strict=True)])
        overlap = torch.cat([iou for _, _, iou in assigned])

        number = max(len(cell), 1)
        objectness = functional.binary_cross_entropy_with_logits(logits[..., 4], wanted, counted, reduction="sum")
        ours = logits[picture_of, cell]
        iou = _paired_iou(boxes[picture_of, cell], box)
        # The class score learns to say how well the box fits, too.
        classes = functional.one_hot(class_id, logits.shape[2] - 5) * overlap[:, None]
        losses = {
            "box": _BOX_WEIGHT * (1 - iou.square()).sum() / number,
            "objectness": objectness / number,
            "class": functional.binary_cross_entropy_with_logits(ours[:, 5:], classes, reduction="sum") / number,
            "l1": (ours[:, :4] - _encode(box, grid[cell])).abs().sum() / number * float(self.l1),
        }
        return {
            "total": torch.stack(list(losses.values())).sum(),
            **losses,
            "assigned": logits.new_tensor(float(len(cell))),
        }


def _assign(logits: Tensor, boxes: Tensor, grid: Tensor, target: Target) -> tuple[Tensor, Tensor, Tensor]:
    """Give assigned cells (M,), the index of each one's object in the target (M,), and their overlap (M,)."""
    objects = torch.nonzero(~target.ignore).flatten()
    xyxy = target.xyxy[objects]
    centre = (xyxy[:, :2] + xyxy[:, 2:]) / 2
    middle = (grid[:, :2] + 0.5) * grid[:, 2:]
    near = (middle[None] - centre[:, None]).abs().amax(2) < _CENTRE_RADIUS * grid[:, 2]
    cells = torch.nonzero(near.any(0)).flatten()
    if len(cells) == 0:
        return cells, cells, torch.zeros(0, device=logits.device)
    near = near[:, cells]
    iou = _pairwise_iou(xyxy, boxes[cells])
    scores = (logits[cells, 5:].sigmoid() * logits[cells, 4:5].sigmoid()).sqrt()
    wanted = functional.one_hot(target.class_id[objects], scores.shape[1]).float()
    # Binary cross entropy of each cell against each object's class, from two sums: objects x cells x classes is big.
    low, high = (1 - scores).clamp(min=1e-9).log(), scores.clamp(min=1e-9).log()
    class_cost = -(wanted @ (high - low).T) - low.sum(1)
    cost = class_cost - _IOU_COST * (iou + 1e-8).log() + 1e6 * ~near
    chosen = torch.zeros_like(near)
    top = iou.topk(min(_TOP_OVERLAPS, iou.shape[1]), 1).values
    amount = top.sum(1).int().clamp(min=1)
    order = cost.argsort(1)
    rank = torch.arange(cost.shape[1], device=cost.device)
    chosen.scatter_(1, order, rank[None] < amount[:, None])
    chosen &= near
    # A cell that several objects want goes to the cheapest.
    contested = chosen.sum(0) > 1
    cheapest = cost[:, contested].argmin(0)
    chosen[:, contested] = functional.one_hot(cheapest, len(objects)).T.bool()
    object_of, cell_of = torch.nonzero(chosen, as_tuple=True)
    return cells[cell_of], objects[object_of], iou[object_of, cell_of]


def _inside(grid: Tensor, xyxy: Tensor) -> Tensor:
    """Say (N, cells) whether a cell's middle lies in a box."""
    middle = (grid[:, :2] + 0.5) * grid[:, 2:]
    return ((middle >= xyxy[:, None, :2]) & (middle < xyxy[:, None, 2:])).all(2)


def _encode(xyxy: Tensor, grid: Tensor) -> Tensor:
    centre = (xyxy[:, :2] + xyxy[:, 2:]) / 2 / grid[:, 2:] - grid[:, :2]
    return torch.cat((centre, ((xyxy[:, 2:] - xyxy[:, :2]).clamp(min=1.0) / grid[:, 2:]).log()), 1)


def _pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    overlap = (torch.minimum(a[:, None, 2:], b[:, 2:]) - torch.maximum(a[:, None, :2], b[:, :2])).clamp(min=0).prod(2)
    areas = (a[:, 2:] - a[:, :2]).prod(1)[:, None] + (b[:, 2:] - b[:, :2]).prod(1)
    return overlap / (areas - overlap).clamp(min=1e-9)


def _paired_iou(a: Tensor, b: Tensor) -> Tensor:
    overlap = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    areas = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1)
    return overlap / (areas - overlap).clamp(min=1e-9)
