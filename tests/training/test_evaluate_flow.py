from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine import cli
from engine.flow import write_flo


def judge(tmp_path: Path, truth: tuple[int, int], result: tuple[int, int], *options: str) -> int:
    """Truth is a flow of (3, 4) at one size, the result one of (0, 0) at another."""
    write_flo(tmp_path / "gt.flo", np.full((*truth, 2), (3, 4), np.float32))
    write_flo(tmp_path / "out.flo", np.zeros((*result, 2), np.float32))
    files = ["--gt", str(tmp_path / "gt.flo"), "--results", str(tmp_path / "out.flo")]
    return cli.main(["evaluate", "flow", *files, *options])


def test_end_point_error_stands_beside_that_of_no_motion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(tmp_path, (4, 5), (4, 5), "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"EPE": 5.0, "EPE_of_zero_flow": 5.0}

    assert judge(tmp_path, (4, 5), (4, 5)) == 0
    assert capsys.readouterr().out == "EPE 5.0000 px (no motion at all: 5.0000)\n"


def test_sizes_that_differ_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(tmp_path, (4, 5), (2, 5)) == 3

    assert "out.flo: is 5x2 where the truth is 5x4; sizes must agree" in capsys.readouterr().err
