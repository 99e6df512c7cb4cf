"""Runs a module on uint8 pictures: page-locked copies, normalising on the device, batches of prepared sizes."""

from __future__ import annotations

import bisect
import contextlib
import functools
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.input_spec import InputSpec
from engine.picture import Pixels
from operators.pytorch.module import OnnxModule

Run = Callable[[], tuple[Tensor, ...]]


class Launcher(Protocol):
    """How a prepared batch is run: `Eager`, or `operators.pytorch.cuda_graphs.CudaGraphs`.

    Attributes:
        pinned: the device reads page-locked memory on its own.
    """

    pinned: bool

    def prepare(self, run: Run) -> Run:
        """Get ready what will be run again and again; what it gives may be overwritten by the next run."""

    def active(self) -> contextlib.AbstractContextManager[Any]:
        """Enter where work is queued."""

    def wait(self) -> None:
        """Wait for what was queued."""

    def free(self) -> None:
        """Give up what `prepare` got ready."""


class Eager:
    """Call after call, on the CPU."""

    pinned = False

    def prepare(self, run: Run) -> Run:
        """See Launcher."""
        return run

    def active(self) -> contextlib.AbstractContextManager[Any]:
        """See Launcher."""
        return contextlib.nullcontext()

    def wait(self) -> None:
        """See Launcher: nothing is queued."""

    def free(self) -> None:
        """See Launcher."""


def batch_sizes(max_batch: int, fixed: int | None = None) -> list[int]:
    """Give the batch sizes that are prepared, ascending: powers of two and the largest.

    A batch is filled up to the next of them. One for every size would take as many CUDA graphs, each with its outputs,
    and minutes to start; small batches of small models take about as long as the next larger one.
    """
    if fixed is not None:
        return [fixed]
    return sorted({max_batch, *(1 << i for i in range(max_batch.bit_length()) if 1 << i <= max_batch)})


class Runner:
    """A module with its memory. Belongs to one thread.

    Attributes:
        max_batch: larger batches are run in pieces.
    """

    def __init__(self, module: OnnxModule, spec: InputSpec, launcher: Launcher) -> None:
        """Take the module; `prepare` comes before the first call."""
        self._module, self._launcher = module, launcher
        self._shape = (3, spec.size_wh[1], spec.size_wh[0])
        self._scale_and_offset: tuple[Tensor, Tensor] | None = None
        if not spec.is_plain:
            scale, offset = (torch.from_numpy(a).view(1, 3, 1, 1).to(module.device) for a in spec.scale_and_offset())
            self._scale_and_offset = scale, offset
        self.max_batch = 0
        self._runs: dict[int, Run] = {}

    @torch.inference_mode()
    def prepare(self, max_batch: int, fixed: int | None = None) -> None:
        """Allocate everything, largest batch first, so that the others fit into its memory.

        Raises:
            BundleError: the graph does not fit the picture's shape.
        """
        sizes = batch_sizes(max_batch, fixed)
        with self._launcher.active():
            self._pictures = torch.zeros((sizes[-1], *self._shape), dtype=torch.uint8, device=self._module.device)
            for size in reversed(sizes):
                self._runs[size] = self._launcher.prepare(functools.partial(self.forward, self._pictures[:size]))
        self._sizes, self.max_batch = sizes, sizes[-1]

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Normalise pictures that are on the device, uint8 (n, 3, h, w), and run the module."""
        return self._module.forward(self._normalised(pictures))

    def _normalised(self, pictures: Tensor) -> Tensor:
        dtype = self._module.image_dtype
        if self._scale_and_offset is None:
            return pictures.to(dtype, memory_format=torch.channels_last)
        scale, offset = self._scale_and_offset
        return torch.addcmul(offset, pictures.to(torch.float32, memory_format=torch.channels_last), scale).to(dtype)

    @torch.inference_mode()
    def __call__(self, pictures: Pixels) -> list[NDArray[Any]]:
        """Run the model on any number of pictures, at least one; wait once, at the end.

        Returns:
            Arrays of the caller's own; on a GPU their memory is page-locked, and goes back to PyTorch with them.
        """
        results: list[Tensor] = []
        with self._launcher.active():
            for start in range(0, len(pictures), self.max_batch):
                piece = pictures[start : start + self.max_batch]
                count = len(piece)
                # Of its own for each piece: the copy may still be under way when the next is filled.
                upload = torch.empty(piece.shape, dtype=torch.uint8, pin_memory=self._launcher.pinned)
                np.copyto(upload.numpy(), piece)
                self._pictures[:count].copy_(upload, non_blocking=True)
                outputs = self._runs[self._sizes[bisect.bisect_left(self._sizes, count)]]()
                if not results:
                    results = [self._result(len(pictures), output) for output in outputs]
                for result, output in zip(results, outputs, strict=True):
                    result[start : start + count].copy_(output[:count], non_blocking=True)
            self._launcher.wait()
        return [result.numpy() for result in results]

    def _result(self, count: int, like: Tensor) -> Tensor:
        return torch.empty((count, *like.shape[1:]), dtype=like.dtype, pin_memory=self._launcher.pinned)

    def free(self) -> None:
        """Give the memory back."""
        self._runs.clear()
        self._launcher.free()
