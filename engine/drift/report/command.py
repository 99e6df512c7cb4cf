"""`vedette drift report`: one camera's drift as a page for people. `engine/commands/drift.py` adds the command."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import BundleError, SinkError, UsageError

if TYPE_CHECKING:
    from engine.bundle import Bundle
    from engine.drift.report.parts import DriftReport
    from engine.drift.report.source import Footage, SampleReader
    from engine.drift.settings import DriftSettings
    from engine.reference import ReferenceStatistics
    from engine.site import Site

# The other recording comes first: more epochs than it can have.
_SECOND_EPOCH = 1_000_000


def report(
    source: Annotated[
        str,
        typer.Argument(
            metavar="CAMERA|RECORDING",
            help="A stream, a recording, a folder of recordings, or with --config a camera's name.",
            show_default=False,
        ),
    ],
    bundle: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE", help="The model, and what it was trained on; the site's, or street-nano, by default."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="The page.")] = None,
    to_json: Annotated[
        str | None, typer.Option("--json", metavar="FILE|-", help="Everything for programs, events included.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="SITE.yaml", help="Take the camera, its model and `drift:` from here.")
    ] = None,
    normal: Annotated[
        str | None, typer.Option(metavar="RECORDING", help="Learn what is normal from this one first.")
    ] = None,
    for_: Annotated[str, typer.Option("--for", metavar="5m", help="How long to watch a live camera.")] = "5m",
    window_s: Annotated[float | None, typer.Option(help="Seconds that stand for the present.")] = None,
    settle_s: Annotated[
        float | None, typer.Option(help="Seconds after which the camera's own normal is known.")
    ] = None,
    every_s: Annotated[float | None, typer.Option(help="Seconds between samples.")] = None,
    evidently: Annotated[bool, typer.Option(help="Put Evidently's own report at the end; 4 MB.")] = True,
    fail_on_drift: Annotated[bool, typer.Option("--fail-on-drift", help="Exit 1 when drift was raised.")] = False,
) -> None:
    """Say in one page whether a camera still looks as it did, and as what its model was trained on.

    A live camera is watched for a while; Ctrl-C ends that early and writes the report of what there is.
    """
    if out is None and to_json is None:
        raise UsageError("nothing to write: give --out FILE.html, --json FILE, or both")
    from engine.commands.run import stop_on_signals
    from engine.drift.report.source import SampleReader, bundle_of, find_detector, find_footage
    from engine.duration import parse_duration_s

    site = _site(config)
    footage = find_footage(source, site)
    other = None if normal is None else find_footage(normal)
    settings = _settings(site, {"window_s": window_s, "settle_s": settle_s, "every_s": every_s})
    detector = find_detector(site, footage.name, bundle)
    model = bundle_of(detector)
    for_s = parse_duration_s(for_)
    reader = SampleReader(detector, settings, stop_on_signals(), for_s)
    notes: list[str] = []
    reference = _reference(model, settings, notes)
    least = getattr(detector, "min_confidence", None)
    if reference is not None and least is not None:
        # Boxes that the site leaves out would be missing on one side only.
        reference = reference.at_confidence(max(least, reference.min_confidence))
    # Who sets the windows means them; what nobody has set may give way to short footage.
    adjust = window_s is None and settle_s is None
    made = _watch(footage, other, reader, settings, adjust, model, reference, notes)
    if evidently:
        made = _with_evidently(made)
    _write(made, out, to_json)
    print(_summary(made, out), file=sys.stderr)
    for error in reader.errors:
        print(f"vedette: {error}", file=sys.stderr)
    if reader.errors:
        raise typer.Exit(max(error.exit_code for error in reader.errors))
    if fail_on_drift and made.findings:
        raise typer.Exit(1)


def _site(config: Path | None) -> Site | None:
    if config is None:
        return None
    from engine.config import load_site

    return load_site(config)


def _settings(site: Site | None, given: dict[str, Any]) -> DriftSettings:
    from engine.drift.settings import DriftSettings

    settings = DriftSettings() if site is None or site.drift is None else site.drift
    try:
        return dataclasses.replace(settings, **{name: value for name, value in given.items() if value is not None})
    except ValueError as error:
        name, _, rest = str(error).partition(": ")
        raise UsageError(f"--{name.replace('_', '-')}: {rest}") from None


def _reference(model: Bundle | None, settings: DriftSettings, notes: list[str]) -> ReferenceStatistics | None:
    """Give what the model was trained on; what keeps that from being known is a note, and no reason to stop."""
    from engine.bundle import Bundle

    bundle = model if settings.reference is None else Bundle.load(settings.reference)
    if bundle is None:
        return None
    try:
        found = bundle.reference()
    except BundleError as error:
        print(f"vedette: compared with the camera's own normal only: {error}", file=sys.stderr)
        notes.append(f"It could not be compared with what the model was trained on: {error}.")
        return None
    if found is None:
        how = f"`vedette reference {bundle.root} --data DATA` makes them"
        print(f"vedette: {bundle.root} has no reference statistics; {how}", file=sys.stderr)
        notes.append(
            f"The bundle {bundle.manifest.name} has no reference statistics, which say what it was trained on: {how}."
        )
    return found


def _watch(
    footage: Footage, other: Footage | None, reader: SampleReader, settings: DriftSettings, adjust: bool,
    model: Bundle | None, reference: ReferenceStatistics | None, notes: list[str],
) -> DriftReport:  # fmt: skip
    from engine.drift.report.maker import make_report
    from engine.drift.training_normal import TrainingNormal
    from engine.progress import FrameProgress

    names = [footage.name, *(["normal"] if other is not None else [])]
    with FrameProgress("drift report", dict.fromkeys(names)) as progress:
        return make_report(
            footage.name,
            footage.where,
            reader.samples(footage, _SECOND_EPOCH, partial(progress.frame, footage.name)),
            settings,
            normal=None if other is None else reader.samples(other, on_frame=partial(progress.frame, "normal")),
            normal_where="" if other is None else other.where,
            adjust=adjust,
            model="" if model is None else model.manifest.name,
            reference=reference,
            training=None if reference is None else TrainingNormal.of(reference, footage.name),
            notes=notes,
        )


def _with_evidently(made: DriftReport) -> DriftReport:
    """Add Evidently's report; without it the page is made all the same."""
    from engine.drift.report.maker import compare_outside
    from engine.load import load_class

    try:
        return compare_outside(made, load_class("evidently_report")().compare)
    except UsageError as error:
        print(f"vedette: without a second opinion: {error}", file=sys.stderr)
        return dataclasses.replace(made, notes=[*made.notes, f"Evidently's report is left out: {error}."])


def _write(made: DriftReport, out: Path | None, to_json: str | None) -> None:
    if out is not None:
        from engine.drift.report.page import report_html

        _replace(out, report_html(made))
    if to_json is not None:
        from engine.drift.report.plain import report_dict

        text = json.dumps(report_dict(made), ensure_ascii=False, indent=2) + "\n"
        if to_json == "-":
            print(text, end="")
        else:
            _replace(Path(to_json), text)


def _replace(path: Path, text: str) -> None:
    """Write a file; it appears complete or not at all."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise SinkError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from None


def _summary(made: DriftReport, out: Path | None) -> str:
    from engine.drift.report.answers import headline

    return f"{made.camera}: {headline(made)}" + ("" if out is None else f" {out}")
