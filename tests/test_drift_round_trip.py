"""Drift from end to end: a rendered scene, the reference statistics of its bundle, a condition, and events on Kafka."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from engine.event import parse_body
from operators import Kafka

pytest_plugins = ("tests.kafka_brokers",)
pytestmark = [pytest.mark.slow, pytest.mark.kafka]

ROOT = Path(__file__).resolve().parents[1]
CLIP = ROOT / "replay_data" / "clips" / "gate.mp4"
FROM_S, TO_S, END_S = 80.0, 150.0, 230.0
SITE = """
cameras:
  gate: {{url: {video}}}
pipeline:
  - detect: {{model: {bundle}, cadence: 6}}
  - track: {{kind: sort}}
sinks:
  - kafka: {{bootstrap: "{bootstrap}"}}
drift: {{window_s: 20, settle_s: 40}}
"""


def vedette(*arguments: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "engine", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=110, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model with reference statistics of the very scene."""
    folder = tmp_path_factory.mktemp("bundle") / "street-nano"
    shutil.copytree(ROOT / "models" / "street-nano", folder)
    vedette("reference", folder, "--data", CLIP)
    return folder


def drift_events(bootstrap: str, prefix: str) -> list[dict[str, Any]]:
    """Read up to the camera's last event."""
    bodies: list[dict[str, Any]] = []
    deadline_s = time.monotonic() + 20
    with contextlib.closing(Kafka(bootstrap=bootstrap, topic_prefix=prefix).read(None, True)) as records:
        for record in records:
            if record is not None:
                bodies.append(json.loads(record.value))
                parse_body(bodies[-1])
            if (bodies and bodies[-1]["type"] == "camera.down") or time.monotonic() > deadline_s:
                break
    return [body for body in bodies if body["type"].startswith("drift.")]


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("condition", "strength", "cause"), [("defocus", 0.6, "blurred"), ("moved", 0.5, "moved")])
def test_a_condition_is_raised_on_kafka_with_its_cause_and_cleared_when_it_is_over(
    tmp_path: Path, bundle: Path, embedded: str, condition: str, strength: float, cause: str
) -> None:
    video = tmp_path / f"{condition}.mp4"
    vedette(
        "conditions", CLIP, "--apply", condition, "--strength", strength, "--from-s", FROM_S, "--to-s", TO_S,
        "--loop-for-s", END_S, "--out", video,
    )  # fmt: skip
    site = tmp_path / "site.yaml"
    text = SITE.format(video=video, bundle=bundle, bootstrap=embedded)
    site.write_text(text.replace("kafka: {", f"kafka: {{topic_prefix: {condition}., "), encoding="utf-8")

    vedette("replay", site)

    found = drift_events(embedded, f"{condition}.")
    assert [(body["type"], body["drift"]["cause"]) for body in found] == [
        ("drift.raised", cause), ("drift.cleared", cause),
    ]  # fmt: skip
    raised, cleared = found
    assert FROM_S < raised["pts_s"] < TO_S < cleared["pts_s"]
    assert abs(raised["drift"]["began_s"] - FROM_S) < 10
    assert raised["drift"]["picture"].startswith("data:image/jpeg;base64,")
    if condition == "moved":
        assert 0.02 < abs(complex(*raised["drift"]["moved_px"])) / raised["frame_wh"][0] < 0.04
