from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.detections import Detections
from engine.errors import BundleError
from engine.file_entry import sha256_of
from engine.frame_statistics import FRAME_STATISTICS
from engine.picture import Pixels
from engine.reference import MAX_BOXES, MAX_SAMPLES, MAX_SCENES, SAMPLE_STATISTICS, ReferenceStatistics
from engine.reference_builder import MIN_SCENE_PICTURES, ReferenceBuilder, choose

LABELS = ("person", "car")


def detections(count: int, seed: int = 0) -> Detections:
    rng = np.random.default_rng(seed)
    left_top = rng.uniform(0, 50, (count, 2))
    xyxy = np.concatenate([left_top, left_top + rng.uniform(1, 40, (count, 2))], 1).astype(np.float32)
    confidence = rng.uniform(0.3, 1, count).astype(np.float32)
    return Detections(xyxy, confidence, rng.integers(0, 2, count), LABELS)


def statistics(seed: int = 0) -> dict[str, float]:
    return dict(zip(FRAME_STATISTICS, np.random.default_rng(seed).uniform(0, 200, len(FRAME_STATISTICS)), strict=True))


def gathered(num: int, boxes_each: int = 2, cameras: tuple[str, ...] = ("gate", "yard")) -> ReferenceBuilder:
    builder = ReferenceBuilder(LABELS, "0123456789abcdef", 0.3)
    for i in range(num):
        tags = {"light": "night" if i % 3 == 0 else "day"}
        builder.add(
            statistics(i), detections(boxes_each, i), (100, 100), cameras[i % len(cameras)], float(num - i), tags
        )
    return builder


def thumbnail(seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (90, 160), np.uint8)


def with_views(builder: ReferenceBuilder, **num: int) -> ReferenceStatistics:
    """Each camera has one scene, seen so often; the last look is hidden by something bright."""
    for seed, (camera, count) in enumerate(num.items()):
        for look in range(count):
            builder.add_view(camera, np.full((90, 160), 255, np.uint8) if look == count - 1 else thumbnail(seed))
    return builder.build()


def reference(num: int = 12, **options: Any) -> ReferenceStatistics:
    return gathered(num, **options).build()


def saved(folder: Path, **options: Any) -> Path:
    reference(**options).save(folder / "reference.npz")
    return folder / "reference.npz"


