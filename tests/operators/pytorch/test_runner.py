from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.input_spec import InputSpec
from operators.pytorch.module import OnnxModule
from operators.pytorch.onnx_graph import read_graph
from operators.pytorch.runner import Eager, Run, Runner, batch_sizes
from tests.operators.pytorch.graphs import save_text

SPEC = InputSpec(size_wh=(8, 8))


class Recorder(Eager):
    """Notes what is prepared and what is run."""

    def __init__(self) -> None:
        self.prepared: list[int] = []
        self.ran: list[int] = []
        self.waits = 0
        self._inside = False

    def prepare(self, run: Run) -> Run:
        assert self._inside
        size = len(run()[0])
        self.prepared.append(size)

        def noted() -> tuple[torch.Tensor, ...]:
            assert self._inside
            self.ran.append(size)
            return run()

        return noted

    @contextlib.contextmanager
    def active(self) -> Any:
        self._inside = True
        yield
        self._inside = False

    def wait(self) -> None:
        self.waits += 1


def runner(
    tmp_path: Path, spec: InputSpec = SPEC, launcher: Eager | None = None, shape: str = "float[N,3,8,8]"
) -> Runner:
    graph = read_graph(save_text(tmp_path / "same.onnx", "y = Identity (x)", shape=shape))
    return Runner(OnnxModule(graph, "x", torch.device("cpu")), spec, launcher or Eager())


def pictures(count: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(4).integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)


@pytest.mark.parametrize(
    ("max_batch", "fixed", "sizes"),
    [(1, None, [1]), (8, None, [1, 2, 4, 8]), (12, None, [1, 2, 4, 8, 12]), (8, 3, [3])],
)
def test_prepares_powers_of_two_and_the_largest(max_batch: int, fixed: int | None, sizes: list[int]) -> None:
    assert batch_sizes(max_batch, fixed) == sizes


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 7, 12, 13])
@pytest.mark.parametrize("fixed", [None, 4])
def test_a_batch_of_any_size_gives_each_picture_its_own(count: int, fixed: int | None, tmp_path: Path) -> None:
    run = runner(tmp_path, shape=f"float[{fixed or 'N'},3,8,8]")
    run.prepare(6, fixed)
    given = pictures(count)
    (got,) = run(given)
    assert got.dtype == np.float32
    assert np.array_equal(got, given)


def test_runs_the_next_size_that_is_prepared_and_waits_once(tmp_path: Path) -> None:
    recorder = Recorder()
    run = runner(tmp_path, launcher=recorder)
    run.prepare(6)
    assert recorder.prepared == [6, 4, 2, 1]
    run(pictures(3))
    run(pictures(14))
    assert recorder.ran == [4, 6, 6, 2]
    assert recorder.waits == 2


def test_normalises_each_channel(tmp_path: Path) -> None:
    mean, std = (10.0, 20.0, 30.0), (2.0, 4.0, 5.0)
    run = runner(tmp_path, InputSpec(size_wh=(8, 8), mean=mean, std=std))
    run.prepare(2)
    given = pictures(2)
    want = (given - np.reshape(mean, (1, 3, 1, 1))) / np.reshape(std, (1, 3, 1, 1))
    np.testing.assert_allclose(run(given)[0], want, atol=1e-5)


def test_a_second_call_does_not_change_the_first_result(tmp_path: Path) -> None:
    run = runner(tmp_path)
    run.prepare(2)
    first = pictures(2)
    (seen,) = run(first)
    run(np.zeros_like(first))
    assert np.array_equal(seen, first)


def test_takes_pictures_that_are_read_only_or_not_contiguous(tmp_path: Path) -> None:
    run = runner(tmp_path)
    run.prepare(2)
    given = pictures(4)[::2]
    given.flags.writeable = False
    assert np.array_equal(run(given)[0], given)
