from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.clock import Timeline
from engine.errors import Cause, SourceError
from engine.frame import SourceFrame
from engine.picture import Pixels
from operators.video import MAX_ERRORS_IN_A_ROW, Video
from tests.clips import Bgr, join, square_frames, write_annexb, write_audio, write_clip

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "videos"


def read(path: Path, **options: bool) -> list[SourceFrame]:
    video = Video(str(path), **options)  # type: ignore[arg-type]
    video.open()
    return list(video.frames())


def difference(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def nearest(frame: SourceFrame, written: list[Bgr]) -> int:
    return int(np.argmin([difference(frame.picture.bgr(), bgr) for bgr in written]))


@pytest.mark.parametrize(
    ("codec", "suffix", "b_frames"),
    [
        ("libx264", "mp4", 0),
        ("libx264", "mp4", 2),
        ("libx264", "mkv", 2),
        ("libx264", "ts", 2),
        ("libx265", "mp4", 0),
        ("mpeg4", "avi", 0),
        ("mpeg4", "mp4", 2),
        ("mpeg2video", "mpg", 2),
        ("libvpx-vp9", "webm", 0),
        ("mjpeg", "avi", 0),
        ("ffv1", "mkv", 0),
        ("rawvideo", "avi", 0),
    ],
)
def test_every_picture_of_a_file_comes_in_order_and_like_it_was_encoded(
    tmp_path: Path, codec: str, suffix: str, b_frames: int
) -> None:
    written = square_frames(30)
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = write_clip(tmp_path / f"a.{suffix}", written, codec=codec, gop=12, b_frames=b_frames, pix_fmt=pix_fmt)

    frames = read(path)

    assert len(frames) == 30
    assert [nearest(f, written) for f in frames] == list(range(30))
    times = [f.pts_s for f in frames if f.pts_s is not None]
    assert np.diff(times) == pytest.approx(0.04, abs=1e-3)
    assert frames[0].is_key
    assert not any(f.is_corrupt for f in frames)


@pytest.mark.parametrize(
    ("pix_fmt", "codec", "suffix", "held_as"),
    [
        ("yuv420p", "ffv1", "mkv", "yuv420p"),
        ("yuvj420p", "mjpeg", "avi", "yuv420p"),
        ("nv12", "rawvideo", "nut", "yuv420p"),
        ("gray", "ffv1", "mkv", "gray"),
        ("yuv422p", "ffv1", "mkv", "bgr24"),
        ("yuvj422p", "mjpeg", "avi", "bgr24"),
        ("yuv444p", "ffv1", "mkv", "bgr24"),
        ("yuv420p10le", "ffv1", "mkv", "bgr24"),
        ("gray16le", "ffv1", "mkv", "bgr24"),
        ("rgb24", "rawvideo", "nut", "bgr24"),
        ("bgr24", "rawvideo", "avi", "bgr24"),
        ("rgb8", "gif", "gif", "bgr24"),
    ],
)
@pytest.mark.parametrize("size_wh", [(64, 48), (33, 21), (50, 38)])
def test_every_pixel_format_shows_the_same_picture(
    tmp_path: Path, pix_fmt: str, codec: str, suffix: str, held_as: str, size_wh: tuple[int, int]
) -> None:
    written = square_frames(3, size_wh)
    path = write_clip(
        tmp_path / f"a.{suffix}", written, codec=codec, pix_fmt=pix_fmt, full_range=pix_fmt.startswith("yuvj")
    )

    picture = read(path)[2].picture

    assert picture.pixel_format == held_as
    assert picture.size_wh == size_wh
    assert picture.full_range == (pix_fmt == "yuvj420p")
    if pix_fmt.startswith("gray"):
        assert difference(picture.gray(), cv2.cvtColor(written[2], cv2.COLOR_BGR2GRAY).astype(np.uint8)) < 18
    else:
        assert difference(picture.bgr(), written[2]) < (30 if pix_fmt == "rgb8" else 12)


def test_a_picture_of_one_pixel_is_a_picture(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "dot.avi", [np.full((1, 1, 3), 77, np.uint8)] * 3, codec="rawvideo")

    frames = read(path)

    assert [f.picture.size_wh for f in frames] == [(1, 1)] * 3
    assert difference(frames[0].picture.bgr(), np.full((1, 1, 3), 77, np.uint8)) < 3


def test_planes_stay_what_they_were_while_the_decoder_goes_on_and_after_it_is_gone(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", square_frames(60, (170, 90)), b_frames=2)
    video = Video(str(path))
    video.open()
    held, copies = [], []
    for frame in video.frames():
        held.append(frame.picture)
        copies.append([plane.copy() for plane in frame.picture.planes])
    video.close()
    del video

    assert len(held) == 60
    for picture, planes in zip(held, copies, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(picture.planes, planes, strict=True))
    assert held[0].planes[0].base is not None, "the planes are views, not copies"


def test_motion_vectors_point_where_the_square_came_from(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", square_frames(20, (320, 240)), gop=10)

    frames = read(path, motion_vectors=True)

    assert [f.motion_vectors is None for f in frames] == [i % 10 == 0 for i in range(20)]
    vectors = frames[5].motion_vectors
    assert vectors is not None
    assert vectors.flags.owndata
    moving = vectors[vectors["motion_x"] != 0]
    assert len(moving) > 0
    moved_px = moving["motion_x"] / moving["motion_scale"]
    assert np.median(np.abs(moved_px)) == pytest.approx(2.0)
    assert all(f.motion_vectors is None for f in read(path))


def test_skipping_the_loop_filter_changes_pictures_a_little(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    shaky = [np.clip(f + noise.integers(-20, 20, f.shape), 0, 255).astype(np.uint8) for f in square_frames(12)]
    path = write_clip(tmp_path / "a.mp4", shaky, options={"crf": "40"})

    plain, quick = read(path)[5].picture.bgr(), read(path, skip_loop_filter=True)[5].picture.bgr()

    assert 0 < difference(plain, quick) < 20


def test_the_header_tells_length_rate_and_when_it_was_recorded(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.mp4", square_frames(30), fps=10, metadata={"creation_time": "2026-11-22T07:15:04.000000Z"}
    )
    video = Video(str(path))
    assert video.num_frames() is None
    assert not video.live

    video.open()

    assert video.num_frames() == 30
    assert video.nominal_fps == pytest.approx(10.0)
    assert video.starts_unix_us == 1_795_331_704_000_000
    facts = video.facts()
    assert (facts.codec, facts.size_wh, facts.fps, facts.transport) == ("h264", (160, 120), 10.0, None)
    video.close()


@pytest.mark.parametrize("recorded", ["", "1904-01-01T00:00:00Z", "1970-01-01T00:00:00Z"])
def test_a_file_whose_recorder_had_no_clock_says_nothing(tmp_path: Path, recorded: str) -> None:
    video = Video(str(write_clip(tmp_path / "a.mkv", square_frames(2), metadata={"creation_time": recorded})))
    video.open()

    assert video.starts_unix_us is None
    video.close()


def test_a_title_that_is_no_proper_text_does_no_harm(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", square_frames(5), metadata={"title": "Kamera Tuer"})
    path.write_bytes(path.read_bytes().replace(b"Kamera Tuer", b"Kamera T\xfcr "))

    assert len(read(path)) == 5


def test_audio_beside_video_is_not_read(tmp_path: Path) -> None:
    video = Video(str(write_clip(tmp_path / "a.mp4", square_frames(10), audio=True)))
    video.open()

    assert len(list(video.frames())) == 10
    assert video.facts().others == ("audio: aac",)


def test_bare_h264_states_times_at_its_rate(tmp_path: Path) -> None:
    video = Video(str(write_annexb(tmp_path / "a.h264", square_frames(10))))
    video.open()
    timeline = Timeline("cam", 0, live=False, nominal_fps=video.nominal_fps)

    stamped = [timeline.stamp(frame) for frame in video.frames()]

    assert [frame.pts_us for frame in stamped] == [40_000 * i + stamped[0].pts_us for i in range(10)]


def test_a_change_of_size_goes_on_in_a_new_epoch(tmp_path: Path) -> None:
    small = write_annexb(tmp_path / "s.h264", square_frames(10, (160, 120)))
    large = write_annexb(tmp_path / "l.h264", square_frames(10, (320, 240)))
    video = Video(str(join(tmp_path / "both.h264", [small, large])))
    video.open()
    timeline = Timeline("cam", 0, live=False, nominal_fps=video.nominal_fps)

    frames = [timeline.stamp(frame) for frame in video.frames()]

    assert [f.size_wh for f in frames] == [(160, 120)] * 10 + [(320, 240)] * 10
    assert [f.epoch for f in frames] == [0] * 10 + [1] * 10
    assert [f.index for f in frames] == list(range(20))
    assert video.facts().size_wh == (320, 240)


@pytest.mark.parametrize(
    ("name", "content", "cause", "text"),
    [
        ("missing.mp4", None, Cause.NOT_FOUND, "no such file"),
        ("empty.mp4", b"", Cause.INVALID, "the file is empty"),
        ("text.mp4", b"hello world\n" * 500, Cause.INVALID, "not a video file, or one that was cut off"),
        ("concat:x.mp4", None, Cause.NOT_FOUND, "no such file"),
    ],
)
def test_a_file_that_is_no_video_is_one_sentence(
    tmp_path: Path, name: str, content: bytes | None, cause: Cause, text: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SourceError, match=text) as raised:
        read(path)

    assert raised.value.cause is cause
    assert name in str(raised.value)


def test_a_folder_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="this is a folder, not a video file"):
        read(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", square_frames(2))
    path.chmod(0)

    with pytest.raises(SourceError, match="may not be read; check its permissions"):
        read(path)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no video in it, only audio: aac") as raised:
        read(write_audio(tmp_path / "a.m4a"))

    assert raised.value.cause is Cause.CODEC


def test_a_codec_without_a_decoder_is_named(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", square_frames(3))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzz9"))

    with pytest.raises(SourceError, match="no decoder for its codec 'zzz9'") as raised:
        read(path)

    assert raised.value.cause is Cause.CODEC


def test_a_file_without_an_index_was_cut_off(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", square_frames(30))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(SourceError, match="cut off before its index was written"):
        read(path)


@pytest.mark.parametrize(("suffix", "options"), [("mp4", {"movflags": "faststart"}), ("avi", {}), ("mkv", {})])
def test_a_damaged_file_gives_what_comes_before_the_damage_and_one_warning(
    tmp_path: Path, suffix: str, options: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    written = square_frames(60)
    path = write_clip(tmp_path / f"a.{suffix}", written, gop=10, container_options=options)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    video = Video(str(path))
    video.open()

    with caplog.at_level(logging.WARNING, "operators.video"):
        frames = list(video.frames())

    whole = [f for f in frames if not f.is_corrupt]
    assert 10 < len(whole) < 60
    assert [nearest(f, written) for f in whole] == list(range(len(whole)))
    if suffix != "mkv":  # whose header does not promise a number
        assert len([r for r in caplog.records if r.name == "operators.video"]) == 1
        assert video.decode_errors > 0


def test_a_video_without_one_whole_picture_is_an_error(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", square_frames(3), codec="mpeg4")
    data = bytearray(path.read_bytes())
    movi = data.index(b"movi")
    start = data.index(b"00dc", movi)
    while start > 0:
        size = int.from_bytes(data[start + 4 : start + 8], "little")
        data[start + 8 : start + 8 + size] = bytes(size)
        start = data.find(b"00dc", start + 8 + size, data.index(b"idx1"))
    path.write_bytes(data)

    with pytest.raises(SourceError, match="no picture in it can be decoded") as raised:
        read(path)

    assert raised.value.cause is Cause.CODEC


def damage(path: Path, pictures: range) -> Path:
    """Fill the payload of some access units of bare H.264 with noise."""
    data = path.read_bytes()
    units = [b"\0\0\0\1\x09" + unit for unit in data.split(b"\0\0\0\1\x09")[1:]]
    noise = np.random.default_rng(5)
    for index in pictures:
        half = len(units[index]) // 2
        units[index] = units[index][:half] + noise.integers(1, 255, len(units[index]) - half, np.uint8).tobytes()
    path.write_bytes(b"".join(units))
    return path


def noisy(count: int) -> list[Bgr]:
    noise = np.random.default_rng(3)
    pictures = square_frames(count, (320, 240))
    return [np.clip(p + noise.integers(-12, 12, p.shape), 0, 255).astype(np.uint8) for p in pictures]


def test_everything_from_a_damaged_picture_to_the_next_key_frame_is_marked(tmp_path: Path) -> None:
    path = write_annexb(tmp_path / "a.h264", noisy(40), gop=10)
    whole = [f.picture.bgr() for f in read(path)]

    frames = read(damage(path, range(13, 14)))

    assert [f.is_corrupt for f in frames] == [13 <= i < 20 for i in range(40)]
    assert all(np.array_equal(frames[i].picture.bgr(), whole[i]) for i in (*range(13), *range(20, 40)))


def test_pictures_before_the_first_key_frame_are_marked(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", square_frames(30), codec="mpeg4", gop=10)
    data = bytearray(path.read_bytes())
    first = data.index(b"00dc", data.index(b"movi"))
    data[first : first + 4] = b"JUNK"
    index = data.index(b"idx1")
    data[index : index + 4] = b"JUNK"
    path.write_bytes(data)

    frames = read(path)

    assert [f.is_corrupt for f in frames] == [True] * 9 + [False] * 20


def test_a_stream_that_is_all_rubbish_is_given_up(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", square_frames(MAX_ERRORS_IN_A_ROW + 50), codec="mpeg4", gop=1)
    data = path.read_bytes()
    good_until = data.index(b"00dc", data.index(b"movi") + 4000)
    start, out = good_until, bytearray(data)
    while start > 0:
        size = int.from_bytes(data[start + 4 : start + 8], "little")
        out[start + 8 : start + 8 + size] = b"\xff" * size
        start = data.find(b"00dc", start + 8 + size, data.index(b"idx1"))
    path.write_bytes(out)

    with pytest.raises(SourceError, match=f"{MAX_ERRORS_IN_A_ROW} packets in a row cannot be decoded") as raised:
        read(path)

    assert raised.value.cause is Cause.CODEC


def test_close_ends_the_frames_and_may_be_called_at_any_time(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", square_frames(20))
    video = Video(str(path))
    video.close()
    video.open()
    assert list(video.frames()) == []

    video = Video(str(path))
    video.open()
    frames = video.frames()
    next(frames)
    video.close()
    video.close()

    assert list(frames) == []


@pytest.mark.parametrize("delay_s", [0.0, 0.002, 0.005, 0.01])
def test_close_from_another_thread_never_harms_the_one_that_reads(tmp_path: Path, delay_s: float) -> None:
    # In a process of its own: a mistake here would not raise but crash.
    path = write_clip(tmp_path / "a.mp4", square_frames(200))
    script = f"""
import threading, time
from operators.video import Video
for _ in range(15):
    video = Video({str(path)!r})
    video.open()
    count = 0
    closer = threading.Thread(target=lambda: (time.sleep({delay_s}), video.close()))
    closer.start()
    for frame in video.frames():
        count += int(frame.picture.planes[0][0, 0] >= 0)
    closer.join()
    assert video._container is None
print("ended")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "ended", "")


def test_frames_may_be_read_in_another_thread_than_open(tmp_path: Path) -> None:
    video = Video(str(write_clip(tmp_path / "a.mp4", square_frames(10))))
    video.open()
    counts: list[int] = []
    thread = threading.Thread(target=lambda: counts.append(len(list(video.frames()))))
    thread.start()
    thread.join()

    assert counts == [10]


def test_the_password_is_not_in_its_representation() -> None:
    assert "s3cret" not in repr(Video("rtsp://admin:s3cret@10.0.0.7/live"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"transport": "carrier_pigeon"}, "transport: must be tcp or udp, got 'carrier_pigeon'"),
        ({"open_timeout_s": 0}, "open_timeout_s: must be above 0, got 0"),
        ({"read_timeout_s": -1}, "read_timeout_s: must be above 0, got -1"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Video("clip.mp4", **options)  # type: ignore[arg-type]


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared/data/videos beside this checkout")
@pytest.mark.parametrize(
    ("name", "num_frames", "steps_back", "size_wh"),
    [
        ("vtest.avi", 795, 0, (768, 576)),
        ("highway_320x240.avi", 748, 256, (320, 240)),
        ("street_bend_640x352.mp4", 905, 0, (640, 352)),
        ("night_city_426x240.mp4", 431, 0, (426, 240)),
        ("tiny_48x48_raw.avi", 51, 0, (48, 48)),
        ("car-detection.mp4", 377, 0, (768, 432)),
        ("one-by-one-person-detection.mp4", 1394, 0, (768, 432)),
        ("retail_1080p_hevc.mp4", 603, 0, (1920, 1080)),
    ],
)
def test_real_footage_gives_every_frame_in_one_epoch(
    name: str, num_frames: int, steps_back: int, size_wh: tuple[int, int]
) -> None:
    video = Video(str(DATA / name))
    video.open()
    timeline = Timeline("cam", 0, False, video.starts_unix_us, video.nominal_fps)
    at_us, corrupt, sizes = [], 0, set()
    for source_frame in video.frames():
        frame = timeline.stamp(source_frame)
        at_us.append(frame.pts_us)
        corrupt += source_frame.is_corrupt
        sizes.add(frame.size_wh)

    assert (len(at_us), timeline.steps_back, sizes) == (num_frames, steps_back, {size_wh})
    assert (timeline.epoch, corrupt, video.decode_errors) == (0, 0, 0)
    assert at_us == sorted(set(at_us))


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared/data/videos beside this checkout")
def test_raw_pictures_that_are_stored_upside_down_come_upright() -> None:
    data = (DATA / "tiny_48x48_raw.avi").read_bytes()
    start = data.index(b"00d", data.index(b"movi"))
    stored = np.frombuffer(data, np.uint8, 48 * 48 * 3, start + 8).reshape(48, 48, 3)

    first = read(DATA / "tiny_48x48_raw.avi")[0]

    assert np.array_equal(first.picture.bgr(), stored[::-1])
