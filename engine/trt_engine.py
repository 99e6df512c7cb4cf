"""TensorRT engines of a bundle: what the manifest says about each, and whether one fits a machine.

An engine is machine code for one kind of GPU and one version of the library that made it. What is written here is
enough to know before anything is loaded, so that a mismatch is one sentence.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.file_entry import FileEntry

Precision = Literal["fp32", "fp16", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "bf16", "int8")
Flavour = Literal["tensorrt", "tensorrt_rtx"]
FLAVOURS: dict[Flavour, str] = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT for RTX"}
"""Names of the Python modules, which have the same calls, and what people call them."""
HardwareCompatibility = Literal["none", "same_compute_capability", "ampere_plus"]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Capability = Annotated[str, Field(pattern=r"^\d+\.\d$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrtTensor(_Part):
    """An input or output; -1 stands for the batch, which is always the first dimension."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class Calibration(_Part):
    """The pictures that the ranges of an int8 model were measured on.

    Attributes:
        method: how ranges were chosen from them.
        num_images: how many.
        sha256: of the letterboxed pictures, in order.
    """

    method: str
    num_images: Annotated[int, Field(ge=1)]
    sha256: Sha256


class TrtParity(_Part):
    """How far an engine is from the ONNX model it was built of.

    Attributes:
        measured_on: `engine`, the engine itself on its GPU; `graph`, the network it was built of, in ONNX Runtime,
            which shows what the precision costs but not what the library made of it.
        truth: mAP was judged by `labels`, or by what the ONNX model itself sees.
        num_images: that both saw.
        images_sha256: of the letterboxed pictures, in order.
        max_box_px: worst difference of a box side, in pixels of the source, of boxes that both see.
        max_confidence: worst difference of a confidence, of boxes that both see.
        map_onnx, map_engine: mAP at IoU .5 to .95, points from 0 to 100.
    """

    measured_on: Literal["engine", "graph"]
    truth: Literal["labels", "onnx"]
    num_images: Annotated[int, Field(ge=1)]
    images_sha256: Sha256
    max_box_px: float
    max_confidence: float
    map_onnx: float
    map_engine: float

    @property
    def map_loss(self) -> float:
        """Points of mAP that the engine is worse by; negative where it is better."""
        return self.map_onnx - self.map_engine


class TrtEngine(_Part):
    """One engine of a bundle.

    Attributes:
        file: the engine itself.
        log: what the library said while it was built.
        graph: the network in its precision, as ONNX; None where that is the bundle's own model.
        flavour: the library that built it.
        version: of that library.
        platform: operating system and processor, such as `Linux x86_64`.
        compute_capabilities: GPUs it was built for, such as `8.9`.
        hardware_compatibility: GPUs beyond these that it runs on.
        version_compatible: later versions of the same major release run it.
        precision: what it computes in.
        fp32_layers: layers that were left in fp32, because they lost too much.
        min_batch, opt_batch, max_batch: its optimisation profile.
        inputs, outputs: in the model's order.
        onnx_sha256: of the bundle's model that it was built of.
        calibration: of int8 engines.
        parity: None where there was nothing to measure it on.
        gpu: name of the GPU that `latency_ms` was measured on.
        latency_ms: median time of a batch, by batch size; empty where it was built without a GPU.
        build_s: seconds it took to build.
    """

    file: FileEntry
    log: FileEntry
    graph: FileEntry | None = None
    flavour: Flavour
    version: str
    platform: str
    compute_capabilities: Annotated[tuple[Capability, ...], Field(min_length=1)]
    hardware_compatibility: HardwareCompatibility = "none"
    version_compatible: bool = False
    precision: Precision
    fp32_layers: tuple[str, ...] = ()
    min_batch: Annotated[int, Field(ge=1)]
    opt_batch: Annotated[int, Field(ge=1)]
    max_batch: Annotated[int, Field(ge=1)]
    inputs: Annotated[tuple[TrtTensor, ...], Field(min_length=1)]
    outputs: Annotated[tuple[TrtTensor, ...], Field(min_length=1)]
    onnx_sha256: Sha256
    calibration: Calibration | None = None
    parity: TrtParity | None = None
    gpu: str | None = None
    latency_ms: dict[str, float] = {}
    build_s: float = 0.0

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """Its files."""
        return (self.file, self.log) if self.graph is None else (self.file, self.log, self.graph)

    def __str__(self) -> str:
        targets = ", ".join(self.compute_capabilities)
        return f"{self.precision}, {FLAVOURS[self.flavour]} {self.version}, compute capability {targets}"


@dataclass(frozen=True)
class TrtMachine:
    """What would run an engine.

    Attributes:
        flavour: the library that is installed.
        version: of it.
        capability: of the GPU, such as `8.9`.
        platform: as `this_platform()`.
    """

    flavour: Flavour
    version: str
    capability: str
    platform: str


def this_platform() -> str:
    """Name operating system and processor as manifests do."""
    return f"{platform.system()} {platform.machine()}"


def misfit(engine: TrtEngine, machine: TrtMachine, onnx_sha256: str) -> str | None:
    """Say why an engine cannot be used on a machine; None where it can.

    Args:
        engine: what the manifest says.
        machine: what is there.
        onnx_sha256: of the bundle's model as it is now.
    """
    if engine.onnx_sha256 != onnx_sha256:
        return f"was built of another model (SHA-256 {engine.onnx_sha256[:12]}…, the bundle's is {onnx_sha256[:12]}…)"
    if engine.flavour != machine.flavour:
        return f"was built by {FLAVOURS[engine.flavour]}, here is {FLAVOURS[machine.flavour]}"
    if not _version_fits(engine, machine.version):
        return f"was built by {FLAVOURS[engine.flavour]} {engine.version}, here is {machine.version}"
    if engine.platform != machine.platform:
        return f"was built for {engine.platform}, this is {machine.platform}"
    if not _capability_fits(engine, machine.capability):
        return (
            f"was built for compute capability {', '.join(engine.compute_capabilities)}, this GPU is "
            f"{machine.capability}"
        )
    return None


def choose_engine(
    engines: Sequence[TrtEngine], machine: TrtMachine, onnx_sha256: str, precision: str | None = None
) -> tuple[TrtEngine | None, list[str]]:
    """Choose the engine to run: the one added last among those that fit.

    Args:
        engines: of a bundle, in the order they were added.
        machine: what is there.
        onnx_sha256: of the bundle's model.
        precision: only engines of this one.

    Returns:
        The engine, None where none fits, and for each that does not why, in a sentence without a full stop.
    """
    reasons: list[str] = []
    for engine in reversed(engines):
        if precision is not None and engine.precision != precision:
            reason: str | None = f"computes in {engine.precision}, wanted is {precision}"
        else:
            reason = misfit(engine, machine, onnx_sha256)
        if reason is None:
            return engine, reasons
        reasons.append(f"{engine.file.path} {reason}")
    return None, reasons


def _version_fits(engine: TrtEngine, version: str) -> bool:
    if engine.version == version:
        return True
    built, here = _numbers(engine.version), _numbers(version)
    # A lean runtime of the same major release reads what an earlier minor release has written.
    return engine.version_compatible and built[:1] == here[:1] and built <= here


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else -1 for part in version.split("."))


def _capability_fits(engine: TrtEngine, capability: str) -> bool:
    if capability in engine.compute_capabilities:
        return True
    return engine.hardware_compatibility == "ampere_plus" and float(capability) >= 8.0
