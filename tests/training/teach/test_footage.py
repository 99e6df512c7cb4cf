from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.errors import SourceError, UsageError
from tests.clips import square_frames, write_clip
from training.teach.footage import find_footage


def pictures(folder: Path, *names: str, size_wh: tuple[int, int] = (64, 48)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        cv2.imwrite(str(folder / name), np.zeros((size_wh[1], size_wh[0], 3), np.uint8))
    return folder


def test_a_folder_gives_its_recordings_and_its_subfolders_pictures(tmp_path: Path) -> None:
    write_clip(tmp_path / "gate.mp4", square_frames(3))
    pictures(tmp_path / "dock", "f2.png", "f10.png", "f6.png")
    (tmp_path / "notes.txt").write_text("", encoding="utf-8")
    clips = find_footage([tmp_path])
    assert [(clip.name, clip.is_sequence) for clip in clips] == [("gate", True), ("dock", True)]
    assert [path.name for path in clips[1].pictures] == ["f2.png", "f6.png", "f10.png"]


def test_names_that_do_not_count_up_are_photographs(tmp_path: Path) -> None:
    for names in (("a.png", "b.png", "c.png"), ("1.png", "2.png", "4.png"), ("a1.png", "a2.png", "b3.png")):
        (clip,) = find_footage([pictures(tmp_path / names[0][:1] / names[2][:2], *names)])
        assert not clip.is_sequence


def test_one_picture_is_a_photograph(tmp_path: Path) -> None:
    (clip,) = find_footage([pictures(tmp_path, "1.png") / "1.png"])
    assert not clip.is_sequence
    assert len(list(clip.frames(10.0))) == 1


def test_two_cameras_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_clip(tmp_path / folder / "gate.mp4", square_frames(2))
    assert [clip.name for clip in find_footage([tmp_path / "a", tmp_path / "b"])] == ["gate", "gate-2"]


def test_consecutive_pictures_have_times_and_a_new_epoch_where_the_size_changes(tmp_path: Path) -> None:
    pictures(tmp_path, "1.png", "2.png")
    pictures(tmp_path, "3.png", size_wh=(32, 32))
    (clip,) = find_footage([tmp_path])
    assert [(frame.epoch, frame.pts_s) for frame in clip.frames(5.0)] == [(0, 0.0), (0, 0.2), (1, 0.4)]
    assert clip.duration_s(5.0) == pytest.approx(0.6)


def test_a_recording_is_read_as_live_frames_are(tmp_path: Path) -> None:
    (clip,) = find_footage([write_clip(tmp_path / "gate.mp4", square_frames(10), fps=10)])
    frames = list(clip.frames(1.0))
    assert [frame.index for frame in frames] == list(range(10))
    assert frames[5].pts_s == pytest.approx(0.5)
    assert clip.duration_s(1.0) == pytest.approx(1.0)


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone: no such file or folder"):
        find_footage([tmp_path / "gone"])
    with pytest.raises(SourceError, match=r"holds neither recordings \(\.avi.*\) nor pictures \(\.bmp"):
        find_footage([tmp_path])


def test_the_same_footage_twice_is_refused(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "gate.mp4", square_frames(2))
    with pytest.raises(UsageError, match="the same file or folder was given twice"):
        find_footage([clip, tmp_path])
