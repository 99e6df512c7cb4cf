from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine import model_runner
from engine.errors import DeviceMemoryError
from engine.model_runner import ModelRunner, check_model_settings
from engine.picture import Pixels
from operators.infer import Infer
from tests.engine_rows import tiny_bundle


class Backend:
    """Takes `room` pictures at once, and gives `rows` numbers a picture: its grey level."""

    max_batch = 8

    def __init__(self, room: int = 8, rows: int = 1) -> None:
        self.room, self.rows = room, rows
        self.batches: list[int] = []

    def infer(self, tensor: Pixels) -> list[NDArray[Any]]:
        self.batches.append(len(tensor))
        assert len(self.batches) < 20, "it goes on and on"
        if len(tensor) > self.room:
            raise DeviceMemoryError(f"no memory for {len(tensor)}")
        return [np.repeat(tensor[:, 0, 0, 0], self.rows)]


def make_runner(backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRunner:
    monkeypatch.setattr(model_runner, "open_backend", lambda *_: backend)
    return ModelRunner(tiny_bundle(tmp_path / "model"), Infer(model="tiny"))


def pictures(count: int) -> Pixels:
    return np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1)


def test_pieces_come_back_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Backend()
    (found,) = make_runner(backend, tmp_path, monkeypatch).infer(pictures(19))
    assert found.tolist() == list(range(19))
    assert backend.batches == [8, 8, 3]


def test_a_model_without_a_row_for_each_picture_is_run_once_for_each_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Backend(rows=0)
    (found,) = make_runner(backend, tmp_path, monkeypatch).infer(pictures(9))
    assert len(found) == 0
    assert backend.batches == [8, 1]


def test_too_little_memory_halves_the_batch_for_good_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backend = Backend(room=3)
    runner = make_runner(backend, tmp_path, monkeypatch)
    (found,) = runner.infer(pictures(7))
    assert found.tolist() == list(range(7))
    runner.infer(pictures(4))
    assert backend.batches == [7, 4, 2, 2, 2, 1, 2, 2]
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [
        (logging.WARNING, "tiny: batches of at most 4 from now on: no memory for 7"),
        (logging.WARNING, "tiny: batches of at most 2 from now on: no memory for 4"),
    ]


def test_a_picture_that_does_not_fit_is_an_error_and_says_nothing_about_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backend = Backend(room=0)
    runner = make_runner(backend, tmp_path, monkeypatch)
    with pytest.raises(DeviceMemoryError, match="no memory for 1"):
        runner.infer(pictures(1))
    assert (runner.max_batch, backend.batches, caplog.records) == (8, [1], [])


@pytest.mark.parametrize("num_gpus", [-1, float("nan"), float("inf")])
def test_a_share_of_a_gpu_is_a_number(num_gpus: float) -> None:
    step = Infer(model="tiny")
    step.num_gpus = num_gpus
    with pytest.raises(ValueError, match="num_gpus must be 0 or more, got"):
        check_model_settings(step)
