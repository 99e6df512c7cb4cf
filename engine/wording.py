"""Events in words, for people who watch them go by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def describe(body: Mapping[str, Any]) -> str:
    """Say an event in one line; what a later version of the contract adds is left out.

    >>> describe({"time": "2026-11-22T07:15:04.120000Z", "camera": "gate", "type": "zone.entered",
    ...           "object": {"class": "person", "track_id": 57, "confidence": 0.91},
    ...           "zone": {"name": "yard", "occupancy": 2}})
    '2026-11-22 07:15:04.120  gate  zone.entered  person #57 (0.91), zone yard: 2 inside'
    """
    when = str(body.get("time")).replace("T", " ").removesuffix("Z")[:23]
    return "  ".join(part for part in (when, str(body.get("camera")), str(body.get("type")), say_what(body)) if part)


def say_what(body: Mapping[str, Any]) -> str:
    """Say what an event is about, without time, camera and type."""
    said = []
    if isinstance(thing := body.get("object"), Mapping):
        said.append(f"{thing.get('class')} #{thing.get('track_id')} ({thing.get('confidence')})")
    if isinstance(zone := body.get("zone"), Mapping):
        dwelled = f", for {zone['dwell_s']} s" if "dwell_s" in zone else ""
        said.append(f"zone {zone.get('name')}: {zone.get('occupancy')} inside{dwelled}")
    if isinstance(line := body.get("line"), Mapping):
        counts = f"{line.get('count_in')} in and {line.get('count_out')} out so far"
        said.append(f"line {line.get('name')}: {line.get('direction')}, {counts}")
    if isinstance(state := body.get("camera_state"), Mapping):
        said.append(" ".join(f"{name}={value}" for name, value in state.items()))
    if isinstance(drift := body.get("drift"), Mapping):
        # The text says how far and how long; the picture and all numbers are for those who look closer.
        said.append(f"{drift.get('cause')}: {drift.get('text')}, score {drift.get('score')}")
    if "reason" in body:
        said.append(str(body["reason"]))
    if "data" in body:
        said.append(json.dumps(body["data"], ensure_ascii=False)[:120])
    return ", ".join(said)
