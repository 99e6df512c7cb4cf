"""Which backend runs a model: the fastest that can, with the reasons why others cannot.

An engine that does not fit, a package that is missing or a GPU that is full must not stop cameras, and must not pass
unnoticed either: what was taken instead is said once, in one line. `require` stops instead.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import replace

import numpy as np

from engine.bundle import Bundle
from engine.errors import BackendUnavailable, BundleError, ConfigError, DeviceLost
from engine.gpu import gpus, why_no_gpu
from engine.inference import AUTO, BackendOptions, InferenceBackend, make_backend

logger = logging.getLogger(__name__)

# Fastest first.
ON_GPU = ("tensorrt", "onnxruntime", "torch")
ON_CPU = "onnxruntime"

Candidate = tuple[str, BackendOptions]


def open_backend(
    bundle: Bundle, name: str = AUTO, require: str | None = None, options: BackendOptions | None = None
) -> InferenceBackend:
    """Open a bundle's model with the first backend that can run it.

    It has run a grey picture before it is given: some engines open and then cannot run, and the first frame of a camera
    is not the time to notice, nor to wait for what a first run prepares.

    Args:
        bundle: the model.
        name: the backend to try first; `auto` leaves the order to `candidates`.
        require: the only backend that will do, as the options say.
        options: what is wanted. A `device` that is named is kept; a `precision` is a wish unless `require` is set.

    Raises:
        BundleError: no backend can run it; says why not, of each.
        DeviceLost: the GPU failed meanwhile.
        ConfigError: there is no such backend.
    """
    options = options or BackendOptions()
    tries = [(require, options)] if require is not None else candidates(name, options)
    reasons: list[tuple[str, str]] = []
    for candidate, wanted in tries:
        backend = make_backend(candidate, wanted) if len(tries) == 1 else _make(candidate, wanted, reasons)
        if backend is None:
            continue
        try:
            backend.open(bundle)
            _run_first_picture(bundle, backend)
        except DeviceLost:
            backend.close()
            raise
        except BundleError as error:
            backend.close()
            if len(tries) == 1:
                raise
            reasons.append((_label(candidate, wanted), str(error)))
        else:
            # With `auto`, the processor has reasons only where there is a GPU that stays idle.
            surprising = bool(reasons) and (
                name != AUTO
                or options.precision is not None
                or bool(bundle.manifest.engines)
                or backend.device == "cpu"
            )
            _say(_sentence(bundle, backend, reasons), logging.WARNING if surprising else logging.INFO)
            return backend
    if options.device.startswith("cuda") and not gpus():
        # One reason for all, and none of them has a way out.
        raise BackendUnavailable(f"{bundle.root}: cannot run on device {options.device}: {why_no_gpu()}")
    raise BackendUnavailable(f"{bundle.root}: no backend can run this model here: {_join(reasons)}")


def _run_first_picture(bundle: Bundle, backend: InferenceBackend) -> None:
    width, height = bundle.manifest.input.size_wh
    backend.infer(np.full((1, 3, height, width), 114, np.uint8))


def candidates(name: str, options: BackendOptions) -> list[Candidate]:
    """Give backends in the order in which they are tried, with what each is asked for.

    Args:
        name: the one to begin with, or `auto`.
        options: what is wanted; `device` limits the choice.
    """
    out: list[Candidate] = [] if name == AUTO else [(name, options)]
    if options.device != "cpu" and (options.device != AUTO or gpus()):
        device = "cuda" if options.device == AUTO else options.device
        out += [(backend, replace(options, device=device)) for backend in ON_GPU]
    if options.device in (AUTO, "cpu"):
        # The processor computes in the precision that the model's file has.
        out.append((ON_CPU, replace(options, device="cpu")))
        if options.precision is not None:
            out.append((ON_CPU, replace(options, device="cpu", precision=None)))
    # A backend that is named comes first, and not again where it was the turn of its usual self.
    return [one for i, one in enumerate(out) if not any(_same(one, other) for other in out[:i])]


def _same(one: Candidate, other: Candidate) -> bool:
    usual = {"tensorrt": "cuda", "onnxruntime": "cpu"}
    devices = [usual.get(name, "cuda") if o.device == AUTO else o.device for name, o in (one, other)]
    return one[0] == other[0] and devices[0] == devices[1] and one[1].precision == other[1].precision


def _make(name: str, options: BackendOptions, reasons: list[tuple[str, str]]) -> InferenceBackend | None:
    try:
        return make_backend(name, options)
    except ConfigError as error:
        # Its package is not installed.
        reasons.append((_label(name, options), str(error)))
        return None


def _label(name: str, options: BackendOptions) -> str:
    precision = "" if options.precision is None else f", {options.precision}"
    return f"{name} ({options.device}{precision})" if options.device != AUTO else name


def _sentence(bundle: Bundle, backend: InferenceBackend, reasons: list[tuple[str, str]]) -> str:
    taken = f"{bundle.root}: runs on {backend.name}, {backend.device}, in {backend.precision}"
    return f"{taken}, because of {_join(reasons)}" if reasons else taken


def _join(reasons: list[tuple[str, str]]) -> str:
    return "; ".join(f"{label}: {reason}" for label, reason in reasons)


@functools.lru_cache(maxsize=256)
def _say(text: str, level: int) -> None:
    """Log once: every copy of a detector chooses anew."""
    logger.log(level, "%s", text)
