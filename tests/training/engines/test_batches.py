"""A batch must not change what is seen, and where nothing is seen an engine must still compute what its model does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.bundle import Bundle
from engine.inference import BackendOptions, make_backend
from tests.training.engines.parts import (
    Change,
    OtherBackend,
    Outputs,
    first_of_batch,
    not_a_number,
    square_bundle,
    write_pictures,
)
from training.engines.batches import check_batches, check_drawn
from training.engines.images import read_images
from training.engines.parity import ParityError


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return square_bundle(tmp_path_factory.mktemp("squares") / "bundle")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


def opened(bundle: Bundle, change: Change | None = None) -> OtherBackend:
    backend = OtherBackend() if change is None else OtherBackend(change)
    backend.open(bundle)
    return backend


def less_sure_in_a_batch(outputs: Outputs, tensor: np.ndarray) -> Outputs:
    if len(tensor) > 1:
        outputs[0][:, :, 4] *= 0.9
    return outputs


def test_batches_that_change_nothing(bundle: Bundle, pictures: Path) -> None:
    candidate = opened(bundle)

    check_batches(candidate, bundle, read_images(pictures, bundle.root, 9), 40, "fp16")

    # A full batch, though there are four pictures, and sixteen of its places alone.
    assert candidate.sizes == [40, *[1] * 16]


def test_a_batch_that_is_taken_for_its_first_picture(bundle: Bundle, pictures: Path) -> None:
    with pytest.raises(
        ParityError, match=r"in fp16, .*000002\.png alone and as picture 2 of a batch of 3 are not the same .1 missed"
    ):
        check_batches(opened(bundle, first_of_batch), bundle, read_images(pictures, bundle.root, 9), 3, "fp16")


def test_confidences_that_change_with_the_batch(bundle: Bundle, pictures: Path) -> None:
    images = read_images(pictures, bundle.root, 9)
    with pytest.raises(ParityError, match=r"confidence 0\.098 off"):
        check_batches(opened(bundle, less_sure_in_a_batch), bundle, images, 4, "int8")
    # With eight bits of mantissa that is noise.
    check_batches(opened(bundle, less_sure_in_a_batch), bundle, images, 4, "bf16")


def drawn(bundle: Bundle, change: Change | None = None) -> float:
    reference = make_backend("onnxruntime", BackendOptions("cpu"))
    reference.open(bundle)
    return check_drawn(reference, opened(bundle, change), bundle, 5, "fp16")


def test_drawn_pictures_agree(bundle: Bundle) -> None:
    assert drawn(bundle) == 0
    assert 0 < drawn(bundle, less_sure_in_a_batch) < 0.1


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda outputs, tensor: [0 * output for output in outputs], r"alone are 100 % off"),
        (not_a_number, "alone are inf % off"),
        (first_of_batch, r"as picture \d of a batch of 5 are .* % off"),
    ],
    ids=["nothing", "infinity", "batch"],
)
def test_an_engine_that_computes_something_else(bundle: Bundle, change: Change, where: str) -> None:
    with pytest.raises(ParityError, match=f"the outputs for a drawn picture {where}"):
        drawn(bundle, change)
