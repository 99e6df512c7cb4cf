from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import BundleError
from engine.inference import TensorInfo
from engine.model_inputs import SIZES_INPUT, check_size, extra_inputs, picture_input

PATH = Path("m.onnx")
IMAGE = TensorInfo("images", (None, 3, 64, 96), "tensor(float)")
SIZES = TensorInfo(SIZES_INPUT, (None, 2), "tensor(int64)")


def test_finds_the_picture_among_the_inputs() -> None:
    assert picture_input(PATH, [SIZES, IMAGE]) is IMAGE


@pytest.mark.parametrize(
    ("inputs", "found"),
    [([SIZES], r"orig_target_sizes \(\?, 2\) tensor\(int64\)"), ([], "none"), ([IMAGE, IMAGE], "images .*; images")],
)
def test_refuses_models_without_exactly_one_picture(inputs: list[TensorInfo], found: str) -> None:
    with pytest.raises(
        BundleError, match=rf"m.onnx: expected one input \(N, 3, height, width\).*the model has {found}"
    ):
        picture_input(PATH, inputs)


def test_knows_one_input_beside_the_picture() -> None:
    assert extra_inputs(PATH, ["images", SIZES_INPUT], "images") == [SIZES_INPUT]
    with pytest.raises(
        BundleError, match=r"m.onnx: the model wants an input 'mask' beside the picture; export it without"
    ):
        extra_inputs(PATH, ["images", "mask"], "images")


def test_a_size_that_the_model_does_not_take_is_refused() -> None:
    check_size(PATH, IMAGE, (96, 64))
    check_size(PATH, TensorInfo("images", (None, 3, None, None), "tensor(float)"), (416, 416))
    with pytest.raises(BundleError, match=r"m.onnx: the model takes 96x64 pictures only, not 64x96"):
        check_size(PATH, IMAGE, (64, 96))
