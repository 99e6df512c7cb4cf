"""The drift monitor's memory on disk: complete or not at all, one writer, and never the end of a run."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.drift import state
from engine.drift.state import StateFolder, StateRequest, default_state
from engine.errors import SourceError

ARRAYS = {"median": np.arange(6, dtype=np.float32).reshape(2, 3), "hours": np.zeros(0, np.int32)}
FACTS = {"samples": 12, "causes": [{"cause": "dark"}], "since": None}


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StateFolder]:
    made = StateFolder(tmp_path / "deep" / "drift")
    yield made
    made.close()


def check_saved(folder: StateFolder, camera: str) -> None:
    found = folder.load(camera)
    assert found is not None
    arrays, facts = found
    assert facts == FACTS
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        assert np.array_equal(arrays[name], array)


def test_what_was_saved_is_loaded_by_the_next_run(folder: StateFolder) -> None:
    assert folder.load("gate") is None
    folder.save("gate", ARRAYS, FACTS)
    folder.close()

    check_saved(StateFolder(folder.path), "gate")
    assert sorted(path.name for path in folder.path.iterdir()) == ["gate.npz", "lock"]


@pytest.mark.parametrize(
    "camera",
    ["..", ".hidden", "Gate", "gate.npz", "a/../../b", "Süd-Tor 2", "駐車場" * 60, "lock", "x" * 300, "\udcff"],
)
def test_any_camera_name_makes_a_file_of_its_own_in_the_folder(folder: StateFolder, camera: str) -> None:
    folder.save("gate", {}, {})
    folder.save(camera, ARRAYS, FACTS)
    folder.write_status(camera, {"state": "normal"})
    folder.request(camera, "accept")

    assert folder.take_requests() == [StateRequest(camera, "accept")]
    check_saved(folder, camera)
    assert folder.cameras() == sorted(["gate", camera])
    assert list(folder.read_status()) == [camera]
    assert len(list(folder.path.iterdir())) == 4
    assert [path.name for path in folder.path.parent.iterdir()] == ["drift"]


def damage_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def damage_bytes(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[150:160] = b"\xff" * 10
    path.write_bytes(data)


def damage_empty(path: Path) -> None:
    path.write_bytes(b"")


def damage_pickle(path: Path) -> None:
    np.savez(path, median=np.array([{}], object))


def damage_no_facts(path: Path) -> None:
    np.savez(path, **ARRAYS)  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", [damage_cut, damage_bytes, damage_empty, damage_pickle, damage_no_facts])
def test_a_damaged_file_is_named_once_and_set_aside(
    folder: StateFolder, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    folder.save("gate", ARRAYS, FACTS)
    folder.save("dock", ARRAYS, FACTS)
    damage(folder.path / "gate.npz")

    assert folder.load("gate") is None
    assert folder.load("gate") is None

    (record,) = caplog.records
    assert record.getMessage().startswith(f"{folder.path / 'gate.npz'}: not a drift state that this version can read")
    assert (folder.path / "gate.npz.damaged").exists()
    assert folder.cameras() == ["dock"]
    folder.save("gate", ARRAYS, FACTS)
    check_saved(folder, "gate")


def test_a_file_of_another_version_is_set_aside(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(state, "SCHEMA", "vedette.drift-state/0")
        folder.save("gate", ARRAYS, FACTS)

    assert folder.load("gate") is None
    assert "it is of the version vedette.drift-state/0, expected vedette.drift-state/1" in caplog.text
    assert (folder.path / "gate.npz.damaged").exists()


def test_a_second_run_reads_and_saves_nothing_until_the_first_has_ended(
    folder: StateFolder, caplog: pytest.LogCaptureFixture
) -> None:
    second = StateFolder(folder.path)
    folder.save("gate", ARRAYS, FACTS)
    assert second.in_use
    assert folder.in_use
    second.save("gate", {}, {})
    second.write_status("gate", {})
    folder.request("gate", "accept")

    assert second.take_requests() == []
    check_saved(second, "gate")
    (record,) = caplog.records
    assert "another run keeps its drift state here, so this one saves nothing; give it a folder" in record.getMessage()

    folder.close()
    assert not second.in_use
    assert second.take_requests() == [StateRequest("gate", "accept")]
    second.save("gate", {}, {"new": True})
    assert second.load("gate") == ({}, {"new": True})
    second.close()


@pytest.mark.parametrize("name", ["write_bytes", "replace"])
def test_a_full_disk_is_said_once_and_nothing_is_half_written(
    folder: StateFolder, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder.save("gate", ARRAYS, FACTS)

    def full(path: Path, *args: Any) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, name, full)
        for _ in range(3):
            folder.save("gate", {}, {})
            folder.write_status("gate", {})
        with pytest.raises(SourceError, match="drift: cannot be written: No space left on device"):
            folder.request("gate", "accept")

    (record,) = caplog.records
    assert "drift state cannot be kept (No space left on device); the monitor goes on" in record.getMessage()
    check_saved(folder, "gate")
    assert sorted(path.name for path in folder.path.iterdir()) == ["gate.npz", "lock"]


def test_a_folder_that_cannot_be_made_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    folder = StateFolder(tmp_path / "file" / "drift")

    assert folder.load("gate") is None
    folder.save("gate", ARRAYS, FACTS)
    assert folder.take_requests() == []
    assert not folder.remove("gate")

    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert (folder.cameras(), folder.read_status(), folder.in_use) == ([], {}, False)


def test_a_folder_that_somebody_removed_is_made_again(folder: StateFolder) -> None:
    folder.save("gate", ARRAYS, FACTS)
    for path in folder.path.iterdir():
        path.unlink()
    folder.path.rmdir()

    folder.save("gate", ARRAYS, FACTS)

    check_saved(folder, "gate")


def test_status_is_written_at_most_once_a_second_and_the_last_one_stays(tmp_path: Path) -> None:
    clock = Clock()
    folder = StateFolder(tmp_path, clock)
    seen = []
    for now_s in (0.0, 0.4, 0.9, 1.1, 1.5):
        clock.now_s = now_s
        folder.write_status("gate", {"samples": now_s})
        folder.write_status("dock", {"samples": -now_s})
        seen.append(folder.read_status()["gate"]["samples"])

    assert seen == [0.0, 0.0, 0.0, 1.1, 1.1]
    status = folder.read_status()
    assert list(status) == ["dock", "gate"]
    assert status["gate"]["written_unix_s"] > 1.7e9
    folder.save("gate", {}, {})
    assert folder.read_status()["gate"]["samples"] == 1.5
    folder.close()


def test_a_status_that_is_not_ours_is_left_out(folder: StateFolder) -> None:
    folder.write_status("gate", {"state": "normal"})
    for name, text in {
        "a": "{",
        "b": "[]",
        "c": "{}",
        "d": '{"camera": "d", "status": 3, "written_unix_s": 1}',
    }.items():
        (folder.path / f"{name}.status.json").write_text(text)

    assert list(folder.read_status()) == ["gate"]


def test_requests_are_taken_once_and_by_the_run_that_has_the_folder(folder: StateFolder) -> None:
    outside = StateFolder(folder.path)
    for camera in ("gate", "dock", "gate"):
        outside.request(camera, "accept")
    (folder.path / "odd.accept").write_text("no request")

    assert folder.take_requests() == [StateRequest("dock", "accept"), StateRequest("gate", "accept")]
    assert folder.take_requests() == []
    assert not list(folder.path.glob("*.accept"))


def test_a_camera_that_is_removed_is_forgotten(folder: StateFolder) -> None:
    folder.save("gate", ARRAYS, FACTS)
    folder.write_status("gate", {})

    assert folder.remove("gate")
    assert folder.remove("gate")
    assert (folder.load("gate"), folder.cameras(), folder.read_status()) == (None, [], {})


def test_leftovers_of_a_killed_run_are_cleaned_and_those_of_writers_at_work_stay(folder: StateFolder) -> None:
    folder.path.mkdir(parents=True)
    old, fresh = folder.path / ".gate.npz.1.tmp", folder.path / ".gate.accept.2.tmp"
    old.touch()
    fresh.touch()
    os.utime(old, (0, 0))

    folder.save("gate", {}, {})

    assert not old.exists()
    assert fresh.exists()


@pytest.mark.parametrize(("site", "name"), [("north", "north"), ("Nord/Süd", "Nord_S_d-")])
def test_each_site_has_a_folder_of_its_own(
    site: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = default_state(site)
    assert path.parent.parent == tmp_path / "vedette"
    assert path.parent.name.startswith(name)
    assert path.name == "drift"

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_state("north") == Path("/home/somebody/.local/state/vedette/north/drift")
