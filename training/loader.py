"""Batches of augmented pictures, made in other processes while the network trains.

Everything random about a picture comes from (seed, epoch, index): which worker makes it and when does not matter, and
a run that goes on in the middle sees what it would have seen.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from engine.errors import SourceError, VedetteError
from training.augment import Augmenter
from training.dataset import Dataset, Example
from training.loss import Target
from training.picture_cache import PictureCache
from training.recipe import AugmentSpec, Recipe
from training.schedule import Schedule, input_sizes

_BATCHES_AHEAD = 4


class Draw(NamedTuple):
    """One picture of one batch: all that decides its pixels besides the recipe."""

    epoch: int
    sample: int
    input_wh: tuple[int, int]
    combine: bool


@dataclass(frozen=True, eq=False)
class Batch:
    """What the network sees at one step.

    Attributes:
        images: uint8 (B, h, w, 3), BGR.
        xyxy: float32 (N, 4), boxes of all pictures one after another, pixels of the input.
        class_id: int64 (N,).
        ignore: bool (N,).
        counts: boxes of each picture.
        indices: which samples these are.
    """

    images: Tensor
    xyxy: Tensor
    class_id: Tensor
    ignore: Tensor
    counts: list[int]
    indices: list[int]

    def pin_memory(self) -> Batch:
        """Move into memory that a GPU can fetch from by itself; called by DataLoader."""
        images, xyxy, class_id, ignore = (
            tensor.pin_memory() for tensor in (self.images, self.xyxy, self.class_id, self.ignore)
        )
        return Batch(images, xyxy, class_id, ignore, self.counts, self.indices)

    def inputs(self, device: torch.device) -> Tensor:
        """Give float32 (B, 3, h, w), 0..255, on the device; channels lie last in memory, as convolutions like it."""
        return self.images.to(device, non_blocking=True).permute(0, 3, 1, 2).float()

    def targets(self, device: torch.device) -> list[Target]:
        """Give the boxes picture by picture, on the device."""
        columns = (
            torch.split(tensor.to(device, non_blocking=True), self.counts)
            for tensor in (self.xyxy, self.class_id, self.ignore)
        )
        return [Target(*row) for row in zip(*columns, strict=True)]


def collate(examples: list[tuple[int, Example]]) -> Batch:
    """Put pictures of one size together; each may have any number of boxes."""
    found = [example for _, example in examples]
    return Batch(
        torch.from_numpy(np.stack([example.bgr for example in found])),
        torch.from_numpy(np.concatenate([example.xyxy for example in found])),
        torch.from_numpy(np.concatenate([example.class_id for example in found]).astype(np.int64)),
        torch.from_numpy(np.concatenate([example.ignore for example in found])),
        [len(example.xyxy) for example in found],
        [index for index, _ in examples],
    )


class Loader:
    """Where the batches of a run come from: a context in which a worker's death is an error of ours.

    Its workers begin at once and live until it is left. Make it before anything large: they keep the memory that
    this process has when they are forked.

    Args:
        recipe: what is done to the pictures.
        dataset: the pictures to learn from.
        pin: for a GPU.

    Attributes:
        batch_size: pictures a step; all of them where there are fewer.
    """

    def __init__(self, recipe: Recipe, dataset: Dataset, pin: bool = False) -> None:
        self.batch_size = min(recipe.train.batch_size, len(dataset))
        self._native_wh, self._num = recipe.model.input_wh, len(dataset)
        zoom = max(recipe.augment.scale[1], 1.0)
        width, height = input_sizes(self._native_wh, recipe.train.multi_scale)[-1]
        cache = PictureCache(dataset.samples, (round(width * zoom), round(height * zoom)))
        workers = default_workers(pin) if recipe.train.workers is None else recipe.train.workers
        self._plan = _Plan()
        self._loader = DataLoader(
            _Examples(cache.read, len(dataset), recipe.augment, recipe.train.seed), batch_sampler=self._plan,
            collate_fn=_collate, pin_memory=pin, num_workers=workers, persistent_workers=workers > 0,
            prefetch_factor=max(2, _BATCHES_AHEAD // workers) if workers else None, worker_init_fn=_begin_worker,
            # Workers must inherit the pictures' memory; they never touch a GPU.
            multiprocessing_context="fork" if workers else None,
        )  # fmt: skip
        self._workers: Any = iter(self._loader) if workers else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # There is no public way: without it they would live for as long as a traceback knows the loader, and PyTorch
        # would go on complaining about a dead one.
        if self._workers is not None:
            with contextlib.suppress(RuntimeError):
                self._workers._shutdown_workers()
        # PyTorch raises it from a signal handler: in the middle of anything, not only of waiting for a batch.
        if isinstance(value, RuntimeError) and "DataLoader worker" in str(value):
            raise _worker_died(value) from None

    def draws(self, schedule: Schedule, step: int) -> list[Draw]:
        """Choose the pictures of a step: each epoch in a new order; those that do not fill a batch are left out."""
        epoch = schedule.epoch(step)
        order = np.random.default_rng((schedule.spec.seed, epoch)).permutation(self._num).tolist()
        start = step % schedule.steps_per_epoch * self.batch_size
        input_wh, combine = schedule.input_wh(step, self._native_wh), not schedule.is_closing(step)
        return [Draw(epoch, sample, input_wh, combine) for sample in order[start : start + self.batch_size]]

    def batches(self, schedule: Schedule, steps: Iterable[int]) -> Iterator[Batch]:
        """Give the batches of some steps, in order; see `load`."""
        return self.load(self.draws(schedule, step) for step in steps)

    def load(self, plan: Iterable[list[Draw]]) -> Iterator[Batch]:
        """Give batches in order; what an earlier call has not been asked for any more is dropped.

        Raises:
            SourceError: a picture cannot be read, or a worker died.
        """
        self._plan.draws = plan
        found = iter(self._loader)
        while True:
            try:
                batch = next(found)
            except StopIteration:
                return
            except (OSError, EOFError) as error:
                raise _worker_died(error) from None
            if isinstance(batch, VedetteError):
                raise batch
            yield batch


def _worker_died(error: Exception) -> SourceError:
    return SourceError(
        f"a process that reads pictures died ({str(error) or type(error).__name__}); go on with --resume"
    )


def default_workers(has_gpu: bool) -> int:
    """Say how many processes read pictures; on a CPU the network needs ten times as much of its time."""
    cores = len(os.sched_getaffinity(0))
    return min(max(cores - 2, 1), 16) if has_gpu else max(1, cores // 6)


class _Examples(TorchDataset[tuple[int, Example] | VedetteError]):
    """Augmented pictures by draw."""

    def __init__(self, read: Callable[[int], Example], num: int, spec: AugmentSpec, seed: int) -> None:
        self._read, self._num, self._spec, self._seed = read, num, spec, seed

    def __getitem__(self, draw: Draw) -> tuple[int, Example] | VedetteError:
        rng = np.random.default_rng((self._seed, draw.epoch, draw.sample))
        augmenter = Augmenter(self._spec, draw.input_wh)
        try:
            return draw.sample, augmenter(self._read, self._num, draw.sample, rng, draw.combine)
        except VedetteError as error:
            # PyTorch would send it on as a traceback in a string.
            return error


def _collate(examples: list[tuple[int, Example] | VedetteError]) -> Batch | VedetteError:
    errors = [one for one in examples if isinstance(one, VedetteError)]
    return errors[0] if errors else collate([one for one in examples if not isinstance(one, VedetteError)])


class _Plan:
    """The batch sampler: what is loaded next."""

    draws: Iterable[list[Draw]] = ()

    def __iter__(self) -> Iterator[list[Draw]]:
        return iter(self.draws)


def _begin_worker(worker: int) -> None:
    # Ctrl-C goes to everything in the terminal's session: here it is for the loop alone, which ends its workers.
    os.setsid()
