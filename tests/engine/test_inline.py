"""The inline runner: cameras merged by stream time, the same bytes on every run and in every runner."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.commands.run import Request
from engine.drift.monitor import DriftVerdict
from engine.errors import GraphError, SinkError
from engine.event import Event
from engine.host import CameraHost
from engine.inline import InlineRunner
from engine.local import run_live, run_replay
from engine.operator import Source
from engine.pipeline import Pipeline
from engine.plan import plan
from engine.redact import Url
from engine.replay import Stopped, check_delivered, replay
from engine.site import Camera, Site, default_pipeline, name_sources
from operators import Letterbox
from tests.clips import square_frames, write_clip
from tests.fake_drift import FakeMonitor, SampleFrames, local_drift, make_verdict
from tests.fake_source import FakeSource


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("clips")
    return [
        str(write_clip(folder / f"{name}.mp4", square_frames(count, seed=seed), fps=fps))
        for seed, (name, count, fps) in enumerate([("a", 60, 10), ("b", 90, 25), ("c", 45, 7)])
    ]


def site_of(clips: list[str], log: Path) -> Site:
    return Site.of_sources(clips, default_pipeline("motion"), log)


def test_replays_give_the_same_bytes_on_every_run_in_merged_order(clips: list[str], tmp_path: Path) -> None:
    logs = [tmp_path / "1.jsonl", tmp_path / "2.jsonl"]
    for log in logs:
        _, errors = replay(site_of(clips, log))
        assert errors == {}
    assert logs[0].read_bytes() == logs[1].read_bytes()
    assert len(logs[0].read_bytes().splitlines()) > 9


def test_the_order_of_the_sources_does_not_matter(clips: list[str], tmp_path: Path) -> None:
    replay(site_of(clips, tmp_path / "1.jsonl"))
    replay(site_of(clips[::-1], tmp_path / "2.jsonl"))
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "2.jsonl").read_bytes()


def test_a_live_run_over_recordings_says_the_same_as_a_replay(clips: list[str], tmp_path: Path) -> None:
    replay(site_of(clips, tmp_path / "replay.jsonl"))
    summary, _ = run_live(Request(site_of(clips, tmp_path / "live.jsonl"), None, None, 3), threading.Event())

    assert summary.total().frames_dropped == 0
    assert sorted((tmp_path / "live.jsonl").read_text().splitlines()) == sorted(
        (tmp_path / "replay.jsonl").read_text().splitlines()
    )


def test_every_camera_stops_after_its_frames(clips: list[str], tmp_path: Path) -> None:
    summary, _ = replay(site_of(clips, tmp_path / "e.jsonl"), max_frames=20)
    assert {name: c.frames_analysed for name, c in summary.cameras.items()} == {"a": 20, "b": 20, "c": 20}


def test_a_replay_can_be_stopped_early_and_counts_what_it_did(clips: list[str], tmp_path: Path) -> None:
    calls = []

    def on_frame(camera: str) -> None:
        calls.append(camera)
        if len(calls) == 30:
            raise Stopped

    summary, errors = replay(site_of(clips, tmp_path / "e.jsonl"), on_frame=on_frame)
    assert errors == {}
    # The two cameras that did not stop may have finished a frame whose events had not been taken.
    assert 30 <= summary.total().frames_analysed <= 32


def test_stop_ends_a_replay_from_another_thread(clips: list[str], tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    summary, _ = run_replay(Request(site_of(clips, tmp_path / "e.jsonl"), None, None, None), stop)
    assert summary.total().frames_analysed <= 3


def test_events_that_were_not_delivered_fail_a_replay() -> None:
    with pytest.raises(SinkError, match="kafka: 3 events were not delivered"):
        check_delivered({"jsonl": {"undelivered": 0}, "kafka": {"undelivered": 3}})


def test_a_pipeline_runs_from_python_in_one_line(clips: list[str], tmp_path: Path) -> None:
    from operators import LineCount, MotionBlobs, Sort

    line = ((0.5, 0.05), (0.5, 0.95))
    log = tmp_path / "e.jsonl"
    summary = Pipeline("gate").then(MotionBlobs()).then(Sort()).then(LineCount(line=line)).run(clips[1], events=log)

    assert summary.total().frames_analysed == 90
    assert log.read_text().count('"line.crossed"') >= 1
    with pytest.raises(GraphError, match="put a tracker"):
        Pipeline("gate").then(MotionBlobs()).then(LineCount(line=line)).run(clips[1])


def test_sources_are_named_after_file_or_host_and_path() -> None:
    cameras = name_sources(["rtsp://u:p@10.0.0.5:554/live/1", "rtsp://10.0.0.5:554/live/1", __file__, __file__])
    assert list(cameras) == ["10_0_0_5-live-1", "10_0_0_5-live-1-2", "test_inline", "test_inline-2"]


class Scripted(Camera):
    """A recording that needs no file: its URL is its number of frames."""

    def make_source(self) -> Source:
        return cast(Source, FakeSource(int(self.url.reveal())))


VERDICTS = st.lists(
    st.sampled_from([make_verdict(cause="dark"), make_verdict("drift.cleared", "dark"), make_verdict(cause="moved")]),
    max_size=3,
    unique_by=lambda verdict: (verdict.type, verdict.part.cause),
)


@given(st.integers(1, 4), st.dictionaries(st.integers(0, 12), VERDICTS))
@settings(max_examples=15, deadline=None)
def test_verdicts_on_drift_are_the_same_bytes_in_every_runner_and_leave_no_gap_in_the_numbers(
    every: int, verdicts: Mapping[int, Sequence[DriftVerdict]]
) -> None:
    cameras = {"a": Scripted(Url("12")), "b": Scripted(Url("7"))}
    planned = plan(Pipeline().then(Letterbox(size_wh=(32, 32))).then(SampleFrames(every)), cameras)
    inline = InlineRunner("north", cameras, planned, drift=local_drift("ab", FakeMonitor(verdicts)))
    merged = list(inline.events())
    emitted: dict[str, list[Event]] = {"a": [], "b": []}
    host = CameraHost(
        "north", cameras, planned, lambda camera, events, headers: emitted[camera].extend(events), 3,
        drift=local_drift("ab", FakeMonitor(verdicts)),
    )  # fmt: skip
    host.start()
    try:
        assert host.wait(20)
    finally:
        host.stop()

    assert merged == sorted(merged, key=lambda event: event.order)
    assert len({event.event_id for event in merged}) == len(merged)
    for name, num in (("a", 12), ("b", 7)):
        of_camera = [event for event in merged if event.camera == name]
        assert [event.to_json() for event in of_camera] == [event.to_json() for event in emitted[name]]
        assert [event.seq for event in of_camera] == list(range(1, len(of_camera) + 1))
        assert of_camera[-1].type == "camera.down"
        said = [(e.pts_us, e.type, e.rule) for e in of_camera if e.drift is not None]
        assert said == [
            (k * every * 100_000, verdict.type, verdict.part.cause)
            for k in sorted(verdicts) if k * every < num for verdict in verdicts[k]
        ]  # fmt: skip
        assert inline.counts[name].drift_samples == -(-num // every)


def test_a_replay_watches_for_drift_and_keeps_no_state(
    clips: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    watched, _ = replay(site_of(clips, tmp_path / "1.jsonl"))
    unwatched, _ = replay(dataclasses.replace(site_of(clips, tmp_path / "2.jsonl"), drift=None))
    run, _ = run_live(Request(site_of(clips, tmp_path / "3.jsonl"), None, None, 2), threading.Event())

    assert min(camera.drift_samples for camera in watched.cameras.values()) >= 2
    assert watched.to_dict()["drift_samples"] == run.to_dict()["drift_samples"]
    assert watched.to_dict()["drift_left_out"] == unwatched.to_dict()["drift_samples"] == 0
    # The clips are too short for a normal of their own: nothing is said.
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "2.jsonl").read_bytes()
    assert not (tmp_path / "state").exists()
