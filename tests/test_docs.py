"""What the documentation names is there: linked files, configurations that load, commands that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from engine.cli import make_app
from engine.config import load_site

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "docker" / "README.md",
    ROOT / "replay_data" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
pages = pytest.mark.parametrize("page", [pytest.param(p, id=p.relative_to(ROOT).as_posix()) for p in PAGES])


def blocks(page: Path, *languages: str) -> Iterator[str]:
    text = page.read_text(encoding="utf-8")
    for language, body in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if language in languages:
            yield body


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command line that calls vedette."""
    for body in blocks(page, "bash", "sh"):
        for line in body.replace("\\\n", " ").splitlines():
            call = re.search(r"(?:^|\s)(?:\.venv/bin/)?vedette (.+)", line.split(" #")[0])
            if call:
                yield call[1].split()


@pages
def test_linked_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = [t.partition("#")[0] for t in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in t]

    assert [target for target in targets if target and not (page.parent / target).exists()] == []


@pages
def test_configurations_load(page: Path, tmp_path: Path) -> None:
    environment = {"CAM_USER": "viewer", "CAM_PASSWORD": "only-in-test-docs"}
    for body in blocks(page, "yaml"):
        if body.startswith("# site.yaml"):
            path = tmp_path / "site.yaml"
            path.write_text(body, encoding="utf-8")
            assert load_site(path, environment).cameras


@pages
def test_commands_exist(page: Path) -> None:
    root = typer.main.get_command(make_app())
    for words in commands(page):
        found = root
        while hasattr(found, "commands"):
            assert words, f"{page.name}: a command is missing behind '{found.name}'"
            assert words[0] in found.commands, f"{page.name}: vedette has no command '{words[0]}'"
            found = found.commands[words.pop(0)]
        known = {option for parameter in found.params for option in parameter.opts}
        given = {word for word in words if word.startswith("--")}
        assert given <= known, f"{page.name}: vedette {found.name} has no {given - known}"


def test_there_are_configurations_and_commands_to_check() -> None:
    assert sum(body.startswith("# site.yaml") for page in PAGES for body in blocks(page, "yaml")) >= 5
    assert sum(1 for page in PAGES for _ in commands(page)) >= 20
