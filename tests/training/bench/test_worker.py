from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.engine_rows import tiny_bundle
from tests.training.bench.backends import FakeSubject
from training.bench.subject import Opened, Timed
from training.bench.variant import Variant
from training.bench.worker import Refused, Worker


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_bundle(tmp_path_factory.mktemp("model")).root)


@contextmanager
def worker(model: str, name: str, timeout_s: float = 60.0, batches: tuple[int, ...] = (1, 4)) -> Iterator[Worker]:
    made = Worker(functools.partial(FakeSubject, model, Variant(name), list(batches)), timeout_s)
    try:
        yield made
    finally:
        made.close()


def test_answers_from_a_process_of_its_own(model: str) -> None:
    with worker(model, "Plain") as one:
        opened = one.ask("open")
        timed = one.ask("time", 4, 0.0)

    assert isinstance(opened, Opened)
    assert (opened.device, opened.precision, opened.failed) == ("cpu", "fp32", {})
    assert isinstance(timed, Timed)
    assert len(timed.ms) == 3
    assert min(timed.ms) >= 4.0
    assert timed.model_ms == ()


def test_tells_the_model_alone_where_the_backend_does(model: str) -> None:
    with worker(model, "Telling") as one:
        one.ask("open")

        assert one.ask("time", 1, 0.0).model_ms == (pytest.approx(0.2),)
        assert [(layer.name, layer.ms) for layer in one.ask("layers", 1)] == [("conv", 0.15), ("relu", 0.05)]


def test_on_cores_no_profiler_runs_between_the_measurements(model: str) -> None:
    with worker(model, "TellingOnCores") as one:
        one.ask("open")

        assert one.ask("time", 1, 0.0).model_ms == ()
        assert [layer.name for layer in one.ask("layers", 1)] == ["conv", "relu"]


def test_a_profiler_that_fails_spoils_no_measurement(model: str) -> None:
    with worker(model, "Cramped") as one:
        one.ask("open")

        assert one.ask("time", 1, 0.0).model_ms == ()
        assert one.ask("layers", 1) == Refused("no memory for another context")


@pytest.mark.parametrize(
    ("name", "refused"),
    [("Absent", Refused("no driver", failed=False)), ("Broken", Refused("RuntimeError: the library"))],
)
def test_an_error_is_an_answer(model: str, name: str, refused: Refused) -> None:
    with worker(model, name) as one:
        assert one.ask("open") == refused


def test_a_batch_that_does_not_fit_leaves_the_others(model: str) -> None:
    with worker(model, "Small") as one:
        assert one.ask("open").failed == {4: "no memory for 4 pictures"}
        assert isinstance(one.ask("time", 1, 0.0), Timed)


def test_a_crash_ends_its_own_process_alone(model: str) -> None:
    with worker(model, "Crashing") as one:
        assert one.ask("open") == Refused("its process ended with SIGABRT")
        assert one.ask("time", 1, 0.0) == Refused("its process ended with SIGABRT")


def test_what_hangs_is_ended(model: str) -> None:
    with worker(model, "Hanging", timeout_s=1.0) as one:
        assert one.ask("open") == Refused("no answer within 1 s")


def test_a_backend_without_a_profiler_says_what_has_one(model: str) -> None:
    with worker(model, "Plain") as one:
        one.ask("open")

        assert one.ask("layers", 1) == Refused(
            "plain on cpu does not tell the time of its layers; Nsight Systems does", failed=False
        )
