"""What learns: the network, its averaged weights and the optimizer. It does not know when, nor from what."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import VedetteError
from training.loader import Batch
from training.loss import DetectionLoss
from training.model import Detector, cell_grid
from training.recipe import TrainSpec


class NotFinite(VedetteError):
    """A loss or a gradient is not a number."""

    exit_code = 3


class Learner:
    """One network in training.

    Args:
        detector: moved to the device, and trained in place.
        spec: the recipe's part.
        device: where it learns. On a GPU it computes in bfloat16, or in float16 with scaled gradients on older ones.
        amp: False computes in float32 on a GPU, too.

    Attributes:
        averaged: exponential moving average of the weights.
    """

    def __init__(self, detector: Detector, spec: TrainSpec, device: torch.device, amp: bool = True) -> None:
        # A sixth faster on CPUs, and what a GPU's half-precision units want.
        self.detector = detector.to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.averaged: Detector = copy.deepcopy(self.detector).eval().requires_grad_(False)
        self._begun = copy.deepcopy(self.averaged.state_dict()) if spec.keep_init else {}
        self._device, self._spec, self._num_steps = device, spec, 0
        if spec.freeze == "backbone":
            self.detector.backbone.requires_grad_(False).eval()
        learning = [p for p in self.detector.parameters() if p.requires_grad]
        self._learning = learning
        # Kernels decay; norms and biases, which have one dimension, do not.
        groups = [
            {"params": [p for p in learning if p.ndim > 1], "weight_decay": spec.weight_decay},
            {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, lr=spec.lr, fused=True)
        self._amp = amp and device.type == "cuda"
        self._half = torch.bfloat16 if self._amp and torch.cuda.is_bf16_supported() else torch.float16
        self._scaler = torch.amp.GradScaler(device.type, enabled=self._amp and self._half == torch.float16)

    def step(self, batch: Batch, lr: float, l1: bool = False) -> dict[str, float]:
        """Learn from one batch.

        Args:
            batch: what to learn from.
            lr: learning rate.
            l1: see DetectionLoss.

        Returns:
            The losses by name, `total` first, and the gradient's norm.

        Raises:
            NotFinite: loss or gradient is not a number; no weight has changed.
        """
        images, targets = batch.inputs(self._device), batch.targets(self._device)
        with torch.autocast(self._device.type, self._half, enabled=self._amp):
            logits = self.detector(images)
        losses = DetectionLoss(l1)(logits, self._grid(images), targets)
        # One transfer for all of them: each waits for the GPU.
        found = dict(zip(losses, torch.stack([v.detach() for v in losses.values()]).tolist(), strict=True))
        if not math.isfinite(found["total"]):
            raise NotFinite(f"the loss is {found['total']}")
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(losses["total"]).backward()
        self._scaler.unscale_(self._optimizer)
        norm = float(nn.utils.clip_grad_norm_(self._learning, self._spec.clip))
        # Scaled float16 gradients overflow now and then; the scaler leaves that step out and scales less.
        if not math.isfinite(norm) and not self._scaler.is_enabled():
            raise NotFinite(f"the gradient is {norm}")
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._num_steps += 1
        self._average()
        return {**found, "gradient": norm}

    def _grid(self, images: Tensor) -> Tensor:
        return cell_grid(images.shape[2], images.shape[3]).to(self._device)

    @torch.no_grad()
    def _average(self) -> None:
        # The first steps count more, or the average would remember the start for long.
        keep = min(self._spec.ema, (1 + self._num_steps) / (10 + self._num_steps))
        ours, theirs = self.averaged.state_dict().values(), self.detector.state_dict().values()
        pairs = list(zip(ours, theirs, strict=True))
        torch._foreach_lerp_(
            [a for a, _ in pairs if a.is_floating_point()], [b for _, b in pairs if b.is_floating_point()], 1 - keep
        )
        for a, b in pairs:
            if not a.is_floating_point():
                a.copy_(b)

    def kept(self) -> Detector:
        """Give the weights that are judged and exported: the averaged ones, mixed with those it began with."""
        if not self._begun:
            return self.averaged
        mixed = copy.deepcopy(self.averaged)
        with torch.no_grad():
            for name, value in mixed.state_dict().items():
                if value.is_floating_point():
                    value.lerp_(self._begun[name], self._spec.keep_init)
        return mixed

    def state(self) -> dict[str, Any]:
        """Give all that the next step depends on."""
        return {
            "detector": self.detector.state_dict(), "averaged": self.averaged.state_dict(),
            "begun": self._begun,
            "optimizer": self._optimizer.state_dict(), "scaler": self._scaler.state_dict(),
            "num_steps": self._num_steps,
        }  # fmt: skip

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self.detector.load_state_dict(state["detector"])
        self.averaged.load_state_dict(state["averaged"])
        self._begun = {name: value.to(self._device) for name, value in state["begun"].items()}
        self._optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])
        self._num_steps = state["num_steps"]
