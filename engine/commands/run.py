"""`vedette run` and `vedette replay`."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from engine.errors import SinkError, UsageError, VedetteError
from engine.load import load_class
from engine.site import MOTION, Site, default_pipeline
from engine.summary import Summary

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE… | CONFIG.yaml", help="Streams, files, folders, or one configuration.", show_default=False
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="BUNDLE|FILE.onnx|motion",
        help="Detect with this model; street-nano (people and vehicles) by default. 'motion' follows what moves.",
    ),
]
Tracker = Annotated[str | None, typer.Option("--tracker", metavar="KIND", help="Tracker, such as sort or oc_sort.")]
Classes = Annotated[str | None, typer.Option("--classes", metavar="A,B", help="Only these classes.")]
MinConfidence = Annotated[
    float | None, typer.Option("--min-confidence", min=0.0, max=1.0, help="Leave out weaker detections.")
]
Cadence = Annotated[
    str | None,
    typer.Option("--cadence", metavar="every|N|adaptive", help="Detect on every frame, every N-th, or as needed."),
]
Events = Annotated[str | None, typer.Option("--events", metavar="FILE|-", help="Write events, one JSON object a line.")]
KafkaServers = Annotated[str | None, typer.Option("--kafka", metavar="HOST:PORT", help="Publish events to Kafka.")]
Mot = Annotated[
    str | None,
    typer.Option("--mot", metavar="FILE", help="Write tracks as MOTChallenge text; {camera} is replaced."),
]
AnnotateTo = Annotated[
    str | None, typer.Option("--annotate", metavar="OUT.mp4", help="Write a video with boxes; {camera} is replaced.")
]
MaxFrames = Annotated[int | None, typer.Option("--max-frames", min=1, help="Stop each camera after so many frames.")]
Runner = Annotated[
    str | None,
    typer.Option("--runner", metavar="ray|inline", help="Ray actors (default for live cameras) or this process."),
]
RayAddress = Annotated[
    str | None, typer.Option("--ray-address", metavar="ADDR", help="A Ray cluster that runs already.")
]
SummaryFile = Annotated[Path | None, typer.Option("--summary", metavar="FILE.json", help="Write the run's numbers.")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Actors (ray) or threads (inline); one a core by default.")
]
NoDrift = Annotated[bool, typer.Option("--no-drift", help="Do not watch the cameras for drift.")]

Golden = Annotated[
    Path | None, typer.Option("--golden", metavar="FILE", help="Compare events with this log; exit 1 on a difference.")
]
UpdateGolden = Annotated[bool, typer.Option("--update-golden", help="Write the golden log instead.")]
Tolerance = Annotated[
    float, typer.Option("--tolerance", min=0.0, help="Ignore numbers that differ by no more than this fraction.")
]


@dataclass
class Request:
    """What the command line asks for, beyond the site itself."""

    site: Site
    max_frames: int | None
    ray_address: str | None
    workers: int | None


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run")(run)
    app.command("replay")(replay)


def run(
    sources: Sources, model: Model = None, tracker: Tracker = None, classes: Classes = None,
    min_confidence: MinConfidence = None, cadence: Cadence = None, events: Events = None, kafka: KafkaServers = None,
    mot: Mot = None, annotate: AnnotateTo = None, max_frames: MaxFrames = None, runner: Runner = None,
    ray_address: RayAddress = None, summary: SummaryFile = None, workers: Workers = None, no_drift: NoDrift = False,
) -> None:  # fmt: skip
    """Watch cameras and recordings live. Ctrl-C ends cleanly."""
    site = _site(sources, model, tracker, classes, min_confidence, cadence, events, kafka, mot, annotate, no_drift)
    site = _printing(site, mot, annotate)
    live = any(camera.live for camera in site.cameras.values())
    which = runner or ("ray" if live or ray_address else "inline")
    request = Request(site, max_frames, ray_address, workers)
    stop = stop_on_signals()
    result, errors = find_runner(which, "live")(request, stop)
    _report(result, errors, summary, interrupted=stop.is_set())


def replay(
    sources: Sources, model: Model = None, tracker: Tracker = None, classes: Classes = None,
    min_confidence: MinConfidence = None, cadence: Cadence = None, events: Events = None, kafka: KafkaServers = None,
    mot: Mot = None, annotate: AnnotateTo = None, max_frames: MaxFrames = None, runner: Runner = None,
    ray_address: RayAddress = None, summary: SummaryFile = None, workers: Workers = None, no_drift: NoDrift = False,
    golden: Golden = None,
    update_golden: UpdateGolden = False,
    tolerance: Tolerance = 0.0,
) -> None:  # fmt: skip
    """Run recordings deterministically: stream time only, every frame, the same bytes on every run."""
    if update_golden and golden is None:
        raise UsageError("--update-golden writes the file that --golden FILE names; give both")
    site = _site(sources, model, tracker, classes, min_confidence, cadence, events, kafka, mot, annotate, no_drift)
    live = [name for name, camera in site.cameras.items() if camera.live]
    if live:
        raise UsageError(f"camera '{live[0]}' is live and cannot be replayed; `vedette run` watches it")
    with tempfile.TemporaryDirectory(prefix="vedette-") as folder:
        log = Path(folder) / "events.jsonl"
        site = _printing(site, mot, annotate) if golden is None else site.with_sinks(load_class("jsonl")(path=str(log)))
        request = Request(site, max_frames, ray_address, workers)
        which = runner or ("ray" if ray_address else "inline")
        result, errors = find_runner(which, "replay")(request, stop_on_signals())
        _report(result, errors, summary)
        if golden is not None:
            _compare(golden, log, update_golden, tolerance)


def _compare(golden: Path, log: Path, update: bool, tolerance: float) -> None:
    from engine.golden import explain, read_log

    if update:
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_bytes(log.read_bytes())
        print(f"{golden}: {len(read_log(log))} events written", file=sys.stderr)
        return
    expected = read_log(golden)
    if golden.read_bytes() == log.read_bytes():
        print(f"{golden}: {len(expected)} events, all the same", file=sys.stderr)
        return
    lines = explain(expected, read_log(log), tolerance)
    if not lines:
        print(f"{golden}: {len(expected)} events, the same within {tolerance:g}", file=sys.stderr)
        return
    print(f"{golden}: the events differ")
    print("\n".join(lines))
    raise typer.Exit(1)


def _site(
    sources: list[str], model: str | None, tracker: str | None, classes: str | None, min_confidence: float | None,
    cadence: str | None, events: str | None, kafka: str | None, mot: str | None, annotate: str | None, no_drift: bool,
) -> Site:  # fmt: skip
    pipeline_options = {"--model": model, "--tracker": tracker, "--classes": classes,
                        "--min-confidence": min_confidence, "--cadence": cadence}  # fmt: skip
    if len(sources) == 1 and sources[0].endswith((".yaml", ".yml")):
        from engine.config import load_site

        given = [name for name, value in pipeline_options.items() if value is not None]
        if given:
            raise UsageError(f"{given[0]} goes with sources; {sources[0]} says what its pipeline does")
        site = load_site(Path(sources[0]))
    else:
        if model == MOTION:
            useless = [n for n in ("--classes", "--min-confidence", "--cadence") if pipeline_options[n] is not None]
            if useless:
                raise UsageError(f"{useless[0]} needs a model: with --model motion nothing has a class or a confidence")
        try:
            pipeline = default_pipeline(
                model,
                tracker,
                tuple(word.strip() for word in classes.split(",") if word.strip()) if classes else (),
                min_confidence,
                _cadence(cadence),
            )
        except ValueError as error:
            raise UsageError(str(error)) from None
        site = dataclasses.replace(Site.of_sources(sources), pipeline=pipeline)
    many = len(site.cameras) > 1
    for option, path, kind in (("--mot", mot, "mot_writer"), ("--annotate", annotate, "annotate")):
        if path is not None:
            if many and "{camera}" not in path:
                raise UsageError(
                    f"{option} {path}: there are {len(site.cameras)} cameras; put {{camera}} into the name"
                )
            site = site.with_steps(load_class(kind)(path=path))
    if events is not None:
        site = site.with_sinks(load_class("jsonl")(path=events))
    if kafka is not None:
        site = site.with_sinks(load_class("kafka")(bootstrap=kafka))
    return dataclasses.replace(site, drift=None) if no_drift else site


def _printing(site: Site, mot: str | None, annotate: str | None) -> Site:
    """Print events where nothing else was asked for."""
    return site if site.sinks or mot or annotate else site.with_sinks(load_class("jsonl")(path="-"))


def _cadence(text: str | None) -> str | int:
    if text is None or text in ("every", "adaptive"):
        return text or "every"
    if text.isdigit() and int(text) >= 1:
        return int(text)
    raise UsageError(f"--cadence {text}: expected every, adaptive, or a number of frames from 1")


def find_runner(which: str, mode: str) -> Any:
    """Find what runs a site: `inline` here, others in the deployments room, by name."""
    if which == "inline":
        from engine import local

        return getattr(local, f"run_{mode}")
    if which == "ray":
        import importlib

        return getattr(importlib.import_module("deployments.ray_runner"), f"run_{mode}")
    raise UsageError(f"--runner {which}: expected ray or inline")


def stop_on_signals() -> threading.Event:
    """Give an event that Ctrl-C and SIGTERM set; a second Ctrl-C ends at once."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handle)
        signal.signal(signal.SIGTERM, handle)
    return stop


def _report(result: Summary, errors: dict[str, VedetteError], path: Path | None, interrupted: bool = False) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result.to_dict(), indent=2) + "\n", encoding="utf-8")
    total = result.total()
    fps = total.frames_analysed / max(result.wall_s, 1e-9)
    print(
        f"{total.frames_analysed} frames of {len(result.cameras)} camera(s) in {result.wall_s:.1f} s ({fps:.0f} fps), "
        f"{total.frames_dropped} dropped, {sum(total.events.values())} events",
        file=sys.stderr,
    )
    for error in errors.values():
        print(f"vedette: {error}", file=sys.stderr)
    lost = False
    for name, counts in result.sinks.items():
        if counts.get("undelivered"):
            lost = True
            print(
                f"vedette: {name}: {counts['undelivered']:g} events were not delivered before the end", file=sys.stderr
            )
    if errors:
        worst = max(error.exit_code for error in errors.values())
        raise typer.Exit(worst)
    if lost and not interrupted:
        raise typer.Exit(SinkError.exit_code)
