"""A shared segment in actors of its own, and the client that stands in for it in a camera host.

What travels is what the operator reads, such as the letterboxed tensor, and what it writes, such as detections:
never the picture.
"""

from __future__ import annotations

import itertools
import logging
import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, cast

import ray

from deployments.cluster import get
from deployments.collector import Lines, LogTail, log_lines
from deployments.shipment import Shipment
from engine.batcher import Batcher, open_copies
from engine.errors import DeviceLost, OperatorError, VedetteError
from engine.lane import Request, open_shared
from engine.operator import BatchOperator
from engine.packet import Packet
from engine.picture import Picture
from engine.plan import Segment, batch_operator

logger = logging.getLogger(__name__)

# Requests of one host that travel in one call, and how long the first of them waits for the others.
CALL_SIZE = 8
CALL_WAIT_S = 0.002
# Calls of one host on their way at a time: while one is answered the next is being made.
NUM_CALLS = 4
# A detector that has not answered by then is asked once more; after that the frame goes on without it.
ANSWER_S = 10.0
WARN_EVERY_S = 10.0
# How long an actor that was started again and cannot open its model waits before the next try.
AGAIN_S = 5.0

Done = Callable[[Packet | None], None]
Answer = dict[str, Any] | str


class AbsentPicture(Picture):
    """Stands for a picture that stayed behind: it has a size and no pixels."""

    __slots__ = ("_camera",)

    def __init__(self, size_wh: tuple[int, int], camera: str) -> None:
        self.size_wh, self._camera = size_wh, camera
        self.pixel_format, self.full_range = "gray", False

    def __reduce__(self) -> Any:
        return AbsentPicture, (self.size_wh, self._camera)

    def __getattr__(self, name: str) -> Any:
        if name == "planes":
            raise OperatorError(
                f"camera '{self._camera}': pictures do not travel to an operator with place: actor; let it read "
                "'tensor', or use place: local"
            )
        raise AttributeError(name)


def strip(packet: Packet, operator: BatchOperator) -> Packet:
    """Give what travels: where the packet stands in its camera's time, and the fields that the operator reads."""
    frame = packet.frame
    bare = replace(frame, picture=AbsentPicture(frame.size_wh, frame.camera), motion_vectors=None)
    fields = {name: getattr(packet, name) for name in operator.reads if name not in ("frame", "events")}
    return Packet(frame=bare, **fields)


def extract(packet: Packet, operator: BatchOperator) -> dict[str, Any]:
    """Give what travels back: the fields that the operator writes, and its events."""
    fields = {name: getattr(packet, name) for name in operator.writes if name not in ("frame", "events")}
    return {**fields, "events": packet.events}


def merge(packet: Packet, answer: dict[str, Any]) -> Packet:
    """Put an answer into the packet that stayed."""
    fields = dict(answer)
    return packet.emit(*fields.pop("events")).replace(**fields)


class _DetectorActor:
    """Runs one shared segment for many camera hosts. Batches form by themselves while the operator is busy.

    Args:
        shipment: holds the segment.
        num_threads: copies of an operator that runs on the cores, one a thread.
        log_level: the least that is told.
        exit: ends the process when its GPU is lost; Ray starts another one.
    """

    def __init__(
        self,
        shipment: Shipment,
        num_threads: int,
        log_level: int = logging.WARNING,
        exit: Callable[[int], Any] = os._exit,
    ) -> None:
        self._log = LogTail()
        logging.getLogger("ray").propagate = False
        logging.getLogger().addHandler(self._log)
        logging.getLogger().setLevel(log_level)
        self._error: VedetteError | None = None
        self._exit = exit
        # Ray repeats the constructor when it restarts an actor, and nothing else: so all is opened here.
        try:
            segment: Segment = shipment.unpack()
            copies = open_copies(lambda: open_shared(segment), num_threads)
        except VedetteError as error:
            self._error = error
            if _was_restarted():
                # It could be opened before: a GPU that was reset, or a share that was away, may come back.
                time.sleep(AGAIN_S)
                self._exit(1)
            return
        self._operator = copies[0]
        self._batcher = Batcher(copies, self._lost)

    def where(self) -> tuple[int, str]:
        """Give process id and node."""
        return os.getpid(), socket.gethostname()

    def ready(self) -> Lines:
        """Give what was logged so far, such as which backend was taken and why.

        Raises:
            VedetteError: the operator could not be opened.
        """
        if self._error is not None:
            raise self._error
        return self._log.fetch()

    @ray.method(concurrency_group="infer")
    def infer(self, packets: list[Packet]) -> tuple[list[Answer], Lines]:
        """Give an answer for each packet, the fields written or a text that says why there are none, and what was
        logged since the last call.
        """
        lines = self.ready()
        replies: list[Future[Packet | Exception]] = []
        for packet in packets:
            reply: Future[Packet | Exception] = Future()
            replies.append(reply)
            self._batcher.put(packet, reply.set_result)
        return [self._pack(reply.result()) for reply in replies], lines + self._log.fetch()

    def _pack(self, reply: Packet | Exception) -> Answer:
        return f"{type(reply).__name__}: {reply}" if isinstance(reply, Exception) else extract(reply, self._operator)

    def _lost(self, error: DeviceLost) -> None:
        # Nothing in this process can use the GPU again. The hosts ask once more, and find the next process.
        print(f"vedette: {error}; the detector starts again", file=sys.stderr, flush=True)
        self._exit(1)


