"""The drift monitor of a whole run, in an actor of its own.

There is one, so that a camera keeps its history whichever host and node it runs on. It stands on the driver's node
while that is there, and its memory is a folder on the node's disk; it is started again when it dies, and goes on with
what it had saved.
"""

from __future__ import annotations

import logging
import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from deployments.collector import Lines, LogTail
from deployments.shipment import Shipment
from engine.drift.monitor import DriftVerdict
from engine.drift.port import LocalDrift
from engine.drift.sample import DriftSample
from engine.drift.settings import DriftSettings
from engine.drift.setup import make_drift
from engine.errors import VedetteError
from engine.plan import ExecutionPlan
from engine.site import Camera

# Hosts whose last answer is remembered; one that starts again counts anew.
MAX_HOSTS = 1000


@dataclass(frozen=True)
class DriftSpec:
    """What the monitor of a run watches.

    Attributes:
        settings: of drift.
        cameras: all of the run.
        plan: how they are processed.
        state: an absolute folder for what is normal for live cameras; None keeps nothing.
        log_level: lines from this level on go to the driver.
    """

    settings: DriftSettings
    cameras: Mapping[str, Camera]
    plan: ExecutionPlan
    state: Path | None
    log_level: int = 30


@dataclass
class DriftAnswer:
    """What one call brings back.

    Attributes:
        verdicts: by camera, in order.
        left_out: samples of this call that could not be looked at, by camera.
        lines: level and text of what was logged.
    """

    verdicts: dict[str, list[DriftVerdict]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    lines: Lines = field(default_factory=list)


class _DriftActor:
    """Watches every camera of a run.

    Args:
        shipment: holds a DriftSpec.
    """

    def __init__(self, shipment: Shipment) -> None:
        self._log = LogTail()
        self._last: dict[str, tuple[int, DriftAnswer]] = {}
        self._error: VedetteError | None = None
        # Ray repeats the constructor when it restarts an actor, and nothing else: so all is opened here.
        try:
            spec: DriftSpec = shipment.unpack()
            logging.getLogger("ray").propagate = False
            logging.basicConfig(level=spec.log_level, handlers=[self._log], force=True)
            self._drift = cast(LocalDrift, make_drift(spec.settings, spec.cameras, spec.plan, spec.state))
        except VedetteError as error:
            self._error = error

    def where(self) -> tuple[int, str]:
        """Give process id and node."""
        return os.getpid(), socket.gethostname()

    def ready(self) -> Lines:
        """Give what was logged while the monitor was made.

        Raises:
            VedetteError: it could not be made.
        """
        if self._error is not None:
            raise self._error
        return self._log.fetch()

    def observe(self, host: str, number: int, samples: Mapping[str, Sequence[DriftSample]]) -> DriftAnswer:
        """Look at samples of a host's cameras.

        Args:
            host: who asks.
            number: of the call. One that is repeated is answered again, and its samples are not looked at twice.
            samples: by camera, in order.

        Raises:
            VedetteError: the monitor could not be made.
        """
        lines = self.ready()
        before, answer = self._last.get(host, (0, DriftAnswer()))
        if number == before:
            return answer
        answer = DriftAnswer(lines=lines)
        for camera, of_camera in samples.items():
            left_out = self._drift.num_left_out(camera)
            self._drift.observe(camera, of_camera)
            answer.left_out[camera] = self._drift.num_left_out(camera) - left_out
            answer.verdicts[camera] = [*self._unheard(host, camera), *self._drift.verdicts(camera)]
        answer.lines += self._log.fetch()
        self._last[host] = number, answer
        if len(self._last) > MAX_HOSTS:
            del self._last[next(iter(self._last))]
        return answer

    def close(self) -> Lines:
        """Save what was learnt; give what is left of the log."""
        if self._error is None:
            self._drift.close()
        return self._log.fetch()

    def _unheard(self, host: str, camera: str) -> list[DriftVerdict]:
        """Give verdicts whose host made no further call: it may have died before it heard of them."""
        others = (answer for name, (_, answer) in self._last.items() if name != host)
        return [verdict for answer in others for verdict in answer.verdicts.pop(camera, [])]


# Ray's types do not know concurrency groups.
DriftActor: Any = cast(Any, ray.remote)(max_restarts=-1, max_task_retries=0)(_DriftActor)


def start_drift(site: str, spec: DriftSpec) -> Any:
    """Make a site's monitor on this process's node, or on any where that is gone.

    Its name tells it from those of other sites and runs in the cluster's lists. It reserves nothing: it must never
    keep a camera from its place.
    """
    here = NodeAffinitySchedulingStrategy(cast(Any, ray.get_runtime_context()).get_node_id(), soft=True)
    name = f"drift-{site}-{uuid.uuid4().hex[:8]}"
    return DriftActor.options(name=name, num_cpus=0, scheduling_strategy=here).remote(Shipment.of(spec))
