"""The camera host: cameras live side by side, and each one's trouble is its own."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import pytest

from engine.detections import Detections
from engine.drift.port import DriftPort
from engine.errors import BundleError, Cause, DeviceLost
from engine.event import Event
from engine.host import CameraHost
from engine.operator import BatchOperator, Operator
from engine.packet import Packet
from engine.pipeline import Pipeline
from engine.plan import plan
from engine.redact import Url
from engine.site import Camera
from tests.fake_drift import FakeMonitor, SampleFrames, local_drift, make_verdict
from tests.fake_source import FakeSource

LIVE = Url("rtsp://127.0.0.1/x")


@dataclass
class SayIndex(Operator):
    def process(self, packet: Packet) -> Packet:
        return packet.emit(Event("test.seen", data={"index": packet.frame.index}))


@dataclass
class Slow(BatchOperator):
    writes: ClassVar = ("detections",)
    seconds: float = 0.0
    fail_at: int = -1
    fails: int = 1

    def open(self) -> None:
        self._left = self.fails

    def process_batch(self, packets: list[Packet]) -> list[Packet]:
        time.sleep(self.seconds)
        if packets[0].frame.index == self.fail_at and self._left:
            self._left -= 1
            raise RuntimeError("out of memory")
        return [p.replace(detections=Detections.empty()) for p in packets]


@dataclass
class Explode(Operator):
    at: int = 3
    camera: str = "a"

    def process(self, packet: Packet) -> Packet:
        if (packet.frame.camera, packet.frame.index) == (self.camera, self.at):
            raise ZeroDivisionError("boom")
        return packet


@dataclass
class SlowTap(Operator):
    seconds: float = 0.02

    tap: ClassVar[bool] = True

    def process(self, packet: Packet) -> Packet:
        time.sleep(self.seconds)
        return packet


@dataclass
class Unopenable(BatchOperator):
    def open(self) -> None:
        raise BundleError("no such model")


class Log:
    """Collects events by camera."""

    def __init__(self) -> None:
        self.events: dict[str, list[Event]] = defaultdict(list)

    def __call__(self, camera: str, events: list[Event], headers: Mapping[str, str]) -> None:
        self.events[camera].extend(events)

    def types(self, camera: str) -> list[str]:
        return [event.type for event in self.events[camera]]

    def causes(self, camera: str) -> list[tuple[str, str | None]]:
        return [(e.type, e.camera_state.cause) for e in self.events[camera] if e.camera_state is not None]

    def indices(self, camera: str) -> list[int]:
        return [e.data["index"] for e in self.events[camera] if e.type == "test.seen" and e.data]


@contextmanager
def running(
    sources: Mapping[str, Callable[[], FakeSource]],
    *operators: Operator,
    live: bool = False,
    stall_after_s: float = 5.0,
    num_workers: int = 2,
    drift: DriftPort | None = None,
) -> Iterator[tuple[CameraHost, Log]]:
    pipeline = Pipeline()
    for operator in operators:
        pipeline = pipeline.then(operator, name=f"step{len(pipeline.steps)}")
    camera = Camera(LIVE if live else Url("clip.mp4"), stall_after_s=stall_after_s, gap_after_s=0.3)
    cameras = dict.fromkeys(sources, camera)
    log = Log()
    host = CameraHost(
        "north", cameras, plan(pipeline, cameras), log, num_workers, make_source=lambda name, _: sources[name](),
        drift=drift,
    )  # fmt: skip
    host.start()
    try:
        yield host, log
    finally:
        host.stop(3.0)


def until(condition: Callable[[], bool], timeout_s: float = 8.0) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_recordings_lose_no_frame_and_keep_their_order_with_many_workers() -> None:
    with running({n: lambda: FakeSource(60) for n in "abc"}, Slow(0.001), SayIndex(), num_workers=4) as (host, log):
        assert host.wait(20)

    assert {name: log.indices(name) for name in "abc"} == {name: list(range(60)) for name in "abc"}
    assert [e.seq for e in log.events["a"]] == list(range(1, 63))
    assert host.counts["a"].frames_dropped == 0


def test_a_live_camera_drops_the_oldest_frames_when_analysis_is_behind_and_counts_them() -> None:
    live = lambda: FakeSource(100, live=True, pace_s=0.002, then="hang")  # noqa: E731
    with running({"a": live}, Slow(0.03), SayIndex(), live=True) as (host, log):
        assert until(lambda: host.counts["a"].frames_decoded == 100)
        assert until(lambda: 99 in log.indices("a"))
        counts = host.counts["a"]

    assert counts.frames_dropped > 20
    assert counts.frames_analysed + counts.frames_dropped == 100
    assert log.indices("a") == sorted(log.indices("a"))


def test_a_stalled_camera_is_named_within_its_time_even_when_the_library_hangs() -> None:
    stuck = FakeSource(5, live=True, then="hang", deaf=True)
    attempts: list[FakeSource] = []

    def make() -> FakeSource:
        attempts.append(stuck if not attempts else FakeSource(1000, live=True, pace_s=0.02))
        return attempts[-1]

    with running({"a": make}, SayIndex(), live=True, stall_after_s=0.6) as (_, log):
        assert until(lambda: ("camera.down", "stall") in log.causes("a"), 1.6 + 1)
        assert until(lambda: log.types("a").count("camera.up") == 2)
        stuck.released.set()

    ups = [e for e in log.events["a"] if e.type == "camera.up"]
    down = next(e for e in log.events["a"] if e.type == "camera.down")
    state = ups[1].camera_state
    assert state is not None
    assert (state.previous_epoch, state.previous_seq) == (ups[0].epoch, down.seq)
    assert ups[1].epoch > ups[0].epoch
    assert log.causes("a")[1][0] == "camera.gap"


def test_a_camera_that_is_down_is_reported_once_and_retried() -> None:
    attempts: list[FakeSource] = []

    def make() -> FakeSource:
        attempts.append(FakeSource(50, live=True, pace_s=0.02, refuse=Cause.REFUSED if len(attempts) < 2 else None))
        return attempts[-1]

    with running({"a": make}, SayIndex(), live=True) as (_, log):
        assert until(lambda: "camera.up" in log.types("a"))

    assert log.causes("a")[:2] == [("camera.down", "refused"), ("camera.up", None)]
    assert len(attempts) == 3


def test_one_cameras_trouble_does_not_disturb_another() -> None:
    sources = {
        "good": lambda: FakeSource(150, live=True, pace_s=0.01, then="hang"),
        "hangs": lambda: FakeSource(0, live=True, then="hang", deaf=True),
        "breaks": lambda: FakeSource(2, live=True, then="fail"),
        "refuses": lambda: FakeSource(refuse=Cause.AUTH, live=True),
    }
    with running(sources, SayIndex(), live=True, stall_after_s=0.5) as (host, log):
        assert until(lambda: host.counts["good"].frames_decoded == 150)

    assert log.causes("refuses")[0] == ("camera.down", "auth")
    assert ("camera.down", "transport") in log.causes("breaks")
    good = [e for e in log.events["good"] if e.type.startswith("camera.")]
    assert good[0].type == "camera.up"
    assert all(e.pts_us >= 1_400_000 for e in good[1:])


def test_corrupt_frames_are_counted_and_never_analysed() -> None:
    with running({"a": lambda: FakeSource(10, corrupt=frozenset({0, 4}))}, SayIndex()) as (host, log):
        assert host.wait(10)

    assert log.indices("a") == [1, 2, 3, 5, 6, 7, 8, 9]
    assert host.counts["a"].frames_corrupt == 2


def test_an_operator_that_fails_ends_a_recording_with_a_sentence_and_leaves_the_others_alone() -> None:
    with running({n: lambda: FakeSource(20) for n in "ab"}, Explode(), SayIndex()) as (host, log):
        assert host.wait(10)

    assert log.indices("b") == list(range(20))
    assert list(host.errors) == ["a"]
    assert "step 'step0' failed at frame 3: ZeroDivisionError: boom" in str(host.errors["a"])
    assert log.causes("a")[-1] == ("camera.down", "internal")


def test_a_live_camera_goes_on_in_a_new_epoch_after_an_operator_failed() -> None:
    make = lambda: FakeSource(10, live=True, pace_s=0.01, then="hang")  # noqa: E731
    with running({"a": make}, Explode(), SayIndex(), live=True) as (_, log):
        assert until(lambda: log.types("a").count("camera.up") == 2)

    assert ("camera.down", "internal") in log.causes("a")


def test_a_detector_that_fails_once_is_asked_again_and_nothing_is_lost() -> None:
    with running({"a": lambda: FakeSource(20)}, Slow(fail_at=7), SayIndex(), num_workers=1) as (host, log):
        assert host.wait(10)

    assert log.indices("a") == list(range(20))
    assert host.counts["a"].failed_frames == 0


def test_a_detector_that_fails_twice_leaves_the_frame_without_detections() -> None:
    with running({"a": lambda: FakeSource(20)}, Slow(fail_at=7, fails=2), SayIndex(), num_workers=1) as (host, log):
        assert host.wait(10)

    assert log.indices("a") == list(range(20))
    assert (host.counts["a"].failed_frames, host.counts["a"].frames_detected) == (1, 19)


def test_a_model_that_cannot_be_opened_stops_the_start_and_leaves_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(BundleError, match="no such model"), running({"a": lambda: FakeSource(1)}, Unopenable()):
        pass

    assert threading.active_count() == before


def test_stopping_ends_every_camera_with_its_last_events() -> None:
    with running({"a": lambda: FakeSource(10_000, live=True, pace_s=0.01)}, SayIndex(), live=True) as (_, log):
        assert until(lambda: len(log.indices("a")) > 5)

    assert log.causes("a")[-1] == ("camera.down", "stopped")
    assert [e.seq for e in log.events["a"]] == list(range(1, len(log.events["a"]) + 1))


def numbered(events: list[Event]) -> bool:
    """Every epoch's events count 1, 2, 3… and never go back in time."""
    epochs = {event.epoch: [e for e in events if e.epoch == event.epoch] for event in events}
    return all(
        [e.seq for e in of_epoch] == list(range(1, len(of_epoch) + 1))
        and [e.pts_us for e in of_epoch] == sorted(e.pts_us for e in of_epoch)
        for of_epoch in epochs.values()
    )


