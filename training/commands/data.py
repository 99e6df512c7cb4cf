"""`vedette data`: look at labelled pictures, change their format, split them, and let a model suggest boxes."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import UsageError

if TYPE_CHECKING:
    from training.dataset import Dataset
    from training.formats.reading import Reading

FORMATS_IN = "coco|yolo|voc|mot|label_studio|pennfudan"
FORMATS_OUT = "coco|yolo|label_studio"

Source = Annotated[Path, typer.Argument(metavar="PATH", help="Label file or folder.", show_default=False)]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.", show_default=False)]
FormatIn = Annotated[str | None, typer.Option("--from", metavar=FORMATS_IN, help="Default: told from what is there.")]
FormatOut = Annotated[str, typer.Option("--format", metavar=FORMATS_OUT)]
Images = Annotated[Path | None, typer.Option(metavar="DIR", help="The pictures, where they are not beside the labels.")]
Labels = Annotated[str | None, typer.Option(metavar="coco|FILE", help="Class names, for YOLO folders without them.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out what cannot be used, and say so.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    data = typer.Typer(no_args_is_help=True)
    data.command("check")(check)
    data.command("convert")(convert)
    data.command("split")(split)
    data.command("prelabel")(prelabel)
    app.add_typer(data, name="data", help="Labelled pictures: check, convert, split, prelabel.")


def check(
    path: Annotated[Path, typer.Argument(metavar="PATH|DATA.yaml", help="Labels, or a recipe.", show_default=False)],
    format_in: Annotated[str | None, typer.Option("--format", "--from", metavar=FORMATS_IN)] = None,
    images: Images = None,
    labels: Labels = None,
    sheet: Annotated[Path | None, typer.Option(metavar="PNG", help="Write a contact sheet with the boxes.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every problem.")] = False,
) -> None:
    """Say what is in a data set and what is wrong with it: exit 1 if something cannot be used as it is."""
    from training.data_check import check_data

    reading = _read(path, format_in, images, labels)
    report = check_data(reading)
    if sheet is not None:
        from training.contact_sheet import write_sheet

        write_sheet(reading.whole, sheet)
    print(json.dumps(report.as_json(), indent=2) if as_json else f"{path}: {report.text()}")
    if report.errors:
        raise typer.Exit(1)


def convert(
    path: Source,
    out: Out,
    format_out: FormatOut,
    format_in: FormatIn = None,
    images: Images = None,
    labels: Labels = None,
    skip_bad: SkipBad = False,
) -> None:
    """Write a data set in another format, pictures included."""
    from training.formats import write_dataset

    parts = _usable(_read(path, format_in, images, labels), path, skip_bad).parts
    write_dataset(parts, out, format_out)
    _say_written(parts, out, format_out)


def split(
    path: Source,
    out: Out,
    val: Annotated[float, typer.Option(help="Share that is held out.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Of the draw among photographs and cameras.")] = 0,
    gap_s: Annotated[float, typer.Option(help="Seconds of a recording left out between the parts.")] = 2.0,
    format_out: FormatOut = "coco",
    format_in: FormatIn = None,
    images: Images = None,
    labels: Labels = None,
    skip_bad: SkipBad = False,
) -> None:
    """Divide a data set into train and val by camera and time, never by frame."""
    from training.formats import write_dataset
    from training.split import split as split_dataset

    if not 0 < val < 1:
        raise UsageError(f"--val {val}: expected a share between 0 and 1, such as 0.2")
    reading = _usable(_read(path, format_in, images, labels), path, skip_bad)
    whole = reading.whole
    train, held_out = split_dataset(whole, val, seed, gap_s)
    parts = {"train": train, "val": held_out}
    write_dataset(parts, out, format_out)
    _say_written(parts, out, format_out)
    if dropped := len(whole) - len(train) - len(held_out):
        print(f"{dropped} pictures lie in the gaps between the parts and are in neither")


def prelabel(
    pictures: Annotated[Path, typer.Argument(metavar="DIR", help="Pictures to label.", show_default=False)],
    results: Annotated[Path, typer.Option(metavar="COCO.json", help="From `vedette detect`.", show_default=False)],
    model: Annotated[str, typer.Option(metavar="BUNDLE", help="The model that wrote them.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="OUT", help="A new folder.", show_default=False)],
    min_confidence: Annotated[float, typer.Option(help="Leave out weaker boxes.")] = 0.3,
) -> None:
    """Make Label Studio tasks of pictures and a model's boxes, to be accepted or corrected by a person."""
    from engine.bundle import Bundle
    from training.evaluation.detections.coco_files import read_results
    from training.formats import write_predictions
    from training.formats.results import with_results

    bundle = Bundle.load(model)
    dataset, confidence = with_results(pictures, read_results(results), bundle.manifest.labels, min_confidence)
    write_predictions(dataset, confidence, f"{bundle.manifest.name} {bundle.digest[:12]}", out)
    _say_written({"": dataset}, out, "label_studio")


def _read(path: Path, format_in: str | None, images: Path | None, labels: str | None) -> Reading:
    from engine.labels import read_labels
    from training.formats import read, yolo

    if format_in is None and path.suffix in (".yaml", ".yml") and path.is_file() and not yolo.is_here(path):
        from training.recipe import load_recipe
        from training.split import gather

        return gather(load_recipe(path))
    return read(path, format_in, images=images, labels=None if labels is None else read_labels(labels))


def _usable(reading: Reading, path: Path, skip_bad: bool) -> Reading:
    from training.formats import usable

    errors = [problem for problem in reading.problems if problem.is_error]
    if skip_bad and errors:
        print(f"{path}: {len(errors)} rows or pictures are left out; the first: {errors[0].text}", file=sys.stderr)
        reading = replace(reading, problems=())
    usable(reading, path)
    return reading


def _say_written(parts: Mapping[str, Dataset], out: Path, format_out: str) -> None:
    samples = [sample for dataset in parts.values() for sample in dataset.samples]
    num_ignored = sum(int(sample.ignore.sum()) for sample in samples)
    num_boxes = sum(len(sample.xyxy) for sample in samples) - (num_ignored if format_out == "yolo" else 0)
    counts = ", ".join(f"{part} {len(dataset)}".strip() for part, dataset in parts.items())
    print(f"{out}: {counts} pictures, {num_boxes} boxes, {format_out}")
    if format_out == "yolo" and num_ignored:
        left_out = "1 box to ignore is" if num_ignored == 1 else f"{num_ignored} boxes to ignore are"
        print(f"{left_out} left out: YOLO has no word for it, and learns background there")
