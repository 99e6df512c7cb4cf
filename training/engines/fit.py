"""Whether this machine can run an engine, and why not."""

from __future__ import annotations

from engine.errors import BackendUnavailable
from engine.gpu import Gpu, gpus, why_no_gpu
from engine.trt_build import EngineBuilder
from engine.trt_engine import TrtEngine, TrtMachine, misfit, this_platform


def find_gpu(engine: TrtEngine, onnx_sha256: str, builder: EngineBuilder) -> tuple[Gpu | None, str]:
    """Find the GPU of this machine that runs an engine.

    Args:
        engine: what the manifest says.
        onnx_sha256: of the bundle's model as it is now.
        builder: knows which library is installed.

    Returns:
        The first GPU that fits, None where there is none; and then why not, in a sentence without a full stop.
    """
    if not gpus():
        return None, why_no_gpu()
    try:
        flavour, version = builder.library(engine.flavour)
    except BackendUnavailable as error:
        return None, str(error)
    reasons = []
    for gpu in gpus():
        reason = misfit(engine, TrtMachine(flavour, version, gpu.capability, this_platform()), onnx_sha256)
        if reason is None:
            return gpu, ""
        reasons.append(reason)
    return None, reasons[0]
