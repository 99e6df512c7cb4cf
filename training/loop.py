"""The training loop."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from engine.errors import ConfigError, SourceError, UsageError
from training.checkpoint import BEST, LAST, TrainedModel, replace_file, write_checkpoint
from training.dataset import Dataset
from training.held_out import HeldOut
from training.learner import Learner, NotFinite
from training.loader import Batch, Loader
from training.model import SIZES, Detector
from training.progress import TrainProgress
from training.recipe import Recipe
from training.recorder import Recorder
from training.run_folder import RECIPE, identity, saved_run
from training.run_report import write_report
from training.schedule import Schedule, input_sizes, schedule_of_epochs, schedule_of_minutes
from training.stopping import TrainingStopped, stop_signals
from training.weights import load_onnx_weights, recalibrate

# A kill costs at most so much work; an epoch shorter than the second figure is not worth a write.
_SAVE_EVERY_S, _SAVE_AT_MOST_EVERY_S = 120.0, 10.0
_RECALIBRATION_STEPS = 16
_MEASURED_ROUNDS = 3


@dataclass(frozen=True)
class FitResult:
    """What came out.

    Attributes:
        best_checkpoint: the averaged weights that the held-out pictures liked best; see `load_trained`.
        scores: COCO's numbers of those weights, 0..1.
        first_scores: of the weights that training began with.
        best_step: finished steps at which they were taken.
        num_steps: finished steps of the run.
        stopped_early: nothing got better for as long as the recipe's patience.
        pictures_per_s: rate of the steps of this process, judging left out.
        data_wait_share: share of the time of these steps spent waiting for pictures.
    """

    best_checkpoint: Path
    scores: dict[str, float]
    first_scores: dict[str, float]
    best_step: int
    num_steps: int
    stopped_early: bool
    pictures_per_s: float
    data_wait_share: float


def fit(
    recipe: Recipe,
    train: Dataset,
    val: Dataset,
    work: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    say: Callable[[str], None] = lambda line: None,
) -> FitResult:
    """Train a detector.

    Args:
        recipe: how.
        train: what to learn from.
        val: held-out pictures, which choose the weights that are kept.
        work: folder of the run: checkpoints, figures, report.
        resume: go on where the run in `work` was left; it ends with the same weights as one that was never left.
        device: `cpu`, `cuda`, `cuda:1` …; `auto` takes a GPU where there is one.
        say: called with a line for a person now and then.

    Raises:
        UsageError: `work` holds a run and `resume` was not asked for, or an unknown device.
        ConfigError: the run in `work` was begun from another recipe or other data.
        SourceError: nothing to learn from or to judge by, a picture cannot be read, or a worker died.
        NotFinite: the loss is not a number; names the pictures.
        DiskError: the disk is full; the last checkpoint is still there.
        TrainingStopped: SIGINT or SIGTERM; all is saved.
    """
    check_data(train, val)
    where = pick_device(device)
    saved = saved_run(work, resume, identity(recipe, train, val))
    loop = _Loop(recipe, train, val, work, where, say)
    with loop.loader:
        if saved is None:
            loop.begin()
        else:
            loop.go_on(saved)
        return loop.run()


@dataclass
class _State:
    """What a run remembers besides weights.

    Attributes:
        step: finished steps.
        best_step: finished steps of the best weights so far.
        best: their scores.
        first: scores of the weights it began with.
        num_worse: judgements since the best one.
        done: no step is left.
        sums: of each loss over the epoch that is going on.
        num_summed: steps in these sums.
    """

    step: int = 0
    best_step: int = 0
    best: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    num_worse: int = 0
    done: bool = False
    sums: dict[str, float] = field(default_factory=dict)
    num_summed: int = 0


class _Loop:
    """One run, in this process."""

    learner: Learner
    schedule: Schedule

    def __init__(
        self, recipe: Recipe, train: Dataset, val: Dataset, work: Path, device: torch.device, say: Callable[[str], None]
    ) -> None:
        self.recipe, self.train, self.work, self.device, self.say = recipe, train, work, device, say
        self.identity = identity(recipe, train, val)
        self.loader = Loader(recipe, train, pin=device.type == "cuda")
        self.held_out = HeldOut(val, recipe.model.input_wh)
        self.state = _State()
        self.started_s = self.saved_s = time.monotonic()
        self.waited_s = self.busy_s = 0.0

    def begin(self) -> None:
        """Make weights and schedule, judge the weights, and save both."""
        spec, batch_size = self.recipe.train, self.loader.batch_size
        self.work.mkdir(parents=True, exist_ok=True)
        detector = new_detector(self.recipe, self.train.labels).to(self.device)
        self.schedule = schedule_of_epochs(spec, len(self.train), batch_size)
        if self.recipe.model.init is not None:
            self._load(detector, self.recipe.model.init)
        self.learner = Learner(detector, spec, self.device)
        asked_s = time.monotonic()
        self.state.first = self.state.best = self._judge()
        judge_s = time.monotonic() - asked_s
        if spec.minutes is not None:
            step_s = self._measure()
            left_s = spec.minutes * 60 - (time.monotonic() - self.started_s)
            self.schedule = schedule_of_minutes(spec, len(self.train), batch_size, left_s, step_s, judge_s)
            self.say(f"{spec.minutes:g} minutes are {self.schedule.num_steps} steps of {step_s:.2f} s, "
                     f"{self.schedule.num_epochs} epochs")  # fmt: skip
        replace_file(self.work / RECIPE, self.recipe.to_yaml().encode())
        self._save_best()
        self._save()

    def go_on(self, saved: dict[str, Any]) -> None:
        """Take over what a checkpoint holds."""
        self.learner = Learner(new_detector(self.recipe, self.train.labels), self.recipe.train, self.device)
        self.learner.load_state(saved["learner"])
        self.state = _State(**saved["state"])
        self.schedule = Schedule(self.recipe.train, **saved["schedule"])
        self.say(f"going on after step {self.state.step} of {self.schedule.num_steps}")

    def run(self) -> FitResult:
        """Take the steps that are left."""
        state, schedule = self.state, self.schedule
        params = {**self.identity, "data": ", ".join(part.name or part.path.name for part in self.recipe.data)}
        steps = range(state.step, state.step if state.done else schedule.num_steps)
        with (
            Recorder(self.work, self.recipe.name, params, since_step=state.step) as recorder,
            TrainProgress(schedule, state.step) as progress,
            stop_signals() as stop,
        ):
            if state.step == 0:
                recorder.record(0, _named(state.first))
            asked_s = time.monotonic()
            for step, batch in zip(steps, self.loader.batches(schedule, steps), strict=True):
                got_s = time.monotonic()
                losses = self._learn(step, batch)
                self.waited_s += got_s - asked_s
                self.busy_s += time.monotonic() - got_s
                progress.step(state.step, losses["total"])
                if schedule.ends_epoch(step):
                    self._end_epoch(step, recorder, progress)
                elif time.monotonic() - self.saved_s > _SAVE_EVERY_S:
                    self._save()
                if state.done:
                    break
                if stop.is_set():
                    self._save()
                    self._report()
                    raise TrainingStopped(
                        f"stopped after step {state.step} of {schedule.num_steps}; all is saved in {self.work}: "
                        f"the same command with --resume goes on"
                    )
                asked_s = time.monotonic()
        self._report()
        return FitResult(
            self.work / BEST, state.best, state.first, state.best_step, state.step,
            stopped_early=state.step < schedule.num_steps,
            pictures_per_s=(state.step - steps.start) * self.loader.batch_size / max(self.waited_s + self.busy_s, 1e-9),
            data_wait_share=self._wait_share(),
        )  # fmt: skip

    def _load(self, detector: Detector, init: Path) -> None:
        found = load_onnx_weights(detector, init, self.train.labels)
        kept, new = (", ".join(names) or "none" for names in (found.classes_kept, found.classes_new))
        self.say(f"{init.name}: {found.num_loaded} convolutions loaded; classes kept: {kept}; new: {new}")
        steps = range(min(_RECALIBRATION_STEPS, self.schedule.num_steps))
        batches = self.loader.batches(self.schedule, steps)
        recalibrate(detector, (batch.inputs(self.device) for batch in batches))

    def _measure(self) -> float:
        """Give the seconds of a step, over all input sizes, on a copy: what it learns is thrown away."""
        spec = self.recipe.train
        learner = Learner(copy.deepcopy(self.learner.detector), spec, self.device)
        sizes = input_sizes(self.recipe.model.input_wh, spec.multi_scale)
        plan = (
            [draw._replace(input_wh=sizes[step % len(sizes)]) for draw in self.loader.draws(self.schedule, step)]
            for step in range(_MEASURED_ROUNDS * len(sizes))
        )
        times_s, asked_s = [], time.monotonic()
        for batch in self.loader.load(plan):
            learner.step(batch, lr=0.0)
            times_s.append(time.monotonic() - asked_s)
            asked_s = time.monotonic()
        # The first round pays for memory and plans.
        timed = times_s[len(sizes) :]
        return sum(timed) / len(timed)

    def _learn(self, step: int, batch: Batch) -> dict[str, float]:
        lr, state = self.recipe.train.lr, self.state
        try:
            losses = self.learner.step(batch, lr * self.schedule.lr_factor(step), self.schedule.is_closing(step))
        except NotFinite as error:
            names = ", ".join(str(self.train.samples[index].path) for index in batch.indices)
            raise NotFinite(
                f"step {step + 1}, epoch {self.schedule.epoch(step) + 1}: {error}; its pictures: {names}. Look at them "
                f"and their boxes, or lower train.lr, which is {lr:g}; the best weights so far are in "
                f"{self.work / BEST}"
            ) from None
        for name, value in losses.items():
            state.sums[name] = state.sums.get(name, 0.0) + value
        state.num_summed += 1
        state.step = step + 1
        return losses

    def _end_epoch(self, step: int, recorder: Recorder, progress: TrainProgress) -> None:
        state, schedule = self.state, self.schedule
        figures = {name: total / state.num_summed for name, total in state.sums.items()}
        figures |= {
            "epoch": schedule.epoch(step) + 1, "lr": self.recipe.train.lr * schedule.lr_factor(step),
            "data_wait_share": self._wait_share(),
        }  # fmt: skip
        state.sums, state.num_summed = {}, 0
        state.done = state.step == schedule.num_steps
        judged = schedule.is_judged(step)
        if judged:
            scores = self._judge()
            self._compare(scores)
            progress.judged(schedule.epoch(step) + 1, figures["total"], scores)
            figures |= _named(scores)
        recorder.record(state.step, figures)
        if judged or time.monotonic() - self.saved_s > _SAVE_AT_MOST_EVERY_S:
            self._save()

    def _compare(self, scores: dict[str, float]) -> None:
        state, patience = self.state, self.recipe.train.patience
        if scores["ap"] >= state.best["ap"]:
            state.best, state.best_step, state.num_worse = scores, state.step, 0
            self._save_best()
        else:
            state.num_worse += 1
            state.done |= 0 < patience <= state.num_worse

    def _judge(self) -> dict[str, float]:
        return self.held_out.judge(self.learner.kept(), self.device)

    def _wait_share(self) -> float:
        return self.waited_s / max(self.waited_s + self.busy_s, 1e-9)

    def _report(self) -> None:
        write_report(self.work, self.recipe, self.train, self.held_out, self.loader, self.schedule)

    def _save_best(self) -> None:
        TrainedModel(
            self.learner.kept(), self.train.labels, self.recipe.model.input_wh, self.recipe.to_yaml(),
            self.state.best_step, self.state.best,
        ).save(self.work / BEST)  # fmt: skip

    def _save(self) -> None:
        schedule = {
            "num_steps": self.schedule.num_steps, "steps_per_epoch": self.schedule.steps_per_epoch,
            "eval_every": self.schedule.eval_every,
        }  # fmt: skip
        write_checkpoint(self.work / LAST, {
            "kind": "training", "identity": self.identity, "learner": self.learner.state(), "schedule": schedule,
            "state": vars(self.state),
        })  # fmt: skip
        self.saved_s = time.monotonic()


def _named(scores: dict[str, float]) -> dict[str, float]:
    # -1 stands for no truth of that size: not a figure.
    return {f"val_{name}": value for name, value in scores.items() if value >= 0}


def check_data(train: Dataset, val: Dataset) -> None:
    """Refuse data that nothing can be learnt from.

    Raises:
        SourceError: no pictures or no boxes in one of the two.
    """
    for name, dataset in (("training", train), ("held-out", val)):
        if not len(dataset):
            raise SourceError(f"there are no {name} pictures")
        if not sum(dataset.box_counts().values()):
            labels = ", ".join(dataset.labels) or "any class"
            raise SourceError(f"the {len(dataset)} {name} pictures hold no box of {labels}")


def pick_device(name: str) -> torch.device:
    """Choose where to train; `auto` takes a GPU where there is one.

    Raises:
        UsageError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device {name}: expected auto, cpu, cuda or cuda:1")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"--device {name}: PyTorch sees {torch.cuda.device_count()} GPUs here")
    return device


def new_detector(recipe: Recipe, labels: tuple[str, ...]) -> Detector:
    """Make a detector with random weights, the same ones for the same seed.

    Raises:
        ConfigError: an unknown size.
    """
    if recipe.model.size not in SIZES:
        raise ConfigError(f"model.size: unknown size '{recipe.model.size}'; expected one of {', '.join(SIZES)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.train.seed)
        return Detector(SIZES[recipe.model.size].with_classes(len(labels)))
