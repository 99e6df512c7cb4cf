"""Batches as CUDA graphs: one launch for a model's hundreds of kernels, which Python would start one by one.

See "CUDA semantics", CUDA Graphs, in PyTorch's documentation.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor

from operators.pytorch.runner import Run

# cuDNN chooses its algorithms and PyTorch's allocator settles in the first runs.
_WARM_UPS = 3


class CudaGraphs:
    """See `operators.pytorch.runner.Launcher`. All graphs share one stream and one pool of memory.

    A graph's outputs are overwritten by the next run of any of them.
    """

    pinned = True

    def __init__(self, device: torch.device) -> None:
        """Make a stream on a device."""
        self._device = device
        with torch.cuda.device(device):
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._pool = torch.cuda.graph_pool_handle()

    def prepare(self, run: Run) -> Run:
        """See Launcher."""
        # Weights came on another stream.
        torch.cuda.synchronize(self._device)
        graph = torch.cuda.CUDAGraph()
        # cuDNN's fastest algorithm, found by trying; and no TF32, with which fp32 would not be what it says.
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
            for _ in range(_WARM_UPS):
                run()
            self._stream.synchronize()
            # Thread-local: what other detectors in this process do meanwhile must not end the capture.
            capture = torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local")
            with capture:
                outputs = run()

        def replay() -> tuple[Tensor, ...]:
            graph.replay()
            return outputs

        return replay

    def active(self) -> contextlib.AbstractContextManager[Any]:
        """See Launcher."""
        return torch.cuda.stream(self._stream)

    def wait(self) -> None:
        """See Launcher."""
        self._stream.synchronize()

    def free(self) -> None:
        """See Launcher."""
        # After a loss nothing can be freed.
        with contextlib.suppress(RuntimeError):
            torch.cuda.empty_cache()
