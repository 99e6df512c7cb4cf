"""The training set of random scenes: the same on every run, exact labels, never a scene that is replayed."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

ROOM = Path(__file__).resolve().parents[2] / "replay_data"
EAST = np.pi / 2


@dataclasses.dataclass
class Room:
    training_set: ModuleType
    random_scenes: ModuleType
    scenes: ModuleType
    truth: ModuleType
    world: ModuleType


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    """The scripts; they import one another by bare name, so their folder is on the path only while they load."""
    sys.path.insert(0, str(ROOM))
    try:
        yield Room(**{field.name: importlib.import_module(field.name) for field in dataclasses.fields(Room)})
    finally:
        sys.path.remove(str(ROOM))


@pytest.fixture(scope="module")
def written(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    room.training_set.write_dataset(folder, seed=5, num_frames=10)
    return folder


def read(folder: Path) -> dict[str, Any]:
    labels: dict[str, Any] = json.loads((folder / "labels.json").read_text())
    return labels


def scene_of(room: Room, *actors: Any, parked: tuple[Any, ...] = ()) -> Any:
    """The gate without its people: these instead."""
    return dataclasses.replace(room.scenes.SCENES["gate"](), actors=actors, parked=parked, blocks=())


def boxes(room: Room, scene: Any) -> list[tuple[str, tuple[float, float, float, float], float]]:
    return list(room.training_set.boxes(room.truth.Play(scene), 0))


def still(room: Room, x: float, z: float) -> Any:
    """Stand with the face to the right."""
    return room.world.Route(((x, z), (x + 3, z)), 0.1)


def test_the_same_seed_gives_the_same_files(room: Room, written: Path, tmp_path: Path) -> None:
    room.training_set.write_dataset(tmp_path, seed=5, num_frames=2)

    for image in read(tmp_path)["images"]:
        name = f"images/{image['file_name']}"
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes()
    assert read(tmp_path)["annotations"] == [a for a in read(written)["annotations"] if a["image_id"] <= 2]


def test_another_seed_gives_other_scenes(room: Room) -> None:
    assert room.random_scenes.random_scene(5, 0) != room.random_scenes.random_scene(6, 0)


def test_pictures_and_labels_fit(room: Room, written: Path) -> None:
    labels = read(written)
    assert [c["name"] for c in labels["categories"]] == ["person", "bicycle", "car", "motorcycle", "bus", "truck"]
    assert [c["id"] for c in labels["categories"]] == list(range(6))
    assert len(labels["images"]) == len(list((written / "images").iterdir())) == 10
    assert len({image["camera"] for image in labels["images"]}) == 2
    for image in labels["images"]:
        bgr = cv2.imread(str(written / "images" / image["file_name"]))
        assert bgr is not None
        assert bgr.shape == (image["height"], image["width"], 3)
        assert image["tags"]["light"] in ("day", "dusk", "night", "indoor")
        assert 0 <= image["time_s"] < room.random_scenes.DURATION_S
    assert len(labels["annotations"]) > 20
    for box in labels["annotations"]:
        x, y, width, height = box["bbox"]
        assert 0 <= x < x + width <= 640.01
        assert 0 <= y < y + height <= 360.01
        assert box["iscrowd"] in (0, 1)


def test_no_scene_is_one_that_is_replayed(room: Room) -> None:
    replayed = [make().view for make in room.scenes.SCENES.values()]
    assert all(room.random_scenes.random_scene(1, index).view not in replayed for index in range(20))


@pytest.mark.parametrize("light", ["day", "dusk", "night", "indoor"])
def test_every_light_occurs(room: Room, light: str) -> None:
    scenes = [room.random_scenes.random_scene(1, index) for index in range(30)]
    assert light in {room.random_scenes.light_of(scene) for scene in scenes}


def test_a_cyclist_is_a_person_on_a_bicycle(room: Room) -> None:
    rider = room.scenes.Cyclist(room.scenes.ALEX)
    (bicycle, person) = boxes(room, scene_of(room, (rider, still(room, 0, 15))))

    assert (bicycle[0], person[0]) == ("bicycle", "person")
    assert person[1][1] < bicycle[1][1]
    assert bicycle[1][3] > person[1][3]


def test_a_parked_car_is_a_car(room: Room) -> None:
    car = room.scenes.Vehicle("sedan", (60, 60, 160))
    state = room.world.State(0.0, 15.0, EAST, 0.0, 0.0)
    assert [label for label, _, _ in boxes(room, scene_of(room, parked=((car, state),)))] == ["car"]


def test_a_bus_is_a_bus(room: Room) -> None:
    bus = room.scenes.Vehicle("bus", (60, 170, 214))
    (label, (x1, y1, x2, y2), _) = boxes(room, scene_of(room, (bus, still(room, 0, 22))))[0]
    assert label == "bus"
    assert x2 - x1 > 3 * (y2 - y1)


def test_who_is_hidden_shows_less_and_who_is_gone_is_left_out(room: Room) -> None:
    truck = (room.scenes.Vehicle("truck", (150, 84, 36)), still(room, 0, 12))
    found = boxes(
        room, scene_of(room, truck, (room.scenes.ALEX, still(room, 0, 14)), (room.scenes.BRIT, still(room, 3.3, 14)))
    )
    visibility = {label: share for label, _, share in found}

    assert len(found) == 2
    assert visibility["truck"] == 1.0
    assert 0.1 <= visibility["person"] < 1.0
