"""What is wrong with an engine shows in the figures, by as much as it is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.bundle import Bundle
from engine.detections import Detections
from engine.errors import SourceError
from engine.inference import BackendOptions, make_backend
from tests.training.engines.parts import (
    LABELS,
    Change,
    OtherBackend,
    blind_to,
    dreaming,
    labelled,
    not_a_number,
    shifted,
    square_bundle,
    unsure,
    write_pictures,
)
from training.engines.images import read_images
from training.engines.parity import Difference, ParityError, ParityReport, compare, measure_parity

# Recall ends at two of three: precision is 1 at 67 of COCO's 101 recalls.
AP_WITHOUT_A_THIRD = 100 * 67 / 101


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return square_bundle(tmp_path_factory.mktemp("squares") / "bundle")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled(tmp_path_factory.mktemp("data"))


def same(outputs: list[np.ndarray], tensor: np.ndarray) -> list[np.ndarray]:
    return outputs


def measured(bundle: Bundle, place: Path, change: Change = same, batch: int = 3) -> ParityReport:
    reference, candidate = make_backend("onnxruntime", BackendOptions("cpu")), OtherBackend(change)
    reference.open(bundle)
    candidate.open(bundle)
    return measure_parity(reference, candidate, bundle, read_images(place, bundle.root, 100), batch=batch)


@pytest.fixture(params=["labels", "onnx"])
def truth(request: pytest.FixtureRequest, pictures: Path, data: Path) -> Iterator[tuple[str, Path]]:
    return (request.param, data if request.param == "labels" else pictures)  # type: ignore[return-value]


def test_the_same_is_the_same(bundle: Bundle, truth: tuple[str, Path]) -> None:
    report = measured(bundle, truth[1])

    parity = report.parity
    assert (parity.measured_on, parity.truth, parity.num_images) == ("engine", truth[0], 4)
    assert (parity.max_box_px, parity.max_confidence) == (0, 0)
    assert (parity.map_onnx, parity.map_engine, parity.map_loss) == (100, 100, 0)
    assert (report.num_boxes, report.num_missed, report.num_extra) == (6, 0, 0)


def test_boxes_that_lie_three_pixels_off(bundle: Bundle, truth: tuple[str, Path]) -> None:
    report = measured(bundle, truth[1], shifted(3))

    assert report.parity.max_box_px == 3
    assert report.parity.max_confidence == 0
    assert (report.num_missed, report.num_extra) == (0, 0)
    # They overlap by 29 of 35 pixels: enough for seven of the ten thresholds.
    assert report.parity.map_loss == pytest.approx(30, abs=0.01)


def test_boxes_are_measured_in_pixels_of_the_source(bundle: Bundle, tmp_path: Path) -> None:
    report = measured(bundle, write_pictures(tmp_path / "large", zoom=4), shifted(3))

    assert report.parity.max_box_px == 12


def test_a_box_that_is_not_seen(bundle: Bundle, truth: tuple[str, Path]) -> None:
    report = measured(bundle, truth[1], blind_to("red", (7, 7)))

    assert (report.num_missed, report.num_extra) == (1, 0)
    assert report.parity.map_engine == pytest.approx((100 + AP_WITHOUT_A_THIRD) / 2, abs=0.01)
    name, difference = report.worst[0]
    assert "000004" in name
    assert difference == Difference(0, 0, num_missed=1)


def test_a_box_that_is_not_there(bundle: Bundle, truth: tuple[str, Path]) -> None:
    report = measured(bundle, truth[1], dreaming((12, 1)))

    assert (report.num_missed, report.num_extra) == (0, 4)
    assert report.parity.map_loss > 5


def test_confidences_that_are_lower(bundle: Bundle, truth: tuple[str, Path]) -> None:
    report = measured(bundle, truth[1], unsure(0.1))

    assert report.parity.max_confidence == pytest.approx(0.1, abs=1e-4)
    assert report.parity.max_box_px == 0
    assert (report.num_missed, report.num_extra, report.parity.map_loss) == (0, 0, 0)


def test_without_labels_a_box_is_lost_with_more_than_half_of_its_confidence(bundle: Bundle, pictures: Path) -> None:
    # Sure is from 0.3 on; these boxes have 0.977.
    assert measured(bundle, pictures, unsure(0.8)).parity.map_loss == 0
    assert measured(bundle, pictures, unsure(0.9)).parity.map_engine == 0


def test_what_is_no_number_is_refused(bundle: Bundle, pictures: Path) -> None:
    with pytest.raises(ParityError, match=r"what the engine says about .*000001\.png is no number.*--keep-fp32"):
        measured(bundle, pictures, not_a_number)


def test_pictures_that_show_nothing_prove_nothing(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"sure of nothing in 2 pictures .confidence 0.3.; give pictures that show"):
        measured(bundle, write_pictures(tmp_path / "empty", [(), ()]))


def test_the_candidate_is_given_full_batches(bundle: Bundle, pictures: Path) -> None:
    reference, candidate = make_backend("onnxruntime", BackendOptions("cpu")), OtherBackend()
    reference.open(bundle)
    candidate.open(bundle)
    measure_parity(reference, candidate, bundle, read_images(pictures, bundle.root, 100), batch=3)

    assert candidate.sizes == [3, 1]


def test_the_pictures_are_known_by_their_hash(bundle: Bundle, pictures: Path, tmp_path: Path) -> None:
    one, two = measured(bundle, pictures, batch=1), measured(bundle, pictures, batch=4)
    other = measured(bundle, write_pictures(tmp_path / "other", [[(5, 5, "red")]]))

    assert one.parity.images_sha256 == two.parity.images_sha256 != other.parity.images_sha256


def found(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64), LABELS)


def test_nothing_compared_with_nothing() -> None:
    assert compare(found(), found(), 0.3) == Difference()


def test_weak_boxes_are_compared_only_with_sure_ones() -> None:
    ours = found((0, 0, 10, 10, 0.2, 0), (50, 50, 60, 60, 0.31, 1))
    theirs = found((3, 0, 10, 10, 0.1, 0), (50, 50, 60, 61, 0.29, 1))

    difference = compare(ours, theirs, 0.3)

    assert difference.max_box_px == 1
    assert difference.max_confidence == pytest.approx(0.02)
    assert (difference.num_missed, difference.num_extra) == (0, 0)


def test_the_best_overlap_makes_a_pair_and_the_class_must_be_the_same() -> None:
    ours = found((0, 0, 10, 10, 0.9, 0), (4, 0, 14, 10, 0.8, 0))
    theirs = found((4, 0, 14, 10, 0.8, 0), (0, 0, 10, 10, 0.9, 1))

    assert compare(ours, theirs, 0.3) == Difference(0, 0, num_missed=1, num_extra=1)
