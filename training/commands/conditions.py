"""`vedette conditions`: see production conditions on a picture of one's own, or worsen a recording with one."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import SourceError, UsageError

if TYPE_CHECKING:
    from engine.frame import Frame
    from engine.picture import Pixels

_IMAGES = (".jpg", ".jpeg", ".png")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("conditions")(conditions)


def conditions(
    source: Annotated[Path, typer.Argument(metavar="IMAGE|VIDEO", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Ends in .jpg, .png or .mp4.", show_default=False)],
    apply: Annotated[str | None, typer.Option(metavar="A,B", help="Worsen SOURCE by these; no sheet.")] = None,
    strength: Annotated[float, typer.Option(min=0, max=1, help="How much, with --apply.")] = 0.5,
    strengths: Annotated[str, typer.Option(metavar="A,B", help="Columns of the sheet.")] = "0.25,0.5,1",
    at_s: Annotated[float, typer.Option(min=0, help="Which picture of a video the sheet shows.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of what is random.")] = 0,
) -> None:  # fmt: skip
    """Show night, rain, fog and the other production conditions on a picture, or apply some to a picture or video.

    They are the same that training varies and that `evaluate detections --conditions` tries.
    """
    if apply is not None:
        names = [name.strip() for name in apply.split(",") if name.strip()]
        _worsen(source, out, names, strength, seed)
        return
    from training.augment.sheet import condition_sheet

    columns = _strengths(strengths)
    if out.suffix.lower() not in _IMAGES:
        raise UsageError(f"--out {out}: a sheet is a picture, its name must end in {', '.join(_IMAGES)}")
    picture = _read_image(source) if source.suffix.lower() in _IMAGES else _picture_at(source, at_s)
    _write_image(out, condition_sheet(picture, columns, seed))
    print(f"{out}: {source.name} under every condition", file=sys.stderr)


def _strengths(text: str) -> list[float]:
    try:
        found = [float(word) for word in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 <= strength <= 1 for strength in found):
        raise UsageError(f"--strengths: expected numbers from 0 to 1 with commas between them, got '{text}'")
    return found


def _worsen(source: Path, out: Path, names: list[str], strength: float, seed: int) -> None:
    import numpy as np

    from engine.load import did_you_mean, load_class
    from engine.packet import Packet
    from engine.picture import Picture
    from engine.progress import FrameProgress
    from training.augment.conditions import CONDITIONS, apply_condition

    if not names:
        raise UsageError(f"--apply: names no condition; known: {', '.join(CONDITIONS)}")
    for name in names:
        if name not in CONDITIONS:
            raise UsageError(f"--apply: unknown condition '{name}'{did_you_mean(name, CONDITIONS)}")
    is_image = source.suffix.lower() in _IMAGES
    expected = _IMAGES if is_image else (".mp4",)
    if out.suffix.lower() not in expected:
        raise UsageError(f"--out {out}: must end in {', '.join(expected)}, as {source.name} is what it is made of")

    def worsened(bgr: Pixels, index: int) -> Pixels:
        rng = np.random.default_rng((seed, index))
        for name in CONDITIONS:
            if name in names:
                bgr = apply_condition(name, bgr, strength, rng, scene=seed)
        return bgr

    if is_image:
        _write_image(out, worsened(_read_image(source), 0))
        return
    partial = out.with_name(f".{out.stem}.partial.mp4")
    # The tap that draws boxes draws none where there are none, and writes H.264 in stream time.
    writer = load_class("annotate")(path=str(partial))
    writer.open()
    try:
        with FrameProgress("conditions", {source.name: None}) as progress:
            for frame in _frames(source):
                picture = Picture.from_bgr(worsened(frame.picture.bgr(), frame.index))
                writer.process(Packet(dataclasses.replace(frame, picture=picture)))
                progress.frame(source.name)
        writer.close()
        partial.replace(out)
    finally:
        writer.close()
        partial.unlink(missing_ok=True)


def _read_image(path: Path) -> Pixels:
    from engine.picture import Picture

    return Picture.read(path).bgr()


def _picture_at(video: Path, at_s: float) -> Pixels:
    first_us: int | None = None
    last_s = 0.0
    for frame in _frames(video):
        first_us = frame.pts_us if first_us is None else first_us
        last_s = (frame.pts_us - first_us) / 1e6
        if last_s >= at_s:
            return frame.picture.bgr()
    raise SourceError(f"{video}: --at-s {at_s:g}: the last frame is at {last_s:.2f} s")


def _frames(path: Path) -> Iterator[Frame]:
    from engine.feed import read_frames
    from engine.load import load_class
    from engine.summary import CameraSummary

    if not path.is_file():
        raise SourceError(f"{path}: no such file")
    video = load_class("video")(url=str(path))
    try:
        video.open()
        yield from read_frames(path.stem, video, 0, CameraSummary())
    finally:
        video.close()


def _write_image(path: Path, bgr: Pixels) -> None:
    from training.augment.sheet import write_image

    try:
        write_image(path, bgr)
    except OSError as error:
        raise UsageError(f"--out {path}: cannot be written: {error.strerror}") from None
