"""Making the drift monitors of a run: with what the cameras' models were trained on, and with a memory or without."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.bundle import Bundle
from engine.default_model import find_default_model
from engine.drift.monitor import DriftMonitor
from engine.drift.port import LocalDrift
from engine.drift.settings import DriftSettings
from engine.drift.state import StateFolder, default_state
from engine.drift.training_normal import TrainingNormal
from engine.errors import BundleError
from engine.plan import ExecutionPlan, LanePlan
from engine.reference import ReferenceStatistics
from engine.site import Camera, Site

logger = logging.getLogger(__name__)


def make_drift(
    settings: DriftSettings | None,
    cameras: Mapping[str, Camera],
    planned: ExecutionPlan,
    state: Path | None = None,
) -> LocalDrift | None:
    """Make the monitors that watch cameras in this process.

    Args:
        settings: None switches drift off.
        cameras: whom to watch.
        planned: how they are processed: it says which model looks at them.
        state: the folder in which live cameras' normal survives a restart. Recordings never read or write it, so
            that they give the same events on every run.

    Returns:
        None where drift is switched off.

    Raises:
        BundleError: a model or `drift.reference` cannot be used.
    """
    if settings is None:
        return None
    training = training_normals(settings, planned)
    of_recordings = DriftMonitor(settings, training)
    folder = None if state is None else StateFolder(state)
    of_live = DriftMonitor(settings, training, folder)
    return LocalDrift({name: of_live if camera.live else of_recordings for name, camera in cameras.items()}, folder)


def state_path(site: Site) -> Path | None:
    """Give the folder in which the live cameras' normal is kept; None where nothing is to be kept."""
    if site.drift is None or not any(camera.live for camera in site.cameras.values()):
        return None
    return default_state(site.name) if site.drift.state is None else Path(site.drift.state)


def training_normals(settings: DriftSettings, planned: ExecutionPlan) -> dict[str, TrainingNormal]:
    """Load what the model of each camera was trained on; cameras for which that is not known are absent.

    Each bundle without usable reference statistics is named in one line, and its cameras have only their own normal.

    Raises:
        BundleError: a model or `drift.reference` cannot be used.
    """
    references: dict[str, ReferenceStatistics | None] = {}
    out = {}
    for camera, lane in planned.lanes.items():
        models = list(_models(lane))
        # What several detectors see together is not what one of them saw in training.
        path = settings.reference or (models[0] if len(models) == 1 else None)
        if path is None:
            continue
        if path not in references:
            references[path] = _reference(path)
        if (reference := references[path]) is not None:
            out[camera] = TrainingNormal.of(reference, camera)
    return out


def _models(lane: LanePlan) -> Iterator[str]:
    """Give the models of a lane's detectors."""
    for step in (step for segment in lane.segments for step in segment.steps):
        if "detections" in step.operator.writes and hasattr(step.operator, "model"):
            yield step.operator.model or find_default_model()


def _reference(path: str) -> ReferenceStatistics | None:
    bundle = Bundle.load(path)
    try:
        reference = bundle.reference()
    except BundleError as error:
        logger.warning("drift is judged by each camera's own normal: %s", error)
        return None
    if reference is None:
        advice = f"`vedette reference {path} --data DATA` makes them"
        logger.info("drift is judged by each camera's own normal: %s has no reference statistics; %s", path, advice)
    return reference
