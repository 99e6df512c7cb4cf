"""Watching drift: what the monitor says about its cameras, in a table that lives, or in lines.

It is read from the state folder, so that it may be watched from any process on the monitor's machine.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from os import environ
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from engine.config import load_site
from engine.drift.report.words import length, number, word_of
from engine.drift.setup import state_path
from engine.drift.state import StateFolder, default_state
from engine.errors import ConfigError, SourceError, UsageError
from engine.load import did_you_mean

LOOK_S = 1.0
NUM_CHANGES = 2
COLOURS = {"settling": "yellow", "normal": "green", "drift": "red"}

Status = Mapping[str, Any]
Statuses = Mapping[str, Status]


def find_state(place: str | None) -> StateFolder:
    """Find where a run keeps its state.

    Args:
        place: the configuration of the run, or the folder itself; None means a run without a configuration.

    Raises:
        ConfigError: the configuration is wrong, or keeps no state.
        SourceError: there is no such folder.
    """
    path: Path | None = default_state("default")
    if place is not None:
        path = _of_site(Path(place)) if place.endswith((".yaml", ".yml")) else Path(place)
    if path is None:
        raise ConfigError(f"{place}: no drift state is kept: it has no live camera, or `drift: false`")
    if not path.is_dir():
        raise SourceError(
            f"{path}: no drift state is here; `vedette run` keeps it for live cameras: name the run's configuration, "
            "or the folder that its `drift: {state: FOLDER}` names"
        )
    return StateFolder(path)


def _of_site(path: Path) -> Path | None:
    # Whoever watches need not know the cameras' passwords.
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    unset = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "unset")
    return state_path(load_site(path, {**unset, **environ}))


def watch(folder: StateFolder, once: bool, as_json: bool, sleep: Callable[[float], None] = time.sleep) -> None:
    """Show every camera until Ctrl-C: a table on a terminal, elsewhere a line for each change.

    Args:
        folder: where to look.
        once: show what is there and end.
        as_json: print JSON: once one object, else a line for each status that the monitor writes.
        sleep: waits between looks.
    """
    console = Console()
    if once:
        _show_once(folder, as_json, console)
    elif console.is_terminal and not as_json:
        with Live(table(folder, time.time()), console=console, auto_refresh=False) as live:
            while True:
                sleep(LOOK_S)
                live.update(table(folder, time.time()), refresh=True)
    else:
        seen: dict[str, Any] = {}
        while True:
            for line in _news(folder.read_status(), seen, as_json):
                print(line, flush=True)
            sleep(LOOK_S)


def accept(folder: StateFolder, cameras: list[str]) -> Iterator[str]:
    """Take the present of cameras for their normal; say for each what will be.

    A monitor that runs is asked to; of one that does not run the camera's normal is removed.

    Raises:
        UsageError: a camera is not known there; nothing has been done then.
        SourceError: the folder cannot be written.
    """
    known = sorted({*folder.cameras(), *folder.read_status()})
    for camera in cameras:
        if camera not in known:
            raise UsageError(f"{folder.path}: no camera is called '{camera}' here{did_you_mean(camera, known)}")
    for camera in cameras:
        if folder.in_use:
            folder.request(camera, "accept")
            yield f"{camera}: the monitor that runs takes the present for normal with its next sample"
        elif folder.remove(camera):
            yield f"{camera}: its normal is forgotten; the next run learns it anew"
        else:
            raise SourceError(f"{folder.path}: what is kept of camera '{camera}' cannot be removed")


def table(folder: StateFolder, now_unix_s: float) -> Table:
    """Make the table of all cameras."""
    out = Table(title=Text(_title(folder)), title_justify="left", box=None, pad_edge=False)
    for name in ("camera", "state", "score", "what changed most", "samples", "last seen"):
        out.add_column(name, justify="right" if name in ("score", "samples") else "left", overflow="fold")
    for camera, status in folder.read_status().items():
        state = Text(say_state(status, now_unix_s), COLOURS.get(status["state"], ""))
        cells = (f"{status['score']:.2f}", say_changes(status), str(status["samples"]), say_seen(status, now_unix_s))
        out.add_row(Text(camera), state, *(Text(cell) for cell in cells))
    return out


def say_state(status: Status, now_unix_s: float) -> str:
    """Say how a camera is.

    >>> say_state({"state": "settling", "settled": 0.4, "causes": []}, 0)
    'settling 40 %'
    """
    if status["state"] == "settling":
        return f"settling {status['settled']:.0%}".replace("%", " %")
    if not status["causes"]:
        return str(status["state"])
    return f"drift: {', '.join(_say_cause(cause, now_unix_s) for cause in status['causes'])}"


def say_changes(status: Status) -> str:
    """Say what changed most, then and now; which way, where there is no number for it.

    >>> say_changes({"top": [{"name": "brightness", "then": 118.2, "now": 43.0, "score": -2.5},
    ...                      {"name": "sharpness", "score": -1.2}]})
    'brightness 118 → 43, softer'
    """
    return ", ".join(_say_change(each) for each in status["top"][:NUM_CHANGES])


def say_seen(status: Status, now_unix_s: float) -> str:
    """Say how long ago the monitor saw the camera.

    >>> say_seen({"written_unix_s": 100.0}, 102.0), say_seen({"written_unix_s": 100.0}, 190.0)
    ('now', '1 min 30 s ago')
    """
    ago_s = now_unix_s - status["written_unix_s"]
    return "now" if ago_s < 10 else f"{length(ago_s)} ago"


def _say_cause(cause: Mapping[str, Any], now_unix_s: float) -> str:
    since = cause["since_unix_s"]
    return str(cause["cause"]) if since is None else f"{cause['cause']} since {_moment(since, now_unix_s)}"


def _say_change(change: Mapping[str, Any]) -> str:
    word = word_of(change["name"])
    if change.get("then") is None:
        return word.more if change["score"] > 0 else word.less
    return f"{word.name} {number(change['then'])} → {number(change['now'])}"


def _show_once(folder: StateFolder, as_json: bool, console: Console) -> None:
    statuses = folder.read_status()
    if as_json:
        print(json.dumps({"folder": str(folder.path), "runs": folder.in_use, "cameras": statuses}, indent=2))
    elif console.is_terminal:
        console.print(table(folder, time.time()))
    else:
        print(_title(folder))
        for camera, status in statuses.items():
            print(_line(camera, status, time.time()))


def _news(statuses: Statuses, seen: dict[str, Any], as_json: bool) -> Iterator[str]:
    """Give a line for each camera that has something new to say, and note it in `seen`."""
    for camera, status in statuses.items():
        new = status["written_unix_s"] if as_json else (status["state"], [each["cause"] for each in status["causes"]])
        if seen.get(camera) != new:
            seen[camera] = new
            yield json.dumps({"camera": camera, **status}) if as_json else _line(camera, status, time.time())


def _line(camera: str, status: Status, now_unix_s: float) -> str:
    said = (_moment(status["written_unix_s"], now_unix_s), camera, say_state(status, now_unix_s),
            f"score {status['score']:.2f}", say_changes(status), f"{status['samples']} samples")  # fmt: skip
    return "  ".join(part for part in said if part)


def _title(folder: StateFolder) -> str:
    return f"{folder.path}: {'a run writes here' if folder.in_use else 'no run writes here now'}"


def _moment(unix_s: float, now_unix_s: float) -> str:
    """Write local time, with the day where it is not the last one."""
    moment = dt.datetime.fromtimestamp(unix_s, dt.UTC).astimezone()
    return moment.strftime("%H:%M" if abs(now_unix_s - unix_s) < 12 * 3600 else "%Y-%m-%d %H:%M")
