"""An RTSP server from PyPI alone, for demonstrations and for tests where no other is at hand.

It serves the files of a folder, paced like a camera and over and over, on 127.0.0.1. It is no camera: TCP only, no
passwords, and files must be MP4 or MKV without B-frames.

`python -m deployments.embedded_rtsp FOLDER` is the child process: it prints `port N` and ends when its standard
input closes, so that it cannot outlive the process that started it, however that one ends.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from engine.errors import SourceError, SourceUnavailable

_START_S = 20.0


class RtspServer:
    """Serves the video files of a folder while its `with` block lasts.

    Args:
        folder: what to serve; files may be added later.

    Attributes:
        port: where it listens, on 127.0.0.1.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    def url(self, file: str) -> str:
        """Give the address of a file of the folder, as an endless stream."""
        return f"rtsp://127.0.0.1:{self.port}/{quote(file)}?play_count=0"

    def __enter__(self) -> RtspServer:
        """Start it and wait until it listens.

        Raises:
            SourceError: there is no such folder, or the package is not installed.
            SourceUnavailable: it does not start.
        """
        if not self.folder.is_dir():
            raise SourceError(f"{self.folder}: no such folder to serve over RTSP")
        if importlib.util.find_spec("aio_rtsp_toolkit") is None:
            raise SourceError("the embedded RTSP server is not installed; `pip install 'vedette[testbed]'` brings it")
        # The child finds this package where the parent found it, whatever its working directory is.
        room = str(Path(__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, [room, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "deployments.embedded_rtsp", str(self.folder.resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        line = self._first_line(self._process)
        if not line.startswith("port "):
            self.close()
            raise SourceUnavailable(f"the embedded RTSP server did not start within {_START_S:.0f} s")
        self.port = int(line.split()[1])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child process, and no other; may be called more than once."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait(timeout=10)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    @staticmethod
    def _first_line(process: subprocess.Popen[str]) -> str:
        lines: queue.Queue[str] = queue.Queue()
        assert process.stdout is not None
        threading.Thread(target=lambda: lines.put(process.stdout.readline()), daemon=True).start()  # type: ignore[union-attr]
        try:
            return lines.get(timeout=_START_S)
        except queue.Empty:
            return ""


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


async def _serve(folder: str) -> None:
    # The library logs every request to standard output; only the port belongs there.
    said, sys.stdout = sys.stdout, open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    from aio_rtsp_toolkit.server import RtspServer as Toolkit

    server = Toolkit(folder, host="127.0.0.1", port=0)
    await server.start()
    print("port", server._server.sockets[0].getsockname()[1], file=said, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(_serve(sys.argv[1]))
