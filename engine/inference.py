"""Inference backends: what runs a model, behind one small seam. `x` is `operators/inference_x.py:InferenceX`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.load import did_you_mean, kinds, load_class
from engine.picture import Picture, Pixels
from engine.trt_engine import PRECISIONS

if TYPE_CHECKING:
    from engine.bundle import Bundle

_PREFIX = "inference_"
AUTO = "auto"


@dataclass(frozen=True)
class TensorInfo:
    """One input or output as the model's file states it; None stands for a size that is free."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.name} ({', '.join('?' if n is None else str(n) for n in self.shape)}) {self.dtype}"


@dataclass(frozen=True)
class Signature:
    """What a model's file says about itself.

    Attributes:
        image: the input that takes the picture, (N, 3, h, w).
        outputs: in the model's order.
        metadata: what the exporter wrote beside the graph.
    """

    image: TensorInfo
    outputs: tuple[TensorInfo, ...]
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BackendOptions:
    """What a person wants of a backend.

    Attributes:
        device: `auto`, `cpu`, `cuda` or `cuda:1`; `auto` is the backend's usual one.
        precision: `fp32`, `fp16`, `bf16` or `int8`; None is the backend's usual one.
        max_batch: pictures that will be given at once, at most. A backend that prepares memory prepares as much.
    """

    device: str = AUTO
    precision: str | None = None
    max_batch: int = 8

    def __post_init__(self) -> None:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"device must be auto, cpu, cuda or cuda:N, got '{self.device}'")
        if self.precision not in (None, *PRECISIONS):
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got '{self.precision}'")
        if self.max_batch < 1:
            raise ValueError(f"max_batch must be at least 1, got {self.max_batch}")


class InferenceBackend(Protocol):
    """Runs one bundle's model; belongs to one thread. Made with BackendOptions.

    Attributes:
        name: as in `backend: onnxruntime`.
        precision: what it computes in, such as `fp32`; set by `open()`.
        device: where, such as `cpu` or `cuda:0 (NVIDIA L4)`; set by `open()`.
        fixed_batch: the only batch size the model takes; larger batches are run in pieces. None where any will do.
        max_batch: the largest batch worth giving it: 1 on a core, which gains nothing; set by `open()`. Larger ones
            may be given and are run in pieces.
    """

    name: str
    precision: str
    device: str
    fixed_batch: int | None
    max_batch: int

    def inspect(self, path: Path) -> Signature:
        """Read a model file.

        Raises:
            BundleError: the file is no model that this backend can run.
        """

    def open(self, bundle: Bundle) -> None:
        """Load the model.

        Raises:
            BackendUnavailable: not by this backend on this machine, or not as the options ask.
            DeviceMemoryError: there is not even memory for one picture.
            BundleError: the model cannot be loaded.
        """

    def infer(self, tensor: Pixels) -> list[NDArray[Any]]:
        """Run the model.

        Args:
            tensor: uint8 (n, 3, h, w), n at least 1, channels in the model's order; the backend normalises.

        Returns:
            The outputs in the model's order, each (n, …) and float32 where it is of a floating type.

        Raises:
            DeviceMemoryError: the batch does not fit; nothing else is lost.
            DeviceLost: the GPU is gone.
            BundleError: the model failed.
        """

    def close(self) -> None:
        """Free the model. Allowed without a successful `open()`."""


@runtime_checkable
class TakesPictures(Protocol):
    """A backend that letterboxes on its device."""

    def infer_pictures(self, pictures: Sequence[Picture]) -> list[NDArray[Any]]:
        """Run the model.

        Args:
            pictures: at least one, of any sizes and formats.

        Returns:
            What `infer` gives for `Picture.letterbox` of each, to the bit.

        Raises:
            See `InferenceBackend.infer`.
        """


def backends() -> list[str]:
    """Every backend that ships with Vedette."""
    return [kind.removeprefix(_PREFIX) for kind in kinds() if kind.startswith(_PREFIX)]


def check_backend(name: str) -> None:
    """Refuse a backend that does not exist, without importing any.

    Raises:
        ValueError: there is no such backend.
    """
    known = [AUTO, *backends()]
    if name not in known:
        raise ValueError(f"unknown backend '{name}'{did_you_mean(name, known)}")


def make_backend(name: str = AUTO, options: BackendOptions | None = None) -> InferenceBackend:
    """Make a backend by name; `auto` is the one that runs everywhere. `engine.choice` finds the fastest.

    Raises:
        ConfigError: there is no such backend, or its package is not installed.
    """
    try:
        check_backend(name)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    kind = _PREFIX + ("onnxruntime" if name == AUTO else name)
    return cast(InferenceBackend, load_class(kind)(options or BackendOptions()))
