"""The one seam to TensorRT's Python modules: `tensorrt` and `tensorrt_rtx`, which have the same calls.

They are loaded late, since they are large and most machines have neither.
"""

from __future__ import annotations

import importlib
import logging
import re
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from engine.errors import BackendUnavailable
from engine.gpu import gpus, why_no_gpu
from engine.trt_engine import FLAVOURS, Flavour

logger = logging.getLogger(__name__)

# Some installations lack the package that only passes on the names of `tensorrt_bindings`.
_MODULES: dict[Flavour, tuple[str, ...]] = {
    "tensorrt": ("tensorrt", "tensorrt_bindings"),
    "tensorrt_rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"),
}
_INSTALL: dict[Flavour, str] = {
    "tensorrt": "pip install 'vedette[tensorrt]'",
    "tensorrt_rtx": "pip install 'vedette[tensorrt-rtx]'",
}
# Strongly typed networks have no progress, no names in parser errors and no int64 before it.
_OLDEST_MAJOR = 10
_DTYPES = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16"}
_CUDA_ERROR = re.compile(r"(?:cudaError|CUDA initialization failure with error:?|CUDA error) (\d+)")
_NO_MEMORY, _DRIVER_TOO_OLD = 2, 35
# After any error, a library without a driver asks CUDA whether there was one, and logs that it could not.
_AFTERMATH = "catchCudaError"
_DURATION = re.compile(r"\d+(?:\.\d+)?(?:e-?\d+)? ?(ms|us|seconds|sec|s)\b")
_MEMORY_NOW = "[MemUsageChange]"
_PLACE = re.compile(r"\s*In \w+ at [^\s()]+:\d+")
_WRAPPING = re.compile(r"(?:\[[^\]]*\]|[\w:]+:)?\s*Error Code \d+: [\w ]+ \((?P<inner>.*)\)", re.DOTALL)


class TensorrtLog:
    """What the library says while this is open, from whichever of its threads.

    Attributes:
        lines: severity (`INFO`, `WARNING`, `ERROR` or `INTERNAL_ERROR`) and text, as it came.
    """

    def __init__(self, listeners: list[TensorrtLog]) -> None:
        self.lines: list[tuple[str, str]] = []
        self._listeners = listeners

    def __enter__(self) -> TensorrtLog:
        self._listeners.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listeners.remove(self)

    def add(self, severity: str, text: str) -> None:
        """Keep a line; VERBOSE ones, thousands in a build, are not."""
        if severity != "VERBOSE":
            self.lines.append((severity, text))

    def text(self) -> str:
        """Give all of it without durations and this process's memory, so that the same build gives the same text."""
        kept = [f"{severity}: {text}\n" for severity, text in self.lines if _MEMORY_NOW not in text]
        return _DURATION.sub(r"… \1", "".join(kept))


@dataclass(frozen=True)
class TensorrtModule:
    """A library that could be loaded.

    Attributes:
        trt: the Python module.
        flavour: which of the two.
        version: such as `10.15.1.29`.
    """

    trt: Any
    flavour: Flavour
    version: str
    _logger: Any = field(repr=False)

    def __str__(self) -> str:
        return f"{FLAVOURS[self.flavour]} {self.version}"

    def listen(self) -> TensorrtLog:
        """Make a log, to be used in a `with` statement."""
        return TensorrtLog(self._logger.listeners)

    def builder(self, log: TensorrtLog) -> Any:
        """Make a trt.Builder.

        Raises:
            BackendUnavailable: there is no GPU or driver and the library needs one.
        """
        return self._make(self.trt.Builder, log)

    def runtime(self, log: TensorrtLog) -> Any:
        """Make a trt.Runtime.

        Raises:
            BackendUnavailable: there is no GPU or driver.
        """
        return self._make(self.trt.Runtime, log)

    def parser(self, network: Any) -> Any:
        """Make a trt.OnnxParser."""
        return self.trt.OnnxParser(network, self._logger)

    def explain(self, log: TensorrtLog) -> str:
        """Say, in a sentence without a full stop, what went wrong last, of what the library has logged."""
        errors = [text for severity, text in log.lines if severity.endswith("ERROR") and _AFTERMATH not in text]
        # TensorRT 10 only warns that it finds no driver.
        told = errors[-2:] or [text for _, text in log.lines if _CUDA_ERROR.search(text)]
        if codes := _CUDA_ERROR.findall("\n".join(told)):
            return self._explain_cuda(int(codes[-1]))
        return "; ".join(dict.fromkeys(map(_plain, told))) or f"{self} gave no reason"

    def _make(self, kind: Any, log: TensorrtLog) -> Any:
        try:
            return kind(self._logger)
        except TypeError:
            # "pybind11::init(): factory function returned nullptr": all that Python is told. The log knows more.
            raise BackendUnavailable(self.explain(log)) from None

    def _explain_cuda(self, code: int) -> str:
        if not gpus():
            return f"{self} needs a GPU: {why_no_gpu()}"
        if code == _NO_MEMORY:
            return f"{self} ran out of memory on the GPU (CUDA error {code})"
        if code == _DRIVER_TOO_OLD:
            return f"the NVIDIA driver runs CUDA up to {gpus()[0].driver}, too old for {self}; update the driver"
        return f"{self} could not use the GPU: CUDA error {code}; `nvidia-smi` shows whether it is well"


