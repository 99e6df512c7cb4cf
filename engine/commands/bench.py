"""`vedette bench pipeline`: what the whole path reaches, beside the bound of the same run."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from engine.bundle import Bundle
from engine.cli import group
from engine.commands.run import Request, find_runner
from engine.errors import UsageError
from engine.feed import read_frames
from engine.inference import make_backend
from engine.load import load_class
from engine.picture import Letterbox
from engine.redact import Url
from engine.site import Camera, Site, default_pipeline
from engine.summary import CameraSummary

T = TypeVar("T")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group(app, "bench", "Measure what this machine reaches.").command("pipeline")(pipeline)


def pipeline(
    source: Annotated[Path, typer.Argument(help="A recording.", show_default=False)],
    model: Annotated[str, typer.Option("--model", metavar="BUNDLE|FILE.onnx", help="The detector.")],
    cameras: Annotated[str, typer.Option("--cameras", help="Numbers of cameras, such as 1,8.")] = "1,8",
    runners: Annotated[str, typer.Option("--runner", help="inline, ray, or both.")] = "inline",
    frames: Annotated[int, typer.Option("--frames", min=20, help="Frames of all cameras together, a run.")] = 800,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Interleaved rounds.")] = 3,
    tracker: Annotated[str, typer.Option("--tracker")] = "sort",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Decode, detect on every frame, track and make events; print the share of the bound that is reached.

    The bound is cores divided by the single-thread CPU seconds of decoding, conversion and inference of one frame,
    measured before and after each run: the machine is shared, and only ratios of one run can be compared.
    """
    if not source.is_file():
        raise UsageError(f"{source}: no such recording")
    numbers = [int(n) for n in cameras.split(",") if n.strip().isdigit() and int(n) > 0]
    if not numbers:
        raise UsageError(f"--cameras {cameras}: expected numbers such as 1,8")
    cases = [(runner.strip(), n) for runner in runners.split(",") for n in numbers]
    ratios: dict[tuple[str, int], list[dict[str, float]]] = {case: [] for case in cases}
    stages: dict[str, list[float]] = {}
    for number in range(rounds):
        before = _stage_limits(source, model)
        for case in cases:
            result = _run(source, model, tracker, *case, frames)
            after = _stage_limits(source, model)
            bound = (_bound_fps(before) + _bound_fps(after)) / 2
            ratios[case].append({**result, "bound_fps": bound, "ratio": result["fps"] / bound})
            before = after
            for name, value in after.items():
                stages.setdefault(name, []).append(value)
            print(
                f"round {number + 1}: {case[0]} {case[1]} camera(s): {result['fps']:.1f} of {bound:.1f} fps",
                file=sys.stderr,
            )
    report = {
        "source": source.name,
        "cores": len(os.sched_getaffinity(0)),
        "stage_cpu_ms": {name: round(statistics.median(values), 3) for name, values in stages.items()},
        "runs": [
            {"runner": r, "cameras": n, **{k: round(statistics.median(x[k] for x in found), 3) for k in found[0]}}
            for (r, n), found in ratios.items()
        ],
    }
    print(json.dumps(report, indent=2) if as_json else _table(report))


def _table(report: dict[str, Any]) -> str:
    stages = ", ".join(f"{name} {ms:.2f}" for name, ms in report["stage_cpu_ms"].items())
    lines = [
        f"{report['source']}: CPU ms a frame, one thread: {stages}; {report['cores']} cores",
        "runner   cameras      fps    bound  ratio  CPU ms  RSS MB  p50 ms  p95 ms",
    ]
    lines += [
        f"{r['runner']:8} {r['cameras']:7} {r['fps']:8.1f} {r['bound_fps']:8.1f} {r['ratio']:6.2f} {r['cpu_ms']:7.2f} "
        f"{r['rss_mb']:7.0f} {r['p50_ms']:7.1f} {r['p95_ms']:7.1f}"
        for r in report["runs"]
    ]
    return "\n".join(lines)


def _bound_fps(stage_ms: dict[str, float]) -> float:
    return len(os.sched_getaffinity(0)) * 1000 / sum(stage_ms.values())


def _stage_limits(source: Path, model: str, num_frames: int = 60) -> dict[str, float]:
    """CPU milliseconds a frame of decoding, conversion and inference, each alone in this thread."""
    bundle = Bundle.load(model)
    spec = bundle.manifest.input
    letterbox = Letterbox(spec.size_wh, spec.resize, spec.color, spec.pad)
    backend = make_backend()
    video = load_class("video")(url=str(source))
    try:
        backend.open(bundle)
        video.open()
        reading = read_frames("bench", video, 0, CameraSummary())
        decode_s, frames = _cpu_s(lambda: list(itertools.islice(reading, num_frames)))
        convert_s, tensors = _cpu_s(lambda: [frame.picture.letterbox(letterbox)[None] for frame in frames])
        backend.infer(tensors[0])
        infer_s, _ = _cpu_s(lambda: [backend.infer(tensor) for tensor in tensors])
    finally:
        video.close()
        backend.close()
    ms = 1000 / len(frames)
    return {"decode": decode_s * ms, "convert": convert_s * ms, "infer": infer_s * ms}


def _cpu_s(call: Callable[[], list[T]]) -> tuple[float, list[T]]:
    started_s = time.thread_time()
    result = call()
    return time.thread_time() - started_s, result


def _run(source: Path, model: str, tracker: str, runner: str, num_cameras: int, num_frames: int) -> dict[str, float]:
    cameras = {f"camera-{n}": Camera(Url(str(source))) for n in range(num_cameras)}
    site = Site(cameras=cameras, pipeline=default_pipeline(model, tracker)).with_sinks(
        load_class("jsonl")(path=os.devnull)
    )
    request = Request(site, max(10, num_frames // num_cameras), None, None)
    summary, errors = find_runner(runner, "live")(request, threading.Event())
    for error in errors.values():
        raise error
    total = summary.total()
    latency = total.latency.percentiles()
    # Starting models, actors and threads is not the rate of a pipeline that runs for months.
    busy_s = summary.busy_s or summary.wall_s
    return {
        "fps": total.frames_analysed / busy_s,
        "cpu_ms": summary.cpu_s * 1000 / max(1, total.frames_analysed),
        "rss_mb": summary.peak_rss_mb,
        "p50_ms": latency.get("p50", 0.0),
        "p95_ms": latency.get("p95", 0.0),
    }
