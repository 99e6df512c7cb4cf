"""`vedette drift watch` and `accept`: what people and programs get to see of the monitor's state."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from engine.commands.drift import register
from engine.drift import watch as watching
from engine.drift.state import StateFolder, StateRequest
from engine.errors import ConfigError, SourceError, UsageError

SITE = """
site: north
cameras: {{gate: "{url}"}}
pipeline: [motion_blobs]
drift: {drift}
"""


def run(*arguments: object) -> Result:
    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(app, ["drift", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def status(**changes: Any) -> dict[str, Any]:
    top = [{"name": "brightness", "then": 118.0, "now": 43.2, "score": -2.5},
           {"name": "sharpness", "then": 31.0, "now": 30.0, "score": -0.4},
           {"name": "noise", "then": 1.0, "now": 1.0, "score": 0.1}]  # fmt: skip
    plain = {"state": "normal", "settled": 1.0, "causes": [], "score": 0.31, "top": top, "samples": 640}
    return {**plain, **changes}


def drifting(cause: str = "dark", since_unix_s: float | None = None) -> dict[str, Any]:
    return status(state="drift", score=2.5, causes=[{"cause": cause, "text": "…", "since_unix_s": since_unix_s}])


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFolder]:
    """What a run has written that goes on."""
    folder = StateFolder(tmp_path / "state")
    folder.write_status("gate", drifting(since_unix_s=time.time() - 120))
    folder.write_status("dock", status())
    folder.write_status("yard", status(state="settling", settled=0.4, top=[], samples=12))
    for camera in ("dock", "gate"):
        folder.save(camera, {}, {})
    yield folder
    folder.close()


def test_once_it_says_how_each_camera_is(state: StateFolder) -> None:
    title, dock, gate, yard = run("watch", state.path, "--once").stdout.splitlines()

    assert title == f"{state.path}: a run writes here"
    assert dock.split("  ")[1:] == [
        "dock",
        "normal",
        "score 0.31",
        "brightness 118 → 43.2, sharpness 31 → 30",
        "640 samples",
    ]
    assert gate.split("  ")[1] == "gate"
    assert gate.split("  ")[2].startswith("drift: dark since ")
    assert yard.split("  ")[1:] == ["yard", "settling 40 %", "score 0.31", "12 samples"]

    state.close()
    assert run("watch", state.path, "--once").stdout.startswith(f"{state.path}: no run writes here now\n")


def test_once_as_json_is_one_object(state: StateFolder) -> None:
    found = json.loads(run("watch", state.path, "--once", "--json").stdout)

    assert (found["folder"], found["runs"], list(found["cameras"])) == (str(state.path), True, ["dock", "gate", "yard"])
    assert found["cameras"]["dock"].items() >= status().items()
    assert found["cameras"]["dock"]["written_unix_s"] == pytest.approx(time.time(), abs=60)


class Looks:
    """Lets a watcher look as often as there are steps; each changes the state before the next look."""

    def __init__(self, *steps: Any) -> None:
        self._steps = list(steps)

    def __call__(self, seconds: float) -> None:
        if not self._steps:
            raise KeyboardInterrupt
        self._steps.pop(0)()


def look(state: StateFolder, as_json: bool, *steps: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        watching.watch(state, once=False, as_json=as_json, sleep=Looks(*steps))


def test_without_a_terminal_each_change_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times = iter(range(0, 100, 2))
    state = StateFolder(tmp_path, clock=lambda: float(next(times)))
    state.write_status("gate", status())

    look(
        state, False,
        lambda: state.write_status("gate", status(score=0.5)),
        lambda: state.write_status("gate", drifting()),
        lambda: None,
        lambda: state.write_status("gate", drifting("fog")),
    )  # fmt: skip

    said = [line.split("  ")[1:4] for line in capsys.readouterr().out.splitlines()]
    assert said == [
        ["gate", "normal", "score 0.31"],
        ["gate", "drift: dark", "score 2.50"],
        ["gate", "drift: fog", "score 2.50"],
    ]
    state.close()


def test_as_json_each_status_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(range(0, 100, 2))
    state = StateFolder(tmp_path, clock=lambda: float(next(times)))
    now_s = iter((1.8e9, 1.8e9 + 1))
    monkeypatch.setattr("engine.drift.state.time.time", lambda: next(now_s, 1.8e9 + 2))
    state.write_status("gate", status())

    look(state, True, lambda: state.write_status("gate", status(samples=641)), lambda: None)

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["camera"], line["samples"], line["state"]) for line in lines] == [
        ("gate", 640, "normal"), ("gate", 641, "normal"),
    ]  # fmt: skip
    state.close()


def test_on_a_terminal_the_table_lives(state: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    from io import StringIO

    from rich.console import Console

    out = StringIO()
    monkeypatch.setattr(watching, "Console", lambda: Console(file=out, force_terminal=True, width=140))
    state.write_status("[red]odd[/]", status())

    look(state, False, lambda: state.write_status("pier", status()))

    text = out.getvalue()
    assert "what changed most" in text
    assert "drift: dark since" in text
    assert "[red]odd[/]" in text
    assert text.count("dock") > text.count("pier") > 0


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match=r"nothing: no drift state is here; `vedette run` keeps it for live cameras"):
        run("watch", tmp_path / "nothing", "--once")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(SourceError, match="vedette/default/drift: no drift state is here"):
        run("watch", "--once")


@pytest.mark.parametrize("drift", ["{}", "{state: kept}"])
def test_a_configuration_leads_to_its_state_without_its_passwords(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drift: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    path = tmp_path / "north.yaml"
    path.write_text(SITE.format(url="rtsp://${NO_SUCH_USER}:${NO_SUCH_PASS}@10.0.0.7/${NO_SUCH_PATH:-1}", drift=drift))
    folder = tmp_path / "kept" if "kept" in drift else tmp_path / "home" / "vedette" / "north" / "drift"
    StateFolder(folder).write_status("gate", status())

    assert list(json.loads(run("watch", path, "--once", "--json").stdout)["cameras"]) == ["gate"]


@pytest.mark.parametrize(("url", "drift"), [("rtsp://10.0.0.7/1", "false"), ("clip.mp4", "{}")])
def test_a_configuration_that_keeps_no_state_says_so(tmp_path: Path, url: str, drift: str) -> None:
    path = tmp_path / "north.yaml"
    path.write_text(SITE.format(url=url, drift=drift))
    with pytest.raises(
        ConfigError, match=r"north.yaml: no drift state is kept: it has no live camera, or `drift: false`"
    ):
        run("watch", path, "--once")
    with pytest.raises(ConfigError, match="no such configuration file"):
        run("watch", tmp_path / "none.yaml", "--once")


def test_a_monitor_that_runs_is_asked_to_accept(state: StateFolder) -> None:
    out = run("accept", "gate", "yard", "--state", state.path).stdout

    assert out.splitlines() == [
        f"{camera}: the monitor that runs takes the present for normal with its next sample"
        for camera in ("gate", "yard")
    ]
    assert state.take_requests() == [StateRequest("gate", "accept"), StateRequest("yard", "accept")]
    assert state.cameras() == ["dock", "gate"]


def test_without_a_run_the_normal_is_removed(state: StateFolder) -> None:
    state.close()

    assert run("accept", "gate", "--state", state.path).stdout == (
        "gate: its normal is forgotten; the next run learns it anew\n"
    )
    assert state.cameras() == ["dock"]
    assert state.take_requests() == []


def test_a_camera_that_is_not_known_is_named_before_anything_is_done(state: StateFolder) -> None:
    with pytest.raises(UsageError, match=r"state: no camera is called 'gat' here \(did you mean 'gate'\?\)"):
        run("accept", "dock", "gat", "--state", state.path)
    assert state.take_requests() == []


def test_accept_takes_one_place(state: StateFolder) -> None:
    with pytest.raises(UsageError, match="--site and --state both say where the state is; give one of them"):
        run("accept", "gate", "--state", state.path, "--site", "north.yaml")


def test_a_normal_that_cannot_be_removed_is_an_error(state: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    state.close()
    monkeypatch.setattr(StateFolder, "remove", lambda self, camera: False)
    with pytest.raises(SourceError, match="what is kept of camera 'gate' cannot be removed"):
        run("accept", "gate", "--state", state.path)
