"""The exported file is one file, runs on any batch, and is the same bytes for the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from engine.bundle import Bundle
from training.export import export_onnx
from training.model import Detector, ModelSpec, Scored

SPEC = ModelSpec(width=0.0625, depth=0.33, depthwise=True, num_classes=2)
LABELS = ("person", "car")


def detector(seed: int = 0) -> Detector:
    """A detector whose batch norms have statistics of their own, as after training."""
    torch.manual_seed(seed)
    model = Detector(SPEC)
    with torch.no_grad():
        for _ in range(3):
            model(torch.rand(2, 3, 64, 96) * 255)
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Detector, Path]:
    model, path = detector(), tmp_path_factory.mktemp("exported") / "model.onnx"
    export_onnx(model, path, input_wh=(96, 64), labels=LABELS)
    return model, path


def images(count: int) -> torch.Tensor:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3, 64, 96))
    return torch.from_numpy(pixels.astype(np.float32))


@pytest.mark.parametrize("count", [1, 3])
def test_any_batch_gives_what_pytorch_gives(count: int, exported: tuple[Detector, Path]) -> None:
    model, path = exported
    session = onnxruntime.InferenceSession(str(path))
    found = session.run(["output"], {"images": images(count).numpy()})[0]

    with torch.no_grad():
        expected = Scored(model.eval())(images(count)).numpy()
    assert found.shape == (count, 126, 7)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_the_file_says_what_it_is(exported: tuple[Detector, Path]) -> None:
    model = onnx.load(str(exported[1]))
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"images": ["batch", 3, 64, 96], "output": ["batch", 126, 7]}
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    assert [path.name for path in exported[1].parent.iterdir()] == ["model.onnx"]


def test_batch_norms_are_folded_and_every_convolution_has_weights_of_its_own(exported: tuple[Detector, Path]) -> None:
    graph = onnx.load(str(exported[1])).graph
    weights = {tensor.name for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]

    assert len(convolutions) == 113
    assert all(len(node.input) == 3 and {*node.input[1:]} <= weights for node in convolutions)
    assert {"BatchNormalization", "Identity"}.isdisjoint(node.op_type for node in graph.node)


def test_it_is_imported_without_being_told_anything(exported: tuple[Detector, Path]) -> None:
    manifest = Bundle.of_onnx(exported[1]).manifest

    assert (manifest.family, manifest.labels, manifest.input.size_wh) == ("yolox", LABELS, (96, 64))


def test_the_same_weights_give_the_same_bytes(exported: tuple[Detector, Path], tmp_path: Path) -> None:
    export_onnx(detector(seed=1), tmp_path / "other.onnx", input_wh=(96, 64), labels=LABELS)
    export_onnx(detector(), tmp_path / "again.onnx", input_wh=(96, 64), labels=LABELS)

    assert (tmp_path / "again.onnx").read_bytes() == exported[1].read_bytes()
    assert (tmp_path / "other.onnx").read_bytes() != exported[1].read_bytes()


def test_the_detector_stays_as_it_was(tmp_path: Path) -> None:
    model = detector().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    export_onnx(model, tmp_path / "model.onnx", input_wh=(64, 64), labels=LABELS)

    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("opset", [13, 20])
def test_the_oldest_and_newest_opset_give_the_same(opset: int, exported: tuple[Detector, Path], tmp_path: Path) -> None:
    export_onnx(exported[0], tmp_path / "model.onnx", input_wh=(96, 64), labels=LABELS, opset=opset)

    assert onnx.load(str(tmp_path / "model.onnx")).opset_import[0].version == opset
    both = [onnxruntime.InferenceSession(str(path)) for path in (tmp_path / "model.onnx", exported[1])]
    ours, theirs = (session.run(None, {"images": images(1).numpy()})[0] for session in both)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_what_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise onnx.checker.ValidationError("broken")

    monkeypatch.setattr(onnx.checker, "check_model", broken)
    with pytest.raises(onnx.checker.ValidationError, match="broken"):
        export_onnx(detector(), tmp_path / "model.onnx", input_wh=(64, 64), labels=LABELS)
    assert list(tmp_path.iterdir()) == []
