from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from engine.errors import ConfigError, SourceError
from tests.training.photos import make_sample, patches, write_photo
from training.dataset import Dataset, Sample
from training.formats import write_dataset
from training.leakage import check_leakage, find_leaks
from training.recipe import Recipe, resolved
from training.split import assemble, gather, split, split_indices

BOX = (1.0, 2.0, 30.0, 40.0)


def footage(camera: str, times_s: Iterable[float | None], folder: Path = Path(), **fields: Any) -> list[Sample]:
    """Frames of a still scene, one for each camera and folder; they are files only where a folder is given."""
    samples = [
        make_sample(folder / camera / f"{number:06d}.jpg", BOX, camera=camera, time_s=time_s, **fields)
        for number, time_s in enumerate(times_s)
    ]
    for sample in samples if folder != Path() else ():
        write_photo(sample.path, int.from_bytes(f"{folder.name}{camera}".encode()[-8:], "big"))
    return samples


def dataset(*samples: Sample) -> Dataset:
    return Dataset(("person",), samples)


def times(found: Dataset, camera: str) -> list[float]:
    return [sample.time_s or 0.0 for sample in found.samples if sample.camera == camera]


@pytest.fixture
def photos(tmp_path: Path) -> list[Sample]:
    return [make_sample(write_photo(tmp_path / f"{seed}.jpg", seed), BOX) for seed in range(10)]


def test_the_last_part_of_every_recording_is_held_out_after_a_gap(tmp_path: Path) -> None:
    gate, dock = footage("gate", range(100), tmp_path), footage("dock", [t / 2 for t in range(40)], tmp_path)
    # Shuffled on disk: time decides, not the order of the labels.
    order = np.random.default_rng(1).permutation(140)
    train, val = split(dataset(*(np.array([*gate, *dock], object)[order])), 0.2, gap_s=2.5)
    assert sorted(times(val, "gate")) == list(range(80, 100))
    assert sorted(times(train, "gate")) == list(range(78))
    assert (min(times(val, "dock")), max(times(train, "dock"))) == (16.0, 15.0)
    check_leakage(train, val)


def test_recordings_of_one_camera_are_divided_each_by_its_own_clock(tmp_path: Path) -> None:
    days = [
        sample
        for day in ("mon", "tue")
        for sample in footage("gate", range(50), tmp_path / day, tags={"recording": day})
    ]
    train, val = split(dataset(*days), 0.2)
    assert times(val, "gate") == [*range(40, 50)] * 2
    check_leakage(train, val)


def test_without_times_the_order_of_names_counts() -> None:
    train, val = split(dataset(*footage("gate", [None] * 100)), 0.2)
    assert [sample.path.stem for sample in val.samples] == [f"{n:06d}" for n in range(80, 100)]
    assert [sample.path.stem for sample in train.samples] == [f"{n:06d}" for n in range(75)]


def test_many_cameras_are_held_out_whole_and_the_seed_decides_which() -> None:
    site = dataset(*(s for number in range(10) for s in footage(f"cam{number}", range(5 + number % 2))))
    held_out = []
    for seed in range(4):
        train, val = split(site, 0.2, seed)
        cameras = {sample.camera for sample in val.samples}
        assert len(cameras) == 2
        assert not cameras & {sample.camera for sample in train.samples}
        assert len(train) + len(val) == len(site)
        assert [a.tolist() for a in split_indices(site, 0.2, seed)] == [
            a.tolist() for a in split_indices(site, 0.2, seed)
        ]
        held_out.append(cameras)
    assert len(set(map(frozenset, held_out))) > 1


def test_photographs_that_look_alike_stay_together(tmp_path: Path, photos: list[Sample]) -> None:
    for seed in range(10):
        path = tmp_path / f"{seed}-again.jpg"
        assert cv2.imwrite(str(path), (patches(seed) * 0.8).astype(np.uint8))
        photos.append(make_sample(path, BOX))
    for seed in range(3):
        train, val = split(dataset(*photos), 0.3, seed)
        assert (len(train), len(val)) == (14, 6)
        sides = [{sample.path.stem.split("-")[0] for sample in part.samples} for part in (train, val)]
        assert not sides[0] & sides[1]
        check_leakage(train, val)
    assert split(dataset(*photos), 0.3, 1)[1].digest == split(dataset(*photos), 0.3, 1)[1].digest


