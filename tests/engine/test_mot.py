from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import SourceError
from engine.mot import format_tracks, read_mot
from engine.tracks import Tracks


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gt.txt"


def make_tracks() -> Tracks:
    return replace(
        Tracks.empty(),
        xyxy=np.array([[0, 10, 20, 50], [-3.25, 1, 5, 8.5]], np.float32),
        confidence=np.array([0.5, 1], np.float32),
        class_id=np.zeros(2, np.int64),
        track_id=np.array([3, 12]),
        confirmed=np.ones(2, np.bool_),
        age_s=np.zeros(2, np.float32),
        coasted_s=np.zeros(2, np.float32),
        velocity=np.zeros((2, 2), np.float32),
    )


def test_coordinates_start_at_1_in_the_text_and_at_0_in_here(file: Path) -> None:
    file.write_text("3,-1,1,11,20,40,0.75,-1,-1,-1\n\n1,-1,2,3,4,5,1\n")

    table = read_mot(file)

    assert table.frame.tolist() == [3, 1]
    assert table.xyxy.tolist() == [[0, 10, 20, 50], [1, 2, 5, 7]]
    assert table.confidence.tolist() == [0.75, 1]
    assert table.class_id.tolist() == [-1, -1]
    assert table.last_frame == 3


def test_what_is_written_can_be_read(file: Path) -> None:
    file.write_text(format_tracks(7, make_tracks(), first_id=100))

    table = read_mot(file)

    assert file.read_text().splitlines()[0] == "7,103,1.00,11.00,20.00,40.00,0.5000,-1,-1,-1"
    assert (table.frame.tolist(), table.track_id.tolist()) == ([7, 7], [103, 112])
    assert np.allclose(table.xyxy, make_tracks().xyxy, atol=0.01)


def test_no_tracks_are_no_text() -> None:
    assert format_tracks(1, Tracks.empty()) == ""


def test_spaces_separate_as_commas_do(file: Path) -> None:
    file.write_text("1 2 3 4 5 6 1")

    assert read_mot(file).track_id.tolist() == [2]


def test_by_frame_gives_every_frame_once_in_order(file: Path) -> None:
    file.write_text("3,1,1,1,2,2,1\n1,1,1,1,2,2,1\n3,2,1,1,2,2,1\n9,1,1,1,2,2,1\n")

    assert [table.track_id.tolist() for table in read_mot(file).by_frame(4)] == [[1], [], [1, 2], []]


def test_an_empty_file_is_an_empty_table(file: Path) -> None:
    file.write_text("")

    table = read_mot(file)

    assert (len(table), table.last_frame, len(table.detections())) == (0, 0, 0)
    assert [len(t) for t in table.by_frame(2)] == [0, 0]


def test_mot15_judges_what_has_confidence_and_leaves_the_rest_open(file: Path) -> None:
    file.write_text("1,1,1,1,2,2,1,-1,-1,-1\n1,2,1,1,2,2,0,-1,-1,-1\n1,3,1,1,2,2,1,7.5,3.2,0.1\n")

    table = read_mot(file)

    assert table.is_judged.tolist() == [True, False, True]
    assert table.is_open.tolist() == [False, True, False]


def test_mot17_judges_pedestrians_and_leaves_distractors_open(file: Path) -> None:
    file.write_text("1,1,1,1,2,2,1,1,0.5\n1,2,1,1,2,2,0,1,1\n1,3,1,1,2,2,0,7,1\n1,4,1,1,2,2,0,3,1\n")

    table = read_mot(file)

    assert table.is_judged.tolist() == [True, False, False, False]
    assert table.is_open.tolist() == [False, False, True, False]


def test_detections_take_over_boxes_and_confidence(file: Path) -> None:
    file.write_text("1,-1,1,1,10,20,0.25\n")

    detections = read_mot(file).detections()

    assert detections.xyxy.tolist() == [[0, 0, 10, 20]]
    assert (detections.confidence.tolist(), detections.class_id.tolist()) == ([0.25], [0])


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("1,2,3", r"gt.txt:2: has 3 columns; expected 7 to 10: frame,id,left"),
        ("1,1,1,1,1,1,1,1,1,1,1", r"gt.txt:2: has 11 columns"),
        ("1,1,x,1,2,2,1", r"gt.txt:2: left must be a number, got 'x'"),
        ("1,1,1,1,nan,2,1", r"gt.txt:2: width must be a finite number, got 'nan'"),
        ("1.5,1,1,1,2,2,1", r"gt.txt:2: frame must be a whole number, got 1.5"),
        ("0,1,1,1,2,2,1", r"gt.txt:2: frame 0 does not exist; MOTChallenge frames start at 1"),
        ("1,1,1,1,-2,2,1", r"gt.txt:2: a box cannot be -2 wide and 2 high"),
    ],
)
def test_a_line_that_cannot_be_meant_is_named(file: Path, line: str, sentence: str) -> None:
    file.write_text(f"1,1,1,1,2,2,1\n{line}\n")

    with pytest.raises(SourceError, match=sentence):
        read_mot(file)


def test_a_missing_file_is_named(file: Path) -> None:
    with pytest.raises(SourceError, match=r"gt\.txt: cannot be read as MOTChallenge text: No such file"):
        read_mot(file)


def test_a_file_that_is_no_text_is_named(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00\x01")

    with pytest.raises(SourceError, match="is not text; expected MOTChallenge lines `frame,id,left,top"):
        read_mot(file)
