"""What is compared: a backend on a device in a precision."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from engine.errors import UsageError
from engine.inference import AUTO, BackendOptions, backends
from engine.load import did_you_mean

# ONNX Runtime runs everywhere: others are compared with it unless the command says otherwise.
_FIRST = "onnxruntime"


@dataclass(frozen=True)
class Variant:
    """One way to run a model.

    Attributes:
        backend: its name.
        device: as in BackendOptions.
        precision: likewise; None is the backend's usual one.
    """

    backend: str
    device: str = AUTO
    precision: str | None = None

    def __str__(self) -> str:
        device = () if self.device == AUTO else (self.device,)
        return " ".join((self.backend, *device, *((self.precision,) if self.precision else ())))


def variants(names: str, devices: str, precisions: str | None) -> list[Variant]:
    """Combine what the options of the command name; the first one is the reference.

    Args:
        names: backends with commas, or `all`.
        devices: with commas.
        precisions: with commas; None is each backend's usual one.

    Raises:
        UsageError: a name that is not known.
    """
    every = sorted(backends(), key=lambda name: (name != _FIRST, name))
    chosen = every if names == "all" else _split(names)
    found: dict[Variant, None] = {}
    wanted: list[str | None] = [None] if precisions is None else [*_split(precisions)]
    for name, device, precision in itertools.product(chosen, _split(devices), wanted):
        if name not in every:
            raise UsageError(f"--backends: unknown backend '{name}'{did_you_mean(name, every)}")
        try:
            BackendOptions(device, precision)
        except ValueError as error:
            raise UsageError(str(error)) from None
        found[Variant(name, device, precision)] = None
    if not found:
        raise UsageError("there is nothing to compare: name a backend, a device and a precision")
    return list(found)


def batch_sizes(text: str) -> list[int]:
    """Read `1,4,8`.

    Raises:
        UsageError: something else.
    """
    words = _split(text)
    if not words or not all(word.isdecimal() and 1 <= int(word) <= 1024 for word in words):
        raise UsageError(f"--batch {text}: expected numbers from 1 to 1024, such as 1,4,8")
    return sorted({int(word) for word in words})


def _split(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
