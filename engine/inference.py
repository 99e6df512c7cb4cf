"""Inference backends: what runs a model, behind one small seam. `x` is `operators/inference_x.py:InferenceX`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.load import did_you_mean, kinds, load_class
from engine.picture import Pixels

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


class InferenceBackend(Protocol):
    """Runs one bundle's model; belongs to one thread.

    Attributes:
        name: as in `backend: onnxruntime`.
        precision: what it computes in, such as `fp32`; set by `open()`.
        fixed_batch: the only batch size the model takes; larger batches are run in pieces. None where any will do.
    """

    name: str
    precision: str
    fixed_batch: int | None

    def inspect(self, path: Path) -> Signature:
        """Read a model file.

        Raises:
            BundleError: the file is no model that this backend can run.
        """

    def open(self, bundle: Bundle) -> None:
        """Load the model.

        Raises:
            BundleError: the model cannot be loaded.
        """

    def infer(self, tensor: Pixels) -> list[NDArray[Any]]:
        """Run the model.

        Args:
            tensor: uint8 (n, 3, h, w), n at least 1, channels in the model's order; the backend normalises.

        Returns:
            The outputs in the model's order, each (n, …) and float32 where it is of a floating type.

        Raises:
            BundleError: the model failed.
        """

    def close(self) -> None:
        """Free the model. Allowed without a successful `open()`."""


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


def make_backend(name: str = AUTO) -> InferenceBackend:
    """Make a backend by name; `auto` is the one that runs everywhere.

    Raises:
        ConfigError: there is no such backend, or its package is not installed.
    """
    try:
        check_backend(name)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    kind = _PREFIX + ("onnxruntime" if name == AUTO else name)
    return cast(InferenceBackend, load_class(kind)())
