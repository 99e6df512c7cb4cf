"""`vedette flow`: dense optical flow between two pictures, as a Middlebury file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from engine.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("flow")(flow)


def flow(
    first: Annotated[Path, typer.Argument(metavar="A", help="The earlier picture.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="B", help="The later picture.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="F.flo", help="The Middlebury file.", show_default=False)],
    kind: Annotated[str, typer.Option(help="dis or farneback.")] = "dis",
    preset: Annotated[str | None, typer.Option(help="Of dis: ultrafast, fast, medium or fine; default fine.")] = None,
    scale: Annotated[float, typer.Option(help="Compute at this share of the pictures' size.")] = 1.0,
) -> None:
    """Compute how every pixel of A has moved in B."""
    import time

    from engine.flow import resize_flow, write_flo
    from engine.frame import CaptureTime, Frame
    from engine.load import did_you_mean, kinds, load_class
    from engine.packet import Packet
    from engine.picture import Picture

    known = [name.removesuffix("_flow") for name in kinds() if name.endswith("_flow")]
    if kind not in known:
        raise UsageError(f"--kind {kind}: is no kind of flow{did_you_mean(kind, known)}")
    if preset is not None and kind != "dis":
        raise UsageError(f"--preset {preset}: only dis has presets")
    options = {"preset": preset or "fine"} if kind == "dis" else {}
    try:
        operator = load_class(f"{kind}_flow")(scale=scale, always=True, **options)
    except ValueError as error:
        raise UsageError(str(error)) from None
    pictures = [Picture.read(path) for path in (first, second)]
    if pictures[0].size_wh != pictures[1].size_wh:
        sizes = " and ".join("{}x{}".format(*picture.size_wh) for picture in pictures)
        raise UsageError(f"{first} and {second}: must have the same size, got {sizes}")
    operator.open()
    try:
        started_s = time.perf_counter()
        for index, picture in enumerate(pictures):
            found = operator.process(Packet(Frame("flow", 0, index, index, CaptureTime(index), picture))).flow
        took_ms = 1000 * (time.perf_counter() - started_s)
    finally:
        operator.close()
    write_flo(out, resize_flow(found, pictures[0].size_wh))
    print(f"{out}: {pictures[0].size_wh[0]}x{pictures[0].size_wh[1]}, {took_ms:.1f} ms", file=sys.stderr)
