from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from tests.training.runs import recipe, run
from training.run_report import curves


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("run")
    run(folder / "pictures", folder / "work", recipe(workers=0))
    return (folder / "work" / "report.html").read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Counts tags and checks that they are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_it_is_whole_and_needs_nothing_from_outside(page: str) -> None:
    tags = Tags()
    tags.feed(page)

    assert tags.open == []
    assert "script" not in tags.count
    assert re.findall(r'(?:href|src)="(?!data:image/jpeg;base64,)', page) == []
    assert "http://" not in page
    assert "https://" not in page


def test_it_shows_curves_pictures_data_and_recipe(page: str) -> None:
    assert page.count("<image ") == 12 + 4
    assert "<polyline" in page
    assert '<svg class="picture" width="64" height="64"' in page
    assert "<title>red</title>" in page
    assert "learning rate" in page.lower()
    assert '<td>pictures</td><td class="n">12</td><td class="n">4</td>' in page
    assert "lr: 0.01" in page


def test_a_curve_goes_through_its_figures() -> None:
    svg = curves([{"step": 0, "lr": 0.0}, {"step": 5}, {"step": 10, "lr": 2.0}], ("lr", "absent"), "step", width=286)

    assert svg.count("<polyline") == 1
    assert 'points="56.0,216.0 156.0,8.0"' in svg
    assert ">lr 2</text>" in svg


def test_figures_that_are_not_there_yet_draw_nothing() -> None:
    assert curves([{"step": 0}], ("lr",), "step") == "<p>No figures yet.</p>"
    assert curves([{"step": 0, "lr": 1.0}], ("lr",), "step").count("<circle") == 1
