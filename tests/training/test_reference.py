from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from engine.bundle import Bundle
from engine.errors import BundleError, SourceError
from engine.frame_statistics import measure, measure_frame
from engine.onnx_import import ImportOptions, describe_onnx
from engine.picture import Picture, Pixels
from engine.reference import ReferenceStatistics
from tests.clips import write_clip
from tests.tiny_models import save_constant, save_yolox, squares
from training.commands.reference import register
from training.dataset import Dataset, Sample
from training.formats import write_dataset
from training.reference import footage_in, make_reference, measure_footage

NOTHING = np.zeros((0, 4), np.float32)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A model that sees filled cells of blue and red."""
    model = save_yolox(tmp_path / "tiny.onnx")
    return describe_onnx(model, ImportOptions(family="yolox", labels=("blue", "red"))).write(tmp_path / "tiny")


def picture(number: int) -> Pixels:
    """One red cell and, in every second picture, a blue one."""
    cells = [(number % 8, 2, "red"), *([(1, 6, "blue")] if number % 2 else [])]
    return np.asarray(np.maximum(squares(*cells), 20 + number), np.uint8)


def pictures(folder: Path, count: int = 6) -> Dataset:
    folder.mkdir(parents=True, exist_ok=True)
    samples = []
    for number in range(count):
        path = folder / f"{number:03}.png"
        cv2.imwrite(str(path), picture(number))
        none = np.zeros(0, np.intp)
        samples.append(Sample(path, (64, 64), NOTHING, none, none.astype(bool), "gate", number * 2.0, {"light": "day"}))
    return Dataset(("blue", "red"), tuple(samples))


def test_what_the_model_sees_is_measured_and_not_the_labels(bundle: Bundle, tmp_path: Path) -> None:
    ticks: list[None] = []
    found = make_reference(pictures(tmp_path / "images"), bundle, tick=lambda: ticks.append(None))
    assert found.samples["count"].tolist() == [1, 2, 1, 2, 1, 2]
    assert found.class_mix() == pytest.approx({"blue": 1 / 3, "red": 2 / 3})
    assert found.time_s.tolist() == [0, 2, 4, 6, 8, 10]
    assert (found.cameras, found.tag_sets, found.labels) == (("gate",), ({"light": "day"},), ("blue", "red"))
    assert (found.model, found.min_confidence, found.num_frames) == (bundle.digest, 0.3, 6)
    np.testing.assert_allclose(found.boxes["size"], 1 / 8, rtol=0.01)
    assert len(ticks) == 6


def test_pictures_are_measured_as_live_frames_are(bundle: Bundle, tmp_path: Path) -> None:
    dataset = pictures(tmp_path / "images")
    found = make_reference(dataset, bundle)
    live = [measure_frame(Picture.from_bgr(picture(number))) for number in range(6)]
    for name in live[0]:
        np.testing.assert_array_equal(found.samples[name], np.array([one[name] for one in live], np.float32))


def test_a_recording_has_its_scene_from_more_pictures_than_are_sampled(bundle: Bundle, tmp_path: Path) -> None:
    dataset = pictures(tmp_path / "images", 24)
    found = make_reference(dataset, bundle, max_samples=6)
    assert len(found) == 6
    thumbnails = [measure(Picture.from_bgr(picture(number))).thumbnail for number in range(24)]
    np.testing.assert_array_equal(found.scenes["gate"], np.median(thumbnails, axis=0).astype(np.uint8))
    assert make_reference(dataset.subset(list(range(19))), bundle).scenes == {}
    unknown = tuple(replace(sample, time_s=None) for sample in dataset.samples)
    assert make_reference(replace(dataset, samples=unknown), bundle).scenes == {}


def test_a_recording_that_is_measured_has_its_scene(bundle: Bundle, tmp_path: Path) -> None:
    video = write_clip(tmp_path / "yard.mp4", [picture(0)] * 25, fps=10)
    found = measure_footage([video], bundle, every_s=0.1)
    assert list(found.scenes) == ["yard"]
    assert found.scenes["yard"] == pytest.approx(measure(Picture.from_bgr(picture(0))).thumbnail, abs=20)


def test_the_same_pictures_give_the_same_file(bundle: Bundle, tmp_path: Path) -> None:
    dataset = pictures(tmp_path / "images")
    for name in ("a", "b"):
        make_reference(dataset, bundle).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_repeated_picture_counts_once_and_a_limit_is_kept_evenly(bundle: Bundle, tmp_path: Path) -> None:
    dataset = pictures(tmp_path / "images")
    found = make_reference(dataset.subset([0, 0, 1, 2, 3, 4, 4, 5]), bundle, max_samples=3)
    assert found.time_s.tolist() == [2, 6, 10]
    assert found.num_frames == 6


def test_no_pictures_are_refused(bundle: Bundle) -> None:
    with pytest.raises(SourceError, match="reference statistics need pictures, but the data holds none"):
        make_reference(Dataset(("blue", "red"), ()), bundle)


def test_a_picture_that_is_gone_is_named(bundle: Bundle, tmp_path: Path) -> None:
    dataset = pictures(tmp_path / "images")
    dataset.samples[3].path.unlink()
    with pytest.raises(SourceError, match=r"003.png: no such image file"):
        make_reference(dataset, bundle)


def test_a_video_is_sampled_by_its_time_and_a_photograph_belongs_to_no_camera(bundle: Bundle, tmp_path: Path) -> None:
    video = write_clip(tmp_path / "yard.mp4", [picture(0)] * 25, fps=10)
    pictures(tmp_path, 1)
    found = measure_footage([video, tmp_path / "000.png"], bundle, every_s=1.0)
    assert found.cameras == ("", "yard")
    assert found.num_frames == 26
    np.testing.assert_array_equal(found.time_s, [np.nan, 0.0, 1.0, 2.0])


def test_footage_is_told_from_labels(bundle: Bundle, tmp_path: Path) -> None:
    dataset = pictures(tmp_path / "images", 2)
    (tmp_path / "images" / "notes.txt").write_text("")
    assert [path.name for path in footage_in(tmp_path / "images")] == ["000.png", "001.png"]
    assert footage_in(dataset.samples[0].path) == [dataset.samples[0].path]
    write_dataset(dataset, tmp_path / "coco", "coco")
    assert footage_in(tmp_path / "coco") == []
    assert footage_in(tmp_path / "images" / "notes.txt") == []


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    result = CliRunner().invoke(app, ["reference", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def statistics(bundle: Bundle) -> ReferenceStatistics:
    found = Bundle.load(bundle.root).reference()
    assert found is not None
    return found


def test_the_command_adds_statistics_of_footage(bundle: Bundle, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", [picture(0)] * 30, fps=10)
    result = run(bundle.root, "--data", clip, "--every-s", 0.5)
    assert "measured 6 of 30 frames from 1 camera, 6 boxes; reference.npz, " in result.stderr
    assert statistics(bundle).time_s.tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert Bundle.load(bundle.root).digest == bundle.digest


def test_the_command_adds_statistics_of_labelled_pictures(bundle: Bundle, tmp_path: Path) -> None:
    write_dataset(pictures(tmp_path / "images"), tmp_path / "coco", "coco")
    run(bundle.root, "--data", tmp_path / "coco")
    assert statistics(bundle).time_s.tolist() == [0, 2, 4, 6, 8, 10]


def test_the_command_takes_the_training_part_of_a_recipe(bundle: Bundle, tmp_path: Path) -> None:
    dataset = pictures(tmp_path / "images", 20)
    one = np.array([[8.0, 16, 16, 24]], np.float32)
    labelled = tuple(
        replace(sample, xyxy=one, class_id=np.array([1]), ignore=np.array([False])) for sample in dataset.samples
    )
    write_dataset(replace(dataset, samples=labelled), tmp_path / "coco", "coco")
    (tmp_path / "data.yaml").write_text("name: x\ndata: [{path: coco}]\nsplit: {val: 0.25}\n")
    run(bundle.root, "--data", tmp_path / "data.yaml")
    assert statistics(bundle).time_s.max() < 30


def test_the_command_refuses_a_bare_model_and_data_that_is_not_there(bundle: Bundle, tmp_path: Path) -> None:
    bare = save_constant(tmp_path / "bare.onnx", [np.zeros((1, 84, 126), np.float32)], size_wh=(96, 64))
    with pytest.raises(BundleError, match="a bare model has no place for its reference statistics"):
        run(bare, "--data", tmp_path)
    with pytest.raises(SourceError, match=r"--data .*nowhere: no such file or folder"):
        run(bundle.root, "--data", tmp_path / "nowhere")
    with pytest.raises(SourceError, match="not a data set that can be read"):
        run(bundle.root, "--data", bundle.root / "manifest.json")
