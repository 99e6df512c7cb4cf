"""Source `video`: every file that FFmpeg reads, and live cameras over RTSP, HTTP, RTMP and UDP.

What it does: demuxes, decodes in the calling thread, and yields the decoder's own planes without copying them. A
picture that cannot be trusted is marked `is_corrupt`: the decoder concealed something, or a picture it is built on
was lost, which holds until the next key frame, and also before the first one. RTSP opens without probing, and its
audio and metadata are not even asked for.

What an absent input means: a source reads nothing. A file without pictures is an error; a live stream that ends is
one too (`ended`), since a camera has no end.

Cost per frame: the decoder's (0.3 ms for 768x576 MPEG-4, 5 ms for 1080p HEVC) and about 0.02 ms of our own. One
thread a camera: with several cameras, frame threads cost 20-35 % more CPU a picture and a picture of delay each.

    cameras: {gate: {url: "rtsp://${CAM_USER}:${CAM_PASSWORD}@10.0.0.5/1", transport: tcp}}
"""

from __future__ import annotations

import errno
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast, get_args

import av
import av.logging
import numpy as np
from av.container import InputContainer
from av.video.frame import PictureType, VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from engine.errors import Cause, SourceError, SourceUnavailable
from engine.frame import SourceFrame
from engine.picture import Picture, Pixels
from engine.reach import RTSP_SCHEMES, check_file, check_url, failure_sentence
from engine.redact import Url, redact
from engine.reference_chain import ReferenceChain

Transport = Literal["tcp", "udp"]

logger = logging.getLogger(__name__)

# Four seconds of a 25-fps camera in which nothing at all can be decoded.
MAX_ERRORS_IN_A_ROW = 100
# A key frame of a 1080p camera comes as a burst that the system's default of some 200 KB does not hold.
_UDP_BUFFER_BYTES = 4 << 20
_REORDER_PACKETS = {"tcp": 2, "udp": 500}
# PyAV 18 refuses a file over one wrong byte in its title unless told otherwise; 19 no longer has the option.
_LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
# Schemes such as RTMP and MPEG transport need some data before they know their streams.
_ANALYZE_US = 1_000_000


@dataclass(frozen=True)
class VideoFacts:
    """What a stream says about itself; None where it does not.

    Attributes:
        container: FFmpeg's name of the format.
        transport: `tcp` or `udp` for RTSP.
        codec: FFmpeg's name of the codec.
        fps: the declared rate.
        has_b_frames: bidirectional pictures came so far.
        others: the streams that are not read, such as `audio: aac`.
    """

    container: str
    transport: str | None
    codec: str
    profile: str | None
    size_wh: tuple[int, int]
    pixel_format: str | None
    fps: float | None
    duration_s: float | None
    has_b_frames: bool
    others: tuple[str, ...]


