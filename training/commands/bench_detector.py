"""`vedette bench detector`: backends, devices, precisions and batch sizes side by side."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import group
from engine.errors import BackendUnavailable, UsageError

if TYPE_CHECKING:
    from training.bench.report import Report
    from training.dataset import Dataset


def register(app: typer.Typer) -> None:
    """Add the command."""
    group(app, "bench").command("detector")(detector)


def detector(
    model: Annotated[str, typer.Argument(metavar="BUNDLE|FILE.onnx", help="The detector.", show_default=False)],
    backends: Annotated[str, typer.Option(metavar="A,B|all", help="What runs it; the first is the reference.")] = "all",
    device: Annotated[
        str, typer.Option(metavar="A,B", help="auto, cpu, cuda, cuda:1; auto is each one's own.")
    ] = "auto",
    precision: Annotated[
        str | None, typer.Option(metavar="A,B", help="fp32, fp16, bf16, int8; default: each one's own.")
    ] = None,
    batch: Annotated[str, typer.Option(metavar="1,4,…", help="Pictures at once.")] = "1,4,8,16,32",
    images: Annotated[Path | None, typer.Option(metavar="COCO.json|DATA.yaml|DIR", help="Labelled, for mAP.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.0, help="Of a measurement in a round; three batches at least.")] = 0.5,
    profile: Annotated[bool, typer.Option("--profile", help="The time of every layer, too.")] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg|FILE.html", help="Draw it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure latency, rate, memory and mAP of whatever can run a detector, in interleaved rounds of one run.

    A batch is timed from uint8 pictures to outputs, with normalising, upload and download, as it runs live. Each
    backend has a process of its own. What cannot run here is a row with the reason.
    """
    from engine.bundle import Bundle
    from engine.progress import FrameProgress
    from training.bench.report import Report
    from training.bench.rounds import Plan, measure, num_steps
    from training.bench.variant import batch_sizes, variants

    if plot is not None and plot.suffix not in (".svg", ".html"):
        raise UsageError(f"--plot {plot}: expected a name that ends in .svg or .html")
    chosen, sizes = variants(backends, device, precision), batch_sizes(batch)
    bundle = Bundle.load(model)
    bundle.check_detector()
    dataset, words = (None, "") if images is None else _read(model, images)
    plan = Plan(model, chosen, sizes, rounds, seconds, dataset, profile)
    with FrameProgress("bench", {bundle.manifest.name: num_steps(plan)}, "steps") as progress:
        results = measure(plan, lambda: progress.frame(bundle.manifest.name))
    report = Report(plan, bundle.manifest.name, results, words)
    print(json.dumps(report.as_json(), indent=2) if as_json else report.table())
    if not report.runs:
        raise BackendUnavailable(f"{model}: nothing of what was asked for can run this model here; the rows say why")
    if plot is not None:
        _draw(report, plot)


def _read(model: str, images: Path) -> tuple[Dataset, str]:
    """Give the labelled pictures with the classes that the model knows, and their name.

    Raises:
        UsageError: pycocotools is missing.
        SourceError: they cannot be read, or have no class in common with the model.
    """
    if importlib.util.find_spec("pycocotools") is None:
        # Not after minutes of measuring.
        raise UsageError("--images needs pycocotools: pip install 'vedette[evaluate]'")
    from training.evaluation.detections import common_labels
    from training.evaluation.detections.command import read_data

    dataset, words = read_data(images, None)
    return dataset.relabelled(common_labels(model, dataset.labels)), words


def _draw(report: Report, path: Path) -> None:
    from training.bench.chart import draw, page

    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(draw(report) if path.suffix == ".svg" else page(report), encoding="utf-8")
    partial.replace(path)
