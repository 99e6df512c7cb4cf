"""Draw what was found on a copy of the picture; write an H.264 video, a snapshot of the busiest frame, or both.

Confirmed tracks get a box in a colour of their own with id, class and confidence; coasting ones are drawn thin, as
nobody has seen them just now; unconfirmed ones grey and without text. The video keeps stream time, so that frames left
out (it is a tap, and a runner may leave packets out) do not shift it; after a gap in epochs it goes on where it was.
Frames of another size are fitted into the size of the first. The video can be played after `close()`; the snapshot is
written at the end of each epoch and at `close()`.

Absent input: where `tracks` is None the detections are drawn instead; where those are None too, the bare picture.

Cost per frame: about 4 ms at 640x360 for the video, nearly all of it the encoder; a copy of the picture for a snapshot.

Example:
    - annotate: {path: "out/{camera}.mp4"}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar, cast

import av
import cv2
import numpy as np

from engine.detections import Detections
from engine.errors import ConfigError
from engine.event import Event
from engine.operator import FlushReason, Operator
from engine.packet import Packet
from engine.picture import Pixels
from engine.tracks import Tracks

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]

TIME_BASE = Fraction(1, 90_000)
# Between the last frame of one epoch and the first of the next: as if nothing had been in between.
EPOCH_STEP_US = 40_000
# x264 refuses pictures of a few pixels; smaller ones get a border.
MIN_SIDE = 16
GREY: Colour = (160, 160, 160)


@dataclass
class Annotate(Operator):
    """Write the annotated picture to files.

    Attributes:
        path: video to write, ending in .mp4; `{camera}` stands for the camera's name. Empty for no video.
        snapshot: picture to write, ending in .png or .jpg; `{camera}` likewise. Empty for none.
        crf: constant rate factor of x264, 0 to 51: less is finer and larger.
    """

    path: str = ""
    snapshot: str = ""
    crf: int = 23

    reads: ClassVar[Sequence[str]] = ()
    writes: ClassVar[Sequence[str]] = ()
    tap: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.path and not self.snapshot:
            raise ValueError("path: say where to write: `path` for a video, `snapshot` for a picture, or both")
        if self.path and Path(self.path).suffix != ".mp4":
            raise ValueError(f"path: must end in .mp4, got '{self.path}'")
        if self.snapshot and Path(self.snapshot).suffix not in (".png", ".jpg"):
            raise ValueError(f"snapshot: must end in .png or .jpg, got '{self.snapshot}'")
        if not 0 <= self.crf <= 51:
            raise ValueError(f"crf: must be from 0 to 51, got {self.crf}")

    def open(self) -> None:
        """Start with no file; files are made with the first frame, which names the camera."""
        self._video: _Video | None = None
        self._busiest: Pixels | None = None
        self._most = 0
        self._snapshot_path = Path()

    def process(self, packet: Packet) -> Packet:
        """Draw the packet and write it."""
        frame = packet.frame
        tracks = packet.tracks
        shown = 0 if tracks is None else int((tracks.confirmed & (tracks.coasted_s == 0)).sum())
        # The later one of two equally busy frames: boxes have settled by then.
        busiest = bool(self.snapshot) and (self._busiest is None or shown >= self._most)
        if not self.path and not busiest:
            return packet
        picture = draw(packet)
        if self.path:
            if self._video is None:
                self._video = _Video(_prepare(self.path, frame.camera), picture, self.crf)
            self._video.write(picture, frame.pts_us, frame.epoch)
        if busiest:
            if self._busiest is None:
                self._snapshot_path = _prepare(self.snapshot, frame.camera)
            self._busiest, self._most = picture, shown
        return packet

    def flush(self, reason: FlushReason) -> tuple[Event, ...]:
        """Write the snapshot; the video goes on."""
        if self._busiest is not None:
            encoded, data = cv2.imencode(self._snapshot_path.suffix, self._busiest)
            if not encoded:
                raise ConfigError(f"annotate: cannot encode the snapshot {self._snapshot_path}")
            try:
                self._snapshot_path.write_bytes(data.tobytes())
            except OSError as error:
                raise _cannot_write(self._snapshot_path, error) from error
            self._busiest, self._most = None, 0
        return ()

    def close(self) -> None:
        """Finish the files."""
        if not hasattr(self, "_video"):
            return
        try:
            self.flush("shutdown")
        finally:
            if self._video is not None:
                self._video.close()
                self._video = None


def _prepare(template: str, camera: str) -> Path:
    # A camera's name may come from a URL; it must not lead into another folder.
    path = Path(template.replace("{camera}", camera.replace("/", "_")))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error
    return path


def _cannot_write(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"annotate: cannot write {path}: {error.strerror or error}; give a place that can be written")


class _Video:
    """An H.264 file that grows by pictures with stream times."""

    def __init__(self, path: Path, first: Pixels, crf: int) -> None:
        height, width = first.shape[:2]
        self.size_wh = (max(MIN_SIDE, width + width % 2), max(MIN_SIDE, height + height % 2))
        options = {"preset": "veryfast", "crf": str(crf), "bf": "0", "threads": "1"}
        try:
            self.container = av.open(str(path), "w", format="mp4")
            self.stream = self.container.add_stream("libx264", rate=25, options=options)
            self.stream.width, self.stream.height = self.size_wh
            self.stream.pix_fmt = "yuv420p"
            self.stream.codec_context.time_base = TIME_BASE
            # Otherwise the file is made when the encoder gives its first picture, many frames later.
            self.container.start_encoding()
        except OSError as error:
            raise _cannot_write(path, error) from error
        self.shift_us = 0
        self.epoch: int | None = None
        self.last_us = -EPOCH_STEP_US

    def write(self, picture: Pixels, pts_us: int, epoch: int) -> None:
        """Encode one picture; time starts at 0 and never goes back."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.shift_us = self.last_us + EPOCH_STEP_US - pts_us
        self.last_us = max(self.last_us + 1000, pts_us + self.shift_us)
        frame = av.VideoFrame.from_ndarray(self._fit(picture), format="bgr24").reformat(format="yuv420p")
        frame.pts = round(self.last_us * 90 / 1000)
        frame.time_base = TIME_BASE
        self.container.mux(self.stream.encode(frame))

    def close(self) -> None:
        """Write what the encoder holds back, and the index."""
        try:
            self.container.mux(self.stream.encode(None))
        finally:
            self.container.close()

    def _fit(self, picture: Pixels) -> Pixels:
        height, width = picture.shape[:2]
        scale = min(1.0, self.size_wh[0] / width, self.size_wh[1] / height)
        if scale < 1:
            picture = cast(Pixels, cv2.resize(picture, (max(1, int(width * scale)), max(1, int(height * scale)))))
            height, width = picture.shape[:2]
        right, bottom = self.size_wh[0] - width, self.size_wh[1] - height
        if not right and not bottom:
            return picture
        return cast(Pixels, cv2.copyMakeBorder(picture, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=(0, 0, 0)))


