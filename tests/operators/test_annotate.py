from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from engine.detections import Detections
from engine.errors import ConfigError
from engine.packet import Packet
from operators.annotate import Annotate, colour_of, draw
from tests.frames import make_frame
from tests.track_rows import Row, make_tracks

SIZE_WH = (160, 90)
HERE = (0.5, 0.9)


def packet(index: int = 0, **frame: Any) -> Packet:
    return Packet(make_frame(index, **{"size_wh": SIZE_WH, **frame}), tracks=make_tracks([Row(HERE, height=0.7)]))


def write(operator: Annotate, packets: list[Packet]) -> None:
    operator.open()
    for each in packets:
        assert operator.process(each) is each
    operator.flush("shutdown")
    operator.close()


def read(path: Path) -> tuple[list[float], tuple[int, int], str]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = [float(frame.time) for frame in container.decode(stream) if frame.time is not None]
        return times, (stream.width, stream.height), stream.codec_context.name


def test_the_video_is_h264_of_the_frames_size_with_stream_time(tmp_path: Path) -> None:
    write(Annotate(path=str(tmp_path / "new" / "{camera}.mp4")), [packet(i, camera="gate") for i in (0, 1, 2, 5, 6)])
    times, size_wh, codec = read(tmp_path / "new" / "gate.mp4")
    assert times == pytest.approx([0.0, 0.1, 0.2, 0.5, 0.6], abs=1e-3)
    assert (size_wh, codec) == (SIZE_WH, "h264")


def test_time_goes_on_over_an_epoch_and_a_step_back(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    write(Annotate(path=str(path)), [packet(8), packet(9), packet(0, epoch=1), packet(1, epoch=1), packet(0, epoch=1)])
    assert read(path)[0] == pytest.approx([0.0, 0.1, 0.14, 0.24, 0.241], abs=2e-3)


def test_a_higher_crf_makes_a_smaller_file(tmp_path: Path) -> None:
    fine, coarse = tmp_path / "fine.mp4", tmp_path / "coarse.mp4"
    for path, crf in ((fine, 10), (coarse, 45)):
        write(Annotate(path=str(path), crf=crf), [packet(i) for i in range(4)])
    assert coarse.stat().st_size < 0.8 * fine.stat().st_size


def test_a_crf_that_x264_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="crf: must be from 0 to 51, got 52"):
        Annotate(path="a.mp4", crf=52)


