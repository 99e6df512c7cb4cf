"""`vedette train`: from labelled pictures to a bundle that detects."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import UsageError

if TYPE_CHECKING:
    from training.recipe import Recipe


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    data: Annotated[Path, typer.Argument(metavar="DATA.yaml", help="The recipe.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="BUNDLE", help="Folder of the finished model.", show_default=False)],
    work: Annotated[Path | None, typer.Option(help="Folder of the run; default: runs/NAME.")] = None,
    init: Annotated[Path | None, typer.Option(metavar="FILE.onnx|BUNDLE", help="Weights to start from.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the pictures.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Instead of passes: time on this machine.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Pictures a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    size: Annotated[str | None, typer.Option(help="Size of the model, such as nano.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --work.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is at --out.")] = False,
) -> None:
    """Train a detector on labelled pictures and write it as a bundle: weights, figures, statistics, card.

    Options take precedence over the recipe. SIGINT stops after the step; --resume goes on, also after a kill.
    """
    from training.extra import need_training

    need_training("training")
    from training.finish import check_out, finish_bundle
    from training.loop import fit
    from training.recipe import load_recipe
    from training.split import assemble
    from training.stopping import TrainingStopped

    # Before hours of training, not after.
    check_out(out, force)
    recipe = with_options(load_recipe(data), {
        "model.init": init, "model.size": size, "train.epochs": epochs, "train.minutes": minutes,
        "train.batch_size": batch_size, "train.lr": lr, "train.seed": seed,
    })  # fmt: skip
    work = work or Path("runs") / recipe.name
    seen, held_out = assemble(recipe)
    _say(f"{recipe.name}: {len(seen)} pictures to learn from, {len(held_out)} held out; in {work}")
    try:
        result = fit(recipe, seen, held_out, work, resume=resume, device=device, say=_say)
    except TrainingStopped as stopped:
        again = [argument for argument in sys.argv[1:] if argument != "--resume"]
        _say(f"{stopped}\nvedette {shlex.join(again)} --resume")
        return
    _say(f"AP {result.scores['ap']:.3f}, AP50 {result.scores['ap50']:.3f} on the held-out pictures, "
         f"after {result.best_step} of {result.num_steps} steps; {result.data_wait_share:.1%} of the time "
         f"was waiting for pictures")  # fmt: skip
    finish_bundle(work, out, train=seen, val=held_out, force=force)
    _say(f"written: {out}")


def with_options(recipe: Recipe, options: dict[str, Any]) -> Recipe:
    """Give the recipe with some values replaced.

    Args:
        recipe: what the file says.
        options: values by dotted name; None leaves the file's value.

    Raises:
        UsageError: a value that cannot be meant; names the option.
    """
    from pydantic import ValidationError

    given = {name: value for name, value in options.items() if value is not None}
    if "train.epochs" in given and "train.minutes" in given:
        raise UsageError("--epochs and --minutes: give one of them")
    data = recipe.model_dump()
    if "train.epochs" in given or "train.minutes" in given:
        data["train"].update(epochs=None, minutes=None)
    for name, value in given.items():
        section, key = name.split(".")
        data[section][key] = value
    try:
        return type(recipe).model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][-1]).replace("_", "-")
        raise UsageError(f"--{option}: {first['msg']}, got {first['input']}") from None


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
