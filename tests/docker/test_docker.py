"""The files of docker/ fit together and fit the repository. No Docker engine is needed, and none is used."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from engine.config import load_site
from operators.kafka import Kafka

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
CAMERAS = ("gate", "street", "yard", "dusk")


def read(name: str) -> Any:
    return yaml.safe_load((DOCKER / name).read_text(encoding="utf-8"))


def services() -> dict[str, Any]:
    found: dict[str, Any] = read("compose.yaml")["services"]
    return found


def dockerfile(instruction: str) -> list[str]:
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    return re.findall(rf"^{instruction} (.+)$", text, re.MULTILINE)


def copied() -> list[str]:
    return [name for line in dockerfile("COPY") if not line.startswith("--from") for name in line.split()[:-1]]


def test_everything_that_the_image_copies_is_in_the_repository_and_not_ignored() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    kept = {entry.removeprefix("!") for entry in ignore if entry.startswith("!")}

    assert [name for name in copied() if not (ROOT / name).exists()] == []
    assert set(copied()) == kept


def test_the_image_holds_every_package_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]) <= set(copied())


def test_the_image_has_a_python_that_the_project_supports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    low, high = (tuple(map(int, n)) for n in re.findall(r"[<>]=?(\d+)\.(\d+)", project["requires-python"]))
    versions = {tuple(map(int, n)) for line in dockerfile("FROM") for n in re.findall(r"python:(\d+)\.(\d+)", line)}

    assert len(versions) == 1
    assert low <= versions.pop() < high


def test_the_image_runs_as_a_user_of_its_own() -> None:
    assert [int(user) > 0 for user in dockerfile("USER")] == [True]
    assert dockerfile("ENTRYPOINT") == ['["vedette"]']


def test_every_foreign_image_says_its_version() -> None:
    images = [line.split()[0] for line in dockerfile("FROM")] + [
        s["image"] for s in services().values() if "image" in s
    ]

    assert len(images) == 4
    assert [image for image in images if not re.search(r":\d", image) or "latest" in image] == []


def test_everything_that_is_mounted_is_in_the_repository_or_a_named_volume() -> None:
    sources = [volume.split(":")[0] for service in services().values() for volume in service["volumes"]]
    named = set(read("compose.yaml")["volumes"])

    assert [s for s in sources if s not in named and not (DOCKER / s).exists()] == []


def test_nothing_listens_beyond_this_machine() -> None:
    ports = [port for service in services().values() for port in service.get("ports", ())]

    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_each_camera_plays_its_clip() -> None:
    paths = read("mediamtx.yml")["paths"]

    assert tuple(paths) == CAMERAS
    for name, path in paths.items():
        clip, target = re.search(r"-i /clips/(\S+) .* rtsp://127\.0\.0\.1:8554/(\S+)$", path["runOnInit"]).groups()  # type: ignore[union-attr]
        assert (clip, target) == (f"{name}.mp4", name)
        assert (ROOT / "replay_data" / "clips" / clip).is_file()


def test_the_engine_watches_these_cameras_and_this_broker() -> None:
    engine = services()["engine"]
    site = load_site(DOCKER / "site.yaml", engine["environment"])
    user = next(user for user in read("mediamtx.yml")["authInternalUsers"] if user["user"] != "any")

    assert {name: camera.url.reveal() for name, camera in site.cameras.items()} == {
        name: f"rtsp://{user['user']}:{user['pass']}@cameras:8554/{name}" for name in CAMERAS
    }
    (sink,) = site.sinks
    assert isinstance(sink, Kafka)
    assert f"INSIDE://{sink.bootstrap}" in services()["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert engine["command"] == ["run", "/etc/vedette/site.yaml"]
    assert "./site.yaml:/etc/vedette/site.yaml:ro" in engine["volumes"]


def test_lines_and_zones_are_those_of_the_recordings() -> None:
    recordings = yaml.safe_load((ROOT / "replay_data" / "detect.yaml").read_text(encoding="utf-8"))

    assert read("site.yaml")["pipeline"] == recordings["pipeline"]


def test_the_folder_is_no_package() -> None:
    assert not (DOCKER / "__init__.py").exists()
