"""`vedette evaluate flow`: end-point error of dense flow against ground truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from engine.errors import SourceError


def register(app: typer.Typer) -> None:
    """Add `vedette evaluate flow`."""

    @app.command("flow")
    def flow(
        gt: Annotated[Path, typer.Option(help="Ground truth: a Middlebury .flo file.")],
        results: Annotated[Path, typer.Option(help="Result: a Middlebury .flo file.")],
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Judge dense flow against ground truth: mean end-point error in pixels."""
        from engine.flow import end_point_error, read_flo

        truth = read_flo(gt)
        try:
            error_px = end_point_error(read_flo(results), truth)
            still_px = end_point_error(0 * truth, truth)
        except ValueError as error:
            raise SourceError(f"{results}: {error}") from None
        if as_json:
            typer.echo(json.dumps({"EPE": round(error_px, 4), "EPE_of_zero_flow": round(still_px, 4)}))
        else:
            typer.echo(f"EPE {error_px:.4f} px (no motion at all: {still_px:.4f})")
