"""Files that a run can be continued or exported from: whole or not there at all."""

from __future__ import annotations

import io
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from engine.errors import BundleError, VedetteError
from training.model import Detector, ModelSpec

BEST, LAST = "best.pt", "last.pt"
_FORMAT = 1


class DiskError(VedetteError):
    """A file of the run cannot be written."""

    exit_code = 3


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A detector with what must be known to use it: the content of `best.pt`.

    Attributes:
        detector: averaged weights, in eval mode on the CPU.
        labels: its classes in order.
        input_wh: width and height that it was trained for.
        recipe: YAML text of the recipe.
        step: steps that it was trained for.
        scores: what the held-out pictures said, by name.
    """

    detector: Detector
    labels: tuple[str, ...]
    input_wh: tuple[int, int]
    recipe: str
    step: int
    scores: dict[str, float]

    def save(self, path: Path) -> None:
        """Write it.

        Raises:
            DiskError: it cannot be written; what was there before is still there.
        """
        weights = {name: value.detach().cpu() for name, value in self.detector.state_dict().items()}
        write_checkpoint(path, {
            "kind": "detector", "spec": asdict(self.detector.spec), "weights": weights, "labels": list(self.labels),
            "input_wh": list(self.input_wh), "recipe": self.recipe, "step": self.step, "scores": self.scores,
        })  # fmt: skip


def load_trained(path: Path) -> TrainedModel:
    """Read a trained detector.

    Args:
        path: a run's folder, or its `best.pt`.

    Raises:
        BundleError: there is none, or it is damaged or of another kind.
    """
    path = path / BEST if path.is_dir() else path
    state = read_checkpoint(path, "detector")
    detector = Detector(ModelSpec(**state["spec"]))
    detector.load_state_dict(state["weights"])
    width, height = state["input_wh"]
    return TrainedModel(
        detector.eval(), tuple(state["labels"]), (width, height), state["recipe"], state["step"], state["scores"]
    )


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replace a file by a new one that is on the disk before the old one goes.

    Raises:
        DiskError: it cannot be written; what was there before is still there.
    """
    buffer = io.BytesIO()
    torch.save({"format": _FORMAT, **state}, buffer)
    replace_file(path, buffer.getbuffer())


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file under another name, to the disk, then rename it.

    Raises:
        DiskError: it cannot be written; what was there before is still there.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            # Without it the new name may be lost with the power, though the content is safe.
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        part.unlink(missing_ok=True)
        kept = f"; {path.name} is as it was before" if path.exists() else ""
        raise DiskError(
            f"{path}: cannot be written ({len(content) / 1e6:.1f} MB): {error.strerror}{kept}; "
            f"make room and go on with --resume"
        ) from None


def read_checkpoint(path: Path, kind: str) -> dict[str, Any]:
    """Read what `write_checkpoint` wrote; nothing in the file is executed.

    Args:
        path: the file.
        kind: `detector` or `training`.

    Raises:
        BundleError: missing, damaged, or of another kind or format.
    """
    if not path.is_file():
        raise BundleError(f"{path}: no such checkpoint; `vedette train` writes it")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = (state["format"], state["kind"])
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BundleError(f"{path}: not a checkpoint of `vedette train`: {reason:.120}") from None
    if found != (_FORMAT, kind):
        raise BundleError(
            f"{path}: a checkpoint of kind '{found[1]}', format {found[0]}; expected kind '{kind}', format {_FORMAT}"
        )
    return state
