"""How much of a training step is waiting for pictures, and what half precision gives on a GPU.

    python -m tests.benchmarks.bench_training [DATA.yaml] [--size nano] [--batch-size 8] [--steps 30] [--rounds 5]

Steps with batches from the loader take turns with steps on batches that lie in memory: a busy moment of a shared
machine hits both. The ratio of the two rates is what loading leaves; its goal is 0.9 on two cores. Without DATA.yaml
it makes 200 pictures of 1280x720 and learns them at 416x416; every picture is varied as a recipe's defaults say.
On 2 cores: see RESULTS.md.
"""

from __future__ import annotations

# Before PyTorch, whose threads it tells how to wait.
import training  # noqa: F401

# isort: split
import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from training.dataset import Dataset, Sample
from training.learner import Learner
from training.loader import Batch, Loader
from training.loop import new_detector, pick_device
from training.recipe import DataPart, ModelChoice, Recipe, TrainSpec, load_recipe
from training.schedule import Schedule
from training.split import assemble


def write_pictures(folder: Path, count: int = 200, size_wh: tuple[int, int] = (1280, 720)) -> Dataset:
    """Write JPEGs that cost about as much to decode as photographs, with five boxes each."""
    rng = np.random.default_rng(0)
    samples = []
    for number in range(count):
        coarse = rng.integers(0, 255, (size_wh[1] // 16, size_wh[0] // 16, 3), np.uint8)
        bgr = cv2.resize(coarse, size_wh, interpolation=cv2.INTER_CUBIC)
        path = folder / f"{number:06}.jpg"
        cv2.imwrite(str(path), cv2.add(bgr, rng.integers(0, 20, bgr.shape, np.uint8)))
        corner = rng.uniform(0, 500, (5, 2))
        xyxy = np.concatenate([corner, corner + rng.uniform(30, 200, (5, 2))], axis=1).astype(np.float32)
        samples.append(Sample(path, size_wh, xyxy, np.zeros(5, np.intp), np.zeros(5, bool)))
    return Dataset(("thing",), tuple(samples))


class Bench:
    """One learner, and both kinds of batches."""

    def __init__(self, recipe: Recipe, dataset: Dataset, device: torch.device, amp: bool = True) -> None:
        self.device = device
        self.loader = Loader(recipe, dataset, pin=device.type == "cuda")
        per_epoch = max(len(dataset) // self.loader.batch_size, 1)
        self.schedule = Schedule(recipe.train, 10**9, per_epoch, 1)
        self.learner = Learner(new_detector(recipe, dataset.labels), recipe.train, device, amp)
        self.next_step = 0

    def loaded(self, num_steps: int) -> Iterator[Batch]:
        """Give batches as a run gets them."""
        steps = range(self.next_step, self.next_step + num_steps)
        self.next_step = steps.stop
        return self.loader.batches(self.schedule, steps)

    def time_steps(self, batches: Iterator[Batch], num_steps: int, num_before: int) -> tuple[float, float]:
        """Give steps a second, and the share of the time that was waiting for the next batch."""
        for batch in itertools.islice(batches, num_before):
            self.learner.step(batch, lr=1e-4)
        started_s = asked_s = time.perf_counter()
        waited_s = 0.0
        for batch in itertools.islice(batches, num_steps):
            waited_s += time.perf_counter() - asked_s
            # It ends with the losses on the CPU: a GPU has finished.
            self.learner.step(batch, lr=1e-4)
            asked_s = time.perf_counter()
        total_s = asked_s - started_s
        return num_steps / total_s, waited_s / total_s


def compare(bench: Bench, num_steps: int, num_rounds: int) -> dict[str, float]:
    """Interleave both kinds of batches."""
    kept = list(bench.loaded(8))
    # More than the workers prefetch: what was made while nobody trained must not count.
    before = 2 * 16 + 4 if bench.device.type == "cuda" else 6
    rounds = []
    for number in range(num_rounds):
        runs: list[Callable[[], tuple[float, float]]] = [
            lambda: bench.time_steps(bench.loaded(before + num_steps), num_steps, before),
            lambda: bench.time_steps(itertools.cycle(kept), num_steps, 2),
        ]
        order = (0, 1) if number % 2 else (1, 0)
        found = {which: runs[which]() for which in order}
        rounds.append((found[0][0], found[1][0], found[0][0] / found[1][0], found[0][1]))
    loaded, in_memory, ratio, waited = (statistics.median(column) for column in zip(*rounds, strict=True))
    return {
        "steps_per_s_loaded": round(loaded, 3),
        "steps_per_s_in_memory": round(in_memory, 3),
        "ratio": round(ratio, 3),
        "data_wait_share": round(waited, 4),
    }


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--size", default="nano")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    device = pick_device(options.device)
    spec = TrainSpec(batch_size=options.batch_size, workers=options.workers, multi_scale=0.0)
    with tempfile.TemporaryDirectory() as folder:
        if options.data is None:
            dataset = write_pictures(Path(folder))
            choice = ModelChoice(size=options.size)
            recipe = Recipe(name="bench", data=(DataPart(path=Path(folder)),), model=choice, train=spec)
        else:
            recipe = load_recipe(options.data).model_copy(update={"train": spec})
            dataset = assemble(recipe)[0]
        for amp in (True, False) if device.type == "cuda" else (False,):
            found = compare(Bench(recipe, dataset, device, amp), options.steps, options.rounds)
            name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
            print(json.dumps({
                "device": name, "amp": amp, "size": recipe.model.size, "batch_size": spec.batch_size,
                "pictures_per_s": round(found["steps_per_s_loaded"] * spec.batch_size, 1), **found,
            }), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
