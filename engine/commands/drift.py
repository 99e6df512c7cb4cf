"""`vedette drift`: watch cameras for change, take a change for normal, and report on recordings."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.errors import UsageError

Place = Annotated[
    str | None,
    typer.Argument(
        metavar="[SITE.yaml|FOLDER]",
        help="The configuration of the run, or its state folder; by default that of a run without a configuration.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, a line for each status.")]
Once = Annotated[bool, typer.Option("--once", help="Show what is there and end.")]
Cameras = Annotated[list[str], typer.Argument(metavar="CAMERA...", help="Names of cameras.", show_default=False)]
OfSite = Annotated[str | None, typer.Option("--site", metavar="SITE.yaml", help="The configuration of the run.")]
OfState = Annotated[str | None, typer.Option("--state", metavar="FOLDER", help="The state folder of the run.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    from engine.drift.report.command import report

    drift = typer.Typer(no_args_is_help=True)
    drift.command("report")(report)
    drift.command("watch")(watch)
    drift.command("accept")(accept)
    app.add_typer(drift, name="drift", help="Drift: does a camera still look as it did? report, watch, accept.")


def watch(place: Place = None, as_json: AsJson = False, once: Once = False) -> None:
    """Show how the cameras of a run are: settling, normal, or changed, since when, and what changed most."""
    from engine.drift import watch as watching

    watching.watch(watching.find_state(place), once, as_json)


def accept(cameras: Cameras, site: OfSite = None, state: OfState = None) -> None:
    """Take the present for normal, for instance after a camera was moved on purpose."""
    from engine.drift import watch as watching

    if site is not None and state is not None:
        raise UsageError("--site and --state both say where the state is; give one of them")
    for line in watching.accept(watching.find_state(site or state), cameras):
        print(line)
