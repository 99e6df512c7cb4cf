"""The folder of a run: whether it may be begun or continued there, and as what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.errors import ConfigError, UsageError
from training.checkpoint import LAST, read_checkpoint
from training.dataset import Dataset
from training.recipe import Recipe

RECIPE = "recipe.yaml"


def identity(recipe: Recipe, train: Dataset, val: Dataset) -> dict[str, Any]:
    """Give everything that decides the weights, by name: where two runs differ, one cannot go on as the other.

    Where files lie and how many processes read them does not decide anything.
    """
    parts = {part: getattr(recipe, part).model_dump(mode="json") for part in ("model", "train", "augment")}
    values = {f"{part}.{key}": value for part, section in parts.items() for key, value in section.items()}
    values.pop("train.workers")
    values["model.init"] = recipe.model.init.name if recipe.model.init else None
    for name, dataset in (("training pictures", train), ("held-out pictures", val)):
        values[name] = f"{len(dataset)} with digest {dataset.digest[:12]}"
    return {**values, "labels": list(train.labels)}


def saved_run(work: Path, resume: bool, now: dict[str, Any]) -> dict[str, Any] | None:
    """Give the state of the run to go on with; None where one is to be begun.

    Args:
        work: the run's folder.
        resume: go on where there is something to go on with.
        now: what the run would be, see `identity`.

    Raises:
        UsageError: the folder is in use, and `resume` was not asked for.
        ConfigError: the run in it is another one; says the first difference.
        BundleError: its checkpoint is damaged.
    """
    if not resume:
        if work.exists() and (not work.is_dir() or any(work.iterdir())):
            raise UsageError(f"{work}: is not empty; go on with its run by --resume, or give another folder by --work")
        return None
    if not (work / LAST).exists():
        return None
    saved = read_checkpoint(work / LAST, "training")
    before = saved["identity"]
    for key in {**before, **now}:
        if before.get(key) != now.get(key):
            raise ConfigError(
                f"{work}: its run was begun with {key} = {before.get(key)}, now it is {now.get(key)}; "
                f"change it back to go on, or begin anew in another folder by --work"
            )
    return saved
