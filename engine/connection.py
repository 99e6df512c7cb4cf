"""Keeping one camera connected: attempts, back-off, and a watchdog that no library can outwait.

Each attempt reads in a thread of its own. A generation number mutes a thread that is stuck inside a library: its
replacement starts at once, and what it says later is not heard. `tick()` is called by the host every few
milliseconds; nothing here waits.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Literal

from engine.clock import next_epoch
from engine.errors import Cause, SourceError, VedetteError
from engine.feed import read_frames
from engine.mailbox import Arrival, Control, Mailbox
from engine.operator import Source
from engine.redact import redact
from engine.site import Camera
from engine.summary import CameraSummary

logger = logging.getLogger(__name__)

FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 30.0
# A wrong password does not mend itself in a second, and cameras lock accounts that try too often.
AUTH_RETRY_S = 5.0
# A connection that held this long was a good one: the next attempt is again a first one.
GOOD_AFTER_S = 10.0
# Connecting has its own, shorter limits inside the source; this one holds whatever the library does.
CONNECT_LIMIT_S = 10.0
MAX_STUCK_THREADS = 3
# Longer than any camera's distance between key frames: with no whole picture for so long, the stream is broken, or the
# camera sends no key frames, and only a new connection makes it send one.
WHOLE_FRAME_LIMIT_S = 20.0


class Connection:
    """One camera's attempts, one after another.

    Args:
        name: the camera's name.
        camera: what to connect to.
        mailbox: where frames and control items go.
        counts: is kept up to date.
        wake: called after something was put into the mailbox.
        max_frames: decoded frames after which the camera is finished.
        make_source: makes one connection.
        monotonic: seconds that only grow; another clock in tests.
        previous_epoch: the last epoch of a process that ran this camera before: the next one is above it.
    """

    def __init__(
        self,
        name: str,
        camera: Camera,
        mailbox: Mailbox,
        counts: CameraSummary,
        wake: Callable[[], None],
        max_frames: int | None = None,
        make_source: Callable[[], Source] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        previous_epoch: int | None = None,
    ) -> None:
        self.name = name
        self.camera = camera
        self.counts = counts
        self.error: VedetteError | None = None
        self.finished = False
        self._mailbox = mailbox
        self._wake = wake
        self._max_frames = camera.frame_limit(max_frames)
        self._make_source = make_source or camera.make_source
        self._monotonic = monotonic
        self._random = random.Random(name)
        self._lock = threading.Lock()
        self._state: Literal["waiting", "connecting", "running", "done"] = "waiting"
        self._generation = 0
        self._writer = mailbox.change_writer()
        self._epoch = previous_epoch
        self._attempts = 0
        self._retry_at_s = self._monotonic()
        self._started_at_s = 0.0
        self._last_frame_at_s = 0.0
        self._last_whole_at_s = 0.0
        self._gap_told = False
        self._down_cause: str | None = None
        self._source: Source | None = None
        self._threads: list[threading.Thread] = []

    def tick(self) -> None:
        """Do what is due now: start an attempt, tell a gap, give up on a stalled connection."""
        now_s = self._monotonic()
        with self._lock:
            if self._state == "waiting" and now_s >= self._retry_at_s:
                self._start(now_s)
            elif (
                self._state == "connecting" and self.camera.live and now_s - self._started_at_s > self._connect_limit_s
            ):
                waited = f"no frame from {self.camera.url} within {self._connect_limit_s:.1f} s"
                self._end(SourceError(self._text(waited), Cause.TIMEOUT), now_s)
            elif self._state == "running" and self.camera.live:
                silent_s = now_s - self._last_frame_at_s
                if silent_s > self.camera.stall_after_s:
                    text = f"no frame from {self.camera.url} for {silent_s:.1f} s"
                    self._end(SourceError(self._text(text), Cause.STALL), now_s)
                elif now_s - self._last_whole_at_s > WHOLE_FRAME_LIMIT_S:
                    text = f"no whole picture from {self.camera.url} for {WHOLE_FRAME_LIMIT_S:.0f} s"
                    self._end(SourceError(self._text(text), Cause.CODEC), now_s)
                elif silent_s > self.camera.gap_after_s and not self._gap_told:
                    self._gap_told = True
                    self._tell(Control("gap", "no_frames"))

    def stop(self) -> None:
        """End for good: no attempt follows, and the lane is told."""
        with self._lock:
            if self._state != "done":
                self._mute()
                self._state = "done"
                self._tell(Control("end", "stopped", final=True))

    def fail(self, error: VedetteError) -> None:
        """Give up on this connection because the frames could not be processed; a live camera is tried again."""
        with self._lock:
            if self._state == "done":
                return
            self.counts.error = str(error)
            self._mute(discard=True)
            self._down_cause = Cause.INTERNAL
            if self.camera.live:
                self._retry(self._monotonic(), error)
            else:
                self.error = error
                self._state = "done"
                self._tell(Control("end", Cause.INTERNAL, final=True))

    def join(self, timeout_s: float) -> int:
        """Wait for the reading threads; give the number that are stuck."""
        deadline_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        return sum(thread.is_alive() for thread in self._threads)

    @property
    def _connect_limit_s(self) -> float:
        return max(CONNECT_LIMIT_S, self.camera.stall_after_s)

    def _text(self, what: str) -> str:
        return redact(f"camera '{self.name}': {what}")

    def _start(self, now_s: float) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if len(self._threads) >= MAX_STUCK_THREADS:
            # Threads stuck inside a library cannot be ended; another one would only be the next to hang.
            self._retry_at_s = now_s + LONGEST_RETRY_S
            logger.error("camera '%s': %d reading threads hang; waiting for one to end", self.name, len(self._threads))
            return
        self._generation += 1
        self._attempts += 1
        if self.camera.live:
            self._epoch = next_epoch(self._epoch, time.time())
        else:
            self._epoch = 0 if self._epoch is None else self._epoch + 1
        self._state, self._started_at_s = "connecting", now_s
        thread = threading.Thread(
            target=self._read, args=(self._generation, self._epoch, self._writer), name=f"read-{self.name}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _read(self, generation: int, epoch: int, writer: int) -> None:
        """Read one connection to its end; runs in a thread of its own."""
        error: VedetteError | None = None
        source = None
        try:
            source = self._make_source()
            with self._lock:
                if generation != self._generation:
                    return
                self._source = source
            source.open()
            self.counts.connections += 1
            clock = (lambda: round(time.time() * 1e6)) if source.live else None
            frames = read_frames(self.name, source, epoch, self.counts, clock, lambda: self._alive(generation))
            for number, frame in enumerate(frames, 1):
                with self._lock:
                    if generation != self._generation:
                        return
                    self._last_whole_at_s = self._monotonic()
                    # A new epoch inside one connection counts as used.
                    self._epoch = max(self._epoch or 0, frame.epoch)
                if not self._mailbox.put(Arrival(frame, self._monotonic()), writer):
                    return
                self._wake()
                if number == self._max_frames:
                    with self._lock:
                        if generation == self._generation:
                            self._finish("ended")
                    return
        except VedetteError as raised:
            error = raised
        except Exception as raised:
            logger.exception("camera '%s': reading failed", self.name)
            error = SourceError(self._text(f"reading failed: {type(raised).__name__}: {raised}"), Cause.INTERNAL)
        finally:
            if source is not None:
                source.close()
        with self._lock:
            if generation == self._generation and self._state != "done":
                self._end(error, self._monotonic())

    def _alive(self, generation: int) -> None:
        with self._lock:
            if generation != self._generation:
                return
            self._last_frame_at_s = self._monotonic()
            if self._state == "connecting":
                self._state = "running"
                self._last_whole_at_s = self._last_frame_at_s
                logger.info("camera '%s': up", self.name)
            self._gap_told = False
            self._down_cause = None

    def _end(self, error: VedetteError | None, now_s: float) -> None:
        """The connection is over, for whatever reason. Call with the lock held."""
        was_up = self._state == "running"
        cause = error.cause.value if isinstance(error, SourceError) else Cause.ENDED.value
        if not self.camera.live:
            if error is not None:
                self.error = error
                self.counts.error = str(error)
            self._finish(cause)
            return
        if was_up and cause in (Cause.TIMEOUT, Cause.STALL):
            # The library's time-out and the watchdog name the same thing, whichever comes first.
            cause = Cause.STALL.value
            self.counts.stalls += 1
        if error is not None:
            self.counts.error = str(error)
        self._mute()
        if was_up:
            self._tell(Control("end", cause))
        elif cause != self._down_cause:
            self._tell(Control("down", cause, epoch=self._epoch or 0))
        self._down_cause = cause
        if was_up and now_s - self._started_at_s > GOOD_AFTER_S:
            self._attempts = 0
        self._retry(now_s, error, cause)

    def _retry(self, now_s: float, error: VedetteError | None, cause: str = "") -> None:
        wait_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(self._attempts, 8))
        if cause == Cause.AUTH:
            wait_s = max(wait_s, AUTH_RETRY_S)
        wait_s *= self._random.uniform(0.5, 1.0)
        self._state, self._retry_at_s = "waiting", now_s + wait_s
        said = str(error) if error is not None else self._text("the stream ended")
        logger.warning("%s (attempt %d, next in %.1f s)", said, self._attempts, wait_s)

    def _finish(self, cause: str) -> None:
        self._mute()
        self._state = "done"
        self._tell(Control("end", cause, final=True))

    def _mute(self, discard: bool = False) -> None:
        self._generation += 1
        self._writer = self._mailbox.change_writer(discard)
        if self._source is not None:
            self._source.close()
            self._source = None

    def _tell(self, item: Control) -> None:
        self._mailbox.control(item)
        self._wake()
