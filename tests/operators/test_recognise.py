from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine import model_runner
from engine.bundle import Bundle
from engine.crops import Crops
from engine.errors import BundleError, ConfigError
from engine.inference import BackendOptions
from engine.onnx_import import ImportOptions, describe_onnx
from engine.packet import Packet
from engine.picture import Pixels
from operators.inference_onnxruntime import InferenceOnnxruntime
from operators.recognise import Recognise
from tests.frames import make_frame
from tests.tiny_models import COLORS, save_colors, save_yolox

RED, GREEN, GREY = (255, 0, 0), (0, 255, 0), (128, 128, 128)
PLAIN = (("mean", (0.0, 0.0, 0.0)), ("std", (255.0, 255.0, 255.0)))


def model(tmp_path: Path, **options: Any) -> str:
    path = save_colors(tmp_path / "colors.onnx", **options)
    describe_onnx(path, ImportOptions(family="classifier", labels=COLORS, input=PLAIN)).write(tmp_path / "colors")
    return str(tmp_path / "colors")


def opened(model: str, **options: Any) -> Recognise:
    operator = Recognise(model=model, **options)
    operator.open()
    return operator


def packet(*colors: tuple[int, int, int], index: int = 0) -> Packet:
    """A frame with a crop of one colour for each of tracks 1, 2, 3…"""
    pixels = np.array(colors, np.uint8)[:, :, None, None].repeat(32, 2).repeat(32, 3)
    return Packet(make_frame(index), crops=Crops(pixels, np.arange(1, len(colors) + 1)))


def said(packet: Packet) -> list[tuple[int, str]]:
    assert packet.recognitions is not None
    return [(one.track_id, one.label) for one in packet.recognitions]


@pytest.mark.parametrize("ending", [None, "Softmax"])
def test_names_what_it_sees_with_its_probability(tmp_path: Path, ending: Any) -> None:
    found = opened(model(tmp_path, ending=ending)).process(packet(RED, GREEN))
    assert said(found) == [(1, "red"), (2, "green")]
    assert found.recognitions is not None
    powers = np.exp([8, -4, -4, -0.4, -4.4])
    assert found.recognitions[0].confidence == pytest.approx(powers[0] / powers.sum())


def test_a_look_that_is_not_sure_says_nothing(tmp_path: Path) -> None:
    name = model(tmp_path)
    assert said(opened(name).process(packet(RED, GREY, GREEN))) == [(1, "red"), (3, "green")]
    assert len(said(opened(name, min_confidence=0.2).process(packet(GREY)))) == 1


def test_only_the_labels_asked_for(tmp_path: Path) -> None:
    operator = opened(model(tmp_path), labels=("green", "blue"))
    assert said(operator.process(packet(RED, GREEN))) == [(2, "green")]


def test_a_packet_without_crops_passes_as_it_is(tmp_path: Path) -> None:
    operator = opened(model(tmp_path))
    nothing = Packet(make_frame())
    assert not operator.wants(nothing)
    assert operator.wants(packet(RED))
    first, second, third = operator.process_batch([nothing, packet(RED), nothing])
    assert (first, third) == (nothing, nothing)
    assert said(second) == [(1, "red")]
    assert operator.process_batch([]) == []
    assert operator.process_batch([nothing]) == [nothing]


@pytest.mark.parametrize("fixed_batch", [None, 1])
def test_what_else_is_in_a_batch_never_changes_a_result(tmp_path: Path, fixed_batch: int | None) -> None:
    operator = opened(model(tmp_path, batch=fixed_batch), min_confidence=0)
    rng = np.random.default_rng(7)
    packets = [
        Packet(make_frame(i), crops=Crops(rng.integers(0, 256, (n, 3, 32, 32), np.uint8), np.arange(n)))
        for i, n in enumerate((3, 1, 8, 2))
    ]
    together = operator.process_batch(packets)
    assert [one.recognitions for one in together] == [operator.process(one).recognitions for one in packets]
    assert [len(one.recognitions or ()) for one in together] == [3, 1, 8, 2]


def test_crops_of_many_packets_fill_batches_of_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Device(InferenceOnnxruntime):
        def open(self, bundle: Bundle) -> None:
            super().open(bundle)
            self.max_batch = 4

        def infer(self, tensor: Pixels) -> list[NDArray[Any]]:
            asked.append(len(tensor))
            return super().infer(tensor)

    def open_backend(bundle: Bundle, name: str, require: str | None, options: BackendOptions) -> Device:
        backend = Device(options)
        backend.open(bundle)
        return backend

    monkeypatch.setattr(model_runner, "open_backend", open_backend)
    operator = opened(model(tmp_path))
    assert operator.batch_size == 4
    asked.clear()
    found = operator.process_batch([packet(RED, GREEN, RED), packet(GREEN), packet(RED, RED)])
    assert asked == [4, 2]
    assert [said(one) for one in found] == [
        [(1, "red"), (2, "green"), (3, "red")], [(1, "green")], [(1, "red"), (2, "red")],
    ]  # fmt: skip


def test_a_detector_and_an_unknown_label_are_refused(tmp_path: Path) -> None:
    save_yolox(tmp_path / "tiny.onnx")
    describe_onnx(tmp_path / "tiny.onnx", ImportOptions(family="yolox", labels=("a", "b"))).write(tmp_path / "tiny")
    with pytest.raises(BundleError, match=r"tiny: a detector \(family 'yolox'\) classifies no crops"):
        opened(str(tmp_path / "tiny"))
    with pytest.raises(ConfigError, match=r"classify.labels: the model has no class 'rad'; did you mean 'red'\?"):
        opened(model(tmp_path), labels=("rad",))


def test_a_closed_copy_can_be_opened_again_and_one_that_never_opened_closed(tmp_path: Path) -> None:
    operator = Recognise(model(tmp_path))
    operator.close()
    operator.open()
    operator.close()
    operator.open()
    assert said(operator.process(packet(RED))) == [(1, "red")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_confidence": 1.5}, "min_confidence must be between 0 and 1, got 1.5"),
        ({"place": "moon"}, "place must be local or actor, got 'moon'"),
        ({"backend": "onnx"}, "unknown backend 'onnx'"),
        ({"device": "gpu"}, "device must be auto"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recognise(model="m", **options)