def draw(packet: Packet) -> Pixels:
    """Give a BGR copy of the packet's picture with its tracks drawn on it, or its detections where there are none."""
    canvas = packet.frame.picture.bgr().copy()
    scale = max(0.35, canvas.shape[0] / 1000)
    if packet.tracks is not None:
        _draw_tracks(canvas, packet.tracks, scale)
    elif packet.detections is not None:
        _draw_detections(canvas, packet.detections, scale)
    return canvas


def _draw_tracks(canvas: Pixels, tracks: Tracks, scale: float) -> None:
    for row in range(len(tracks)):
        if not tracks.confirmed[row]:
            _draw_box(canvas, _corners(tracks, row), GREY, 1)
            continue
        track_id = int(tracks.track_id[row])
        attributes = tracks.attributes.get(track_id, {}).values()
        text = " ".join(
            [f"{track_id} {tracks.label(row)} {tracks.confidence[row]:.2f}", *(a.label for a in attributes)]
        )
        thickness = 1 if tracks.coasted_s[row] > 0 else 2
        _draw_box(canvas, _corners(tracks, row), colour_of(track_id), thickness)
        _draw_text(canvas, _corners(tracks, row), text, colour_of(track_id), scale)


def _draw_detections(canvas: Pixels, detections: Detections, scale: float) -> None:
    for row in range(len(detections)):
        colour = colour_of(int(detections.class_id[row]))
        text = f"{detections.label(row)} {detections.confidence[row]:.2f}"
        _draw_box(canvas, _corners(detections, row), colour, 2)
        _draw_text(canvas, _corners(detections, row), text, colour, scale)


def _corners(table: Tracks | Detections, row: int) -> Box:
    x1, y1, x2, y2 = (round(float(v)) for v in np.clip(table.xyxy[row], -32_000, 32_000))
    return x1, y1, x2 - 1, y2 - 1


def _draw_box(canvas: Pixels, box: Box, colour: Colour, thickness: int) -> None:
    cv2.rectangle(canvas, box[:2], box[2:], colour, thickness)


def _draw_text(canvas: Pixels, box: Box, text: str, colour: Colour, scale: float) -> None:
    """Put a label on the box's upper edge, moved into the picture where it would stick out."""
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    x = max(0, min(box[0], canvas.shape[1] - width))
    y = max(height + below, box[1])
    cv2.rectangle(canvas, (x, y - height - below), (x + width, y), colour, cv2.FILLED)
    cv2.putText(canvas, text, (x, y - below), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)


def colour_of(number: int) -> Colour:
    """Give a bright BGR colour; neighbouring numbers get very different hues (steps of the golden angle)."""
    hue = round(number * 180 * 0.381966) % 180
    bright = cv2.cvtColor(np.array([[[hue, 170, 255]]], np.uint8), cv2.COLOR_HSV2BGR)
    blue, green, red = (int(v) for v in bright[0, 0])
    return blue, green, red
