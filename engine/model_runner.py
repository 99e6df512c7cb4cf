"""Running a bundle's model for an operator: what its step says about it, and batches in pieces that fit the device."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from engine.bundle import Bundle
from engine.choice import open_backend
from engine.errors import DeviceMemoryError
from engine.inference import AUTO, BackendOptions, TakesPictures, check_backend
from engine.picture import Picture, Pixels

logger = logging.getLogger(__name__)


class ModelSettings(Protocol):
    """The fields that every operator which runs a model has.

    Attributes:
        model: a bundle's folder or an ONNX file.
        backend: what runs the model, where it can; `auto` chooses. See `engine.choice`.
        require: the only backend that will do; without it another one takes over, and the log says why.
        device, precision, max_batch: see `engine.inference.BackendOptions`.
        place: `local` or `actor`, see BatchOperator.
        num_gpus: share of a GPU that each actor reserves on a cluster.
    """

    model: str
    backend: str
    require: str | None
    device: str
    precision: str | None
    max_batch: int
    place: str
    num_gpus: float


def check_model_settings(step: ModelSettings) -> None:
    """Refuse settings that mean nothing, without importing a backend.

    Raises:
        ValueError: says which and why.
    """
    if step.place not in ("local", "actor"):
        raise ValueError(f"place must be local or actor, got '{step.place}'")
    check_backend(step.backend)
    if step.require is not None:
        check_backend(step.require)
        if step.require == AUTO or step.backend not in (AUTO, step.require):
            raise ValueError(f"require must name one backend, the one of `backend`, got '{step.require}'")
    BackendOptions(step.device, step.precision, step.max_batch)
    if not 0 <= step.num_gpus < math.inf:
        raise ValueError(f"num_gpus must be 0 or more, got {step.num_gpus:g}")


class ModelRunner:
    """An opened model; belongs to one thread.

    Args:
        bundle: the model.
        step: how it is to be run.

    Attributes:
        backend: what runs it.
        max_batch: pictures that are run at once; halved whenever the device has too little memory for them.

    Raises:
        BundleError: the model cannot be used, or not as the step requires.
    """

    def __init__(self, bundle: Bundle, step: ModelSettings) -> None:
        self._name = step.model
        options = BackendOptions(step.device, step.precision, step.max_batch)
        self.backend = open_backend(bundle, step.backend, step.require, options)
        self.max_batch = min(step.max_batch, self.backend.max_batch)

    @property
    def on_gpu(self) -> bool:
        """The model runs on a GPU."""
        return self.backend.device != "cpu"

    @property
    def takes_pictures(self) -> bool:
        """`infer_pictures` may be used."""
        return isinstance(self.backend, TakesPictures)

    def infer(self, batch: Pixels) -> list[NDArray[Any]]:
        """Run the model on any number of pictures, at least one. See InferenceBackend."""
        return self._in_pieces(self.backend.infer, batch)

    def infer_pictures(self, pictures: Sequence[Picture]) -> list[NDArray[Any]]:
        """Run the model on any number of decoded pictures, at least one. See TakesPictures."""
        return self._in_pieces(cast(TakesPictures, self.backend).infer_pictures, pictures)

    def _in_pieces(self, infer: Callable[[Any], list[NDArray[Any]]], batch: Any) -> list[NDArray[Any]]:
        pieces: list[list[NDArray[Any]]] = []
        start = 0
        while start < len(batch):
            piece = batch[start : start + self.max_batch]
            try:
                pieces.append(infer(piece))
            except DeviceMemoryError as error:
                if len(piece) == 1:
                    raise
                self.max_batch = (len(piece) + 1) // 2
                logger.warning("%s: batches of at most %d from now on: %s", self._name, self.max_batch, error)
                continue
            start += len(piece)
        return pieces[0] if len(pieces) == 1 else [np.concatenate(outputs) for outputs in zip(*pieces, strict=True)]

    def close(self) -> None:
        """Free the model."""
        self.backend.close()
