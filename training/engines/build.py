"""From a bundle to a TensorRT engine in it: typed, built, compared with the ONNX model, and only then put in."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.bundle import Bundle
from engine.errors import BundleError, UsageError
from engine.file_entry import FileEntry
from engine.inference import make_backend
from engine.trt_build import BuildRequest, BuiltEngine, EngineBuilder
from engine.trt_engine import FLAVOURS, Flavour, HardwareCompatibility, Precision, TrtEngine, this_platform
from training.engines.fit import find_gpu
from training.engines.graph import FOLDER, Graph, find_or_make_graph
from training.engines.images import ImageSet, read_images
from training.engines.parity import ParityError, ParityReport
from training.engines.progress import PhaseProgress
from training.engines.trial import EngineTrial, graph_loss
from training.stopping import stop_signals

MAX_MAP_LOSS: dict[Precision, float] = {"fp32": 0.1, "fp16": 0.5, "bf16": 0.5, "int8": 1.5}
"""Points of mAP by labels that an engine may lose unless told."""
_WITHOUT_LABELS = 5
"""So many times as much may be lost where the ONNX model's own boxes are the truth. Every box that lies a little
otherwise is a loss then, and none is a gain: street-nano in int8 loses 1.0 points by the labels of 64 COCO pictures,
and 7.2 by its own boxes on the same; in fp16 none, and 0.5 at most on four recordings."""
MAX_BATCH = 16
"""As many as `detect` gives at once, unless told."""
_MAX_IMAGES, _MAX_LOOKS = 500, 128


@dataclass(frozen=True)
class EngineOrder:
    """What engine a person wants, and when it is good enough.

    Attributes:
        precision: what it computes in.
        max_batch: the largest batch; None is what the model is fixed to, or MAX_BATCH.
        opt_batch: the batch that shall be fastest; None is the largest.
        targets, flavour, hardware_compatibility, version_compatible, workspace_mb, timing_cache: see BuildRequest.
        images: pictures to compare on; None takes those of `calibrate`.
        calibrate: pictures to measure the ranges of int8 on; None takes `images`.
        max_map_loss: points of mAP that it may lose; None is MAX_MAP_LOSS, or five times that without labels.
        keep_fp32: layers that stay in fp32.
        force: type and calibrate the model anew, though the bundle has it in this precision.
    """

    precision: Precision
    max_batch: int | None = None
    opt_batch: int | None = None
    targets: tuple[str, ...] = ()
    flavour: Flavour | None = None
    hardware_compatibility: HardwareCompatibility = "none"
    version_compatible: bool = False
    workspace_mb: int | None = None
    timing_cache: Path | None = None
    images: Path | None = None
    calibrate: Path | None = None
    max_map_loss: float | None = None
    keep_fp32: tuple[str, ...] = ()
    force: bool = False


@dataclass(frozen=True)
class EngineReport:
    """What was made.

    Attributes:
        engine: as the bundle's manifest has it now.
        reused_graph: its network was in the bundle already.
        replaced: an engine of the same name was.
        parity: None where there were no pictures, or nothing that could be run.
        drawn_off: worst relative difference of raw outputs on drawn pictures, where there were no better ones.
        why_not_engine: why the engine itself was not run here; empty where it was.
    """

    engine: TrtEngine
    reused_graph: bool
    replaced: bool
    parity: ParityReport | None
    drawn_off: float | None
    why_not_engine: str


def build_engine(
    bundle: Bundle, order: EngineOrder, builder: EngineBuilder, say: Callable[[str], None] = lambda line: None
) -> EngineReport:
    """Build an engine, prove it, and put it into the bundle's folder; whatever fails leaves the folder as it was.

    For the main thread only: a signal that comes while the folder is exchanged waits until that is done.

    Args:
        bundle: in its folder.
        order: what is wanted.
        builder: makes the engine.
        say: is told of every step.

    Raises:
        UsageError: the order makes no sense, or there is nothing to calibrate on.
        ParityError: the engine does not see what the model sees.
        BackendUnavailable: the library is not here, or cannot build for these GPUs.
        BundleError: damaged, cannot be built, or cannot be written.
        SourceError: pictures that cannot be read, or none.
    """
    bundle.check_has_folder("engine")
    bundle.check_files()
    images = None
    if place := order.images or order.calibrate:
        images = read_images(place, bundle.root, _MAX_IMAGES)
    limit = _limit(order, images)
    batches = _batches(bundle, order)
    flavour, version = builder.library(order.flavour)
    with _full_disks(bundle), tempfile.TemporaryDirectory(prefix="vedette-") as temporary:
        work = Path(temporary)
        graph = find_or_make_graph(
            bundle, order.precision, work, calibrate=order.calibrate, images=order.images, keep_fp32=order.keep_fp32,
            force=order.force, loss=_loss(bundle, place), max_loss=limit, say=say,
        )  # fmt: skip
        say(f"building with {FLAVOURS[flavour]} {version} for {', '.join(order.targets) or 'the GPU here'}")
        with PhaseProgress("build") as progress, _named(bundle, order, graph):
            built = builder.build(_request(bundle, order, graph, batches, progress))
        engine, files = _describe(bundle, order, graph, built, work)
        parity, drawn_off = None, None
        gpu, why_no_gpu = find_gpu(engine, engine.onnx_sha256, builder)
        with EngineTrial(bundle, engine, files, graph, work, gpu, why_no_gpu) as trial:
            if trial.measured_on is not None and images is not None:
                parity = trial.compare(images)
                _judge(bundle, engine, parity, limit)
                engine = engine.model_copy(update={"parity": parity.parity})
            elif trial.measured_on is not None:
                drawn_off = trial.compare_drawn()
            if gpu is not None and trial.measured_on == "engine":
                engine = engine.model_copy(update={"gpu": gpu.name, "latency_ms": trial.latency_ms()})
        replaced = any(other.file.path == engine.file.path for other in bundle.manifest.engines)
        with stop_signals():
            bundle.add_engine(engine, files)
    return EngineReport(engine, graph.reused, replaced, parity, drawn_off, trial.why_not_engine)


def _batches(bundle: Bundle, order: EngineOrder) -> tuple[int, int]:
    """Give the batch that shall be fastest, and the largest."""
    fixed = make_backend("onnxruntime").inspect(bundle.file("onnx")).image.shape[0]
    largest = order.max_batch or fixed or max(MAX_BATCH, order.opt_batch or 1)
    fastest = order.opt_batch or largest
    if fixed is not None and (fastest, largest) != (fixed, fixed):
        raise UsageError(
            f"{bundle.root}: the model takes batches of {fixed} only; leave out --max-batch and --opt-batch, or export "
            "the model with a free batch"
        )
    if fastest > largest:
        raise UsageError(f"--opt-batch {fastest} is larger than --max-batch {largest}")
    return fastest, largest


def _request(
    bundle: Bundle, order: EngineOrder, graph: Graph, batches: tuple[int, int], progress: PhaseProgress
) -> BuildRequest:
    return BuildRequest(
        onnx=graph.path,
        input_wh=bundle.manifest.input.size_wh,
        opt_batch=batches[0],
        max_batch=batches[1],
        targets=order.targets,
        flavour=order.flavour,
        hardware_compatibility=order.hardware_compatibility,
        version_compatible=order.version_compatible,
        workspace_mb=order.workspace_mb,
        timing_cache=order.timing_cache,
        on_progress=progress,
    )


def _describe(
    bundle: Bundle, order: EngineOrder, graph: Graph, built: BuiltEngine, work: Path
) -> tuple[TrtEngine, dict[str, Path]]:
    """Write an engine's files; give its manifest entry, and where they are by their path in the bundle."""
    targets = "-".join("sm" + capability.replace(".", "") for capability in built.compute_capabilities)
    name = f"{order.precision}-{built.flavour}-{built.version}-{targets}"
    paths = {f"{FOLDER}/{name}.engine": work / f"{name}.engine", f"{FOLDER}/{name}.log": work / f"{name}.log"}
    file, log = paths.values()
    file.write_bytes(built.data)
    log.write_text(built.log, encoding="utf-8")
    entries = [FileEntry.of(path, place) for place, path in paths.items()]
    engine = TrtEngine(
        file=entries[0],
        log=entries[1],
        graph=graph.entry,
        flavour=built.flavour,
        version=built.version,
        platform=this_platform(),
        compute_capabilities=built.compute_capabilities,
        hardware_compatibility=order.hardware_compatibility,
        version_compatible=order.version_compatible,
        precision=order.precision,
        fp32_layers=graph.fp32_layers,
        min_batch=built.min_batch,
        opt_batch=built.opt_batch,
        max_batch=built.max_batch,
        inputs=built.inputs,
        outputs=built.outputs,
        onnx_sha256=bundle.manifest.files["onnx"].sha256,
        calibration=graph.calibration,
        build_s=round(built.build_s, 3),
    )
    return engine, paths if graph.entry is None else {**paths, graph.entry.path: graph.path}


