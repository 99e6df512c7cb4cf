"""Samples on their way to the monitor's actor, and verdicts back. No cluster is needed."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, cast

import numpy as np
import pytest

from deployments import drift_actor, remote_drift
from deployments.cluster import ActorLost
from deployments.drift_actor import DriftSpec, _DriftActor
from deployments.remote_drift import MAX_IN_CALL, MAX_WAITING, DriftByCamera, RemoteDrift
from deployments.shipment import Shipment
from engine.drift.sample import PICTURE_STATISTICS, DriftSample
from engine.drift.settings import DriftSettings
from engine.errors import BundleError, VedetteError
from engine.pipeline import Pipeline
from engine.plan import plan


def samples(start: int, stop: int) -> list[DriftSample]:
    values = np.zeros(len(PICTURE_STATISTICS), np.float32)
    return [DriftSample(0, float(n), 1.8e9 + n, "container", (64, 48), values) for n in range(start, stop)]


class Observer:
    """Stands where the monitors are: notes what it sees, and has something to say about every tenth sample."""

    def __init__(self) -> None:
        self.seen: defaultdict[str, list[int]] = defaultdict(list)
        self._said: defaultdict[str, list[Any]] = defaultdict(list)

    def observe(self, camera: str, samples: Sequence[DriftSample]) -> None:
        for sample in samples:
            number = int(sample.pts_s)
            self.seen[camera].append(number)
            if number % 10 == 0:
                self._said[camera].append(f"{camera} {number}")

    def verdicts(self, camera: str) -> list[Any]:
        return self._said.pop(camera, [])

    def num_left_out(self, camera: str) -> int:
        return sum(number % 100 == 7 for number in self.seen[camera])

    def close(self) -> None:
        pass


class Handle:
    """Stands where an actor's handle is. `faults` are the fates of calls: before or after they reached the actor."""

    def __init__(self, actor: _DriftActor) -> None:
        self.observe = self
        self.actor: Any = actor
        self.sizes: list[int] = []
        self.faults: list[str] = []
        self.away = False
        self.slow: list[Future[Any]] | None = None

    def remote(self, host: str, number: int, samples: Mapping[str, Sequence[DriftSample]]) -> Future[Any]:
        self.sizes.append(max(len(each) for each in samples.values()))
        answer: Future[Any] = Future()
        if self.slow is not None:
            self.slow.append(answer)
            return answer
        fault = "lost" if self.away else self.faults.pop(0) if self.faults else ""
        if fault != "lost":
            try:
                answer.set_result(self.actor.observe(host, number, samples))
            except VedetteError as error:
                answer.set_exception(error)
        if fault:
            answer = Future()
            answer.set_exception(ActorLost("the drift monitor: its process died"))
        return answer


@pytest.fixture
def observer(monkeypatch: pytest.MonkeyPatch) -> Observer:
    made = Observer()
    monkeypatch.setattr(drift_actor, "make_drift", lambda *args: made)
    # In an actor's own process it takes over the log.
    monkeypatch.setattr("logging.basicConfig", lambda **options: None)
    monkeypatch.setattr(remote_drift, "get", lambda ref, timeout_s, what: ref.result(timeout_s))

    def wait(refs: list[Future[Any]], timeout: float) -> tuple[list[Any], list[Any]]:
        (ref,) = refs
        deadline_s = time.monotonic() + timeout
        while not ref.done() and time.monotonic() < deadline_s:
            time.sleep(0.001)
        return (refs, []) if ref.done() else ([], refs)

    monkeypatch.setattr("ray.wait", wait)
    return made


@pytest.fixture
def handle(observer: Observer) -> Handle:
    spec = DriftSpec(DriftSettings(), {}, plan(Pipeline(), []), None)
    return Handle(_DriftActor(Shipment.of(spec)))


@pytest.fixture
def drift(handle: Handle) -> Iterator[RemoteDrift]:
    made = RemoteDrift(handle, call_every_s=0.005)
    yield made
    made.close()


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def test_samples_arrive_in_order_and_verdicts_come_back_to_their_camera(drift: RemoteDrift, observer: Observer) -> None:
    for start in range(0, 30, 3):
        drift.observe("a", samples(start, start + 3))
        drift.observe("b", samples(start, start + 1))
    until(lambda: len(observer.seen["a"]) == 30 and len(observer.seen["b"]) == 10)

    assert observer.seen["a"] == list(range(30))
    assert observer.seen["b"] == list(range(0, 30, 3))
    time.sleep(0.02)
    assert cast(Any, drift.verdicts("a")) == ["a 0", "a 10", "a 20"]
    assert cast(Any, drift.verdicts("b")) == ["b 0"]
    assert drift.verdicts("a") == drift.verdicts("unknown") == []
    assert (drift.num_left_out("a"), drift.num_left_out("b")) == (1, 0), "what the monitor itself could not look at"


