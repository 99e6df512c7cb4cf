"""What `vedette engine` says: tables for people, and the same as JSON."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from engine.trt_engine import FLAVOURS, TrtEngine
from training.engines.build import EngineOrder, EngineReport


def batches(engine: TrtEngine) -> str:
    """Say which batches an engine takes."""
    if engine.min_batch == engine.max_batch:
        return str(engine.max_batch)
    return f"{engine.min_batch} to {engine.max_batch}, fastest at {engine.opt_batch}"


def parity_line(engine: TrtEngine) -> str:
    """Say how far an engine is from the ONNX model."""
    parity = engine.parity
    if parity is None:
        return "not compared with the ONNX model"
    truth = "by labels" if parity.truth == "labels" else "by what the ONNX model sees"
    where = "the engine" if parity.measured_on == "engine" else "its network in ONNX Runtime"
    return (
        f"mAP {parity.map_onnx:.2f} -> {parity.map_engine:.2f} ({parity.map_engine - parity.map_onnx:+.2f}) {truth} in "
        f"{parity.num_images} pictures, boxes up to {parity.max_box_px:.2f} px and confidences up to "
        f"{parity.max_confidence:.3f} off; measured on {where}"
    )


def as_json_object(report: EngineReport) -> dict[str, Any]:
    """Give what was made as `--json` prints it: the manifest's entry, and what is worth knowing once."""
    parity = report.parity
    boxes = None
    if parity is not None:
        worst = [
            {
                "picture": name,
                "missed": difference.num_missed,
                "extra": difference.num_extra,
                "max_box_px": difference.max_box_px,
                "max_confidence": difference.max_confidence,
            }
            for name, difference in parity.worst
        ]
        counts = {"onnx": parity.num_boxes, "missed": parity.num_missed, "extra": parity.num_extra}
        boxes = {**counts, "worst": worst}
    return {
        **report.engine.model_dump(mode="json"),
        "reused_graph": report.reused_graph,
        "replaced": report.replaced,
        "boxes": boxes,
        "drawn_off": report.drawn_off,
        "why_not_engine": report.why_not_engine or None,
    }


def table(bundle: Path, order: EngineOrder, report: EngineReport) -> list[str]:
    """Say what was made, in lines, and what is still to be proven."""
    engine = report.engine
    fp32 = f"; in fp32: {', '.join(engine.fp32_layers)}" if engine.fp32_layers else ""
    rows = [
        ("precision", f"{engine.precision}{fp32}"),
        ("library", f"{_library(engine)}, {engine.platform}"),
        ("runs on", _targets(engine)),
        ("batch", batches(engine)),
        ("size", f"{engine.file.size / 1e6:.1f} MB, built in {engine.build_s:.1f} s"),
    ]
    if engine.calibration is not None:
        known = engine.calibration
        again = ", as before" if report.reused_graph else ""
        rows.append(
            ("calibration", f"{known.num_images} pictures ({known.method}), sha256 {known.sha256[:12]}…{again}")
        )
    rows.append(("parity", _parity_found(report)))
    if engine.latency_ms:
        times = ", ".join(f"{size}: {ms:.2f} ms" for size, ms in engine.latency_ms.items())
        rows.append(("latency", f"by batch: {times} ({engine.gpu})"))
    if report.why_not_engine:
        rows.append(("not proven", f"the engine itself was not run: {report.why_not_engine}"))
    if engine.parity is None or report.why_not_engine:
        where = "" if not report.why_not_engine else "where it shall run, "
        rows.append(("to prove it", f"{where}`{_command(bundle, order, engine)}`"))
    done = "replaced" if report.replaced else "built"
    return [f"{done}: {bundle / engine.file.path}", *(f"  {name:12} {text}" for name, text in rows)]


def _library(engine: TrtEngine) -> str:
    later = " and later of the same major release" if engine.version_compatible else ""
    return f"{FLAVOURS[engine.flavour]} {engine.version}{later}"


def _targets(engine: TrtEngine) -> str:
    more = " and all GPUs from Ampere on" if engine.hardware_compatibility == "ampere_plus" else ""
    return f"compute capability {', '.join(engine.compute_capabilities)}{more}"


def _parity_found(report: EngineReport) -> str:
    if report.parity is not None:
        found = report.parity
        counts = f"{found.num_missed} of {found.num_boxes} boxes missed, {found.num_extra} more"
        return f"{parity_line(report.engine)}; {counts}"
    if report.drawn_off is not None:
        return f"no pictures given: raw outputs {100 * report.drawn_off:.2g} % off on drawn ones, which judges no boxes"
    return "not measured: the network is the ONNX model itself"


def _command(bundle: Path, order: EngineOrder, engine: TrtEngine) -> str:
    parts = ["vedette", "engine", "build", str(bundle), "--precision", engine.precision]
    parts += ["--max-batch", str(engine.max_batch)]
    place = order.images or order.calibrate
    words = " ".join(shlex.quote(part) for part in parts)
    return f"{words} --images {'DATA' if place is None else shlex.quote(str(place))}"
