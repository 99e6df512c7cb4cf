"""Backends for tests of the benchmark: what they do is known, and one of each way to go wrong."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bundle import Bundle
from engine.errors import BackendUnavailable, DeviceMemoryError
from engine.inference import BackendOptions, InferenceBackend, Signature
from engine.picture import Pixels
from training.bench.subject import Subject


class Plain:
    """Takes a millisecond a picture."""

    name = "plain"
    precision = "fp32"
    device = "cpu"
    fixed_batch: int | None = None
    max_batch = 1

    def __init__(self, options: BackendOptions | None = None) -> None:
        self.options = options

    def inspect(self, path: Path) -> Signature:
        raise NotImplementedError

    def open(self, bundle: Bundle) -> None:
        pass

    def infer(self, tensor: Pixels) -> list[NDArray[Any]]:
        time.sleep(0.001 * len(tensor))
        return [np.zeros((len(tensor), 1), np.float32)]

    def close(self) -> None:
        pass


class Slow(Plain):
    """Takes four."""

    def infer(self, tensor: Pixels) -> list[NDArray[Any]]:
        time.sleep(0.003 * len(tensor))
        return super().infer(tensor)


class Telling(Plain):
    """Knows the time of its layers."""

    device = "cuda:0 (NVIDIA L4)"
    max_batch = 8

    def profile(self, tensor: Pixels, runs: int) -> list[tuple[str, str, float]]:
        return [("relu", "", 0.05), ("conv", "", 0.15)]


class TellingOnCores(Telling):
    device = "cpu"


class Cramped(Telling):
    """Has no memory to profile."""

    def profile(self, tensor: Pixels, runs: int) -> list[tuple[str, str, float]]:
        raise DeviceMemoryError("no memory for another context")


class Absent(Plain):
    def open(self, bundle: Bundle) -> None:
        raise BackendUnavailable("no driver")


class Small(Plain):
    """Has memory for two pictures."""

    def infer(self, tensor: Pixels) -> list[NDArray[Any]]:
        if len(tensor) > 2:
            raise DeviceMemoryError(f"no memory for {len(tensor)} pictures")
        return super().infer(tensor)


class Crashing(Plain):
    def infer(self, tensor: Pixels) -> list[NDArray[Any]]:
        os.abort()


class Broken(Plain):
    def open(self, bundle: Bundle) -> None:
        raise RuntimeError("the library\nfell over")


class Hanging(Plain):
    def open(self, bundle: Bundle) -> None:
        time.sleep(60)


class FakeSubject(Subject):
    """Runs a backend of this file."""

    def _make(self) -> InferenceBackend:
        made: InferenceBackend = globals()[self._variant.backend](self._options)
        return made
