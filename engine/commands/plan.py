"""`vedette plan` and `vedette check`: what a configuration means, and how it will be executed and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.config import load_site
from engine.errors import SourceError
from engine.plan import plan as make_plan

Config = Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="A configuration.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("plan")(plan)
    app.command("check")(check)


def plan(config: Config) -> None:
    """Print how a configuration will be executed, segment by segment, with the reasons."""
    site = load_site(config)
    print(make_plan(site.pipeline, site.cameras, site.drift).explain())


def check(config: Config) -> None:
    """Check a configuration without connecting to anything: keys, values, models, and files that must exist."""
    site = load_site(config)
    planned = make_plan(site.pipeline, site.cameras, site.drift)
    for name, camera in site.cameras.items():
        if not camera.live and not Path(camera.url.reveal()).exists():
            raise SourceError(f"camera '{name}': {camera.url}: no such file")
    print(f"{config}: site '{site.name}', {len(site.cameras)} camera(s), {len(site.pipeline.steps)} step(s)")
    for name, camera in site.cameras.items():
        steps = [step.name for step in site.pipeline.steps if step.applies_to(name)]
        print(f"  {name}: {camera.url} → {' → '.join(steps)}")
    print(f"  sinks: {', '.join(type(s).__name__.lower() for s in site.sinks) or 'none (events go nowhere)'}")
    print(f"  drift: {'off' if site.drift is None else f'watched over {site.drift.window_s:g} s'}")
    print(f"  pipeline digest {planned.pipeline.digest}")
