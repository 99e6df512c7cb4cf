from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine import trt_build
from engine.errors import UsageError
from engine.gpu import Gpu
from engine.trt_build import BuildRequest, make_builder, parse_targets

L4 = Gpu(index=0, name="NVIDIA L4", capability="8.9", memory_bytes=24 << 30, driver="13.0", bus_id="0000:01:00.0")


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("sm_86,8.9", ("8.6", "8.9")),
        ("SM_120, 121", ("12.0", "12.1")),
        ("sm86,86,8.6", ("8.6",)),
        ("CURRENT", ()),
        (" current ", ()),
    ],
)
def test_reads_gpus_as_people_write_them(text: str, targets: tuple[str, ...]) -> None:
    assert parse_targets(text) == targets


def test_the_gpu_here_is_named_where_it_stands_beside_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trt_build, "gpus", lambda: (L4,))
    assert parse_targets("sm_86,CURRENT,sm_89") == ("8.6", "8.9")


def test_the_gpu_here_beside_others_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trt_build, "gpus", tuple)
    monkeypatch.setattr(trt_build, "why_no_gpu", lambda: "no NVIDIA driver")
    with pytest.raises(UsageError, match=r"^--gpu CURRENT: no NVIDIA driver; name GPUs instead, such as --gpu sm_86,"):
        parse_targets("sm_86,CURRENT")


@pytest.mark.parametrize("word", ["", "ampere", "sm_", "8", "8.10", "sm_90a", "RTX 4090"])
def test_refuses_what_is_no_compute_capability(word: str) -> None:
    with pytest.raises(
        UsageError, match=f"^--gpu: '{word}' is no compute capability; expected CURRENT or such as sm_86"
    ):
        parse_targets(f"sm_86,{word}")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"min_batch": 0},
            "batches must be 1 <= smallest <= fastest <= largest, got 0, 8 and 8",
        ),
        ({"opt_batch": 9}, "got 1, 9 and 8"),
        ({"min_batch": 5, "opt_batch": 4}, "got 5, 4 and 8"),
        ({"workspace_mb": 0}, "the workspace must be at least 1 MiB, got 0"),
        ({"optimization_level": 6}, "the optimization level must be 0 to 5, got 6"),
    ],
)
def test_refuses_a_request_that_cannot_be_meant(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        BuildRequest(Path("model.onnx"), (64, 64), **values)


def test_the_builder_is_found_by_its_kind() -> None:
    assert type(make_builder()).__module__ == "operators.tensorrt_builder"
