"""The network has YOLOX's layers, and the live decoder reads its outputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.heads import make_head
from engine.heads.head import grid
from training.model import SIZES, Detector, ModelSpec, Scored, cell_grid, decode_boxes

TINY = ModelSpec(width=0.0625, depth=0.33, depthwise=True, num_classes=3)


def make(spec: ModelSpec = TINY, seed: int = 0) -> Detector:
    torch.manual_seed(seed)
    return Detector(spec)


def pictures(count: int = 2, size_wh: tuple[int, int] = (96, 64), seed: int = 0) -> torch.Tensor:
    shape = (count, 3, size_wh[1], size_wh[0])
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32))


@pytest.mark.parametrize(
    ("size", "num_parameters"),
    [("femto", 261_247), ("pico", 240_911), ("nano", 912_159), ("tiny", 5_055_855), ("small", 8_968_255)],
)
def test_sizes_have_the_published_number_of_weights(size: str, num_parameters: int) -> None:
    # YOLOX reports 0.91, 5.06 and 8.97 M for nano, tiny and s with COCO's 80 classes; femto and pico are our own.
    assert Detector(SIZES[size]).num_parameters() == num_parameters


def test_output_has_a_row_for_every_cell_and_a_column_for_every_class() -> None:
    output = make()(pictures(2, (96, 64)))

    assert output.shape == (2, 12 * 8 + 6 * 4 + 3 * 2, 5 + 3)
    assert output.dtype == torch.float32


def test_the_plain_layout_gives_the_same_cells() -> None:
    output = Detector(SIZES["femto"].with_classes(3))(pictures(2, (96, 64)))

    assert output.shape == (2, 12 * 8 + 6 * 4 + 3 * 2, 5 + 3)
    # At the start every cell says "nothing here".
    assert output[..., 4:].sigmoid().mean().item() < 0.05


def test_cells_are_those_of_the_live_decoder() -> None:
    np.testing.assert_array_equal(cell_grid(64, 96).numpy(), grid((96, 64), (8, 16, 32)))


def test_boxes_are_those_of_the_live_decoder() -> None:
    raw = np.random.default_rng(0).normal(0, 1, (1, len(cell_grid(64, 96)), 8)).astype(np.float32)
    raw[..., 4:] = 1 / (1 + np.exp(-raw[..., 4:]))
    head = make_head("yolox", [raw], (96, 64), "test")
    found = head.candidates([raw[0]], 1e-6, np.array([0]))

    ours = decode_boxes(torch.from_numpy(raw[0, :, :4]), cell_grid(64, 96)).numpy()

    assert len(found.xyxy) == len(ours)
    np.testing.assert_allclose(ours, found.xyxy, rtol=1e-5, atol=1e-3)


def test_a_box_wider_than_any_picture_stays_a_number() -> None:
    raw = torch.full((len(cell_grid(64, 64)), 4), 1e4)
    assert decode_boxes(raw, cell_grid(64, 64)).isfinite().all()


def test_scored_turns_logits_into_probabilities_and_leaves_boxes() -> None:
    model = make().eval()
    images = pictures()
    with torch.no_grad():
        raw, scored = model(images), Scored(model)(images)

    assert torch.equal(scored[..., :4], raw[..., :4])
    assert torch.equal(scored[..., 4:], raw[..., 4:].sigmoid())


def test_a_new_model_sees_nothing() -> None:
    with torch.no_grad():
        scored = Scored(make().eval())(pictures())
    assert scored[..., 4].max() < 0.05


def test_pictures_of_a_batch_do_not_change_each_other() -> None:
    model = make().eval()
    images = pictures(3)
    with torch.no_grad():
        apart = torch.cat([model(image[None]) for image in images])
        torch.testing.assert_close(model(images), apart, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("depthwise", [True, False])
@pytest.mark.parametrize("activation", ["silu", "relu"])
def test_every_weight_learns(depthwise: bool, activation: str) -> None:
    spec = ModelSpec(0.0625, 0.33, depthwise, 3, activation)  # type: ignore[arg-type]
    model = make(spec)
    model(pictures(2, (128, 128))).square().sum().backward()

    assert [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_another_number_of_classes_changes_only_the_last_layer() -> None:
    few, many = make(TINY.with_classes(1)), make(TINY.with_classes(80))
    different = {name for name, weight in few.state_dict().items() if weight.shape != many.state_dict()[name].shape}
    assert different == {f"branches.{i}.class_scores.{part}" for i in range(3) for part in ("weight", "bias")}
