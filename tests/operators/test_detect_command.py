from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest
import typer
from typer.testing import CliRunner, Result

from engine.errors import ConfigError, SourceError, UsageError
from engine.onnx_import import ImportOptions, describe_onnx
from operators.commands.detect import register
from tests.tiny_models import save_yolox, squares


def run(*arguments: object) -> Result:
    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def model(tmp_path: Path) -> Path:
    options = ImportOptions(family="yolox", labels=("blue", "red"))
    return describe_onnx(save_yolox(tmp_path / "tiny.onnx"), options).write(tmp_path / "tiny").root


def picture(path: Path, *cells: tuple[int, int, str]) -> Path:
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), squares(*cells))
    return path


def results(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text()))


def test_an_image_gives_coco_results(tmp_path: Path, model: Path) -> None:
    image = picture(tmp_path / "000000000139.png", (1, 2, "red"))
    run(image, "--model", model, "--out", tmp_path / "out" / "r.json")
    (found,) = results(tmp_path / "out" / "r.json")
    assert found == {"image_id": 139, "category_id": 1, "bbox": [8, 16, 8, 8], "score": pytest.approx(0.977, abs=1e-3)}


def test_a_folder_gives_the_results_of_all_its_images_by_name(tmp_path: Path, model: Path) -> None:
    picture(tmp_path / "in" / "12.png", (1, 2, "red"))
    picture(tmp_path / "in" / "empty.png")
    picture(tmp_path / "in" / "gate.png", (3, 3, "blue"))
    (tmp_path / "in" / "notes.txt").write_text("no image")
    run(tmp_path / "in", "--model", model, "--out", tmp_path / "r.json")
    found = [(r["image_id"], r["category_id"], r["bbox"]) for r in results(tmp_path / "r.json")]
    assert found == [(12, 1, [8, 16, 8, 8]), ("gate", 0, [24, 24, 8, 8])]


def test_nothing_seen_is_an_empty_list(tmp_path: Path, model: Path) -> None:
    run(picture(tmp_path / "1.png"), "--model", model, "--out", tmp_path / "r.json")
    assert results(tmp_path / "r.json") == []


def test_options_reach_the_detector(tmp_path: Path, model: Path) -> None:
    image = picture(tmp_path / "1.png", (1, 1, "red"), (3, 3, "red"), (5, 5, "blue"))

    def count(*options: object) -> int:
        run(image, "--model", model, "--out", tmp_path / "r.json", *options)
        return len(results(tmp_path / "r.json"))

    assert count() == 3
    assert count("--classes", "red") == 2
    assert count("--max-detections", 1) == 1
    assert count("--min-confidence", 0.99) == 0


def test_a_broken_image_fails_after_the_others_are_done(tmp_path: Path, model: Path) -> None:
    picture(tmp_path / "in" / "2.png", (1, 2, "red"))
    (tmp_path / "in" / "1.jpg").write_bytes(b"no image")
    with pytest.raises(SourceError, match=r"1.jpg: not an image"):
        run(tmp_path / "in", "--model", model, "--out", tmp_path / "r.json")
    assert [r["image_id"] for r in results(tmp_path / "r.json")] == [2]


def test_sources_that_are_not_there_or_hold_nothing(tmp_path: Path, model: Path) -> None:
    (tmp_path / "void").mkdir()
    with pytest.raises(SourceError, match="void: the folder holds no images"):
        run(tmp_path / "void", "--model", model, "--out", tmp_path / "r.json")
    with pytest.raises(SourceError, match=r"gone.jpg: no such file or folder"):
        run(tmp_path / "gone.jpg", "--model", model, "--out", tmp_path / "r.json")


def test_wrong_options_are_refused(tmp_path: Path, model: Path) -> None:
    image = picture(tmp_path / "1.png")
    with pytest.raises(UsageError, match="min_confidence must be above 0"):
        run(image, "--model", model, "--out", tmp_path / "r.json", "--min-confidence", 7)
    with pytest.raises(ConfigError, match="the model has no class 'green'"):
        run(image, "--model", model, "--out", tmp_path / "r.json", "--classes", "green")


def test_a_video_gives_results_by_frame(tmp_path: Path, model: Path) -> None:
    pytest.importorskip("operators.video")
    av = pytest.importorskip("av")
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for index in range(4):
            cells = [] if index == 1 else [(1 + index, 2, "red")]
            frame = av.VideoFrame.from_ndarray(squares(*cells), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    run(path, "--model", model, "--out", tmp_path / "r.json", "--max-frames", 3, "--min-confidence", 0.3)
    found = [(r["image_id"], r["category_id"], r["bbox"]) for r in results(tmp_path / "r.json")]
    assert found == [(0, 1, [8, 16, 8, 8]), (2, 1, [24, 16, 8, 8])]
