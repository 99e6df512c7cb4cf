"""Long builds speak every ten seconds where nobody can see a bar."""

from __future__ import annotations

import pytest

from training.engines.progress import PhaseProgress


def test_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr("training.engines.progress.time.monotonic", lambda: now_s)
    with PhaseProgress("build") as progress:
        for step in range(5):
            now_s += 6
            assert progress("timing", step, 9)

    assert capsys.readouterr().err.splitlines() == ["build: 12 s, timing: 1 of 9", "build: 24 s, timing: 3 of 9"]
