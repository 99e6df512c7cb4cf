from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from engine.errors import SourceError
from engine.picture import Letterbox, Picture
from tests.training.labelled import rectangles
from tests.training.runs import recipe
from training.dataset import Dataset, Example
from training.loader import Batch, Loader, collate, default_workers
from training.picture_cache import PictureCache
from training.schedule import Schedule, schedule_of_epochs

PLAIN = dict.fromkeys(("flip", "mosaic", "mixup", "geometry", "colour", "cutout"), 0.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return rectangles(tmp_path_factory.mktemp("pictures"), 10, (96, 64))


def schedule(dataset: Dataset, loader: Loader, epochs: int = 4) -> Schedule:
    spec = recipe(epochs=epochs).train
    return schedule_of_epochs(spec, len(dataset), loader.batch_size)


def same(a: Batch, b: Batch) -> bool:
    columns = ("images", "xyxy", "class_id", "ignore")
    return all(torch.equal(getattr(a, c), getattr(b, c)) for c in columns) and a.counts == b.counts


def test_an_epoch_shows_each_picture_at_most_once_in_an_order_of_its_own(dataset: Dataset) -> None:
    loader = Loader(recipe(), dataset)
    made = schedule(dataset, loader)
    epochs = [[d.sample for s in range(e * 3, e * 3 + 3) for d in loader.draws(made, s)] for e in range(4)]

    assert made.steps_per_epoch == 3
    assert [len(set(epoch)) for epoch in epochs] == [9, 9, 9, 9]
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert {index for epoch in epochs for index in epoch} == set(range(10))


def test_fewer_pictures_than_a_batch_are_one_batch(dataset: Dataset) -> None:
    loader = Loader(recipe(batch_size=64), dataset)

    assert loader.batch_size == 10
    assert [len(draws) for draws in (loader.draws(schedule(dataset, loader), step) for step in range(3))] == [10] * 3


def test_a_batch_depends_on_its_step_alone(dataset: Dataset) -> None:
    loader = Loader(recipe(), dataset)
    made = schedule(dataset, loader)
    all_at_once = list(loader.batches(made, range(12)))
    later = list(Loader(recipe(workers=2), dataset).batches(made, range(7, 12)))

    assert all(map(same, all_at_once[7:], later))
    assert not same(all_at_once[6], all_at_once[7])
    other_seed = Loader(recipe(seed=1), dataset)
    assert not same(all_at_once[0], next(other_seed.batches(made, [0])))


def test_without_augmentation_the_network_sees_what_it_will_see_live(dataset: Dataset) -> None:
    what = recipe(PLAIN)
    loader = Loader(what, dataset)
    made = schedule(dataset, loader)
    step = made.num_steps - 1
    batch = next(loader.batches(made, [step]))

    live = Letterbox((64, 64))
    for row, index in enumerate(batch.indices):
        sample = dataset.samples[index]
        picture = Picture.read(sample.path)
        assert np.array_equal(batch.inputs(torch.device("cpu"))[row].numpy(), picture.letterbox(live))
        target = batch.targets(torch.device("cpu"))[row]
        back = live.geometry(sample.size_wh).to_source(target.xyxy.numpy())
        assert back == pytest.approx(sample.xyxy, abs=0.01)
        assert target.class_id.tolist() == sample.class_id.tolist()


def test_pictures_without_boxes_keep_their_place() -> None:
    def example(value: int, count: int) -> Example:
        boxes = np.full((count, 4), value, np.float32)
        return Example(np.full((32, 64, 3), value, np.uint8), boxes, np.full(count, value), np.ones(count, bool))

    batch = collate([(7, example(1, 2)), (8, example(2, 0)), (9, example(3, 1))])
    targets = batch.targets(torch.device("cpu"))

    assert batch.indices == [7, 8, 9]
    assert [target.xyxy.tolist() for target in targets] == [[[1.0] * 4] * 2, [], [[3.0] * 4]]
    assert [target.class_id.tolist() for target in targets] == [[1, 1], [], [3]]
    images = batch.inputs(torch.device("cpu"))
    assert images.shape == (3, 3, 32, 64)
    assert images.dtype == torch.float32
    assert images[:, 0, 0, 0].tolist() == [1.0, 2.0, 3.0]
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_the_cache_gives_the_pixels_of_the_file_once_and_again(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "copy.png"
    path.write_bytes(dataset.samples[0].path.read_bytes())
    cache = PictureCache([replace(dataset.samples[0], path=path)], (96, 96))
    first = cache.read(0)
    path.unlink()

    assert np.array_equal(cache.read(0).bgr, first.bgr)
    assert np.array_equal(first.bgr, dataset.samples[0].read().bgr)
    assert np.array_equal(first.xyxy, dataset.samples[0].xyxy)


def test_the_cache_shrinks_what_is_larger_than_needed(dataset: Dataset) -> None:
    cache = PictureCache(dataset.samples, (48, 48))
    example = cache.read(3)

    assert example.size_wh == (48, 32)
    assert np.array_equal(example.bgr, Picture.read(dataset.samples[3].path).bgr((48, 32)))
    assert example.xyxy == pytest.approx(dataset.samples[3].xyxy / 2)


def test_the_cache_has_a_limit_and_repeated_pictures_one_place(dataset: Dataset, tmp_path: Path) -> None:
    size = 96 * 64 * 3
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(dataset.samples[number].path.read_bytes())
    first, second, third = (replace(s, path=p) for s, p in zip(dataset.samples, paths, strict=False))
    cache = PictureCache([first, first, second, third], (96, 96), limit_bytes=2 * size + 4)
    for index in range(4):
        cache.read(index)
    for path in paths:
        path.unlink()

    assert np.array_equal(cache.read(0).bgr, cache.read(1).bgr)
    assert np.array_equal(cache.read(2).bgr, dataset.samples[1].read().bgr)
    with pytest.raises(SourceError, match=r"2\.png: no such image file"):
        cache.read(3)


def test_workers_share_what_they_have_decoded(dataset: Dataset, tmp_path: Path) -> None:
    samples = []
    for number, sample in enumerate(dataset.samples):
        path = tmp_path / f"{number}.png"
        path.write_bytes(sample.path.read_bytes())
        samples.append(replace(sample, path=path))
    copied = replace(dataset, samples=tuple(samples))
    loader = Loader(recipe(workers=2, batch_size=10), copied)
    made = schedule(copied, loader)
    before = list(loader.batches(made, range(2)))
    for sample in samples:
        sample.path.unlink()

    assert all(map(same, before, loader.batches(made, range(2))))


def test_a_picture_of_another_size_than_its_labels_is_named(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "other.png"
    cv2.imwrite(str(path), np.zeros((20, 30, 3), np.uint8))
    broken = replace(dataset, samples=(replace(dataset.samples[0], path=path),) * 4)
    for workers in (0, 1):
        loader = Loader(recipe(workers=workers), broken)
        with pytest.raises(SourceError, match=r"^\S*other\.png: the picture is 30x20, its labels were made for 96x64"):
            list(loader.batches(schedule(broken, loader), [0]))


def workers_of(loader: Loader) -> list[int]:
    return [worker.pid for worker in loader._workers._workers]


def test_the_workers_end_with_it(dataset: Dataset) -> None:
    with Loader(recipe(workers=2), dataset) as loader:
        pids = workers_of(loader)
        batches = loader.batches(schedule(dataset, loader), range(12))
        next(batches)

    assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_worker_that_dies_is_an_error_and_no_waiting(dataset: Dataset) -> None:
    loader = Loader(recipe(workers=1), dataset)
    batches = loader.batches(schedule(dataset, loader), range(12))
    next(batches)
    died = pytest.raises(SourceError, match=r"a process that reads pictures died \(.*\); go on with --resume")
    with died, loader:
        os.kill(workers_of(loader)[0], signal.SIGKILL)
        list(batches)


def test_other_errors_are_left_as_they_are(dataset: Dataset) -> None:
    with pytest.raises(RuntimeError, match=r"^out of memory$"), Loader(recipe(), dataset):
        raise RuntimeError("out of memory")


def test_workers_leave_stopping_to_the_loop(dataset: Dataset) -> None:
    loader = Loader(recipe(workers=1), dataset)
    batches = loader.batches(schedule(dataset, loader), range(12))
    next(batches)

    # A terminal sends Ctrl-C to the group of its foreground process.
    assert os.getpgid(workers_of(loader)[0]) != os.getpgid(0)


def test_the_same_workers_make_the_next_batches(dataset: Dataset) -> None:
    loader = Loader(recipe(workers=1), dataset)
    made = schedule(dataset, loader)
    first = workers_of(loader)
    begun = loader.batches(made, range(12))
    next(begun)
    second = list(loader.batches(made, range(5, 7)))

    assert workers_of(loader) == first
    assert all(map(same, second, Loader(recipe(), dataset).batches(made, range(5, 7))))


def test_the_number_of_workers_follows_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, on_cpu, with_gpu in ((1, 1, 1), (2, 1, 1), (8, 1, 6), (16, 2, 14), (64, 10, 16)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)))
        assert (default_workers(False), default_workers(True)) == (on_cpu, with_gpu)
