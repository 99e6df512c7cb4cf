"""Where the figures of a run go: a file of JSON lines, and MLflow where it is installed."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine.errors import SourceError
from training.checkpoint import replace_file
from training.stopping import TrainingStopped

logger = logging.getLogger(__name__)

METRICS = "metrics.jsonl"
_EXPERIMENT = "vedette"
# MLflow refuses longer values.
_MAX_PARAM = 500


class Recorder:
    """Keeps the figures of one run.

    Args:
        work: the run's folder.
        name: of the run.
        params: what it is made from, for MLflow.
        since_step: figures of later steps are dropped: the run goes on from there. 0 begins anew.
    """

    def __init__(self, work: Path, name: str, params: Mapping[str, Any], since_step: int = 0) -> None:
        path = work / METRICS
        kept = [row for row in read_metrics(work) if row["step"] <= since_step] if since_step else []
        replace_file(path, "".join(json.dumps(row) + "\n" for row in kept).encode())
        self._file = path.open("a", encoding="utf-8")
        self._mlflow = _open_mlflow(work, name, params)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._mlflow is not None:
            stopped = isinstance(value, TrainingStopped)
            self._mlflow.close("FINISHED" if value is None else "KILLED" if stopped else "FAILED")

    def record(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep figures; `step` counts finished steps."""
        self._file.write(json.dumps({"step": step, **{name: round(v, 6) for name, v in figures.items()}}) + "\n")
        self._file.flush()
        if self._mlflow is not None:
            self._mlflow.record(step, figures)


def read_metrics(work: Path) -> list[dict[str, float]]:
    """Read the figures of a run, oldest first; a last line that a kill has cut off is left out.

    Raises:
        SourceError: there are none, or the file holds something else.
    """
    path = work / METRICS
    if not path.is_file():
        raise SourceError(f"{path}: no such file; `vedette train` writes it")
    lines = path.read_text(encoding="utf-8").splitlines()
    rows: list[dict[str, float]] = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            row["step"]
        except (ValueError, TypeError, KeyError):
            if number == len(lines):
                break
            raise SourceError(f"{path}: line {number}: expected a JSON object with 'step'") from None
        rows.append(row)
    return rows


class _Mlflow:
    """One run in an MLflow store, by a client of its own: nothing global is changed."""

    def __init__(self, client: Any, run_id: str) -> None:
        self._client, self._run_id = client, run_id

    def record(self, step: int, figures: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        self._try("log_batch", [Metric(name, value, now_ms, step) for name, value in figures.items()])

    def close(self, status: str) -> None:
        self._try("set_terminated", status)

    def _try(self, call: str, argument: Any) -> None:
        from mlflow.exceptions import MlflowException

        if self._client is None:
            return
        try:
            getattr(self._client, call)(self._run_id, argument)
        except MlflowException as error:
            # A server that is away must not cost a night of training.
            logger.warning("MLflow does not answer, figures go to %s only from now on: %s", METRICS, error)
            self._client = None


def _open_mlflow(work: Path, name: str, params: Mapping[str, Any]) -> _Mlflow | None:
    # It reports its use to its makers unless told not to; what a site trains is nobody's business.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from mlflow import MlflowClient
        from mlflow.entities import Param
        from mlflow.exceptions import MlflowException
    except ImportError:
        logger.warning("MLflow is not installed: figures go to %s only", work / METRICS)
        return None
    # Making the tables of a new store is twenty lines of log.
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    store = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(work / 'mlflow.db').resolve()}"
    known = work / "mlflow_run"
    try:
        client = MlflowClient(store)
        if known.exists():
            run_id = known.read_text(encoding="utf-8")
            client.update_run(run_id, status="RUNNING")
            return _Mlflow(client, run_id)
        experiment = client.get_experiment_by_name(_EXPERIMENT)
        place = (work / "artifacts").resolve().as_uri()
        number = experiment.experiment_id if experiment else client.create_experiment(_EXPERIMENT, place)
        run_id = client.create_run(number, run_name=name).info.run_id
        client.log_batch(run_id, params=[Param(key, str(value)[:_MAX_PARAM]) for key, value in params.items()])
    except MlflowException as error:
        logger.warning("MLflow at %s cannot be used, figures go to %s only: %s", store, METRICS, error)
        return None
    replace_file(known, run_id.encode())
    return _Mlflow(client, run_id)
