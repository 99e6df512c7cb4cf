"""Live on Ray: cameras in actors are supervised, and each one's trouble stays its own."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from deployments.cluster import Limits
from deployments.ray_runner import run_live
from engine import local
from engine.commands.run import Request
from engine.errors import ClusterError, ConfigError, SinkError, SourceError
from engine.onnx_import import ImportOptions, describe_onnx
from engine.site import Site
from operators import Classify, Letterbox, Sort
from tests.deployments.ray_runs import Keep, LiveRun, make_site, part
from tests.tiny_models import COLORS, save_colors

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

LIVE = "fake://x/?fps=20"


def run(site: Site, workers: int = 1) -> tuple[Keep, dict[str, Exception]]:
    """Run recordings to their end."""
    sink = Keep()
    _, errors = run_live(Request(site.with_sinks(sink), None, None, workers), threading.Event())
    return sink, dict(errors)


def by_camera(events: Keep) -> dict[str, list[bytes]]:
    cameras = {event.camera for event in events.events}
    return {name: [e.to_json() for e in events.events if e.camera == name] for name in sorted(cameras)}


def test_a_killed_actor_comes_back_and_the_others_do_not_notice(caplog: pytest.LogCaptureFixture) -> None:
    cameras = dict.fromkeys("abcd", LIVE)
    with LiveRun(make_site(cameras, part("SayProcess")), workers=2) as live:
        live.until(lambda: all(len(live.events(name)) > 5 for name in cameras))
        assert live.pids("a") == live.pids("c") != live.pids("b") == live.pids("d")
        os.kill(live.pids("a")[0], signal.SIGKILL)
        live.until(lambda: len(live.epochs("a")) == len(live.epochs("c")) == 2)
        live.until(lambda: len(live.pids("a")) == 2)

    for name in "ac":
        before, after = live.epochs(name)
        assert after > before
        ups = [e.camera_state for e in live.events(name) if e.type == "camera.up"]
        last = max(event.seq for event in live.events(name) if event.epoch == before)
        assert [(up.previous_epoch, up.previous_seq) for up in ups if up] == [(None, None), (before, last)]
    for name in "bd":
        assert len(live.epochs(name)) == len(live.pids(name)) == 1
        assert not [e for e in live.events(name) if e.type == "camera.gap"]
    for name in cameras:
        live.check_seqs(name)
    assert "host-1 (cameras 'a', 'c'): its process died; starting again: a, c in 0.5 s" in caplog.text
    assert live.errors == {}
    counts = live.summary.cameras["a"]
    assert counts.connections == 2
    assert counts.events["camera.up"] == 2
    assert live.summary.peak_rss_mb > 150


def test_a_camera_that_kills_its_host_twice_is_isolated() -> None:
    cameras = {"a": LIVE, "bad": LIVE, "b": LIVE}
    with LiveRun(make_site(cameras, part("SayProcess"), part("Bomb", at=4)), workers=1) as live:
        live.until(lambda: all(len(live.epochs(name)) == 3 for name in "ab"))
        good = {name: live.pids(name)[-1] for name in "ab"}
        assert good["a"] != good["b"], "each camera has a host of its own now"
        live.until(lambda: len(live.epochs("bad")) >= 4)
        live.until(lambda: all(len(live.events(name)) > 60 for name in "ab"))

    for name in "ab":
        # Two deaths that were the neighbour's fault, and none after that.
        assert len(live.epochs(name)) == 3
        assert live.pids(name)[-1] == good[name]
        live.check_seqs(name)


def test_a_recording_that_kills_its_host_again_and_again_is_given_up() -> None:
    cameras = {"a": "a?num=50", "bad": "bad?num=50"}

    sink, errors = run(make_site(cameras, part("Bomb")))

    assert {name: type(error) for name, error in errors.items()} == {"bad": SourceError}
    assert "camera 'bad': its process died 3 times and is not started again" in str(errors["bad"])
    assert [event.type for event in sink.events if event.camera == "a"][-1] == "camera.down"


@pytest.mark.parametrize("workers", [1, 3])
def test_recordings_give_the_events_that_one_process_gives(workers: int) -> None:
    cameras = {"a": "a?num=80", "b": "b?num=60", "c": "c?num=1"}
    site = make_site(cameras, Letterbox(size_wh=(32, 32), cadence=2), part("Look"), part("Say"))
    expected = Keep()
    local.run_live(Request(site.with_sinks(expected), None, None, 1), threading.Event())

    sink, errors = run(site, workers)

    assert errors == {}
    assert by_camera(sink) == by_camera(expected)
    assert {"latency-ms", "node", "pipeline", "time-processed"} == set().union(*sink.headers)


def test_a_detector_in_an_actor_gives_the_events_of_a_local_one() -> None:
    cameras = {"a": "a?num=150", "b": "b?num=60"}

    def site_of(place: str) -> Site:
        # Behind it one that stays local: whoever takes the answers must hand over to the host's own threads.
        looks = (part("Look", place=place), part("Say"), part("LookAgain"))
        return make_site(cameras, Letterbox(size_wh=(32, 32), cadence=2), *looks, part("Say"))

    local_events, _ = run(site_of("local"))
    remote_events, errors = run(site_of("actor"), workers=2)

    assert errors == {}
    # The place is part of the pipeline's digest, which is in the headers, not in the body.
    assert by_camera(remote_events) == by_camera(local_events)
    seen = [e.data["boxes"] for e in remote_events.events if e.type == "test.seen" and e.data]
    assert Counter(boxes is None for boxes in seen) == {True: 210, False: 210}


def test_a_classifier_in_an_actor_gives_the_events_of_a_local_one(tmp_path: Path) -> None:
    plain = (("mean", (0.0, 0.0, 0.0)), ("std", (255.0, 255.0, 255.0)))
    options = ImportOptions(family="classifier", labels=COLORS, input=plain)
    model = str(describe_onnx(save_colors(tmp_path / "color.onnx"), options).write(tmp_path / "color").root)

    def site_of(place: Literal["local", "actor"]) -> Site:
        parts = make_site({"a": "a?num=90", "b": "b?num=50"}, part("Square"), Sort(), Classify(model, place=place))
        cameras = {name: replace(camera, kind="ray_parts:Painted") for name, camera in parts.cameras.items()}
        return replace(parts, cameras=cameras)

    local_events, _ = run(site_of("local"))
    remote_events, errors = run(site_of("actor"), workers=2)

    assert errors == {}
    assert by_camera(remote_events) == by_camera(local_events)
    said = [e.object.attributes for e in remote_events.events if e.object and e.camera == "a"]
    assert [one and one["step2"].label for one in said] == ["red", "blue", "blue"]


def test_a_killed_detector_comes_back_and_the_cameras_go_on() -> None:
    look = part("Look", place="actor", says_process=True)
    with LiveRun(make_site({"a": LIVE}, Letterbox(size_wh=(32, 32)), look, part("SayProcess")), workers=1) as live:
        live.until(lambda: len(live.events("a")) > 20)
        (first,) = live.pids("a", "test.detector")
        assert first != live.pids("a")[0]
        os.kill(first, signal.SIGKILL)
        live.until(lambda: len(live.pids("a", "test.detector")) == 2)

    assert len(live.epochs("a")) == len(live.pids("a")) == 1
    live.check_seqs("a")
    assert live.summary.cameras["a"].failed_frames < 60


def test_pictures_do_not_travel_to_a_detector_in_an_actor(caplog: pytest.LogCaptureFixture) -> None:
    peek = part("Peek", place="actor")
    sink = Keep()
    site = make_site({"a": "a?num=3"}, Letterbox(size_wh=(32, 32)), peek).with_sinks(sink)

    summary, errors = run_live(Request(site, None, None, 1), threading.Event())

    assert errors == {}
    assert summary.cameras["a"].failed_frames == 3
    assert "pictures do not travel to an operator with place: actor" in caplog.text


def test_resources_that_are_not_there_end_the_run_with_what_is_wanted_and_available() -> None:
    for place in ("actor", "local"):
        site = make_site({"a": "a?num=3"}, Letterbox(size_wh=(32, 32)), part("LookOnGpu", place=place))
        started_s = time.monotonic()
        with pytest.raises(ClusterError, match=r"wanted: 0.05 CPU, 1 GPU; available: .* of \d+ CPU, 0 of 0 GPU"):
            run_live(Request(site, None, None, 1), threading.Event(), Limits(place_s=1.5))
        assert time.monotonic() - started_s < 10


def test_what_cannot_be_opened_ends_the_run_with_its_own_words() -> None:
    with pytest.raises(SinkError, match=r"^/nowhere/at/all: no such folder$"):
        run(make_site({"a": "a?num=3"}, sinks=(part("Beside", folder="/nowhere/at/all"),)))


def test_a_source_kind_that_does_not_exist_is_a_configuration_error() -> None:
    site = make_site({"a": "a?num=3"})
    object.__setattr__(site.cameras["a"], "kind", "no_such_parts:Source")

    with pytest.raises(ConfigError, match=r"no file .*no_such_parts.py"):
        run(site)


def test_a_sink_that_need_not_be_central_is_written_where_the_cameras_are(tmp_path: Path) -> None:
    cameras = {"a": "a?num=30", "b": "b?num=20"}
    site = make_site(cameras, part("Say"), sinks=(part("Beside", folder=str(tmp_path)),))

    summary, _ = run_live(Request(site, None, None, 2), threading.Event())

    files = sorted(tmp_path.iterdir())
    lines = [[tuple(json.loads(line)) for line in file.read_text().splitlines()] for file in files]
    assert len(files) == 2
    assert str(os.getpid()) not in {file.stem for file in files}
    assert sorted(lines) == [[(name, 0, n) for n in range(1, num + 3)] for name, num in (("a", 30), ("b", 20))]
    assert summary.sinks == {"beside": {"accepted": 54, "ack_ms_p50": 32, "undelivered": 0}}


def test_warnings_of_actors_reach_the_users_log(caplog: pytest.LogCaptureFixture) -> None:
    site = make_site({"a": "a?num=3"}, part("Say", every=0))
    with caplog.at_level(logging.WARNING):
        _, errors = run(site)

    assert "step 'step0' failed at frame 0: ZeroDivisionError" in str(errors["a"])
    assert "step 'step0' failed at frame 0: ZeroDivisionError" in caplog.text
