from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.detections import Detections
from engine.errors import SinkError
from engine.mot import MotTable, read_mot
from engine.packet import Packet
from engine.tracks import Tracks
from operators.mot_writer import MotWriter
from tests.frames import make_frame


def make_tracks(track_id: list[int], coasted_s: list[float] | None = None, confirmed: bool = True) -> Tracks:
    count = len(track_id)
    return replace(
        Tracks.empty(),
        xyxy=np.tile(np.array([10, 20, 30, 60], np.float32), (count, 1)),
        confidence=np.full(count, 0.5, np.float32),
        class_id=np.zeros(count, np.int64),
        track_id=np.array(track_id, np.int64),
        confirmed=np.full(count, confirmed),
        age_s=np.zeros(count, np.float32),
        coasted_s=np.array(coasted_s or [0.0] * count, np.float32),
        velocity=np.zeros((count, 2), np.float32),
    )


def make_packet(index: int, tracks: Tracks | None, looked: bool = True, camera: str = "gate") -> Packet:
    return Packet(make_frame(index, camera=camera), detections=Detections.empty() if looked else None, tracks=tracks)


def write(path: Path, packets: list[Packet]) -> MotTable:
    writer = MotWriter(path=str(path))
    writer.open()
    for packet in packets:
        assert writer.process(packet) is packet
    writer.flush("shutdown")
    writer.close()
    return read_mot(path)


def rows(table: MotTable) -> list[tuple[int, int]]:
    return list(zip(table.frame.tolist(), table.track_id.tolist(), strict=True))


def test_frame_numbers_start_at_1_and_boxes_are_kept(tmp_path: Path) -> None:
    table = write(tmp_path / "a.txt", [make_packet(0, make_tracks([4])), make_packet(2, make_tracks([4, 7]))])

    assert rows(table) == [(1, 4), (3, 4), (3, 7)]
    assert table.xyxy[0].tolist() == [10, 20, 30, 60]


def test_tentative_and_missed_tracks_are_left_out(tmp_path: Path) -> None:
    packets = [make_packet(0, make_tracks([1], confirmed=False)), make_packet(1, make_tracks([2, 3], [0.1, 0.0]))]

    assert rows(write(tmp_path / "a.txt", packets)) == [(2, 3)]


def test_frames_not_looked_at_carry_only_what_the_last_look_saw(tmp_path: Path) -> None:
    # The camera looks in frame 0; track 2 was missed there already.
    packets = [make_packet(0, make_tracks([1, 2], [0.0, 0.1]))]
    packets += [make_packet(k, make_tracks([1, 2], [k / 10, 0.1 + k / 10]), looked=False) for k in (1, 2)]

    assert rows(write(tmp_path / "a.txt", packets)) == [(1, 1), (2, 1), (3, 1)]


def test_no_tracks_and_no_tracker_leave_an_empty_file(tmp_path: Path) -> None:
    assert rows(write(tmp_path / "a.txt", [make_packet(0, Tracks.empty()), make_packet(1, None)])) == []


def test_no_frame_at_all_leaves_an_empty_file(tmp_path: Path) -> None:
    assert rows(write(tmp_path / "new" / "a.txt", [])) == []


def test_a_new_epoch_counts_on(tmp_path: Path) -> None:
    writer = MotWriter(path=str(tmp_path / "a.txt"))
    writer.open()
    writer.process(make_packet(0, make_tracks([1, 5])))
    writer.process(make_packet(3, make_tracks([5])))
    writer.flush("camera_gap")
    writer.process(make_packet(0, make_tracks([1])))
    writer.process(make_packet(1, make_tracks([2])))
    writer.close()

    assert rows(read_mot(tmp_path / "a.txt")) == [(1, 1), (1, 5), (4, 5), (5, 6), (6, 7)]


def test_a_new_epoch_whose_frames_go_on_keeps_their_numbers(tmp_path: Path) -> None:
    writer = MotWriter(path=str(tmp_path / "a.txt"))
    writer.open()
    writer.process(make_packet(0, make_tracks([1])))
    writer.flush("camera_gap")
    writer.process(make_packet(8, make_tracks([1])))
    writer.close()

    assert rows(read_mot(tmp_path / "a.txt")) == [(1, 1), (9, 2)]


def test_each_camera_has_its_file(tmp_path: Path) -> None:
    for camera in ("gate", "dock/2"):
        writer = MotWriter(path=str(tmp_path / "{camera}.txt"))
        writer.open()
        writer.process(make_packet(0, make_tracks([1]), camera=camera))
        writer.close()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["dock_2.txt", "gate.txt"]


def test_close_without_open_is_no_trouble() -> None:
    MotWriter(path="a.txt").close()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="cannot be written: Is a directory"):
        MotWriter(path=str(tmp_path)).open()


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(ValueError, match="path must name a file, got an empty text"):
        MotWriter(path="")
