from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.errors import SinkError
from operators.jsonl import Jsonl
from tests.builders import make_event


def written(sink: Jsonl, *batches: list[Any]) -> None:
    sink.open()
    for events in batches:
        sink.write(events, {"node": "n1"})
    sink.close()


def test_writes_one_body_a_line_and_no_headers(tmp_path: Path) -> None:
    first, second = make_event("Gate Süd", 1), make_event("Gate Süd", 2)
    written(Jsonl(str(tmp_path / "e.jsonl")), [first, second])
    assert (tmp_path / "e.jsonl").read_bytes() == first.to_json() + b"\n" + second.to_json() + b"\n"


def test_every_write_can_be_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    sink = Jsonl(str(path))
    sink.open()
    sizes = [path.stat().st_size]
    for seq in (1, 2):
        sink.write([make_event(seq=seq)], {})
        sizes.append(path.stat().st_size)
    sink.close()
    assert sizes[0] == 0 < sizes[1] < sizes[2]


def test_an_empty_write_and_an_empty_run_leave_an_empty_file(tmp_path: Path) -> None:
    sink = Jsonl(str(tmp_path / "e.jsonl"))
    written(sink, [])
    assert (tmp_path / "e.jsonl").read_bytes() == b""
    assert (sink.flush(0.0), sink.counts()) == (0, {"accepted": 0, "delivered": 0})


def test_makes_the_folders_and_a_file_for_each_camera(tmp_path: Path) -> None:
    sink = Jsonl(str(tmp_path / "a" / "b" / "{camera}.jsonl"))
    written(sink, [make_event("gate")], [make_event("../dock/1")], [make_event("gate", 2)])
    lines = {path.name: len(path.read_text().splitlines()) for path in (tmp_path / "a" / "b").iterdir()}
    assert lines == {"gate.jsonl": 2, "_dock_1.jsonl": 1}
    assert sink.counts() == {"accepted": 3, "delivered": 3}


@pytest.mark.parametrize(("append", "seqs"), [(False, [2]), (True, [1, 2])])
def test_begins_anew_or_appends(tmp_path: Path, append: bool, seqs: list[int]) -> None:
    for seq in (1, 2):
        written(Jsonl(str(tmp_path / "e.jsonl"), append=append), [make_event(seq=seq)])
    assert [json.loads(line)["seq"] for line in (tmp_path / "e.jsonl").open()] == seqs


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("", "path: needs a file name or '-', got ''"),
        ("events/", "path: needs a file name or '-', got 'events/'"),
        ("{site}/{camera}.jsonl", r"path: may hold \{camera\} and no other braces, got \{site\} in "),
    ],
)
def test_refuses_a_path_that_cannot_be_meant(path: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Jsonl(path)


def test_a_file_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=f"events cannot be written to {tmp_path}: is a directory"):
        Jsonl(str(tmp_path)).open()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_sentence_and_closing_still_works() -> None:
    sink = Jsonl("/dev/full", append=True)
    sink.open()
    with pytest.raises(SinkError, match="events cannot be written to /dev/full: no space left on device"):
        sink.write([make_event()], {})
    sink.close()
    assert sink.counts() == {"accepted": 1, "delivered": 0}


def test_standard_output_stays_open(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    written(Jsonl(), [make_event()])
    sys.stdout.write("more\n")
    assert capsysbinary.readouterr().out == make_event().to_json() + b"\nmore\n"


def test_any_other_failure_of_standard_output_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, _: Any) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(Full()))  # type: ignore[type-var]
    with pytest.raises(SinkError, match="events cannot be written to standard output: no space left on device"):
        Jsonl().write([make_event()], {})


def test_a_reader_that_has_gone_is_one_sentence_and_no_traceback() -> None:
    program = (
        "import sys\n"
        "from engine.errors import SinkError\n"
        "from operators.jsonl import Jsonl\n"
        "from tests.builders import make_event\n"
        "try:\n"
        "    for seq in range(1, 100000):\n"
        "        Jsonl().write([make_event(seq=seq)], {})\n"
        "except SinkError as error:\n"
        "    print(error, file=sys.stderr)\n"
    )
    root = Path(__file__).resolve().parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert json.loads(child.stdout.readline())["seq"] == 1
    child.stdout.close()
    assert child.stderr is not None
    said = child.stderr.read()
    assert (child.wait(30), said) == (0, "events cannot be written to standard output: its reader has gone\n")
    child.stderr.close()