def assert_same(a: ReferenceStatistics, b: ReferenceStatistics) -> None:
    for name in ("labels", "model", "min_confidence", "num_frames", "cameras", "tag_sets"):
        assert getattr(a, name) == getattr(b, name)
    for name in ("camera", "tag_set", "time_s", "has_boxes", "sample", "class_id"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.columns().keys() == b.columns().keys()
    for name, column in a.columns().items():
        np.testing.assert_array_equal(column, b.columns()[name])
    assert a.scenes.keys() == b.scenes.keys()
    for name, scene in a.scenes.items():
        np.testing.assert_array_equal(scene, b.scenes[name])


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    path = saved(tmp_path)
    assert_same(ReferenceStatistics.load(path), reference())
    assert [p.name for p in tmp_path.iterdir()] == ["reference.npz"]


def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = saved(tmp_path / "a"), saved(tmp_path / "b")
    assert sha256_of(first) == sha256_of(second)


def test_numpy_alone_reads_the_file(tmp_path: Path) -> None:
    with np.load(saved(tmp_path), allow_pickle=False) as file:
        assert file["sample_brightness"].dtype == np.float32
        assert json.loads(file["facts"].tobytes())["schema"] == "vedette.reference/2"


def test_samples_stand_in_the_order_of_cameras_slices_and_times() -> None:
    found = reference()
    keys = [
        (found.cameras[c], sorted(found.tag_sets[t].items()), time)
        for c, t, time in zip(found.camera, found.tag_set, found.time_s, strict=True)
    ]
    assert keys == sorted(keys)
    assert (len(found), found.num_frames, found.num_boxes) == (12, 12, 24)


def test_columns_are_float32_and_belong_together() -> None:
    found = reference()
    lengths = {name: len(column) for name, column in found.columns().items()}
    assert {name for name, length in lengths.items() if length == 12} == set(SAMPLE_STATISTICS)
    assert {name for name, length in lengths.items() if length == 24} == set(lengths) - set(SAMPLE_STATISTICS)
    assert {column.dtype for column in found.columns().values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(np.bincount(found.sample), found.samples["count"])


def test_a_slice_keeps_its_boxes() -> None:
    found = reference().slice(camera="gate", tags={"light": "night"})
    assert {found.cameras[c] for c in found.camera} == {"gate"}
    assert (len(found), found.num_boxes) == (2, 4)
    assert found.sample.tolist() == [0, 0, 1, 1]
    assert sorted(found.time_s.tolist()) == [6.0, 12.0]
    np.testing.assert_array_equal(found.samples["brightness"], [
        np.float32(statistics(12 - int(time))["brightness"]) for time in found.time_s
    ])  # fmt: skip


def test_a_camera_or_slice_that_was_never_seen_is_empty() -> None:
    for found in (reference().slice(camera="roof"), reference().slice(tags={"light": "dusk"})):
        assert (len(found), found.num_boxes) == (0, 0)
        assert found.quantiles() == {}
        assert found.class_mix() == {"person": 0.0, "car": 0.0}


def test_quantiles_are_those_of_the_samples() -> None:
    found = reference()
    assert found.quantiles((0.5,))["brightness"] == pytest.approx([np.median(found.samples["brightness"])])
    assert found.quantiles()["count"] == [2.0] * 5


def test_the_class_mix_sums_to_one_in_the_order_of_labels() -> None:
    mix = reference().class_mix()
    assert tuple(mix) == LABELS
    assert sum(mix.values()) == pytest.approx(1)


def test_without_boxes_those_of_samples_are_left() -> None:
    found = reference(boxes_each=0)
    assert tuple(found.quantiles()) == SAMPLE_STATISTICS
    assert found.samples["count"].tolist() == [0.0] * 12


def test_a_higher_bound_on_confidence_counts_again() -> None:
    found = reference().at_confidence(0.6)
    assert found.min_confidence == 0.6
    assert 0 < found.num_boxes < 24
    assert found.boxes["confidence"].min() >= 0.6
    np.testing.assert_array_equal(np.bincount(found.sample, minlength=12), found.samples["count"])


def test_a_crowded_reference_stays_small_and_says_which_samples_have_their_boxes(tmp_path: Path) -> None:
    builder = gathered(MAX_SAMPLES + 400, boxes_each=20, cameras=("a", "b", "c"))
    found = builder.build(num_frames=90_000)
    found.save(tmp_path / "reference.npz")
    assert (tmp_path / "reference.npz").stat().st_size <= 200_000
    # Noise is the worst that can be packed.
    noisy = replace(found, cameras=tuple("abcdefgh"), scenes={name: thumbnail(i) for i, name in enumerate("abcdefgh")})
    noisy.save(tmp_path / "noisy.npz")
    assert (tmp_path / "noisy.npz").stat().st_size <= 300_000
    assert (len(found), found.num_frames) == (MAX_SAMPLES, 90_000)
    assert 0.95 * MAX_BOXES < found.num_boxes <= MAX_BOXES
    np.testing.assert_array_equal(np.bincount(found.sample, minlength=len(found)), 20 * found.has_boxes)
    assert np.bincount(found.camera[found.has_boxes]).min() > 50
    assert len(found.at_confidence(0.5)) == found.has_boxes.sum()


def test_a_recording_has_a_scene_without_what_passes_through_it(tmp_path: Path) -> None:
    found = with_views(gathered(12), gate=MIN_SCENE_PICTURES, yard=MIN_SCENE_PICTURES - 1, roof=99)
    assert list(found.scenes) == ["gate"]
    assert found.scenes["gate"].dtype == np.uint8
    np.testing.assert_array_equal(found.scenes["gate"], thumbnail(0))
    found.save(tmp_path / "a.npz")
    with_views(gathered(12), gate=MIN_SCENE_PICTURES).save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert_same(ReferenceStatistics.load(tmp_path / "a.npz"), found)


def test_a_slice_keeps_the_scenes_of_its_cameras() -> None:
    found = with_views(gathered(12), gate=30, yard=30)
    assert list(found.slice(camera="yard").scenes) == ["yard"]
    assert list(found.slice(tags={"light": "day"}).scenes) == ["gate", "yard"]
    assert list(found.at_confidence(0.6).scenes) == ["gate", "yard"]
    assert dict(found.slice(camera="roof").scenes) == {}


def test_the_cameras_that_were_looked_at_most_have_a_scene() -> None:
    names = tuple(f"c{number}" for number in range(10))
    found = with_views(gathered(20, cameras=names), **{name: 40 - i for i, name in enumerate(reversed(names))})
    assert list(found.scenes) == sorted(names)[-MAX_SCENES:]


def test_a_long_recording_is_thinned_evenly_and_another_shape_left_out() -> None:
    builder = gathered(4, cameras=("gate",))
    for level in range(200):
        builder.add_view("gate", np.full((4, 6), level, np.uint8))
        builder.add_view("gate", np.full((6, 4), 255, np.uint8))
    assert builder.build().scenes["gate"] == pytest.approx(np.full((4, 6), 100), abs=5)


def test_an_empty_reference_can_be_kept(tmp_path: Path) -> None:
    assert len(ReferenceStatistics.load(saved(tmp_path, num=0))) == 0


def test_frames_are_chosen_evenly_over_time_and_cameras() -> None:
    cameras, times = ["gate"] * 100 + ["yard"] * 5, [float(i % 100) for i in range(105)]
    rows = choose(cameras, [()] * 105, times, 25)
    assert rows.tolist() == [*range(2, 100, 5), *range(100, 105)]


def test_all_frames_are_chosen_where_there_are_few_and_unknown_times_come_last() -> None:
    assert choose(["b", "a", "a", "a"], [()] * 4, [1.0, None, 3.0, 2.0], 10).tolist() == [3, 2, 1, 0]
    assert choose([], [], [], 10).tolist() == []


AGAIN = "make it again with `vedette reference BUNDLE --data DATA`"


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=f"no such file of reference statistics; {AGAIN}"):
        ReferenceStatistics.load(tmp_path / "reference.npz")


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: b"nonsense", lambda data: data[:-200], lambda data: data[:99]]
)
def test_a_damaged_file_is_refused(tmp_path: Path, damage: Any) -> None:
    path = saved(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BundleError, match=f"no reference statistics, or damaged .*{AGAIN}"):
        ReferenceStatistics.load(path)


