"""Building TensorRT engines: what is asked for, what comes out, and the seam to whoever builds them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from engine.errors import UsageError
from engine.gpu import gpus, why_no_gpu
from engine.load import load_class
from engine.trt_engine import Flavour, HardwareCompatibility, TrtTensor

Progress = Callable[[str, int, int], bool]
"""Called with a phase, how many of its steps are done and how many it has; False cancels the build. Phases nest, and
only their names tell which is which. It is called in another thread than `build`."""

_CURRENT = "CURRENT"
_SPELLINGS = re.compile(r"(?:sm_?)?(?P<major>\d{1,2})\.?(?P<minor>\d)", re.IGNORECASE)


@dataclass(frozen=True)
class BuildRequest:
    """What engine is wanted.

    Attributes:
        onnx: the model, whose types are the precision that the engine computes in.
        input_wh: size of the pictures; a model that takes any size is built for this one.
        min_batch: the smallest batch that will run; models with a fixed batch take that one alone.
        opt_batch: the batch that shall be fastest.
        max_batch: the largest.
        targets: compute capabilities to build for, such as `8.9`; empty is the first GPU of this machine.
        flavour: the library; None takes what is installed, TensorRT before TensorRT for RTX.
        hardware_compatibility: GPUs beyond the targets that the engine shall run on.
        version_compatible: later versions of the same major release shall run it, too.
        tf32: multiply float32 with the 10-bit mantissas of TF32. Faster, and less exact than fp32 says.
        workspace_mb: device memory that a layer may use while it runs, in MiB; None leaves it to the library.
        timing_cache: file of how fast kernels were, so that the next build is quicker; read and written.
        optimization_level: 0 (quick to build) to 5 (quick to run); None is the library's own.
        on_progress: told how far it is.

    Raises:
        UsageError: batches out of order, or a number out of its range.
    """

    onnx: Path
    input_wh: tuple[int, int]
    min_batch: int = 1
    opt_batch: int = 8
    max_batch: int = 8
    targets: tuple[str, ...] = ()
    flavour: Flavour | None = None
    hardware_compatibility: HardwareCompatibility = "none"
    version_compatible: bool = False
    tf32: bool = False
    workspace_mb: int | None = None
    timing_cache: Path | None = None
    optimization_level: int | None = None
    on_progress: Progress | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.min_batch <= self.opt_batch <= self.max_batch:
            raise UsageError(
                f"batches must be 1 <= smallest <= fastest <= largest, got {self.min_batch}, {self.opt_batch} and "
                f"{self.max_batch}"
            )
        if self.workspace_mb is not None and self.workspace_mb < 1:
            raise UsageError(f"the workspace must be at least 1 MiB, got {self.workspace_mb}")
        if self.optimization_level is not None and not 0 <= self.optimization_level <= 5:
            raise UsageError(f"the optimization level must be 0 to 5, got {self.optimization_level}")


@dataclass(frozen=True)
class BuiltEngine:
    """An engine, and what a manifest says about it.

    Attributes:
        data: the engine itself. Two builds need not give the same bytes.
        flavour: the library that built it.
        version: of that library.
        compute_capabilities: GPUs it was built for.
        min_batch, opt_batch, max_batch: its optimisation profile; all the same where the model's batch is fixed.
        inputs, outputs: in the model's order.
        log: what the library said, without times and folders.
        build_s: seconds it took.
        layers: of the network, before the library fuses them.
    """

    data: bytes
    flavour: Flavour
    version: str
    compute_capabilities: tuple[str, ...]
    min_batch: int
    opt_batch: int
    max_batch: int
    inputs: tuple[TrtTensor, ...]
    outputs: tuple[TrtTensor, ...]
    log: str
    build_s: float
    layers: int


class EngineBuilder(Protocol):
    """Builds TensorRT engines."""

    def library(self, flavour: Flavour | None = None) -> tuple[Flavour, str]:
        """Say which library builds here, and its version.

        Args:
            flavour: which; None takes what is installed, TensorRT before TensorRT for RTX.

        Raises:
            BackendUnavailable: the library is not here.
        """

    def build(self, request: BuildRequest) -> BuiltEngine:
        """Build one. Ctrl-C stops the library at its next step and leaves nothing behind.

        Raises:
            BackendUnavailable: the library is not here, or cannot build what was asked for on this machine.
            BundleError: the model is damaged, does not fit the request, or cannot be built; or the build was cancelled.
        """


def make_builder() -> EngineBuilder:
    """Make the one that is there: `operators/tensorrt_builder.py`."""
    return cast(EngineBuilder, load_class("tensorrt_builder")())


def parse_targets(text: str) -> tuple[str, ...]:
    """Read the GPUs that an engine shall run on, as people write them: `sm_86,8.9` or `CURRENT`.

    Args:
        text: compute capabilities (`8.6`, `86`, `sm_86`) with commas between; `CURRENT` is the first GPU here.

    Returns:
        Compute capabilities such as `8.6`, each once, in the order given; empty for `CURRENT` alone.

    Raises:
        UsageError: no compute capability, or `CURRENT` beside others where there is no GPU.
    """
    words = [word.strip() for word in text.split(",")]
    if [word.upper() for word in words] == [_CURRENT]:
        return ()
    return tuple(dict.fromkeys(_capability(word) for word in words))


def _capability(word: str) -> str:
    if word.upper() == _CURRENT:
        if not gpus():
            raise UsageError(f"--gpu {_CURRENT}: {why_no_gpu()}; name GPUs instead, such as --gpu sm_86,sm_89")
        return gpus()[0].capability
    match = _SPELLINGS.fullmatch(word)
    if match is None:
        raise UsageError(
            f"--gpu: '{word}' is no compute capability; expected CURRENT or such as sm_86 or 8.6 (`nvidia-smi "
            "--query-gpu=compute_cap --format=csv` prints a GPU's)"
        )
    return f"{match['major']}.{match['minor']}"
