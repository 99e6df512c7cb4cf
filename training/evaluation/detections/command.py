"""`vedette evaluate detections`: figures in a table, as JSON, and with everything behind them as HTML."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import SourceError, UsageError

if TYPE_CHECKING:
    from engine.picture import Pixels
    from training.dataset import Dataset
    from training.evaluation.detections.bootstrap import Difference
    from training.evaluation.detections.evaluate import Evaluation
    from training.evaluation.detections.robustness import UnderCondition

Read = Callable[[int], "Pixels"]

# Percentiles of fewer draws wobble in the third digit.
DRAWS = 500


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("detections")(detections)


def detections(
    gt: Annotated[Path | None, typer.Option("--gt", metavar="COCO.json", help="Ground truth.")] = None,
    results: Annotated[Path | None, typer.Option(metavar="COCO.json", help="From `vedette detect`.")] = None,
    compare_results: Annotated[Path | None, typer.Option(metavar="COCO.json", help="Results to set beside.")] = None,
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the pictures are.")] = None,
    model: Annotated[str | None, typer.Option(metavar="BUNDLE|FILE.onnx", help="A model to judge.")] = None,
    data: Annotated[Path | None, typer.Option(metavar="COCO.json|DATA.yaml|DIR", help="What to judge it on.")] = None,
    compare: Annotated[str | None, typer.Option(metavar="BUNDLE|FILE.onnx", help="A model to set beside.")] = None,
    min_confidence: Annotated[float, typer.Option(min=0.001, max=1, help="Of a model's boxes.")] = 0.01,
    conditions: Annotated[str | None, typer.Option(metavar="A,B|all", help="Also under night, rain, …")] = None,
    strength: Annotated[float, typer.Option(min=0, max=1, help="Of the conditions.")] = 0.5,
    draws: Annotated[
        int | None, typer.Option(min=0, help="Of the bootstrap; default: 500 with --html or two to compare, else 0.")
    ] = None,
    block_s: Annotated[float, typer.Option(min=0.001, help="Footage is drawn in blocks of so many seconds.")] = 5.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap and the conditions.")] = 0,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a report.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare results, or what a model sees, with ground truth: COCO's average precision and what is behind it.

    Give --gt and --results, or --model and --data. Of a DATA.yaml of `vedette train` the held-out pictures are judged.
    """
    ask = _Ask(draws if draws is not None else DRAWS if html or compare or compare_results else 0, block_s, seed)
    if gt is not None and results is not None and model is None and data is None:
        _refuse("--model", compare=compare, conditions=conditions)
        job = _from_files(gt, results, compare_results, images, ask)
    elif model is not None and data is not None and gt is None and results is None:
        _refuse("--results", compare_results=compare_results)
        job = _from_models(model, compare, data, images, min_confidence, conditions, strength, ask)
    else:
        raise UsageError("give --gt and --results (COCO files), or --model and --data")
    differences = _compare(job)
    if html is not None:
        _write_html(html, job, differences)
    if as_json:
        print(json.dumps(_as_json(job, differences), indent=2))
    else:
        _print_table(job, differences)


@dataclass(frozen=True)
class _Ask:
    draws: int
    block_s: float
    seed: int


@dataclass(frozen=True, eq=False)
class _Job:
    """What has been judged.

    Attributes:
        data: on what, in words.
        evaluations: one or two.
        conditions: of the first.
        read: gives BGR pixels by position, None without pictures.
    """

    data: str
    evaluations: tuple[Evaluation, ...]
    conditions: tuple[UnderCondition, ...]
    read: Read | None


def _refuse(needed: str, **options: object) -> None:
    for name, value in options.items():
        if value is not None:
            raise UsageError(f"--{name.replace('_', '-')} goes with {needed}")


def _from_files(gt: Path, results: Path, other: Path | None, images: Path | None, ask: _Ask) -> _Job:
    from training.evaluation.detections.coco_files import read_results, read_truth

    truth = read_truth(gt)
    read = None if images is None else _reader(truth["images"], images)
    found = {str(path): read_results(path) for path in (results, other) if path is not None}
    return _Job(_name(gt), _evaluate(truth, found, read, ask), (), read)


def _from_models(
    model: str,
    other: str | None,
    data: Path,
    images: Path | None,
    min_confidence: float,
    conditions: str | None,
    strength: float,
    ask: _Ask,
) -> _Job:
    from engine.progress import FrameProgress
    from training.evaluation.detections.predict import common_labels, predict
    from training.evaluation.detections.robustness import condition_names, judge_condition

    names = () if conditions is None else condition_names(conditions)
    dataset, words = read_data(data, images)
    models = [model] if other is None else [model, other]
    common = tuple(set.intersection(*(set(common_labels(one, dataset.labels)) for one in models)))
    if left_out := [label for label in dataset.labels if label not in common]:
        print(f"not judged, not known to the model: {', '.join(left_out)}", file=sys.stderr)
    dataset = dataset.relabelled([label for label in dataset.labels if label in common])
    found = {}
    with FrameProgress("detect", {words: len(dataset) * len(models)}) as progress:
        for one in models:
            found[one] = predict(one, dataset, min_confidence, tick=lambda: progress.frame(words))
    evaluations = _evaluate(dataset.to_coco(), found, lambda i: dataset.samples[i].read().bgr, ask)
    under = []
    with FrameProgress("conditions", {words: len(dataset) * len(names)}) as progress:
        for name in names:
            under.append(
                judge_condition(
                    model, dataset, name, strength, evaluations[0],
                    min_confidence=min_confidence, seed=ask.seed, tick=lambda: progress.frame(words),
                )
            )  # fmt: skip
    return _Job(words, evaluations, tuple(under), lambda i: dataset.samples[i].read().bgr)


