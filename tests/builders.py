"""Builders of small, whole values for tests: the arguments that matter, sensible ones for the rest."""

from __future__ import annotations

from typing import Any

from engine.event import Event


def make_event(camera: str = "gate", seq: int = 1, **fields: Any) -> Event:
    """An event as the lane stamps it; different `seq` gives a different event_id."""
    stamped = {"type": "line.crossed", "site": "north", "rule": "in", "epoch": 1, "pts_us": seq * 40_000}
    return Event(**{**stamped, "camera": camera, "seq": seq, "time_us": 1_795_331_704_000_000 + seq * 40_000, **fields})
