"""From a source to frames that may be analysed: stamped, whole, and none before the first key frame."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from engine.clock import Timeline
from engine.errors import Cause, SourceError, VedetteError
from engine.frame import Frame
from engine.operator import Source
from engine.redact import redact
from engine.summary import CameraSummary

logger = logging.getLogger(__name__)


def read_frames(
    camera: str,
    source: Source,
    first_epoch: int,
    counts: CameraSummary,
    now_unix_us: Callable[[], int] | None = None,
    on_frame: Callable[[], None] | None = None,
) -> Iterator[Frame]:
    """Yield one connection's frames in order; corrupt ones are counted and left out.

    Args:
        camera: the camera's name.
        source: open; the caller closes it.
        first_epoch: epoch of the first frame.
        counts: is kept up to date.
        now_unix_us: wall clock, for live sources.
        on_frame: called for every decoded frame, corrupt ones too: the camera is alive.

    Raises:
        SourceError: the source failed, or a recording held no frame at all.
    """
    nominal_fps = getattr(source, "nominal_fps", None)
    timeline = Timeline(camera, first_epoch, source.live, source.starts_unix_us, nominal_fps)
    seen_key = False
    try:
        for source_frame in source.frames():
            counts.frames_decoded += 1
            if on_frame is not None:
                on_frame()
            frame = timeline.stamp(source_frame, now_unix_us() if now_unix_us is not None else None)
            seen_key = seen_key or source_frame.is_key
            if source_frame.is_corrupt or not seen_key:
                counts.frames_corrupt += 1
                continue
            yield frame
    except VedetteError:
        raise
    except Exception as error:
        logger.exception("camera '%s': the source failed", camera)
        text = redact(f"camera '{camera}': the source failed: {type(error).__name__}: {error}")
        raise SourceError(text, Cause.INTERNAL) from None
    if timeline.num_frames == 0 and not source.live:
        raise SourceError(f"camera '{camera}': the recording holds no video frame that can be decoded")
