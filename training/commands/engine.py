"""`vedette engine`: TensorRT engines of a bundle: build, list, remove."""

from __future__ import annotations

import contextlib
import json
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from engine.errors import BundleError, UsageError

if TYPE_CHECKING:
    from engine.trt_engine import Flavour, Precision, TrtEngine

BundleArgument = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle's folder.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_PACKAGES = ("onnx", "pycocotools")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    engines = typer.Typer(no_args_is_help=True)
    engines.command("build")(build)
    engines.command("list")(list_engines)
    engines.command("remove")(remove)
    app.add_typer(engines, name="engine", help="TensorRT engines of a bundle: build, list, remove.")


def build(
    bundle: BundleArgument,
    precision: Annotated[str, typer.Option(metavar="fp32|fp16|bf16|int8", help="What it computes in.")] = "fp16",
    max_batch: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The largest batch; default: 16, or the model's own.")
    ] = None,
    opt_batch: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The batch to be fastest at; default: the largest.")
    ] = None,
    gpu: Annotated[str, typer.Option(metavar="CURRENT|sm_86,sm_89", help="GPUs that shall run it.")] = "CURRENT",
    images: Annotated[
        Path | None, typer.Option(metavar="DATA", help="To compare on: labelled pictures, or any, or a recording.")
    ] = None,
    calibrate: Annotated[
        Path | None, typer.Option(metavar="DIR|VIDEO|DATA", help="To measure the ranges of int8 on.")
    ] = None,
    max_map_loss: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="POINTS",
            help="Of mAP; default: 0.1 fp32, 0.5 fp16 and bf16, 1.5 int8; five times that without labels.",
        ),
    ] = None,
    keep_fp32: Annotated[str | None, typer.Option(metavar="LAYER,…", help="Layers that stay in fp32.")] = None,
    flavour: Annotated[
        str | None, typer.Option(metavar="tensorrt|tensorrt_rtx", help="The library; default: what is installed.")
    ] = None,
    version_compatible: Annotated[
        bool, typer.Option("--version-compatible", help="Later versions of the same major release run it, too.")
    ] = False,
    hardware_compatible: Annotated[
        bool, typer.Option("--hardware-compatible", help="All GPUs from Ampere on run it, a little slower.")
    ] = False,
    workspace_mb: Annotated[
        int | None, typer.Option(min=1, metavar="MIB", help="Device memory a layer may use; default: all.")
    ] = None,
    timing_cache: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Makes the next build quicker.", dir_okay=False)
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Type and calibrate anew what the bundle has in this precision.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build a TensorRT engine, compare it with the ONNX model, and put it into the bundle.

    With labelled --images, mAP is judged by the labels; with any others, what the ONNX model sees is the truth. An
    engine that loses more than --max-map-loss, or that sees other boxes in a batch than alone, is not kept. Where there
    is no GPU to run it, its network is compared in ONNX Runtime.
    """
    _need("building engines")
    from engine.bundle import Bundle
    from engine.trt_build import make_builder, parse_targets
    from engine.trt_engine import FLAVOURS, PRECISIONS
    from training.engines.build import EngineOrder, build_engine
    from training.engines.text import as_json_object, table

    order = EngineOrder(
        precision=cast("Precision", _one_of("--precision", precision, PRECISIONS)),
        max_batch=max_batch,
        opt_batch=opt_batch,
        targets=parse_targets(gpu),
        flavour=cast("Flavour | None", None if flavour is None else _one_of("--flavour", flavour, FLAVOURS)),
        hardware_compatibility="ampere_plus" if hardware_compatible else "none",
        version_compatible=version_compatible,
        workspace_mb=workspace_mb,
        timing_cache=timing_cache,
        images=images,
        calibrate=calibrate,
        max_map_loss=max_map_loss,
        keep_fp32=tuple(name.strip() for name in (keep_fp32 or "").split(",") if name.strip()),
        force=force,
    )
    with _sigterm_as_ctrl_c():
        try:
            report = build_engine(
                Bundle.load(bundle), order, make_builder(), lambda line: print(f"{bundle}: {line}", file=sys.stderr)
            )
        except KeyboardInterrupt:
            print(f"{bundle}: stopped; it is as it was", file=sys.stderr)
            return
    if as_json:
        print(json.dumps(as_json_object(report), indent=2))
    else:
        print("\n".join(table(bundle, order, report)))


def list_engines(bundle: BundleArgument, as_json: AsJson = False) -> None:
    """List a bundle's engines: what each is, how far from the ONNX model, and whether it runs here."""
    from engine.bundle import Bundle
    from engine.trt_build import make_builder
    from training.engines.fit import find_gpu
    from training.engines.text import batches, parity_line

    found = Bundle.load(bundle)
    found.check_has_folder("engine")
    builder, rows = make_builder(), []
    for engine in found.manifest.engines:
        damage = _damage(found, engine)
        gpu, why = (None, damage) if damage else find_gpu(engine, found.manifest.files["onnx"].sha256, builder)
        rows.append((engine, None if gpu is None else gpu.name, why))
    if as_json:
        facts = [
            {**engine.model_dump(mode="json"), "runs_here": name is not None, "runs_on": name, "why_not": why or None}
            for engine, name, why in rows
        ]
        print(json.dumps(facts, indent=2))
        return
    if not rows:
        print(f"{bundle}: no TensorRT engines; `vedette engine build {shlex.quote(str(bundle))}` makes one")
    for engine, name, why in rows:
        print(engine.file.path)
        print(f"  {engine}, batch {batches(engine)}, {engine.file.size / 1e6:.1f} MB")
        print(f"  {parity_line(engine)}")
        print(f"  runs here on {name}" if name is not None else f"  does not run here: {why}")


def remove(
    bundle: BundleArgument,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME…", help="As listed.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
) -> None:
    """Remove engines from a bundle, with their logs, and networks that no other engine needs."""
    from engine.bundle import Bundle
    from engine.load import did_you_mean

    found = Bundle.load(bundle)
    found.check_has_folder("engine")
    if bool(names) == every:
        raise UsageError("give the names of engines, or --all")
    by_name = {path: path for path in (engine.file.path for engine in found.manifest.engines)}
    by_name |= {Path(path).name: path for path in by_name} | {Path(path).stem: path for path in by_name}
    unknown = [name for name in names or [] if name not in by_name]
    if unknown:
        stems = [Path(path).stem for path in dict.fromkeys(by_name.values())]
        known = did_you_mean(unknown[0], stems) if stems else "; it has none"
        raise UsageError(f"{bundle} has no engine '{unknown[0]}'{known}")
    paths = set(by_name.values()) if every else {by_name[name] for name in names or []}
    if paths:
        found.remove_engines(paths)
    for path in sorted(paths):
        print(f"removed: {bundle / path}", file=sys.stderr)


def _need(what: str) -> None:
    """Refuse to begin where a package is missing.

    Raises:
        UsageError: names the packages and how to install them.
    """
    import importlib.util

    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{what} needs {', '.join(missing)}: pip install 'vedette[tensorrt]', or 'vedette[tensorrt-rtx]'"
        )


def _one_of(option: str, value: str, known: Any) -> str:
    from engine.load import did_you_mean

    if value not in known:
        raise UsageError(f"{option} {value}: expected one of {', '.join(known)}{did_you_mean(value, known)}")
    return value


@contextlib.contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM end what is under way as Ctrl-C does: temporary files go."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _damage(bundle: Any, engine: TrtEngine) -> str:
    try:
        bundle.read_engine(engine)
    except BundleError as error:
        return str(error)
    return ""
