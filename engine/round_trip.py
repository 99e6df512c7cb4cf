"""`vedette doctor --gpu`: a model goes all the way that GPUs need, and each step is proven, or said not to be.

Each step is a process with a time limit: a driver that crashes or hangs is one failed step. What cannot be tried here,
for want of a GPU or a package, is told apart from what was tried and failed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from engine.bundle import Bundle
from engine.errors import UsageError
from engine.gpu import gpus, why_no_gpu
from engine.packages import PACKAGES
from engine.trt_engine import PRECISIONS

Verdict = Literal["passed", "failed", "not possible"]

_DIFFERENT, _UNUSABLE = 1, 3
# TensorRT tries kernels for minutes, on a small GPU for many.
_TIMEOUT_S = 1800.0
# Where there is no GPU; the other library does not build without one.
_AHEAD_OF_TIME = ["--flavour", "tensorrt_rtx", "--gpu", "sm_89"]
_BATCHES = (1, 8, 16)
# Backend, device, and whether a machine with a GPU should have it: the last two are for want of TensorRT.
_RUNS = (
    ("onnxruntime", "cpu", True),
    ("tensorrt", "cuda", True),
    ("onnxruntime", "cuda", False),
    ("torch", "cuda", False),
)


@dataclass(frozen=True)
class Trip:
    """What is taken along.

    Attributes:
        bundle: the model; it is copied, and the copy is changed.
        precision: of the TensorRT engine.
        images: pictures to compare on and to calibrate int8 with; None compares raw outputs on drawn ones.
        timeout_s: for each step.

    Raises:
        UsageError: a precision that there is not, or int8 without pictures.
    """

    bundle: Path
    precision: str = "fp16"
    images: Path | None = None
    timeout_s: float = _TIMEOUT_S

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageError(f"--precision {self.precision}: expected one of {', '.join(PRECISIONS)}")
        if self.precision == "int8" and self.images is None:
            raise UsageError("--precision int8 is calibrated on pictures of what the cameras see; give --images")


@dataclass(frozen=True)
class Step:
    """How one step went.

    Attributes:
        name: of the step.
        verdict: `not possible` is for want of something that this machine does not have.
        text: what was seen, or why not.
        facts: everything, for the report.
        required: a machine on which it is not possible has not proven its GPU.
    """

    name: str
    verdict: Verdict
    text: str
    facts: Any = field(default=None, repr=False)
    required: bool = True

    def __str__(self) -> str:
        return f"{self.verdict:12}  {self.name:19}  {self.text}"


def travel(trip: Trip) -> Iterator[Step]:
    """Go through the steps; gives each as soon as it is done.

    Raises:
        BundleError: the bundle cannot be read at all.
    """
    bundle = Bundle.load(trip.bundle)
    with tempfile.TemporaryDirectory(prefix="vedette-doctor-") as folder:
        copy = bundle.write(Path(folder) / trip.bundle.resolve().name).root
        yield _gpu()
        yield _packages()
        yield _kernels(trip)
        yield from _build(trip, copy)
        yield from _benchmark(trip, copy)


def exit_code(steps: Sequence[Step]) -> int:
    """Give 1 where a step failed, 3 where one that is required was not possible, else 0."""
    if any(step.verdict == "failed" for step in steps):
        return _DIFFERENT
    return _UNUSABLE if any(step.verdict == "not possible" and step.required for step in steps) else 0


def report(trip: Trip, steps: Sequence[Step]) -> dict[str, Any]:
    """Give everything as one object."""
    rows = [{"name": s.name, "verdict": s.verdict, "text": s.text, "facts": s.facts} for s in steps]
    return {"bundle": str(trip.bundle), "precision": trip.precision, "steps": rows, "verdict": verdict(steps)}


def verdict(steps: Sequence[Step]) -> str:
    """Sum the steps up in a sentence."""
    failed = [step.name for step in steps if step.verdict == "failed"]
    unproven = [step.name for step in steps if step.verdict == "not possible"]
    sentences = [f"failed: {', '.join(failed)}"] if failed else []
    sentences += [f"unproven on this machine: {', '.join(unproven)}"] if unproven else []
    return "; ".join(sentences) or "everything that Vedette does on a GPU works on this machine"


def _gpu() -> Step:
    found = gpus()
    if not found:
        return Step("GPU", "not possible", why_no_gpu())
    names = ", ".join(f"{gpu.name}, compute capability {gpu.capability}" for gpu in found)
    return Step("GPU", "passed", f"{names}; the driver runs CUDA {found[0].driver}")


def _packages() -> Step:
    gpu, trt = ([p for p in PACKAGES if p.extra in extras] for extras in (("gpu",), ("tensorrt", "tensorrt-rtx")))
    missing = [[one] for one in gpu if one.version is None]
    if all(one.version is None for one in trt):
        missing.append(trt)
    there = {one.names[0]: one.version for one in (*gpu, *trt)}
    if missing:
        wanted = ", ".join(" or ".join(p.names[0] for p in ones) for ones in missing)
        remedies = ", ".join(dict.fromkeys(" or ".join(p.remedy for p in ones) for ones in missing))
        return Step("packages", "not possible", f"without {wanted}: {remedies}", there)
    return Step(
        "packages", "passed", ", ".join(f"{name} {version}" for name, version in there.items() if version), there
    )


def _kernels(trip: Trip) -> Step:
    done = _run(["-m", "operators.nvidia.kernel_check"], trip.timeout_s)
    return Step("kernels", "passed", done.out.strip()) if done.code == 0 else Step("kernels", _how(done), done.reason)


def _build(trip: Trip, copy: Path) -> Iterator[Step]:
    target = [] if gpus() else _AHEAD_OF_TIME
    images = [] if trip.images is None else ["--images", str(trip.images)]
    done = _vedette(["engine", "build", str(copy), "--precision", trip.precision, *target, *images], trip.timeout_s)
    if done.code != 0:
        yield Step("engine build", _how(done), done.reason)
        yield Step("parity", "not possible", "there is no engine")
        return
    made = json.loads(done.out)
    size = f"{made['file']['size'] / 1e6:.1f} MB in {made['build_s']:.1f} s"
    made_for = ", ".join(made["compute_capabilities"])
    text = f"{made['precision']}, {made['flavour']} {made['version']}, for compute capability {made_for}, {size}"
    yield Step("engine build", "passed", text, made)
    if made["why_not_engine"]:
        yield Step(
            "parity", "not possible", f"{made['why_not_engine']}; in ONNX Runtime: {_parity(made)}", made["parity"]
        )
    else:
        yield Step("parity", "passed", _parity(made), made["parity"])


def _parity(made: dict[str, Any]) -> str:
    parity = made["parity"]
    if parity is not None:
        return f"mAP {parity['map_onnx']:.2f} -> {parity['map_engine']:.2f} in {parity['num_images']} pictures"
    if made["drawn_off"] is not None:
        return f"raw outputs {100 * made['drawn_off']:.2g} % off on drawn pictures"
    return "not compared"


def _benchmark(trip: Trip, copy: Path) -> Iterator[Step]:
    runs = _RUNS if gpus() else _RUNS[:1]
    options = ["--backends", ",".join(dict.fromkeys(backend for backend, _, _ in runs))]
    options += ["--device", ",".join(dict.fromkeys(device for _, device, _ in runs))]
    options += ["--batch", ",".join(map(str, _BATCHES))]
    done = _vedette(["bench", "detector", str(copy), *options], trip.timeout_s)
    found = json.loads(done.out) if done.out else None
    for backend, device, required in _RUNS:
        name = f"{backend} on {device}"
        if (backend, device, required) not in runs:
            yield Step(name, "not possible", why_no_gpu(), required=required)
        elif found is None:
            yield Step(name, _how(done), done.reason, required=required)
        else:
            cases = [c for c in found["cases"] if c["backend"] == backend and c["device"].startswith(device)]
            yield _rate(name, cases, required)


def _rate(name: str, cases: Sequence[dict[str, Any]], required: bool) -> Step:
    measured = [case for case in cases if case["reason"] is None]
    refused = [case for case in cases if case["reason"] is not None]
    if not measured:
        how: Verdict = "failed" if any(case["failed"] for case in refused) else "not possible"
        return Step(name, how, refused[0]["reason"], cases, required)
    best = max(measured, key=lambda case: float(case["pictures_s"]))
    text = f"{best['pictures_s']:.0f} pictures/s in batches of {best['batch']}, p99 {best['ms']['p99']:.1f} ms"
    return Step(name, "passed", f"{text}, {best['precision']}, {best['device']}", cases, required)


@dataclass(frozen=True)
class _Done:
    """A process that has ended.

    Attributes:
        code: its exit code; below 0 a signal.
        out: what it printed.
        reason: why it failed, in a sentence.
    """

    code: int
    out: str
    reason: str


def _vedette(arguments: Sequence[str], timeout_s: float) -> _Done:
    return _run(["-m", "engine", *arguments, "--json"], timeout_s)


def _run(arguments: Sequence[str], timeout_s: float) -> _Done:
    # The rooms lie where this one does, installed or not.
    here = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True, text=True, errors="replace", timeout=timeout_s, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return _Done(_DIFFERENT, "", f"no end within {timeout_s:g} s")
    if done.returncode < 0:
        return _Done(done.returncode, done.stdout, f"its process ended with {signal.Signals(-done.returncode).name}")
    said = done.stderr.strip().splitlines()
    reason = said[-1].removeprefix("vedette: ") if said else f"exit code {done.returncode}"
    return _Done(done.returncode, done.stdout, reason)


def _how(done: _Done) -> Verdict:
    """Tell what was tried and failed from what this machine has no means for."""
    has_means = bool(gpus()) and _packages().verdict == "passed"
    return "failed" if done.code != _UNUSABLE or has_means else "not possible"
