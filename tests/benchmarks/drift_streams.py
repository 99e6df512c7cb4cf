"""Streams for the drift benchmarks: a real clip, unchanged for minutes and then worsened, as a camera would send it.

A clip runs forth and back, so that its end never jumps, at 5 frames a second through a real encoder (x264 veryfast)
and decoder; what the monitor gets are the samples that `DriftSampler` takes of it. Encoding is what takes long, so the
coded streams are kept in a folder, and so are the samples of this version of the statistics.
"""

from __future__ import annotations

import copy
import hashlib
import io
import os
import pickle
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TypeVar

import av
import numpy as np

from engine import frame_statistics
from engine.drift.sample import DriftSample
from engine.drift.sampler import DriftSampler
from engine.drift.settings import DriftSettings
from engine.frame import CaptureTime, ClockName, Frame
from engine.packet import Packet
from engine.picture import Picture, Pixels
from training.augment.incidents import moved_px
from training.augment.worsening import Worsening

Key = tuple[object, ...]
T = TypeVar("T")

FPS = 5
NORMAL_CRF = 23
ENCODER = "encoder"
"""The stream itself is coded harder: not a worsened picture but the real thing."""

CLIP_S = 80.0
AFTER_S = 300.0
# From here on the samples under the condition come again: another few minutes of encoding would show nothing new.
FRESH_S = 90.0
STARTS_UNIX_S = 1_750_000_000
_VERSION = 1
_KEYFRAME_EVERY = 4 * FPS


@dataclass(frozen=True)
class Clip:
    """A recording, as pictures at 5 a second."""

    path: Path

    @property
    def name(self) -> str:
        """Its file name."""
        return self.path.stem

    @cached_property
    def digest(self) -> str:
        """Of the file."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]

    @cached_property
    def frames(self) -> list[Pixels]:
        """Its first 80 seconds; even numbers of rows and columns, as the encoder wants them."""
        return list(islice(_read(self.path), round(CLIP_S * FPS)))

    def loop(self, first: int, num: int) -> Iterator[Pixels]:
        """Give frames `first` to `first + num` of the clip that runs forth and back for ever."""
        period = max(1, 2 * len(self.frames) - 2)
        for index in range(first, first + num):
            at = index % period
            yield self.frames[min(at, period - at)]

    def scene(self, condition: str, seed: int) -> int:
        """Give the seed of a condition on this clip: dirt lies elsewhere on another clip."""
        return zlib.crc32(f"{self.name} {condition} {seed}".encode())

    def moved_px(self, width: int, strength: float, seed: int) -> tuple[float, float]:
        """Say how far condition `moved` shifts this clip of so many columns, in pixels to the right and down."""
        return moved_px(width, strength, np.random.default_rng(self.scene("moved", seed)))


def _read(path: Path) -> Iterator[Pixels]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        due_s, first_s = 0.0, None
        for frame in container.decode(stream):
            if frame.time is None:
                continue
            first_s = frame.time if first_s is None else first_s
            if frame.time - first_s < due_s - 1e-3:
                continue
            due_s += 1 / FPS
            bgr = frame.to_ndarray(format="bgr24")
            yield np.ascontiguousarray(bgr[: bgr.shape[0] // 2 * 2, : bgr.shape[1] // 2 * 2])


def encode(frames: Iterable[Pixels], crf: int = NORMAL_CRF) -> bytes:
    """Give an H.264 elementary stream of BGR pictures of one size."""
    encoder, out = None, io.BytesIO()
    for bgr in frames:
        encoder = encoder or _encoder(bgr, crf)
        for packet in encoder.encode(av.VideoFrame.from_ndarray(bgr, format="bgr24").reformat(format="yuv420p")):
            out.write(bytes(packet))
    for packet in encoder.encode(None) if encoder is not None else ():
        out.write(bytes(packet))
    return out.getvalue()


def _encoder(bgr: Pixels, crf: int) -> av.VideoCodecContext:
    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.height, encoder.width = bgr.shape[:2]
    encoder.pix_fmt = "yuv420p"
    encoder.framerate = Fraction(FPS)
    encoder.time_base = Fraction(1, FPS)
    encoder.thread_count = 1
    encoder.options = {"preset": "veryfast", "crf": str(crf), "g": str(_KEYFRAME_EVERY)}
    return encoder


def decode(coded: bytes) -> Iterator[Picture]:
    """Give the pictures of an H.264 elementary stream, as a camera's would come."""
    with av.open(io.BytesIO(coded), "r", format="h264") as container:
        for frame in container.decode(video=0):
            planes = (
                np.frombuffer(memoryview(p), np.uint8).reshape(p.height, p.line_size)[:, : p.width]
                for p in frame.planes
            )
            yield Picture(tuple(plane.copy() for plane in planes), "yuv420p")


