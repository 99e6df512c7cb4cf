from __future__ import annotations

import pytest

from training.recipe import TrainSpec
from training.schedule import Schedule, input_sizes, schedule_of_epochs, schedule_of_minutes


def schedule(num_steps: int = 100, steps_per_epoch: int = 10, eval_every: int = 3, **train: object) -> Schedule:
    return Schedule(TrainSpec.model_validate(train), num_steps, steps_per_epoch, eval_every)


def test_the_rate_rises_then_falls_to_its_end() -> None:
    factors = [schedule(warmup=0.1, final_lr=0.2).lr_factor(step) for step in range(100)]

    assert factors[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert factors[10] == 1
    assert factors[55] == pytest.approx(0.6, abs=0.02)
    assert factors[99] == pytest.approx(0.2)
    assert factors[10:] == sorted(factors[10:], reverse=True)


def test_a_run_of_one_step_has_a_rate() -> None:
    assert schedule(num_steps=1, warmup=0.0).lr_factor(0) == 1


def test_the_input_changes_by_multiples_of_32_and_is_the_true_one_at_the_end() -> None:
    made = schedule(multi_scale=0.2, close_share=0.3)
    sizes = [made.input_wh(step, (416, 256)) for step in range(100)]

    assert set(sizes[70:]) == {(416, 256)}
    assert len(set(sizes[:70])) > 3
    assert all(width % 32 == height % 32 == 0 for width, height in sizes)
    assert all(0.76 <= width / 416 <= 1.24 for width, _ in sizes)
    assert all(len(set(sizes[start : start + 10])) == 1 for start in range(0, 70, 10))
    assert sizes == [made.input_wh(step, (416, 256)) for step in range(100)]
    assert sizes != [schedule(multi_scale=0.2, close_share=0.3, seed=1).input_wh(s, (416, 256)) for s in range(100)]


def test_sizes_keep_the_shape_and_begin_with_the_smallest() -> None:
    assert input_sizes((416, 256), 0.2) == [(320, 192), (352, 224), (384, 224), (416, 256), (448, 288), (480, 288),
                                            (512, 320)]  # fmt: skip
    assert input_sizes((416, 416), 0.0) == [(416, 416)]
    assert input_sizes((64, 64), 0.5) == [(32, 32), (64, 64), (96, 96)]


def test_held_out_pictures_are_looked_at_every_few_epochs_and_at_the_end() -> None:
    made = schedule(num_steps=95)

    assert [step for step in range(95) if made.is_judged(step)] == [29, 59, 89, 94]
    assert made.num_epochs == 10
    assert [made.epoch(step) for step in (0, 9, 10, 94)] == [0, 0, 1, 9]
    assert made.ends_epoch(94)
    assert not made.ends_epoch(93)


def test_passes_become_steps() -> None:
    made = schedule_of_epochs(TrainSpec(epochs=25), num_pictures=89, batch_size=8)

    assert (made.num_steps, made.steps_per_epoch, made.eval_every) == (275, 11, 3)
    assert schedule_of_epochs(TrainSpec(epochs=25, eval_every=7), 89, 8).eval_every == 7
    assert schedule_of_epochs(TrainSpec(), 5, 5).steps_per_epoch == 1


def test_minutes_become_steps_with_time_left_for_judging() -> None:
    made = schedule_of_minutes(TrainSpec(minutes=10), 80, 8, left_s=580, step_s=0.5, judge_s=3)

    assert made.num_steps == 1100  # (580 - 10 judgements of 3 s) / 0.5 s
    assert made.eval_every == 11


def test_slow_judging_is_done_less_often() -> None:
    made = schedule_of_minutes(TrainSpec(minutes=10), 80, 8, left_s=600, step_s=0.5, judge_s=30)

    assert made.num_steps == 1080
    assert made.eval_every == 54


def test_no_time_left_is_one_step() -> None:
    assert schedule_of_minutes(TrainSpec(minutes=1), 80, 8, left_s=-5, step_s=0.5, judge_s=3).num_steps == 1
