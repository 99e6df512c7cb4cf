"""Test cameras: a GStreamer RTSP server as a child process, or a reason why there is none."""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Literal

import pytest

_PYTHON = "/usr/bin/python3"
_SCRIPT = Path(__file__).with_name("gst_rtsp_server.py")
_START_S = 10.0


@functools.cache
def missing_server() -> str | None:
    """Say why no GStreamer RTSP server can run here, or None."""
    if not Path(_PYTHON).exists():
        return f"no {_PYTHON}"
    load = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    try:
        tried = subprocess.run([_PYTHON, "-c", load], capture_output=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return "GStreamer's Python binding does not load within 20 s"
    return None if tried.returncode == 0 else "python3-gi and gir1.2-gst-rtsp-server-1.0 are not installed"


def require_server() -> None:
    """Skip the test where there is no server; in CI its absence is a failure.

    Raises:
        pytest.fail.Exception, pytest.skip.Exception: there is none.
    """
    reason = missing_server()
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have an RTSP test server: {reason}")
    pytest.skip(f"no RTSP test server: {reason}")


class GstServer:
    """A server of looping H.264 files on 127.0.0.1; ends with the `with` block, or with the process that started it.

    Args:
        mounts: path in the URL to a bare H.264 file with access unit delimiters.
        fps: pictures a second, of all mounts.
        auth: how it asks for `user` and `password`.
        transport: what it offers.
        limit: pictures until it ends the stream; 0 never.
        loss: share of RTP packets that it drops.
        port: a fixed one, to come back on the same; 0 picks a free one.
    """

    def __init__(
        self,
        mounts: dict[str, Path],
        fps: int = 25,
        auth: Literal["none", "basic", "digest"] = "none",
        user: str = "",
        password: str = "",
        transport: Literal["any", "tcp", "udp"] = "any",
        limit: int = 0,
        loss: float = 0.0,
        port: int = 0,
    ) -> None:
        files = {name: {"file": str(path), "fps": fps} for name, path in mounts.items()}
        self._settings = {
            "mounts": files,
            "auth": auth,
            "user": user,
            "password": password,
            "transport": transport,
            "limit": limit,
            "loss": loss,
            "port": port,
        }
        self.port = port

    def url(self, mount: str, userinfo: str = "") -> str:
        """Give the address of a mount; `userinfo` is `user:password`."""
        return f"rtsp://{userinfo}{'@' if userinfo else ''}127.0.0.1:{self.port}/{mount}"

    def __enter__(self) -> GstServer:
        require_server()
        self._process = subprocess.Popen(
            [_PYTHON, str(_SCRIPT), json.dumps(self._settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        deadline = time.monotonic() + _START_S
        ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        line = self._process.stdout.readline() if ready else ""
        if not line.startswith("port "):
            self.kill()
            pytest.fail(f"the RTSP test server did not start within {_START_S:.0f} s")
        self.port = int(line.split()[1])
        return self

    def freeze(self) -> None:
        """Stop it where it stands: connections stay open, nothing comes any more."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, like a camera that loses power."""
        self._process.kill()
        self._process.wait(timeout=10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