def _limit(order: EngineOrder, images: ImageSet | None) -> float:
    if order.max_map_loss is not None:
        return order.max_map_loss
    has_labels = images is not None and images.truth is not None
    return MAX_MAP_LOSS[order.precision] * (1 if has_labels else _WITHOUT_LABELS)


def _loss(bundle: Bundle, place: Path | None) -> Callable[[Path], float] | None:
    """Give what tells how much a network of int8 loses: on fewer pictures, since it is asked many times."""
    if place is None:
        return None
    images = read_images(place, bundle.root, _MAX_LOOKS)
    return lambda graph: graph_loss(bundle, images, graph)


def _judge(bundle: Bundle, engine: TrtEngine, report: ParityReport, limit: float) -> None:
    """Refuse an engine that loses too much."""
    parity = report.parity
    if parity.map_loss <= limit:
        return
    truth = "labels" if parity.truth == "labels" else "what the ONNX model sees"
    worst = "; ".join(f"{name} ({difference})" for name, difference in report.worst)
    raise ParityError(
        f"{bundle.root}: the {engine.precision} {parity.measured_on} loses {parity.map_loss:.2f} points of mAP and may "
        f"lose {limit:g} ({parity.map_onnx:.2f} to {parity.map_engine:.2f} by {truth} in {parity.num_images} "
        f"pictures); the bundle is as it was. Worst are {worst}. Keep layers in fp32 (--keep-fp32), take another "
        "precision, or allow more (--max-map-loss)"
    )


@contextmanager
def _named(bundle: Bundle, order: EngineOrder, graph: Graph) -> Iterator[None]:
    """Speak of the bundle, not of a temporary file, where a network cannot be built."""
    try:
        yield
    except BundleError as error:
        text = str(error).replace(str(graph.path), f"{bundle.root} in {order.precision}")
        raise type(error)(text) from error


@contextmanager
def _full_disks(bundle: Bundle) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BundleError(
            f"{error.filename or tempfile.gettempdir()}: the engine cannot be written: {error.strerror}; "
            f"{bundle.root} is as it was"
        ) from error
