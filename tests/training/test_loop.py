from __future__ import annotations

import dataclasses
import math
import multiprocessing
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.errors import BundleError, ConfigError, SourceError, UsageError
from tests.training.runs import data, recipe, run
from training import loop
from training.checkpoint import DiskError, load_trained, read_checkpoint
from training.learner import Learner, NotFinite
from training.recorder import read_metrics
from training.stopping import TrainingStopped

NUM_STEPS = 8
PLAIN = dict.fromkeys(("mosaic", "mixup", "geometry", "colour", "cutout"), 0.0)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    data(folder)
    return folder


@pytest.fixture(scope="module")
def whole(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nobody has disturbed."""
    work = tmp_path_factory.mktemp("whole") / "work"
    run(pictures, work)
    return work


def left(work: Path) -> dict[str, Any]:
    """Give what a run leaves behind: weights, optimizer, scores, figures."""
    last, best = read_checkpoint(work / "last.pt", "training"), read_checkpoint(work / "best.pt", "detector")
    figures = [{k: v for k, v in row.items() if k != "data_wait_share"} for row in read_metrics(work)]
    return {"last": last, "best": best, "figures": figures}


def same(a: Any, b: Any) -> bool:
    """Compare bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def on_step(monkeypatch: pytest.MonkeyPatch, number: int, action: Callable[[], None]) -> None:
    """Do something while a step is under way."""
    learn = Learner.step
    count = 0

    def step(self: Learner, *arguments: Any) -> dict[str, float]:
        nonlocal count
        count += 1
        if count == number:
            action()
        return learn(self, *arguments)

    monkeypatch.setattr(Learner, "step", step)


def test_a_run_learns_and_says_so(pictures: Path, tmp_path: Path) -> None:
    result = run(
        pictures, tmp_path / "work", recipe(PLAIN, epochs=30, lr=0.015, eval_every=30, multi_scale=0),
    )  # fmt: skip

    assert result.scores["ap50"] > 0.3 > result.first_scores["ap50"]
    assert result.num_steps == 120
    assert not result.stopped_early
    assert 0 <= result.data_wait_share < 1
    rows = read_metrics(tmp_path / "work")
    assert rows[0]["step"] == 0
    assert rows[-1]["total"] < 0.7 * rows[1]["total"]
    trained = load_trained(tmp_path / "work")
    assert trained.labels == ("blue", "red")
    assert trained.input_wh == (64, 64)
    assert trained.scores == result.scores
    assert trained.step == result.best_step


def test_the_same_seed_gives_the_same_weights_and_another_one_others(
    pictures: Path, whole: Path, tmp_path: Path
) -> None:
    run(pictures, tmp_path / "again")
    run(pictures, tmp_path / "other", recipe(seed=1))

    assert same(left(whole), left(tmp_path / "again"))
    assert not same(left(whole)["last"]["learner"], left(tmp_path / "other")["last"]["learner"])


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_that_read_pictures_change_nothing(pictures: Path, whole: Path, tmp_path: Path, workers: int) -> None:
    run(pictures, tmp_path / "work", recipe(workers=workers))

    assert same(left(whole)["last"]["learner"], left(tmp_path / "work")["last"]["learner"])


@pytest.mark.parametrize("step", range(1, NUM_STEPS))
def test_a_run_that_was_stopped_after_any_step_ends_as_if_it_was_not(
    pictures: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    with monkeypatch.context() as patch:
        on_step(patch, step, lambda: signal.raise_signal(signal.SIGTERM if step % 2 else signal.SIGINT))
        with pytest.raises(TrainingStopped, match=rf"stopped after step {step} of 8; all is saved in .*--resume"):
            run(pictures, tmp_path / "work")
    assert read_checkpoint(tmp_path / "work" / "last.pt", "training")["state"]["step"] == step
    run(pictures, tmp_path / "work", resume=True)

    assert same(left(whole), left(tmp_path / "work"))


def in_a_process(task: Callable[[], object]) -> int | None:
    """Run something in a process of its own; give its exit code, negative where a signal has ended it."""
    process = multiprocessing.get_context("fork").Process(target=task)
    process.start()
    process.join(60)
    return process.exitcode


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_in_step(pictures: Path, work: Path, step: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_SAVE_EVERY_S", 0.0)
        on_step(patch, step, kill)
        run(pictures, work, resume=True)


def killed_while_writing(pictures: Path, work: Path, name: str, number: int) -> None:
    count, fsync = 0, os.fsync

    def fsync_or_die(descriptor: int) -> None:
        nonlocal count
        if name in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            count += 1
            if count == number:
                # Half of it has reached the disk.
                os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
                kill()
        fsync(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_SAVE_EVERY_S", 0.0)
        patch.setattr(os, "fsync", fsync_or_die)
        run(pictures, work, resume=True)


def test_a_run_that_was_killed_again_and_again_ends_as_if_it_was_not(
    pictures: Path, whole: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    for step in (1, 3, 4):
        assert in_a_process(partial(killed_in_step, pictures, work, step)) == -signal.SIGKILL
    for name, number in ((".last.pt.part", 2), (".best.pt.part", 1), (".metrics.jsonl.part", 1)):
        assert in_a_process(partial(killed_while_writing, pictures, work, name, number)) == -signal.SIGKILL
    run(pictures, work, resume=True)

    assert same(left(whole), left(work))
    assert [path.name for path in work.iterdir() if path.name.endswith(".part")] == []


def test_a_finished_run_that_goes_on_only_says_what_it_has(pictures: Path, whole: Path, tmp_path: Path) -> None:
    before = left(whole)
    again = run(pictures, whole, resume=True)

    assert again.num_steps == NUM_STEPS
    assert same(left(whole), before)


def test_resume_begins_where_there_is_nothing_to_go_on_with(pictures: Path, whole: Path, tmp_path: Path) -> None:
    run(pictures, tmp_path / "work", resume=True)

    assert same(left(whole), left(tmp_path / "work"))


def test_it_stops_early_when_nothing_gets_better(pictures: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        scores = iter([0.1, 0.3, 0.2, 0.1, 0.9])
        patch.setattr("training.held_out.HeldOut.judge", lambda *_: {"ap": (ap := next(scores)), "ap50": ap})
        result = run(pictures, tmp_path / "work", recipe(epochs=9, patience=2))

    assert result.stopped_early
    assert (result.best_step, result.num_steps, result.scores["ap"]) == (4, 12, 0.3)
    assert load_trained(tmp_path / "work").step == 4
    again = run(pictures, tmp_path / "work", recipe(epochs=9, patience=2), resume=True)
    assert again.num_steps == 12


def test_minutes_become_a_number_of_steps_that_a_continued_run_keeps(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = recipe(epochs=None, minutes=0.2, eval_every=0)
    monkeypatch.setattr(loop._Loop, "_measure", lambda self: 1.0)
    with monkeypatch.context() as patch:
        on_step(patch, 2, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(TrainingStopped):
            run(pictures, tmp_path / "work", what)
    first = read_checkpoint(tmp_path / "work" / "last.pt", "training")["schedule"]
    monkeypatch.setattr(loop._Loop, "_measure", lambda self: 0.001)
    result = run(pictures, tmp_path / "work", what, resume=True)

    # Twelve seconds, less what judging and starting took.
    assert 3 <= first["num_steps"] <= 12
    assert result.num_steps == first["num_steps"]


def test_a_step_is_measured_on_a_copy(pictures: Path, tmp_path: Path) -> None:
    run(pictures, tmp_path / "a", recipe(epochs=None, minutes=0.05))
    schedule = read_checkpoint(tmp_path / "a" / "last.pt", "training")["schedule"]
    epochs = schedule["num_steps"] // schedule["steps_per_epoch"]

    assert epochs >= 1


def test_a_frozen_backbone_stays_as_it_was(pictures: Path, tmp_path: Path) -> None:
    what = recipe(freeze="backbone")
    before = loop.new_detector(what, ("blue", "red")).state_dict()
    run(pictures, tmp_path / "work", what)
    after = read_checkpoint(tmp_path / "work" / "last.pt", "training")["learner"]["detector"]

    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"neck", "branches"}


def test_a_loss_that_is_no_number_stops_and_names_the_pictures(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poison() -> None:
        monkeypatch.setattr(
            "training.learner.DetectionLoss",
            lambda l1: lambda *_: {"total": torch.tensor(math.nan, requires_grad=True)},
        )

    on_step(monkeypatch, 6, poison)
    with pytest.raises(NotFinite, match=r"step 6, epoch 2: the loss is nan; its pictures: .*\d+\.png, .*lower train"):
        run(pictures, tmp_path / "work")

    good = load_trained(tmp_path / "work")
    assert all(bool(torch.isfinite(value).all()) for value in good.detector.state_dict().values())
    assert read_checkpoint(tmp_path / "work" / "last.pt", "training")["state"]["step"] == 4


def test_a_gradient_that_is_no_number_changes_no_weight(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr("torch.nn.utils.clip_grad_norm_", lambda *a: clip(*a) * math.inf)

    with pytest.raises(NotFinite, match="step 1, epoch 1: the gradient is inf"):
        run(pictures, tmp_path / "work")


def test_a_full_disk_leaves_the_checkpoint_that_was_there(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_SAVE_EVERY_S", 0.0)

    def fill() -> None:
        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("training.checkpoint.os.fsync", full)

    with monkeypatch.context() as patch:
        on_step(patch, 3, fill)
        with pytest.raises(
            DiskError, match=r"last\.pt: cannot be written .*No space left.*last\.pt is as it was before"
        ):
            run(pictures, tmp_path / "work")
    monkeypatch.undo()
    assert read_checkpoint(tmp_path / "work" / "last.pt", "training")["state"]["step"] == 2
    assert run(pictures, tmp_path / "work", resume=True).num_steps == NUM_STEPS


def test_a_folder_in_use_is_not_overwritten(pictures: Path, whole: Path) -> None:
    with pytest.raises(UsageError, match=r"work: is not empty; go on with its run by --resume, or give another"):
        run(pictures, whole)


def test_another_recipe_does_not_go_on_as_this_one(pictures: Path, whole: Path) -> None:
    with pytest.raises(ConfigError, match=r"was begun with train\.lr = 0\.01, now it is 0\.02; change it back"):
        run(pictures, whole, recipe(lr=0.02), resume=True)
    with pytest.raises(ConfigError, match=r"begun with augment\.mosaic = 0\.5, now it is 0\.1"):
        run(pictures, whole, recipe(augment={"mosaic": 0.1}), resume=True)


def test_other_pictures_do_not_go_on_as_these(pictures: Path, whole: Path) -> None:
    train, val = data(pictures)
    with pytest.raises(
        ConfigError, match=r"begun with training pictures = 12 with digest .*, now it is 11 with digest"
    ):
        run(pictures, whole, parts=(train.subset(range(11)), val), resume=True)


def test_a_damaged_checkpoint_is_refused(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"PK\x03\x04 nothing more")
    with pytest.raises(BundleError, match=r"last\.pt: not a checkpoint of `vedette train`"):
        run(pictures, tmp_path, resume=True)


def test_nothing_to_learn_from_or_to_judge_by_is_refused(pictures: Path, tmp_path: Path) -> None:
    train, val = data(pictures)
    empty = dataclasses.replace(train.samples[0], xyxy=train.samples[0].xyxy[:0], class_id=train.samples[0].class_id[:0],
                                ignore=train.samples[0].ignore[:0])  # fmt: skip
    with pytest.raises(SourceError, match="there are no training pictures"):
        run(pictures, tmp_path / "work", parts=(train.subset([]), val))
    with pytest.raises(SourceError, match="the 1 held-out pictures hold no box of blue, red"):
        run(pictures, tmp_path / "work", parts=(train, dataclasses.replace(val, samples=(empty,))))
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_has_gone_is_named(pictures: Path, tmp_path: Path, workers: int) -> None:
    train, val = data(pictures)
    gone = dataclasses.replace(train.samples[3], path=tmp_path / "gone.png")
    samples = (*train.samples[:3], gone, *train.samples[4:])
    with pytest.raises(SourceError, match=r"^\S*gone\.png: no such image file$"):
        run(pictures, tmp_path / "work", recipe(workers=workers), (dataclasses.replace(train, samples=samples), val))


@pytest.mark.parametrize(
    ("device", "match"),
    [
        ("gpu", "--device gpu: expected auto, cpu, cuda or cuda:1"),
        ("mps", "--device mps: expected auto, cpu, cuda or cuda:1"),
        ("cuda:77", r"--device cuda:77: PyTorch sees \d+ GPUs here"),
    ],
)
def test_an_unknown_device_is_refused(device: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        loop.pick_device(device)


def test_an_unknown_size_is_refused() -> None:
    what = recipe().model_copy(update={"model": recipe().model.model_copy(update={"size": "giant"})})
    with pytest.raises(ConfigError, match=r"model\.size: unknown size 'giant'; expected one of .*nano"):
        loop.new_detector(what, ("blue",))
