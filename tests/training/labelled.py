"""Labelled pictures of coloured rectangles as files, and a detector that has learned them, for tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from training.dataset import Dataset, Sample
from training.loss import DetectionLoss, Target
from training.model import Detector, ModelSpec, cell_grid

LABELS = ("blue", "red")


def rectangles(folder: Path, count: int, size_wh: tuple[int, int] = (96, 64), seed: int = 0) -> Dataset:
    """Write PNG pictures with one to three rectangles each; the class is the colour. Box sides are 12 to 40 pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    width, height = size_wh
    samples = []
    for number in range(count):
        bgr = rng.integers(90, 130, (height, width, 1), np.uint8).repeat(3, axis=2)
        boxes, class_ids = [], []
        for _ in range(rng.integers(1, 4)):
            side = rng.integers(12, 41, 2)
            left, top = rng.integers(0, width - side[0] + 1), rng.integers(0, height - side[1] + 1)
            class_id = int(rng.integers(2))
            bgr[top : top + side[1], left : left + side[0]] = (240, 20, 20) if class_id == 0 else (20, 20, 240)
            boxes.append([left, top, left + side[0], top + side[1]])
            class_ids.append(class_id)
        path = folder / f"{number:06}.png"
        cv2.imwrite(str(path), bgr)
        samples.append(
            Sample(
                path=path,
                size_wh=size_wh,
                xyxy=np.array(boxes, np.float32),
                class_id=np.array(class_ids, np.intp),
                ignore=np.zeros(len(boxes), bool),
                camera="gate",
                time_s=number * 10.0,
                tags={"light": "night" if number % 2 else "day"},
            )
        )
    return Dataset(LABELS, tuple(samples))


def learned(dataset: Dataset, steps: int = 50) -> Detector:
    """Give a detector that has learned pictures of one size by heart, well enough to have a mAP."""
    torch.manual_seed(0)
    model = Detector(ModelSpec(0.0625, 0.33, True, len(dataset.labels)))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # The statistics of so few steps must not be those of the first.
            module.momentum = 0.3
    examples = [sample.read() for sample in dataset.samples]
    images = torch.stack([torch.from_numpy(e.bgr).permute(2, 0, 1).float() for e in examples])
    truth = [
        Target(torch.from_numpy(e.xyxy), torch.from_numpy(e.class_id), torch.from_numpy(e.ignore)) for e in examples
    ]
    grid = cell_grid(*images.shape[2:])
    optimizer = torch.optim.AdamW(model.parameters(), 0.015)
    for _ in range(steps):
        optimizer.zero_grad()
        DetectionLoss()(model(images), grid, truth)["total"].backward()
        optimizer.step()
    return model.eval()
