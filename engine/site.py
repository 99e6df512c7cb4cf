"""A site: cameras, what to do with their frames, and where events go. The one description that every runner takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from engine.drift.settings import DriftSettings
from engine.errors import ConfigError, SourceError
from engine.load import load_class
from engine.operator import Sink, Source
from engine.pipeline import Pipeline
from engine.redact import Url

VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .m2ts .wmv .flv .3gp .ogv .mjpeg .h264 .264 .hevc .265".split()
)
MOTION = "motion"
"""In place of a model: no model, follow what moves."""


@dataclass(frozen=True)
class Camera:
    """One video source.

    Attributes:
        url: a stream or a file; never prints its password.
        kind: the source's kind; your own as `module:Class`.
        transport: of RTSP.
        when_behind: `drop_oldest` keeps the newest frame when analysis is behind, `wait` makes the source wait. By
            default live cameras drop and files wait.
        stall_after_s: a live camera without a frame for this long is down.
        gap_after_s: a stretch without analysis longer than this is published as `camera.gap`.
        motion_vectors: export the codec's motion vectors with each frame.
        max_frames: the camera ends after so many decoded frames.
        beside: the folder of the configuration, for one's own source kinds.
    """

    url: Url
    kind: str = "video"
    transport: Literal["tcp", "udp"] = "tcp"
    when_behind: Literal["drop_oldest", "wait"] | None = None
    stall_after_s: float = 5.0
    gap_after_s: float = 1.0
    motion_vectors: bool = False
    max_frames: int | None = None
    beside: Path | None = None

    def __post_init__(self) -> None:
        if self.max_frames is not None and self.max_frames < 1:
            raise ValueError(f"max_frames must be at least 1, got {self.max_frames}")
        for name in ("stall_after_s", "gap_after_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0 seconds, got {getattr(self, name)}")

    @property
    def live(self) -> bool:
        """True when frames come at their own pace: a URL that is not a file."""
        return is_url(self.url.reveal())

    def frame_limit(self, of_run: int | None) -> int | None:
        """The smaller of the camera's own limit and the run's; None without any."""
        return min((limit for limit in (self.max_frames, of_run) if limit is not None), default=None)

    @property
    def waits(self) -> bool:
        """True when the source waits for the analysis, so that no frame is dropped."""
        return self.when_behind == "wait" or (self.when_behind is None and not self.live)

    def make_source(self) -> Source:
        """Make one connection, not yet open."""
        options: dict[str, Any] = {"url": self.url.reveal()}
        if self.kind == "video":
            # The library's time-outs fire late; at half the stall time they still come before the watchdog gives up.
            options |= {
                "transport": self.transport,
                "read_timeout_s": self.stall_after_s / 2,
                "motion_vectors": self.motion_vectors,
            }
        return cast(Source, load_class(self.kind, self.beside)(**options))


@dataclass(frozen=True)
class Site:
    """Everything a run needs to know; `drift` None means that nobody watches for it."""

    name: str = "default"
    cameras: Mapping[str, Camera] = field(default_factory=dict)
    pipeline: Pipeline = field(default_factory=Pipeline)
    sinks: tuple[Sink, ...] = ()
    drift: DriftSettings | None = field(default_factory=DriftSettings)

    @classmethod
    def of_sources(
        cls, sources: Iterable[str], pipeline: Pipeline | None = None, events: str | Path | None = None
    ) -> Site:
        """Make a site from bare files, folders and URLs.

        Raises:
            SourceError: a file or folder does not exist, or a folder holds no video.
        """
        sinks: tuple[Sink, ...] = () if events is None else (load_class("jsonl")(path=str(events)),)
        return cls(cameras=name_sources(sources), pipeline=pipeline or default_pipeline(), sinks=sinks)

    def with_sinks(self, *sinks: Sink) -> Site:
        """Give a copy with more sinks."""
        return replace(self, sinks=(*self.sinks, *sinks))

    def with_steps(self, *operators: Any) -> Site:
        """Give a copy whose pipeline has more steps at its end."""
        pipeline = self.pipeline
        for operator in operators:
            pipeline = pipeline.then(operator)
        return replace(self, pipeline=pipeline)


def default_pipeline(
    model: str | None = None,
    tracker: str | None = None,
    classes: tuple[str, ...] = (),
    min_confidence: float | None = None,
    cadence: str | int = "every",
) -> Pipeline:
    """Make the pipeline of a run without a configuration: what a model knows, or what moves, followed.

    Args:
        model: a bundle or an ONNX file; None is the one that ships with Vedette, `motion` means none: what moves.
        tracker: its kind; `sort` by default.
        classes: only these; empty means all that the model knows. Motion has no class.
        min_confidence: of detections; None is the model's own. Motion has none.
        cadence: how often to look with a model.
    """
    pipeline = Pipeline()
    if model == MOTION:
        pipeline = pipeline.then(load_class("motion_blobs")())
    else:
        options = {} if min_confidence is None else {"min_confidence": min_confidence}
        pipeline = pipeline.then(load_class("detect")(model=model, classes=classes, cadence=cadence, **options))
        if cadence != "every":
            pipeline = pipeline.then(load_class("dis_flow")())
    return pipeline.then(load_class(tracker or "sort")(), name="track")


def is_url(text: str) -> bool:
    """Tell a URL from a path: a scheme of two letters or more, and `://`."""
    return re.match(r"^[a-zA-Z][a-zA-Z0-9+.-]+://", text) is not None


def name_sources(sources: Iterable[str]) -> dict[str, Camera]:
    """Name bare sources after their file, or their host and path; `-2` on collision.

    Raises:
        SourceError: a file or folder does not exist, or a folder holds no video.
    """
    cameras: dict[str, Camera] = {}
    for source in sources:
        for text in _expand(source):
            base = _name_of(text)
            name, number = base, 1
            while name in cameras:
                number += 1
                name = f"{base}-{number}"
            cameras[name] = Camera(Url(text))
    return cameras


def _expand(source: str) -> list[str]:
    if is_url(source):
        return [source]
    path = Path(source)
    if not path.exists():
        raise SourceError(f"{source}: no such file or folder")
    if not path.is_dir():
        return [source]
    videos = sorted(str(p) for p in path.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)
    if not videos:
        raise SourceError(f"{source}: this folder holds no video file ({', '.join(sorted(VIDEO_SUFFIXES))})")
    return videos


def _name_of(text: str) -> str:
    if not is_url(text):
        return Path(text).stem
    try:
        parts = urlsplit(text)
        host = parts.hostname or "camera"
    except ValueError as error:
        raise ConfigError(f"{Url(text)}: not a URL that can be read: {error}") from None
    words = [host, *re.findall(r"[A-Za-z0-9_]+", parts.path)]
    return "-".join(word.replace(".", "_") for word in words)