def test_a_recordings_verdicts_stand_behind_the_frame_that_decided_them_with_many_workers() -> None:
    verdicts = {10: [make_verdict(cause="dark"), make_verdict(cause="moved")], 20: [make_verdict("drift.cleared")]}
    drift = local_drift("ab", FakeMonitor(verdicts))
    sources = {name: lambda: FakeSource(60) for name in "ab"}
    with running(sources, Slow(0.001), SayIndex(), SampleFrames(2), num_workers=4, drift=drift) as (host, log):
        assert host.wait(20)

    for name in "ab":
        assert numbered(log.events[name])
        said = [(e.pts_us, e.type, e.rule) for e in log.events[name] if 2_000_000 <= e.pts_us <= 2_050_000]
        assert said == [
            (2_000_000, "test.seen", "step1"), (2_000_000, "drift.raised", "dark"), (2_000_000, "drift.raised", "moved"),
        ]  # fmt: skip
        assert [e.pts_us for e in log.events[name] if e.type == "drift.cleared"] == [4_000_000]
        assert (host.counts[name].drift_samples, host.counts[name].drift_left_out) == (30, 0)


def test_a_live_cameras_verdicts_are_stamped_between_its_events() -> None:
    drift = local_drift("a", FakeMonitor({5: [make_verdict()], 30: [make_verdict("drift.cleared")]}))
    make = lambda: FakeSource(120, live=True, pace_s=0.005, then="hang")  # noqa: E731
    with running({"a": make}, SayIndex(), SampleFrames(), live=True, drift=drift) as (_, log):
        assert until(lambda: "drift.cleared" in log.types("a") and 119 in log.indices("a"))

    assert numbered(log.events["a"])
    assert [(e.type, e.rule) for e in log.events["a"] if e.drift] == [
        (v, "dark") for v in ("drift.raised", "drift.cleared")
    ]


