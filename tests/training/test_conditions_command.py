from __future__ import annotations

import itertools
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

    assert picture(out).shape == (13 * (216 + 22), 576, 3)


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


def test_only_a_stretch_of_a_repeated_video_is_worsened(clip: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "covered.mp4", ["--loop-for-s", "0.4", "--from-s", "0.1", "--to-s", "0.3"]

    assert cli.main(["conditions", str(clip), "--out", str(out), "--apply", "covered", "--strength", "1", *again]) == 0

    before, after = frames(clip), frames(out)
    looped = [before[index % 6] for index in range(10)]
    hidden = [cv2.absdiff(a, b).mean() > 5 for a, b in zip(after, looped, strict=True)]
    assert hidden == [0.1 <= index / 25 < 0.3 for index in range(10)]


def test_a_frozen_stretch_shows_its_first_picture(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "frozen.mp4"

    assert cli.main(["conditions", str(clip), "--out", str(out), "--apply", "frozen", "--from-s", "0.1"]) == 0

    steps = [cv2.absdiff(a, b).mean() > 0.3 for a, b in itertools.pairwise(frames(out))]
    assert steps == [True, True, True, False, False]


def test_a_stretch_coded_harder_loses_detail(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grain = [rng.integers(60, 190, (63, 95, 3), np.uint8) for _ in range(6)]
    source, out = tmp_path / "grain.mp4", tmp_path / "coarse.mp4"
    write_clip(source, grain, pix_fmt="yuv444p", options={"crf": "10"})

    assert cli.main(["conditions", str(source), "--out", str(out), "--crf", "51", "--from-s", "0.12"]) == 0

    kept = [after[:63, :95].std() / before.std() for before, after in zip(frames(source), frames(out), strict=True)]
    assert min(kept[:3]) > 2 * max(kept[3:])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coarse.mp4", "grain.mp4"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--from-s", "1"], "--from-s: is for worsening a video, with --apply or --crf"),
        (["--apply", "fog", "--from-s", "2", "--to-s", "1"], "--to-s 1: must be after --from-s 2"),
        (["--apply", "fog", "--from-s", "5"], "no frame from 5 to inf s: the last one is at 0.20 s"),
        (["--crf", "40", "--from-s", "5", "--to-s", "6"], "no frame from 5 to 6 s: the last one is at 0.20 s"),
    ],
)
def test_a_stretch_that_cannot_be_is_refused_and_leaves_no_file(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert cli.main(["conditions", str(clip), "--out", str(tmp_path / "a.mp4"), *options]) != 0

    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--out", "a.png", "--apply", "frozen"], 2, "--apply: 'frozen' needs a video, photo.png is a picture"),
        (["--out", "a.png", "--apply", "fog", "--crf", "40"], 2, "--crf: is for worsening a video"),
        (["--out", "a.mp4"], 2, r"--out a.mp4: a sheet is a picture, its name must end in .jpg, .jpeg, .png"),
        (["--out", "a.png", "--strengths", "0.5,2"], 2, "--strengths: expected numbers from 0 to 1 with commas"),
        (["--out", "a.png", "--strengths", "high"], 2, "between them, got 'high'"),
        (["--out", "a.png", "--apply", "nihgt"], 2, "--apply: unknown condition 'nihgt' (did you mean 'night'?)"),
        (["--out", "a.png", "--apply", ","], 2, "--apply: names no condition; known: moved, night, dusk"),
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