def test_cameras_and_photographs_share_a_set(photos: list[Sample], tmp_path: Path) -> None:
    gate = [
        make_sample(write_photo(tmp_path / "gate" / f"{n}.jpg", 50), BOX, camera="gate", time_s=float(n))
        for n in range(50)
    ]
    train, val = split(dataset(*gate, *photos), 0.2)
    assert (len(times(val, "gate")), len(times(val, ""))) == (10, 2)
    # A still scene looks alike for hours, and even gives equal files: time alone decides.
    check_leakage(train, val)


@pytest.mark.parametrize(
    ("count", "says"),
    [
        (0, "0 labelled pictures cannot be divided"),
        (1, "1 labelled pictures cannot be divided into training and held-out"),
    ],
)
def test_too_few_pictures_are_refused(photos: list[Sample], count: int, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        split(dataset(*photos[:count]), 0.2)


def test_frames_without_a_camera_that_all_look_alike_ask_for_it(tmp_path: Path) -> None:
    frames = []
    for number in range(5):
        path = tmp_path / f"{number}.jpg"
        assert cv2.imwrite(str(path), (patches(7) * (0.8 + 0.05 * number)).astype(np.uint8))
        frames.append(make_sample(path, BOX))
    with pytest.raises(SourceError, match=r"all 5 pictures look alike, .* say so \(`camera:` in the recipe\)"):
        split(dataset(*frames), 0.2)


def test_single_frames_of_cameras_cannot_be_divided() -> None:
    with pytest.raises(SourceError, match=r"the 2 pictures are too few to hold some out"):
        split(dataset(*footage("gate", [0.0]), *footage("dock", [0.0])), 0.2)


def test_copies_and_pictures_that_look_alike_leak(tmp_path: Path, photos: list[Sample]) -> None:
    copy, darker = tmp_path / "copy.jpg", tmp_path / "darker.jpg"
    copy.write_bytes(photos[0].path.read_bytes())
    assert cv2.imwrite(str(darker), (patches(1) * 0.8).astype(np.uint8))
    val = dataset(make_sample(copy, BOX, camera="gate"), make_sample(darker, BOX), photos[9])
    with pytest.raises(
        SourceError,
        match=r"leak into training: .*copy.jpg is a copy of .*/0.jpg; .*darker.jpg looks like .*/1.jpg; remove",
    ):
        check_leakage(dataset(*photos[:9]), val)
    assert find_leaks(dataset(*photos[:9]), dataset(photos[9])) == []


def test_plain_pictures_leak_only_as_copies(tmp_path: Path) -> None:
    samples = []
    for number, level in enumerate((10, 10, 90)):
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((48, 64, 3), level, np.uint8))
        samples.append(make_sample(tmp_path / f"{number}.png", BOX))
    assert find_leaks(dataset(samples[0]), dataset(samples[2])) == []
    assert len(find_leaks(dataset(samples[0]), dataset(samples[1]))) == 1
    with pytest.raises(SourceError, match="look alike"):
        split(dataset(*samples[:2]), 0.5)


def test_frames_between_frames_leak(tmp_path: Path) -> None:
    frames = footage("gate", [t / 10 for t in range(400)], tmp_path)
    with pytest.raises(
        SourceError, match=r"000001.jpg \(camera 'gate'\) was taken 0.10 s from .*000000.jpg; .*; and 197 more; remove"
    ):
        check_leakage(dataset(*frames[::2]), dataset(*frames[1::2]))
    check_leakage(dataset(*frames[:200], *frames[300:]), dataset(*frames[210:291]))
    with pytest.raises(SourceError, match=r"000209.jpg \(camera 'gate'\) was taken 0.90 s from"):
        check_leakage(dataset(*frames[:201]), dataset(*frames[209:]))


def test_frames_without_times_leak_when_they_change_sides_often(tmp_path: Path) -> None:
    frames = footage("gate", [None] * 9, tmp_path)
    for number, frame in enumerate(frames):
        write_photo(frame.path, number)
    check_leakage(dataset(*frames[:3], *frames[6:]), dataset(*frames[3:6]))
    with pytest.raises(SourceError, match=r"lies between frames for training such as"):
        check_leakage(dataset(*frames[::2]), dataset(*frames[1::2]))


def make_recipe(folder: Path, *parts: dict[str, Any], **fields: Any) -> Recipe:
    return resolved(Recipe.model_validate({"name": "street", "data": parts, **fields}), folder)


