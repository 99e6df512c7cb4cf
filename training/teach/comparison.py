"""Student beside teacher: what both find on held-out footage, and what it costs them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.bundle import Bundle
from engine.progress import FrameProgress
from training.dataset import Dataset
from training.evaluation.detections import Difference, Evaluation, compare, evaluate, predict
from training.evaluation.detections.comparison import comparison_json
from training.evaluation.detections.gallery import false_alarms, misses
from training.evaluation.detections.html_report import Report
from training.teach.cpu_cost import CpuCost, measure_cpu
from training.teach.students import Student

_DRAWS = 200
_NUM_PICTURES = 16


@dataclass(frozen=True, eq=False)
class Model:
    """One side of the comparison.

    Attributes:
        evaluation: against the smoothed labels of the teacher.
        cost: on the same pictures, measured by turns.
        size_bytes: of the ONNX file.
        input_wh: of its input.
    """

    evaluation: Evaluation
    cost: CpuCost
    size_bytes: int
    input_wh: tuple[int, int]

    def as_json(self) -> dict[str, Any]:
        """Give everything as one object."""
        return {
            "name": self.evaluation.name,
            "ap": self.evaluation.scores.stats["ap"],
            "ap50": self.evaluation.scores.stats["ap50"],
            "per_class": self.evaluation.scores.per_class,
            "model_cpu_ms": round(self.cost.model_ms, 3),
            "detection_cpu_ms": round(self.cost.total_ms, 3),
            "onnx_bytes": self.size_bytes,
            "input_wh": list(self.input_wh),
        }


@dataclass(frozen=True, eq=False)
class Comparison:
    """A student and its teacher on the same held-out pictures.

    Attributes:
        student: what was trained.
        teacher: what labelled; its labels are smoothed along time, so it is not perfect against them.
        choice: the student as it was chosen.
        differences: of the teacher and the student, see `compare`.
        val: the pictures.
    """

    student: Model
    teacher: Model
    choice: Student
    differences: dict[str, Difference]
    val: Dataset

    @property
    def model_cost(self) -> float:
        """The student's CPU time in the model as a share of the teacher's."""
        return self.student.cost.model_ms / self.teacher.cost.model_ms

    @property
    def detection_cost(self) -> float:
        """The student's CPU time with letterbox and decoding as a share of the teacher's."""
        return self.student.cost.total_ms / self.teacher.cost.total_ms

    def lines(self) -> list[str]:
        """Say it in words, a sentence a line."""
        ours, theirs = self.student, self.teacher
        return [
            f"{len(self.val)} held-out pictures; truth is what the teacher saw, smoothed along time.",
            f"Student ({self.choice}): AP50 {_stat(ours, 'ap50')}, AP {_stat(ours, 'ap')}; "
            f"teacher: AP50 {_stat(theirs, 'ap50')}, AP {_stat(theirs, 'ap')}.",
            *(
                f"{name}: AP50 {ours.evaluation.scores.per_class[name]['ap50']:.3f} (teacher {value['ap50']:.3f})."
                for name, value in sorted(theirs.evaluation.scores.per_class.items())
            ),
            f"CPU time of a picture, one thread: the model {ours.cost.model_ms:.2f} ms against "
            f"{theirs.cost.model_ms:.2f} ms ({self.model_cost:.3f} of it); with letterbox and decoding "
            f"{ours.cost.total_ms:.2f} ms against {theirs.cost.total_ms:.2f} ms ({self.detection_cost:.3f}).",
            f"Size: {ours.size_bytes / 1e6:.2f} MB against {theirs.size_bytes / 1e6:.2f} MB.",
        ]

    def as_json(self) -> dict[str, Any]:
        """Give everything as one object."""
        return {
            "num_images": len(self.val),
            "student": self.student.as_json(),
            "teacher": self.teacher.as_json(),
            "choice": self.choice.as_json(),
            "model_cost": round(self.model_cost, 4),
            "detection_cost": round(self.detection_cost, 4),
            "comparison": comparison_json(self.teacher.evaluation, self.student.evaluation, self.differences),
        }

    def html(self) -> str:
        """Write a page with curves, slices, and the student's worst mistakes."""

        def read(index: int) -> Any:
            return self.val.samples[index].read().bgr

        ours = self.student.evaluation
        return Report(
            "held-out footage, as the teacher saw it", (ours, self.teacher.evaluation),
            compare(ours, self.teacher.evaluation), false_alarms=false_alarms(ours, read), misses=misses(ours, read),
            notes=tuple(self.lines()),
        ).html()  # fmt: skip


def compare_models(student: Path, teacher: Path, val: Dataset, choice: Student) -> Comparison:
    """Judge both on the held-out pictures, and measure both on some of them.

    Raises:
        BundleError: a model cannot be used.
        SourceError: a picture cannot be read.
    """
    spread = np.linspace(0, len(val) - 1, min(len(val), _NUM_PICTURES)).round().astype(int)
    costs = measure_cpu({"student": student, "teacher": teacher}, [val.samples[i].read().bgr for i in spread.tolist()])
    truth = val.to_coco()
    sides = {}
    with FrameProgress("compare", {"draws": 2 * _DRAWS}, "draws") as progress:
        for role, path in (("student", student), ("teacher", teacher)):
            bundle = Bundle.load(path)
            judged = evaluate(
                truth, predict(path, val), name=f"{role} {bundle.manifest.name}", draws=_DRAWS,
                tick=lambda: progress.frame("draws"),
            )  # fmt: skip
            size_bytes = bundle.file("onnx").stat().st_size
            sides[role] = Model(judged, costs[role], size_bytes, bundle.manifest.input.size_wh)
    differences = compare(sides["teacher"].evaluation, sides["student"].evaluation)
    return Comparison(sides["student"], sides["teacher"], choice, differences, val)


def _stat(model: Model, name: str) -> str:
    return f"{model.evaluation.scores.stats[name]:.3f}"