def _was_restarted() -> bool:
    context = ray.get_runtime_context() if ray.is_initialized() else None
    return context is not None and context.get_actor_id() is not None and context.was_current_actor_reconstructed


# Ray's types do not know concurrency groups.
DetectorActor: Any = cast(Any, ray.remote)(
    max_restarts=-1, max_task_retries=0, concurrency_groups={"infer": 32}
)(_DetectorActor)  # fmt: skip


class RemoteDetector:
    """Sends packets to detector actors and gives back what they found: one retry, then None.

    Args:
        segment: the shared segment.
        actors: that run it; they take turns.
        answer_s: time limit of a call.
    """

    def __init__(self, segment: Segment, actors: Sequence[Any], answer_s: float = ANSWER_S) -> None:
        self._name = segment.steps[0].name
        self._operator = batch_operator(segment)
        self._turns = itertools.cycle(actors)
        self._answer_s = answer_s
        self._waiting: deque[tuple[Request, Done]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._warned_at_s = -WARN_EVERY_S
        for number in range(NUM_CALLS):
            threading.Thread(target=self._run, name=f"{self._name}-{number}", daemon=True).start()

    def submit(self, request: Request, done: Done) -> None:
        """See RemoteSegment."""
        with self._changed:
            self._waiting.append((request, done))
            self._changed.notify()

    def close(self) -> None:
        """See RemoteSegment; what still waits is not answered any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _run(self) -> None:
        while batch := self._gather():
            packets = [request.packet for request, _ in batch]
            for (_, done), packet, answer in zip(batch, packets, self._ask(packets), strict=True):
                try:
                    done(None if answer is None else merge(packet, answer))
                except Exception:
                    logger.exception("camera '%s': the answer of step '%s' was lost", packet.frame.camera, self._name)

    def _gather(self) -> list[tuple[Request, Done]]:
        """Wait for a request, and a moment for more; none means the end."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if self._closed:
                return []
            batch = [self._waiting.popleft()]
            until_s = time.monotonic() + CALL_WAIT_S
            while len(batch) < CALL_SIZE and (left_s := until_s - time.monotonic()) > 0:
                if self._waiting:
                    batch.append(self._waiting.popleft())
                else:
                    self._changed.wait(left_s)
            return batch

    def _ask(self, packets: list[Packet]) -> list[dict[str, Any] | None]:
        out: list[dict[str, Any] | None] = [None] * len(packets)
        left = list(range(len(packets)))
        bare = [strip(packet, self._operator) for packet in packets]
        for attempt in (1, 2):
            try:
                ref = next(self._turns).infer.remote([bare[i] for i in left])
                answers, lines = get(ref, self._answer_s, f"step '{self._name}'")
                log_lines(lines)
            except VedetteError as error:
                answers = [str(error)] * len(left)
            for i, answer in zip(left, answers, strict=True):
                if isinstance(answer, str):
                    self._warn(f"camera '{packets[i].frame.camera}': step '{self._name}' failed at frame "
                               f"{packets[i].frame.index} (attempt {attempt} of 2): {answer}")  # fmt: skip
                else:
                    out[i] = answer
            left = [i for i in left if out[i] is None]
            if not left:
                break
        return out

    def _warn(self, text: str) -> None:
        if time.monotonic() - self._warned_at_s >= WARN_EVERY_S:
            self._warned_at_s = time.monotonic()
            logger.warning("%s", text)
