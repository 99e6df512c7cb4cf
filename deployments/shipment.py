"""What travels to an actor when it is made: one's own modules as text, and the rest as bytes.

The bytes are unpacked only after the modules are there, since they may hold objects of their classes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ray import cloudpickle

from engine.drift.settings import DriftSettings
from engine.load import UserModule, install_module, load_class, user_modules
from engine.operator import Sink
from engine.plan import ExecutionPlan
from engine.site import Camera


@dataclass(frozen=True)
class Shipment:
    """Modules and packed content, and the folder in which relative paths are meant."""

    modules: tuple[UserModule, ...]
    packed: bytes
    folder: str

    @classmethod
    def of(cls, content: object) -> Shipment:
        """Pack something, classes of a script or notebook included."""
        return cls(user_modules(), cast(Any, cloudpickle).dumps(content), os.getcwd())  # noqa: PTH109

    def unpack(self) -> Any:
        """Give the content, in a process that may know none of its classes.

        Raises:
            ConfigError: a module of one's own cannot be imported here.
        """
        # On another machine the folder may not exist; absolute paths work there all the same.
        with contextlib.suppress(OSError):
            os.chdir(self.folder)
        for module in self.modules:
            install_module(module)
        return pickle.loads(self.packed)


@dataclass(frozen=True)
class HostSpec:
    """What a camera host runs.

    Attributes:
        name: of the host, for headers and messages.
        site: the site's name.
        cameras: its share of the cameras.
        plan: how to process them.
        sinks: those that live beside the cameras.
        keep_events: the driver wants the events for sinks of its own.
        num_workers: threads that run lanes and local detectors.
        max_frames: decoded frames of each camera at most.
        headers: run-time facts for every event.
        previous: epoch and last seq of cameras that another process ran before.
        drift: how to watch for drift; None does not.
        log_level: lines from this level on go to the driver.
    """

    name: str
    site: str
    cameras: Mapping[str, Camera]
    plan: ExecutionPlan
    sinks: tuple[Sink, ...] = ()
    keep_events: bool = True
    num_workers: int = 1
    max_frames: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    previous: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    drift: DriftSettings | None = None
    log_level: int = 30


def only(planned: ExecutionPlan, cameras: Iterable[str]) -> ExecutionPlan:
    """Give the plan of some cameras."""
    return dataclasses.replace(planned, lanes={name: planned.lanes[name] for name in cameras})


def load_sources(cameras: Mapping[str, Camera]) -> None:
    """Load source kinds of one's own here, so that they are among the modules that travel.

    Raises:
        ConfigError: there is no such file or class.
    """
    for camera in cameras.values():
        if ":" in camera.kind:
            load_class(camera.kind, camera.beside)


def gpus_of(planned: ExecutionPlan, with_actors: bool) -> float:
    """Give the share of a GPU that a process needs which runs this plan.

    Args:
        planned: for the process's own cameras.
        with_actors: shared segments that ask for actors of their own are run here too.
    """
    shared = (s for s in planned.shared.values() if with_actors or s.place != "actor")
    of_cameras = (s for lane in planned.lanes.values() for s in lane.segments if s.kind == "camera")
    return sum(step.operator.num_gpus for segment in (*shared, *of_cameras) for step in segment.steps)
