"""The way from a camera host to the drift monitor in its actor, and of verdicts back."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, cast

import ray

from deployments.cluster import ActorLost, get
from deployments.collector import log_lines
from deployments.drift_actor import DriftAnswer
from deployments.shipment import HostSpec, only
from engine.drift.monitor import DriftVerdict
from engine.drift.port import DriftPort, LocalDrift
from engine.drift.sample import DriftSample
from engine.drift.setup import make_drift
from engine.errors import VedetteError

logger = logging.getLogger(__name__)

# A call costs a millisecond, and nobody needs a verdict sooner.
CALL_EVERY_S = 1.0
# What waits of a camera while the monitor is away: ten minutes at a sample a second.
MAX_WAITING = 600
# Of one camera in one call: after an absence the calls must not become huge.
MAX_IN_CALL = 60
# After this a monitor that has a call and does not answer is called away.
ANSWER_S = 10.0
CLOSE_S = 2.0


class RemoteDrift:
    """The way to a monitor in an actor; see DriftPort. Cameras never wait for it.

    Samples are queued and sent once a second. While the actor is away or slow they wait, the newest ten minutes of
    each camera; what goes beyond is left out and counted. A call whose answer was lost is made again, and the actor
    looks at its samples once.

    Verdicts come a second or two after their sample, and at least once: those that a host did not live to hear of
    are given to the next one that runs the camera. Lost are: verdicts that were heard and not stamped before the host
    died; those of a call during which the actor died, where it had saved them and not answered; those that come after
    a camera's last frame. In each case the monitor knows them, so `vedette drift watch` shows them, and the clearing
    of a drift comes as an event.

    Args:
        actor: a DriftActor.
        call_every_s: between calls.
    """

    def __init__(self, actor: Any, call_every_s: float = CALL_EVERY_S) -> None:
        self._actor = actor
        self._call_every_s = call_every_s
        self._host = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._waiting: defaultdict[str, deque[DriftSample]] = defaultdict(deque)
        self._verdicts: defaultdict[str, list[DriftVerdict]] = defaultdict(list)
        self._left_out: Counter[str] = Counter()
        # The call on its way: its number, its samples, and Ray's promise of an answer where it has been made.
        self._number = 0
        self._samples: dict[str, list[DriftSample]] = {}
        self._ref: Any = None
        self._asked_s = 0.0
        self._away = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drift", daemon=True)
        self._thread.start()

    def observe(self, camera: str, samples: Sequence[DriftSample]) -> None:
        """See DriftPort."""
        with self._lock:
            waiting = self._waiting[camera]
            waiting.extend(samples)
            while len(waiting) > MAX_WAITING:
                waiting.popleft()
                self._left_out[camera] += 1

    def verdicts(self, camera: str) -> list[DriftVerdict]:
        """See DriftPort."""
        with self._lock:
            return self._verdicts.pop(camera, [])

    def num_left_out(self, camera: str) -> int:
        """See DriftPort."""
        return self._left_out[camera]

    def close(self) -> None:
        """Send what waits, for two seconds at most; what is left then counts as left out.

        What the monitor has learnt is saved by whoever ends the actor.
        """
        self._closing.set()
        self._thread.join(CLOSE_S + 0.5)

    def _run(self) -> None:
        while not self._closing.wait(self._call_every_s):
            self._step(self._call_every_s)
        until_s = time.monotonic() + CLOSE_S
        while (left_s := until_s - time.monotonic()) > 0 and self._step(left_s):
            pass
        with self._lock:
            self._left_out.update({camera: len(samples) for camera, samples in self._samples.items()})
            self._left_out.update({camera: len(waiting) for camera, waiting in self._waiting.items()})

    def _step(self, timeout_s: float) -> bool:
        """Make a call, or wait on for the one that was made; True when it has been answered."""
        if not self._samples:
            self._samples = self._gather()
            self._number += 1
        if not self._samples:
            return False
        if self._ref is None:
            self._ref = self._actor.observe.remote(self._host, self._number, self._samples)
            self._asked_s = time.monotonic()
        if not ray.wait([self._ref], timeout=timeout_s)[0]:
            if time.monotonic() - self._asked_s > ANSWER_S:
                self._tell("the drift monitor: it does not answer")
            return False
        try:
            answer: DriftAnswer = get(self._ref, ANSWER_S, "the drift monitor")
        except ActorLost as error:
            self._ref = None
            self._tell(str(error))
            return False
        except VedetteError as error:
            # It would say so again: the samples go, the next ones may fare better.
            self._tell(f"the drift monitor: {error}")
            answer = DriftAnswer(left_out={camera: len(samples) for camera, samples in self._samples.items()})
        else:
            self._away = False
        self._samples, self._ref = {}, None
        self._take(answer)
        return True

    def _gather(self) -> dict[str, list[DriftSample]]:
        with self._lock:
            taken = {camera: list(islice(waiting, MAX_IN_CALL)) for camera, waiting in self._waiting.items() if waiting}
            for camera, samples in taken.items():
                for _ in samples:
                    self._waiting[camera].popleft()
            return taken

    def _take(self, answer: DriftAnswer) -> None:
        log_lines(answer.lines)
        with self._lock:
            self._left_out.update(answer.left_out)
            for camera, verdicts in answer.verdicts.items():
                self._verdicts[camera] += verdicts

    def _tell(self, reason: str) -> None:
        if not self._away:
            self._away = True
            logger.warning("%s; the cameras go on without it", reason)


class DriftByCamera:
    """A DriftPort that gives each camera's samples to the port of that camera."""

    def __init__(self, ports: Mapping[str, DriftPort]) -> None:
        self._ports = ports

    def observe(self, camera: str, samples: Sequence[DriftSample]) -> None:
        """See DriftPort."""
        self._ports[camera].observe(camera, samples)

    def verdicts(self, camera: str) -> list[DriftVerdict]:
        """See DriftPort."""
        return self._ports[camera].verdicts(camera)

    def num_left_out(self, camera: str) -> int:
        """See DriftPort."""
        return self._ports[camera].num_left_out(camera)

    def close(self) -> None:
        """See DriftPort."""
        for port in dict.fromkeys(self._ports.values()):
            port.close()


def open_drift(spec: HostSpec, actor: Any) -> DriftPort | None:
    """Give a host its way to the monitor; None where drift is switched off.

    A recording's samples stay here: its verdicts come with their frames, as they do in one process.

    Args:
        spec: of the host.
        actor: the DriftActor of live cameras.

    Raises:
        BundleError: the model of a recording or `drift.reference` cannot be used.
    """
    if spec.drift is None:
        return None
    recordings = {name: camera for name, camera in spec.cameras.items() if not camera.live}
    local = cast(LocalDrift, make_drift(spec.drift, recordings, only(spec.plan, recordings)))
    if len(recordings) == len(spec.cameras):
        return local
    remote = RemoteDrift(actor)
    return DriftByCamera({name: remote if camera.live else local for name, camera in spec.cameras.items()})
