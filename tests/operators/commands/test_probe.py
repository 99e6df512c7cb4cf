from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli import main
from engine.errors import Cause, SourceError
from operators.commands.probe import describe, look
from tests.clips import join, square_frames, write_annexb, write_clip
from tests.rtsp import GstServer


def test_a_file_is_described(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.mp4",
        square_frames(50),
        gop=20,
        b_frames=2,
        audio=True,
        metadata={"creation_time": "2026-11-22T07:15:04Z"},
    )

    report = look(str(path))

    assert (report.live, report.num_frames, report.num_corrupt, report.epochs) == (False, 50, 0, 1)
    assert report.measured_fps == pytest.approx(25.0)
    assert report.key_every_frames == 20
    assert report.key_every_s == pytest.approx(0.8)
    lines = describe(report)
    assert lines[0] == str(path)
    assert lines[1:6] == [
        "  container     mov,mp4,m4a,3gp,3g2,mj2, 2.0 s",
        "  video         h264 High, 160x120, yuv420p",
        "  rate          25.00 fps declared, 25.00 measured",
        "  key frames    every 20 pictures (0.80 s)",
        "  B-frames      yes",
    ]
    assert lines[6] == "  not read      audio: aac"
    assert lines[8] == "  clock         container, recorded 2026-11-22T07:15:04Z"


def test_one_picture_is_enough(tmp_path: Path) -> None:
    lines = describe(look(str(write_clip(tmp_path / "a.avi", square_frames(1), codec="rawvideo"))))

    assert "  rate          25.00 fps declared, too short to measure" in lines
    assert "  key frames    none but the first in 1 pictures" in lines
    assert "  clock         container; it does not say when" in lines


def test_a_change_of_size_and_damaged_pictures_are_told(tmp_path: Path) -> None:
    small = write_annexb(tmp_path / "s.h264", square_frames(10))
    large = write_annexb(tmp_path / "l.h264", square_frames(10, (320, 240)))
    assert "  breaks        time or size broke 1 times" in describe(
        look(str(join(tmp_path / "b.h264", [small, large])))
    )

    cut = write_clip(tmp_path / "cut.avi", square_frames(30), codec="mpeg4", gop=10)
    data = bytearray(cut.read_bytes())
    first, index = data.index(b"00dc", data.index(b"movi")), data.index(b"idx1")
    data[first : first + 4] = data[index : index + 4] = b"JUNK"
    cut.write_bytes(data)
    assert "  damaged       9 of 29 pictures; they will be left out" in describe(look(str(cut)))


def test_a_stream_without_a_key_frame_cannot_be_used(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", square_frames(8), codec="mpeg4", gop=100)
    data = bytearray(path.read_bytes())
    first, index = data.index(b"00dc", data.index(b"movi")), data.index(b"idx1")
    data[first : first + 4] = data[index : index + 4] = b"JUNK"
    path.write_bytes(data)

    with pytest.raises(SourceError, match=r"none of its first [67] pictures is whole") as raised:
        look(str(path))

    assert raised.value.cause is Cause.CODEC


def test_the_command_prints_for_people_and_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_clip(tmp_path / "a.mp4", square_frames(30))

    assert main(["probe", str(path)]) == 0
    assert "  rate          25.00 fps declared, 25.00 measured\n" in capsys.readouterr().out
    assert main(["probe", str(path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["facts"]["codec"], report["num_frames"], report["clock"]) == ("h264", 30, "container")


def test_what_cannot_be_used_is_one_sentence_and_exit_code_three(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "rtsp://admin:s3cret@127.0.0.1:1/live"]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "vedette: rtsp://***@127.0.0.1:1/live: nothing listens on 127.0.0.1:1; check host and port, and that the "
        "camera is on\n"
    )


def test_an_unknown_transport_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "clip.mp4", "--transport", "fax"]) == 2
    assert "--transport must be tcp or udp, got 'fax'" in capsys.readouterr().err


@pytest.mark.rtsp
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_is_described(tmp_path: Path, transport: str, capfd: pytest.CaptureFixture[str]) -> None:
    clip = write_annexb(tmp_path / "a.h264", square_frames(50), gop=20)
    with GstServer({"cam": clip}, auth="digest", user="admin", password="s3cret") as server:
        url = server.url("cam", "admin:s3cret")
        assert main(["probe", url, "--transport", transport, "--for", "1.5"]) == 0

    said = capfd.readouterr()
    assert said.err == ""
    lines = said.out.splitlines()
    assert lines[0] == f"rtsp://***@127.0.0.1:{server.port}/cam"
    assert lines[1] == f"  container     rtsp over {transport}"
    assert lines[2] == "  video         h264 High, 160x120, yuv420p"
    assert lines[4] == "  key frames    every 20 pictures (0.80 s)"
    assert lines[5] == "  B-frames      no"
    assert lines[8] == "  clock         arrival (may be off by 500 ms)"
