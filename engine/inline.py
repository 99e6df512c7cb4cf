"""The inline runner: a loop over lanes in one thread. What it does is the definition of correct.

Cameras are merged by (epoch, pts, camera, seq) while they are read: a camera runs ahead only to its next event.
"""

from __future__ import annotations

import heapq
import itertools
import logging
from collections.abc import Callable, Generator, Iterator, Mapping

from engine.drift.port import DriftPort
from engine.errors import SourceError, VedetteError
from engine.event import Event
from engine.feed import read_frames
from engine.frame import Frame
from engine.lane import CameraLane, Progress
from engine.operator import BatchOperator
from engine.plan import ExecutionPlan, batch_operator
from engine.site import Camera
from engine.summary import CameraSummary
from engine.taps import Taps

logger = logging.getLogger(__name__)


class InlineRunner:
    """Runs cameras over their recordings, every frame, in this thread.

    Args:
        site: the site's name, written into events.
        cameras: recordings; a live camera works too, and is read until it ends.
        plan: how to process them.
        max_frames: frames read of each camera at most.
        on_frame: told the camera of each analysed frame, for progress.
        drift: watches the cameras for drift; its verdicts stand right behind the events of the frame that they came
            with. Whoever made it closes it.
    """

    def __init__(
        self,
        site: str,
        cameras: Mapping[str, Camera],
        plan: ExecutionPlan,
        max_frames: int | None = None,
        on_frame: Callable[[str], None] | None = None,
        drift: DriftPort | None = None,
    ) -> None:
        self._site = site
        self._cameras = dict(cameras)
        self._plan = plan
        self._max_frames = max_frames
        self._on_frame = on_frame
        self._drift = drift
        self._shared: dict[str, BatchOperator] = {}
        self.counts = {name: CameraSummary() for name in self._cameras}
        self.errors: dict[str, VedetteError] = {}

    def events(self) -> Iterator[Event]:
        """Yield every camera's events, merged; a camera that fails is named in `errors` and the others go on.

        Raises:
            VedetteError: a model cannot be opened, or an operator broke its contract.
        """
        cameras = [self._camera_events(name, camera) for name, camera in self._cameras.items()]
        try:
            for key, segment in self._plan.shared.items():
                operator = batch_operator(segment)
                self._shared[key] = operator
                operator.open()
            yield from heapq.merge(*cameras, key=lambda event: event.order)
        finally:
            # One that ended early has not closed its operators and not counted its frames.
            for events in cameras:
                events.close()
            for operator in self._shared.values():
                operator.close()

    def _camera_events(self, name: str, camera: Camera) -> Generator[Event]:
        plan, counts = self._plan.lanes[name], self.counts[name]
        taps = Taps(name, plan.taps, self._drift)
        lane = CameraLane(name, plan, self._site, camera.gap_after_s, watch=taps.watch if taps else None)
        taps.open()
        lane.open()
        cause = "ended"
        try:
            try:
                for frame in self._frames(name, camera, counts):
                    progress = lane.admit(frame)
                    yield from self._finish(lane, progress, counts)
                    if self._on_frame is not None:
                        self._on_frame(name)
            except SourceError as error:
                counts.error = str(error)
                self.errors[name] = error
                cause = error.cause.value
            yield from self._count(lane.say(taps.verdicts()).events, counts)
            yield from self._count(lane.finish("shutdown", cause).events, counts)
        finally:
            lane.close()
            taps.close()
            counts.frames_analysed = lane.counts.frames_analysed
            counts.frames_detected = lane.counts.frames_detected
            counts.gaps = lane.counts.gaps
            counts.drift_samples, counts.drift_left_out = taps.num_samples, taps.num_left_out

    def _frames(self, name: str, camera: Camera, counts: CameraSummary) -> Iterator[Frame]:
        source = camera.make_source()
        try:
            source.open()
            counts.connections += 1
            yield from itertools.islice(read_frames(name, source, 0, counts), camera.frame_limit(self._max_frames))
        finally:
            source.close()

    def _finish(self, lane: CameraLane, progress: Progress, counts: CameraSummary) -> Iterator[Event]:
        """Answer requests until the frame is complete."""
        waiting = list(progress.requests)
        while True:
            yield from self._count(progress.events, counts)
            if not waiting:
                return
            request = waiting.pop(0)
            (packet,) = self._shared[request.segment_key].process_batch([request.packet])
            progress = lane.complete(request.key, packet)
            waiting.extend(progress.requests)

    @staticmethod
    def _count(events: list[Event], counts: CameraSummary) -> Iterator[Event]:
        for event in events:
            counts.events[event.type] += 1
            yield event
