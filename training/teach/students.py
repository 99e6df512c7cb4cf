"""Which student: the network and the input that cost a CPU at most a stated share of what the teacher costs it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.bundle import Bundle, Manifest, write_bundle
from engine.errors import UsageError
from engine.heads.yolox import Yolox
from training.dataset import Dataset
from training.export import export_onnx
from training.model import SIZES, Detector
from training.teach.cpu_cost import measure_cpu

AUTO = ("nano", "pico", "femto")
"""Sizes that `auto` chooses among, the best first; larger ones do not learn from nothing in minutes on a CPU."""

# What is chosen costs so much less than allowed: the next measurement will be another.
_MARGIN = 0.95
# Side of a square as large as an object: where nine of ten objects are at least so large in the model's input, more
# channels help more than more pixels. Two cells of the finest level.
_OBJECT_PX = 16.0
_GRID, _LEAST_SIDE = 32, 128
_NUM_PICTURES = 8

Size = tuple[int, int]


@dataclass(frozen=True)
class Student:
    """A network at an input size, and what it costs.

    Attributes:
        size: a key of `training.model.SIZES`.
        input_wh: of its input.
        cost: its CPU time as a share of the teacher's, with letterbox and decoding on both sides.
        object_px: nine of ten labelled objects are at least as large as a square of this side in its input.
    """

    size: str
    input_wh: Size
    cost: float
    object_px: float

    def __str__(self) -> str:
        return f"{self.size} at {self.input_wh[0]}x{self.input_wh[1]}"

    def as_json(self) -> dict[str, Any]:
        """Give everything as one object."""
        return asdict(self)

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Student:
        """Read what `as_json` gave."""
        width, height = saved["input_wh"]
        return cls(**{**saved, "input_wh": (width, height)})


def choose_student(dataset: Dataset, teacher: Path, max_cost: float, size: str = "auto") -> tuple[Student, ...]:
    """Choose a network and its input by measuring, with random weights, on pictures of the camera.

    It is the largest network that is cheap enough at an input in which nine of ten objects are large enough (16
    pixels), or at the largest input where they never are; the smallest network may have a smaller input, too. Of the
    inputs that such a network can afford it gets the largest.

    Args:
        dataset: labelled pictures of the camera.
        teacher: its bundle or ONNX file.
        max_cost: share of the teacher's CPU time.
        size: only this size; `auto` tries several.

    Returns:
        What was measured, in that order; the student that was chosen comes last.

    Raises:
        UsageError: an unknown size, or none is cheap enough.
    """
    if size != "auto" and size not in SIZES:
        raise UsageError(f"--size {size}: unknown size; expected auto or one of {', '.join(SIZES)}")
    frame_wh = frame_size(dataset)
    object_px = object_side(dataset)
    spread = np.linspace(0, len(dataset) - 1, min(len(dataset), _NUM_PICTURES)).round().astype(int)
    pictures = [dataset.samples[i].read().bgr for i in spread.tolist()]

    def measure(name: str, input_wh: Size) -> Student:
        with tempfile.TemporaryDirectory(prefix="vedette-student-") as temporary:
            student = untrained(name, input_wh, dataset.labels, Path(temporary))
            costs = measure_cpu({"student": student, "teacher": teacher}, pictures)
        share = costs["student"].total_ms / costs["teacher"].total_ms
        return Student(name, input_wh, share, object_px * scale(frame_wh, input_wh))

    longest = max(Bundle.load(teacher).manifest.input.size_wh)
    sizes = AUTO if size == "auto" else (size,)
    return search(sizes, inputs(frame_wh, longest), lambda wh: object_px * scale(frame_wh, wh), max_cost, measure)


def search(
    sizes: Sequence[str],
    inputs_wh: Sequence[Size],
    object_px: Callable[[Size], float],
    max_cost: float,
    measure: Callable[[str, Size], Student],
) -> tuple[Student, ...]:
    """Look for the student; see `choose_student`.

    Args:
        sizes: the best first.
        inputs_wh: the largest first.
        object_px: of an input.
        max_cost: share of the teacher's CPU time.
        measure: gives a student with its cost.

    Raises:
        UsageError: none is cheap enough.
    """
    measured: list[Student] = []

    def is_cheap(name: str, input_wh: Size) -> bool:
        measured.append(measure(name, input_wh))
        return measured[-1].cost <= _MARGIN * max_cost

    least = sum(object_px(input_wh) >= _OBJECT_PX for input_wh in inputs_wh[1:])
    for name in sizes:
        if is_cheap(name, inputs_wh[least]):
            chosen = measured[-1]
            for input_wh in reversed(inputs_wh[:least]):
                if not is_cheap(name, input_wh):
                    break
                chosen = measured[-1]
            return (*(student for student in measured if student is not chosen), chosen)
    for input_wh in inputs_wh[least + 1 :]:
        if is_cheap(sizes[-1], input_wh):
            return tuple(measured)
    cheapest = min(measured, key=lambda student: student.cost)
    raise UsageError(
        f"--cost {max_cost:g}: no student is so cheap: {cheapest} costs {cheapest.cost:.2f} of the teacher's CPU time; "
        f"allow --cost {cheapest.cost / _MARGIN + 0.005:.2f}, or take a larger teacher"
    )


def inputs(frame_wh: Size, longest: int) -> list[Size]:
    """Give inputs of the frame's shape, the largest first; their sides are multiples of 32.

    Args:
        frame_wh: of the pictures.
        longest: no side is longer than this or than the frame's own.
    """
    longest = max(min(longest, max(frame_wh)) // _GRID * _GRID, _LEAST_SIDE)
    found = []
    for side in range(longest, _LEAST_SIDE - 1, -_GRID):
        width, height = (max(_GRID * round(side * length / max(frame_wh) / _GRID), 2 * _GRID) for length in frame_wh)
        found.append((width, height))
    return found


def scale(frame_wh: Size, input_wh: Size) -> float:
    """Say how much smaller the frame is in the input."""
    return min(input_wh[0] / frame_wh[0], input_wh[1] / frame_wh[1])


def object_side(dataset: Dataset) -> float:
    """Give the side of a square that nine of ten labelled objects are at least as large as, in pixels of the frame."""
    boxes = np.concatenate([sample.xyxy[~sample.ignore] for sample in dataset.samples])
    return float(np.quantile(np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1)), 0.1))


def frame_size(dataset: Dataset) -> Size:
    """Give the size that most pictures have; of equally frequent ones the smallest."""
    sizes = [sample.size_wh for sample in dataset.samples]
    return max(sorted(set(sizes)), key=sizes.count)


def untrained(size: str, input_wh: Size, labels: Sequence[str], folder: Path) -> Path:
    """Write the bundle of a network with random weights; give its folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        detector = Detector(SIZES[size].with_classes(len(labels)))
    export_onnx(detector, folder / "model.onnx", input_wh=input_wh, labels=labels)
    manifest = Manifest(
        name="untrained", family=Yolox.family, labels=tuple(labels), files={},
        input=Yolox.defaults.model_copy(update={"size_wh": input_wh}),
    )  # fmt: skip
    return write_bundle(folder / "bundle", manifest, {"onnx": folder / "model.onnx"}).root
