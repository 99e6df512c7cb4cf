from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest

from engine import cli
from engine.errors import UsageError
from engine.mot import read_mot
from training.evaluation.tracks import find_pairs, parse_frames
from training.track_scores import judge_tracks

pytest.importorskip("trackeval", reason="trackeval is not installed (pip install --no-deps trackeval)")

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "mot"


def lines(track_id: int, x: int, frames: range = range(1, 11), flag: float = 1, tail: str = "-1,-1,-1") -> str:
    return "".join(f"{frame},{track_id},{x + 2 * frame},50,20,40,{flag},{tail}\n" for frame in frames)


def judge(tmp_path: Path, truth: str, results: str, *options: str) -> tuple[int, list[str]]:
    (tmp_path / "gt.txt").write_text(truth)
    (tmp_path / "out.txt").write_text(results)
    files = ["--gt", str(tmp_path / "gt.txt"), "--results", str(tmp_path / "out.txt")]
    return cli.main(["evaluate", "tracks", *files, *options]), files


def scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], truth: str, results: str, *options: str
) -> dict[str, Any]:
    code, _ = judge(tmp_path, truth, results, "--json", *options)
    assert code == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_truth_as_result_gives_100(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = lines(1, 0) + lines(2, 100)

    found = scores(tmp_path, capsys, truth, truth)

    assert (found["HOTA"], found["MOTA"], found["IDF1"], found["id_switches"]) == (100, 100, 100, 0)
    assert found["sequences"]["out"]["num_truth"] == 20


def test_a_swap_of_ids_costs_what_it_must(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = range(1, 6), range(6, 11)
    results = lines(1, 0, first) + lines(2, 0, second) + lines(2, 100, first) + lines(1, 100, second)

    found = scores(tmp_path, capsys, lines(1, 0) + lines(2, 100), results)

    assert (found["MOTA"], found["IDF1"], found["id_switches"]) == (90, 50, 2)
    assert found["DetA"] == 100


def test_misses_and_false_positives_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = scores(tmp_path, capsys, lines(1, 0), lines(1, 0, range(1, 9)) + lines(9, 300, range(1, 4)))

    assert (found["misses"], found["false_positives"], found["MOTA"]) == (2, 3, 50)


def test_frames_outside_of_the_range_are_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = scores(tmp_path, capsys, lines(1, 0), lines(1, 0, range(1, 4)) + lines(3, 300), "--frames", "1:3")

    assert (found["num_truth"], found["misses"], found["false_positives"]) == (3, 0, 3)


def test_results_on_open_truth_are_neither_right_nor_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = lines(1, 0) + lines(2, 100, flag=0)

    found = scores(tmp_path, capsys, truth, lines(1, 0) + lines(2, 100))
    strict = scores(tmp_path, capsys, truth, lines(1, 0) + lines(2, 100), "--strict")

    assert (found["num_truth"], found["false_positives"], found["MOTA"]) == (10, 0, 100)
    assert (strict["num_truth"], strict["false_positives"], strict["MOTA"]) == (10, 10, 0)


def test_mot17_leaves_distractors_open_and_other_classes_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = lines(1, 0, tail="1,1") + lines(2, 100, flag=0, tail="8,1") + lines(3, 200, flag=0, tail="3,1")

    found = scores(tmp_path, capsys, truth, lines(1, 0) + lines(2, 100) + lines(3, 200), "--strict")

    assert (found["num_truth"], found["false_positives"]) == (10, 10)


def test_no_results_are_all_misses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = scores(tmp_path, capsys, lines(1, 0), "")

    assert (found["HOTA"], found["MOTA"], found["misses"]) == (0, 0, 10)


def test_folders_are_judged_sequence_by_sequence_and_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / "gt" / name / "gt").mkdir(parents=True)
        (tmp_path / "gt" / name / "gt" / "gt.txt").write_text(lines(1, 0))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").write_text(lines(5, 0))
    (tmp_path / "out" / "b.txt").write_text(lines(5, 0, range(1, 6)))

    assert cli.main(["evaluate", "tracks", "--gt", str(tmp_path / "gt"), "--results", str(tmp_path / "out")]) == 0

    printed = capsys.readouterr()
    table = {line.split()[0]: line.split()[1:] for line in printed.out.splitlines()[1:]}
    assert [table[name][3] for name in ("a", "b", "combined")] == ["100.00", "50.00", "75.00"]
    assert printed.err == "not judged, no results for: c\n"


def test_truth_without_anything_to_judge_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(tmp_path, lines(1, 0, flag=0), lines(1, 0))[0] == 3

    assert "gt.txt: holds no box to be judged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("truth", "results", "sentence"),
    [
        ("gt.txt", "none.txt", "none.txt: no such file or folder"),
        ("gt.txt", "out", "out: is a folder where .*gt.txt is a file"),
        ("bare", "out.txt", "bare: is a folder without gt/gt.txt"),
        ("bare", "out", "has no ground truth; expected .*bare/x/gt/gt.txt for sequence 'x'"),
        ("bare", "bare", "bare: holds no NAME.txt to judge"),
    ],
)
def test_files_that_do_not_fit_together(tmp_path: Path, truth: str, results: str, sentence: str) -> None:
    for name in ("gt.txt", "out.txt"):
        (tmp_path / name).write_text("")
    for name in ("bare", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "out" / "x.txt").write_text("")

    with pytest.raises(UsageError, match=sentence):
        find_pairs(tmp_path / truth, tmp_path / results)


def test_a_folder_of_one_sequence_fits_a_file(tmp_path: Path) -> None:
    (tmp_path / "TUD" / "gt").mkdir(parents=True)
    (tmp_path / "TUD" / "gt" / "gt.txt").write_text("")
    (tmp_path / "out.txt").write_text("")

    assert find_pairs(tmp_path / "TUD", tmp_path / "out.txt") == {
        "TUD": (tmp_path / "TUD" / "gt" / "gt.txt", tmp_path / "out.txt")
    }


def test_frame_ranges() -> None:
    assert parse_frames(None) is None
    assert parse_frames("1:400") == (1, 400)
    assert parse_frames("5:")[0] == 5  # type: ignore[index]
    assert parse_frames(":7") == (1, 7)


@pytest.mark.parametrize("text", ["400", "0:3", "5:4", "a:b"])
def test_frame_ranges_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(UsageError, match=f"--frames {text}: expected A:B with 1 <= A <= B, such as 1:400"):
        parse_frames(text)


def test_without_trackeval_the_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("trackeval"):
            raise ModuleNotFoundError("No module named 'trackeval'", name="trackeval")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)

    with pytest.raises(UsageError, match="needs the package 'trackeval'; install it with `pip install --no-deps"):
        judge_tracks({})


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="optional data of ../shared is not here")
@pytest.mark.parametrize(("name", "mota", "idf1"), [("TUD-Campus", 52.65, 55.77), ("TUD-Stadtmitte", 56.40, 64.46)])
def test_known_results_get_their_known_scores(name: str, mota: float, idf1: float) -> None:
    truth, results = read_mot(DATA / name / "gt" / "gt.txt"), read_mot(DATA / "reference_results" / f"{name}.txt")

    found = judge_tracks({name: (truth, results)}).combined

    assert (round(found.mota, 2), round(found.idf1, 2)) == (mota, idf1)
