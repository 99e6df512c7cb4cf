"""Replay on Ray: the same bytes as in one process, whatever the number of actors."""

from __future__ import annotations

import resource
import threading
from pathlib import Path
from typing import Any

import pytest

from deployments.ray_runner import run_replay
from engine import local
from engine.commands.run import Request
from engine.config import load_site
from engine.errors import ClusterError, OperatorError, SourceError
from engine.redact import Url
from engine.site import Camera, Site, default_pipeline
from operators import Jsonl, LineCount
from tests.clips import square_frames, write_clip
from tests.deployments.ray_runs import make_site, part

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


def replay(runner: Any, site: Site, log: Path, workers: int = 1, max_frames: int | None = None) -> Any:
    request = Request(site.with_sinks(Jsonl(path=str(log))), max_frames, None, workers)
    return runner(request, threading.Event())


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Three clips, and one that cannot be read."""
    folder = tmp_path_factory.mktemp("footage")
    cameras = {}
    for number, fps in enumerate((10, 25, 12)):
        clip = write_clip(folder / f"{number}.mp4", square_frames(60, seed=number), fps=fps)
        cameras[f"cam{number}"] = Camera(Url(str(clip)))
    (folder / "broken.mp4").write_bytes(b"no video at all")
    cameras["broken"] = Camera(Url(str(folder / "broken.mp4")))
    pipeline = default_pipeline("motion").then(LineCount(line=((0.5, 0.0), (0.5, 1.0))))
    return Site("north", cameras, pipeline)


@pytest.fixture(scope="module")
def expected(footage: Site, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, Any], list[str]]:
    log = tmp_path_factory.mktemp("inline") / "events.jsonl"
    summary, errors = replay(local.run_replay, footage, log)
    return log.read_bytes(), summary.to_dict(), [str(error) for error in errors.values()]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_events_are_the_same_bytes_as_in_one_process(
    footage: Site, expected: tuple[bytes, dict[str, Any], list[str]], tmp_path: Path, workers: int
) -> None:
    summary, errors = replay(run_replay, footage, tmp_path / "ray.jsonl", workers)

    log, numbers, texts = expected
    assert (tmp_path / "ray.jsonl").read_bytes() == log
    assert b"line.crossed" in log
    assert [str(error) for error in errors.values()] == texts
    assert [type(error) for error in errors.values()] == [SourceError]
    measured = summary.to_dict()
    for name in ("frames_decoded", "frames_analysed", "frames_detected", "events", "events_by_type", "gaps"):
        assert measured[name] == numbers[name], name
    assert list(measured["cameras"]) == list(numbers["cameras"])


def test_own_parts_of_the_user_travel_and_max_frames_counts(tmp_path: Path) -> None:
    site = make_site({"a": "a?num=300", "b": "b?num=400", "c": "c?num=5"}, part("Say", every=3))

    replay(local.run_replay, site, tmp_path / "inline.jsonl", max_frames=200)
    replay(run_replay, site, tmp_path / "ray.jsonl", workers=2, max_frames=200)

    lines = (tmp_path / "ray.jsonl").read_bytes()
    assert lines == (tmp_path / "inline.jsonl").read_bytes()
    assert lines.count(b"test.seen") == 67 + 67 + 2


def test_a_killed_actor_is_replaced_and_nothing_is_written_twice(tmp_path: Path) -> None:
    cameras = {"a": "a?num=700", "bad": "bad?num=700"}
    bomb = part("BombOnce", at=600, path=str(tmp_path / "exploded"))

    replay(run_replay, make_site(cameras, part("Say"), bomb), tmp_path / "ray.jsonl", workers=2)
    assert (tmp_path / "exploded").exists()
    replay(local.run_replay, make_site(cameras, part("Say"), bomb), tmp_path / "inline.jsonl")

    assert (tmp_path / "ray.jsonl").read_bytes() == (tmp_path / "inline.jsonl").read_bytes()


def test_an_actor_that_dies_twice_ends_the_replay(tmp_path: Path) -> None:
    site = make_site({"bad": "bad?num=50"}, part("Bomb"))

    with pytest.raises(ClusterError, match=r"replay-1 \(bad\): its process died.*2 times"):
        replay(run_replay, site, tmp_path / "ray.jsonl")


def test_an_operator_that_fails_is_named_as_in_one_process(tmp_path: Path) -> None:
    site = make_site({"a": "a?num=5"}, part("Say", every=0))

    with pytest.raises(OperatorError, match="camera 'a': step 'step0' failed at frame 0: ZeroDivisionError"):
        replay(run_replay, site, tmp_path / "ray.jsonl")


def test_stop_ends_it_early_with_a_summary(tmp_path: Path) -> None:
    site = make_site({"a": "a?num=1000000", "b": "b?num=1000000"}, part("Say", every=1000)).with_sinks(
        Jsonl(path=str(tmp_path / "log.jsonl"))
    )
    stop = threading.Event()
    timer = threading.Timer(4.0, stop.set)
    timer.start()

    summary, errors = run_replay(Request(site, None, None, 2), stop)

    assert errors == {}
    assert set(summary.cameras) == {"a", "b"}
    assert 0 < summary.total().frames_analysed < 2_000_000
    assert summary.cpu_s > 0
    own_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert summary.peak_rss_mb > own_mb + 50, "the actors' numbers are among them"


def test_the_golden_log_of_the_rendered_scenes_is_the_same_on_actors(tmp_path: Path) -> None:
    scenes = Path(__file__).resolve().parents[2] / "replay_data"

    replay(run_replay, load_site(scenes / "site.yaml"), tmp_path / "ray.jsonl", workers=4)

    assert (tmp_path / "ray.jsonl").read_bytes() == (scenes / "golden" / "site.jsonl").read_bytes()
