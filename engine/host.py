"""The camera host: threads around lanes. Live, and in one process.

A camera's connection fills its mailbox; as many workers as there are cores take frames from any mailbox, run the
lane, the local detector and the lane again, so that several frames of one camera are in flight and every core works
on one thread's worth of inference. `run --runner inline` is this; the Ray actor wraps it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from engine.batcher import Batcher, open_copies
from engine.connection import Connection
from engine.drift.port import DriftPort
from engine.errors import DeviceLost, VedetteError
from engine.event import Event, format_time
from engine.lane import CameraLane, Progress, Request, open_shared
from engine.mailbox import Arrival, Control, Item, Mailbox
from engine.operator import BatchOperator, Source
from engine.packet import Packet
from engine.plan import ExecutionPlan, LanePlan, Segment
from engine.site import Camera
from engine.summary import CameraSummary
from engine.taps import Taps

logger = logging.getLogger(__name__)

TICK_S = 0.02
# Repeating a warning more often than this tells nobody anything.
WARN_EVERY_S = 10.0


class Emit(Protocol):
    """Takes the events of one camera, in order; must be quick."""

    def __call__(self, camera: str, events: list[Event], headers: Mapping[str, str]) -> None:
        """Take them."""


class RemoteSegment(Protocol):
    """A shared segment that runs elsewhere. `submit` must not wait; `done` may be called from any thread."""

    def submit(self, request: Request, done: Callable[[Packet | None], None]) -> None:
        """Send a packet; `done` gets the reply, or None when it could not be processed."""

    def close(self) -> None:
        """Stop."""


class _Batched:
    """A shared segment with a device of its own in this process; see RemoteSegment. One retry, then no answer."""

    def __init__(self, batcher: Batcher, warn: Callable[[str], None]) -> None:
        self._batcher = batcher
        self._warn = warn

    def submit(self, request: Request, done: Callable[[Packet | None], None], attempt: int = 1) -> None:
        """See RemoteSegment."""

        def answered(reply: Packet | Exception) -> None:
            if isinstance(reply, Packet):
                done(reply)
                return
            frame = request.packet.frame
            self._warn(f"camera '{frame.camera}': a detector failed at frame {frame.index} (attempt {attempt} of 2): "
                       f"{reply}")  # fmt: skip
            if attempt == 1:
                self.submit(request, done, 2)
            else:
                done(None)

        self._batcher.put(request.packet, answered)

    def close(self) -> None:
        """See RemoteSegment."""
        self._batcher.close()


class _Feed:
    """One camera in the host: its connection, its mailbox and its lane."""

    def __init__(
        self,
        name: str,
        camera: Camera,
        plan: LanePlan,
        site: str,
        previous: tuple[int, int] | None,
        drift: DriftPort | None,
    ) -> None:
        self.name = name
        self.camera = camera
        self.counts = CameraSummary()
        self.mailbox = Mailbox(camera.waits)
        self.taps = Taps(name, plan.taps, drift)
        # A recording has the time: a tap that draws a video gets every frame, and verdicts on drift stand behind the
        # frame that they came with. A live camera's taps have a thread of their own.
        watch = self.taps.watch if self.taps and camera.waits else None
        self.lane = CameraLane(name, plan, site, camera.gap_after_s, previous, watch)
        self.tap_queue: deque[Packet] = deque()
        self.lock = threading.Lock()
        self.arrived_s: dict[tuple[int, int], float] = {}
        self.finished = False
        self.final: Control | None = None
        self.connection: Connection


class CameraHost:
    """Runs live cameras and recordings until they end or it is stopped.

    Args:
        site: the site's name.
        cameras: what to run.
        plan: how to process it.
        emit: gets every event.
        num_workers: threads that run lanes and local detectors; one a core by default.
        remote: runs a shared segment elsewhere where its place says so; None runs all here.
        headers: run-time facts for every event, such as the node's name.
        max_frames: decoded frames of each camera at most.
        on_frame: told the camera of each analysed frame, for progress.
        make_source: makes a connection of a camera; another one in tests.
        previous: epoch and last seq of cameras that another process ran before.
        drift: watches the cameras for drift. Whoever made it closes it, after `stop`.
    """

    def __init__(
        self,
        site: str,
        cameras: Mapping[str, Camera],
        plan: ExecutionPlan,
        emit: Emit,
        num_workers: int | None = None,
        remote: Callable[[Segment], RemoteSegment] | None = None,
        headers: Mapping[str, str] | None = None,
        max_frames: int | None = None,
        on_frame: Callable[[str], None] | None = None,
        make_source: Callable[[str, Camera], Source] | None = None,
        previous: Mapping[str, tuple[int, int]] | None = None,
        drift: DriftPort | None = None,
    ) -> None:
        self._plan = plan
        self._emit = emit
        self._num_workers = num_workers or len(os.sched_getaffinity(0))
        self._headers = dict(headers or {})
        self._on_frame = on_frame
        self._make_remote = remote
        self._remote: dict[str, RemoteSegment] = {}
        self._replies: deque[tuple[_Feed, Request, Packet | None]] = deque()
        # Workers wait for work, and `wait` for the end: each has a condition, or one would sleep through the other's
        # news.
        self._work = threading.Condition()
        self._ended = threading.Condition()
        self._work_version = 0
        self._stopping = False
        self._threads: list[threading.Thread] = []
        self._warned_at_s: dict[str, float] = {}
        self._feeds: list[_Feed] = []
        for name, camera in cameras.items():
            before = (previous or {}).get(name)
            feed = _Feed(name, camera, plan.lanes[name], site, before, drift)
            make = None if make_source is None else (lambda n=name, c=camera: make_source(n, c))
            feed.connection = Connection(
                name, camera, feed.mailbox, feed.counts, self._wake, max_frames, make,
                previous_epoch=before[0] if before else None,
            )  # fmt: skip
            self._feeds.append(feed)
        self.fatal: VedetteError | None = None

    @property
    def counts(self) -> dict[str, CameraSummary]:
        """Every camera's numbers so far."""
        for feed in self._feeds:
            lane = feed.lane.counts
            feed.counts.frames_analysed = lane.frames_analysed
            feed.counts.frames_detected = lane.frames_detected
            feed.counts.frames_dropped = feed.mailbox.dropped
            feed.counts.gaps = lane.gaps
            feed.counts.stale_replies = lane.stale_replies
            feed.counts.failed_frames = lane.failed_frames
            feed.counts.drift_samples = feed.taps.num_samples
            feed.counts.drift_left_out = feed.taps.num_left_out
        return {feed.name: feed.counts for feed in self._feeds}

    @property
    def finished(self) -> frozenset[str]:
        """Cameras that have ended for good; all their events have been emitted."""
        return frozenset(feed.name for feed in self._feeds if feed.finished)

    @property
    def errors(self) -> dict[str, VedetteError]:
        """Cameras that cannot be used, with the reason."""
        return {feed.name: feed.connection.error for feed in self._feeds if feed.connection.error is not None}

    def start(self) -> None:
        """Open lanes and models, and start the threads.

        Raises:
            VedetteError: a model or an operator cannot be opened; nothing is left running.
        """
        opened: list[CameraLane] = []
        try:
            for feed in self._feeds:
                feed.lane.open()
                opened.append(feed.lane)
                feed.taps.open()
            for key, segment in self._plan.shared.items():
                if segment.place == "actor" and self._make_remote is not None:
                    self._remote[key] = self._make_remote(segment)
            copies = self._open_shared()
        except VedetteError:
            for lane in opened:
                lane.close()
            for remote in self._remote.values():
                remote.close()
            raise
        targets: list[tuple[str, Callable[[], None]]] = [
            (f"worker-{n}", lambda s=shared, n=n: self._run_worker(s, n))  # type: ignore[misc]
            for n, shared in enumerate(copies)
        ]
        targets.append(("connections", self._run_connections))
        if any(feed.taps for feed in self._feeds):
            targets.append(("taps", self._run_taps))
        self._threads = [threading.Thread(target=target, name=name, daemon=True) for name, target in targets]
        for thread in self._threads:
            thread.start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until every camera has ended; live ones never do. Gives False on time-out.

        Raises:
            VedetteError: the host itself cannot go on.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._ended:
            while not all(feed.finished for feed in self._feeds) and self.fatal is None:
                left_s = None if deadline_s is None else deadline_s - time.monotonic()
                if left_s is not None and left_s <= 0:
                    return False
                self._ended.wait(0.2 if left_s is None else min(0.2, left_s))
        if self.fatal is not None:
            raise self.fatal
        return True

    def stop(self, timeout_s: float = 5.0) -> int:
        """End every camera and give all that was admitted its time; give the number of threads that hang."""
        for feed in self._feeds:
            feed.connection.stop()
        try:
            # Where nothing was started, nothing will end.
            if self._threads:
                self.wait(timeout_s)
        except VedetteError:
            logger.debug("stopping after a failure")
        with self._work:
            self._stopping = True
            self._work.notify_all()
        deadline_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.05, deadline_s - time.monotonic()))
        for remote in self._remote.values():
            remote.close()
        # A thread stuck in a library is a daemon and dies with the process; waiting for it would hang the exit.
        stuck = sum(feed.connection.join(0.2) for feed in self._feeds)
        for feed in self._feeds:
            feed.lane.close()
            feed.taps.close()
        return stuck + sum(thread.is_alive() for thread in self._threads)

    def _open_shared(self) -> list[dict[str, BatchOperator]]:
        """Open local detectors: one set for each worker, whose thread needs no lock then, or a batcher before them."""
        copies: list[dict[str, BatchOperator]] = [{} for _ in range(self._num_workers)]
        try:
            for key, segment in self._plan.shared.items():
                if key in self._remote:
                    continue
                opened = open_copies(lambda s=segment: open_shared(s), self._num_workers)  # type: ignore[misc]
                if opened[0].own_device or opened[0].batch_size > 1:
                    self._remote[key] = _Batched(Batcher(opened, on_lost=self._lost), self._warn)
                    continue
                for own, operator in zip(copies, opened, strict=True):
                    own[key] = operator
        except VedetteError:
            for operator in (operator for own in copies for operator in own.values()):
                operator.close()
            raise
        return copies

    def _lost(self, error: DeviceLost) -> None:
        self.fatal = error
        self._tell_end()

    def _wake(self) -> None:
        with self._work:
            self._work_version += 1
            self._work.notify()

    def _tell_end(self) -> None:
        with self._ended:
            self._ended.notify_all()

    def _run_connections(self) -> None:
        while not self._stopping:
            for feed in self._feeds:
                feed.connection.tick()
            time.sleep(TICK_S)

    def _run_worker(self, shared: dict[str, BatchOperator], number: int) -> None:
        try:
            self._work_loop(shared, number)
        except Exception as error:
            self._give_up(error)
        finally:
            for operator in shared.values():
                operator.close()

    def _give_up(self, error: Exception) -> None:
        logger.exception("a worker failed")
        self.fatal = error if isinstance(error, VedetteError) else VedetteError(f"a worker failed: {error!r}")
        self._tell_end()

    def _work_loop(self, shared: dict[str, BatchOperator], number: int) -> None:
        turn = number
        while True:
            with self._work:
                version = self._work_version
            if self._replies:
                try:
                    feed, request, packet = self._replies.popleft()
                except IndexError:
                    continue  # another worker was quicker
                self._serve(feed, self._complete(feed, request, packet), shared)
                continue
            for offset in range(len(self._feeds)):
                feed = self._feeds[(turn + offset) % len(self._feeds)]
                requests = self._step(feed)
                if requests is not None:
                    # The next turn begins behind this camera, so that none is starved.
                    turn += offset + 1
                    self._serve(feed, requests, shared)
                    break
            else:
                with self._work:
                    if self._stopping:
                        return
                    if version == self._work_version:
                        self._work.wait(0.1)

    def _step(self, feed: _Feed) -> list[Request] | None:
        """Let a camera's lane take its next item, if there is one that it can take; None if not."""
        if feed.mailbox.peek() is None or not feed.lock.acquire(blocking=False):
            return None
        try:
            item = feed.mailbox.peek()
            if item is None or not self._can_take(feed, item):
                return None
            feed.mailbox.take()
            return self._take(feed, item)
        finally:
            feed.lock.release()

    @staticmethod
    def _can_take(feed: _Feed, item: Item) -> bool:
        if isinstance(item, Arrival):
            return feed.lane.ready(item.frame)
        if item.kind == "gap":
            return True
        # The last word on drift is waited for: nobody would hear it after the end.
        return feed.lane.in_flight == 0 and not (item.final and feed.tap_queue)

    def _take(self, feed: _Feed, item: Item) -> list[Request]:
        try:
            if isinstance(item, Arrival):
                feed.arrived_s[item.frame.epoch, item.frame.index] = item.at_s
                progress = feed.lane.admit(item.frame)
            elif item.kind == "gap":
                progress = feed.lane.open_gap(item.cause)
            elif item.kind == "down":
                progress = feed.lane.down(item.epoch, round(time.time() * 1e6), item.cause)
            else:
                self._publish(feed, feed.lane.say(feed.taps.verdicts()))
                progress = feed.lane.finish("shutdown" if item.final else "camera_gap", item.cause)
        except VedetteError as error:
            progress = self._failed(feed, error)
        requests = self._publish(feed, progress)
        if isinstance(item, Control) and item.final:
            feed.finished = True
            self._tell_end()
        return requests

    def _serve(self, feed: _Feed, requests: list[Request], shared: dict[str, BatchOperator]) -> None:
        waiting = list(requests)
        while waiting:
            request = waiting.pop(0)
            remote = self._remote.get(request.segment_key)
            if remote is not None:
                remote.submit(request, lambda packet, r=request: self._reply(feed, r, packet))  # type: ignore[misc]
                continue
            packet = self._infer(shared[request.segment_key], request.packet)
            waiting.extend(self._complete(feed, request, packet))

    def _infer(self, operator: BatchOperator, packet: Packet) -> Packet | None:
        for attempt in (1, 2):
            try:
                (reply,) = operator.process_batch([packet])
                return reply
            except DeviceLost as error:
                self._lost(error)
                return None
            except Exception as error:
                self._warn(f"camera '{packet.frame.camera}': step '{operator.name}' failed at frame "
                           f"{packet.frame.index} (attempt {attempt} of 2): {error}")  # fmt: skip
        return None

    def _reply(self, feed: _Feed, request: Request, packet: Packet | None) -> None:
        """Leave a remote reply to the workers: the remote segment's thread has its device to serve."""
        self._replies.append((feed, request, packet))
        self._wake()

    def _complete(self, feed: _Feed, request: Request, packet: Packet | None) -> list[Request]:
        with feed.lock:
            try:
                progress = feed.lane.complete(request.key, packet or request.packet, failed=packet is None)
            except VedetteError as error:
                progress = self._failed(feed, error)
            requests = self._publish(feed, progress)
        self._wake()
        return requests

    def _failed(self, feed: _Feed, error: VedetteError) -> Progress:
        """An operator failed: this camera starts afresh, the others do not notice."""
        self._warn(str(error))
        feed.connection.fail(error)
        feed.arrived_s.clear()
        try:
            return feed.lane.restart("internal")
        except VedetteError as again:
            self.fatal = again
            return Progress()

    def _publish(self, feed: _Feed, progress: Progress) -> list[Request]:
        """Hand over what a lane gave; called with the camera's lock held, which keeps its events in order."""
        now_s = time.monotonic()
        latency: dict[str, str] = {}
        for packet in progress.done:
            at_s = feed.arrived_s.pop((packet.frame.epoch, packet.frame.index), now_s)
            latency_ms = (now_s - at_s) * 1000
            feed.counts.first_s = feed.counts.first_s or at_s
            feed.counts.last_s = now_s
            feed.counts.latency.add(latency_ms)
            latency = {"latency-ms": f"{latency_ms:.1f}"}
            if feed.taps and not feed.camera.waits:
                self._hand_to_taps(feed, packet)
            if self._on_frame is not None:
                self._on_frame(feed.name)
        if progress.events:
            for event in progress.events:
                feed.counts.events[event.type] += 1
            processed = {"time-processed": format_time(round(time.time() * 1e6))}
            self._emit(feed.name, progress.events, {**self._headers, **processed, **latency})
        return progress.requests

    def _hand_to_taps(self, feed: _Feed, packet: Packet) -> None:
        if feed.tap_queue:
            feed.counts.taps_skipped += 1
        else:
            feed.tap_queue.append(packet)

    def _run_taps(self) -> None:
        try:
            self._tap_loop()
        except Exception as error:
            self._give_up(error)

    def _tap_loop(self) -> None:
        while True:
            # Read before looking: what was put in before the end is still served.
            stopping, busy = self._stopping, False
            for feed in self._feeds:
                if feed.tap_queue:
                    busy = True
                    self._say(feed, feed.taps.watch(feed.tap_queue[0]))
                    feed.tap_queue.popleft()
            if not busy and stopping:
                return
            if not busy:
                time.sleep(0.005)

    def _say(self, feed: _Feed, events: list[Event]) -> None:
        """Publish what was found out in the taps' thread."""
        if events:
            with feed.lock:
                self._publish(feed, feed.lane.say(events))
            # A worker may have found the camera taken, and gone to sleep.
            self._wake()

    def _warn(self, text: str) -> None:
        key = text[:40]
        if time.monotonic() - self._warned_at_s.get(key, -WARN_EVERY_S) >= WARN_EVERY_S:
            self._warned_at_s[key] = time.monotonic()
            logger.warning("%s", text)