def test_frames_of_another_size_are_fitted_in(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    write(Annotate(path=str(path)), [packet(0), packet(1, size_wh=(320, 100)), packet(2, size_wh=(20, 20))])
    times, size_wh, _ = read(path)
    assert (len(times), size_wh) == (3, SIZE_WH)


@pytest.mark.parametrize(("size_wh", "written_wh"), [((1, 1), (16, 16)), ((33, 47), (34, 48)), ((48, 48), (48, 48))])
def test_tiny_and_odd_frames_get_a_border(
    tmp_path: Path, size_wh: tuple[int, int], written_wh: tuple[int, int]
) -> None:
    write(Annotate(path=str(tmp_path / "out.mp4"), snapshot=str(tmp_path / "out.png")), [packet(size_wh=size_wh)])
    assert read(tmp_path / "out.mp4")[1] == written_wh


def test_the_snapshot_is_the_last_of_the_busiest_frames(tmp_path: Path) -> None:
    last = Packet(make_frame(1, size_wh=SIZE_WH), tracks=make_tracks([Row((0.2, 0.9), height=0.7)]))
    quiet = Packet(make_frame(2, size_wh=SIZE_WH), tracks=make_tracks([]))
    write(Annotate(snapshot=str(tmp_path / "a" / "b" / "{camera}.png")), [packet(0, camera="x/y"), last, quiet])
    found = cv2.imread(str(tmp_path / "a" / "b" / "x_y.png"))
    assert found is not None
    assert np.array_equal(found, draw(last))


def test_without_a_frame_no_file_is_made(tmp_path: Path) -> None:
    write(Annotate(path=str(tmp_path / "out.mp4"), snapshot=str(tmp_path / "out.png")), [])
    assert list(tmp_path.iterdir()) == []


def test_close_works_without_open_and_twice(tmp_path: Path) -> None:
    operator = Annotate(path=str(tmp_path / "out.mp4"))
    operator.close()
    operator.open()
    operator.process(packet())
    operator.close()
    operator.close()
    assert len(read(tmp_path / "out.mp4")[0]) == 1


def test_drawing_leaves_the_picture_alone() -> None:
    sent = packet()
    before = sent.frame.picture.bgr().copy()
    assert not np.array_equal(draw(sent), before)
    assert np.array_equal(sent.frame.picture.bgr(), before)


def test_confirmed_tracks_have_their_colour_and_unconfirmed_ones_are_grey() -> None:
    sure = draw(Packet(make_frame(size_wh=SIZE_WH), tracks=make_tracks([Row(HERE, track_id=3, height=0.7)])))
    unsure = draw(
        Packet(make_frame(size_wh=SIZE_WH), tracks=make_tracks([Row(HERE, track_id=3, height=0.7, confirmed=False)]))
    )
    assert (sure == colour_of(3)).all(axis=2).any()
    assert not (unsure == colour_of(3)).all(axis=2).any()
    assert (unsure == 160).all(axis=2).any()


def test_a_coasting_track_is_drawn_thin() -> None:
    def painted(coasted_s: float) -> int:
        tracks = make_tracks([Row(HERE, height=0.7, coasted_s=coasted_s)])
        return int((draw(Packet(make_frame(size_wh=SIZE_WH), tracks=tracks)) != 128).any(axis=2).sum())

    assert painted(0.5) < painted(0.0)


def test_detections_are_drawn_where_no_tracker_ran() -> None:
    found = Detections(
        np.array([[20, 30, 60, 80]], np.float32), np.ones(1, np.float32), np.array([4]), ("person", "car")
    )
    bare = draw(Packet(make_frame(size_wh=SIZE_WH)))
    assert (bare == 128).all()
    assert not (draw(Packet(make_frame(size_wh=SIZE_WH), detections=found)) == 128).all()
    assert (draw(Packet(make_frame(size_wh=SIZE_WH), detections=Detections.empty())) == 128).all()


def test_boxes_far_outside_of_the_frame_do_no_harm() -> None:
    tracks = make_tracks([Row((1e7, -1e7), 1), Row((-3.0, 5.0), 2, height=1e6)])
    assert draw(Packet(make_frame(size_wh=SIZE_WH), tracks=tracks)).shape == (90, 160, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "path: say where to write"),
        ({"path": "out.avi"}, r"path: must end in .mp4, got 'out.avi'"),
        ({"snapshot": "out.gif"}, r"snapshot: must end in .png or .jpg, got 'out.gif'"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Annotate(**options)


@pytest.mark.parametrize("field", ["path", "snapshot"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, field: str) -> None:
    (tmp_path / "file").write_text("in the way")
    suffix = "mp4" if field == "path" else "png"
    place: dict[str, Any] = {field: str(tmp_path / "file" / f"out.{suffix}")}
    operator = Annotate(**place)
    operator.open()
    with pytest.raises(ConfigError, match=r"annotate: cannot write .*out\.(mp4|png): .*; give a place"):
        operator.process(packet())
    operator.close()


@pytest.mark.parametrize("field", ["path", "snapshot"])
def test_a_folder_in_the_files_place_is_named(tmp_path: Path, field: str) -> None:
    suffix = "mp4" if field == "path" else "png"
    (tmp_path / f"out.{suffix}").mkdir()
    place: dict[str, Any] = {field: str(tmp_path / f"out.{suffix}")}
    with pytest.raises(ConfigError, match="annotate: cannot write"):
        write(Annotate(**place), [packet()])
