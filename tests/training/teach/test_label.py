from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from engine.errors import SourceError, UsageError
from tests.clips import write_clip
from tests.training.teach.blocks import paint, write_frames, write_teacher
from training.commands import label as command
from training.formats import read_dataset


def run(*arguments: object) -> Result:
    app = typer.Typer()
    command.register(app)
    # A second command keeps Typer from making the first the whole program.
    app.command("other")(lambda: None)
    outcome = CliRunner().invoke(app, ["label", *map(str, arguments)])
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return outcome


def coco(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    return data


def test_frames_become_pictures_and_labels_and_a_missed_frame_is_filled_in(tmp_path: Path) -> None:
    frames = [[(1, 1, "red")] if i != 6 else [] for i in range(12)]
    footage = write_frames(tmp_path / "gate", frames)
    outcome = run(footage, "--teacher", write_teacher(tmp_path), "--out", tmp_path / "out", "--licence", "CC0-1.0")
    dataset = read_dataset(tmp_path / "out" / "labels.json")

    assert dataset.labels == ("red",)
    assert [sample.image_id for sample in dataset.samples] == list(range(12))
    assert {sample.camera for sample in dataset.samples} == {"gate"}
    assert [sample.time_s for sample in dataset.samples] == [i / 10 for i in range(12)]
    assert all(len(sample.xyxy) == 1 and not sample.ignore[0] for sample in dataset.samples)
    assert dataset.samples[6].xyxy[0].tolist() == pytest.approx([8, 8, 16, 16], abs=0.2)
    assert dataset.samples[6].read().bgr.shape == (64, 64, 3)
    info = coco(tmp_path / "out")["info"]
    assert (info["licence"], info["teacher"]["name"], info["teacher"]["licence"]) == ("CC0-1.0", "tiny", "Apache-2.0")
    assert "12 pictures, 12 frames looked at" in outcome.stderr
    assert "1 of them filled in; 0 doubtful boxes" in outcome.stderr


def test_what_comes_once_is_doubtful(tmp_path: Path) -> None:
    frames = [[(1, 1, "red"), *([(3, 3, "blue")] if i == 4 else [])] for i in range(9)]
    run(write_frames(tmp_path / "gate", frames), "--teacher", write_teacher(tmp_path), "--out", tmp_path / "out")
    doubtful = [a for a in coco(tmp_path / "out")["annotations"] if a["iscrowd"]]
    assert [(a["image_id"], a["bbox"]) for a in doubtful] == [(4, pytest.approx([24, 24, 8, 8], abs=0.2))]


def test_photographs_are_judged_alone_and_belong_to_no_camera(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "photos", [[(1, 1, "red")], [(2, 2, "blue")]])
    run(folder, "--teacher", write_teacher(tmp_path), "--out", tmp_path / "out")
    dataset = read_dataset(tmp_path / "out" / "labels.json")
    assert [(s.camera, s.time_s, s.ignore.tolist()) for s in dataset.samples] == [("", None, [False])] * 2


@pytest.mark.parametrize(
    ("options", "kept"),
    [(["--every", 5], [0, 5, 10, 15]), (["--every-s", 0.4], [0, 4, 8, 12, 16]), (["--max-frames", 3], [0, 1, 2])],
)
def test_which_frames_are_kept(tmp_path: Path, options: list[object], kept: list[int]) -> None:
    folder = write_frames(tmp_path / "gate", [[(1, 1, "red")]] * 18)
    run(folder, "--teacher", write_teacher(tmp_path), "--out", tmp_path / "out", *options)
    assert [image["id"] for image in coco(tmp_path / "out")["images"]] == kept


def test_a_fast_recording_is_looked_at_twelve_times_a_second_at_most(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "gate.mp4", [paint((1, 1, "red"))] * 30, fps=30)
    assert (
        "10 pictures, 10 frames looked at"
        in run(clip, "--teacher", write_teacher(tmp_path), "--out", tmp_path / "out").stderr
    )


def test_a_teacher_that_sees_nothing(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "gate", [[]] * 4)
    with pytest.raises(SourceError, match=r"the teacher has seen nothing in 4 pictures; .*: blue, red"):
        run(folder, "--teacher", write_teacher(tmp_path), "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_several_cameras_have_their_names_in_the_files(tmp_path: Path) -> None:
    for name in ("gate", "dock"):
        write_frames(tmp_path / "site" / name, [[(1, 1, "red")]] * 4)
    run(tmp_path / "site", "--teacher", write_teacher(tmp_path), "--out", tmp_path / "out", "--classes", "red")
    images = coco(tmp_path / "out")["images"]
    assert [(i["file_name"], i["camera"]) for i in images[:1] + images[-1:]] == [
        ("dock-0000.jpg", "dock"),
        ("gate-0003.jpg", "gate"),
    ]


def test_something_else_at_the_output_is_left_alone(tmp_path: Path) -> None:
    folder = write_frames(tmp_path / "gate", [[(1, 1, "red")]] * 4)
    with pytest.raises(UsageError, match=r"gate: there is something already; name a new folder"):
        run(folder, "--teacher", write_teacher(tmp_path), "--out", folder)


def test_two_ways_to_keep_frames_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--every and --every-s: give one of them"):
        run(tmp_path, "--teacher", "x.onnx", "--out", tmp_path / "out", "--every", 2, "--every-s", 1)


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, teacher = write_frames(tmp_path / "gate", [[(1, 1, "red")]] * 4), write_teacher(tmp_path)

    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SourceError, match=r"0000\.jpg: cannot be written: No space left on device; make room"):
        run(folder, "--teacher", teacher, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