@pytest.mark.parametrize("fault", ["lost", "answer lost"])
def test_a_call_that_got_no_answer_is_made_again_and_its_samples_are_looked_at_once(
    drift: RemoteDrift, handle: Handle, observer: Observer, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    handle.faults = [fault, fault]
    drift.observe("a", samples(0, 5))
    until(lambda: len(handle.sizes) == 3)
    drift.observe("a", samples(5, 11))
    until(lambda: len(handle.sizes) == 4)
    drift.close()

    assert observer.seen["a"] == list(range(11))
    assert cast(Any, drift.verdicts("a")) == ["a 0", "a 10"]
    (record,) = caplog.records
    assert record.getMessage() == "the drift monitor: its process died; the cameras go on without it"


def test_while_the_monitor_is_away_the_newest_samples_wait_and_the_others_are_counted(
    drift: RemoteDrift, handle: Handle, observer: Observer, caplog: pytest.LogCaptureFixture
) -> None:
    handle.away = True
    drift.observe("a", samples(0, 1))
    until(lambda: len(handle.sizes) > 3)
    drift.observe("a", samples(1, 901))
    assert drift.num_left_out("a") == 300

    handle.away = False
    until(lambda: len(observer.seen["a"]) == 1 + MAX_WAITING)

    assert observer.seen["a"] == [0, *range(301, 901)]
    assert max(handle.sizes) == MAX_IN_CALL
    assert len(caplog.records) == 1


def test_a_slow_monitor_has_one_call_at_a_time_and_nobody_waits_for_it(drift: RemoteDrift, handle: Handle) -> None:
    calls: list[Future[Any]] = []
    handle.slow = calls
    drift.observe("a", samples(0, 1))
    until(lambda: len(handle.sizes) == 1)
    began_s = time.monotonic()
    drift.observe("a", samples(1, 50))
    assert drift.verdicts("a") == []
    assert time.monotonic() - began_s < 2
    time.sleep(0.05)
    assert handle.sizes == [1]

    handle.slow = None
    (answer,) = calls
    answer.set_result(drift_actor.DriftAnswer(verdicts={"a": cast(Any, ["late"])}))
    until(lambda: handle.sizes == [1, 49])
    until(lambda: "late" in cast(Any, drift.verdicts("a")))


def test_verdicts_that_a_dead_host_never_heard_of_go_to_the_next_one(handle: Handle, observer: Observer) -> None:
    actor = handle.actor
    actor.observe("first", 1, {"a": samples(0, 5), "b": samples(0, 5)})
    actor.observe("first", 2, {"a": samples(5, 15), "b": samples(5, 9)})

    assert actor.observe("second", 1, {"a": samples(15, 25)}).verdicts == {"a": ["a 10", "a 20"]}
    assert actor.observe("second", 2, {"a": samples(25, 26)}).verdicts == {"a": []}
    assert actor.observe("third", 1, {"a": samples(26, 31)}).verdicts == {"a": ["a 30"]}
    assert actor.observe("third", 1, {"a": samples(26, 31)}).verdicts == {"a": ["a 30"]}


def test_the_actor_does_not_remember_hosts_for_ever(handle: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift_actor, "MAX_HOSTS", 2)
    for host in "abc":
        handle.actor.observe(host, 1, {host: samples(0, 1)})

    assert handle.actor.observe("d", 1, {"a": [], "b": [], "c": []}).verdicts == {"a": [], "b": ["b 0"], "c": ["c 0"]}


def test_a_monitor_that_cannot_be_made_says_why_and_samples_are_counted(
    monkeypatch: pytest.MonkeyPatch, handle: Handle, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: Any) -> None:
        raise BundleError("no such model")

    monkeypatch.setattr(drift_actor, "make_drift", refuse)
    spec = DriftSpec(DriftSettings(), {}, plan(Pipeline(), []), None)
    handle.actor = _DriftActor(Shipment.of(spec))
    with pytest.raises(BundleError, match="no such model"):
        handle.actor.ready()

    drift = RemoteDrift(handle, call_every_s=0.005)
    for start in (0, 5):
        drift.observe("a", samples(start, start + 5))
        until(lambda: drift.num_left_out("a") >= start + 5)  # noqa: B023
    drift.close()

    assert drift.num_left_out("a") == 10
    assert [record.getMessage() for record in caplog.records] == [
        "the drift monitor: no such model; the cameras go on without it"
    ]
    assert handle.actor.close() == []


def test_close_sends_what_waits(handle: Handle, observer: Observer) -> None:
    drift = RemoteDrift(handle, call_every_s=60)
    drift.observe("a", samples(0, 100))
    drift.close()

    assert observer.seen["a"] == list(range(100))
    assert handle.sizes == [60, 40]


@pytest.mark.parametrize("state", ["away", "slow"])
def test_close_ends_soon_without_the_monitor_and_counts_what_is_left(
    handle: Handle, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_drift, "CLOSE_S", 0.3)
    handle.away, handle.slow = state == "away", [] if state == "slow" else None
    drift = RemoteDrift(handle, call_every_s=0.01)
    drift.observe("a", samples(0, 100))
    until(lambda: bool(handle.sizes))

    began_s = time.monotonic()
    drift.close()

    assert time.monotonic() - began_s < 2
    assert drift.num_left_out("a") == 100
    assert not any(thread.name == "drift" for thread in threading.enumerate())


def test_each_camera_has_its_own_port() -> None:
    one, other = Observer(), Observer()
    drift = DriftByCamera({"a": one, "b": other, "c": one})
    for camera in "abc":
        drift.observe(camera, samples(0, 8))

    assert (list(one.seen), list(other.seen)) == (["a", "c"], ["b"])
    assert cast(Any, [drift.verdicts(camera) for camera in "abc"]) == [["a 0"], ["b 0"], ["c 0"]]
    assert [drift.num_left_out(camera) for camera in "abc"] == [1, 1, 1]
    drift.close()
