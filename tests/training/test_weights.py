"""Published weights are loaded whole, and batch norms get true statistics without changing what is computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from engine.errors import BundleError
from engine.labels import COCO
from engine.onnx_import import ImportOptions, describe_onnx
from training.export import export_onnx
from training.model import SIZES, Detector, ModelSpec, Scored
from training.weights import load_onnx_weights, recalibrate

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent")
SPEC = ModelSpec(width=0.0625, depth=0.33, depthwise=True)
FILE_LABELS = ("person", "dog", "car")


def trained_like(num_classes: int, seed: int, spec: ModelSpec = SPEC) -> Detector:
    """A detector with weights and batch norm statistics as after training: none is neutral."""
    torch.manual_seed(seed)
    model = Detector(spec.with_classes(num_classes)).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.normal_(module.weight, 1, 0.2)
            torch.nn.init.normal_(module.bias, 0, 0.2)
    return model


def pictures(count: int = 2, side: int = 64) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 3, side, side)).astype(np.float32))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Detector, Path]:
    """A model of three classes and its ONNX file."""
    model = trained_like(3, seed=1)
    path = tmp_path_factory.mktemp("published") / "model.onnx"
    export_onnx(model, path, input_wh=(64, 64), labels=FILE_LABELS)
    return model, path


def test_it_computes_what_the_file_computes(published: tuple[Detector, Path]) -> None:
    theirs, path = published
    ours = trained_like(3, seed=2)

    report = load_onnx_weights(ours, path, FILE_LABELS)

    assert (report.num_loaded, report.classes_kept, report.classes_new) == (113, FILE_LABELS, ())
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(pictures()), theirs(pictures()), rtol=1e-3, atol=1e-3)


def test_classes_keep_their_weights_by_name_and_new_ones_start_afresh(published: tuple[Detector, Path]) -> None:
    theirs, path = published
    ours = trained_like(4, seed=2)

    # The names in the file say which column is which.
    report = load_onnx_weights(ours, path, ("Car", "forklift", "person", "bus"))

    assert report.classes_kept == ("Car", "person")
    assert report.classes_new == ("forklift", "bus")
    with torch.no_grad():
        expected, found = theirs(pictures()), ours.eval()(pictures())
    columns = [0, 1, 2, 3, 4, 5 + FILE_LABELS.index("car"), 5 + FILE_LABELS.index("person")]
    torch.testing.assert_close(found[..., [0, 1, 2, 3, 4, 5, 7]], expected[..., columns], rtol=1e-3, atol=1e-3)


def test_a_bundle_says_itself_what_its_classes_are(published: tuple[Detector, Path], tmp_path: Path) -> None:
    theirs, path = published
    bundle = describe_onnx(path, ImportOptions(labels=("a", "b", "c"))).write(tmp_path / "bundle")
    ours = trained_like(1, seed=2)

    assert load_onnx_weights(ours, bundle.root, ("b",)).classes_kept == ("b",)
    with torch.no_grad():
        expected, found = theirs(pictures()), ours.eval()(pictures())
    torch.testing.assert_close(found[..., 5], expected[..., 6], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (
            ModelSpec(0.125, 0.33, True, 3),
            r"model\.onnx: not a model of this size: convolution 0 is 4x12x3x3, this size",
        ),
        (ModelSpec(0.0625, 0.33, False, 3), "not a model of this size: it has 113 convolutions, this size has 83"),
    ],
)
def test_a_file_of_another_size_is_refused(spec: ModelSpec, says: str, published: tuple[Detector, Path]) -> None:
    with pytest.raises(BundleError, match=says):
        load_onnx_weights(Detector(spec), published[1], FILE_LABELS)


def test_names_that_do_not_fit_the_file_are_refused(published: tuple[Detector, Path]) -> None:
    with pytest.raises(BundleError, match="the file has 3 classes, but 2 names for them are known"):
        load_onnx_weights(trained_like(2, seed=2), published[1], ("person", "car"), ("person", "car"))


def test_a_missing_file_and_one_that_is_no_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"none\.onnx: no such file"):
        load_onnx_weights(trained_like(3, seed=0), tmp_path / "none.onnx", FILE_LABELS)
    (tmp_path / "text.onnx").write_text("no model at all")
    with pytest.raises(BundleError, match=r"text\.onnx: not an ONNX model"):
        load_onnx_weights(trained_like(3, seed=0), tmp_path / "text.onnx", FILE_LABELS)


def test_a_convolution_without_a_bias_of_its_own_is_refused(tmp_path: Path) -> None:
    kernel = numpy_helper.from_array(np.zeros((8, 3, 3, 3), np.float32), "kernel")
    node = helper.make_node("Conv", ["images", "kernel"], ["output"], name="stem")
    images = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, 64, 64])
    output = helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "bare", [images], [output], [kernel])
    onnx.save_model(helper.make_model(graph), str(tmp_path / "bare.onnx"))

    with pytest.raises(BundleError, match="convolution 'stem' has no kernel and bias of its own"):
        load_onnx_weights(trained_like(3, seed=0), tmp_path / "bare.onnx", FILE_LABELS)


def test_recalibration_keeps_what_is_computed_and_makes_training_see_it_too(published: tuple[Detector, Path]) -> None:
    model = trained_like(3, seed=2)
    load_onnx_weights(model, published[1], FILE_LABELS)
    images = pictures(8)
    with torch.no_grad():
        before = model.eval()(images)
        drift_before = (model.train()(images) - before).abs().max()
    load_onnx_weights(model, published[1], FILE_LABELS)

    recalibrate(model, [images[:4], images[4:]])

    with torch.no_grad():
        # In training mode norms use the statistics of the batch, and update the stored ones: last.
        torch.testing.assert_close(model.eval()(images), before, rtol=1e-3, atol=1e-3)
        drift = (model.train()(images) - before).abs().max()
    assert drift < 1e-2 < drift_before


def test_recalibration_leaves_the_mode_as_it_was() -> None:
    model = trained_like(3, seed=2).train()
    recalibrate(model, [pictures()])
    assert model.training


@pytest.mark.data
@needs_data
def test_nano_computes_what_the_published_yolox_nano_computes() -> None:
    import onnxruntime

    path = DATA / "models" / "yolox_nano_416.onnx"
    model = Detector(SIZES["nano"])
    report = load_onnx_weights(model, path, COCO)
    images = pictures(1, 416)

    theirs = onnxruntime.InferenceSession(str(path)).run(None, {"images": images.numpy()})[0]
    with torch.no_grad():
        ours = Scored(model.eval())(images).numpy()

    assert report.classes_kept == COCO
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)
