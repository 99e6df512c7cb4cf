"""What a drift report looks at: a camera for a while, or recordings one after another, sampled as it is live."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.bundle import Bundle
from engine.clock import next_epoch
from engine.default_model import find_default_model
from engine.drift.sample import DriftSample
from engine.drift.sampler import DriftSampler
from engine.drift.settings import DriftSettings
from engine.errors import SourceError, UsageError
from engine.feed import read_frames
from engine.frame import Frame
from engine.load import did_you_mean, load_class
from engine.operator import Composite, Operator
from engine.packet import Packet
from engine.redact import Url
from engine.site import Camera, Site, is_url, name_sources
from engine.summary import CameraSummary

_RETRY_S = 2.0


@dataclass(frozen=True)
class Footage:
    """One camera's pictures.

    Attributes:
        name: the camera's; of a folder the folder's.
        where: what was asked for, for people; without a password.
        parts: one live camera, or recordings in their order.
    """

    name: str
    where: str
    parts: tuple[Camera, ...]

    @property
    def live(self) -> bool:
        """True for a camera that is watched as time goes by."""
        return self.parts[0].live


def find_footage(text: str, site: Site | None = None) -> Footage:
    """Find what a person means: a camera of the site, a stream, a recording, or a folder of recordings.

    Raises:
        SourceError: there is no such file, or the folder holds no video.
        UsageError: a configuration in place of a camera, or a name that the site does not know.
    """
    if site is not None and text in site.cameras:
        camera = site.cameras[text]
        return Footage(text, str(camera.url), (camera,))
    if text.endswith((".yaml", ".yml")):
        raise UsageError(f"{text}: give a configuration with --config, and the camera's name in its place")
    if not is_url(text) and not Path(text).exists():
        known = "" if site is None else f", and no camera of the site{did_you_mean(text, site.cameras)}"
        hint = "; a camera's name needs --config SITE.yaml" if site is None and "/" not in text else ""
        raise SourceError(f"{text}: no such file or folder{known}{hint}")
    cameras = name_sources([text])
    name = Path(text).resolve().name if Path(text).is_dir() else next(iter(cameras))
    return Footage(name, str(Url(text)), tuple(cameras.values()))


def find_detector(site: Site | None, camera: str, model: str | None) -> Composite | None:
    """Give what looks at the pictures: with a model, as the site says, or by default the model that is shipped.

    Returns:
        None where the site follows what moves and has no model.
    """
    if model is None and site is not None:
        steps = [step.operator for step in site.pipeline.steps if step.applies_to(camera)]
        detectors = [step for step in steps if isinstance(step, Composite) and hasattr(step, "cadence")]
        # Only samples are looked at, so that every one must be.
        return replace(detectors[0], cadence="every") if detectors else None  # type: ignore[type-var]
    made: Composite = load_class("detect")(model=model or find_default_model())
    return made


def bundle_of(detector: Composite | None) -> Bundle | None:
    """Load a detector's bundle.

    Raises:
        BundleError: it cannot be used.
    """
    return None if detector is None else Bundle.load(getattr(detector, "model", None) or find_default_model())


@dataclass
class SampleReader:
    """Reads footage and samples it.

    Only sampled frames are shown to the model: what it sees in a frame does not depend on the others.

    Attributes:
        detector: None for none.
        settings: how often samples are taken, and whether they carry pictures.
        stop: ends reading, with what there is.
        for_s: how long a live camera is watched.
        errors: recordings that could not be read to their end; the others were.
    """

    detector: Composite | None
    settings: DriftSettings
    stop: threading.Event = field(default_factory=threading.Event)
    for_s: float = 300.0
    errors: list[SourceError] = field(default_factory=list)

    def samples(
        self, footage: Footage, first_epoch: int = 0, on_frame: Callable[[], None] = lambda: None
    ) -> Iterator[DriftSample]:
        """Yield the samples of a camera, or of all recordings.

        Args:
            footage: what to read.
            first_epoch: of the first recording; a live camera's epochs follow the clock.
            on_frame: called after each frame, sampled or not.

        Raises:
            BundleError: the model cannot be used.
            SourceError: nothing at all could be read.
        """
        sampler = DriftSampler(self.settings)
        num_frames = 0
        with _open(self.detector) as operators, closing(self._frames(footage, first_epoch)) as frames:
            for frame in frames:
                if sampler.due(frame):
                    packet = Packet(frame)
                    for operator in operators:
                        packet = operator.process(packet)
                    sample = sampler.sample(packet)
                    if sample is not None:
                        yield sample
                num_frames += 1
                on_frame()
                if self.stop.is_set():
                    break
        if num_frames == 0 and self.errors:
            raise self.errors[-1]

    def _frames(self, footage: Footage, epoch: int) -> Generator[Frame]:
        if footage.live:
            yield from self._watch(footage.name, footage.parts[0])
            return
        for camera in footage.parts:
            try:
                for frame in _read(footage.name, camera, epoch):
                    yield frame
                    epoch = frame.epoch
            except SourceError as error:
                self.errors.append(error)
            epoch += 1

    def _watch(self, name: str, camera: Camera) -> Generator[Frame]:
        """Read a live camera until the time is up, connecting again where it breaks off."""
        deadline_s = time.monotonic() + self.for_s
        epoch: int | None = None
        while time.monotonic() < deadline_s and not self.stop.is_set():
            try:
                with closing(_read(name, camera, next_epoch(epoch, time.time()))) as frames:
                    for frame in frames:
                        yield frame
                        epoch = frame.epoch
                        if time.monotonic() >= deadline_s:
                            return
            except SourceError:
                # Somebody waits for the report: what does not answer at first is said at once.
                if epoch is None:
                    raise
            self.stop.wait(min(_RETRY_S, max(0.0, deadline_s - time.monotonic())))


def _read(name: str, camera: Camera, first_epoch: int) -> Generator[Frame]:
    source = camera.make_source()
    try:
        source.open()
        now = (lambda: int(time.time() * 1e6)) if source.live else None
        limit = camera.frame_limit(None)
        for number, frame in enumerate(read_frames(name, source, first_epoch, CameraSummary(), now), 1):
            yield frame
            if number == limit:
                return
    finally:
        source.close()


@contextmanager
def _open(detector: Composite | None) -> Iterator[list[Operator]]:
    operators = [] if detector is None else detector.expand()
    opened = []
    try:
        for operator in operators:
            operator.open()
            opened.append(operator)
        yield operators
    finally:
        for operator in opened:
            operator.close()
