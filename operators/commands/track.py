"""`vedette track`: a tracker alone, on detections that somebody else has made."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import SourceError, UsageError

if TYPE_CHECKING:
    from engine.frame import Frame
    from engine.mot import MotTable
    from engine.operator import Operator
    from engine.packet import Packet


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("track")(track)


def track(
    detections: Annotated[Path, typer.Argument(metavar="DET.txt", help="MOTChallenge detections.", show_default=False)],
    fps: Annotated[float, typer.Option(help="Frames a second.", show_default=False)],
    frame_wh: Annotated[str, typer.Option(metavar="W,H", help="Size of the frames in pixels.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="MOT.txt", help="The results file.", show_default=False)],
    tracker: Annotated[str, typer.Option(metavar="KIND", help="sort, oc_sort, sort_reference or your own.")] = "sort",
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A field of the tracker; may be repeated.")
    ] = None,
    cadence: Annotated[int, typer.Option(min=1, help="Use only every N-th frame's detections.")] = 1,
    flow_from: Annotated[Path | None, typer.Option(metavar="VIDEO", help="Carry boxes by flow in this video.")] = None,
    flow: Annotated[str, typer.Option(metavar="KIND", help="How the flow is computed.")] = "dis_flow",
) -> None:
    """Turn detections into tracks, both as MOTChallenge text."""
    import time

    from engine.load import load_class
    from engine.mot import read_mot

    if not fps > 0:
        raise UsageError(f"--fps {fps}: must be above 0")
    steps = [_tracker(tracker, option or []), load_class("mot_writer")(path=str(out).replace("{camera}", "camera"))]
    table = read_mot(detections)
    frames = _blank_frames(table.last_frame, fps, _size(frame_wh))
    if flow_from is not None:
        steps.insert(0, load_class(flow)(always=True))
        frames = _video_frames(flow_from, table.last_frame, fps)
    tracking_s = 0.0
    opened: list[Operator] = []
    try:
        for step in steps:
            opened.append(step)
            step.open()
        for packet in _packets(frames, table, cadence):
            started_s = time.perf_counter()
            for step in steps:
                packet = step.process(packet)
            tracking_s += time.perf_counter() - started_s
    finally:
        for step in opened:
            step.close()
    rate = f"{table.last_frame / tracking_s:.0f} frames a second" if tracking_s else "no frame"
    print(f"{out}: {len(table)} detections in {table.last_frame} frames, {rate}", file=sys.stderr)


def _tracker(kind: str, options: list[str]) -> Operator:
    from engine.config import build
    from engine.load import load_class

    found = load_class(kind)
    if "tracks" not in getattr(found, "writes", ()):
        raise UsageError(f"--tracker {kind}: is no tracker: it does not write 'tracks'")
    given: dict[str, Any] = {}
    for text in options:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--option {text}: expected NAME=VALUE, such as max_coast_s=2")
        given[name] = _value(value)
    operator: Operator = build(found, given, "--option", kind)
    return operator


def _value(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        width, height = 0, 0
    if width < 1 or height < 1:
        raise UsageError(f"--frame-wh {text}: expected width,height in pixels, such as 1920,1080")
    return width, height


def _blank_frames(count: int, fps: float, size_wh: tuple[int, int]) -> Iterator[Frame]:
    import numpy as np

    from engine.frame import CaptureTime, Frame
    from engine.picture import Picture

    # One grey level for all pixels: a frame of any size without its memory.
    picture = Picture((np.broadcast_to(np.uint8(0), size_wh[::-1]),), "gray")
    for index in range(count):
        pts_us = round(index * 1_000_000 / fps)
        yield Frame("camera", 0, index, pts_us, CaptureTime(pts_us), picture)


def _video_frames(path: Path, count: int, fps: float) -> Iterator[Frame]:
    from engine.frame import CaptureTime, Frame
    from engine.load import load_class

    video = load_class("video")(url=str(path))
    try:
        video.open()
        index = -1
        for index, source_frame in enumerate(video.frames()):
            if index >= count:
                return
            pts_us = round(index * 1_000_000 / fps)
            yield Frame("camera", 0, index, pts_us, CaptureTime(pts_us), source_frame.picture)
        if index + 1 < count:
            raise SourceError(f"{path}: holds {index + 1} frames where the detections have {count}")
    finally:
        video.close()


def _packets(frames: Iterator[Frame], table: MotTable, cadence: int) -> Iterator[Packet]:
    from engine.packet import Packet

    for frame, rows in zip(frames, table.by_frame(table.last_frame), strict=False):
        looked = frame.index % cadence == 0
        yield Packet(frame, detections=rows.detections() if looked else None)
