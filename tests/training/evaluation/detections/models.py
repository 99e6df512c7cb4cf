"""A tiny detector and pictures whose objects it sees, for tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.tiny_models import save_yolox, squares
from training.dataset import Dataset, Sample

LABELS = ("blue", "red")


def tiny_bundle(folder: Path, labels: tuple[str, ...] = LABELS) -> Path:
    """Write a bundle that sees squares of 8x8 pixels: blue ones and red ones."""
    pytest.importorskip("onnxruntime")
    from engine.onnx_import import ImportOptions, describe_onnx

    folder.mkdir(parents=True, exist_ok=True)
    onnx_file = save_yolox(folder / "tiny.onnx")
    return describe_onnx(onnx_file, ImportOptions(family="yolox", labels=labels)).write(folder / "bundle").root


def coloured_squares(folder: Path, count: int = 6, labels: tuple[str, ...] = LABELS, camera: str = "") -> Dataset:
    """Write pictures with two squares each, all labelled."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = []
    for number in range(count):
        cells = ((number % 7, 1, "red"), (5 - number % 4, 4, "blue"))
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), squares(*cells))
        xyxy = np.array([[8 * x, 8 * y, 8 * x + 8, 8 * y + 8] for x, y, _ in cells], np.float32)
        class_id = np.array([labels.index(color) for _, _, color in cells if color in labels], np.intp)
        known = np.array([color in labels for _, _, color in cells])
        samples.append(Sample(path, (64, 64), xyxy[known], class_id, np.zeros(known.sum(), bool), camera, number * 1.0))
    return Dataset(labels, tuple(samples))
