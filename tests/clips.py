"""Clips for tests: a bright square wanders over a textured ground, encoded with what PyAV brings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from numpy.typing import NDArray

Bgr = NDArray[np.uint8]


def square_frames(count: int, size_wh: tuple[int, int] = (160, 120), seed: int = 0) -> list[Bgr]:
    """Make BGR pictures; the square moves two pixels a frame, the ground is the same in all of them."""
    width, height = size_wh
    ground = np.random.default_rng(seed).integers(40, 90, (height, width, 1), np.uint8).repeat(3, axis=2)
    side = max(1, min(width, height) // 4)
    frames = []
    for index in range(count):
        frame = ground.copy()
        left, top = (2 * index) % max(1, width - side), (height - side) // 2
        frame[top : top + side, left : left + side] = (40, 220, 230)
        frames.append(frame)
    return frames


def write_clip(
    path: Path,
    frames: Sequence[Bgr],
    codec: str = "libx264",
    fps: int = 25,
    gop: int = 25,
    b_frames: int = 0,
    pix_fmt: str = "yuv420p",
    pts: Sequence[int] | None = None,
    metadata: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
    container_format: str | None = None,
    container_options: Mapping[str, str] | None = None,
    full_range: bool = False,
    audio: bool = False,
) -> Path:
    """Encode pictures into a file; the container follows from the suffix.

    Args:
        path: what to write.
        frames: BGR pictures of one size.
        codec: an encoder of FFmpeg.
        fps: frames a second; times are multiples of it.
        gop: pictures from key frame to key frame, exactly (no scene cuts).
        b_frames: how many at most between two references.
        pix_fmt: what the encoder gets.
        pts: frame times in units of 1/fps, for uneven ones.
        metadata: goes into the container, such as `creation_time`.
        options: of the encoder, over the defaults here.
        container_format: where the suffix does not tell.
        container_options: of the muxer.
        full_range: mark and convert as 0..255.
        audio: add a silent audio track.
    """
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w", format=container_format, options=dict(container_options or {})) as container:
        container.metadata.update(metadata or {})
        stream = cast(av.VideoStream, container.add_stream(codec, rate=fps))
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        context = stream.codec_context
        context.time_base = Fraction(1, fps)
        context.gop_size = gop
        context.max_b_frames = b_frames
        context.thread_count = 1
        context.options = {**_encoder_options(codec, gop, b_frames), **(options or {})}
        if full_range:
            context.color_range = 2
        sound = cast(Any, container.add_stream("aac", rate=8000)) if audio else None
        for index, bgr in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(bgr, format="bgr24")
            picture = picture.reformat(format=pix_fmt, dst_color_range=2 if full_range else None)
            picture.pts = pts[index] if pts is not None else index
            picture.time_base = Fraction(1, fps)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if sound is not None:
            _add_silence(container, sound, len(frames) / fps)
    return path


def write_audio(path: Path, seconds: float = 0.5) -> Path:
    """Write a file with nothing but silence in it."""
    with av.open(str(path), "w") as container:
        _add_silence(container, cast(Any, container.add_stream("aac", rate=8000)), seconds)
    return path


def write_annexb(path: Path, frames: Sequence[Bgr], fps: int = 25, gop: int = 25, **options: str) -> Path:
    """Write bare H.264 with an access unit delimiter before each picture, as the RTSP test server needs it."""
    return write_clip(
        path,
        frames,
        fps=fps,
        gop=gop,
        container_format="h264",
        options={"x264-params": _x264(gop, 0, aud=1), **options},
    )


def join(path: Path, parts: Iterable[Path]) -> Path:
    """Put files one after the other: bare H.264 and MPEG-TS stay playable."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def _encoder_options(codec: str, gop: int, b_frames: int) -> dict[str, str]:
    if codec == "libx264":
        return {"preset": "veryfast", "x264-params": _x264(gop, b_frames)}
    if codec == "libx265":
        return {"preset": "ultrafast", "x265-params": f"keyint={gop}:min-keyint={gop}:scenecut=0:log-level=none"}
    return {}


def _x264(gop: int, b_frames: int, aud: int = 0) -> str:
    return f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={b_frames}:b-adapt=0:aud={aud}:threads=1"


def _add_silence(container: Any, stream: Any, seconds: float) -> None:
    samples = 1024
    for start in range(0, round(seconds * 8000), samples):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
