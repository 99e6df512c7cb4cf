from __future__ import annotations

import pytest

from engine.errors import UsageError
from engine.inference import backends
from training.bench.variant import Variant, batch_sizes, variants


def test_all_begins_with_what_runs_everywhere() -> None:
    found = variants("all", "auto", None)

    assert found[0] == Variant("onnxruntime")
    assert {one.backend for one in found} == set(backends())


def test_combines_backends_devices_and_precisions() -> None:
    found = variants("onnxruntime", "cpu, cuda:1,cpu", "fp32,fp16")

    assert [str(one) for one in found] == [
        "onnxruntime cpu fp32", "onnxruntime cpu fp16", "onnxruntime cuda:1 fp32", "onnxruntime cuda:1 fp16",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "devices", "precisions", "why"),
    [
        ("onnxruntim", "auto", None, "--backends: unknown backend 'onnxruntim' .did you mean 'onnxruntime'"),
        ("auto", "auto", None, "--backends: unknown backend 'auto'"),
        ("all", "gpu", None, "device must be auto, cpu, cuda or cuda:N, got 'gpu'"),
        ("all", "cpu", "fp8", "precision must be one of fp32, fp16, bf16, int8, got 'fp8'"),
        ("", "cpu", None, "there is nothing to compare"),
        ("all", "cpu", "", "there is nothing to compare"),
    ],
)
def test_refuses_what_it_does_not_know(names: str, devices: str, precisions: str | None, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        variants(names, devices, precisions)


def test_batch_sizes_are_sorted_and_each_counts_once() -> None:
    assert batch_sizes("8, 1,4,8") == [1, 4, 8]


@pytest.mark.parametrize("text", ["", "0", "1,a", "-1", "1.5", "4096"])
def test_refuses_what_is_no_batch_size(text: str) -> None:
    with pytest.raises(UsageError, match=f"--batch {text}: expected numbers from 1 to 1024"):
        batch_sizes(text)
