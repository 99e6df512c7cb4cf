"""TensorRT's builder: an ONNX model becomes an engine for one kind of GPU, or for several with TensorRT for RTX.

Does: parses the model with TensorRT's own parser, as a strongly typed network: its precision is what the model's types
say. TF32 is off unless asked for, because it is less exact than the fp32 that it would be called.
Absent input: none.
Costs: for YOLOX-Nano 0.7 s with TensorRT for RTX, which needs no GPU for it; minutes with TensorRT, which measures.
Example: `vedette engine build models/street --precision fp16 --gpu sm_86,sm_89`
"""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from engine.errors import BackendUnavailable, BundleError, DeviceMemoryError
from engine.gpu import gpus, why_no_gpu
from engine.trt_build import BuildRequest, BuiltEngine
from engine.trt_engine import Flavour
from operators.nvidia.tensorrt_module import TensorrtLog, TensorrtModule, load_tensorrt
from operators.nvidia.timing_cache import timing_cache
from operators.nvidia.trt_network import TrtNetwork, parse_onnx

_OUT_OF_MEMORY = re.compile("out of memory|OutOfMemory|cudaError 2:|Requested amount of GPU memory", re.IGNORECASE)


class TensorrtBuilder:
    """See `engine.trt_build.EngineBuilder`."""

    def library(self, flavour: Flavour | None = None) -> tuple[Flavour, str]:
        """See EngineBuilder."""
        module = load_tensorrt(flavour)
        return module.flavour, module.version

    def build(self, request: BuildRequest) -> BuiltEngine:
        """See EngineBuilder."""
        module = load_tensorrt(request.flavour)
        capabilities = _capabilities(module, request)
        _check_compatibility(module, request)
        cancelled = threading.Event()
        with ThreadPoolExecutor(1, "tensorrt") as worker:
            # The library calls back into Python, and swallows a KeyboardInterrupt that is raised there. In a thread of
            # its own it is not interrupted; this one is, and has it stop at its next step.
            try:
                return worker.submit(_build, module, request, capabilities, cancelled).result()
            finally:
                cancelled.set()


def _build(
    module: TensorrtModule, request: BuildRequest, capabilities: tuple[str, ...], cancelled: threading.Event
) -> BuiltEngine:
    start = time.perf_counter()
    monitor = _monitor(module.trt, request, cancelled)
    with module.listen() as log:
        builder = module.builder(log)
        parsed = parse_onnx(module, builder, request)
        config = builder.create_builder_config()
        config.progress_monitor = monitor
        _configure(module, config, request, capabilities)
        _add_profile(builder, config, parsed)
        cache = timing_cache(request.timing_cache, module, log)
        if cache is not None:
            cache.attach(config)
        data = builder.build_serialized_network(parsed.network, config)
        if monitor.error is not None:
            raise monitor.error
        if cancelled.is_set():
            raise BundleError(f"{request.onnx}: the build was cancelled")
        if data is None:
            raise _failure(module, request, log)
        if cache is not None:
            cache.save(config)
    return BuiltEngine(
        data=bytes(data),
        flavour=module.flavour,
        version=module.version,
        compute_capabilities=capabilities,
        min_batch=parsed.batches[0],
        opt_batch=parsed.batches[1],
        max_batch=parsed.batches[2],
        inputs=parsed.inputs,
        outputs=parsed.outputs,
        log=log.text().replace(str(request.onnx), request.onnx.name),
        build_s=time.perf_counter() - start,
        layers=parsed.network.num_layers,
    )


