"""Running a site on Ray: cameras in actors, live or as a replay. The twins of `engine.local`, with the same results.

Live, each host actor wraps a `CameraHost`; shared segments with `place: actor` get actors of their own. A replay
runs everything in its camera's actor, since that changes no result, and merges the streams.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from deployments import cluster
from deployments.cluster import ACTOR_CPUS, Limits
from engine.errors import VedetteError
from engine.local import FLUSH_S, Result, RunRequest
from engine.plan import ExecutionPlan, Segment, batch_operator, plan
from engine.progress import FrameProgress
from engine.replay import FLUSH_S as REPLAY_FLUSH_S
from engine.replay import Stopped, check_delivered
from engine.sinks import SinkSet
from engine.summary import RunMeter, Summary

logger = logging.getLogger(__name__)

STEP_S = 0.2


def run_live(request: RunRequest, stop: threading.Event, limits: Limits | None = None) -> Result:
    """Run cameras and recordings in actors until they end or `stop` is set.

    Wall time begins when the cluster is there; CPU time and memory are those of this process and its actors.
    """
    site = request.site
    limits = limits or Limits()
    planned = plan(site.pipeline, site.cameras)
    with cluster.connect(request.ray_address):
        # Ray must not be imported before it is known which cluster is meant.
        from deployments.camera_actor import CameraActor
        from deployments.groups import Group, divide
        from deployments.shipment import HostSpec, Shipment, gpus_of, load_sources, only
        from deployments.supervisor import Supervisor, add_counts

        load_sources(site.cameras)
        meter = RunMeter()
        central = SinkSet(tuple(sink for sink in site.sinks if sink.central))
        beside = tuple(sink for sink in site.sinks if not sink.central)
        headers = {"pipeline": f"{planned.pipeline.name}@{planned.pipeline.digest}"}

        def wanted(group: Group) -> dict[str, float]:
            cameras = {name: site.cameras[name] for name in group.cameras}
            return resources(gpus_of(only(planned, cameras), with_actors=False))

        def make(name: str, group: Group, previous: Mapping[str, tuple[int, int]]) -> Any:
            cameras = {camera: site.cameras[camera] for camera in group.cameras}
            spec = HostSpec(
                name, site.name, cameras, only(planned, cameras), beside, len(beside) < len(site.sinks),
                group.workers, request.max_frames, headers, previous, logging.getLogger().getEffectiveLevel(),
            )  # fmt: skip
            return CameraActor.options(**actor_options(wanted(group))).remote(Shipment.of(spec), detectors)

        cores = cluster.num_cores()
        detectors = start_detectors(planned, cores, limits)
        try:
            with FrameProgress("run", dict.fromkeys(site.cameras)) as progress:
                supervisor = Supervisor(site.cameras, make, wanted, central.write, progress.frame, limits)
                central.open()
                try:
                    supervisor.start(divide(list(site.cameras), request.workers or cores, cores))
                    while not stop.is_set() and not supervisor.done:
                        supervisor.step(STEP_S)
                finally:
                    try:
                        supervisor.stop(FLUSH_S)
                    finally:
                        delivered = central.finish(FLUSH_S)
        finally:
            kill(actor for actors in detectors.values() for actor in actors)
        for name, counts in supervisor.sinks.items():
            delivered[name] = add_counts(delivered.get(name, {}), counts)
        if supervisor.dropped:
            logger.warning("%d events were dropped: the sinks of this process did not keep up", supervisor.dropped)
        wall_s, cpu_s, peak_rss_mb = meter.read()
        summary = Summary(
            supervisor.counts, wall_s, cpu_s + supervisor.cpu_s, peak_rss_mb + supervisor.peak_rss_mb, delivered
        )
        return summary, supervisor.errors
