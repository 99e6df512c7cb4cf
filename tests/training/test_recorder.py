from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from engine.errors import SourceError
from training.recorder import Recorder, read_metrics
from training.stopping import TrainingStopped


def test_figures_are_kept_in_order_without_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with caplog.at_level(logging.WARNING), Recorder(tmp_path, "x", {"lr": 1}) as recorder:
        recorder.record(0, {"val_ap": 0.1})
        recorder.record(5, {"total": 1 / 3})

    assert read_metrics(tmp_path) == [{"step": 0, "val_ap": 0.1}, {"step": 5, "total": 0.333333}]
    assert [record.getMessage() for record in caplog.records] == [
        f"MLflow is not installed: figures go to {tmp_path / 'metrics.jsonl'} only"
    ]


def test_a_run_that_goes_on_forgets_what_it_does_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with Recorder(tmp_path, "x", {}) as recorder:
        for step in (0, 5, 10):
            recorder.record(step, {"total": step})
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 15, "to')
    assert [row["step"] for row in read_metrics(tmp_path)] == [0, 5, 10]
    with Recorder(tmp_path, "x", {}, since_step=5) as recorder:
        recorder.record(10, {"total": 11})

    assert [(row["step"], row["total"]) for row in read_metrics(tmp_path)] == [(0, 0), (5, 5), (10, 11)]
    with Recorder(tmp_path, "x", {}):
        assert read_metrics(tmp_path) == []


def test_figures_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"metrics\.jsonl: no such file; `vedette train` writes it"):
        read_metrics(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"step": 0}\n[]\n{"step": 1}\n', encoding="utf-8")
    with pytest.raises(SourceError, match=r"metrics\.jsonl: line 2: expected a JSON object with 'step'"):
        read_metrics(tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mlflow_keeps_the_run_in_a_local_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(TrainingStopped), Recorder(tmp_path, "gate", {"train.lr": 0.01}) as recorder:  # noqa: PT012
        recorder.record(5, {"total": 2.0})
        raise TrainingStopped
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    run_id = (tmp_path / "mlflow_run").read_text(encoding="utf-8")
    assert client.get_run(run_id).info.status == "KILLED"
    with Recorder(tmp_path, "gate", {"train.lr": 0.01}, since_step=5) as recorder:
        recorder.record(10, {"total": 1.0})

    run = client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("gate", "FINISHED")
    assert run.data.params == {"train.lr": "0.01"}
    assert [(m.step, m.value) for m in client.get_metric_history(run_id, "total")] == [(5, 2.0), (10, 1.0)]
    with pytest.raises(ZeroDivisionError), Recorder(tmp_path, "gate", {}, since_step=10):
        raise ZeroDivisionError
    assert client.get_run(run_id).info.status == "FAILED"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_server_that_is_away_costs_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with Recorder(tmp_path, "gate", {}) as recorder:
        recorder.record(0, {"total": 1.0})
    assert "MLflow at http://127.0.0.1:9 cannot be used, figures go to metrics.jsonl only" in caplog.text

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with Recorder(tmp_path, "gate", {}) as recorder:
        (tmp_path / "mlflow.db").unlink()
        recorder.record(0, {"total": 1.0})
        recorder.record(1, {"total": 1.0})
    assert caplog.text.count("MLflow does not answer") == 1
    assert len(read_metrics(tmp_path)) == 2
