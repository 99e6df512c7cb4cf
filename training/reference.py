"""Reference statistics of a model, measured on its training pictures and on what it sees in them, as it runs live."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine.bundle import Bundle
from engine.detections import Detections
from engine.errors import SourceError
from engine.feed import read_frames
from engine.frame import CaptureTime, Frame
from engine.frame_statistics import measure
from engine.heads import FAMILIES
from engine.load import load_class
from engine.packet import Packet
from engine.picture import Picture
from engine.reference import MAX_SAMPLES, MAX_SCENES, ReferenceStatistics
from engine.reference_builder import (
    MAX_SCENE_PICTURES,
    MIN_SCENE_PICTURES,
    ReferenceBuilder,
    as_pairs,
    choose,
)
from engine.site import VIDEO_SUFFIXES
from engine.summary import CameraSummary
from training.dataset import Dataset, Sample
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
            builder.add(
                measure(frame.picture).values, look(frame), frame.size_wh, sample.camera, sample.time_s, sample.tags
            )
            tick()
    for sample in _views(samples):
        builder.add_view(sample.camera, measure(Picture.from_bgr(sample.read().bgr)).thumbnail)
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
                    # Rounded to the microseconds of stream time: sums of 0.1 are not.
                    due_s = None if time_s is None else round(time_s + every_s, 6)
                    measured = measure(frame.picture)
                    builder.add(measured.values, look(frame), frame.size_wh, camera, time_s)
                    if time_s is not None:
                        builder.add_view(camera, measured.thumbnail)
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
    bundle.check_detector()
    manifest = bundle.manifest
    return ReferenceBuilder(manifest.labels, bundle.digest, FAMILIES[manifest.family].min_confidence)


def _views(samples: Sequence[Sample]) -> Iterator[Sample]:
    """Give pictures that show the scenes of the longest recordings: more of them than a share of the samples would."""
    recordings: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.camera and sample.time_s is not None:
            recordings.setdefault(sample.camera, []).append(sample)
    for recording in sorted(recordings.values(), key=len, reverse=True)[:MAX_SCENES]:
        if len(recording) >= MIN_SCENE_PICTURES:
            in_order = sorted(recording, key=lambda sample: sample.time_s or 0.0)
            count = min(len(in_order), MAX_SCENE_PICTURES)
            yield from (in_order[int((k + 0.5) * len(in_order) / count)] for k in range(count))


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
