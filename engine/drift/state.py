"""What the drift monitor remembers, on disk: a file for each camera, and beside it how the camera is now.

    gate.npz            what is normal for the camera, as the monitor has saved it
    gate.status.json    how the camera is now, for `vedette drift watch`
    gate.accept         asks the monitor that runs to take the present for normal
    lock                held by the run that writes; the system lets go of it when that process dies

Each appears complete or not at all. For a monitor nothing here is worth an end: what cannot be written or read is
said once, and it goes on with what it has in memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import logging
import os
import re
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import SourceError

logger = logging.getLogger(__name__)

SCHEMA = "vedette.drift-state/1"
FACTS = "facts"
"""The array that holds the facts; no other may have this name."""

STATUS_EVERY_S = 1.0
# A temporary file that is older than this has lost its writer.
LEFTOVER_AFTER_S = 60.0
# What NumPy and zipfile raise for bytes that are not theirs.
_DAMAGE = (ValueError, KeyError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)

Arrays = Mapping[str, NDArray[Any]]


class StateRequest(NamedTuple):
    """What another process asks of the monitor that runs: `accept` takes a camera's present for its normal."""

    camera: str
    what: str


class StateFolder:
    """One site's memory. Any process may read it and make requests; one run at a time writes.

    A run takes the folder with its first `load`, `save`, `write_status` or `take_requests`. While another run has it,
    this one reads what is there and saves nothing.

    Args:
        path: the folder; made when something is written.
        clock: seconds that only go forward.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._clock = clock
        self._lock: IO[str] | None = None
        self._told = False
        self._written_s: dict[str, float] = {}
        self._held_back: dict[str, Mapping[str, Any]] = {}

    def save(self, camera: str, arrays: Arrays, facts: Mapping[str, Any]) -> None:
        """Write what is known of a camera; `facts` are plain JSON."""
        with self._forgiving():
            if self._take():
                self._write(self._file(camera, ".npz"), _pack(camera, arrays, facts))
                if camera in self._held_back:
                    self._write_status(camera, self._held_back[camera])

    def load(self, camera: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
        """Give arrays and facts as they were saved; None where nothing is, or nothing that can be used."""
        path = self._file(camera, ".npz")
        with self._forgiving():
            self._take()
            if not path.is_file():
                return None
            data = path.read_bytes()
            try:
                _, arrays, facts = _unpack(data)
            except _DAMAGE as error:
                logger.warning("%s: not a drift state that this version can read (%s); the camera settles afresh, "
                               "the file is set aside as %s.damaged", path, error, path.name)  # fmt: skip
                path.replace(f"{path}.damaged")
            else:
                return arrays, facts
        return None

    def remove(self, camera: str) -> bool:
        """Forget a camera; False where that cannot be done."""
        with self._forgiving():
            for suffix in (".npz", ".status.json"):
                self._file(camera, suffix).unlink(missing_ok=True)
            return True
        return False

    def cameras(self) -> list[str]:
        """Name the cameras of which something is saved."""
        return sorted(name for path in self.path.glob("*.npz") if (name := _camera_of(path)) is not None)

    def write_status(self, camera: str, status: Mapping[str, Any]) -> None:
        """Say how a camera is, in plain JSON; what comes within a second of the last is held back."""
        if self._clock() - self._written_s.get(camera, -np.inf) < STATUS_EVERY_S:
            self._held_back[camera] = status
            return
        with self._forgiving():
            if self._take():
                self._write_status(camera, status)

    def read_status(self) -> dict[str, dict[str, Any]]:
        """Give each camera's last status, with `written_unix_s`, in the order of names."""
        found = {}
        for path in self.path.glob("*.status.json"):
            # Removed since, or not ours.
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                body = json.loads(path.read_bytes())
                found[str(body["camera"])] = {**body["status"], "written_unix_s": float(body["written_unix_s"])}
        return dict(sorted(found.items()))

    def request(self, camera: str, what: str) -> None:
        """Ask the monitor that runs for something.

        Raises:
            SourceError: the folder cannot be written.
        """
        try:
            self._write(self._file(camera, f".{what}"), json.dumps({"camera": camera}).encode())
        except OSError as error:
            raise SourceError(f"{self.path}: cannot be written: {error.strerror}") from None

    def take_requests(self) -> list[StateRequest]:
        """Give what was asked since the last call, each once; for the run that has the folder."""
        found: list[StateRequest] = []
        with self._forgiving():
            if self._take():
                for path in sorted(self.path.glob("*.accept")):
                    with contextlib.suppress(ValueError, KeyError, TypeError):
                        found.append(StateRequest(str(json.loads(path.read_bytes())["camera"]), "accept"))
                    path.unlink()
        return found

    @property
    def in_use(self) -> bool:
        """Some run has the folder."""
        try:
            with (self.path / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Let another run have the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take(self) -> bool:
        # Tried again each time: the run that has it may end.
        if self._lock is not None:
            return True
        self.path.mkdir(parents=True, exist_ok=True)
        lock = (self.path / "lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            if not isinstance(error, BlockingIOError):
                raise
            self._warn(f"{self.path}: another run keeps its drift state here, so this one saves nothing; give it a "
                       "folder of its own: `drift: {state: FOLDER}`")  # fmt: skip
            return False
        self._lock = lock
        for path in self.path.glob(".*.tmp"):
            if time.time() - path.stat().st_mtime > LEFTOVER_AFTER_S:
                path.unlink()
        return True

    def _write_status(self, camera: str, status: Mapping[str, Any]) -> None:
        self._held_back.pop(camera, None)
        self._written_s[camera] = self._clock()
        body = {"camera": camera, "written_unix_s": round(time.time(), 3), "status": status}
        self._write(self._file(camera, ".status.json"), json.dumps(body).encode())

    def _write(self, path: Path, data: bytes) -> None:
        # The folder may have been removed by somebody who wanted the monitor to begin afresh.
        self.path.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            fresh.write_bytes(data)
            fresh.replace(path)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise

    def _file(self, camera: str, suffix: str) -> Path:
        return self.path / f"{_file_name(camera)}{suffix}"

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._warn(f"{self.path}: drift state cannot be kept ({error.strerror}); the monitor goes on, and what it "
                       "learns ends with this run")  # fmt: skip

    def _warn(self, text: str) -> None:
        if not self._told:
            self._told = True
            logger.warning("%s", text)


def default_state(site_name: str) -> Path:
    """Give the user's own folder for a site: under XDG_STATE_HOME, or ~/.local/state."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "vedette" / _file_name(site_name) / "drift"


def _file_name(name: str) -> str:
    """Make a name that any file system takes, and that no other name gets."""
    if re.fullmatch(r"[a-z0-9_-]{1,80}", name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', name)[:60]}-{digest}"


def _pack(camera: str, arrays: Arrays, facts: Mapping[str, Any]) -> bytes:
    head = json.dumps({"schema": SCHEMA, "camera": camera, "facts": facts}).encode()
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{FACTS: np.frombuffer(head, np.uint8)}, **arrays)
    return buffer.getvalue()


def _unpack(data: bytes) -> tuple[str, dict[str, NDArray[Any]], dict[str, Any]]:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    head = json.loads(arrays.pop(FACTS).tobytes())
    if head["schema"] != SCHEMA:
        raise ValueError(f"it is of the version {head['schema']}, expected {SCHEMA}")
    return str(head["camera"]), arrays, dict(head["facts"])


def _camera_of(path: Path) -> str | None:
    try:
        return _unpack(path.read_bytes())[0]
    except (OSError, *_DAMAGE):
        return None