@dataclass
class Hold(Operator):
    """A tap that keeps its third frame until it is let go."""

    holds: threading.Event
    let_go: threading.Event

    tap: ClassVar[bool] = True

    def open(self) -> None:
        self._seen = 0

    def process(self, packet: Packet) -> Packet:
        self._seen += 1
        if self._seen == 3:
            self.holds.set()
            self.let_go.wait(5)
        return packet


def test_the_last_verdict_of_a_live_camera_is_said_before_it_is_down() -> None:
    hold = Hold(threading.Event(), threading.Event())
    drift = local_drift("a", FakeMonitor({2: [make_verdict()]}))
    make = lambda: FakeSource(1000, live=True, pace_s=0.01)  # noqa: E731
    with running({"a": make}, hold, SampleFrames(), live=True, drift=drift) as (_, log):
        assert hold.holds.wait(5)
        later = threading.Timer(0.3, hold.let_go.set)
        later.start()
    later.join()

    assert log.types("a") == ["camera.up", "drift.raised", "camera.down"]
    assert numbered(log.events["a"])


class Late:
    """A monitor far away: what it has to say has come back only when somebody else than the tap asks."""

    def observe(self, camera: str, samples: object) -> None:
        self._verdicts = [make_verdict()]

    def verdicts(self, camera: str) -> list[Any]:
        if threading.current_thread().name == "taps":
            return []
        verdicts, self._verdicts = self._verdicts, []
        return verdicts

    def num_left_out(self, camera: str) -> int:
        return 0

    def close(self) -> None:
        pass


