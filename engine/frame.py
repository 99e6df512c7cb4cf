"""Frames: a picture and where in which camera's time it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from engine.picture import Picture

ClockName = Literal["rtcp", "container", "arrival"]


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """What a source yields: a picture with the container's own time, before anyone has made sense of it.

    Attributes:
        picture: the decoded picture.
        pts_s: presentation time as the container states it, None where it states none.
        is_key: the decoder needed no other picture for this one.
        is_corrupt: the decoder says that part of the picture is made up.
        motion_vectors: the codec's motion vectors, exported by the decoder, if asked for: a structured array with
            fields `source`, `w`, `h`, `src_x`, `src_y`, `dst_x`, `dst_y`, `motion_x`, `motion_y`, `motion_scale`.
    """

    picture: Picture
    pts_s: float | None
    is_key: bool = False
    is_corrupt: bool = False
    motion_vectors: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True)
class CaptureTime:
    """When a picture was taken, and how far that may be off.

    Attributes:
        unix_us: microseconds since 1970-01-01 UTC.
        clock: where the time came from.
        uncertainty_ms: how far it may be off.
    """

    unix_us: int
    clock: ClockName = "container"
    uncertainty_ms: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of one camera.

    Attributes:
        camera: the camera's name.
        epoch: grows at every (re)connection, clock reset and change of size; (epoch, pts_us) only moves forward.
        index: position among all frames that this connection decoded, from 0; dropped frames count.
        pts_us: stream time in microseconds.
        captured: wall time of the picture, metadata only.
        picture: the pixels.
        motion_vectors: see SourceFrame; those of frames dropped in between are not merged.
    """

    camera: str
    epoch: int
    index: int
    pts_us: int
    captured: CaptureTime
    picture: Picture
    is_key: bool = False
    motion_vectors: NDArray[Any] | None = None

    @property
    def pts_s(self) -> float:
        """Stream time in seconds."""
        return self.pts_us / 1_000_000

    @property
    def size_wh(self) -> tuple[int, int]:
        """Size of the source frame in pixels."""
        return self.picture.size_wh
