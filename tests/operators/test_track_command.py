"""`vedette track` and `vedette flow`, called as a person calls them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine import cli
from engine.flow import read_flo
from engine.mot import read_mot
from tests.clips import write_clip


@pytest.fixture
def detections(tmp_path: Path) -> Path:
    """One object that walks 3 pixels a frame for 20 frames."""
    path = tmp_path / "det.txt"
    path.write_text("".join(f"{k + 1},-1,{21 + 3 * k},41,20,40,0.9\n" for k in range(20)))
    return path


def track(detections: Path, *more: str) -> int:
    out = str(detections.parent / "mot.txt")
    return cli.main(["track", str(detections), "--fps", "10", "--frame-wh", "160,120", "--out", out, *more])


def test_detections_become_tracks(detections: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert track(detections, "--tracker", "sort") == 0

    table = read_mot(detections.parent / "mot.txt")
    assert table.frame.tolist() == list(range(3, 21))
    assert set(table.track_id.tolist()) == {1}
    assert np.allclose(table.xyxy[-1], [77, 40, 97, 80], atol=0.5)
    assert "20 detections in 20 frames" in capsys.readouterr().err


def test_a_field_of_the_tracker_can_be_set(detections: Path) -> None:
    assert track(detections, "--option", "confirm_hits=1") == 0

    assert read_mot(detections.parent / "mot.txt").frame.tolist() == list(range(1, 21))


def test_boxes_are_carried_between_looks(detections: Path) -> None:
    assert track(detections, "--cadence", "2") == 0

    table = read_mot(detections.parent / "mot.txt")
    assert table.frame.tolist() == list(range(3, 21))
    assert np.allclose(table.xyxy[-1], [77, 40, 97, 80], atol=1)


def test_flow_carries_boxes_where_a_video_is_given(detections: Path) -> None:
    frames = []
    texture = np.random.default_rng(1).integers(0, 255, (40, 20, 3), np.uint8)
    for k in range(20):
        frame = np.full((120, 160, 3), 90, np.uint8)
        frame[40:80, 20 + 3 * k : 40 + 3 * k] = texture
        frames.append(frame)
    clip = detections.parent / "clip.mp4"
    write_clip(clip, frames, fps=10)

    assert track(detections, "--flow-from", str(clip), "--cadence", "4", "--option", "confirm_hits=1") == 0

    table = read_mot(detections.parent / "mot.txt")
    assert table.frame.tolist() == list(range(1, 21))
    assert np.allclose(table.xyxy[3], [29, 40, 49, 80], atol=2)


def test_a_video_that_is_too_short_is_an_error(detections: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = detections.parent / "clip.mp4"
    write_clip(clip, [np.full((120, 160, 3), 90, np.uint8)] * 5, fps=10)

    assert track(detections, "--flow-from", str(clip)) == 3

    assert "holds 5 frames where the detections have 20" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--tracker", "letterbox"], "--tracker letterbox: is no tracker: it does not write 'tracks'"),
        (["--tracker", "sorted"], "unknown kind 'sorted' (did you mean 'sort'?)"),
        (["--option", "max_coast_s"], "--option max_coast_s: expected NAME=VALUE, such as max_coast_s=2"),
        (["--option", "confirm_hits=0"], "confirm_hits: must be 1 or more, got 0"),
        (["--frame-wh", "160"], "--frame-wh 160: expected width,height in pixels, such as 1920,1080"),
        (["--fps", "0"], "--fps 0.0: must be above 0"),
    ],
)
def test_options_that_cannot_be_meant(
    detections: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    assert track(detections, *options) == 2

    assert sentence in capsys.readouterr().err


def test_no_detections_give_an_empty_file(detections: Path) -> None:
    detections.write_text("")

    assert track(detections) == 0

    assert (detections.parent / "mot.txt").read_text() == ""


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    import cv2

    noise = np.random.default_rng(2).integers(0, 255, (80, 100, 3), np.uint8)
    noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), 2))
    paths = [str(tmp_path / name) for name in ("a.png", "b.png")]
    for path, left in zip(paths, (10, 8), strict=True):
        cv2.imwrite(path, noise[8:72, left : left + 80])
    return paths


@pytest.mark.parametrize("options", [[], ["--preset", "medium"], ["--kind", "farneback"], ["--scale", "0.5"]])
def test_flow_between_two_pictures(pictures: list[str], tmp_path: Path, options: list[str]) -> None:
    assert cli.main(["flow", *pictures, "--out", str(tmp_path / "f.flo"), *options]) == 0

    flow = read_flo(tmp_path / "f.flo")
    assert flow.shape == (64, 80, 2)
    assert np.allclose(np.median(flow[12:-12, 12:-12], axis=(0, 1)), (2, 0), atol=0.3)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--kind", "dos"], "--kind dos: is no kind of flow (did you mean 'dis'?)"),
        (["--preset", "best"], "preset must be one of ultrafast, fast, medium, fine, got 'best'"),
        (["--kind", "farneback", "--preset", "fast"], "--preset fast: only dis has presets"),
        (["--scale", "0"], "scale must be above 0 and at most 1, got 0.0"),
    ],
)
def test_flow_options_that_cannot_be_meant(
    pictures: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    assert cli.main(["flow", *pictures, "--out", str(tmp_path / "f.flo"), *options]) == 2

    assert sentence in capsys.readouterr().err


def test_pictures_of_different_sizes_have_no_flow(
    pictures: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import cv2

    cv2.imwrite(pictures[1], np.zeros((64, 64, 3), np.uint8))

    assert cli.main(["flow", *pictures, "--out", str(tmp_path / "f.flo")]) == 2

    assert "must have the same size, got 80x64 and 64x64" in capsys.readouterr().err
