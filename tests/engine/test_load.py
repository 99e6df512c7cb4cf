"""From a kind's name to its class, one's own modules included."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import load
from engine.errors import ConfigError
from engine.load import camel, install_module, kinds, load_class, user_modules


@pytest.fixture(autouse=True)
def forget_own_modules() -> Iterator[None]:
    yield
    for name in [name for name in load._user_modules if name.startswith("own_")]:
        del load._user_modules[name], sys.modules[name]


def test_a_kind_is_a_file_and_a_class_named_after_it() -> None:
    assert camel("line_count") == "LineCount"
    assert load_class("line_count").__module__ == "operators.line_count"
    assert "line_count" in kinds()
    assert "commands" not in kinds()


def test_operators_can_be_imported_by_class_name() -> None:
    from operators import LineCount

    assert LineCount is load_class("line_count")
    with pytest.raises(ImportError, match="cannot import name 'NoSuchThing'"):
        from operators import NoSuchThing  # noqa: F401


def test_an_unknown_kind_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown kind 'line_cont' \(did you mean 'line_count'\?\)"):
        load_class("line_cont")


def test_an_own_class_is_found_beside_the_configuration_and_its_text_can_be_shipped(tmp_path: Path) -> None:
    (tmp_path / "own_rules.py").write_text("class Tailgate:\n    x = 1\n")
    assert load_class("own_rules:Tailgate", tmp_path).__name__ == "Tailgate"
    (module,) = [m for m in user_modules() if m.name == "own_rules"]
    assert "class Tailgate" in module.source

    # What another process does with the text.
    del load._user_modules["own_rules"], sys.modules["own_rules"]
    install_module(module)
    assert vars(load_class("own_rules:Tailgate"))["x"] == 1


def test_mistakes_in_own_modules_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"kind 'own_none:X': no file .*own_none\.py"):
        load_class("own_none:X", tmp_path)
    (tmp_path / "own_broken.py").write_text("1 / 0\n")
    with pytest.raises(ConfigError, match=r"own_broken\.py: importing it failed: ZeroDivisionError"):
        load_class("own_broken:X", tmp_path)
    (tmp_path / "own_ok.py").write_text("class Tailgate: pass\n")
    with pytest.raises(ConfigError, match=r"defines no class Tailgte \(did you mean 'Tailgate'\?\)"):
        load_class("own_ok:Tailgte", tmp_path)
    (tmp_path / "numpy.py").write_text("class X: pass\n")
    with pytest.raises(ConfigError, match="the name 'numpy' is taken by an installed module"):
        load_class("numpy:X", tmp_path)