def test_a_recipe_puts_its_parts_together(tmp_path: Path, photos: list[Sample]) -> None:
    write_dataset(dataset(*photos), tmp_path / "photos", "coco")
    gate = [make_sample(write_photo(tmp_path / "in" / f"{n}.jpg", 20 + n), BOX, class_id=n % 2) for n in range(4)]
    write_dataset(Dataset(("dog", "man"), tuple(gate)), tmp_path / "gate", "label_studio")
    recipe = make_recipe(
        tmp_path,
        {"path": "photos", "licence": "CC0-1.0", "source": "our own", "tags": {"light": "day"}, "repeat": 2},
        {"path": "gate", "camera": "gate", "role": "train", "name": "Gate"},
        rename={"man": "person", "dog": None},
    )
    train, val = assemble(recipe)
    assert train.labels == val.labels == ("person",)
    assert (len(train), len({s.path for s in train.samples}), len(val)) == (8 * 2 + 4, 8 + 4, 2)
    assert [(s.camera, s.tags, len(s.xyxy)) for s in train.samples if s.camera] == [
        ("gate", {}, n % 2) for n in range(4)
    ]
    assert {s.tags["light"] for s in val.samples} == {"day"}
    assert [(s.name, s.format, s.licence, s.source, s.num_images, s.num_boxes) for s in train.sources] == [
        ("photos", "coco", "CC0-1.0", "our own", 8, 8),
        ("Gate", "label_studio", "", "", 4, 2),
    ]
    assert [(s.name, s.num_images, s.num_boxes) for s in val.sources] == [("photos", 2, 2)]
    assert val.sources[0].digest == train.sources[0].digest
    assert len({s.digest for s in train.sources} - {""}) == 2
    again = assemble(recipe)
    assert [part.digest for part in again] == [train.digest, val.digest]
    pixel = tmp_path / "gate" / "images" / "0.jpg"
    write_photo(pixel, 99)
    assert [s.digest for s in assemble(recipe)[0].sources] != [s.digest for s in train.sources]


def test_data_that_is_split_already_stays_so_unless_a_role_says_otherwise(tmp_path: Path, photos: list[Sample]) -> None:
    write_dataset({"train": dataset(*photos[:7]), "val": dataset(*photos[7:])}, tmp_path / "set", "yolo")
    train, val = assemble(make_recipe(tmp_path, {"path": "set/data.yaml"}))
    assert (len(train), len(val)) == (7, 3)
    write_dataset(dataset(*photos[:2]), tmp_path / "more", "coco")
    with pytest.raises(
        SourceError, match=r"leak into training: .*more/images/0.jpg is a copy of .*set/images/train/0.jpg"
    ):
        assemble(make_recipe(tmp_path, {"path": "set/data.yaml", "role": "train"}, {"path": "more", "role": "val"}))


def test_recipes_that_cannot_be_meant_are_refused(tmp_path: Path, photos: list[Sample]) -> None:
    write_dataset(dataset(*photos), tmp_path / "set", "coco")
    with pytest.raises(ConfigError, match=r"recipe 'street': data: nothing has role val or auto"):
        assemble(make_recipe(tmp_path, {"path": "set", "role": "train"}))
    with pytest.raises(ConfigError, match=r"recipe 'street': data: nothing has role train or auto"):
        assemble(make_recipe(tmp_path, {"path": "set", "role": "val"}))
    with pytest.raises(ConfigError, match=r"labels: no data has the class 'persn' \(did you mean 'person'\?\)"):
        assemble(make_recipe(tmp_path, {"path": "set"}, labels=["persn"]))
    with pytest.raises(SourceError, match=r"recipe 'street': none of the 8 training pictures has a box to find"):
        assemble(make_recipe(tmp_path, {"path": "set"}, rename={"person": None}))
    (tmp_path / "set" / "images" / "0.jpg").unlink()
    with pytest.raises(
        SourceError, match=r"images\[0\]: no picture '0.jpg' .* \(`vedette data check .*set` lists them\)"
    ):
        assemble(make_recipe(tmp_path, {"path": "set"}))


def test_a_first_look_at_a_recipe_goes_on_where_training_would_stop(tmp_path: Path, photos: list[Sample]) -> None:
    write_dataset(dataset(*photos), tmp_path / "set", "coco")
    (tmp_path / "set" / "images" / "0.jpg").unlink()
    reading = gather(make_recipe(tmp_path, {"path": "set"}))
    assert {part: len(found) for part, found in reading.parts.items()} == {"train": 7, "val": 2}
    assert [problem.kind for problem in reading.problems] == ["missing_image"]
    reading = gather(make_recipe(tmp_path, {"path": "set", "role": "train"}))
    assert {part: len(found) for part, found in reading.parts.items()} == {"": 9}
    assert [problem.kind for problem in reading.problems] == ["missing_image", "bad_split"]
