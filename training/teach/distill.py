"""Footage in, student out: label, choose, train, finish, compare. What a step has made stays in the work folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.bundle import Bundle
from engine.card import Teacher as TeacherEntry
from engine.errors import ConfigError, SourceError, UsageError
from training.checkpoint import LAST, replace_file
from training.dataset import Dataset
from training.finish import check_out, finish_bundle
from training.formats import read_dataset
from training.loop import fit
from training.recipe import AugmentSpec, DataPart, ModelChoice, Recipe, TrainSpec
from training.split import assemble
from training.teach.comparison import Comparison, compare_models
from training.teach.footage import Clip, find_footage
from training.teach.label import LABELS, LabelOptions, label_footage
from training.teach.students import Student, choose_student
from training.teach.teacher import Teacher

# A class that the teacher's labels hold in numbers: so many boxes, and such a share of all.
_LEAST_BOXES, _LEAST_SHARE = 50, 0.02

Say = Callable[[str], None]


@dataclass(frozen=True)
class Lesson:
    """What a student is to learn, and how.

    Attributes:
        name: of the student.
        teacher: a bundle's folder or an ONNX file.
        footage: recordings and folders.
        classes: names; empty means those that the labels hold in numbers.
        size: of the student, a key of `training.model.SIZES`, or `auto`.
        cost: largest share of the teacher's CPU time.
        minutes: of training.
        epochs: instead of minutes.
        seed: of everything random.
        options: of labelling.
    """

    name: str
    teacher: str
    footage: tuple[Path, ...]
    classes: tuple[str, ...] = ()
    size: str = "auto"
    cost: float = 0.2
    minutes: float | None = 20.0
    epochs: int | None = None
    seed: int = 0
    options: LabelOptions = field(default_factory=LabelOptions)


def distill(
    lesson: Lesson, work: Path, out: Path, *, resume: bool = False, force: bool = False, device: str = "auto",
    say: Say = lambda line: None,
) -> Comparison:  # fmt: skip
    """Train a student for one camera, or some, with a teacher's labels alone.

    Args:
        lesson: see Lesson.
        work: keeps labels, choice, training run and report.
        out: the student's bundle; it appears complete or not at all.
        resume: use what an earlier call with the same lesson has left in `work`.
        force: replace another bundle at `out`.
        device: to train on, see `fit`.
        say: called with a line for a person now and then.

    Returns:
        The student beside its teacher on held-out footage.

    Raises:
        UsageError: `work` is not empty and `resume` was not asked for, or no student is cheap enough.
        ConfigError: what is in `work` was made from another lesson.
        SourceError: footage that cannot be used, or shows nothing that the teacher knows.
        BundleError: the teacher cannot be used, or something else is at `out`.
        TrainingStopped: SIGINT or SIGTERM while training; `resume` goes on.
    """
    check_out(out, force)
    if not resume and work.exists() and (not work.is_dir() or any(work.iterdir())):
        raise UsageError(
            f"{work}: is not empty; go on with what is there by --resume, or give another folder by --work"
        )
    work.mkdir(parents=True, exist_ok=True)
    teacher = Bundle.load(lesson.teacher)
    labels = _labels(lesson, work, teacher, say)
    classes = lesson.classes or common_classes(labels)
    say(f"classes: {', '.join(classes)}{'' if lesson.classes else ' (those that the labels hold in numbers)'}")
    student = _student(lesson, labels.relabelled(classes), work, say)
    recipe = _recipe(lesson, work, teacher, classes, student)
    train, val = assemble(recipe)
    say(f"{len(train)} pictures to learn from, {len(val)} held out")
    run = work / "training"
    result = fit(recipe, train, val, run, resume=resume and (run / LAST).exists(), device=device, say=say)
    say(f"after {result.num_steps} steps: AP50 {result.scores['ap50']:.3f} against the teacher's smoothed labels")
    card = TeacherEntry(
        name=teacher.manifest.name, digest=teacher.digest, licence=teacher.manifest.licence,
        source=teacher.manifest.source,
    )  # fmt: skip
    finish_bundle(run, out, train=train, val=val, force=force, teacher=card)
    comparison = compare_models(out, Path(lesson.teacher), val, student)
    replace_file(work / "report.html", comparison.html().encode())
    replace_file(work / "report.json", (json.dumps(comparison.as_json(), indent=1) + "\n").encode())
    return comparison


def common_classes(labels: Dataset) -> tuple[str, ...]:
    """Give the classes that labels hold in numbers, in the order of the labels.

    Raises:
        SourceError: none has 50 boxes.
    """
    counts = labels.box_counts()
    least = max(_LEAST_BOXES, _LEAST_SHARE * sum(counts.values()))
    found = tuple(name for name in labels.labels if counts[name] >= least)
    if not found:
        said = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise SourceError(f"the teacher has labelled too little ({said}): give it more footage, or say --classes")
    return found


def _labels(lesson: Lesson, work: Path, teacher: Bundle, say: Say) -> Dataset:
    """Label the footage, or read the labels that are there already."""
    folder, note = work / "labels", work / "labels-of.json"
    clips = find_footage(lesson.footage)
    wanted = _identity(lesson, clips, teacher)
    if folder.exists():
        _check_same(note, wanted)
    else:
        replace_file(note, json.dumps(wanted).encode())
        with Teacher(lesson.teacher, lesson.classes) as opened:
            report = label_footage(clips, opened, folder, lesson.options)
        say(f"{len(report.dataset)} pictures labelled by {teacher.manifest.name}, "
            f"{report.num_filled} boxes filled in")  # fmt: skip
    return read_dataset(folder / LABELS)


def _identity(lesson: Lesson, clips: Sequence[Clip], teacher: Bundle) -> dict[str, Any]:
    """Give all that decides the labels."""
    files = [path for clip in clips for path in clip.pictures or (clip.path,)]
    facts = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return {
        "teacher": teacher.digest,
        "footage": hashlib.sha256(repr(facts).encode()).hexdigest(),
        "classes": list(lesson.classes),
        "options": asdict(lesson.options),
    }


def _check_same(note: Path, wanted: dict[str, Any]) -> None:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    for key, value in wanted.items():
        if found.get(key) != value:
            raise ConfigError(
                f"{note.parent}: its labels were made with another {key.rstrip('s')}; repeat the command that made "
                f"them, or begin anew in another folder by --work"
            )


def _student(lesson: Lesson, labels: Dataset, work: Path, say: Say) -> Student:
    """Choose the student, or read what was chosen: a second measurement might choose another."""
    note = work / "student.json"
    asked = [lesson.size, lesson.cost]
    if note.is_file():
        saved = json.loads(note.read_text(encoding="utf-8"))
        if saved["asked"] == asked:
            return Student.from_json(saved["chosen"])
        raise ConfigError(
            f"{note}: the student was chosen for --size {saved['asked'][0]} --cost {saved['asked'][1]}; "
            f"repeat these, or begin anew in another folder by --work"
        )
    measured = choose_student(labels, Path(lesson.teacher), lesson.cost, lesson.size)
    for one in measured:
        say(f"{one}: {one.cost:.3f} of the teacher's CPU time, objects from {one.object_px:.0f} px on")
    say(f"student: {measured[-1]}")
    found = {"asked": asked, "chosen": measured[-1].as_json(), "measured": [one.as_json() for one in measured]}
    replace_file(note, (json.dumps(found, indent=1) + "\n").encode())
    return measured[-1]


def _recipe(lesson: Lesson, work: Path, teacher: Bundle, classes: tuple[str, ...], student: Student) -> Recipe:
    source = f"labelled by {teacher.manifest.name} ({teacher.digest})"
    return Recipe(
        name=lesson.name,
        labels=classes,
        data=(
            DataPart(
                path=(work / "labels" / LABELS).resolve(),
                format="coco",
                name=", ".join(place.name for place in lesson.footage),
                licence=lesson.options.licence,
                source="; ".join(text for text in (lesson.options.source, source) if text),
            ),
        ),
        model=ModelChoice(size=student.size, input_wh=student.input_wh),
        train=TrainSpec(
            minutes=None if lesson.epochs else lesson.minutes, epochs=lesson.epochs, seed=lesson.seed,
            # A network this small bears a high rate; its camera never moves, so one input size is enough.
            lr=0.002, multi_scale=0.0,
        ),
        # The camera sees the same ground from the same place for ever: varying it much costs more than it brings.
        augment=AugmentSpec(mosaic=0.25, mixup=0.0, scale=(0.7, 1.4), cutout=0.0),
    )  # fmt: skip
