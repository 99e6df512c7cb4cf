from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from operators.nvidia.tensorrt_module import TensorrtLog
from operators.nvidia.timing_cache import TimingCache


class Config:
    """Stands for trt.IBuilderConfig of TensorRT: TensorRT for RTX has the calls and ends the process."""

    def __init__(self) -> None:
        self.data: bytes | None = None

    def create_timing_cache(self, data: bytes) -> SimpleNamespace | None:
        return None if data == b"damaged" else SimpleNamespace(data=data)

    def set_timing_cache(self, cache: SimpleNamespace, ignore_mismatch: bool) -> bool:
        if cache.data.startswith(b"other") and not ignore_mismatch:
            return False
        self.data = cache.data
        return True

    def get_timing_cache(self) -> SimpleNamespace:
        return SimpleNamespace(serialize=lambda: (self.data or b"") + b"+measured")


@pytest.fixture
def log() -> TensorrtLog:
    return TensorrtLog([])


def test_measurements_go_from_one_build_to_the_next(tmp_path: Path, log: TensorrtLog) -> None:
    path = tmp_path / "new" / "cache"
    for expected in (b"", b"+measured"):
        config, cache = Config(), TimingCache(path, log)
        cache.attach(config)
        assert config.data == expected
        cache.save(config)
    assert path.read_bytes() == b"+measured+measured"
    assert [file.name for file in path.parent.iterdir()] == ["cache"]
    assert log.lines == []


@pytest.mark.parametrize("data", [b"other version", b"damaged"])
def test_measurements_of_another_version_are_begun_anew(tmp_path: Path, log: TensorrtLog, data: bytes) -> None:
    path, config = tmp_path / "cache", Config()
    path.write_bytes(data)
    cache = TimingCache(path, log)
    cache.attach(config)
    cache.save(config)
    assert path.read_bytes() == b"+measured"
    assert log.text() == "WARNING: timing cache cache is of another version or GPU, or damaged, and is begun anew\n"


def test_a_place_that_is_no_file_stops_no_build(tmp_path: Path, log: TensorrtLog) -> None:
    path, config = tmp_path / "cache", Config()
    path.mkdir()
    cache = TimingCache(path, log)
    cache.attach(config)
    assert config.data == b""
    cache.save(config)
    assert log.text() == (
        "WARNING: timing cache cache cannot be read: Is a directory\n"
        "WARNING: timing cache cache cannot be written: Is a directory\n"
    )
    assert list(tmp_path.iterdir()) == [path]
