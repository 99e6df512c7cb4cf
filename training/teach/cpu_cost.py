"""What a picture costs a model on a CPU, measured beside others on the same pictures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.bundle import Bundle
from engine.inference import make_backend
from engine.load import load_class
from engine.picture import Picture, Pixels

ROUNDS = 60


@dataclass(frozen=True)
class CpuCost:
    """CPU milliseconds of one thread for one picture, medians.

    Attributes:
        model_ms: ONNX Runtime, normalising included.
        total_ms: with letterbox, decoding and suppression: what detection costs a live camera.
    """

    model_ms: float
    total_ms: float


class _Stopwatch:
    """One opened model and its times."""

    def __init__(self, model: Path) -> None:
        self.spec = Bundle.load(model).manifest.input.letterbox
        self.infer = load_class("infer")(model=str(model), backend="onnxruntime")
        self.infer.open()
        self.backend = make_backend("onnxruntime")
        self.backend.open(Bundle.load(model))
        self.model_s: list[float] = []
        self.total_s: list[float] = []

    def look(self, bgr: Pixels) -> None:
        picture = Picture.from_bgr(bgr)
        started_s = time.thread_time()
        tensor = picture.letterbox(self.spec)[None]
        prepared_s = time.thread_time()
        outputs = self.backend.infer(tensor)
        ran_s = time.thread_time()
        self.infer.decode([output[0] for output in outputs], self.spec.geometry(picture.size_wh))
        self.model_s.append(ran_s - prepared_s)
        self.total_s.append(time.thread_time() - started_s)

    def close(self) -> None:
        self.infer.close()
        self.backend.close()


def measure_cpu(models: Mapping[str, Path], pictures: Sequence[Pixels], rounds: int = ROUNDS) -> dict[str, CpuCost]:
    """Measure models on the same pictures by turns, so that a busy moment hits all of them alike.

    Args:
        models: bundles or ONNX files, by name.
        pictures: BGR, looked at in rotation; at least one.
        rounds: looks of every model.

    Raises:
        BundleError: a model cannot be used.
    """
    watches: dict[str, _Stopwatch] = {}
    try:
        for name, model in models.items():
            watches[name] = _Stopwatch(model)
        # The first look allocates.
        for number in range(rounds + 1):
            for watch in watches.values():
                watch.look(pictures[number % len(pictures)])
    finally:
        for watch in watches.values():
            watch.close()
    return {
        name: CpuCost(*(float(np.median(times[1:])) * 1000 for times in (watch.model_s, watch.total_s)))
        for name, watch in watches.items()
    }
