"""Starting, joining and leaving clusters: in bounded time, in one sentence, and with nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from deployments import cluster
from engine.errors import ClusterError, ConfigError
from tests.deployments.ray_runs import HERE

pytestmark = pytest.mark.ray

CONFIG = """
site: north
defaults: {{kind: "ray_parts:Script"}}
cameras: {{a: "{a}", b: "{b}"}}
pipeline:
  - "ray_parts:Say": {{}}
sinks:
  - jsonl: {{path: events.jsonl}}
"""


def write_site(folder: Path, a: str, b: str) -> Path:
    (folder / "ray_parts.py").write_bytes((HERE / "ray_parts.py").read_bytes())
    path = folder / "site.yaml"
    path.write_text(CONFIG.format(a=a, b=b), encoding="utf-8")
    return path


def vedette(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "engine", *arguments]
    own = {
        key: value for key, value in os.environ.items() if not key.startswith("RAY_") or "--ray-address" in arguments
    }
    return subprocess.Popen(
        command, cwd=folder, env=own, text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )


def until(condition: Any, process: subprocess.Popen[str], timeout_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_ctrl_c_ends_a_live_run_cleanly_and_leaves_nothing_running(tmp_path: Path) -> None:
    site = write_site(tmp_path, "fake://x/?fps=20", "fake://y/?fps=20")
    process = vedette(tmp_path, "run", "--runner", "ray", str(site), "--summary", "summary.json")
    log = tmp_path / "events.jsonl"
    try:
        until(lambda: log.exists() and log.read_bytes().count(b"\n") > 20, process)
        started = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        addresses = listening(started)
        # A terminal sends it to the whole group, Ray's processes included.
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=40)
    finally:
        process.kill()

    assert process.returncode == 0, errors
    frames = json.loads((tmp_path / "summary.json").read_text())["frames_analysed"]
    (line,) = errors.splitlines()
    assert line.startswith(f"{frames} frames of 2 camera(s)")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [e["type"] for e in events if e["camera"] == "a"][-1] == "camera.down"
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def listening(processes: list[psutil.Process]) -> set[str]:
    """Addresses on which these processes can be reached."""
    found = set()
    for process in processes:
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                found.add(connection.laddr.ip)
    return found


@pytest.mark.usefixtures("ray_cluster")
def test_a_cluster_that_runs_already_is_used_and_left_alone(tmp_path: Path) -> None:
    import ray

    of_cluster: Any = ray
    site = write_site(tmp_path, "fake://x/?fps=20", "b?num=30")
    address = ray.get_runtime_context().gcs_address

    process = vedette(tmp_path, "run", "--ray-address", address, str(site), "--summary", "summary.json")
    log = tmp_path / "events.jsonl"
    try:
        until(lambda: log.exists() and log.read_bytes().count(b"\n") > 60, process)
        process.terminate()
        _, errors = process.communicate(timeout=40)
    finally:
        process.kill()

    assert process.returncode == 0, errors
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["cameras"]["b"]["frames_analysed"] == 30
    deadline_s = time.monotonic() + 10
    while (left := of_cluster.available_resources().get("CPU")) != of_cluster.cluster_resources()["CPU"]:
        assert time.monotonic() < deadline_s, f"actors of the run still hold CPU: {left}"
        time.sleep(0.1)


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("kind", ["nobody", "no Ray", "nonsense", "no host"])
def test_a_wrong_address_ends_in_one_sentence_and_in_bounded_time(tmp_path: Path, kind: str) -> None:
    site = write_site(tmp_path, "a?num=3", "b?num=3")
    with deaf_port() as port:
        address = {"nobody": "127.0.0.1:1", "no Ray": f"127.0.0.1:{port}", "nonsense": "what", "no host": "x.invalid:1"}
        process = vedette(tmp_path, "run", "--ray-address", address[kind], str(site))
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 3
    (line,) = errors.splitlines()
    expected = {
        "nobody": "cannot be reached (connection refused); `ray status` on the head node shows",
        "no Ray": "no Ray cluster answers there",
        "nonsense": "expected host:port, ray://host:port or auto",
        "no host": "cannot be reached (name or service not known)",
    }
    assert line.startswith(f"vedette: --ray-address {address[kind]}: {expected[kind]}")


def test_an_answer_that_does_not_come_names_wanted_and_available_resources(ray_cluster: None) -> None:
    import ray

    class Idle:
        def where(self) -> None: ...

    actor = cast(Any, ray.remote(Idle)).options(num_cpus=0.05, num_gpus=2).remote()
    with pytest.raises(
        ClusterError,
        match=r"^x: no answer within 0.2 s; wanted: 0.05 CPU, 2 GPU; available: [\d.]+ of \d+ CPU, 0 of 0 GPU$",
    ):
        cluster.get(actor.where.remote(), 0.2, "x", {"CPU": 0.05, "GPU": 2})
    ray.kill(actor)


def test_what_an_actor_raises_arrives_as_what_it_is(ray_cluster: None) -> None:
    import ray

    @ray.remote(num_cpus=0)
    def fail(error: Exception) -> None:
        raise error

    with pytest.raises(ConfigError, match=r"^line 3$"):
        cluster.get(fail.remote(ConfigError("line 3")), 20, "x")
    with pytest.raises(ClusterError, match=r"^x: ValueError: no rtsp://\*\*\*@h/1$"):
        cluster.get(fail.remote(ValueError("no rtsp://u:secret@h/1")), 20, "x")


def test_a_process_that_dies_is_told_from_one_that_does_not_answer(ray_cluster: None) -> None:
    import ray

    @ray.remote(num_cpus=0, max_retries=0)
    def die() -> None:
        os._exit(3)

    with pytest.raises(cluster.ActorLost, match=r"^x: its process died$"):
        cluster.get(die.remote(), 20, "x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Task was killed due to the node running low on memory.\nOutOfMemoryError",
            "its process used too much memory",
        ),
        ("Worker exit type: USER_ERROR. Worker exits with an exit code 7.", "its process ended with exit code 7"),
        ("Worker unexpectedly exits with a connection error code 2. End of file.", "its process died"),
        ("The actor is dead because it was killed by `ray.kill`.", "its process was killed"),
        ("The actor died because its node has died.", "its node is gone"),
        ("The actor is temporarily unavailable: Unavailable.", "its process died and is being started again"),
        ("something else", r"its process ended (RuntimeError)"),
    ],
)
def test_why_an_actor_was_lost_is_said_in_a_few_words(text: str, expected: str) -> None:
    assert cluster.why_lost(RuntimeError(text)).startswith(expected)


def test_resources_are_written_in_a_fixed_order() -> None:
    assert cluster.show_resources({"GPU": 0.5, "CPU": 0.05}) == "0.05 CPU, 0.5 GPU"
    assert cluster.show_resources({}) == "nothing"
