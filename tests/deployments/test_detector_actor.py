"""What travels to a detector in an actor, and what its client makes of the answers. No cluster is needed."""

from __future__ import annotations

import logging
import pickle
import threading
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest

from deployments import detector_actor
from deployments.detector_actor import AbsentPicture, RemoteDetector, _DetectorActor, extract, merge, strip
from deployments.shipment import Shipment
from engine.errors import BundleError, ClusterError, DeviceLost, OperatorError
from engine.event import Event
from engine.lane import Request, RequestKey
from engine.packet import ModelInput, Packet
from engine.picture import Letterbox
from engine.plan import PlannedStep, Segment
from tests.deployments.ray_runs import part
from tests.frames import make_frame


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """An actor listens to all of its process, which is this one here."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(before):
        root.removeHandler(handler)
    root.setLevel(level)


def make_packet(index: int = 0) -> Packet:
    frame = make_frame(index)
    spec = Letterbox((32, 32))
    tensor = ModelInput(frame.picture.letterbox(spec), spec.geometry(frame.size_wh))
    return Packet(frame=frame, tensor=tensor, events=(Event("test.before"),))


def make_segment(**options: Any) -> Segment:
    return Segment("shared", (PlannedStep("look", part("Look", **options)),), "", "actor", "key")


def test_only_the_fields_that_the_operator_reads_travel() -> None:
    packet = make_packet()
    bare = pickle.loads(pickle.dumps(strip(packet, part("Look"))))

    assert (bare.frame.camera, bare.frame.index, bare.frame.size_wh) == ("cam", 0, (64, 48))
    assert np.array_equal(bare.tensor.pixels, cast(ModelInput, packet.tensor).pixels)
    assert bare.events == ()
    assert isinstance(bare.frame.picture, AbsentPicture)


@pytest.mark.parametrize("use", ["bgr", "gray", "rgb"])
def test_a_picture_that_stayed_behind_says_so(use: str) -> None:
    picture = strip(make_packet(), part("Look")).frame.picture
    with pytest.raises(OperatorError, match=r"camera 'cam': pictures do not travel .* let it read 'tensor'"):
        getattr(picture, use)()


def test_an_answer_is_merged_into_the_packet_that_stayed() -> None:
    packet, operator = make_packet(), part("Look", says_process=True)
    (reply,) = operator.process_batch([strip(packet, operator)])

    merged = merge(packet, extract(reply, operator))

    assert merged.frame is packet.frame
    assert [event.type for event in merged.events] == ["test.before", "test.detector"]
    assert merged.detections is not None
    assert len(merged.detections) == 1


def infer(actor: _DetectorActor, packets: list[Packet]) -> Any:
    # To a type checker every method of an actor is a remote one.
    return cast(Any, actor).infer(packets)


class Answers:
    """Stands where an actor's handle is: each call gives what the list says next, or runs a real actor."""

    def __init__(self, actor: _DetectorActor, faults: list[Exception]) -> None:
        self.infer = self
        self.sizes: list[int] = []
        self._actor, self._faults = actor, faults

    def remote(self, packets: list[Packet]) -> Any:
        self.sizes.append(len(packets))
        if self._faults:
            return self._faults.pop(0)
        return infer(self._actor, packets)


def ask(
    monkeypatch: pytest.MonkeyPatch, actor: _DetectorActor, packets: list[Packet], faults: list[Exception]
) -> tuple[list[Packet | None], list[int]]:
    def get(ref: Any, timeout_s: float, what: str) -> Any:
        if isinstance(ref, Exception):
            raise ref
        return ref

    monkeypatch.setattr(detector_actor, "get", get)
    handle = Answers(actor, faults)
    client = RemoteDetector(make_segment(), [handle])
    replies: dict[int, Packet | None] = {}
    complete = threading.Event()

    def done(number: int, packet: Packet | None) -> None:
        replies[number] = packet
        if len(replies) == len(packets):
            complete.set()

    for number, packet in enumerate(packets):
        request = Request(RequestKey("cam", 0, number, 0), "key", packet)
        client.submit(request, lambda reply, number=number: done(number, reply))  # type: ignore[misc]
    assert complete.wait(10)
    client.close()
    return [replies[n] for n in range(len(packets))], handle.sizes


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_every_request_gets_its_own_answer_whatever_the_batches(
    monkeypatch: pytest.MonkeyPatch, batch_size: int
) -> None:
    packets = [make_packet(n).replace(events=(Event("n", data={"n": n}),)) for n in range(20)]
    segment = make_segment()
    monkeypatch.setattr(type(segment.steps[0].operator), "batch_size", batch_size)
    actor = _DetectorActor(Shipment.of(segment), 2)

    replies, sizes = ask(monkeypatch, actor, packets, [])

    assert [reply and reply.events[0].data for reply in replies] == [{"n": n} for n in range(20)]
    assert all(reply is not None and reply.detections is not None for reply in replies)
    assert sum(sizes) == 20
    assert max(sizes) <= detector_actor.CALL_SIZE


