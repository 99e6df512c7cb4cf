from __future__ import annotations

import datetime
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.card import Card, DataEntry, Figure, Parity, Teacher, installed_versions
from engine.card_text import card_lines, printable
from engine.errors import BundleError


def card(**changes: Any) -> Card:
    facts: dict[str, Any] = {
        "name": "gate-people",
        "made_at": datetime.date(2026, 11, 23),
        "summary": "People at a gate.\nBy day and by night.",
        "started_from": "yolox_nano.onnx",
        "trained_on": (
            DataEntry(name="gate", licence="CC0", source="own", digest="ab" * 32, num_images=800, num_boxes=2100),
        ),
        "judged_on": (DataEntry(name="held out", num_images=200, num_boxes=512),),
        "recipe": "name: gate-people\nepochs: 3\n",
        "figures": (
            Figure(metric="AP50", value=0.91234, data="held out", num_images=200, num_boxes=512, low=0.88, high=0.94),
            Figure(metric="AP", value=0.6, data="held out", num_images=200, num_boxes=512),
            Figure(metric="AP50", value=0.8, slice="light=night", data="held out", num_images=90, num_boxes=100),
        ),
        "known_weaknesses": ("misses people behind glass",),
        "versions": {"python": "3.11.9", "torch": "2.13.0"},
        "parity": Parity(num_images=64, max_box_px=0.012, max_score=2e-5, map_difference=0.0),
        "teacher": Teacher(name="picodet_s", digest="0123456789abcdef", licence="Apache-2.0"),
    }
    return Card(**(facts | changes))


def saved(folder: Path, text: str) -> Path:
    path = folder / "card.json"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_was_written_is_what_is_loaded(tmp_path: Path) -> None:
    path = saved(tmp_path, card().to_json())
    assert Card.load(path) == card()
    data = json.loads(path.read_text())
    assert (data["schema"], data["made_at"]) == ("vedette.card/1", "2026-11-23")


def test_only_name_and_date_are_needed(tmp_path: Path) -> None:
    least = Card(name="x", made_at=datetime.date(2026, 1, 1))
    assert Card.load(saved(tmp_path, least.to_json())) == least
    assert list(card_lines(least)) == ["Card of x, made on 2026-01-01", "  started from  random weights"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no model card: "),
        ("[]", "schema is None, this version of Vedette reads 'vedette.card/1'"),
        ('{"schema": "vedette.card/7"}', "schema is 'vedette.card/7'"),
        ('{"schema": "vedette.card/1", "name": "x"}', "made_at: Field required"),
        ('{"schema": "vedette.card/1", "name": "x", "made_at": "2026-01-01", "figurs": []}', "figurs: Extra inputs"),
    ],
)
def test_a_card_that_is_wrong_says_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BundleError, match=rf"card.json: {message}"):
        Card.load(saved(tmp_path, text))


def test_a_figure_is_a_number() -> None:
    with pytest.raises(ValueError, match="finite number"):
        Figure(metric="AP", value=float("nan"))


def test_a_person_can_read_it() -> None:
    lines = list(card_lines(card()))
    text = "\n".join(lines)
    assert lines[:5] == [
        "Card of gate-people, made on 2026-11-23",
        "  People at a gate.",
        "  By day and by night.",
        "  started from  yolox_nano.onnx",
        "  labelled by   picodet_s, digest 0123456789abcdef, Apache-2.0",
    ]
    assert "    gate  800 pictures  2100 boxes  CC0  own  abababababab" in lines
    assert "    held out  200 pictures  512 boxes  licence not stated" in lines
    assert "boxes within 0.012 px, confidence within 2e-05, mAP within 0 points" in text
    assert "    - misses people behind glass" in lines
    assert "  made with     python 3.11.9, torch 2.13.0" in lines
    assert lines[-2:] == ["    name: gate-people", "    epochs: 3"]


def test_figures_are_a_table_with_a_row_for_each_slice() -> None:
    start = list(card_lines(card())).index("  figures (in brackets: 95 % confidence)")
    assert list(card_lines(card()))[start + 1 : start + 4] == [
        "    data      slice        pictures  boxes                  AP50     AP",
        "    held out  all               200    512  0.912 [0.880, 0.940]  0.600",
        "    held out  light=night        90    100                 0.800",
    ]


HOSTILE = "\x1b[2J[red]bold[/red]\x07\r\u202egnp.exe\n\u2028end"


def test_a_hostile_card_cannot_reach_the_terminal() -> None:
    entry = DataEntry(name=HOSTILE, licence=HOSTILE, source=HOSTILE, digest=HOSTILE)
    figure = Figure(metric=HOSTILE, value=1, slice=HOSTILE, data=HOSTILE)
    hostile = card(
        name=HOSTILE, summary=HOSTILE, started_from=HOSTILE, trained_on=(entry,), judged_on=(entry,), recipe=HOSTILE,
        figures=(figure,), known_weaknesses=(HOSTILE,), versions={HOSTILE: HOSTILE},
        teacher=Teacher(name=HOSTILE, digest=HOSTILE, licence=HOSTILE, source=HOSTILE),
    )  # fmt: skip
    for line in card_lines(hostile):
        assert line.isprintable()


def test_characters_that_move_the_cursor_are_shown() -> None:
    assert printable(HOSTILE) == r"\x1b[2J[red]bold[/red]\x07\r\u202egnp.exe\n\u2028end"
    assert printable("Straße 火 – ok") == "Straße 火 – ok"


def test_versions_are_those_of_what_is_installed() -> None:
    found = installed_versions(("numpy", "no-such-package"))
    assert found == {"python": platform.python_version(), "numpy": np.__version__}