def _capabilities(module: TensorrtModule, request: BuildRequest) -> tuple[str, ...]:
    """Give the compute capabilities to build for.

    Raises:
        BackendUnavailable: the library cannot, or cannot here.
    """
    here = gpus()[0].capability if gpus() else None
    wanted = request.targets or ((here,) if here else ())
    if module.flavour == "tensorrt":
        if here is None:
            raise BackendUnavailable(
                f"{module} builds on the GPU that shall run the engine: {why_no_gpu()}; TensorRT for RTX builds without"
            )
        if wanted != (here,):
            raise BackendUnavailable(
                f"{module} builds for the GPU here alone, compute capability {here}, not for {', '.join(wanted)}; "
                "build on the machine that shall run the engine, or by TensorRT for RTX"
            )
        return wanted
    if not wanted:
        raise BackendUnavailable(f"no GPU to build for: {why_no_gpu()}; name GPUs, such as --gpu sm_86,sm_89")
    known = _known_capabilities(module)
    if unknown := [target for target in request.targets if target not in known]:
        raise BackendUnavailable(
            f"{module} cannot build for compute capability {', '.join(unknown)}; it can for {', '.join(known)}"
        )
    return wanted


def _known_capabilities(module: TensorrtModule) -> dict[str, Any]:
    members = module.trt.ComputeCapability.__members__.items()
    return {f"{name[2:-1]}.{name[-1]}": member for name, member in members if name.startswith("SM")}


def _check_compatibility(module: TensorrtModule, request: BuildRequest) -> None:
    level = request.hardware_compatibility
    if module.flavour == "tensorrt_rtx":
        if level != "none":
            raise BackendUnavailable(
                f"{module} has no hardware compatibility '{level}'; name every GPU instead, such as --gpu sm_86,sm_89"
            )
        if request.version_compatible:
            raise BackendUnavailable(f"{module} builds no version-compatible engines; build again after an update")
    elif level.upper() not in module.trt.HardwareCompatibilityLevel.__members__:
        raise BackendUnavailable(f"{module} has no hardware compatibility '{level}'; a later version may")


def _configure(module: TensorrtModule, config: Any, request: BuildRequest, capabilities: tuple[str, ...]) -> None:
    trt = module.trt
    if not request.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if request.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if request.hardware_compatibility != "none":
        level = trt.HardwareCompatibilityLevel.__members__[request.hardware_compatibility.upper()]
        config.hardware_compatibility_level = level
    if request.workspace_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.workspace_mb << 20)
    if request.optimization_level is not None:
        config.builder_optimization_level = request.optimization_level
    if module.flavour == "tensorrt_rtx":
        known = _known_capabilities(module)
        targets = [known[target] for target in capabilities] if request.targets else [trt.ComputeCapability.CURRENT]
        config.num_compute_capabilities = len(targets)
        for i, target in enumerate(targets):
            config.set_compute_capability(target, i)


def _add_profile(builder: Any, config: Any, parsed: TrtNetwork) -> None:
    if ranges := parsed.shape_ranges():
        profile = builder.create_optimization_profile()
        for name, shapes in ranges:
            profile.set_shape(name, *shapes)
        config.add_optimization_profile(profile)


def _monitor(trt: Any, request: BuildRequest, cancelled: threading.Event) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.error: Exception | None = None
            self._steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, num_steps: int) -> None:
            self._steps[phase] = num_steps

        def phase_finish(self, phase: str) -> None:
            self._steps.pop(phase, None)

        def step_complete(self, phase: str, step: int) -> bool:
            if request.on_progress is not None and not cancelled.is_set():
                try:
                    if not request.on_progress(phase, step + 1, self._steps.get(phase, step + 1)):
                        cancelled.set()
                except Exception as error:  # whatever the caller's function raises, it is the caller's again
                    self.error = error
                    cancelled.set()
            return not cancelled.is_set()

    return Monitor()


def _failure(module: TensorrtModule, request: BuildRequest, log: TensorrtLog) -> BundleError:
    reason = module.explain(log)
    if _OUT_OF_MEMORY.search(reason):
        return DeviceMemoryError(
            f"{request.onnx}: too little memory to build it: {reason}; stop what else uses the GPU, or build with a "
            "smaller --max-batch"
        )
    if "violate shape constraints" in reason:
        return BundleError(
            f"{request.onnx}: the model does not take all batches from {request.min_batch} to {request.max_batch}, "
            f"although its input does; export it with a free batch throughout, or with a fixed one: {reason}"
        )
    return BundleError(f"{request.onnx}: {module} cannot build it: {reason}")
