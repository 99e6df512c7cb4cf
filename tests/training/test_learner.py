from __future__ import annotations

import copy

import pytest
import torch

from training.learner import Learner
from training.loader import Batch
from training.model import SIZES, Detector
from training.recipe import TrainSpec

CPU = torch.device("cpu")


def detector() -> Detector:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return Detector(SIZES["pico"].with_classes(2))


def batch(seed: int = 0) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    return Batch(
        torch.randint(0, 255, (2, 64, 64, 3), generator=rng, dtype=torch.uint8),
        torch.tensor([[8.0, 8.0, 40.0, 40.0]]), torch.tensor([1]), torch.tensor([False]), [1, 0], [0, 1],
    )  # fmt: skip


def learner(**train: object) -> Learner:
    return Learner(detector(), TrainSpec.model_validate(train), CPU)


def weights(model: Detector) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_learning_one_batch_by_heart_lowers_its_loss() -> None:
    ours = learner(lr=0.01)
    losses = [ours.step(batch(), lr=0.01)["total"] for _ in range(30)]

    assert losses[-1] < 0.7 * losses[0]


def test_the_average_follows_slowly() -> None:
    ours = learner(ema=0.9)
    before = weights(ours.averaged)
    for number in range(30):
        ours.step(batch(number), lr=0.01)
    after, now = weights(ours.averaged), weights(ours.detector)
    kernel = "backbone.stem.0.weight"

    way = (now[kernel] - before[kernel]).norm()
    assert 0 < (after[kernel] - now[kernel]).norm() < way
    assert after["backbone.stem.1.num_batches_tracked"] == 30


def test_the_first_average_is_of_the_first_steps() -> None:
    ours = learner(ema=0.998)
    before = weights(ours.averaged)["backbone.stem.0.weight"]
    ours.step(batch(), lr=0.01)
    now = weights(ours.detector)["backbone.stem.0.weight"]

    # Two elevenths of the old weights stay after one step, however slow the average is later.
    assert torch.allclose(weights(ours.averaged)["backbone.stem.0.weight"], before + (now - before) * 9 / 11)


def test_what_it_began_with_is_mixed_in() -> None:
    ours = learner(keep_init=0.25)
    begun = weights(ours.detector)
    for number in range(3):
        ours.step(batch(number), lr=0.01)
    resumed = learner(keep_init=0.25)
    resumed.load_state(ours.state())

    averaged, same = weights(ours.averaged), weights(resumed.kept())
    for name, value in weights(ours.kept()).items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.75 * averaged[name] + 0.25 * begun[name])
        assert torch.equal(value, same[name])


def test_only_kernels_decay() -> None:
    ours = learner(weight_decay=0.5)
    decays = {id(p): group["weight_decay"] for group in ours._optimizer.param_groups for p in group["params"]}

    for name, parameter in ours.detector.named_parameters():
        assert decays[id(parameter)] == (0.5 if name.endswith("weight") and parameter.ndim == 4 else 0.0)
    assert len(decays) == len(list(ours.detector.parameters()))


def test_a_state_carries_on_bit_for_bit() -> None:
    one = learner()
    for number in range(3):
        one.step(batch(number), lr=0.01)
    state = copy.deepcopy(one.state())
    other = learner()
    other.load_state(state)
    for number in range(3, 6):
        assert one.step(batch(number), lr=0.01) == other.step(batch(number), lr=0.01)

    for model in ("detector", "averaged"):
        ours, theirs = weights(getattr(one, model)), weights(getattr(other, model))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_frozen_backbone_keeps_its_statistics_too() -> None:
    ours = learner(freeze="backbone")
    before = weights(ours.detector)
    ours.step(batch(), lr=0.01)
    after = weights(ours.detector)

    assert {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])} == {"neck", "branches"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("amp", [False, True])
def test_a_gpu_learns_what_a_cpu_learns(amp: bool) -> None:
    here, there = learner(), Learner(detector(), TrainSpec(), torch.device("cuda"), amp=amp)
    first, second = here.step(batch(), lr=0.001), there.step(batch(), lr=0.001)

    assert second["total"] == pytest.approx(first["total"], rel=0.05 if amp else 1e-3)
