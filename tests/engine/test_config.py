"""The strict loader: what a configuration says is what happens, or a sentence with file, path and value."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import load_site
from engine.drift.settings import DriftSettings
from engine.errors import ConfigError

GOOD = """
site: north
defaults: {stall_after_s: 7}
cameras:
  gate: {url: "rtsp://${CAM_USER}:${CAM_PASSWORD}@10.0.0.5/1", transport: udp}
  dock: {url: clips/dock.mp4}
pipeline:
  - motion_blobs
  - track: {kind: sort}
  - line_count: {name: in, cameras: [gate], line: [[0.1, 0.5], [0.9, 0.5]]}
  - zone: {name: yard, cameras: [dock], polygon: [[0.1, 0.2], [0.9, 0.2], [0.9, 0.9]], dwell_s: 10}
sinks:
  - jsonl: {path: events.jsonl}
"""
SECRETS = {"CAM_USER": "admin", "CAM_PASSWORD": "p@ss:w/rd"}


def load(folder: Path, text: str, environment: dict[str, str] | None = None) -> None:
    path = folder / "site.yaml"
    path.write_text(text, encoding="utf-8")
    load_site(path, SECRETS if environment is None else environment)


def test_a_configuration_becomes_cameras_steps_and_sinks(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(GOOD, encoding="utf-8")
    site = load_site(tmp_path / "site.yaml", SECRETS)

    assert site.name == "north"
    assert [(s.name, s.cameras) for s in site.pipeline.steps] == [
        ("motion_blobs", None), ("track", None), ("in", ("gate",)), ("yard", ("dock",)),
    ]  # fmt: skip
    assert site.cameras["gate"].transport == "udp"
    assert site.cameras["gate"].stall_after_s == 7
    assert site.cameras["dock"].url.reveal() == str(tmp_path / "clips/dock.mp4")


def test_user_and_password_are_percent_encoded_and_never_print(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(GOOD, encoding="utf-8")
    url = load_site(tmp_path / "site.yaml", SECRETS).cameras["gate"].url

    assert url.reveal() == "rtsp://admin:p%40ss%3Aw%2Frd@10.0.0.5/1"
    assert "p@ss" not in f"{url} {url!r}"
    assert "p%40ss" not in f"{url} {url!r}"


def replaced(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cameras: [", r"site\.yaml: line 1, column 11: not YAML"),
        ("- a\n- b", r"site\.yaml: expected a configuration with `cameras:` and `pipeline:`, got \[\"a\", \"b\"\]"),
        ("", r"site\.yaml: expected a configuration"),
        (GOOD + "site: south\n", r"site\.yaml: line \d+: the key 'site' stands twice"),
        (GOOD + "sink: []\n", r"site\.yaml: unknown key 'sink'; a configuration accepts: .*did you mean 'sinks'\?"),
        (replaced("transport: udp", "transport: quic"), r"cameras\.gate\.transport: expected 'tcp' or 'udp', got \"quic\""),
        (replaced("transport: udp", "trnsport: udp"), r"cameras\.gate: unknown key 'trnsport'.*did you mean 'transport'"),
        (replaced("stall_after_s: 7", "stall_after_s: soon"), r"stall_after_s: expected a valid number, got \"soon\""),
        (replaced("stall_after_s: 7", "stall_after_s: 0"), r"stall_after_s: must be above 0 seconds, got 0"),
        (replaced("stall_after_s: 7", "stall_afer_s: 7"), r"site\.yaml: defaults: unknown key 'stall_afer_s'"),
        (replaced("clips/dock.mp4", "7"), r"cameras\.dock\.url: expected a valid string, got 7"),
        (replaced("{url: clips/dock.mp4}", "{}"), r"cameras\.dock: expected `url:` with a stream or a file, got \{\}"),
        (replaced("  dock:", "  'the dock':"), r"cameras\.the dock: a camera's name is letters"),
        (replaced("kind: sort", "kind: sorrt"), r"pipeline\[1\]: unknown kind 'sorrt' \(did you mean 'sort'\?\)"),
        (replaced("kind: sort", "kind: 7"), r"pipeline\[1\]\.kind: expected a valid string, got 7"),
        (replaced("kind: sort", "kind: jsonl"), r"pipeline\[1\]: kind 'jsonl' is no Operator or Composite"),
        (replaced("line: [[0.1", "lines: [[0.1"), r"pipeline\[2\]: unknown key 'lines'; line_count accepts: .*line"),
        (replaced("line: [[0.1, 0.5], [0.9, 0.5]]", ""), r"pipeline\[2\]: missing key 'line'"),
        (replaced("[[0.1, 0.5], [0.9, 0.5]]", "[[0.1, 0.5]]"), r"pipeline\[2\]\.line\[1\]: Field required"),
        (replaced("[0.1, 0.5], [0.9, 0.5]", "[0.4, 0.4], [0.4, 0.4]"), r"pipeline\[2\]\.line: .*got"),
        (replaced("[0.9, 0.5]]", "['x', 0.5]]"), r"pipeline\[2\]\.line\[1\]\[0\]: expected a valid number, got \"x\""),
        (replaced("cameras: [gate]", "cameras: [gat]"), r"pipeline\[2\]\.cameras: no camera is called 'gat' \(did you mean 'gate'"),
        (replaced("dwell_s: 10", "dwell_s: yes"), r"pipeline\[3\]\.dwell_s: expected a valid number, got \"yes\""),
        (replaced("name: yard, cameras: [dock]", "name: in"), r"pipeline\[3\]: the step name 'in' is taken"),
        (replaced("- motion_blobs", "- [motion_blobs]"), r"pipeline\[0\]: expected one kind with its options"),
        (replaced("path: events.jsonl", "pth: x"), r"sinks\[0\]: unknown key 'pth'; jsonl accepts"),
        (replaced("jsonl:", "sort:"), r"sinks\[0\]: .*"),
        (GOOD + "drift: {window_s: 0}\n", r"site\.yaml: drift\.window_s: must be above 0, got 0"),
        (GOOD + "drift: {every_s: 60}\n", r"site\.yaml: drift\.every_s: a window of 60 s needs at least ten samples"),
        (GOOD + "drift: {every_s: often}\n", r"site\.yaml: drift\.every_s: expected .*, got \"often\""),
        (GOOD + "drift: {windows_s: 9}\n", r"drift: unknown key 'windows_s'; drift accepts: .*did you mean 'window_s'"),
        (GOOD + "drift: {thresholds: {sharpness: high}}\n", r"drift\.thresholds\.sharpness: expected a valid number"),
        (GOOD + "drift: {ignore: [darkk]}\n", r"drift\.ignore: no cause is called 'darkk' \(did you mean 'dark'"),
        (GOOD + "drift: 7\n", r"site\.yaml: drift: expected settings as keys and values, or false, got 7"),
        (replaced("kind: sort", 'kind: "mine:Thing"'), r"pipeline\[1\]: kind 'mine:Thing': no file .*mine\.py"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_its_place_value_and_what_was_expected(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text)


def test_drift_is_watched_for_unless_the_configuration_says_no(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    found = {}
    for text in ("", "drift:\n", "drift: true\n", "drift: false\n", "drift: {window_s: 300, ignore: [dark]}\n"):
        path.write_text(GOOD + text, encoding="utf-8")
        found[text] = load_site(path, SECRETS).drift

    assert list(found.values()) == [
        DriftSettings(), DriftSettings(), DriftSettings(), None, DriftSettings(window_s=300, ignore=("dark",)),
    ]  # fmt: skip


def test_drifts_reference_and_state_are_found_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "models/mine").mkdir(parents=True)
    path = tmp_path / "site.yaml"
    path.write_text(GOOD + "drift: {reference: models/mine, state: drift-state}\n", encoding="utf-8")
    drift = load_site(path, SECRETS).drift

    assert drift is not None
    assert (drift.reference, drift.state) == (str(tmp_path / "models/mine"), str(tmp_path / "drift-state"))


def test_a_missing_variable_is_named_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cameras\.gate\.url: the environment variable CAM_USER is not set"):
        load(tmp_path, GOOD, {})


def test_a_variable_may_have_a_default(tmp_path: Path) -> None:
    load(tmp_path, replaced("${CAM_USER}", "${CAM_USER:-guest}"), {"CAM_PASSWORD": "x"})


def test_an_own_module_that_does_not_import_says_why(tmp_path: Path) -> None:
    (tmp_path / "broken_rules.py").write_text("import no_such_package\n")
    with pytest.raises(
        ConfigError, match=r"pipeline\[1\]: .*broken_rules\.py: importing it failed: ModuleNotFoundError"
    ):
        load(tmp_path, replaced("kind: sort", 'kind: "broken_rules:Thing"'))


def test_a_file_that_is_missing_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such configuration file"):
        load_site(tmp_path / "none.yaml")
    (tmp_path / "site.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read as UTF-8"):
        load_site(tmp_path / "site.yaml")
