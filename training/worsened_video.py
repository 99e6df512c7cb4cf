"""Write a recording anew, worsened for a stretch of it: made footage for drift tests."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from engine.errors import SourceError
from engine.feed import read_frames
from engine.frame import Frame
from engine.load import load_class
from engine.packet import Packet
from engine.picture import Picture
from engine.summary import CameraSummary
from training.augment.worsening import Stretch, Worsening

_FINE_CRF = 23
_STEP_US = 40_000


def read_video(path: Path) -> Generator[Frame, None, None]:
    """Read the frames of a recording.

    Raises:
        SourceError: no such file, or none that can be decoded.
    """
    if not path.is_file():
        raise SourceError(f"{path}: no such file")
    video = load_class("video")(url=str(path))
    try:
        video.open()
        yield from read_frames(path.stem, video, 0, CameraSummary())
    finally:
        video.close()


def looped(read: Callable[[], Iterable[Frame]], for_s: float | None) -> Iterator[Frame]:
    """Read a recording again and again; times start at 0 and go on, and so do numbers.

    Args:
        read: begins at its first frame.
        for_s: ends before this time; None ends with the recording.
    """
    index, at_us, step_us = 0, -_STEP_US, _STEP_US
    for turn in itertools.count():
        part = None
        for frame in read():
            if part != (turn, frame.epoch):
                part, shift_us = (turn, frame.epoch), at_us + step_us - frame.pts_us
            else:
                step_us = frame.pts_us + shift_us - at_us
            at_us = frame.pts_us + shift_us
            if for_s is not None and at_us >= for_s * 1e6:
                return
            yield replace(frame, epoch=0, index=index, pts_us=at_us)
            index += 1
        if for_s is None:
            return


def worsen_video(
    frames: Callable[[], Iterable[Frame]],
    out: Path,
    worsening: Callable[[], Worsening] | None,
    stretch: Stretch,
    crf: int | None = None,
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Write H.264 in stream time; the file appears when it is whole.

    Args:
        frames: begins at the first frame; called once, and twice with `crf`.
        out: ends in .mp4.
        worsening: makes one; None leaves the pictures to `crf`.
        stretch: of the video in which it happens; the rest stays as it is.
        crf: x264's rate factor at which the stretch is coded before it is written at 23; None codes it once.
        tick: called after each frame.

    Raises:
        SourceError: no frame lies in the stretch.
    """
    partial, coarse = (out.with_name(f".{out.stem}.{what}.mp4") for what in ("partial", "coarse"))
    try:
        worsened = _worsened(frames(), worsening, stretch)
        if crf is None:
            _write(partial, (frame for frame, _ in worsened), _FINE_CRF, tick)
        else:
            _write(coarse, (frame for frame, share in worsened if share > 0), crf, tick)
            with closing(read_video(coarse)) as coded:
                _write(partial, _put_in(frames(), coded, stretch), _FINE_CRF, tick)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
        coarse.unlink(missing_ok=True)


def _worsened(
    frames: Iterable[Frame], worsening: Callable[[], Worsening] | None, stretch: Stretch
) -> Iterator[tuple[Frame, float]]:
    worsen = None if worsening is None else worsening()
    reached, last_s = False, 0.0
    for frame in frames:
        share, last_s = stretch.share(frame.pts_s), frame.pts_s
        reached = reached or share > 0
        if worsen is not None:
            bgr = worsen(frame.picture.bgr(), frame.index, share)
            frame = replace(frame, picture=Picture.from_bgr(bgr))
        yield frame, share
    if not reached:
        raise SourceError(f"no frame from {stretch.from_s:g} to {stretch.to_s:g} s: the last one is at {last_s:.2f} s")


def _put_in(frames: Iterable[Frame], coded: Iterator[Frame], stretch: Stretch) -> Iterator[Frame]:
    for frame in frames:
        if stretch.share(frame.pts_s) > 0:
            width, height = frame.size_wh
            # The encoder made odd sides even.
            bgr = next(coded).picture.bgr()[:height, :width]
            frame = replace(frame, picture=Picture.from_bgr(bgr))
        yield frame


def _write(path: Path, frames: Iterable[Frame], crf: int, tick: Callable[[], None]) -> None:
    # The tap that draws boxes draws none where there are none.
    writer = load_class("annotate")(path=str(path), crf=crf)
    writer.open()
    try:
        for frame in frames:
            writer.process(Packet(frame))
            tick()
    finally:
        writer.close()