def test_a_camera_that_goes_down_says_first_what_has_come_back_about_its_drift() -> None:
    sources = [FakeSource(8, live=True, pace_s=0.01, then="fail"), FakeSource(1000, live=True, pace_s=0.01)]
    with running({"a": lambda: sources.pop(0)}, SampleFrames(), live=True, drift=Late()) as (_, log):
        assert until(lambda: "camera.down" in log.types("a"))

    assert log.types("a")[:3] == ["camera.up", "drift.raised", "camera.down"]
    assert numbered(log.events["a"])


@pytest.mark.parametrize("live", [False, True])
def test_a_drift_monitor_that_fails_hurts_no_camera(live: bool) -> None:
    drift = local_drift("a", FakeMonitor({}, fails_at=range(1000)))
    make = lambda: FakeSource(20, live=live, pace_s=0.005, then="hang" if live else "end")  # noqa: E731
    with running({"a": make}, SayIndex(), SampleFrames(), live=live, drift=drift) as (host, log):
        assert until(lambda: 19 in log.indices("a"))
        assert until(lambda: host.counts["a"].drift_samples + host.counts["a"].taps_skipped == 20)

    assert log.indices("a") == list(range(20))
    assert host.counts["a"].drift_left_out == host.counts["a"].drift_samples > 0


def test_a_slow_tap_beside_it_does_not_starve_the_sampling_of_a_live_camera() -> None:
    monitor = FakeMonitor({})
    make = lambda: FakeSource(100, fps=200, live=True, pace_s=0.005, then="hang")  # noqa: E731
    drift = local_drift("a", monitor)
    with running({"a": make}, SlowTap(0.02), SampleFrames(), live=True, drift=drift) as (host, _):
        assert until(lambda: host.counts["a"].drift_samples + host.counts["a"].taps_skipped == 100)

    times = [sample.pts_s for sample in monitor.seen["a"]]
    # A frame in four or so; the greatest step allows for a machine that is busy elsewhere.
    assert len(times) > 5
    assert max(after - before for before, after in pairwise(times)) < 0.25
    assert host.counts["a"].taps_skipped > 20


