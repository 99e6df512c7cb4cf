from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from engine.trt_engine import TrtParity, choose_engine, misfit, this_platform
from tests.engine_rows import MACHINE, ONNX, trt_engine


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        (
            {"onnx_sha256": "d" * 64},
            "was built of another model (SHA-256 dddddddddddd…, the bundle's is aaaaaaaaaaaa…)",
        ),
        ({"flavour": "tensorrt_rtx"}, "was built by TensorRT for RTX, here is TensorRT"),
        ({"version": "10.12.0.36"}, "was built by TensorRT 10.12.0.36, here is 10.15.1.29"),
        ({"platform": "Linux aarch64"}, "was built for Linux aarch64, this is Linux x86_64"),
        ({"compute_capabilities": ("8.6",)}, "was built for compute capability 8.6, this GPU is 8.9"),
        ({"compute_capabilities": ("7.5", "8.6")}, "was built for compute capability 7.5, 8.6, this GPU is 8.9"),
        ({"compute_capabilities": ("8.6", "8.9")}, None),
    ],
)
def test_says_what_does_not_fit(changes: dict[str, Any], reason: str | None) -> None:
    assert misfit(trt_engine(**changes), MACHINE, ONNX) == reason


@pytest.mark.parametrize(
    ("built", "here", "fits"),
    [
        ("10.12.0.36", "10.15.1.29", True),
        ("10.15.1.29", "10.15.1.29", True),
        ("10.15.1.29", "10.12.0.36", False),
        ("10.15.1.29", "11.0.0.1", False),
        ("10.9.0", "10.15.0", True),
    ],
)
def test_version_compatible_engines_run_on_later_versions_of_their_major_release(
    built: str, here: str, fits: bool
) -> None:
    engine = trt_engine(version=built, version_compatible=True)
    assert (misfit(engine, replace(MACHINE, version=here), ONNX) is None) is fits


@pytest.mark.parametrize(
    ("level", "capability", "fits"),
    [
        ("ampere_plus", "8.0", True),
        ("ampere_plus", "12.0", True),
        ("ampere_plus", "7.5", False),
        ("same_compute_capability", "8.9", True),
        ("same_compute_capability", "8.6", False),
        ("none", "9.0", False),
    ],
)
def test_hardware_compatible_engines_run_on_the_gpus_they_promise(level: str, capability: str, fits: bool) -> None:
    engine = trt_engine(hardware_compatibility=level)
    assert (misfit(engine, replace(MACHINE, capability=capability), ONNX) is None) is fits


def test_the_engine_added_last_is_chosen_among_those_that_fit() -> None:
    first, second = trt_engine(build_s=1.0), trt_engine(build_s=2.0)
    other = trt_engine(compute_capabilities=("8.6",))
    chosen, reasons = choose_engine([first, second, other], MACHINE, ONNX)
    assert chosen is second
    assert reasons == ["engines/a.engine was built for compute capability 8.6, this GPU is 8.9"]


def test_a_precision_that_is_asked_for_is_kept() -> None:
    half, full = trt_engine(), trt_engine(precision="fp32")
    assert choose_engine([half, full], MACHINE, ONNX, "fp16") == (
        half, ["engines/a.engine computes in fp32, wanted is fp16"]
    )  # fmt: skip
    assert choose_engine([half, full], MACHINE, ONNX, "int8")[0] is None
    assert choose_engine([], MACHINE, ONNX) == (None, [])


def test_a_loss_is_what_map_falls_by() -> None:
    parity = TrtParity(
        measured_on="graph", truth="labels", num_images=1, images_sha256=ONNX, max_box_px=0, max_confidence=0,
        map_onnx=34.5, map_engine=33.0,
    )  # fmt: skip
    assert parity.map_loss == 1.5


def test_an_engine_prints_as_people_name_it() -> None:
    assert str(trt_engine()) == "fp16, TensorRT 10.15.1.29, compute capability 8.9"


@pytest.mark.parametrize(
    "changes",
    [{"precision": "fp8"}, {"compute_capabilities": ()}, {"compute_capabilities": ("sm_89",)}, {"max_batch": 0},
     {"onnx_sha256": "short"}, {"unknown": 1}],
)  # fmt: skip
def test_entries_that_mean_nothing_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(changes))):
        trt_engine(**changes)


def test_this_platform_is_system_and_processor() -> None:
    assert len(this_platform().split()) == 2
