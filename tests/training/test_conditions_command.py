from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from engine import cli
from engine.picture import Picture, Pixels
from tests.clips import square_frames, write_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "gate.mp4"
    write_clip(path, square_frames(6))
    return path


def photo(folder: Path) -> Path:
    path = folder / "photo.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8))
    return path


def picture(path: Path) -> Pixels:
    return Picture.read(path).bgr()


def frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def test_a_sheet_of_a_photograph(tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"

    assert cli.main(["conditions", str(photo(tmp_path)), "--out", str(out), "--strengths", "0.5,1"]) == 0

    assert picture(out).shape == (11 * (216 + 22), 576, 3)


def test_a_sheet_of_a_moment_in_a_video(clip: Path, tmp_path: Path) -> None:
    early, late = tmp_path / "early.png", tmp_path / "late.png"

    assert cli.main(["conditions", str(clip), "--out", str(early)]) == 0
    assert cli.main(["conditions", str(clip), "--out", str(late), "--at-s", "0.2"]) == 0

    assert early.read_bytes() != late.read_bytes()


def test_a_photograph_worsened_by_two_conditions(tmp_path: Path) -> None:
    source, out = photo(tmp_path), tmp_path / "worse.png"
    command = ["conditions", str(source), "--out", str(out), "--strength", "1", "--apply"]

    assert cli.main([*command, "night"]) == 0
    night = picture(out)
    assert cli.main([*command, "night, fog"]) == 0
    assert night.mean() < 0.5 * picture(source).mean()
    assert picture(out).mean() > 2 * night.mean()


def test_a_worsened_video_has_the_frames_of_the_first(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "dusk.mp4"

    assert cli.main(["conditions", str(clip), "--out", str(out), "--apply", "dusk", "--strength", "1"]) == 0

    before, after = frames(clip), frames(out)
    assert len(after) == len(before)
    assert all(b.mean() < 0.75 * a.mean() for a, b in zip(before, after, strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["dusk.mp4"]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--out", "a.mp4"], 2, r"--out a.mp4: a sheet is a picture, its name must end in .jpg, .jpeg, .png"),
        (["--out", "a.png", "--strengths", "0.5,2"], 2, "--strengths: expected numbers from 0 to 1 with commas"),
        (["--out", "a.png", "--strengths", "high"], 2, "between them, got 'high'"),
        (["--out", "a.png", "--apply", "nihgt"], 2, "--apply: unknown condition 'nihgt' (did you mean 'night'?)"),
        (["--out", "a.png", "--apply", ","], 2, "--apply: names no condition; known: night, dusk"),
        (["--out", "a.mp4", "--apply", "night"], 2, "--out a.mp4: must end in .jpg, .jpeg, .png, as photo.png is what"),
        (["--out", "/proc/a.png"], 2, "--out /proc/a.png: cannot be written: "),
    ],
)
def test_wrong_usage_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, said: str
) -> None:
    assert cli.main(["conditions", str(photo(tmp_path)), *options]) == code

    assert said in capsys.readouterr().err


def test_a_source_that_is_not_there_or_too_short(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.png"

    assert cli.main(["conditions", "no.png", "--out", str(out)]) == 3
    assert cli.main(["conditions", "no.mp4", "--out", str(out)]) == 3
    assert cli.main(["conditions", str(clip), "--out", str(out), "--at-s", "9"]) == 3

    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "vedette: no.png: no such image file"
    assert lines[1] == "vedette: no.mp4: no such file"
    assert lines[2].startswith(f"vedette: {clip}: --at-s 9: the last frame is at 0.")
    assert not out.exists()
