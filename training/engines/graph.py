"""The network in the precision that an engine shall have: found in the bundle, or made and calibrated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.bundle import Bundle
from engine.errors import UsageError
from engine.file_entry import FileEntry, sha256_of
from engine.trt_engine import Calibration, Precision, TrtEngine
from training.engines.progress import PhaseProgress
from training.precision.calibration import calibration_pictures, pictures_sha256
from training.precision.typed import Loss, TypedModel, rounded_model, typed_model

FOLDER = "engines"
"""Of a bundle."""


@dataclass(frozen=True)
class Graph:
    """A network whose types are its precision.

    Attributes:
        path: where it is now.
        entry: as a file of the bundle; None where it is the bundle's own model.
        fp32_layers: that were left in fp32.
        calibration: of int8.
        reused: it was in the bundle already.
    """

    path: Path
    entry: FileEntry | None
    fp32_layers: tuple[str, ...] = ()
    calibration: Calibration | None = None
    reused: bool = False


def find_or_make_graph(
    bundle: Bundle,
    precision: Precision,
    work: Path,
    *,
    calibrate: Path | None,
    images: Path | None,
    keep_fp32: tuple[str, ...],
    force: bool,
    loss: Loss | None,
    max_loss: float,
    say: Callable[[str], None],
) -> Graph:
    """Give a bundle's network in a precision: calibrated once, built anywhere.

    Args:
        bundle: the model.
        precision: of the network.
        work: folder for what is made.
        calibrate: pictures to measure the ranges of int8 on.
        images: taken for that where there is no `calibrate`, and no network of this precision in the bundle.
        keep_fp32: layers that stay in fp32; what the bundle has is taken where these are among its own.
        force: make it anew in any case.
        loss: gives the points of mAP that a network of int8 loses: layers are left in fp32 until it is `max_loss`.
        max_loss: points of mAP.
        say: is told what is done.

    Raises:
        UsageError: there is nothing to calibrate on.
        SourceError: pictures that cannot be read, or none, or too many.
        BundleError: the model cannot be typed.
    """
    if precision == "fp32":
        if keep_fp32:
            raise UsageError("--keep-fp32 goes with a lower precision than fp32")
        return Graph(bundle.file("onnx"), None)
    usable = [] if force else [one for one in bundle.manifest.engines if _fits(bundle, one, precision, keep_fp32)]
    if precision != "int8":
        if usable:
            return _reuse(bundle, usable[-1], say)
        with PhaseProgress(precision) as progress:
            typed = typed_model(
                bundle.file("onnx"), work / f"{precision}.onnx", precision, spec=bundle.manifest.input,
                keep_fp32=keep_fp32, on_progress=progress,
            )  # fmt: skip
        return _made(typed)
    if calibrate is None and usable:
        return _reuse(bundle, usable[-1], say)
    place = calibrate or images
    if place is None:
        raise UsageError(
            f"int8 needs pictures to measure the network's ranges on: give --calibrate with a folder of pictures, a "
            f"recording or a data set that shows what {bundle.manifest.name} will see, some hundred pictures"
        )
    pictures = calibration_pictures(place, bundle.manifest.input)
    sha256 = pictures_sha256(pictures)
    same = [one for one in usable if one.calibration is not None and one.calibration.sha256 == sha256]
    if same:
        return _reuse(bundle, same[-1], say)
    say(f"calibrating int8 on {len(pictures)} pictures of {place}")
    with PhaseProgress(precision) as progress:
        typed = typed_model(
            bundle.file("onnx"), work / "int8.onnx", "int8", spec=bundle.manifest.input, calibration=pictures,
            keep_fp32=keep_fp32, loss=loss, max_loss=max_loss, on_progress=progress,
        )  # fmt: skip
    return _made(typed)


def stand_in(bundle: Bundle, graph: Graph, precision: Precision, work: Path) -> Path | None:
    """Give a network that shows on a processor what a graph's precision costs; None where nothing can.

    Of fp16 and bf16 that is one in float32 whose numbers are rounded: ONNX Runtime has no bf16 there, and computes fp16
    in float32, where nothing ever overflows.
    """
    if precision == "fp32":
        # The model would be compared with itself.
        return None
    if precision == "int8":
        return graph.path
    return rounded_model(bundle.file("onnx"), work / "rounded.onnx", precision, graph.fp32_layers)


def _fits(bundle: Bundle, engine: TrtEngine, precision: Precision, keep_fp32: tuple[str, ...]) -> bool:
    same_model = engine.onnx_sha256 == bundle.manifest.files["onnx"].sha256
    return same_model and engine.precision == precision and set(keep_fp32) <= set(engine.fp32_layers)


def _reuse(bundle: Bundle, engine: TrtEngine, say: Callable[[str], None]) -> Graph:
    assert engine.graph is not None
    say(f"taking {engine.graph.path} of the bundle (--force makes it anew)")
    return Graph(bundle.root / engine.graph.path, engine.graph, engine.fp32_layers, engine.calibration, reused=True)


def _made(typed: TypedModel) -> Graph:
    entry = FileEntry.of(typed.path, f"{FOLDER}/{typed.precision}-{sha256_of(typed.path)[:8]}.onnx")
    return Graph(typed.path, entry, typed.fp32_layers, typed.calibration)
