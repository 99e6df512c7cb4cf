from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import SourceError
from tests.training.photos import rows, write_photo
from training.formats import read, read_dataset

FACTS = "[Sequence]\nname=x\nimDir=img1\nframeRate=10\nseqLength=3\nimWidth=64\nimHeight=48\nimExt=.jpg\n"


def sequence(folder: Path, text: str, frames: int = 3, facts: str = FACTS) -> Path:
    for number in range(1, frames + 1):
        write_photo(folder / "img1" / f"{number:06d}.jpg", number)
    (folder / "gt").mkdir(parents=True)
    (folder / "gt" / "gt.txt").write_text(text, encoding="utf-8")
    if facts:
        (folder / "seqinfo.ini").write_text(facts, encoding="utf-8")
    return folder


def test_a_sequence_is_a_camera_with_times(tmp_path: Path) -> None:
    # MOT15: ten columns; confidence 0 is not judged. Coordinates count from 1.
    folder = sequence(tmp_path / "PETS", "1,1,11,6,20,30,1,-1,-1,-1\n3,2,1,1,9,9,0,-1,-1,-1\n")
    dataset = read_dataset(folder)
    assert (dataset.labels, dataset.sources[0].format) == (("person",), "mot")
    assert [(s.camera, s.time_s, s.size_wh) for s in dataset.samples] == [
        ("PETS", t, (64, 48)) for t in (0.0, 0.1, 0.2)
    ]
    assert [rows(s) for s in dataset.samples] == [[(0, [10, 5, 30, 35], False)], [], [(0, [0, 0, 9, 9], True)]]


def test_classes_of_mot17_and_its_three_copies_of_a_camera(tmp_path: Path) -> None:
    # Nine columns: flag, class, visibility. 1 pedestrian, 3 car, 8 distractor.
    folder = sequence(tmp_path / "MOT17-02-FRCNN", "1,1,11,6,20,30,1,1,1\n1,2,1,1,9,9,0,8,1\n1,3,1,1,9,9,0,3,1\n", 1)
    sample = read_dataset(folder).samples[0]
    assert sample.camera == "MOT17-02"
    assert rows(sample) == [(0, [10, 5, 30, 35], False), (0, [0, 0, 9, 9], True)]


def test_people_beyond_the_edge_are_cut_and_those_outside_left_out(tmp_path: Path) -> None:
    folder = sequence(tmp_path / "a", "1,1,-30,6,36,30,1,-1,-1,-1\n1,2,90,6,20,30,1,-1,-1,-1\n", 1)
    reading = read(folder)
    assert rows(reading.parts[""].samples[0]) == [(0, [0, 5, 5, 35], False)]
    assert not reading.problems


def test_a_folder_of_sequences_and_a_sequence_without_facts(tmp_path: Path) -> None:
    sequence(tmp_path / "one", "1,1,11,6,20,30,1,-1,-1,-1\n", 1)
    sequence(tmp_path / "two", "1,1,11,6,20,30,1,-1,-1,-1\n", 1, facts="")
    found = read_dataset(tmp_path).samples
    assert [(s.camera, s.time_s) for s in found] == [("one", 0.0), ("two", None)]


def test_frames_after_the_last_label_are_left_out_aloud(tmp_path: Path) -> None:
    reading = read(sequence(tmp_path / "a", "1,1,11,6,20,30,1,-1,-1,-1\n"))
    assert len(reading.parts[""]) == 1
    assert "gt.txt: ends with frame 1; 2 later pictures in" in reading.problems[0].text
    assert not reading.problems[0].is_error


@pytest.mark.parametrize(
    ("text", "frames", "facts", "says"),
    [
        ("1,1,11,6,20,30,1,-1,-1,-1\n2,1,11,6,20,30,1,-1,-1,-1\n", 1, FACTS, r"gt.txt: frame 2: no picture 000002 in .*img1"),
        ("1,1,11,6,20,30,1,-1,-1,-1\n", 0, FACTS, r"img1: no frames such as 000001.jpg .* `vedette label` makes of footage"),
        ("1,1,11,6,0,30,1,-1,-1,-1\n", 1, FACTS, r"gt.txt: frame 1, id 1: box \(10, 5, 10, 35\) has no area"),
        ("1,1,11,6,x,30,1,-1,-1,-1\n", 1, FACTS, r"gt.txt:1: width must be a number, got 'x'"),
        ("1,1,11,6,9,30,1,-1,-1,-1\n", 1, "[Sequence]\nframeRate=fast\n", r"seqinfo.ini: not MOTChallenge facts"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused(tmp_path: Path, text: str, frames: int, facts: str, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        read_dataset(sequence(tmp_path / "a", text, frames, facts))


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no MOTChallenge sequence: expected a folder with gt/gt.txt and img1/"):
        read(tmp_path, "mot")
