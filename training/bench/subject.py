"""One backend under test, alone in a process: what it takes, how fast it is, how right it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import psutil

from engine.bundle import Bundle
from engine.errors import BundleError
from engine.gpu import Gpu, free_bytes, gpus
from engine.inference import BackendOptions, InferenceBackend, make_backend
from engine.picture import Pixels
from training.bench.layers import HasProfiler, LayerTime, layer_times
from training.bench.variant import Variant

if TYPE_CHECKING:
    from training.dataset import Dataset

# The first run prepares memory, the second one may still tune itself.
_WARM_RUNS = 2
_MIN_RUNS = 3
_MIB = 1 << 20


@dataclass(frozen=True)
class Opened:
    """What a backend says about itself once its model is loaded and has run in every batch size.

    Attributes:
        precision, device: see InferenceBackend.
        rss_mib: memory that this process has taken for the library, the model and its buffers.
        device_mib: memory of the GPU that is used since; None on a CPU, or where the driver does not tell.
        failed: batch sizes that do not run, with the reason.
    """

    precision: str
    device: str
    rss_mib: float
    device_mib: float | None
    failed: dict[int, str]


@dataclass(frozen=True)
class Timed:
    """Milliseconds of batches, one after the other.

    Attributes:
        ms: with upload, normalising and download, as it runs live.
        model_ms: the model alone, on the GPU the sum of its layers; empty where the backend cannot tell.
    """

    ms: tuple[float, ...]
    model_ms: tuple[float, ...]


@runtime_checkable
class HasSteps(Protocol):
    """A backend on the processor whose two steps can be called one by one."""

    device: str
    fixed_batch: int | None

    def normalise(self, tensor: Pixels) -> Any:
        """Turn pictures into the model's numbers."""

    def run(self, images: Any) -> Any:
        """Run the model on them."""


class Subject:
    """A backend with a model.

    Args:
        model: a bundle's folder or an ONNX file.
        variant: how to run it.
        batches: sizes that will be asked for.
    """

    def __init__(self, model: str, variant: Variant, batches: list[int]) -> None:
        self._model, self._variant, self._batches = model, variant, batches
        self._options = BackendOptions(variant.device, variant.precision, max(batches))
        self._known_layers_ms: dict[int, tuple[float, ...]] = {}

    def open(self) -> Opened:
        """Load the model and run it in every batch size.

        Raises:
            BundleError: it cannot be run in this way.
            ConfigError: a package is missing.
        """
        bundle = Bundle.load(self._model)
        width, height = bundle.manifest.input.size_wh
        rng = np.random.default_rng(0)
        self._pictures = rng.integers(0, 256, (max(self._batches), 3, height, width), np.uint8)
        gpu = _gpu(self._variant.device)
        free_before, rss_before = _free(gpu), psutil.Process().memory_info().rss
        self._backend = self._make()
        self._backend.open(bundle)
        failed = {}
        for batch in self._batches:
            try:
                for _ in range(_WARM_RUNS):
                    self._backend.infer(self._pictures[:batch])
            except BundleError as error:
                failed[batch] = str(error)
        on_gpu = self._backend.device.startswith("cuda") and free_before is not None
        free_after = _free(gpu) if on_gpu else None
        return Opened(
            precision=self._backend.precision,
            device=self._backend.device,
            rss_mib=(psutil.Process().memory_info().rss - rss_before) / _MIB,
            device_mib=None if free_before is None or free_after is None else (free_before - free_after) / _MIB,
            failed=failed,
        )

    def _make(self) -> InferenceBackend:
        return make_backend(self._variant.backend, self._options)

    def time(self, batch: int, seconds: float) -> Timed:
        """Run batches for some seconds, at least three; and the model alone, where that can be told."""
        pictures, backend = self._pictures[:batch], self._backend
        ms = _times(lambda: backend.infer(pictures), seconds)
        if isinstance(backend, HasProfiler) and backend.device != "cpu" and batch <= backend.max_batch:
            return Timed(ms, self._layers_ms(batch))
        if isinstance(backend, HasSteps) and backend.device == "cpu" and backend.fixed_batch in (None, batch):
            images = backend.normalise(pictures)
            return Timed(ms, _times(lambda: backend.run(images), seconds))
        return Timed(ms, ())

    def judge(self, dataset: Dataset) -> float:
        """Give mAP at IoU .5 to .95, points from 0 to 100, through the steps that run live.

        Raises:
            BundleError: the model failed.
            SourceError: a picture cannot be read, or there is no box to judge by.
        """
        from training.evaluation.detections import judge_detections, predict

        # It opens the model anew, as a pipeline does; a GPU may not have room for both.
        self.close()
        options = self._options
        settings = {"require": self._variant.backend, "device": options.device, "precision": options.precision}
        results = predict(self._model, dataset, settings={**settings, "max_batch": 1})
        return 100 * judge_detections(dataset.to_coco(), results).stats["ap"]

    def layers(self, batch: int) -> tuple[LayerTime, ...]:
        """Give the time of every layer, slowest first.

        Raises:
            BundleError: the backend cannot tell.
        """
        return layer_times(self._backend, Bundle.load(self._model), self._pictures[:batch])

    def _layers_ms(self, batch: int) -> tuple[float, ...]:
        if batch not in self._known_layers_ms:
            try:
                self._known_layers_ms[batch] = (sum(layer.ms for layer in self.layers(batch)),)
            except BundleError:
                # The profiler wants memory of its own, which there may not be.
                self._known_layers_ms[batch] = ()
        return self._known_layers_ms[batch]

    def close(self) -> None:
        """Free the model."""
        if hasattr(self, "_backend"):
            self._backend.close()


def _times(call: Callable[[], Any], seconds: float) -> tuple[float, ...]:
    found: list[float] = []
    stop_s = time.perf_counter() + seconds
    while len(found) < _MIN_RUNS or time.perf_counter() < stop_s:
        started_s = time.perf_counter()
        call()
        found.append((time.perf_counter() - started_s) * 1000)
    return tuple(found)


def _gpu(device: str) -> Gpu | None:
    index = int(device.partition(":")[2] or 0)
    return next((gpu for gpu in gpus() if gpu.index == index), None) if device != "cpu" else None


def _free(gpu: Gpu | None) -> int | None:
    return None if gpu is None else free_bytes(gpu)
