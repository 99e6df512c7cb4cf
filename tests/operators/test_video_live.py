from __future__ import annotations

import functools
import http.server
import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from engine.clock import Timeline
from engine.errors import Cause, SourceUnavailable
from engine.frame import SourceFrame
from engine.picture import Pixels
from engine.redact import Url
from operators.video import Video
from tests.clips import square_frames, write_annexb, write_clip
from tests.rtsp import GstServer

pytestmark = pytest.mark.rtsp

COUNT, GOP = 50, 25
Transport = Literal["tcp", "udp"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    noise = np.random.default_rng(3)
    pictures = square_frames(COUNT, (320, 240))
    shaky = [np.clip(p + noise.integers(-12, 12, p.shape), 0, 255).astype(np.uint8) for p in pictures]
    return write_annexb(tmp_path_factory.mktemp("clips") / "a.h264", shaky, gop=GOP)


@pytest.fixture(scope="module")
def whole(clip: Path) -> list[Pixels]:
    """What a viewer without losses sees."""
    video = Video(str(clip))
    video.open()
    return [frame.picture.planes[0].copy() for frame in video.frames()]


@pytest.fixture(scope="module")
def camera(clip: Path) -> Iterator[GstServer]:
    """A camera that shows 50 pictures a second, so that tests are short."""
    with GstServer({"cam": clip}, fps=50) as server:
        yield server


def connect(url: str, transport: Transport = "tcp", **options: Any) -> Video:
    video = Video(url, transport=transport, **{"open_timeout_s": 3.0, "read_timeout_s": 0.5, **options})
    video.open()
    return video


def take(video: Video, count: int) -> list[SourceFrame]:
    return list(itertools.islice(video.frames(), count))


def failure(url: str, transport: Transport = "tcp", **options: Any) -> SourceUnavailable:
    with pytest.raises(SourceUnavailable) as raised:
        list(connect(url, transport, **options).frames())
    return raised.value


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_shows_every_picture_in_order_and_on_and_on(
    camera: GstServer, whole: list[Pixels], transport: Transport
) -> None:
    video = connect(camera.url("cam"), transport)
    timeline = Timeline("cam", 5, video.live, nominal_fps=video.nominal_fps)

    frames = take(video, COUNT + 15)
    stamped = [timeline.stamp(frame, 0) for frame in frames]

    shown = [next(i for i, w in enumerate(whole) if np.array_equal(w, f.picture.planes[0])) for f in frames]
    assert shown == [(shown[0] + n) % COUNT for n in range(COUNT + 15)]
    assert video.live
    assert video.num_frames() is None
    assert not any(f.is_corrupt for f in frames)
    assert [f.is_key for f in frames] == [i % GOP == 0 for i in shown]
    assert {f.epoch for f in stamped} == {5}
    assert [f.pts_us for f in stamped] == pytest.approx([20_000 * n for n in range(COUNT + 15)], abs=25_000)
    assert np.diff([f.pts_us for f in stamped])[1:] == pytest.approx(20_000, abs=20)
    facts = video.facts()
    assert (facts.codec, facts.size_wh, facts.transport, facts.has_b_frames) == ("h264", (320, 240), transport, False)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_no_picture_that_lost_something_passes_for_whole(clip: Path, whole: list[Pixels], transport: Transport) -> None:
    with GstServer({"cam": clip}, fps=100, loss=0.02) as lossy:
        frames = take(connect(lossy.url("cam"), transport), 250)

    trusted = [f for f in frames if not f.is_corrupt]
    wrong = [f.pts_s for f in trusted if not any(np.array_equal(w, f.picture.planes[0]) for w in whole)]
    assert wrong == []
    assert 10 < len(trusted) < 240


@pytest.mark.parametrize("kind", ["basic", "digest"])
def test_user_and_password_of_any_characters_open_and_wrong_ones_do_not(
    clip: Path, kind: Literal["basic", "digest"]
) -> None:
    user, password = "adm@in", "p@ss:w/rd#1% ü"
    with GstServer({"cam": clip}, auth=kind, user=user, password=password) as server:
        good = Url.from_parts("rtsp", "127.0.0.1", "/cam", server.port, user, password)
        assert len(take(connect(good.reveal()), 2)) == 2
        for url in (
            server.url("cam"),
            server.url("cam", "adm%40in:wr0ngpass"),
            server.url("cam", "someone:p%40ss%3Aw%2Frd%231%25%20%C3%BC"),
        ):
            error = failure(url)
            assert error.cause is Cause.AUTH
            assert "refuses this user and password" in str(error)
            assert not any(secret in str(error) for secret in ("wr0ngpass", "p@ss", "p%40ss", "someone"))


def test_a_wrong_path_is_named(camera: GstServer) -> None:
    error = failure(camera.url("elsewhere"))

    assert error.cause is Cause.NOT_FOUND
    assert str(error).endswith("/elsewhere: the camera has no stream '/elsewhere'; check the path")


def test_a_closed_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = failure(f"rtsp://u:s3cret@127.0.0.1:{port}/cam")

    assert error.cause is Cause.REFUSED
    assert str(error) == (
        f"rtsp://***@127.0.0.1:{port}/cam: nothing listens on 127.0.0.1:{port}; check host and port, and that the "
        "camera is on"
    )


@pytest.mark.parametrize("scheme", ["rtsp", "http", "rtmp"])
def test_a_port_that_accepts_and_never_answers_times_out_within_the_limit(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started_s = time.monotonic()
        error = failure(f"{scheme}://u:s3cret@127.0.0.1:{silent.getsockname()[1]}/cam", open_timeout_s=0.4)

    assert error.cause is Cause.TIMEOUT
    assert "s3cret" not in str(error)
    assert 0.3 < time.monotonic() - started_s < 4


@contextmanager
def answering(what: bytes) -> Iterator[int]:
    """Something that listens, says one thing to everyone, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                    with client:
                        client.recv(4096)
                        client.sendall(what)
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.parametrize(
    "what",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        bytes(range(256)) * 8,
        b"",
    ],
)
def test_something_else_than_a_camera_on_the_port_is_named(what: bytes) -> None:
    with answering(what) as port:
        error = failure(f"rtsp://127.0.0.1:{port}/cam")

    assert error.cause is Cause.INVALID
    assert f"what answers on 127.0.0.1:{port} is no RTSP stream; check protocol and port" in str(error)


def test_a_transport_that_is_not_offered_is_named(clip: Path) -> None:
    with GstServer({"cam": clip}, transport="udp") as server:
        error = failure(server.url("cam"), "tcp")

    assert error.cause is Cause.TRANSPORT
    assert "the camera does not offer RTSP over TCP; set `transport: udp`" in str(error)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_that_ends_its_stream_is_lost(clip: Path, transport: Transport) -> None:
    with GstServer({"cam": clip}, fps=100, limit=30) as server:
        video = connect(server.url("cam"), transport)
        frames = video.frames()
        assert len(list(itertools.islice(frames, 5))) == 5
        with pytest.raises(SourceUnavailable) as raised:
            list(frames)

    # Over UDP the goodbye may get lost.
    assert raised.value.cause in ({Cause.ENDED} if transport == "tcp" else {Cause.ENDED, Cause.TIMEOUT})


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_that_loses_power_is_lost_and_found_again(clip: Path, transport: Transport) -> None:
    with GstServer({"cam": clip}, fps=100) as server:
        frames = connect(server.url("cam"), transport).frames()
        assert len(list(itertools.islice(frames, 5))) == 5
        server.kill()
        with pytest.raises(SourceUnavailable, match="the camera ended the stream") as raised:
            list(frames)
        port = server.port

    assert raised.value.cause is Cause.ENDED
    with GstServer({"cam": clip}, fps=100, port=port) as server:
        assert len(take(connect(server.url("cam"), transport), 5)) == 5


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_that_freezes_times_out_after_one_to_two_times_the_limit(clip: Path, transport: Transport) -> None:
    with GstServer({"cam": clip}, fps=100) as server:
        frames = connect(server.url("cam"), transport, read_timeout_s=0.5).frames()
        assert len(list(itertools.islice(frames, 5))) == 5
        server.freeze()
        started_s = time.monotonic()
        with pytest.raises(SourceUnavailable, match=r"nothing came from 127\.0\.0\.1:\d+ for 0\.\d s") as raised:
            list(frames)
        took_s = time.monotonic() - started_s

    assert raised.value.cause is Cause.TIMEOUT
    assert 0.4 < took_s < 4


def test_a_frozen_camera_does_not_answer_a_new_connection_either(clip: Path) -> None:
    with GstServer({"cam": clip}) as server:
        server.freeze()

        assert failure(server.url("cam"), open_timeout_s=0.4).cause is Cause.TIMEOUT


def test_close_from_another_thread_returns_at_once_while_the_reader_hangs(clip: Path) -> None:
    with GstServer({"cam": clip}, fps=100) as server:
        video = connect(server.url("cam"), read_timeout_s=0.6)
        count, ended = [0], threading.Event()

        def read() -> None:
            for _ in video.frames():
                count[0] += 1
            ended.set()

        reader = threading.Thread(target=read)
        reader.start()
        deadline_s = time.monotonic() + 5
        while not count[0] and time.monotonic() < deadline_s:
            time.sleep(0.01)
        server.freeze()
        time.sleep(0.2)
        video.close()
        assert not ended.is_set(), "the reader hangs inside the library"
        reader.join(5)

    assert ended.is_set(), "it ends without an error, once its time-out fires"


def test_close_while_connecting_returns_at_once_and_nothing_is_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        video = Video(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/cam", open_timeout_s=2.0)
        errors: list[Exception] = []

        def open_it() -> None:
            try:
                video.open()
            except SourceUnavailable as error:
                errors.append(error)

        opener = threading.Thread(target=open_it)
        opener.start()
        time.sleep(0.2)
        video.close()
        assert opener.is_alive(), "closing did not wait for it"
        opener.join(10)

    assert len(errors) == 1
    assert list(video.frames()) == []


def test_video_over_http_is_read_and_its_refusals_are_named(tmp_path: Path) -> None:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/closed.mp4":
                self.send_error(401)
            else:
                super().do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    write_clip(tmp_path / "a.mp4", square_frames(10))
    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://u:s3cret@127.0.0.1:{server.server_port}"
        frames = connect(f"{url}/a.mp4").frames()
        assert len(list(itertools.islice(frames, 10))) == 10
        with pytest.raises(SourceUnavailable, match="the camera ended the stream"):
            next(frames)
        assert failure(f"{url}/none.mp4").cause is Cause.NOT_FOUND
        assert failure(f"{url}/closed.mp4").cause is Cause.AUTH
        server.shutdown()


def test_one_camera_has_many_viewers(camera: GstServer) -> None:
    videos = [connect(camera.url("cam")) for _ in range(4)]

    assert [len(take(video, 5)) for video in videos] == [5] * 4


def test_without_a_server_ci_fails_and_other_machines_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests import rtsp

    monkeypatch.setattr(rtsp, "missing_server", lambda: "not installed")
    monkeypatch.setitem(os.environ, "CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI must have an RTSP test server: not installed"):
        rtsp.require_server()
    monkeypatch.setitem(os.environ, "CI", "")
    with pytest.raises(pytest.skip.Exception, match="no RTSP test server: not installed"):
        rtsp.require_server()