def take_samples(
    sampler: DriftSampler, pictures: Iterable[Picture], first: int, camera: str, clock: ClockName = "container"
) -> list[DriftSample]:
    """Show pictures to a sampler, the first at frame `first` of the stream; give the samples it takes."""
    samples = []
    for index, picture in enumerate(pictures, first):
        pts_us = index * 1_000_000 // FPS
        captured = CaptureTime(STARTS_UNIX_S * 1_000_000 + pts_us, clock)
        sample = sampler.sample(Packet(Frame(camera, 0, index, pts_us, captured, picture)))
        if sample is not None:
            samples.append(sample)
    return samples


@dataclass(frozen=True)
class StreamCache:
    """Samples of streams, made once.

    Attributes:
        folder: where they are kept; None keeps nothing.
        before_s: seconds unchanged before the condition.
        fresh_s: seconds under the condition that are made; what follows repeats them.
    """

    folder: Path | None
    before_s: float = 300.0
    fresh_s: float = FRESH_S

    def stream_samples(
        self, clip: Clip, condition: str, strength: float, seed: int
    ) -> tuple[list[DriftSample], list[DriftSample]]:
        """Give the samples of the unchanged minutes, and those of five minutes under the condition."""
        first = round(self.before_s * FPS)
        before_key = ("before", clip.digest, self.before_s)
        after_key = (condition, clip.digest, self.before_s, self.fresh_s, strength, seed)

        def take_before() -> tuple[list[DriftSample], DriftSampler]:
            stream = self.coded(before_key, lambda: encode(clip.loop(0, first)))
            sampler = DriftSampler(DriftSettings())
            return take_samples(sampler, decode(stream), 0, clip.name), sampler

        def take_after() -> list[DriftSample]:
            stream = self.coded(after_key, lambda: self._worsened(clip, condition, strength, seed))
            return take_samples(copy.deepcopy(sampler), decode(stream), first, clip.name)

        before, sampler = self.samples(before_key, take_before)
        return before, _go_on(self.samples(after_key, take_after), AFTER_S)

    def _worsened(self, clip: Clip, condition: str, strength: float, seed: int) -> bytes:
        first, num = round(self.before_s * FPS), round(self.fresh_s * FPS)
        if condition == ENCODER:
            return encode(clip.loop(first, num), round(NORMAL_CRF + 30 * strength))
        worsen = Worsening([condition], strength, clip.scene(condition, seed))
        return encode(worsen(bgr, index) for index, bgr in enumerate(clip.loop(first, num), first))

    def coded(self, key: Key, make: Callable[[], bytes]) -> bytes:
        """Give a coded stream, made once; `key` begins with a word."""
        return self._kept((_VERSION, *key), "h264", make, bytes, bytes)

    def samples(self, key: Key, make: Callable[[], T]) -> T:
        """Give samples, made once for these statistics; a sampler that chooses others needs another folder."""
        shape = [field.name for field in fields(DriftSample)], frame_statistics.VERSION, _VERSION
        made: T = self._kept((shape, *key), "pickle", make, pickle.dumps, pickle.loads)
        return made

    def _kept(
        self, key: Key, suffix: str, make: Callable[[], T], to_bytes: Callable[[T], bytes],
        from_bytes: Callable[[bytes], T],
    ) -> T:  # fmt: skip
        if self.folder is None:
            return make()
        path = self.folder / f"{key[1]}-{hashlib.sha256(repr(key).encode()).hexdigest()[:24]}.{suffix}"
        if path.is_file():
            return from_bytes(path.read_bytes())
        made = make()
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_bytes(to_bytes(made))
        partial.replace(path)
        return made


def _go_on(samples: list[DriftSample], seconds: float) -> list[DriftSample]:
    """Let samples come again until they last so long; the first is left out, as its motion is the change itself."""
    out, again = list(samples), samples[1:]
    lasts_s = samples[-1].pts_s - samples[0].pts_s
    shift_s = 0.0
    while again and out[-1].pts_s - samples[0].pts_s + 1 < seconds:
        shift_s += lasts_s
        out += [replace(s, pts_s=s.pts_s + shift_s, unix_s=s.unix_s + shift_s) for s in again]
    return [sample for sample in out if sample.pts_s - samples[0].pts_s <= seconds]
