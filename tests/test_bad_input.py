"""Bad input from the command line: one clear sentence, the documented exit code, no traceback, no password."""

from __future__ import annotations

import json
import socket
import threading
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import cli
from engine.commands.run import Request
from engine.local import run_live
from engine.site import Site
from tests.clips import square_frames, write_clip

Make = Callable[[Path], list[str]]


def clip(folder: Path, name: str = "clip.mp4", count: int = 12) -> Path:
    return write_clip(folder / name, square_frames(count), fps=10)


def written(name: str, data: bytes) -> Make:
    def make(folder: Path) -> list[str]:
        (folder / name).write_bytes(data)
        return [str(folder / name)]

    return make


def audio_only(folder: Path) -> list[str]:
    with wave.open(str(folder / "sound.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\0\0" * 8000)
    return [str(folder / "sound.wav")]


def config(text: str) -> Make:
    return lambda folder: written("site.yaml", text.encode())(folder)


BAD: list[tuple[str, Make, int, str]] = [
    ("missing file", lambda f: [str(f / "none.mp4")], 3, "none.mp4: no such file or folder"),
    ("folder without video", lambda f: [str(f)], 3, "this folder holds no video file"),
    ("empty file", written("empty.mp4", b""), 3, "empty.mp4"),
    ("not a video", written("text.mp4", b"hello world, this is no video at all\n" * 50), 3, "text.mp4"),
    ("audio only", audio_only, 3, "sound.wav"),
    ("unknown option", lambda f: [str(clip(f)), "--colour", "red"], 2, "No such option: --colour"),
    ("unknown runner", lambda f: [str(clip(f)), "--runner", "slurm"], 2, "--runner slurm: expected ray or inline"),
    ("unknown tracker", lambda f: [str(clip(f)), "--tracker", "sorrt"], 2, "did you mean 'sort'?"),
    ("classes of motion", lambda f: [str(clip(f)), "--model", "motion", "--classes", "person"], 2, "--classes needs a model"),
    ("bad cadence", lambda f: [str(clip(f)), "--model", "x", "--cadence", "often"], 2, "--cadence often: expected every"),
    ("missing model", lambda f: [str(clip(f)), "--model", str(f / "no.onnx")], 3, "no.onnx"),
    ("model that is not ONNX", lambda f: [str(clip(f)), "--model", written("m.onnx", b"no model")(f)[0]], 3, "m.onnx"),
    ("two cameras, one file", lambda f: [str(clip(f)), str(clip(f, "b.mp4")), "--mot", "x.txt"], 2, "put {camera} into the name"),
    ("options with a configuration", lambda f: [*config("cameras: {}")(f), "--tracker", "sort"], 2, "goes with sources"),
    ("no YAML", config("cameras: ["), 2, "not YAML"),
    ("unknown step", config("cameras: {a: {url: x.mp4}}\npipeline: [{lines: {}}]"), 2, "unknown kind 'lines'"),
    ("events to nowhere", lambda f: [str(clip(f)), "--events", "/proc/none/x.jsonl"], 3, "/proc/none/x.jsonl"),
]  # fmt: skip


@pytest.mark.parametrize("command", ["run", "replay"])
@pytest.mark.parametrize(("make", "code", "text"), [pytest.param(m, c, t, id=n) for n, m, c, t in BAD])
def test_bad_input_is_one_sentence_and_an_exit_code(
    make: Make, code: int, text: str, command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runner = [] if "--runner" in (arguments := make(tmp_path)) else ["--runner", "inline"]
    assert cli.main([command, *arguments, *runner]) == code

    said = capfd.readouterr().err
    assert text in said.replace("\n", " ") or text in said
    assert "Traceback" not in said


def test_the_other_sources_are_finished_first(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    good, bad = clip(tmp_path), written("bad.mp4", b"nothing")(tmp_path)[0]
    summary = tmp_path / "summary.json"
    arguments = [str(good), bad, "--runner", "inline", "--summary", str(summary), "--events", str(tmp_path / "e.jsonl")]
    for command in ("run", "replay"):
        assert cli.main([command, *arguments]) == 3
        cameras = json.loads(summary.read_text())["cameras"]
        assert cameras["clip"]["frames_analysed"] == 12
        assert "bad.mp4" in cameras["bad"]["error"]
    assert "bad.mp4" in capfd.readouterr().err


def test_a_truncated_recording_gives_the_frames_that_are_there(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.ts", square_frames(50), fps=10)
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    summary = tmp_path / "summary.json"
    code = cli.main(["replay", str(cut), "--summary", str(summary), "--events", str(tmp_path / "e.jsonl")])

    assert code in (0, 3)
    assert 5 <= json.loads(summary.read_text())["frames_analysed"] < 50


def test_a_live_url_cannot_be_replayed(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", "rtsp://user:secret-word@127.0.0.1/x"]) == 2
    said = capfd.readouterr().err
    assert "is live and cannot be replayed" in said
    assert "secret-word" not in said


def test_a_live_camera_that_is_down_never_ends_a_run_and_no_password_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"rtsp://admin:secret-word@127.0.0.1:{probe.getsockname()[1]}/x"
    stop = threading.Event()
    threading.Timer(1.5, stop.set).start()
    site = Site.of_sources([url], events=tmp_path / "e.jsonl")
    summary, errors = run_live(Request(site, None, None, None), stop)

    (camera,) = summary.cameras.values()
    assert errors == {}
    assert camera.error is not None
    assert "nothing listens on" in camera.error
    events = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert [(e["type"], e["camera_state"]["cause"]) for e in events] == [("camera.down", "refused")]
    said = capfd.readouterr()
    assert "secret-word" not in said.out + said.err + str(camera.error) + (tmp_path / "e.jsonl").read_text()


def test_events_that_no_broker_took_are_not_lost_silently(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.local.FLUSH_S", 0.5)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{probe.getsockname()[1]}"
    assert cli.main(["run", str(clip(tmp_path)), "--runner", "inline", "--kafka", nobody]) == 3
    said = capfd.readouterr().err
    assert "events were not delivered before the end" in said
    assert "Traceback" not in said


def test_golden_differences_exit_1_and_are_explained(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source, golden = str(clip(tmp_path, count=30)), str(tmp_path / "golden.jsonl")
    assert cli.main(["replay", source, "--golden", golden, "--update-golden"]) == 0
    assert cli.main(["replay", source, "--golden", golden]) == 0

    lines = Path(golden).read_text().splitlines()
    Path(golden).write_text("\n".join(line.replace("clip", "clop") for line in lines) + "\n")
    capfd.readouterr()
    assert cli.main(["replay", source, "--golden", golden]) == 1
    assert "~ clop 0.000 s camera.up: camera clop → clip" in capfd.readouterr().out


def test_a_golden_log_that_does_not_exist_says_how_to_write_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["replay", str(clip(tmp_path)), "--golden", str(tmp_path / "none.jsonl")]) == 2
    assert "`--update-golden` writes it" in capfd.readouterr().err


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    for command in ("run", "replay", "plan", "check", "doctor", "bench", "models", "detect", "evaluate"):
        assert command in out
