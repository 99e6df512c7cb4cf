"""What was measured, as a table for a person and as an object for a program."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from engine.gpu import gpus
from training.bench.layers import nsight_command
from training.bench.rounds import Figures, Plan, Result
from training.bench.subject import Opened
from training.bench.worker import Refused

_TOP_LAYERS = 12
_HEAD = (
    "backend       device  precision  batch   p50 ms   p90 ms   p99 ms  pictures/s  ratio  model ms  RSS MiB  GPU MiB"
    "    mAP"
)


@dataclass(frozen=True)
class Report:
    """All results of a run.

    Attributes:
        plan: what was asked for.
        name: of the model.
        results: one for each variant, in the plan's order.
        data: what was judged on, in words; empty without pictures.
    """

    plan: Plan
    name: str
    results: Sequence[Result]
    data: str = ""

    @property
    def runs(self) -> list[Result]:
        """Those that ran in at least one batch size; the first one is the reference."""
        return [one for one in self.results if any(isinstance(f, Figures) for f in one.figures.values())]

    def as_json(self) -> dict[str, Any]:
        """Give everything as one object."""
        return {
            "model": self.name,
            "rounds": self.plan.rounds,
            "reference": str(self.runs[0].variant) if self.runs else None,
            "data": self.data or None,
            "machine": {
                "system": f"{platform.system()} {platform.machine()}",
                "cores": len(os.sched_getaffinity(0)),
                "gpus": [gpu.name for gpu in gpus()],
            },
            "cases": [case for one in self.results for case in _cases(one)],
            "profile": [_profile(one) for one in self.results if one.layers is not None],
        }

    def table(self) -> str:
        """Write it for a person."""
        judged = f", mAP on {self.data}" if self.data else ""
        reference = f"; ratio to {self.runs[0].variant}" if self.runs else ""
        lines = [
            f"{self.name}: {self.plan.rounds} interleaved rounds, {len(os.sched_getaffinity(0))} cores, "
            f"GPU: {', '.join(gpu.name for gpu in gpus()) or 'none'}{judged}{reference}",
            _HEAD,
        ]
        for result in self.results:
            lines += _rows(result)
        for result in self.results:
            lines += _layer_rows(self.plan, result)
        return "\n".join(lines)


def _cases(result: Result) -> Iterator[dict[str, Any]]:
    """Give a variant's batch sizes, or the reason why there are none."""
    opened, variant = result.opened, result.variant
    asked: dict[str, Any] = {"backend": variant.backend, "device": variant.device, "precision": variant.precision}
    if isinstance(opened, Refused):
        yield {**asked, "batch": None, "reason": opened.reason, "failed": opened.failed}
        return
    taken = {**asked, "device": opened.device, "precision": opened.precision}
    for batch, figures in result.figures.items():
        if isinstance(figures, Refused):
            yield {**taken, "batch": batch, "reason": figures.reason, "failed": figures.failed}
            continue
        p50, p90, p99 = (round(ms, 3) for ms in figures.ms)
        judged = result.map_points
        yield {
            **taken,
            "batch": batch,
            "reason": None,
            "failed": False,
            "ms": {"p50": p50, "p90": p90, "p99": p99},
            "num_batches": figures.num_batches,
            "pictures_s": round(figures.pictures_s, 2),
            "ratio": _rounded(figures.ratio, 3),
            "model_ms": _rounded(figures.model_ms, 3),
            "rss_mib": round(opened.rss_mib, 1),
            "device_mib": _rounded(opened.device_mib, 1),
            "map": _rounded(judged, 2) if isinstance(judged, float) else None,
            "map_reason": judged.reason if isinstance(judged, Refused) else None,
        }


def _rows(result: Result) -> Iterator[str]:
    for case in _cases(result):
        device, precision = _short(case["device"]), case["precision"] or "usual"
        head = f"{case['backend']:12}  {device:6}  {precision:9}  {case['batch'] or '-':>5}"
        if case["reason"] is not None:
            yield f"{head}  {case['reason']}"
            continue
        ms = "".join(f"  {case['ms'][p]:7.2f}" for p in ("p50", "p90", "p99"))
        yield (
            f"{head}{ms}  {case['pictures_s']:10.1f}  {_cell(case['ratio'], 5, 2)}  {_cell(case['model_ms'], 8, 2)}  "
            f"{case['rss_mib']:7.0f}  {_cell(case['device_mib'], 7, 0)}  {_cell(case['map'], 5, 1)}"
        )
    if isinstance(result.map_points, Refused):
        yield f"{result.variant}: mAP: {result.map_points.reason}"


def _layer_rows(plan: Plan, result: Result) -> Iterator[str]:
    if result.layers is None:
        return
    batch = plan.batches[0]
    yield f"\n{result.variant}, batch {batch}, by layer:"
    if isinstance(result.layers, Refused):
        yield f"  {result.layers.reason}"
    else:
        total = sum(layer.ms for layer in result.layers)
        for layer in result.layers[:_TOP_LAYERS]:
            yield f"  {layer.ms:8.3f} ms  {layer.ms / total:4.0%}  {layer.kind:20}  {layer.name[-60:]}"
        yield f"  {total:8.3f} ms  100%  {len(result.layers)} layers"
    if isinstance(result.opened, Opened) and result.opened.device.startswith("cuda"):
        yield f"  more: {nsight_command(plan.model, result.variant.backend, batch)}"


def _profile(result: Result) -> dict[str, Any]:
    layers = result.layers
    if isinstance(layers, Refused) or layers is None:
        return {"variant": str(result.variant), "layers": None, "reason": layers.reason if layers else None}
    rows = [{"name": layer.name, "kind": layer.kind, "ms": round(layer.ms, 4)} for layer in layers]
    return {"variant": str(result.variant), "layers": rows, "reason": None}


def _short(device: str) -> str:
    """`cuda:0 (NVIDIA L4)` is `cuda:0`; the GPU's name stands above the table."""
    return device.partition(" ")[0]


def _cell(value: float | None, width: int, digits: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:{width}.{digits}f}"


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
