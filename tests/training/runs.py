"""Small training runs for tests: seconds, one thread, no MLflow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.labelled import rectangles
from training.dataset import Dataset
from training.loop import FitResult, fit
from training.recipe import AugmentSpec, DataPart, ModelChoice, Recipe, TrainSpec


def recipe(augment: dict[str, Any] | None = None, **train: Any) -> Recipe:
    """The smallest model on 64x64 pictures; eight steps in two epochs for twelve pictures, unless told otherwise."""
    settings = {"epochs": 2, "batch_size": 3, "lr": 0.01, "workers": 0, "eval_every": 1, **train}
    return Recipe(
        name="rectangles",
        data=(DataPart(path=Path("labels.json")),),
        model=ModelChoice(size="femto", input_wh=(64, 64)),
        train=TrainSpec(**settings),
        augment=AugmentSpec(**(augment or {})),
    )


def data(folder: Path, count: int = 12) -> tuple[Dataset, Dataset]:
    """Training pictures, and four held-out ones."""
    return rectangles(folder / "train", count, (64, 48)), rectangles(folder / "val", 4, (64, 48), seed=1)


def run(
    folder: Path, work: Path, what: Recipe | None = None, parts: tuple[Dataset, Dataset] | None = None, **options: Any
) -> FitResult:
    """Fit the pictures that `data` has written into a folder, or others: training and held-out ones."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        # Its import and its tables take longer than the run.
        patch.setitem(sys.modules, "mlflow", None)
        return fit(what or recipe(), *(parts or data(folder)), work, **options)
