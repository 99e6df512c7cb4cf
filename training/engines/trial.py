"""Running a new engine before it is put into anybody's bundle: on its GPU, or its network in ONNX Runtime."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np

from engine.bundle import Bundle
from engine.errors import BackendUnavailable
from engine.file_entry import FileEntry
from engine.gpu import Gpu
from engine.inference import BackendOptions, InferenceBackend, make_backend
from engine.picture import Pixels
from engine.progress import FrameProgress
from engine.trt_engine import TrtEngine
from training.engines.batches import check_batches, check_drawn
from training.engines.graph import Graph, stand_in
from training.engines.images import ImageSet
from training.engines.parity import ParityReport, measure_parity

# On a processor batches gain nothing; this many pictures are in memory at once.
_GRAPH_BATCH = 8
_WARM_RUNS, _TIMED_RUNS = 5, 50


class EngineTrial:
    """A new engine beside the ONNX model it was built of.

    Args:
        bundle: the model; it is not changed.
        engine: what was built.
        files: where its files lie now, by their path in a bundle.
        graph: the network it was built of.
        work: an empty folder.
        gpu: where the engine can run, None where it cannot.
        why_no_gpu: why not.

    Attributes:
        measured_on: what runs, see TrtParity; None where nothing can. Set by `with`, like what follows.
        why_not_engine: why the engine itself does not run; empty where it does.

    Raises:
        BundleError: the engine or the model cannot be run, though this machine should.
    """

    def __init__(
        self,
        bundle: Bundle,
        engine: TrtEngine,
        files: Mapping[str, Path],
        graph: Graph,
        work: Path,
        gpu: Gpu | None,
        why_no_gpu: str,
    ) -> None:
        self._bundle, self._engine, self._files, self._graph, self._work = bundle, engine, files, graph, work
        self._gpu = gpu
        self.why_not_engine = why_no_gpu
        self.measured_on: Literal["engine", "graph"] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack as stack:
            candidate = self._open_engine() or self._open_graph()
            if candidate is not None:
                self._candidate = candidate
                stack.callback(candidate.close)
                self._reference = _open_network(self._bundle, self._bundle.file("onnx"))
                stack.callback(self._reference.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def compare(self, images: ImageSet) -> ParityReport:
        """Compare on pictures.

        Raises:
            ParityError: outputs that are no numbers, or that change with the batch.
            SourceError: pictures that cannot be read, or that show nothing.
        """
        assert self.measured_on is not None
        batch = self._engine.max_batch
        with FrameProgress("parity", {images.name: images.num_images}, "pictures") as progress:
            report = measure_parity(
                self._reference, self._candidate, self._bundle, images, batch=batch, measured_on=self.measured_on,
                tick=lambda: progress.frame(images.name),
            )  # fmt: skip
        check_batches(self._candidate, self._bundle, images, batch, self._engine.precision)
        return report

    def compare_drawn(self) -> float:
        """Compare raw outputs on drawn pictures; give the worst relative difference.

        Raises:
            ParityError: they have nothing in common, or change with the batch.
        """
        engine = self._engine
        return check_drawn(self._reference, self._candidate, self._bundle, engine.max_batch, engine.precision)

    def latency_ms(self) -> dict[str, float]:
        """Give the median time of a batch, with upload, normalising and download, by batch size."""
        width, height = self._bundle.manifest.input.size_wh
        sizes = sorted({self._engine.min_batch, self._engine.opt_batch, self._engine.max_batch})
        pixels = np.random.default_rng(0).integers(0, 256, (sizes[-1], 3, height, width), np.uint8)
        return {str(size): round(self._median_ms(pixels[:size]), 3) for size in sizes}

    def _median_ms(self, pixels: Pixels) -> float:
        times = []
        for _ in range(_WARM_RUNS + _TIMED_RUNS):
            start = time.perf_counter()
            self._candidate.infer(pixels)
            times.append(1000 * (time.perf_counter() - start))
        return statistics.median(times[_WARM_RUNS:])

    def _open_engine(self) -> InferenceBackend | None:
        if self._gpu is None:
            return None
        # Other engines of the bundle would run where this one does not fit.
        alone = self._bundle.manifest.model_copy(update={"engines": ()})
        trial = Bundle(self._bundle.root, alone).write(self._work / "engine").add_engine(self._engine, self._files)
        options = BackendOptions(f"cuda:{self._gpu.index}", self._engine.precision, self._engine.max_batch)
        backend = make_backend("tensorrt", options)
        try:
            backend.open(trial)
        except BackendUnavailable as error:
            backend.close()
            # There is no PyCUDA, for one.
            self.why_not_engine = str(error)
            return None
        self.measured_on = "engine"
        return backend

    def _open_graph(self) -> InferenceBackend | None:
        path = stand_in(self._bundle, self._graph, self._engine.precision, self._work)
        if path is None:
            return None
        self.measured_on = "graph"
        return _open_network(self._bundle, path)


def graph_loss(bundle: Bundle, images: ImageSet, graph: Path) -> float:
    """Give the points of mAP that a network loses against a bundle's own, both in ONNX Runtime.

    Raises:
        BundleError: it cannot be run.
        SourceError: pictures that cannot be read, or that show nothing.
    """
    with ExitStack() as stack:
        reference, candidate = (_open_network(bundle, path) for path in (bundle.file("onnx"), graph))
        for backend in (reference, candidate):
            stack.callback(backend.close)
        return measure_parity(
            reference, candidate, bundle, images, batch=_GRAPH_BATCH, measured_on="graph"
        ).parity.map_loss


def _open_network(bundle: Bundle, path: Path) -> InferenceBackend:
    """Open a network in ONNX Runtime that takes a bundle's pictures."""
    manifest = bundle.manifest.model_copy(update={"engines": (), "files": {"onnx": FileEntry.of(path)}})
    backend = make_backend("onnxruntime", BackendOptions("cpu"))
    backend.open(Bundle(path.parent, manifest))
    return backend
