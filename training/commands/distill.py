"""`vedette distill`: a large model teaches a small one to see what one camera shows."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from engine.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("distill")(distill)


def distill(
    teacher: Annotated[str, typer.Option(metavar="BUNDLE|FILE.onnx", help="What labels.", show_default=False)],
    footage: Annotated[list[Path], typer.Option(metavar="DIR|FILE", help="Recordings; repeatable.")],
    out: Annotated[Path, typer.Option(metavar="BUNDLE", help="Folder of the student.", show_default=False)],
    classes: Annotated[str | None, typer.Option(metavar="A,B", help="Default: those there are many of.")] = None,
    size: Annotated[str, typer.Option(help="Of the student, such as femto.")] = "auto",
    cost: Annotated[float, typer.Option(help="Largest share of the teacher's CPU time.")] = 0.2,
    minutes: Annotated[float | None, typer.Option(help="Time to train, on this machine; default: 20.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of time: passes over the pictures.")] = None,
    work: Annotated[Path | None, typer.Option(help="Folder of the run; default: runs/NAME.")] = None,
    every_s: Annotated[float | None, typer.Option(min=0, help="Keep a frame so often; default: 2000 in all.")] = None,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Stop each recording after so many frames.")] = None,
    min_confidence: Annotated[float, typer.Option(min=0.2, max=1, help="From here on a detection is sure.")] = 0.5,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    licence: Annotated[str, typer.Option(help="Of the footage, for the student's card.")] = "",
    source: Annotated[str, typer.Option(help="Where the footage comes from.")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what is in --work.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is at --out.")] = False,
) -> None:
    """Train a small model for a camera, with a large one as the only teacher.

    The teacher labels the footage (see `vedette label`), the last fifth of it is held out, and the student's network
    and input are chosen by measuring what they cost here. `report.html` in --work shows the student beside its teacher.
    """
    from training.extra import need_training

    need_training("distilling")
    from training.commands.label import split_names
    from training.stopping import TrainingStopped
    from training.teach.distill import Lesson
    from training.teach.distill import distill as run
    from training.teach.label import LabelOptions
    from training.teach.smooth import Rules

    if minutes is not None and epochs is not None:
        raise UsageError("--minutes and --epochs: give one of them")
    for name, value in (("cost", cost), ("minutes", minutes)):
        if value is not None and not value > 0:
            raise UsageError(f"--{name} {value:g}: must be above 0")
    lesson = Lesson(
        name=out.resolve().name, teacher=teacher, footage=tuple(footage), classes=split_names(classes), size=size,
        cost=cost, minutes=20.0 if minutes is None else minutes, epochs=epochs, seed=seed,
        options=LabelOptions(
            every_s=every_s, max_frames=max_frames, rules=Rules.from_confidence(min_confidence), licence=licence,
            source=source,
        ),
    )  # fmt: skip
    work = work or Path("runs") / lesson.name
    try:
        comparison = run(lesson, work, out, resume=resume, force=force, device=device, say=_say)
    except TrainingStopped as stopped:
        again = [argument for argument in sys.argv[1:] if argument != "--resume"]
        _say(f"{stopped}\nvedette {shlex.join(again)} --resume")
        return
    print("\n".join(comparison.lines()))
    _say(f"written: {out}; report: {work / 'report.html'}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