def read_data(path: Path, images: Path | None) -> tuple[Dataset, str]:
    """Give what is to be judged and its name; of a recipe that is what it holds out.

    Raises:
        SourceError: there are no labels, or they cannot be read.
    """
    if path.suffix.lower() in (".yaml", ".yml"):
        from training.recipe import load_recipe
        from training.split import assemble

        return assemble(load_recipe(path))[1], f"{path.name} (held out)"
    from training.formats import read_dataset

    return read_dataset(path, images=images), _name(path)


def _reader(entries: list[dict[str, Any]], folder: Path) -> Read:
    """Find the pictures of a COCO file by name.

    Raises:
        SourceError: one is not there.
    """
    from engine.picture import Picture

    paths = [folder / str(entry.get("file_name", "")) for entry in entries]
    for entry, path in zip(entries, paths, strict=True):
        if not path.is_file():
            raise SourceError(f"{path}: no such picture, but the ground truth names it (image {entry['id']!r})")
    return lambda i: Picture.read(paths[i]).bgr()


def _evaluate(
    truth: dict[str, Any], found: dict[str, list[dict[str, Any]]], read: Read | None, ask: _Ask
) -> tuple[Evaluation, ...]:
    from engine.progress import FrameProgress
    from training.evaluation.detections.evaluate import evaluate
    from training.evaluation.detections.slices import measure

    measured = {} if read is None else measure(read, len(truth["images"]))
    with FrameProgress("bootstrap", {"draws": ask.draws * len(found)}, "draws") as progress:
        return tuple(
            evaluate(
                truth, results, name=name, measured=measured, draws=ask.draws, block_s=ask.block_s, seed=ask.seed,
                tick=lambda: progress.frame("draws"),
            )
            for name, results in zip(_short(list(found)), found.values(), strict=True)
        )  # fmt: skip


def _name(path: Path) -> str:
    # Many files are called labels.json: their folder says which.
    return "/".join(path.resolve().parts[-2:])


def _short(names: list[str]) -> list[str]:
    short = [Path(name).name for name in names]
    return short if len(set(short)) == len(short) else names


def _compare(job: _Job) -> dict[str, Difference]:
    from training.evaluation.detections.comparison import compare

    return compare(*job.evaluations) if len(job.evaluations) == 2 else {}


def _write_html(path: Path, job: _Job, differences: dict[str, Difference]) -> None:
    from training.evaluation.detections import gallery
    from training.evaluation.detections.html_report import Report

    first = job.evaluations[0]
    alarms = None if job.read is None else gallery.false_alarms(first, job.read)
    misses = None if job.read is None else gallery.misses(first, job.read)
    text = Report(job.data, job.evaluations, differences, job.conditions, alarms, misses).html()
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
    print(path, file=sys.stderr)


def _as_json(job: _Job, differences: dict[str, Difference]) -> dict[str, Any]:
    from training.evaluation.detections.comparison import comparison_json

    first = job.evaluations[0]
    out = {"data": job.data, **first.as_json()}
    if job.conditions:
        out["conditions"] = [one.as_json() for one in job.conditions]
    if differences:
        out["comparison"] = comparison_json(first, job.evaluations[1], differences)
    return out


def _print_table(job: _Job, differences: dict[str, Difference]) -> None:
    first = job.evaluations[0]
    scores = first.scores
    if scores.num_ignored:
        print(
            f"{scores.num_ignored} boxes of images or classes that {job.data} does not name were left out",
            file=sys.stderr,
        )
    print(f"{scores.num_results} boxes against {scores.num_truth} in {scores.num_images} images")
    for name, value in scores.stats.items():
        within = first.interval(name) if name in ("ap", "ap50") else None
        print(f"  {name:10} {value:7.4f}" + (f"  ({within})" if within else ""))
    for label, per_class in sorted(scores.per_class.items(), key=lambda item: -item[1]["ap"]):
        print(f"  {label:20} ap {per_class['ap']:.4f}  ap50 {per_class['ap50']:.4f}")
    at = first.at
    print(f"at confidence {at.min_confidence:.3f} (best F1): precision {at.precision:.3f}, recall {at.recall:.3f}")
    for one in job.conditions:
        print(f"  {one.name:20} ap {one.ap:.4f}  ap50 {one.ap50.b:.4f}  ({one.ap50.b - one.ap50.a:+.4f})")
    for key in ("ap", "ap50"):
        if key in differences:
            apart = differences[key]
            line = f"{key}: {job.evaluations[1].name} {apart.b:.4f}, {apart.b - apart.a:+.4f}"
            if apart.interval is not None:
                line += f", 95 % {apart.interval.low:+.4f} to {apart.interval.high:+.4f}, p = {apart.p:.3f}"
            print(line)
