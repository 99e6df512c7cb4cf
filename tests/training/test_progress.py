from __future__ import annotations

import io

import pytest
from rich.console import Console

from training import progress
from training.progress import TrainProgress
from training.recipe import TrainSpec
from training.schedule import Schedule

SCORES = {"ap": 0.25, "ap50": 0.5}


def schedule() -> Schedule:
    return Schedule(TrainSpec(), num_steps=400, steps_per_epoch=100, eval_every=1)


def test_a_pipe_gets_a_plain_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now_s = [100.0]
    monkeypatch.setattr("training.progress.time.monotonic", lambda: now_s[0])
    with TrainProgress(schedule(), step=40) as shown:
        for step in range(41, 101):
            now_s[0] += 0.5
            shown.step(step, loss=2.0)
        shown.judged(1, 2.0, SCORES)

    assert capsys.readouterr().err.splitlines() == [
        "step 70 of 400, loss 2.000, 2.00 steps a second, 3 min left",
        "step 100 of 400, loss 2.000, 2.00 steps a second, 2 min left",
        "epoch    1  loss   2.000  AP 0.250  AP50 0.500",
    ]


def test_a_terminal_gets_a_bar_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(
        progress, "Console", lambda file: Console(file=out, force_terminal=True, width=100, color_system=None)
    )
    with TrainProgress(schedule(), step=0) as shown:
        for step in range(1, 201):
            shown.step(step, loss=2.0)
        shown.judged(2, 2.0, SCORES)

    assert "epoch 2/4" in out.getvalue()
    assert "200/400" in out.getvalue()
    assert "epoch    2  loss   2.000  AP 0.250  AP50 0.500" in out.getvalue()