@dataclass
class OnDevice(BatchOperator):
    """An operator with a device of its own, which is slow by the batch and not by the packet."""

    writes: ClassVar = ("detections",)
    fail_at: int = -1
    fails: int = 1
    lost: bool = False

    opened: ClassVar[list[OnDevice]] = []

    @property
    def batch_size(self) -> int:
        return 8

    @property
    def own_device(self) -> bool:
        return self.batch_size > 1

    def open(self) -> None:
        self.sizes: list[int] = []
        self.closed = False
        self.opened.append(self)

    def process_batch(self, packets: list[Packet]) -> list[Packet]:
        time.sleep(0.005)
        self.sizes.append(len(packets))
        if self.lost:
            raise DeviceLost("cuda:0 is gone")
        if any(packet.frame.index == self.fail_at for packet in packets) and self.fails:
            self.fails -= 1
            raise RuntimeError("out of memory")
        return [p.replace(detections=Detections.empty()) for p in packets]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def devices() -> Iterator[list[OnDevice]]:
    OnDevice.opened.clear()
    yield OnDevice.opened
    assert all(device.closed for device in OnDevice.opened)
    OnDevice.opened.clear()


def test_packets_of_many_cameras_meet_in_batches_before_a_device(devices: list[OnDevice]) -> None:
    with running({n: lambda: FakeSource(40) for n in "abcd"}, OnDevice(), SayIndex(), num_workers=4) as (host, log):
        assert host.wait(20)

    assert all(log.indices(n) == list(range(40)) for n in "abcd")
    assert len(devices) == 2, "two copies whatever the number of workers"
    sizes = [size for device in devices for size in device.sizes]
    assert sum(sizes) == 160
    assert max(sizes) > 1


@dataclass
class SayThread(Operator):
    def process(self, packet: Packet) -> Packet:
        return packet.emit(Event("test.thread", data={"name": threading.current_thread().name}))


def test_a_device_is_not_kept_waiting_by_what_comes_after_it(devices: list[OnDevice]) -> None:
    with running({n: lambda: FakeSource(20) for n in "ab"}, OnDevice(), SayThread()) as (host, log):
        assert host.wait(10)

    named = {e.data["name"] for n in "ab" for e in log.events[n] if e.type == "test.thread" and e.data}
    assert named <= {"worker-0", "worker-1"}, "trackers and rules run in the workers, not in the device's threads"
    assert named


def test_a_device_that_fails_once_is_asked_again(devices: list[OnDevice]) -> None:
    # Two failures: of the batch, and of the packet alone; the third try is the retry.
    with running({"a": lambda: FakeSource(20)}, OnDevice(fail_at=7, fails=1), SayIndex()) as (host, log):
        assert host.wait(10)

    assert log.indices("a") == list(range(20))
    assert host.counts["a"].failed_frames == 0


def test_a_device_that_fails_on_and_on_leaves_the_frame_without_detections(devices: list[OnDevice]) -> None:
    with running({"a": lambda: FakeSource(20)}, OnDevice(fail_at=7, fails=9), SayIndex()) as (host, log):
        assert host.wait(10)

    assert log.indices("a") == list(range(20))
    assert host.counts["a"].failed_frames == 1


def test_a_lost_gpu_ends_the_host_with_its_reason(devices: list[OnDevice]) -> None:
    with (
        running({"a": lambda: FakeSource(20)}, OnDevice(lost=True), SayIndex()) as (host, _),
        pytest.raises(DeviceLost, match="cuda:0 is gone"),
    ):
        host.wait(10)


@dataclass
class OnCores(OnDevice):
    """Likewise, a copy for each worker: a model that takes one picture at once."""

    @property
    def batch_size(self) -> int:
        return 1


@dataclass
class HalfOpen(OnCores):
    """Fails with its model loaded."""

    writes: ClassVar[Any] = ()

    def open(self) -> None:
        super().open()
        raise BundleError("no such class")


def test_a_gpu_that_is_lost_to_a_worker_ends_the_host_too(devices: list[OnDevice]) -> None:
    with (
        running({"a": lambda: FakeSource(20)}, OnCores(lost=True), SayIndex()) as (host, _),
        pytest.raises(DeviceLost, match="cuda:0 is gone"),
    ):
        host.wait(10)


def test_where_one_detector_cannot_be_opened_all_are_closed(devices: list[OnDevice]) -> None:
    with (
        pytest.raises(BundleError, match="no such class"),
        running({"a": lambda: FakeSource(20)}, OnCores(), HalfOpen()),
    ):
        pytest.fail("it started")
    assert len(devices) == 3
