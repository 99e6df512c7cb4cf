"""The schedule of a run, fixed before its first step: how many steps, which rate, which input size, when to judge."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from training.recipe import TrainSpec

# So long the input keeps one size: each change costs a CPU or GPU new plans for its convolutions.
STEPS_PER_SIZE = 10
_DEFAULT_EPOCHS = 30
_DEFAULT_JUDGEMENTS = 10
_GRID = 32


@dataclass(frozen=True)
class Schedule:
    """What happens at which step; steps and epochs count from 0.

    Attributes:
        spec: the recipe's part.
        num_steps: of the whole run.
        steps_per_epoch: at least 1.
        eval_every: epochs between judgements on the held-out pictures.
    """

    spec: TrainSpec
    num_steps: int
    steps_per_epoch: int
    eval_every: int

    def epoch(self, step: int) -> int:
        """Say which pass over the pictures a step belongs to."""
        return step // self.steps_per_epoch

    @property
    def num_epochs(self) -> int:
        """Passes, the last one perhaps not complete."""
        return math.ceil(self.num_steps / self.steps_per_epoch)

    def lr_factor(self, step: int) -> float:
        """Give the learning rate of a step as a share of `lr`: a straight rise, then half a cosine."""
        warmup = round(self.spec.warmup * self.num_steps)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = (step - warmup) / max(self.num_steps - 1 - warmup, 1)
        return self.spec.final_lr + (1 - self.spec.final_lr) * (1 + math.cos(math.pi * done)) / 2

    def is_closing(self, step: int) -> bool:
        """Say whether a step is in the last part: plain pictures at the true size, and sharper boxes."""
        return step >= round(self.num_steps * (1 - self.spec.close_share))

    def input_wh(self, step: int, native_wh: tuple[int, int]) -> tuple[int, int]:
        """Give the input size of a step's pictures."""
        sizes = input_sizes(native_wh, self.spec.multi_scale)
        if self.is_closing(step):
            return native_wh
        rng = np.random.default_rng((self.spec.seed, step // STEPS_PER_SIZE))
        return sizes[int(rng.integers(len(sizes)))]

    def ends_epoch(self, step: int) -> bool:
        """Say whether a step is the last of its epoch, or of all."""
        return (step + 1) % self.steps_per_epoch == 0 or step + 1 == self.num_steps

    def is_judged(self, step: int) -> bool:
        """Say whether the held-out pictures are looked at after a step."""
        return step + 1 == self.num_steps or (self.ends_epoch(step) and (self.epoch(step) + 1) % self.eval_every == 0)


def input_sizes(native_wh: tuple[int, int], share: float) -> list[tuple[int, int]]:
    """Give the sizes that the input may have: multiples of 32, the longer side within `share` of the native one."""
    longer = max(native_wh)
    steps = round(longer * share / _GRID)
    factors = [(longer + _GRID * step) / longer for step in range(-steps, steps + 1)]
    return [
        (max(_GRID, _GRID * round(native_wh[0] * f / _GRID)), max(_GRID, _GRID * round(native_wh[1] * f / _GRID)))
        for f in factors
    ]


def schedule_of_epochs(spec: TrainSpec, num_pictures: int, batch_size: int) -> Schedule:
    """Make the schedule of a run whose passes are counted."""
    epochs = spec.epochs or _DEFAULT_EPOCHS
    per_epoch = max(num_pictures // batch_size, 1)
    return Schedule(spec, epochs * per_epoch, per_epoch, _eval_every(spec, epochs, _DEFAULT_JUDGEMENTS))


def schedule_of_minutes(
    spec: TrainSpec, num_pictures: int, batch_size: int, left_s: float, step_s: float, judge_s: float
) -> Schedule:
    """Make the schedule of a run whose time is given.

    Args:
        spec: the recipe's part.
        num_pictures: of one pass.
        batch_size: of a step.
        left_s: seconds that remain.
        step_s: measured seconds of a step, over all input sizes.
        judge_s: measured seconds of one look at the held-out pictures.
    """
    per_epoch = max(num_pictures // batch_size, 1)
    # Where judging is slow, it is done less often: a seventh of the time at most, but twice.
    judgements = min(_DEFAULT_JUDGEMENTS, max(2, int(left_s / 7 / judge_s)))
    steps = max(int((left_s - judgements * judge_s) / step_s), 1)
    return Schedule(spec, steps, per_epoch, _eval_every(spec, math.ceil(steps / per_epoch), judgements))


def _eval_every(spec: TrainSpec, epochs: int, judgements: int) -> int:
    return spec.eval_every or max(1, math.ceil(epochs / judgements))
