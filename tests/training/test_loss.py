"""The loss assigns cells as SimOTA does, forgives what is to be ignored, and can be learned from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.boxes import iou_matrix
from training.loss import DetectionLoss, Target, _assign, _encode, _pairwise_iou
from training.model import Detector, ModelSpec, cell_grid, decode_boxes

GRID = cell_grid(64, 64)
NUM_CLASSES = 2


def target(*rows: tuple[float, float, float, float, int], ignore: tuple[int, ...] = ()) -> Target:
    """Objects as x1, y1, x2, y2, class; `ignore` lists rows."""
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)
    flags = torch.zeros(len(table), dtype=torch.bool)
    flags[list(ignore)] = True
    return Target(table[:, :4], table[:, 4].long(), flags)


def logits_for(*targets: Target, sure: float = 12.0) -> Tensor:
    """What a perfect detector says: the cell at each object's centre at stride 8 sees it; the others see specks."""
    out = torch.full((len(targets), len(GRID), 5 + NUM_CLASSES), -sure)
    out[..., :2] = 0
    out[..., 2:4] = -5
    for picture, one in enumerate(targets):
        for xyxy, class_id in zip(one.xyxy, one.class_id, strict=True):
            centre = (xyxy[:2] + xyxy[2:]) / 2
            column, row = (centre / 8).long().tolist()
            cell = row * 8 + column
            out[picture, cell, :4] = _encode(xyxy[None], GRID[cell][None])[0]
            out[picture, cell, 4] = sure
            out[picture, cell, 5 + class_id] = sure
    return out


def loss(logits: Tensor, *targets: Target, l1: bool = False) -> dict[str, float]:
    return {name: float(value) for name, value in DetectionLoss(l1)(logits, GRID, list(targets)).items()}


def test_a_perfect_prediction_costs_almost_nothing() -> None:
    truth = target((10, 10, 30, 40, 0), (40, 40, 60, 60, 1))
    found = loss(logits_for(truth), truth, l1=True)
    assert found["assigned"] == 2
    assert found["total"] == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("part", ["box", "objectness", "class", "l1"])
def test_each_part_rises_with_its_own_mistake(part: str) -> None:
    truth = target((10, 10, 30, 40, 0))
    logits = logits_for(truth)
    cell = int(logits[0, :, 4].argmax())
    if part in ("box", "l1"):
        logits[0, cell, 2:4] += 0.3
    elif part == "objectness":
        logits[0, (cell + 30) % len(GRID), 4] = 3
    else:
        logits[0, cell, 5] = -3

    found = loss(logits, truth, l1=True)

    assert found[part] > 0.1
    assert found["total"] == pytest.approx(sum(found[name] for name in ("box", "objectness", "class", "l1")), rel=1e-5)


def test_the_distance_of_raw_boxes_counts_only_when_asked() -> None:
    truth = target((10, 10, 30, 40, 0))
    logits = logits_for(truth)
    logits[..., 0] += 0.5
    assert loss(logits, truth)["l1"] == 0
    assert loss(logits, truth, l1=True)["l1"] > 0.4


def test_an_empty_picture_teaches_that_nothing_is_there() -> None:
    logits = torch.zeros(1, len(GRID), 5 + NUM_CLASSES, requires_grad=True)
    losses = DetectionLoss(l1=True)(logits, GRID, [target()])
    losses["total"].backward()

    assert losses["assigned"] == losses["box"] == losses["class"] == losses["l1"] == 0
    assert logits.grad is not None
    assert (logits.grad[..., 4] > 0).all()
    assert not logits.grad[..., [0, 1, 2, 3, 5, 6]].any()


def test_nothing_is_learned_inside_an_ignored_box_except_about_an_object_in_it() -> None:
    logits = torch.zeros(1, len(GRID), 5 + NUM_CLASSES, requires_grad=True)
    truth = target((0, 0, 32, 64, 0), (8, 8, 24, 24, 1), ignore=(0,))
    losses = DetectionLoss()(logits, GRID, [truth])
    losses["total"].backward()

    assert logits.grad is not None
    middle = (GRID[:, :2] + 0.5) * GRID[:, 2:]
    gradient, left = logits.grad[0, :, 4], middle[:, 0] < 32
    assert (gradient[~left] > 0).all()
    assert (gradient[left] <= 0).all()
    assert int((gradient[left] < 0).sum()) == int(losses["assigned"]) > 0


