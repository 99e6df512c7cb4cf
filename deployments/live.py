"""A live run on Ray: detectors, camera hosts and their supervision, and the sinks of the driver."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Mapping
from typing import Any

import ray

from deployments.camera_actor import CameraActor
from deployments.cluster import Limits, actor_options, get, num_cores, num_free_gpus, num_nodes, wanted_resources
from deployments.collector import log_lines
from deployments.detector_actor import DetectorActor
from deployments.drift_actor import DriftSpec, start_drift
from deployments.groups import Group, divide
from deployments.shipment import HostSpec, Shipment, gpus_of, load_sources, only
from deployments.supervisor import Supervisor, add_counts
from engine.drift.setup import state_path
from engine.errors import ClusterError
from engine.facts import run_facts
from engine.local import FLUSH_S, Result, RunRequest
from engine.plan import ExecutionPlan, Segment, batch_operator
from engine.progress import FrameProgress
from engine.sinks import SinkSet
from engine.summary import RunMeter, Summary

logger = logging.getLogger(__name__)

STEP_S = 0.2


class LiveRun:
    """Runs a site once, on the cluster that this process is connected to.

    Args:
        request: what to run.
        planned: its plan.
        limits: how long to wait for what.
    """

    def __init__(self, request: RunRequest, planned: ExecutionPlan, limits: Limits) -> None:
        self._request = request
        self._site = request.site
        self._plan = planned
        self._limits = limits
        self._cores = num_cores()
        self._central = tuple(sink for sink in self._site.sinks if sink.central)
        self._beside = tuple(sink for sink in self._site.sinks if not sink.central)
        self._detectors: dict[str, list[Any]] = {}
        self._drift: Any = None

    def run(self, stop: threading.Event) -> Result:
        """Run until every camera has ended or `stop` is set."""
        meter = RunMeter()
        cameras = self._site.cameras
        load_sources(cameras)
        sinks = SinkSet(self._central)
        with FrameProgress("run", dict.fromkeys(cameras)) as progress:
            supervisor = Supervisor(
                cameras, self._make_host, self._wanted, sinks.write, progress.frame, self._limits
            )  # fmt: skip
            sinks.open()
            try:
                self._start_detectors()
                self._start_drift()
                supervisor.start(divide(list(cameras), self._request.workers or self._cores, self._cores))
                while not stop.is_set() and not supervisor.done:
                    supervisor.step(STEP_S)
            finally:
                try:
                    supervisor.stop(FLUSH_S)
                finally:
                    self._kill_detectors()
                    self._end_drift()
                    delivered = sinks.finish(FLUSH_S)
        for name, counts in supervisor.sinks.items():
            delivered[name] = add_counts(delivered.get(name, {}), counts)
        if supervisor.dropped:
            logger.warning("%d events were dropped: the sinks of this process did not keep up", supervisor.dropped)
        wall_s, cpu_s, peak_rss_mb = meter.read()
        cpu_s, peak_rss_mb = cpu_s + supervisor.cpu_s, peak_rss_mb + supervisor.peak_rss_mb
        return Summary(supervisor.counts, wall_s, cpu_s, peak_rss_mb, delivered), supervisor.errors

    def _make_host(self, name: str, group: Group, previous: Mapping[str, tuple[int, int]]) -> Any:
        cameras = {camera: self._site.cameras[camera] for camera in group.cameras}
        spec = HostSpec(
            name=name,
            site=self._site.name,
            cameras=cameras,
            plan=only(self._plan, cameras),
            sinks=self._beside,
            keep_events=bool(self._central),
            num_workers=group.workers,
            max_frames=self._request.max_frames,
            headers=run_facts(self._plan),
            previous=previous,
            drift=self._site.drift,
            log_level=logging.getLogger().getEffectiveLevel(),
        )
        options = actor_options(self._wanted(group))
        return CameraActor.options(**options).remote(Shipment.of(spec), self._detectors, self._drift)

    def _wanted(self, group: Group) -> dict[str, float]:
        return wanted_resources(gpus_of(only(self._plan, group.cameras), with_actors=False))

    def _start_detectors(self) -> None:
        """Make the actors of shared segments that ask for it: one a node, or as many of each as all free GPUs hold."""
        segments = {key: s for key, s in self._plan.shared.items() if s.place == "actor"}
        wanted_gpus = {key: batch_operator(segment).num_gpus for key, segment in segments.items()}
        on_gpus = max(1, int(num_free_gpus() / sum(wanted_gpus.values()))) if any(wanted_gpus.values()) else 0
        copies = {key: on_gpus if num_gpus else num_nodes() for key, num_gpus in wanted_gpus.items()}
        # In turns, so that detectors which share a GPU come to lie together on each.
        for number in range(max(copies.values(), default=0)):
            for key, segment in segments.items():
                if number < copies[key]:
                    self._detectors.setdefault(key, []).append(self._make_detector(segment, wanted_gpus[key]))
        for key, actors in self._detectors.items():
            name = f"detector '{segments[key].steps[0].name}'"
            wanted = wanted_resources(batch_operator(segments[key]).num_gpus)
            for actor in actors:
                get(actor.where.remote(), self._limits.place_s, name, wanted)
                log_lines(get(actor.ready.remote(), self._limits.open_s, f"{name}: opening its model"))

    def _make_detector(self, segment: Segment, num_gpus: float) -> Any:
        options = actor_options(wanted_resources(num_gpus))
        num_threads = max(1, self._cores // num_nodes())
        log_level = logging.getLogger().getEffectiveLevel()
        return DetectorActor.options(**options).remote(Shipment.of(segment), num_threads, log_level)

    def _kill_detectors(self) -> None:
        for actor in (actor for actors in self._detectors.values() for actor in actors):
            with contextlib.suppress(Exception):
                ray.kill(actor)

    def _start_drift(self) -> None:
        """Make the monitor of live cameras, and hear what it has to say about models and references."""
        live = {name: camera for name, camera in self._site.cameras.items() if camera.live}
        if self._site.drift is None or not live:
            return
        folder = state_path(self._site)
        spec = DriftSpec(
            settings=self._site.drift,
            cameras=live,
            plan=only(self._plan, live),
            state=None if folder is None else folder.absolute(),
            log_level=logging.getLogger().getEffectiveLevel(),
        )
        self._drift = start_drift(self._site.name, spec)
        log_lines(get(self._drift.ready.remote(), self._limits.place_s + self._limits.open_s, "the drift monitor"))

    def _end_drift(self) -> None:
        """Let the monitor save what it has learnt, and kill it."""
        if self._drift is None:
            return
        try:
            log_lines(get(self._drift.close.remote(), self._limits.stop_s, "the drift monitor: saving"))
        except ClusterError as error:
            logger.warning("%s", error)
        with contextlib.suppress(Exception):
            ray.kill(self._drift)