def load_tensorrt(flavour: Flavour | None = None) -> TensorrtModule:
    """Load TensorRT.

    Args:
        flavour: which; None takes TensorRT, or TensorRT for RTX where that is all there is.

    Raises:
        BackendUnavailable: not installed, without its libraries, or too old.
    """
    if flavour is not None:
        return _load(flavour)
    try:
        return _load("tensorrt")
    except BackendUnavailable as error:
        try:
            module = _load("tensorrt_rtx")
        except _NotInstalledError:
            if not isinstance(error, _NotInstalledError):
                raise error from None
            ways = f"{_INSTALL['tensorrt']}, or on GeForce and RTX {_INSTALL['tensorrt_rtx']}"
            raise _NotInstalledError(f"TensorRT is not installed: {ways}") from None
        if not isinstance(error, _NotInstalledError):
            logger.warning("%s; %s is used instead", error, module)
        return module


class _NotInstalledError(BackendUnavailable):
    """There is no such module, as opposed to one that does not work."""


def _load(flavour: Flavour) -> TensorrtModule:
    for name in _MODULES[flavour]:
        try:
            trt = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name == name:
                continue
            raise BackendUnavailable(_without(flavour, f"the Python module '{error.name}'")) from None
        except (ImportError, OSError) as error:
            raise BackendUnavailable(_without_library(flavour, str(error))) from None
        # A folder called `tensorrt` in the current one can be imported, too, and is empty.
        if hasattr(trt, "Builder"):
            return _checked(TensorrtModule(trt, flavour, trt.__version__, _logger_of(trt)))
    raise _NotInstalledError(f"{FLAVOURS[flavour]} is not installed: {_INSTALL[flavour]}")


def _checked(module: TensorrtModule) -> TensorrtModule:
    if module.flavour == "tensorrt" and int(module.version.split(".")[0]) < _OLDEST_MAJOR:
        raise BackendUnavailable(f"{module} is too old, {_OLDEST_MAJOR} or later is needed: {_INSTALL['tensorrt']}")
    return module


def _without(flavour: Flavour, what: str) -> str:
    return f"{FLAVOURS[flavour]} is installed without {what}: {_INSTALL[flavour]}"


def _without_library(flavour: Flavour, text: str) -> str:
    library = re.search(r"(?:lib)?\w+\.(?:so[\w.]*|dll)", text)
    if library is None or not re.search("cannot open shared object|could not find", text, re.IGNORECASE):
        return f"{FLAVOURS[flavour]} is installed and cannot be loaded: {text.splitlines()[0]}"
    return _without(flavour, f"its library {library[0]}") + ", or put its folder into LD_LIBRARY_PATH"


_loggers: dict[Any, Any] = {}


def _logger_of(trt: Any) -> Any:
    """Give the one logger of this process: the library keeps the first that it is given and ignores all others."""
    if trt not in _loggers:

        class Logger(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)
                self.listeners: list[TensorrtLog] = []

            def log(self, severity: Any, text: str) -> None:
                for listener in tuple(self.listeners):
                    listener.add(severity.name, text)

        _loggers.setdefault(trt, Logger())
    return _loggers[trt]


def dtype_name(dtype: Any) -> str:
    """Give the name of a trt.DataType as numpy has it, where it has one."""
    name: str = dtype.name
    return _DTYPES.get(name, name.lower())


def _plain(text: str) -> str:
    """Take an error's words out of the class, the code and the places in NVIDIA's source around them."""
    text = _PLACE.sub("", text).strip()
    wrapped = _WRAPPING.fullmatch(text)
    return (wrapped["inner"] if wrapped else text).strip().rstrip(".")
