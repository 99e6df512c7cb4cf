from __future__ import annotations

import os
import pickle
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.errors import BundleError
from tests.training.test_loop import in_a_process
from training.checkpoint import (
    DiskError,
    TrainedModel,
    load_trained,
    read_checkpoint,
    replace_file,
    write_checkpoint,
)
from training.model import SIZES, Detector


def trained() -> TrainedModel:
    torch.manual_seed(0)
    detector = Detector(SIZES["femto"].with_classes(2)).eval()
    return TrainedModel(detector, ("blue", "red"), (96, 64), "name: x\n", 12, {"ap": 0.5, "ap50": 0.75})


@pytest.mark.parametrize("place", ["best.pt", ""])
def test_a_trained_detector_comes_back_as_it_was(tmp_path: Path, place: str) -> None:
    before = trained()
    before.save(tmp_path / "best.pt")
    after = load_trained(tmp_path / place)
    images = torch.rand(1, 3, 64, 96) * 255

    assert torch.equal(after.detector(images), before.detector(images))
    assert not after.detector.training
    assert (after.labels, after.input_wh, after.recipe, after.step) == (("blue", "red"), (96, 64), "name: x\n", 12)
    assert after.scores == {"ap": 0.5, "ap50": 0.75}
    assert [path.name for path in tmp_path.iterdir()] == ["best.pt"]


def test_a_missing_checkpoint_says_who_writes_it(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"best\.pt: no such checkpoint; `vedette train` writes it"):
        load_trained(tmp_path)


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    trained().save(tmp_path / "best.pt")
    content = (tmp_path / "best.pt").read_bytes()
    (tmp_path / "best.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleError, match=r"best\.pt: not a checkpoint of `vedette train`: "):
        load_trained(tmp_path)


def test_a_checkpoint_of_another_kind_or_format_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "x.pt", {"kind": "training"})
    with pytest.raises(BundleError, match="of kind 'training', format 1; expected kind 'detector', format 1"):
        load_trained(tmp_path / "x.pt")
    write_checkpoint(tmp_path / "x.pt", {"kind": "detector", "format": 2})
    with pytest.raises(BundleError, match="of kind 'detector', format 2; expected kind 'detector', format 1"):
        load_trained(tmp_path / "x.pt")


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Trap(), protocol=2))
    torch.save(Trap(), tmp_path / "torch.pt")
    for name in ("plain.pt", "torch.pt"):
        with pytest.raises(BundleError, match="not a checkpoint"):
            read_checkpoint(tmp_path / name, "detector")
    assert not (tmp_path / "sprung").exists()


def test_a_disk_that_takes_only_a_part_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    replace_file(path, b"before")

    def write_too_much() -> None:
        # The kernel itself refuses what goes beyond.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        with pytest.raises(DiskError, match=r"last\.pt: cannot be written \(0\.2 MB\): File too large; last\.pt is as"):
            replace_file(path, bytes(200_000))

    assert in_a_process(write_too_much) == 0
    assert path.read_bytes() == b"before"
    assert [found.name for found in tmp_path.iterdir()] == ["last.pt"]


def test_a_folder_that_has_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=r"gone/last\.pt: cannot be written .*: No such file or directory; make room"):
        replace_file(tmp_path / "gone" / "last.pt", b"x")
