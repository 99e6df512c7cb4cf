"""`vedette export`: from a finished or stopped run to a bundle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    work: Annotated[Path, typer.Argument(metavar="WORK|CHECKPOINT", help="A run's folder, or its best.pt.")],
    out: Annotated[Path, typer.Option(metavar="BUNDLE", help="Folder of the finished model.", show_default=False)],
    opset: Annotated[int | None, typer.Option(min=13, max=20, help="Of ONNX; the recipe's by default.")] = None,
    max_map_difference: Annotated[
        float | None, typer.Option(min=0, help="Points of mAP from PyTorch; the recipe's by default.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is at --out.")] = False,
) -> None:
    """Make a bundle of a run's best weights so far: ONNX compared with PyTorch, figures, statistics, card.

    The data of the recipe is read again: its pictures must still be where they were.
    """
    from training.extra import need_training

    need_training("exporting")
    import yaml

    from training.checkpoint import load_trained
    from training.finish import check_out, finish_bundle
    from training.recipe import Recipe
    from training.split import assemble

    check_out(out, force)
    recipe = Recipe.model_validate(yaml.safe_load(load_trained(work).recipe))
    train, val = assemble(recipe)
    finish_bundle(work, out, train=train, val=val, force=force, opset=opset, max_map_difference=max_map_difference)
    print(f"written: {out}", file=sys.stderr)