def test_a_crowd_alone_is_no_object() -> None:
    truth = target((0, 0, 64, 64, 0), ignore=(0,))
    assert loss(torch.zeros(1, len(GRID), 7), truth) == {
        "total": 0, "box": 0, "objectness": 0, "class": 0, "l1": 0, "assigned": 0,
    }  # fmt: skip


def test_cells_go_to_objects_whose_centre_is_near_and_to_one_object_each() -> None:
    truth = target((4, 4, 28, 28, 0), (6, 6, 30, 30, 1), (40, 8, 60, 56, 0))
    logits = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (len(GRID), 7)).astype(np.float32))
    cells, objects, iou = _assign(logits, decode_boxes(logits[:, :4], GRID), GRID, truth)

    assert sorted(set(objects.tolist())) == [0, 1, 2]
    assert len(set(cells.tolist())) == len(cells)
    middle = (GRID[cells, :2] + 0.5) * GRID[cells, 2:]
    centre = (truth.xyxy[objects, :2] + truth.xyxy[objects, 2:]) / 2
    assert ((middle - centre).abs().amax(1) < 1.5 * GRID[cells, 2]).all()
    boxes = decode_boxes(logits[cells, :4], GRID[cells])
    expected = iou_matrix(truth.xyxy.numpy(), boxes.numpy())[objects.numpy(), np.arange(len(cells))]
    np.testing.assert_allclose(iou.numpy(), expected, atol=1e-5)


def test_an_object_gets_more_cells_the_better_they_fit() -> None:
    truth = target((16, 16, 48, 48, 0))
    fitting = torch.zeros(len(GRID), 7)
    fitting[:, :4] = _encode(truth.xyxy.expand(len(GRID), 4), GRID)
    poor = torch.zeros(len(GRID), 7)
    counts = [len(_assign(x, decode_boxes(x[:, :4], GRID), GRID, truth)[0]) for x in (poor, fitting)]
    assert counts[0] < counts[1] == 10


def test_overlaps_are_those_of_the_engine() -> None:
    rng = np.random.default_rng(0)
    a, b = (np.sort(rng.uniform(0, 50, (n, 2, 2)), axis=1).reshape(n, 4).astype(np.float32) for n in (5, 7))
    found = _pairwise_iou(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_allclose(found, iou_matrix(a, b), atol=1e-5)


def test_encoding_undoes_decoding() -> None:
    boxes = torch.tensor([[3.0, 5.0, 20.0, 41.0]]).expand(len(GRID), 4)
    torch.testing.assert_close(decode_boxes(_encode(boxes, GRID), GRID), boxes, rtol=1e-4, atol=1e-3)


def test_pictures_of_a_batch_are_judged_each_by_its_own_truth() -> None:
    first, second = target((10, 10, 30, 40, 0)), target((40, 40, 60, 60, 1))
    logits = logits_for(first, second)
    assert loss(logits, first, second)["total"] < 0.05
    assert loss(logits, second, first)["total"] > 5


def test_a_small_network_learns_one_picture() -> None:
    torch.manual_seed(0)
    model = Detector(ModelSpec(0.0625, 0.33, True, NUM_CLASSES))
    truth = [target((8, 8, 32, 40, 0)), target((24, 16, 56, 56, 1))]
    images = torch.full((2, 3, 64, 64), 114.0)
    images[0, :, 8:40, 8:32] = 250
    images[1, :, 16:56, 24:56] = 10
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    criterion = DetectionLoss()
    for _ in range(60):
        optimizer.zero_grad()
        criterion(model(images), GRID, truth)["total"].backward()
        optimizer.step()

    with torch.no_grad():
        # As in training: the statistics of the norms lag behind after so few steps.
        raw = model(images)
    for picture, one in enumerate(truth):
        best = int(raw[picture, :, 4].argmax())
        assert raw[picture, best, 4].sigmoid() > 0.5
        assert int(raw[picture, best, 5:].argmax()) == int(one.class_id[0])
        overlap = _pairwise_iou(one.xyxy, decode_boxes(raw[picture, best : best + 1, :4], GRID[best : best + 1]))
        assert float(overlap) > 0.7