@dataclass
class Video:
    """One connection to a file or a camera; reconnecting takes a new one.

    FFmpeg is not safe to use from two threads, so `close()` from another thread only leaves a mark when the reading
    thread is inside the library: that thread then closes as soon as it comes out, at the latest when its time-out
    fires.

    Attributes:
        url: a path, or a URL of a camera; never prints its password.
        transport: of RTSP.
        open_timeout_s: a camera that has not answered after this long is given up; once more the same for the first
            data of one that has.
        read_timeout_s: without data, reading ends after one to two times this: FFmpeg first hands out what it holds.
        motion_vectors: have the decoder export them (2-4 % of its cost with H.264).
        skip_loop_filter: spare the deblocking filter: 14-19 % less decoding, a little more noise in the picture.
        all_media: ask a camera for its audio and metadata too, so that `facts()` can name them.
    """

    url: Url | str
    transport: Transport = "tcp"
    open_timeout_s: float = 5.0
    read_timeout_s: float = 2.5
    motion_vectors: bool = False
    skip_loop_filter: bool = False
    all_media: bool = False

    def __post_init__(self) -> None:
        if self.transport not in get_args(Transport):
            raise ValueError(f"transport: must be tcp or udp, got '{self.transport}'")
        for name in ("open_timeout_s", "read_timeout_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: must be above 0, got {getattr(self, name)}")
        # Also in the field itself: the dataclass prints it.
        self.url = self._url = Url.of(self.url)
        self.live = self._url.scheme != ""
        self.starts_unix_us: int | None = None
        self.nominal_fps: float | None = None
        self.decode_errors = 0
        self._lock = threading.Lock()
        self._closing = False
        self._container: InputContainer | None = None
        self._packets: Generator[av.Packet[Any], None, None] | None = None
        self._chain = ReferenceChain()
        self._errors_in_a_row = 0
        self._num_decoded = 0
        self._num_frames: int | None = None
        self._has_b_frames = False
        self._facts: VideoFacts | None = None
        self._seen: dict[str, Any] = {}

    def open(self) -> None:
        """Connect and find the video stream.

        Raises:
            SourceUnavailable: a camera does not answer, or not with video; its cause says why.
            SourceError: a file that is not there, damaged, or without video; a URL that cannot be one.
        """
        if self.live:
            check_url(self._url, self.open_timeout_s)
        else:
            check_file(Path(self._url.reveal()))
        with self._lock:
            self._container = self._open_container()
            try:
                self._open_stream(self._container)
            except SourceError:
                self._release()
                raise
            if self._closing:
                self._release()

    def frames(self) -> Iterator[SourceFrame]:
        """Yield pictures in presentation order, those that cannot be trusted marked; until a file ends, or close().

        Raises:
            SourceUnavailable: a camera fell silent, went away or ended its stream.
            SourceError: nothing can be decoded.
        """
        try:
            while True:
                # Released while the caller works: close() may then act at once.
                with self._lock:
                    if self._closing or self._packets is None:
                        return
                    decoded = self._step(self._packets)
                if decoded is None:
                    return
                # Not kept while the next is decoded: the decoder can use its buffer again.
                while decoded:
                    yield decoded.pop(0)
        finally:
            self.close()

    def num_frames(self) -> int | None:
        """Say how many pictures the header of a file promises; None for a live stream, and before `open()`."""
        return self._num_frames

    def facts(self) -> VideoFacts:
        """Describe the stream, after `open()`; size, format and B-frames are sure only after some pictures."""
        assert self._facts is not None, "open() comes first"
        return replace(self._facts, has_b_frames=self._has_b_frames, **self._seen)

    def close(self) -> None:
        """Disconnect. May be called from another thread, and more than once."""
        self._closing = True
        if self._lock.acquire(blocking=False):
            try:
                self._release()
            finally:
                self._lock.release()

    def _release(self) -> None:
        packets, self._packets = self._packets, None
        container, self._container = self._container, None
        if packets is not None:
            packets.close()
        if container is not None:
            container.close()

    def _open_container(self) -> InputContainer:
        started_s = time.monotonic()
        text = self._url.reveal()
        try:
            # `file:` keeps FFmpeg from reading a protocol into a name such as `concat:a.mp4`.
            opened = av.open(
                text if self.live else f"file:{text}",
                options=self._options(),
                timeout=(self.open_timeout_s, self.read_timeout_s) if self.live else None,
                **_LENIENT,
            )
            return cast(InputContainer, opened)
        except (av.FFmpegError, OSError, ValueError) as error:
            # Our sentence says it all, and FFmpeg's own text holds the password: it is not chained.
            raise self._failure(error, time.monotonic() - started_s, self.open_timeout_s) from None

    def _options(self) -> dict[str, str]:
        if not self.live:
            return {}
        if self._url.scheme not in RTSP_SCHEMES:
            return {"analyzeduration": str(_ANALYZE_US)}
        # Probing costs a second, and a description of the stream came with the session already.
        options = {"rtsp_transport": self.transport, "analyzeduration": "0", "probesize": "32"}
        # FFmpeg watches the numbers of packets only where it reorders them, which by default is not over TCP; but a
        # camera that cannot send fast enough leaves packets out. Nothing waits while none is missing.
        options["reorder_queue_size"] = str(_REORDER_PACKETS[self.transport])
        if not self.all_media:
            options["allowed_media_types"] = "video"
        if self.transport == "udp":
            options["buffer_size"] = str(_UDP_BUFFER_BYTES)
        return options

    def _open_stream(self, container: InputContainer) -> None:
        pictures = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not pictures:
            found = ", ".join(_describe_other(s) for s in container.streams) or "nothing"
            raise self._error(f"there is no video in it, only {found}", Cause.CODEC)
        self._stream = stream = pictures[0]
        if stream.codec_context is None:
            raise self._error(
                f"no decoder for its codec '{_codec_name(container, stream)}'; H.264, HEVC, AV1, VP9, MPEG-4 and MJPEG "
                "are among those that work",
                Cause.CODEC,
            )
        context = stream.codec_context
        context.thread_type = "SLICE"
        context.thread_count = 1
        if self.skip_loop_filter:
            context.options = {"skip_loop_filter": "all"}
        if self.motion_vectors:
            context.flags2 |= av.codec.context.Flags2.export_mvs
        self.nominal_fps = _sane_fps(stream.average_rate) or _sane_fps(stream.guessed_rate)
        if not self.live:
            self.starts_unix_us = _creation_time_us(container, stream)
            self._num_frames = stream.frames or None
            if not stream.frames and container.duration and self.nominal_fps:
                self._num_frames = round(container.duration / av.time_base * self.nominal_fps)
        self._over_rtp = self._url.scheme in RTSP_SCHEMES
        if self._over_rtp:
            _hear_warnings()
        self._facts = self._describe(container, stream)
        self._packets = cast("Generator[av.Packet[Any], None, None]", container.demux(stream))

    def _describe(self, container: InputContainer, stream: Any) -> VideoFacts:
        context = stream.codec_context
        return VideoFacts(
            container=container.format.name,
            transport=self.transport if self._url.scheme in RTSP_SCHEMES else None,
            codec=context.codec.canonical_name,
            profile=context.profile,
            size_wh=(context.width, context.height),
            pixel_format=context.pix_fmt,
            fps=self.nominal_fps,
            duration_s=None if self.live or not container.duration else container.duration / av.time_base,
            has_b_frames=False,
            others=tuple(_describe_other(s) for s in container.streams if s.index != stream.index),
        )

    def _step(self, packets: Iterator[av.Packet[Any]]) -> list[SourceFrame] | None:
        """Read and decode one packet; None at the end."""
        started_s = time.monotonic()
        with av.logging.Capture() if self._over_rtp else nullcontext([]) as said:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                if self._closing:
                    return []
                if self.live:
                    raise self._failure(error, time.monotonic() - started_s, self.read_timeout_s) from None
                return self._cut_short(error)
            decoded = [] if packet is None else self._decode(packet.decode, packet.pts)
        if packet is None:
            self._check_end()
            return None
        if any("RTP: missed" in message for _, _, message in said):
            # Where a whole picture is lost, the decoder goes on with the wrong reference and marks nothing.
            self._chain.broke(packet.pts)
        return [self._source_frame(frame) for frame in decoded]

    def _decode(self, decode: Callable[[], list[Any]], pts: int | None) -> list[VideoFrame]:
        try:
            frames = decode()
        except av.FFmpegError as error:
            self.decode_errors += 1
            self._errors_in_a_row += 1
            self._chain.broke(pts)
            if self._errors_in_a_row >= MAX_ERRORS_IN_A_ROW:
                text = f"{self._errors_in_a_row} packets in a row cannot be decoded ({_reason(error)})"
                raise self._error(text, Cause.CODEC) from None
            return []
        if frames:
            self._errors_in_a_row = 0
        return frames

    def _cut_short(self, error: Exception) -> list[SourceFrame]:
        # What the decoder still holds of a damaged file is whole.
        self.decode_errors += 1
        logger.warning(
            "%s: damaged after %d pictures (%s); what follows is not read", self.url, self._num_decoded, _reason(error)
        )
        self._packets = None
        rest = self._decode(lambda: self._stream.codec_context.decode(None), None)
        frames = [self._source_frame(frame) for frame in rest]
        self._check_end()
        return frames

    def _check_end(self) -> None:
        if self.live:
            raise SourceUnavailable(failure_sentence(self._url, Cause.ENDED, 0.0, ""), Cause.ENDED)
        if self._num_decoded == 0:
            raise self._error("no picture in it can be decoded; the file is damaged or empty", Cause.CODEC)
        promised = self._stream.frames
        # A few less are sloppy muxers' counts: packed B-frames, for one.
        if self._num_decoded < 0.98 * promised:
            self.decode_errors += 1
            logger.warning("%s: cut off, %d of %d pictures are there", self.url, self._num_decoded, promised)
        elif self.decode_errors:
            logger.warning("%s: %d packets could not be decoded", self.url, self.decode_errors)

    def _source_frame(self, frame: VideoFrame) -> SourceFrame:
        self._num_decoded += 1
        self._seen = {"size_wh": (frame.width, frame.height), "pixel_format": frame.format.name}
        self._has_b_frames = self._has_b_frames or frame.pict_type == PictureType.B
        is_key = bool(frame.key_frame) or frame.pict_type == PictureType.I
        return SourceFrame(
            picture=_picture(frame),
            pts_s=frame.time,
            is_key=is_key,
            is_corrupt=not self._chain.holds(frame.pts, is_key, frame.is_corrupt),
            motion_vectors=_motion_vectors(frame) if self.motion_vectors else None,
        )

    def _failure(self, error: Exception, took_s: float, limit_s: float) -> SourceError:
        cause = _cause(error, took_s, limit_s)
        if not self.live:
            return self._error(_file_sentence(error), cause)
        if getattr(error, "errno", None) == errno.EPROTONOSUPPORT:
            other = "udp" if self.transport == "tcp" else "tcp"
            text = f"the camera does not offer RTSP over {self.transport.upper()}; set `transport: {other}`"
            return self._error(text, cause)
        return SourceUnavailable(failure_sentence(self._url, cause, took_s, _reason(error)), cause)

    def _error(self, text: str, cause: Cause) -> SourceError:
        kind = SourceUnavailable if self.live else SourceError
        return kind(redact(f"{self.url}: {text}"), cause)