def test_a_byte_that_flipped_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("sample_noise.npy")
    data = bytearray(path.read_bytes())
    data[member.header_offset + 30 + len(member.filename) + member.compress_size // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(BundleError, match=AGAIN):
        ReferenceStatistics.load(path)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "reference.npz"
    np.savez(path, facts=np.array([{"schema": "vedette.reference/2"}], object), allow_pickle=True)
    with pytest.raises(BundleError, match="Object arrays cannot be loaded"):
        ReferenceStatistics.load(path)
    np.array([1], object).dump(path)
    with pytest.raises(BundleError, match="no reference statistics, or damaged"):
        ReferenceStatistics.load(path)


def changed(path: Path, facts: dict[str, Any] | None = None, **arrays: Any) -> Path:
    """Write the file again with other facts or arrays; None removes an array."""
    with np.load(path) as file:
        kept = {name: file[name] for name in file.files}
    known = json.loads(kept["facts"].tobytes()) | (facts or {})
    kept["facts"] = np.frombuffer(json.dumps(known).encode(), np.uint8)
    kept.update(arrays)
    np.savez(path, **{name: value for name, value in kept.items() if value is not None})
    return path


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"schema": "vedette.reference/0"}, "vedette.reference/0 with functions"),
        ({"functions": {"frame": 99, "detection": 1}}, "'frame': 99"),
    ],
)
def test_statistics_of_another_version_are_refused(tmp_path: Path, facts: dict[str, Any], said: str) -> None:
    path = changed(saved(tmp_path), facts)
    with pytest.raises(
        BundleError, match=f"of another version: .*{said}.*this version of Vedette compares with .*{AGAIN}"
    ):
        ReferenceStatistics.load(path)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"sample_noise": None}, "sample_noise"),
        ({"sample_noise": np.zeros(3, np.float32)}, r"noise has the shape \(3,\) where \(12,\) is expected"),
        ({"sample_noise": np.full(12, np.nan, np.float32)}, "noise holds what is not a float32 number"),
        ({"box_cx": np.zeros(24, np.float64)}, "cx holds what is not a float32 number"),
        ({"box_class_id": np.full(24, 2, np.int32)}, "class_id points at 2 of 2"),
        ({"box_sample": np.full(24, 12, np.int32)}, "sample points at 12 of 12"),
        ({"camera": np.zeros((12, 2), np.int32)}, r"camera has the shape \(12, 2\)"),
        ({"scene_0": None}, "scene_0"),
        ({"scene_0": np.zeros((90, 160), np.float32)}, "the scene of 'gate' is no grey picture of 160 pixels"),
        ({"scene_0": np.zeros((90, 161), np.uint8)}, "the scene of 'gate' is no grey picture of 160 pixels"),
        ({"scene_0": np.zeros((9, 16, 3), np.uint8)}, "the scene of 'gate' is no grey picture of 160 pixels"),
    ],
)  # fmt: skip
def test_columns_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    path = tmp_path / "reference.npz"
    with_views(gathered(12), gate=MIN_SCENE_PICTURES).save(path)
    changed(path, None, **arrays)
    with pytest.raises(BundleError, match=rf"damaged reference statistics \(.*{said}.*{AGAIN}"):
        ReferenceStatistics.load(path)


def test_a_scene_of_no_camera_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "reference.npz"
    with_views(gathered(12), gate=MIN_SCENE_PICTURES).save(path)
    changed(path, {"scenes": ["roof"]})
    with pytest.raises(BundleError, match="there is a scene of 'roof', which is none of the cameras"):
        ReferenceStatistics.load(path)


def test_the_file_states_no_time_of_writing(tmp_path: Path) -> None:
    with zipfile.ZipFile(saved(tmp_path)) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
