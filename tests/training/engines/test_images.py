"""Whatever people have can be compared on: labelled pictures, folders, recordings, a single picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.bundle import Bundle
from engine.errors import SourceError
from tests.training.engines.parts import SCENES, labelled, square_bundle, write_pictures
from training.dataset import Dataset
from training.engines.images import drawn_pictures, read_images
from training.formats import read_dataset, write_dataset

CLIP = Path(__file__).resolve().parents[3] / "replay_data" / "clips" / "gate.mp4"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return square_bundle(tmp_path_factory.mktemp("squares") / "bundle")


def names(place: Path, bundle: Bundle, limit: int = 100) -> list[str]:
    return [Path(one.name).name for one in read_images(place, bundle.root, limit).read()]


def test_a_folder_of_pictures_has_no_labels(bundle: Bundle, tmp_path: Path) -> None:
    images = read_images(write_pictures(tmp_path / "pictures"), bundle.root, 100)

    assert (images.num_images, images.truth) == (4, None)
    assert [one.picture.size_wh for one in images.read()] == [(128, 128)] * 4


def test_more_pictures_than_wanted_are_taken_evenly(bundle: Bundle, tmp_path: Path) -> None:
    place = write_pictures(tmp_path / "pictures", [SCENES[0]] * 9)

    assert names(place, bundle, 3) == ["000001.png", "000005.png", "000009.png"]


def test_a_data_set_has_a_truth_in_the_classes_of_the_model(bundle: Bundle, tmp_path: Path) -> None:
    data = read_dataset(labelled(tmp_path))
    more = Dataset(("cat", "Red", "blue"), data.relabelled(("cat", "red", "blue")).samples)
    write_dataset(more, tmp_path / "more", "coco")

    images = read_images(tmp_path / "more", bundle.root, 2)

    assert images.truth is not None
    assert {one["name"] for one in images.truth["categories"]} == {"Red", "blue"}
    assert [one["id"] for one in images.truth["images"]] == [one.image_id for one in images.read()]
    assert images.num_images == 2


def test_a_data_set_that_shares_no_class_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    data = read_dataset(labelled(tmp_path)).relabelled(None, {"red": "dog", "blue": "cat"})
    write_dataset(data, tmp_path / "animals", "coco")

    with pytest.raises(SourceError, match="knows none of the data's classes"):
        read_images(tmp_path / "animals", bundle.root, 9)


def test_frames_of_a_recording_are_taken_evenly(bundle: Bundle) -> None:
    taken = [int(name.rpartition(" ")[2]) for name in names(CLIP, bundle, 5)]

    assert len(taken) == 5
    assert taken[0] == 0
    assert np.ptp(np.diff(taken)) <= 1


def test_one_picture_will_do(bundle: Bundle, tmp_path: Path) -> None:
    place = write_pictures(tmp_path / "pictures") / "000002.png"

    assert names(place, bundle) == ["000002.png"]


def test_it_can_be_read_again(bundle: Bundle, tmp_path: Path) -> None:
    images = read_images(write_pictures(tmp_path / "pictures"), bundle.root, 100)

    assert [one.name for one in images.read()] == [one.name for one in images.read()]


def test_nothing_there(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere: no such file or folder"):
        read_images(tmp_path / "nowhere", bundle.root, 9)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"empty: holds neither recordings .* nor pictures"):
        read_images(tmp_path / "empty", bundle.root, 9)


def test_drawn_pictures_are_the_same_every_time_and_differ_from_one_another() -> None:
    one, two = drawn_pictures((64, 48), 3), drawn_pictures((64, 48), 3)

    assert [picture.shape for picture in one] == [(48, 64, 3)] * 3
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not np.array_equal(one[0], one[1])
