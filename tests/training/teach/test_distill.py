from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import cli
from engine.bundle import Bundle
from engine.errors import ConfigError, SourceError, UsageError
from tests.training.teach.blocks import Block, write_frames, write_teacher
from training.dataset import Dataset
from training.teach.distill import Lesson, common_classes, distill

RED = "red"


def frames(count: int = 60) -> list[list[Block]]:
    """A red block that stays for a second, then moves on; a blue one in three frames only."""
    return [
        [((i // 10) % 4, 1 + i // 20 % 2, RED), *([(3, 3, "blue")] if i in (20, 21, 22) else [])] for i in range(count)
    ]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Footage in `gate`, a teacher in `teacher`."""
    torch.set_num_threads(1)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    write_frames(tmp_path / "gate", frames())
    write_teacher(tmp_path)
    return tmp_path


def lesson(site: Path, **changes: Any) -> Lesson:
    settings = {"name": "pupil", "teacher": str(site / "teacher"), "footage": (site / "gate",), "size": "femto",
                "cost": 1e6, "epochs": 1, **changes}  # fmt: skip
    return Lesson(**settings)


def test_a_class_needs_numbers() -> None:
    class Counted(Dataset):
        def box_counts(self) -> dict[str, int]:
            return {"person": 4000, "car": 60, "bus": 100, "dog": 3}

    assert common_classes(Counted(("person", "car", "bus", "dog"), ())) == ("person", "bus")


def test_too_few_labels_of_anything(site: Path) -> None:
    write_frames(site / "short", frames(20))
    with pytest.raises(SourceError, match=r"the teacher has labelled too little \(red 20\): give it more footage"):
        distill(lesson(site, footage=(site / "short",)), site / "work", site / "out")


def test_a_work_folder_in_use_is_not_touched(site: Path) -> None:
    (site / "work").mkdir()
    (site / "work" / "mine").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match=r"work: is not empty; go on with what is there by --resume"):
        distill(lesson(site), site / "work", site / "out")


@pytest.mark.slow
def test_a_student_comes_out_with_its_report_and_its_card(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work, out = site / "work", site / "pupil"
    arguments = ["distill", "--teacher", str(site / "teacher"), "--footage", str(site / "gate"), "--out", str(out),
                 "--work", str(work), "--size", "femto", "--cost", "1e6", "--epochs", "2",
                 "--licence", "CC0-1.0"]  # fmt: skip
    assert cli.main(arguments) == 0
    said = capsys.readouterr()
    assert "classes: red (those that the labels hold in numbers)" in said.err
    assert "truth is what the teacher saw, smoothed along time" in said.out
    bundle = Bundle.load(out)
    card = bundle.card()
    assert bundle.manifest.labels == (RED,)
    assert card is not None
    assert card.teacher is not None
    assert (card.teacher.name, card.teacher.digest) == ("tiny", Bundle.load(site / "teacher").digest)
    assert [entry.licence for entry in card.trained_on] == ["CC0-1.0"]
    report = json.loads((work / "report.json").read_text(encoding="utf-8"))
    assert report["student"]["input_wh"] == list(bundle.manifest.input.size_wh)
    assert report["teacher"]["ap50"] > 0.9
    assert "CPU time of a picture" in (work / "report.html").read_text(encoding="utf-8")

    # What is there is used again, and nothing else than what was asked for then.
    assert cli.main([*arguments, "--resume", "--force"]) == 0
    assert Bundle.load(out).digest == bundle.digest
    with pytest.raises(ConfigError, match=r"its labels were made with another classe; repeat the command"):
        distill(lesson(site, classes=(RED,)), work, site / "other", resume=True)
    with pytest.raises(ConfigError, match=r"the student was chosen for --size femto --cost 1000000\.0"):
        distill(lesson(site, cost=0.5, options=_cc0()), work, site / "other", resume=True)


def _cc0() -> Any:
    from training.teach.label import LabelOptions

    return LabelOptions(licence="CC0-1.0")


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--minutes", "1", "--epochs", "1"], "--minutes and --epochs: give one of them"),
     (["--cost", "0"], "--cost 0: must be above 0")],
)  # fmt: skip
def test_wrong_options(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["distill", "--teacher", "x", "--footage", "y", "--out", "z", *options]) == 2
    assert message in capsys.readouterr().err
