"""TensorRT's timing cache in a file: how fast kernels were, so that the next build need not measure them again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from operators.nvidia.tensorrt_module import TensorrtLog, TensorrtModule


class TimingCache:
    """A cache that one build reads and adds to. It saves time and decides nothing: no trouble with it stops a build."""

    def __init__(self, path: Path, log: TensorrtLog) -> None:
        self._path = path
        self._log = log

    def attach(self, config: Any) -> None:
        """Give the file's measurements to a builder's configuration, which then adds its own."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            data = b""
        except OSError as error:
            self._note(f"cannot be read: {error.strerror}")
            data = b""
        if data and not self._set(config, data):
            self._note("is of another version or GPU, or damaged, and is begun anew")
            data = b""
        if not data:
            self._set(config, b"")

    def save(self, config: Any) -> None:
        """Write what a configuration knows after a build: the file has the old bytes or the new, never a part."""
        data = bytes(config.get_timing_cache().serialize())
        part = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(data)
            part.replace(self._path)
        except OSError as error:
            part.unlink(missing_ok=True)
            self._note(f"cannot be written: {error.strerror}")

    def _set(self, config: Any, data: bytes) -> bool:
        cache = config.create_timing_cache(data)
        # False: a cache of another GPU is refused rather than believed.
        return cache is not None and bool(config.set_timing_cache(cache, False))

    def _note(self, text: str) -> None:
        self._log.add("WARNING", f"timing cache {self._path.name} {text}")


def timing_cache(path: Path | None, module: TensorrtModule, log: TensorrtLog) -> TimingCache | None:
    """Give the cache of a file; None where there is none to use."""
    if path is not None and module.flavour == "tensorrt_rtx":
        # Its calls do nothing there but look for a GPU, and serialising the cache ends the process (1.7.1).
        log.add("INFO", f"timing cache {path.name} is not used: {module} measures nothing while it builds")
        return None
    return None if path is None else TimingCache(path, log)
