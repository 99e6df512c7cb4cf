"""How many detector actors there are, and how several detectors share the GPUs of a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from deployments import live
from deployments.cluster import Limits
from engine.commands.run import Request
from engine.operator import BatchOperator
from engine.plan import Segment, plan
from tests.deployments.ray_runs import make_site


@dataclass
class Detector(BatchOperator):
    number: int = 0
    num_gpus: float = 0.0
    place: str = "actor"


class Actor:
    def __getattr__(self, name: str) -> Any:
        return type("Method", (), {"remote": staticmethod(lambda: None)})


@pytest.mark.parametrize(
    ("free_gpus", "shares", "made"),
    [
        (0, [0.0], [0, 0, 0]),
        (2, [1.0], [0, 0]),
        (2, [0.5], [0, 0, 0, 0]),
        (2, [1.0, 1.0], [0, 1]),
        (2, [0.5, 0.5], [0, 1, 0, 1]),
        (1, [0.5, 0.25], [0, 1]),
        (4, [0.5, 0.0], [0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0]),
        # Too few: one of each is asked for, and the wait for it names what is missing.
        (1, [1.0, 1.0], [0, 1]),
    ],
)
def test_detectors_share_the_gpus_in_turns(
    monkeypatch: pytest.MonkeyPatch, free_gpus: int, shares: list[float], made: list[int]
) -> None:
    order: list[int] = []

    def make(self: Any, segment: Segment, num_gpus: float) -> Actor:
        order.append(segment.steps[0].operator.number)  # type: ignore[attr-defined]
        return Actor()

    monkeypatch.setattr(live, "num_free_gpus", lambda: free_gpus)
    monkeypatch.setattr(live, "num_nodes", lambda: 3)
    monkeypatch.setattr(live, "num_cores", lambda: 2)
    monkeypatch.setattr(live, "get", lambda *_: [])
    monkeypatch.setattr(live.LiveRun, "_make_detector", make)
    site = make_site({"a": "a?num=3"}, *(Detector(number, share) for number, share in enumerate(shares)))
    live.LiveRun(Request(site, None, None, 1), plan(site.pipeline, site.cameras), Limits())._start_detectors()
    assert order == made
