"""`vedette probe URL`: what a camera or file offers, or in one sentence what is wrong with it."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from dataclasses import dataclass
from typing import Any, Literal

import typer

LOOK_S = 2.0
# A file gives pictures faster than it plays; this much of its own time is enough to see its key frames.
LOOK_FILE_S = 20.0


@dataclass(frozen=True)
class ProbeReport:
    """What was seen in a short look at a source.

    Attributes:
        url: without its credentials.
        live: it goes on at its own pace.
        facts: what the stream says about itself, see VideoFacts in operators/video.py.
        num_frames: pictures that were decoded.
        num_corrupt: those of them that cannot be trusted.
        measured_fps: by stream time; None with less than two pictures.
        key_every_frames: pictures from key frame to key frame, the longest seen; None if there was only one.
        key_every_s: the same in stream time.
        epochs: how often time or size broke, plus one.
        first_frame_s: from connecting to the first picture.
        clock: where capture times will come from.
        uncertainty_ms: how far they may be off.
        recorded: when the recording began, if the file says so (RFC 3339).
    """

    url: str
    live: bool
    facts: Any
    num_frames: int
    num_corrupt: int
    measured_fps: float | None
    key_every_frames: int | None
    key_every_s: float | None
    epochs: int
    first_frame_s: float
    clock: str
    uncertainty_ms: int
    recorded: str | None


@dataclass(frozen=True)
class _Seen:
    """A frame without its pixels: keeping those would hold the decoder's buffers."""

    epoch: int
    index: int
    pts_s: float
    is_key: bool


def look(url: str, transport: Literal["tcp", "udp"] = "tcp", seconds: float = LOOK_S) -> ProbeReport:
    """Connect, and look at what comes for a while.

    Raises:
        SourceError: it cannot be used; the text says what is wrong and what to do.
    """
    from engine.clock import Timeline
    from engine.errors import Cause, SourceError
    from engine.load import load_class

    source = load_class("video")(url=url, transport=transport, all_media=True)
    started_s = time.monotonic()
    frames: list[_Seen] = []
    num_corrupt = 0
    first_frame_s = 0.0
    try:
        source.open()
        timeline = Timeline("probe", 0, source.live, source.starts_unix_us, source.nominal_fps)
        for source_frame in source.frames():
            now_s = time.monotonic()
            first_frame_s = first_frame_s or now_s - started_s
            frame = timeline.stamp(source_frame, round(time.time() * 1_000_000))
            frames.append(_Seen(frame.epoch, frame.index, frame.pts_s, frame.is_key))
            captured = frame.captured
            num_corrupt += source_frame.is_corrupt
            seen_s = frame.pts_s - frames[0].pts_s
            if now_s - started_s - first_frame_s > seconds or (not source.live and seen_s > LOOK_FILE_S):
                break
        if num_corrupt == len(frames):
            text = f"{source.url}: none of its first {len(frames)} pictures is whole; there was no key frame in them"
            raise SourceError(text, Cause.CODEC)
        keys = [frame for frame in frames if frame.is_key]
        span_s = frames[-1].pts_s - frames[0].pts_s
        one_epoch = frames[-1].epoch == frames[0].epoch
        pairs = [(a, b) for a, b in itertools.pairwise(keys) if a.epoch == b.epoch]
        return ProbeReport(
            url=str(source.url),
            live=source.live,
            facts=source.facts(),
            num_frames=len(frames),
            num_corrupt=num_corrupt,
            measured_fps=(len(frames) - 1) / span_s if one_epoch and span_s > 0 else None,
            key_every_frames=max((b.index - a.index for a, b in pairs), default=None),
            key_every_s=max((b.pts_s - a.pts_s for a, b in pairs), default=None),
            epochs=frames[-1].epoch + 1,
            first_frame_s=first_frame_s,
            clock=captured.clock,
            uncertainty_ms=captured.uncertainty_ms,
            recorded=_rfc3339(source.starts_unix_us),
        )
    finally:
        source.close()


def describe(report: ProbeReport) -> list[str]:
    """Give the report as lines for a person."""
    facts = report.facts
    declared = f"{facts.fps:.2f} fps declared" if facts.fps else "no rate declared"
    measured = f"{report.measured_fps:.2f} measured" if report.measured_fps else "too short to measure"
    keys = f"none but the first in {report.num_frames} pictures"
    if report.key_every_frames is not None and report.key_every_s is not None:
        keys = f"every {report.key_every_frames} pictures ({report.key_every_s:.2f} s)"
    clock = f"{report.clock} (may be off by {report.uncertainty_ms} ms)"
    if not report.live:
        clock = f"container, recorded {report.recorded}" if report.recorded else "container; it does not say when"
    profile = f" {facts.profile}" if facts.profile else ""
    duration = f", {facts.duration_s:.1f} s" if facts.duration_s else ""
    rows = {
        "container": facts.container + (f" over {facts.transport}" if facts.transport else "") + duration,
        "video": f"{facts.codec}{profile}, {facts.size_wh[0]}x{facts.size_wh[1]}, {facts.pixel_format}",
        "rate": f"{declared}, {measured}",
        "key frames": keys,
        "B-frames": "yes" if facts.has_b_frames else "no",
        "not read": ", ".join(facts.others) or "nothing",
        "first picture": f"after {report.first_frame_s:.2f} s",
        "clock": clock,
    }
    if report.num_corrupt:
        rows["damaged"] = f"{report.num_corrupt} of {report.num_frames} pictures; they will be left out"
    if report.epochs > 1:
        rows["breaks"] = f"time or size broke {report.epochs - 1} times"
    return [report.url, *(f"  {name:<13} {value}" for name, value in rows.items())]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def probe(
        url: str = typer.Argument(help="A camera's address, or a file."),
        transport: str = typer.Option("tcp", help="Of RTSP: tcp or udp."),
        seconds: float = typer.Option(LOOK_S, "--for", min=0.1, help="How long to look, in seconds."),
        as_json: bool = typer.Option(False, "--json", help="Print it for a program."),
    ) -> None:
        """Connect to a camera and say what it offers, or what is wrong."""
        from engine.errors import UsageError

        if transport not in ("tcp", "udp"):
            raise UsageError(f"--transport must be tcp or udp, got '{transport}'")
        report = look(url, "tcp" if transport == "tcp" else "udp", seconds)
        text = json.dumps(dataclasses.asdict(report), indent=2) if as_json else "\n".join(describe(report))
        typer.echo(text)


def _rfc3339(unix_us: int | None) -> str | None:
    from datetime import UTC, datetime

    return None if unix_us is None else datetime.fromtimestamp(unix_us / 1e6, UTC).isoformat().replace("+00:00", "Z")
