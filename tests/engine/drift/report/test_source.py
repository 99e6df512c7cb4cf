from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from engine.default_model import find_default_model
from engine.drift.report.source import Footage, SampleReader, bundle_of, find_detector, find_footage
from engine.drift.settings import DriftSettings
from engine.errors import Cause, SourceError, SourceUnavailable, UsageError
from engine.operator import Source
from engine.pipeline import Pipeline
from engine.redact import Url
from engine.site import Camera, Site
from operators import Classify, Detect, MotionBlobs
from tests.clips import square_frames, write_clip
from tests.engine.drift.report.builders import save_bundle
from tests.fake_source import FakeSource

EVERY_S = DriftSettings(every_s=0.5)


class Fake(Camera):
    """A live camera that plays sources, one a connection."""

    sources: Iterator[FakeSource]

    @property
    def live(self) -> bool:
        return True

    def make_source(self) -> Source:
        return cast(Source, next(self.sources))


def live(*sources: FakeSource) -> Footage:
    camera = Fake(Url("rtsp://10.0.0.1/1"))
    object.__setattr__(camera, "sources", iter(sources))
    return Footage("gate", "rtsp://10.0.0.1/1", (camera,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gate")
    for name in ("b", "a"):
        write_clip(folder / f"{name}.mp4", square_frames(31), fps=10)
    return folder


def test_a_folder_is_one_camera_with_recordings_in_the_order_of_their_names(folder: Path) -> None:
    footage = find_footage(str(folder))
    assert footage.name == folder.name
    assert [Path(part.url.reveal()).name for part in footage.parts] == ["a.mp4", "b.mp4"]
    samples = list(SampleReader(None, EVERY_S).samples(footage))
    assert [(one.epoch, one.pts_s) for one in samples] == [(e, t / 2) for e in (0, 1) for t in range(7)]
    assert all(one.boxes is None for one in samples)


def test_the_model_sees_samples_as_it_would_see_every_frame(folder: Path, tmp_path: Path) -> None:
    counts = []
    reader = SampleReader(Detect(model=str(save_bundle(tmp_path / "new"))), EVERY_S)
    samples = list(reader.samples(find_footage(str(folder / "a.mp4")), on_frame=lambda: counts.append(1)))
    assert len(samples) == 7
    assert [one.boxes is not None and one.boxes.labels for one in samples] == [("blue", "red")] * 7
    assert len(counts) == 31


def test_an_unreadable_recording_does_not_keep_the_others_from_being_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    (tmp_path / "b.mp4").write_bytes((folder / "a.mp4").read_bytes())
    reader = SampleReader(None, EVERY_S)
    assert len(list(reader.samples(find_footage(str(tmp_path))))) == 7
    assert [type(error) for error in reader.errors] == [SourceError]


def test_nothing_that_can_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(SourceError, match=r"a\.mp4"):
        list(SampleReader(None, EVERY_S).samples(find_footage(str(tmp_path / "a.mp4"))))


def test_a_live_camera_is_watched_for_a_while_and_again_after_it_broke_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.drift.report.source._RETRY_S", 0.01)
    first = FakeSource(num=11, live=True, then="fail")
    again = FakeSource(num=10_000, live=True, pace_s=0.01)
    reader = SampleReader(None, EVERY_S, for_s=0.5)
    samples = list(reader.samples(live(first, FakeSource(live=True, refuse=Cause.REFUSED), again)))
    assert len({one.epoch for one in samples}) == 2
    assert first.closed.is_set()
    assert again.closed.is_set()


def test_a_camera_that_does_not_answer_is_said_at_once() -> None:
    with pytest.raises(SourceUnavailable, match="camera refused"):
        list(SampleReader(None, EVERY_S, for_s=60).samples(live(FakeSource(live=True, refuse=Cause.AUTH))))


def test_ends_when_it_is_told_to(folder: Path) -> None:
    stop = threading.Event()
    reader = SampleReader(None, EVERY_S, stop)
    samples = reader.samples(find_footage(str(folder)))
    next(samples)
    stop.set()
    assert list(samples) == []


def test_finds_a_camera_of_the_site_and_its_detector() -> None:
    camera = Camera(Url("rtsp://user:secret@10.0.0.1/1"))
    own = Detect(model="models/own", cadence="adaptive")
    site = Site(cameras={"gate": camera, "yard": camera}, pipeline=Pipeline().then(own, cameras=["gate"]))
    footage = find_footage("gate", site)
    assert (footage.name, footage.where, footage.live) == ("gate", "rtsp://***@10.0.0.1/1", True)
    assert find_detector(site, "gate", None) == Detect(model="models/own", cadence="every")
    assert find_detector(site, "gate", "models/other") == Detect(model="models/other")
    assert find_detector(site, "yard", None) is None
    assert find_detector(Site(pipeline=Pipeline().then(MotionBlobs())), "gate", None) is None
    assert find_detector(Site(pipeline=Pipeline().then(Classify("models/color"))), "gate", None) is None
    assert bundle_of(None) is None


def test_without_a_model_or_a_site_the_default_model_looks() -> None:
    bundle = bundle_of(find_detector(None, "gate", None))
    assert bundle is not None
    assert str(bundle.root) == find_default_model()


@pytest.mark.parametrize(
    ("text", "site", "error", "message"),
    [
        ("gone.mp4", None, SourceError, r"gone\.mp4: no such file or folder; a camera's name needs --config SITE\.yaml"),
        ("gat", Site(cameras={"gate": Camera(Url("rtsp://a/1"))}), SourceError, r"gat: no such file or folder, and no camera of the site \(did you mean 'gate'\?\)"),
        ("site.yaml", None, UsageError, r"site\.yaml: give a configuration with --config, and the camera's name in its place"),
    ],
)  # fmt: skip
def test_says_what_is_wrong_with_a_source(text: str, site: Site | None, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        find_footage(text, site)
