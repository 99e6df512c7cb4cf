"""The replay clips are what their truth, their manifest and their configuration say."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import importlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

ROOM = Path(__file__).resolve().parents[2] / "replay_data"
CAMERAS = ("gate", "street", "yard", "dusk")
FPS = 12.5
SIZE_WH = (640, 360)
ROW = ("frame", "id", "left", "top", "width", "height", "conf", "class", "visibility")
CLASSES = {"person": 1, "bicycle": 2, "car": 3, "truck": 3}


@pytest.fixture(scope="module")
def room() -> Iterator[Any]:
    """The render script with its siblings; they are scripts, so their folder is on the path only while they load."""
    sys.path.insert(0, str(ROOM))
    try:
        yield importlib.import_module("render")
    finally:
        sys.path.remove(str(ROOM))


@pytest.fixture(scope="module")
def plays(room: Any) -> dict[str, Any]:
    return {camera: room.Play(room.SCENES[camera]()) for camera in CAMERAS}


@pytest.fixture(scope="module")
def stages(room: Any, plays: dict[str, Any]) -> dict[str, Any]:
    return {camera: room.Stage(plays[camera].scene, plays[camera]) for camera in CAMERAS}


def read_gt(camera: str) -> list[dict[str, float]]:
    with (ROOM / "truth" / camera / "gt.txt").open() as file:
        return [dict(zip(ROW, map(float, row), strict=True)) for row in csv.reader(file)]


def read_events(camera: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ROOM / "truth" / camera / "events.jsonl").read_text().splitlines()]


def foot(row: dict[str, float]) -> tuple[float, float]:
    return (row["left"] - 1 + row["width"] / 2) / SIZE_WH[0], (row["top"] - 1 + row["height"]) / SIZE_WH[1]


def decode(camera: str) -> list[NDArray[np.uint8]]:
    """Luma of every frame."""
    with av.open(str(ROOM / "clips" / f"{camera}.mp4")) as container:
        return [np.asarray(frame.to_ndarray(format="gray"), np.uint8) for frame in container.decode(video=0)]


@pytest.mark.parametrize("camera", ["gate", "dusk"])
def test_two_renderings_have_the_same_pixels(room: Any, stages: dict[str, Any], camera: str) -> None:
    def digest(stage: Any) -> str:
        return hashlib.sha256(b"".join(stage.frame(index).tobytes() for index in range(4))).hexdigest()

    assert digest(room.Stage(room.SCENES[camera]())) == digest(stages[camera])


def test_a_frame_is_the_same_whatever_was_rendered_before(stages: dict[str, Any]) -> None:
    once = stages["yard"].frame(100)
    stages["yard"].frame(3)
    assert np.array_equal(once, stages["yard"].frame(100))


def test_two_computations_of_the_truth_agree(room: Any, plays: dict[str, Any]) -> None:
    again = room.Play(room.SCENES["yard"]())
    assert room.truth_texts(again) == room.truth_texts(plays["yard"])


@pytest.mark.parametrize("camera", CAMERAS)
def test_the_committed_truth_is_the_computed_one(room: Any, plays: dict[str, Any], camera: str) -> None:
    for name, text in room.truth_texts(plays[camera]).items():
        assert (ROOM / name).read_text() == text, f"{name} is stale: run replay_data/render.py"


@pytest.mark.parametrize("name", ["site.yaml", "detect.yaml"])
def test_the_configurations_have_the_geometry_of_the_scenes(room: Any, name: str) -> None:
    scenes = [room.SCENES[camera]() for camera in CAMERAS]
    assert (ROOM / name).read_text() == room.site_text(scenes, room.CONFIGURATIONS[name])
    site = yaml.safe_load((ROOM / name).read_text())
    assert site["cameras"] == {camera: {"url": f"clips/{camera}.mp4"} for camera in CAMERAS}
    steps = [(kind, options) for step in site["pipeline"] for kind, options in step.items()]
    lines = {(o["cameras"][0], o["name"]): o["line"] for kind, o in steps if kind == "line_count"}
    zones = {(o["cameras"][0], o["name"]): (o["polygon"], o["dwell_s"]) for kind, o in steps if kind == "zone"}
    assert lines == {(s.name, line.name): [list(line.a), list(line.b)] for s in scenes for line in s.lines}
    assert zones == {(s.name, z.name): ([list(p) for p in z.polygon], z.dwell_s) for s in scenes for z in s.zones}


def test_the_manifest_has_the_hash_of_every_file(room: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert room.main(["--check"]) == 0
    assert capsys.readouterr().out == "all files match the manifest\n"
    manifest = json.loads((ROOM / "MANIFEST.json").read_text())
    listed = {name for camera in manifest["cameras"].values() for name in camera["files"]}
    present = {p.relative_to(ROOM).as_posix() for folder in ("clips", "truth") for p in (ROOM / folder).rglob("*.*")}
    assert listed == present
    assert set(manifest["rendered_with"]) == {"av", "cv2", "numpy"}


def test_check_names_what_differs(room: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "MANIFEST.json").write_text((ROOM / "MANIFEST.json").read_text())
    for name in json.loads((ROOM / "MANIFEST.json").read_text())["cameras"]["gate"]["files"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOM / name).read_bytes())
    (tmp_path / "truth/gate/gt.txt").write_text("1,1,1,1,1,1,1,1,1\n")

    assert room.main(["--check", "--out", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "truth/gate/gt.txt: differs from the manifest" in lines
    assert "clips/gate.mp4: differs from the manifest" not in lines
    assert "clips/dusk.mp4: missing" in lines


@pytest.mark.parametrize("camera", CAMERAS)
def test_clips_are_small_and_have_the_stated_frames_and_no_b_frames(camera: str) -> None:
    path = ROOM / "clips" / f"{camera}.mp4"
    assert path.stat().st_size < 1_000_000
    entry = json.loads((ROOM / "MANIFEST.json").read_text())["cameras"][camera]
    info = (ROOM / "truth" / camera / "seqinfo.ini").read_text()
    assert f"seqLength={entry['frames']}\n" in info
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.profile) == ("h264", "Main")
        assert (stream.width, stream.height) == tuple(entry["size_wh"]) == SIZE_WH
        assert stream.average_rate == Fraction(entry["fps"]) == Fraction(25, 2)
        packets = [packet for packet in container.demux(stream) if packet.size]
        times = [float(packet.pts * packet.time_base) for packet in packets if packet.pts is not None]
        assert all(packet.pts == packet.dts for packet in packets)
        assert [i for i, packet in enumerate(packets) if packet.is_keyframe] == list(range(0, entry["frames"], 25))
    assert times == pytest.approx([index / FPS for index in range(entry["frames"])])
    assert len(decode(camera)) == entry["frames"]


@pytest.mark.parametrize("camera", CAMERAS)
def test_boxes_lie_in_the_frame_and_every_id_is_one_object(camera: str) -> None:
    rows = read_gt(camera)
    keys = [(row["frame"], row["id"]) for row in rows]
    assert keys == sorted(set(keys))
    for row in rows:
        assert 1 <= row["left"] <= row["left"] + row["width"] <= SIZE_WH[0] + 1.01
        assert 1 <= row["top"] <= row["top"] + row["height"] <= SIZE_WH[1] + 1.01
        assert min(row["width"], row["height"]) > 0
        assert 0 <= row["visibility"] <= 1
        assert row["conf"] == 1
    tracks: dict[float, list[dict[str, float]]] = {}
    for row in rows:
        tracks.setdefault(row["id"], []).append(row)
    assert sorted(tracks) == list(range(1, len(tracks) + 1))
    for track in tracks.values():
        frames = [row["frame"] for row in track]
        assert frames == list(range(int(frames[0]), int(frames[-1]) + 1))
        assert len({row["class"] for row in track}) == 1
        assert min(track[0]["visibility"], track[-1]["visibility"]) >= 0.1


@pytest.mark.parametrize("camera", CAMERAS)
def test_somebody_is_there_at_the_first_and_at_the_last_frame(plays: dict[str, Any], camera: str) -> None:
    frames = Counter(row["frame"] for row in read_gt(camera))
    assert frames[1] > 0
    assert frames[plays[camera].scene.num_frames] > 0


@pytest.mark.parametrize("camera", ["gate", "street", "dusk"])
def test_every_crossing_is_a_step_of_the_boxes_over_the_line(plays: dict[str, Any], camera: str) -> None:
    rows = {(int(row["frame"]) - 1, int(row["id"])): row for row in read_gt(camera)}
    lines = {line.name: line for line in plays[camera].scene.lines}

    def sides(event: dict[str, Any]) -> list[float]:
        (ax, ay), (bx, by) = lines[event["line"]["name"]].a, lines[event["line"]["name"]].b
        frame, track_id = round(event["pts_s"] * FPS), event["object"]["track_id"]
        feet = [foot(rows[frame + step, track_id]) for step in (-10, -1, 0, 10)]
        return [(bx - ax) * (y - ay) - (by - ay) * (x - ax) for x, y in feet]

    crossings = [event for event in read_events(camera) if event["type"] == "line.crossed"]
    assert {event["line"]["direction"] for event in crossings} == {"in", "out"}
    for event in crossings:
        sign = 1 if event["line"]["direction"] == "in" else -1
        assert [np.sign(side) for side in sides(event)] == [-sign, -sign, sign, sign]
        class_id = rows[round(event["pts_s"] * FPS), event["object"]["track_id"]]["class"]
        assert CLASSES[event["object"]["class"]] == class_id
    # Nobody wavers on a line: each object crosses it once.
    assert max(Counter(event["object"]["track_id"] for event in crossings).values()) == 1


def test_who_turns_back_at_the_gate_is_not_counted(plays: dict[str, Any]) -> None:
    line = plays["gate"].scene.lines[0]
    crossed = {event["object"]["track_id"] for event in read_events("gate")}
    tracks = plays["gate"].tracks
    turned = set(tracks) - crossed
    assert len(turned) == 1
    feet = [sighting.foot for sighting in tracks[turned.pop()].values()]
    margin = min((y - line.a[1]) * SIZE_WH[1] for x, y in feet)
    assert 8 < margin < 30


@pytest.mark.parametrize("camera", ["yard", "dusk"])
def test_stays_in_a_zone_are_told_in_order(camera: str) -> None:
    stays: dict[int, list[tuple[str, float]]] = {}
    for event in read_events(camera):
        if event["type"].startswith("zone."):
            stays.setdefault(event["object"]["track_id"], []).append((event["type"], event["pts_s"]))
    num_dwelled = 0
    for told in stays.values():
        kinds = [kind.removeprefix("zone.") for kind, _ in told]
        assert kinds in (["entered", "exited"], ["entered", "dwelled", "exited"], ["entered", "dwelled"], ["entered"])
        times = dict(zip(kinds, (pts_s for _, pts_s in told), strict=True))
        if "dwelled" in times:
            num_dwelled += 1
            assert times["dwelled"] - times["entered"] == pytest.approx(5.0, abs=1 / FPS)
        elif "exited" in times:
            assert times["exited"] - times["entered"] < 4.5
    assert num_dwelled >= 2


def test_who_leaves_the_scene_inside_a_zone_has_exited(room: Any) -> None:
    """No clip holds such a case: a zone over half of the gate's picture, which people leave at the lower edge."""
    scenes, truth = importlib.import_module("scenes"), importlib.import_module("truth")
    scene = room.SCENES["gate"]()
    below = scenes.Zone("below", ((0.0, 0.7), (1.0, 0.7), (1.0, 2.0), (0.0, 2.0)), 60.0)
    play = room.Play(dataclasses.replace(scene, zones=(below,), lines=(), actors=scene.actors[:2]))
    told = [(e["type"], e["object"]["track_id"]) for e in truth.events(play)]
    assert told == [("zone.entered", 1), ("zone.exited", 1), ("zone.entered", 2), ("zone.exited", 2)]
    assert truth.events(play)[0]["pts_s"] == 0.0
    assert truth.events(play)[-1]["pts_s"] == max(play.tracks[2]) / FPS


