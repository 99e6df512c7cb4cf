"""A stand-in for the Python module of TensorRT 10, which cannot be installed everywhere, on top of `tensorrt_rtx`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class FullTensorrt:
    """The Python module of TensorRT 10, as far as building goes, built by TensorRT for RTX.

    It has no compute capabilities, and does what is asked about compatibility and timing.

    Attributes:
        configs: of the builds so far.
        is_driver_too_old: for it to make a builder.
        failure: makes every build fail with this line in the log.
    """

    __version__ = "10.15.1.29"

    def __init__(self, trt: Any) -> None:
        self._trt = trt
        self.configs: list[_Config] = []
        self.is_driver_too_old = False
        self.failure: str | None = None

    def __getattr__(self, name: str) -> Any:
        if name == "ComputeCapability":
            raise AttributeError(name)
        return getattr(self._trt, name)

    def Builder(self, logger: Any) -> _Builder:  # noqa: N802
        if self.is_driver_too_old:
            logger.log(self._trt.ILogger.Severity.WARNING, "CUDA initialization failure with error: 35. Please check")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return _Builder(self, self._trt.Builder(logger), logger)


class _Builder:
    def __init__(self, trt: FullTensorrt, real: Any, logger: Any) -> None:
        self._trt, self._real, self._logger = trt, real, logger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def create_builder_config(self) -> _Config:
        self._trt.configs.append(_Config(self._real.create_builder_config()))
        return self._trt.configs[-1]

    def build_serialized_network(self, network: Any, config: _Config) -> Any:
        if self._trt.failure is not None:
            self._logger.log(self._trt.ILogger.Severity.ERROR, self._trt.failure)
            return None
        return self._real.build_serialized_network(network, config.real)


class _Config:
    KEPT = ("real", "flags", "hardware_compatibility_level", "timing")

    def __init__(self, real: Any) -> None:
        self.real = real
        self.flags: set[str] = set()
        self.hardware_compatibility_level: Any = None
        self.timing = b""

    def __getattr__(self, name: str) -> Any:
        if "compute_capabilit" in name:
            raise AttributeError(name)
        return getattr(self.real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if "compute_capabilit" in name:
            raise AttributeError(name)
        if name in self.KEPT:
            object.__setattr__(self, name, value)
        else:
            setattr(self.real, name, value)

    def set_flag(self, flag: Any) -> None:
        self.flags.add(flag.name)

    def create_timing_cache(self, data: bytes) -> SimpleNamespace:
        return SimpleNamespace(data=data)

    def set_timing_cache(self, cache: SimpleNamespace, ignore_mismatch: bool) -> bool:
        self.timing = cache.data
        return not cache.data.startswith(b"other")

    def get_timing_cache(self) -> SimpleNamespace:
        return SimpleNamespace(serialize=lambda: self.timing + b"+measured")
