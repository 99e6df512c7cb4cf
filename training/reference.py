"""Reference statistics of a model, measured on its training pictures and on what it sees in them, as it runs live."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine.bundle import Bundle
from engine.detections import Detections
from engine.errors import SourceError
from engine.feed import read_frames
from engine.frame import CaptureTime, Frame
from engine.frame_statistics import measure_frame
from engine.heads import FAMILIES
from engine.load import load_class
from engine.packet import Packet
from engine.picture import Picture
from engine.reference import MAX_SAMPLES, ReferenceStatistics
from engine.reference_builder import ReferenceBuilder, as_pairs, choose
from engine.site import VIDEO_SUFFIXES
from engine.summary import CameraSummary
from training.dataset import Dataset
from training.formats import FORMATS
from training.formats.image_files import SUFFIXES

_FOOTAGE = VIDEO_SUFFIXES | set(SUFFIXES)

Look = Callable[[Frame], Detections]


def make_reference(
    dataset: Dataset, bundle: Bundle, *, max_samples: int = MAX_SAMPLES, tick: Callable[[], None] = lambda: None
) -> ReferenceStatistics:
    """Measure labelled pictures; their labels are not used, only what the model sees.

    Args:
        dataset: the training pictures. A picture that is in it several times counts once.
        bundle: a bundle in its folder.
        max_samples: at most so many pictures, evenly over cameras and time.
        tick: called after each picture.

    Raises:
        BundleError: the model cannot be used.
        SourceError: a picture cannot be read, or there is none.
    """
    samples = list({sample.path: sample for sample in dataset.samples}.values())
    if not samples:
        raise SourceError("reference statistics need pictures, but the data holds none")
    rows = choose(
        [sample.camera for sample in samples],
        [as_pairs(sample.tags) for sample in samples],
        [sample.time_s for sample in samples],
        max_samples,
    )
    builder = _builder(bundle)
    with _eyes(bundle) as look:
        for sample in (samples[row] for row in rows):
            frame = Frame(sample.camera, 0, len(builder), 0, CaptureTime(0), Picture.from_bgr(sample.read().bgr))
            _add(builder, frame, look, sample.camera, sample.time_s, sample.tags)
            tick()
    return builder.build(num_frames=len(samples))


def measure_footage(
    files: Sequence[Path], bundle: Bundle, *, every_s: float, tick: Callable[[], None] = lambda: None
) -> ReferenceStatistics:
    """Measure recordings, each a camera named after its file, and photographs, which belong to no camera.

    Args:
        files: videos and images.
        bundle: a bundle in its folder.
        every_s: seconds of a recording between two samples; neighbouring frames say the same.
        tick: called after each frame, sampled or not.

    Raises:
        BundleError: the model cannot be used.
        SourceError: a file is missing or cannot be read.
    """
    builder, num_frames = _builder(bundle), 0
    with _eyes(bundle) as look:
        for path in files:
            due_s = None
            for frame, camera, time_s in _frames(path):
                num_frames += 1
                if time_s is None or due_s is None or not due_s - every_s <= time_s < due_s:
                    due_s = None if time_s is None else time_s + every_s
                    _add(builder, frame, look, camera, time_s, {})
                tick()
    return builder.build(num_frames)


def footage_in(path: Path) -> list[Path]:
    """List the videos and images that a path means: itself, or those of a folder without labels; empty for labels."""
    if path.is_file():
        return [path] if path.suffix.lower() in _FOOTAGE else []
    if any(candidate.is_here(path) for candidate in FORMATS.values()):
        return []
    return sorted(file for file in path.iterdir() if file.suffix.lower() in _FOOTAGE)


def _builder(bundle: Bundle) -> ReferenceBuilder:
    manifest = bundle.manifest
    return ReferenceBuilder(manifest.labels, bundle.digest, FAMILIES[manifest.family].min_confidence)


def _add(
    builder: ReferenceBuilder, frame: Frame, look: Look, camera: str, time_s: float | None, tags: Mapping[str, str]
) -> None:
    builder.add(measure_frame(frame.picture), look(frame), frame.size_wh, camera, time_s, tags)


@contextmanager
def _eyes(bundle: Bundle) -> Iterator[Look]:
    """Run the model as `detect` runs it live, with its defaults."""
    operators = load_class("detect")(model=str(bundle.root)).expand()
    opened = []

    def look(frame: Frame) -> Detections:
        packet = Packet(frame)
        for operator in operators:
            packet = operator.process(packet)
        # Without a cadence every frame is looked at.
        assert packet.detections is not None
        return packet.detections

    try:
        for operator in operators:
            operator.open()
            opened.append(operator)
        yield look
    finally:
        for operator in opened:
            operator.close()


def _frames(path: Path) -> Iterator[tuple[Frame, str, float | None]]:
    """Give a file's frames with their camera and time."""
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        yield Frame("", 0, 0, 0, CaptureTime(0), Picture.read(path)), "", None
        return
    video = load_class("video")(url=str(path))
    video.open()
    try:
        for frame in read_frames(path.stem, video, 0, CameraSummary()):
            yield frame, path.stem, frame.pts_s
    finally:
        video.close()