@pytest.mark.parametrize(
    ("step", "direction"),
    [
        pytest.param(((0.5, 0.4), (0.5, 0.6)), "in", id="down-over-a-line-to-the-right"),
        pytest.param(((0.5, 0.6), (0.5, 0.4)), "out", id="up"),
        pytest.param(((0.1, 0.4), (0.1, 0.6)), None, id="beside-the-segment"),
        pytest.param(((0.5, 0.4), (0.6, 0.49)), None, id="short-of-it"),
    ],
)
def test_the_side_of_a_line(room: Any, step: tuple[Any, Any], direction: str | None) -> None:
    truth = importlib.import_module("truth")
    assert truth.crossing((0.2, 0.5), (0.8, 0.5), *step) == direction


@pytest.mark.parametrize("camera", CAMERAS)
def test_boxes_are_where_the_picture_changes(stages: dict[str, Any], camera: str) -> None:
    empty = cv2.cvtColor(stages[camera].backdrop.astype(np.uint8), cv2.COLOR_BGR2GRAY).astype(np.float32)
    frames, gt = decode(camera), read_gt(camera)
    inside: dict[int, list[float]] = {-1: [], 0: [], 1: []}
    beside, nowhere = [], []
    for index in range(5, len(frames) - 1, 9):
        change = np.abs(frames[index] - empty)
        free = np.ones(change.shape, bool)
        for late in inside:
            for x1, y1, x2, y2 in boxes_in_the_clear(gt, index + late):
                inside[late].append(float(change[y1:y2, x1:x2].mean()))
                if late == 0:
                    beside.append(float(change[y1:y2, 2 * x1 - x2 : x1].mean()))
        for x1, y1, x2, y2 in (corners(row) for row in gt if row["frame"] == index + 1):
            free[max(y1 - 25, 0) : y2 + 25, max(x1 - 60, 0) : x2 + 60] = False
        nowhere.append(float(change[free].mean()))

    assert len(inside[0]) > 60
    assert np.mean(inside[0]) > 5 * np.mean(nowhere)
    assert np.mean(inside[0]) > 2.5 * np.mean(beside)
    assert min(inside[0]) > 2 * np.mean(nowhere)
    # One frame early or late, the boxes fit less well.
    assert np.mean(inside[0]) > max(np.mean(inside[-1]), np.mean(inside[1]))


def boxes_in_the_clear(gt: list[dict[str, float]], index: int) -> list[tuple[int, int, int, int]]:
    """Boxes of a zero-based frame that nothing hides, with room for another one to the left."""
    boxes = [corners(row) for row in gt if row["frame"] == index + 1 and row["visibility"] > 0.95]
    return [box for box in boxes if box[0] > box[2] - box[0]]


def corners(row: dict[str, float]) -> tuple[int, int, int, int]:
    x1, y1 = row["left"] - 1, row["top"] - 1
    return round(x1), round(y1), round(x1 + row["width"]), round(y1 + row["height"])