def _picture(frame: VideoFrame) -> Picture:
    name = frame.format.name
    planes = frame.planes
    if planes[0].line_size > 0:
        full_range = name == "yuvj420p" or frame.color_range == ColorRange.JPEG
        if name in ("yuv420p", "yuvj420p"):
            return Picture(tuple(_view(plane) for plane in planes), "yuv420p", full_range)
        if name == "gray":
            return Picture((_view(planes[0]),), "gray")
        if name == "nv12":
            width, height = frame.width, frame.height
            both = _rows(planes[1])[: (height + 1) // 2, : 2 * ((width + 1) // 2)]
            chroma = np.ascontiguousarray(both[:, 0::2]), np.ascontiguousarray(both[:, 1::2])
            return Picture((_view(planes[0]), *chroma), "yuv420p", full_range)
    # The same matrix as for planes: Picture uses BT.601 whatever the stream says.
    bgr = frame.to_ndarray(format="bgr24", src_colorspace=Colorspace.ITU601)
    return Picture.from_bgr(cast(Pixels, bgr))


def _view(plane: VideoPlane) -> Pixels:
    # The array keeps the plane, the plane its frame, and the frame the decoder's buffer: it is not used again before.
    return _rows(plane)[: plane.height, : plane.width]


def _rows(plane: VideoPlane) -> Pixels:
    rows: Pixels = np.frombuffer(cast(Any, plane), np.uint8).reshape(-1, plane.line_size)
    return rows


def _motion_vectors(frame: VideoFrame) -> NDArray[Any] | None:
    vectors = frame.side_data.get("MOTION_VECTORS")
    return None if vectors is None else np.array(cast(Any, vectors).to_ndarray())


_CAUSES: tuple[tuple[tuple[type[Exception], ...], Cause], ...] = (
    ((av.HTTPUnauthorizedError, av.HTTPForbiddenError), Cause.AUTH),
    ((av.HTTPNotFoundError, av.FileNotFoundError), Cause.NOT_FOUND),
    ((av.ConnectionRefusedError,), Cause.REFUSED),
    ((av.ExitError, av.TimeoutError), Cause.TIMEOUT),
    ((av.DecoderNotFoundError, av.DemuxerNotFoundError), Cause.CODEC),
    ((av.EOFError,), Cause.ENDED),
)


def _cause(error: Exception, took_s: float, limit_s: float) -> Cause:
    for kinds, cause in _CAUSES:
        if isinstance(error, kinds):
            return cause
    # FFmpeg reports an interrupted wait for the first answer as invalid data or as an input error.
    if took_s >= 0.95 * limit_s:
        return Cause.TIMEOUT
    if isinstance(error, av.InvalidDataError | av.ArgumentError | av.ProtocolNotFoundError):
        return Cause.INVALID
    return Cause.TRANSPORT


def _file_sentence(error: Exception) -> str:
    if isinstance(error, av.PermissionError):
        return "the file may not be read; check its permissions"
    if isinstance(error, av.InvalidDataError):
        return "not a video file, or one that was cut off before its index was written"
    return f"the file cannot be read ({_reason(error)})"


def _reason(error: Exception) -> str:
    """Give FFmpeg's words for what happened, without the URL that stands behind them."""
    number = getattr(error, "errno", None)
    text = getattr(error, "strerror", None) or (os.strerror(number) if number else type(error).__name__)
    return redact(text)


def _describe_other(stream: Any) -> str:
    context = stream.codec_context
    return f"{stream.type}: {context.codec.canonical_name}" if context is not None else str(stream.type)


def _codec_name(container: InputContainer, stream: Any) -> str:
    """Read the name from FFmpeg's description: it knows many codecs that this build cannot decode."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)  # the description goes through the log
    try:
        text = str(cast(Any, container).dumps_format())
    finally:
        av.logging.set_level(level)
    # `Video: wmv3image (…` where FFmpeg knows it, `Video: none (zzz9 / 0x397A7A7A` where only the file does.
    found = re.search(rf"Stream #0:{stream.index}\b.*?Video: (?:none \()?(?P<name>[^\s,(]+)", text)
    return found["name"] if found else "unknown"


def _sane_fps(rate: Any) -> float | None:
    # Streams without a rate state their time base instead, such as 90000.
    return float(rate) if rate and 0 < rate <= 1000 else None


def _creation_time_us(container: InputContainer, stream: Any) -> int | None:
    for metadata in (container.metadata, stream.metadata):
        text = metadata.get("creation_time", "")
        try:
            created = datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            continue
        if created.tzinfo is None:
            created = created.replace(tzinfo=UTC)
        micros = round(created.timestamp() * 1_000_000)
        # Recorders without a clock write 1904 (QuickTime's zero) or 1970.
        if created.year > 1971:
            return micros
    return None


def _hear_warnings() -> None:
    """Have FFmpeg's warnings reported: the loss of packets is told nowhere else."""
    av.logging.set_skip_repeated(False)
    if av.logging.get_level() is None:
        # Outside our capture nobody should see them: they hold addresses.
        logging.getLogger("libav").addHandler(logging.NullHandler())
        logging.getLogger("libav").propagate = False
        av.logging.set_level(av.logging.WARNING)
