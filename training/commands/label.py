"""`vedette label`: a large model labels footage, and its labels are smoothed along time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from engine.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("label")(label)


def label(
    footage: Annotated[list[Path], typer.Argument(metavar="FOOTAGE…", help="Recordings and folders.")],
    teacher: Annotated[str, typer.Option(metavar="BUNDLE|FILE.onnx", help="What labels.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for pictures and labels.", show_default=False)],
    classes: Annotated[str | None, typer.Option(metavar="A,B", help="Only these classes.")] = None,
    every: Annotated[int | None, typer.Option(min=1, metavar="N", help="Keep every N-th frame.")] = None,
    every_s: Annotated[float | None, typer.Option(min=0, help="Keep a frame so often; default: 2000 in all.")] = None,
    min_confidence: Annotated[float, typer.Option(min=0.2, max=1, help="From here on a detection is sure.")] = 0.5,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Stop each recording after so many frames.")] = None,
    fps: Annotated[float, typer.Option(min=0.01, help="Of folders of consecutive pictures.")] = 10.0,
    mirror: Annotated[bool, typer.Option("--mirror/--no-mirror", help="Look at each frame mirrored, too.")] = True,
    licence: Annotated[str, typer.Option(help="Of the footage, for the cards of models.")] = "",
    source: Annotated[str, typer.Option(help="Where the footage comes from.")] = "",
) -> None:
    """Label footage with a model, as COCO: `labels.json` and `images/`.

    The model looks at up to twelve frames a second. Tracks fill in what it missed for up to a second, and tell stable
    objects from doubtful ones, which are marked to be ignored (`iscrowd`). Pictures of a folder whose names count up
    are consecutive frames; others are photographs, each judged alone.
    """
    from training.teach.footage import find_footage
    from training.teach.label import LABELS, LabelOptions, label_footage
    from training.teach.smooth import Rules
    from training.teach.teacher import Teacher

    if every is not None and every_s is not None:
        raise UsageError("--every and --every-s: give one of them")
    options = LabelOptions(
        every=every, every_s=every_s, max_frames=max_frames, fps=fps, rules=Rules.from_confidence(min_confidence),
        licence=licence, source=source,
    )  # fmt: skip
    clips = find_footage(footage)
    with Teacher(teacher, split_names(classes), mirror) as opened:
        report = label_footage(clips, opened, out, options)
    lines = [f"{out / LABELS}: {len(report.dataset)} pictures, {report.num_looks} frames looked at"]
    counts = sorted(report.dataset.box_counts().items(), key=lambda item: -item[1])
    lines += [f"  {name:20} {count:6}" for name, count in counts if count]
    lines.append(f"  {report.num_filled} of them filled in; {report.num_doubtful} doubtful boxes to be ignored")
    print("\n".join(lines), file=sys.stderr)


def split_names(text: str | None) -> tuple[str, ...]:
    """Read a list of names with commas between them."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())
