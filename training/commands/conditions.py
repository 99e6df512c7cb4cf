"""`vedette conditions`: see production conditions on a picture of one's own, or worsen a recording with one."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import SourceError, UsageError

if TYPE_CHECKING:
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
    crf: Annotated[int | None, typer.Option(min=0, max=51, help="Code a video this hard; 23 is usual.")] = None,
    from_s: Annotated[float, typer.Option(min=0, help="A video is worsened from here on.")] = 0.0,
    to_s: Annotated[float | None, typer.Option(min=0, help="And up to here.", show_default="its end")] = None,
    ramp_s: Annotated[float, typer.Option(min=0, help="It comes, and goes, in this time.")] = 0.0,
    loop_for_s: Annotated[float | None, typer.Option(min=0, help="Repeat a video up to this length.")] = None,
    strengths: Annotated[str, typer.Option(metavar="A,B", help="Columns of the sheet.")] = "0.25,0.5,1",
    at_s: Annotated[float, typer.Option(min=0, help="Which picture of a video the sheet shows.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of what is random.")] = 0,
) -> None:  # fmt: skip
    """Show night, rain, fog and the other production conditions on a picture, or apply some to a picture or video.

    They are the same that training varies and that `evaluate detections --conditions` tries. A video can also be
    `moved`, `covered` or `frozen`, or coded harder with --crf.
    """
    is_image = source.suffix.lower() in _IMAGES
    of_video = {
        "--crf": crf is not None, "--from-s": from_s > 0, "--to-s": to_s is not None, "--ramp-s": ramp_s > 0,
        "--loop-for-s": loop_for_s is not None,
    }  # fmt: skip
    given = [option for option, is_given in of_video.items() if is_given]
    if given and (is_image or (apply is None and crf is None)):
        raise UsageError(f"{given[0]}: is for worsening a video, with --apply or --crf")
    if to_s is not None and to_s <= from_s:
        raise UsageError(f"--to-s {to_s:g}: must be after --from-s {from_s:g}")
    if apply is not None and is_image:
        _worsen_image(source, out, _names(apply), strength, seed)
    elif apply is not None or crf is not None:
        names = [] if apply is None else _names(apply)
        _worsen_video(source, out, names, strength, seed, crf, (from_s, to_s, ramp_s), loop_for_s)
    else:
        _draw_sheet(source, out, strengths, at_s, seed)


def _draw_sheet(source: Path, out: Path, strengths: str, at_s: float, seed: int) -> None:
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


def _names(apply: str) -> list[str]:
    from engine.load import did_you_mean
    from training.augment.worsening import WORSENINGS

    names = [name.strip() for name in apply.split(",") if name.strip()]
    if not names:
        raise UsageError(f"--apply: names no condition; known: {', '.join(WORSENINGS)}")
    for name in names:
        if name not in WORSENINGS:
            raise UsageError(f"--apply: unknown condition '{name}'{did_you_mean(name, WORSENINGS)}")
    return names


def _worsen_image(source: Path, out: Path, names: list[str], strength: float, seed: int) -> None:
    from training.augment.worsening import FROZEN, Worsening

    _expect_suffix(source, out, _IMAGES)
    if FROZEN in names:
        raise UsageError(f"--apply: '{FROZEN}' needs a video, {source.name} is a picture")
    _write_image(out, Worsening(names, strength, seed)(_read_image(source), 0))


def _worsen_video(
    source: Path, out: Path, names: list[str], strength: float, seed: int, crf: int | None,
    stretch: tuple[float, float | None, float], loop_for_s: float | None,
) -> None:  # fmt: skip
    from engine.progress import FrameProgress
    from training.augment.worsening import Stretch, Worsening
    from training.worsened_video import looped, read_video, worsen_video

    _expect_suffix(source, out, (".mp4",))
    from_s, to_s, ramp_s = stretch
    when = Stretch(from_s, math.inf if to_s is None else to_s, ramp_s)
    worsening = (lambda: Worsening(names, strength, seed)) if names else None
    with FrameProgress("conditions", {source.name: None}) as progress:
        worsen_video(
            lambda: looped(lambda: read_video(source), loop_for_s), out, worsening, when, crf,
            tick=lambda: progress.frame(source.name),
        )  # fmt: skip


def _expect_suffix(source: Path, out: Path, expected: tuple[str, ...]) -> None:
    if out.suffix.lower() not in expected:
        raise UsageError(f"--out {out}: must end in {', '.join(expected)}, as {source.name} is what it is made of")


def _read_image(path: Path) -> Pixels:
    from engine.picture import Picture

    return Picture.read(path).bgr()


def _picture_at(video: Path, at_s: float) -> Pixels:
    from training.worsened_video import looped, read_video

    for frame in looped(lambda: read_video(video), None):
        if frame.pts_s >= at_s:
            return frame.picture.bgr()
    raise SourceError(f"{video}: --at-s {at_s:g}: the last frame is at {frame.pts_s:.2f} s")


def _write_image(path: Path, bgr: Pixels) -> None:
    from training.augment.sheet import write_image

    try:
        write_image(path, bgr)
    except OSError as error:
        raise UsageError(f"--out {path}: cannot be written: {error.strerror}") from None
