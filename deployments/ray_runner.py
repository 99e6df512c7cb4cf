"""Running a site on Ray: cameras in actors, live or as a replay. The twins of `engine.local`, with the same results."""

from __future__ import annotations

import threading

from deployments import cluster
from deployments.cluster import Limits
from engine.local import Result, RunRequest
from engine.plan import plan


def run_live(request: RunRequest, stop: threading.Event, limits: Limits | None = None) -> Result:
    """Run cameras and recordings in actors until they end or `stop` is set.

    Wall time begins when the cluster is there; CPU time and memory are those of this process and its actors.

    Raises:
        ClusterError: there is no cluster, or no place in it for what the plan needs.
        VedetteError: the pipeline, a model or a sink cannot be used.
    """
    # What is wrong with the pipeline shows before a cluster is started.
    planned = plan(request.site.pipeline, request.site.cameras, request.site.drift)
    with cluster.connect(request.ray_address):
        # Ray reads its environment when it is imported, so nothing that needs it is imported before.
        from deployments.live import LiveRun

        return LiveRun(request, planned, limits or Limits()).run(stop)


def run_replay(request: RunRequest, stop: threading.Event, limits: Limits | None = None) -> Result:
    """Replay recordings in actors: the same bytes as in one process.

    Raises:
        ClusterError: there is no cluster, or no place in it for what the plan needs.
        VedetteError: the pipeline, a model or a sink cannot be used.
    """
    planned = plan(request.site.pipeline, request.site.cameras, request.site.drift)
    with cluster.connect(request.ray_address):
        from deployments.replay import ReplayRun

        return ReplayRun(request, planned, limits or Limits()).run(stop)
