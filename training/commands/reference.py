"""`vedette reference`: give a bundle the statistics that live cameras are compared with."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import SourceError

if TYPE_CHECKING:
    from engine.bundle import Bundle
    from engine.reference import ReferenceStatistics


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reference")(reference)


def reference(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle's folder.", show_default=False)],
    data: Annotated[
        Path,
        typer.Option(metavar="PATH", help="Recipe, labelled pictures, a video, or a folder.", show_default=False),
    ],
    every_s: Annotated[float, typer.Option(min=0.01, help="Seconds between samples of a video.")] = 1.0,
) -> None:
    """Measure what a model was trained on, or should be used on, and keep the statistics in its bundle.

    `vedette train` does so by itself; this is for bundles that were imported. Of a recipe, the training part is taken.
    """
    from engine.bundle import ABOUT, Bundle

    found = Bundle.load(bundle)
    found.check_has_folder("reference statistics")
    statistics = _measure(found, data, every_s)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ABOUT["reference"]
        statistics.save(path)
        size = path.stat().st_size
        found.add({"reference": path})
    cameras = len(statistics.cameras)
    print(
        f"{bundle}: measured {len(statistics)} of {statistics.num_frames} frames from {cameras} "
        f"camera{'s' * (cameras != 1)}, {statistics.num_boxes} boxes; {ABOUT['reference']}, {size / 1000:.0f} kB",
        file=sys.stderr,
    )


def _measure(bundle: Bundle, data: Path, every_s: float) -> ReferenceStatistics:
    from engine.progress import FrameProgress
    from engine.reference import MAX_SAMPLES
    from training.formats import read_dataset
    from training.reference import footage_in, make_reference, measure_footage

    if not data.exists():
        raise SourceError(f"--data {data}: no such file or folder")
    if data.suffix.lower() in (".yaml", ".yml"):
        from training.recipe import load_recipe
        from training.split import assemble

        dataset = assemble(load_recipe(data))[0]
    elif footage := footage_in(data):
        with FrameProgress("reference", {data.name: None}) as progress:
            return measure_footage(footage, bundle, every_s=every_s, tick=lambda: progress.frame(data.name))
    else:
        dataset = read_dataset(data)
    with FrameProgress("reference", {data.name: min(len(dataset), MAX_SAMPLES)}, "pictures") as progress:
        return make_reference(dataset, bundle, tick=lambda: progress.frame(data.name))