def test_a_call_that_fails_is_made_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    actor = _DetectorActor(Shipment.of(make_segment()), 1)

    replies, sizes = ask(monkeypatch, actor, [make_packet()], [ClusterError("its process died")])

    assert (len(replies), sizes) == (1, [1, 1])
    assert replies[0] is not None


def test_after_two_failures_the_frame_goes_on_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    actor = _DetectorActor(Shipment.of(make_segment()), 1)
    faults: list[Exception] = [ClusterError("its process died"), BundleError("no such model")]

    replies, sizes = ask(monkeypatch, actor, [make_packet()], faults)

    assert (replies, sizes) == ([None], [1, 1])
    assert "camera 'cam': step 'look' failed at frame 0 (attempt 1 of 2): its process died" in caplog.text


def test_one_packet_that_cannot_be_processed_does_not_spoil_its_batch() -> None:
    actor = _DetectorActor(Shipment.of(make_segment()), 1)
    good, bad = make_packet(0), make_packet(1).replace(tensor="no tensor")

    answers, _ = infer(actor, [good, bad, good])

    assert [isinstance(answer, str) for answer in answers] == [False, True, False]
    assert "AttributeError" in cast(str, answers[1])


def test_an_operator_that_cannot_be_opened_says_why_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any) -> None:
        raise BundleError("no such model")

    segment = make_segment()
    monkeypatch.setattr(type(segment.steps[0].operator), "open", refuse)
    actor = _DetectorActor(Shipment.of(segment), 1)

    for call in (actor.ready, lambda: infer(actor, [])):
        with pytest.raises(BundleError, match="no such model"):
            call()


def test_a_lost_gpu_ends_the_process_so_that_ray_starts_another(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def lose(self: Any, packets: list[Packet]) -> list[Packet]:
        raise DeviceLost("cuda:0: an illegal address was used")

    codes: list[int] = []
    segment = make_segment()
    monkeypatch.setattr(type(segment.steps[0].operator), "process_batch", lose)
    actor = _DetectorActor(Shipment.of(segment), 1, exit=codes.append)

    answers, _ = infer(actor, [make_packet(0), make_packet(1)])

    assert answers == ["DeviceLost: cuda:0: an illegal address was used"] * 2
    assert set(codes) == {1}
    assert "vedette: cuda:0: an illegal address was used; the detector starts again" in capfd.readouterr().err


def test_what_the_operator_logs_reaches_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def shrink(self: Any, packets: list[Packet]) -> list[Packet]:
        logging.getLogger("engine.model_runner").warning("batches of at most 4 from now on")
        return packets

    segment = make_segment()
    operator = type(segment.steps[0].operator)
    monkeypatch.setattr(operator, "open", lambda self: logging.getLogger("engine.choice").warning("runs on the CPU"))
    monkeypatch.setattr(operator, "process_batch", shrink)
    actor = _DetectorActor(Shipment.of(segment), 1)

    assert cast(Any, actor).ready() == [(logging.WARNING, "engine.choice: runs on the CPU")]
    heard: list[Any] = []
    monkeypatch.setattr(detector_actor, "log_lines", heard.extend)
    ask(monkeypatch, actor, [make_packet()], [])
    assert heard == [(logging.WARNING, "engine.model_runner: batches of at most 4 from now on")]


def test_an_actor_that_was_restarted_and_cannot_open_its_model_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any) -> None:
        raise BundleError("no GPU")

    codes: list[int] = []
    segment = make_segment()
    monkeypatch.setattr(type(segment.steps[0].operator), "open", refuse)
    monkeypatch.setattr(detector_actor, "_was_restarted", lambda: True)
    monkeypatch.setattr(detector_actor, "AGAIN_S", 0.0)

    _DetectorActor(Shipment.of(segment), 1, exit=codes.append)

    assert codes == [1]
