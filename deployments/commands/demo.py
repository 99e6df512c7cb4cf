"""`vedette demo`: the whole thing on this machine, nothing else needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the snapshots, the events and the summary.")] = Path(
        "demo_output"
    ),
    runner: Annotated[str, typer.Option("--runner", metavar="ray|inline", help="Ray actors or this process.")] = "ray",
    max_frames: Annotated[int | None, typer.Option("--max-frames", min=10, help="Stop each camera early.")] = None,
) -> None:
    """Show events of four cameras: embedded RTSP server and broker, the real pipeline, a Kafka consumer."""
    from deployments.demo import run_demo

    run_demo(out, runner, max_frames)
