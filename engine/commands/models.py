"""`vedette models`: bundles, and how a bare ONNX file becomes one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from engine.errors import BundleError, UsageError

T = TypeVar("T")

BundleArgument = Annotated[str, typer.Argument(metavar="BUNDLE|FILE.onnx", help="A bundle's folder, or a bare model.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    models = typer.Typer(no_args_is_help=True)
    models.command("list")(list_bundles)
    models.command("show")(show)
    models.command("import")(import_onnx)
    models.command("verify")(verify)
    app.add_typer(models, name="models", help="Model bundles: list, show, import, verify.")


def list_bundles(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where bundles are.")] = Path("models"),
    as_json: AsJson = False,
) -> None:
    """List the bundles in a folder, damaged ones too."""
    from engine.bundle import MANIFEST, Bundle

    if not folder.is_dir():
        raise BundleError(f"{folder}: no such folder; `vedette models import` makes bundles")
    rows = []
    for path in sorted(p.parent for p in folder.glob(f"*/{MANIFEST}")):
        try:
            rows.append({"path": str(path), **_facts(Bundle.load(path))})
        except BundleError as error:
            rows.append({"path": str(path), "error": str(error)})
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    if not rows:
        print(f"{folder}: no bundles")
    for row in rows:
        print(f"{row['path']}: {row['error']}" if "error" in row else f"{row['path']}: {_line(row)}")


def show(bundle: BundleArgument, as_json: AsJson = False) -> None:
    """Show what a bundle says: family, input, classes, files, card, reference statistics."""
    from engine.bundle import Bundle
    from engine.card import Card
    from engine.card_text import card_lines, printable, reference_lines

    found = Bundle.load(bundle)
    card, reference = _readable(found.card), _readable(found.reference)
    if as_json:
        data = {**found.manifest.model_dump(mode="json"), "digest": found.digest}
        print(json.dumps({**data, "card": _as_json(card), "reference": _as_json(reference)}, indent=2))
        return
    manifest = found.manifest
    spec = manifest.input
    print(f"{bundle}: {_line(_facts(found))}")
    print(f"  input      {spec.size_wh[0]}x{spec.size_wh[1]} {spec.color}, {spec.resize}, border {spec.pad}")
    if not spec.is_plain:
        print(f"             (value - {list(spec.mean)}) / {list(spec.std)}")
    if manifest.scores:
        print(f"  scores     {manifest.scores}")
    print(f"  classes    {', '.join(map(printable, manifest.labels))}")
    for role, entry in manifest.files.items():
        print(f"  {printable(role):10} {printable(entry.path)}, {entry.size} bytes, sha256 {entry.sha256}")
    for engine in manifest.engines:
        print(f"  engine     {printable(engine.file.path)}: {printable(str(engine))}, {engine.file.size} bytes")
    source, licence = (printable(text) or "not stated" for text in (manifest.source, manifest.licence))
    print(f"  source     {source}; licence {licence}")
    for about in (card, reference):
        if isinstance(about, BundleError):
            print(f"\n{printable(str(about))}")
        elif about is not None:
            print("", *(card_lines(about) if isinstance(about, Card) else reference_lines(about)), sep="\n")


def _readable(read: Callable[[], T]) -> T | BundleError:
    """Read a file about the model; one that is damaged must not hide the others."""
    try:
        return read()
    except BundleError as error:
        return error


def _as_json(about: Any) -> Any:
    from engine.card import Card
    from engine.reference import DEFAULT_QUANTILES

    if about is None:
        return None
    if isinstance(about, BundleError):
        return {"error": str(about)}
    if isinstance(about, Card):
        return about.model_dump(mode="json")
    return {
        "num_samples": len(about),
        "num_frames": about.num_frames,
        "num_boxes": about.num_boxes,
        "min_confidence": about.min_confidence,
        "cameras": list(about.cameras),
        "class_mix": about.class_mix(),
        "quantiles": {
            name: dict(zip(map(str, DEFAULT_QUANTILES), values, strict=True))
            for name, values in about.quantiles().items()
        },
    }


def verify(
    bundles: Annotated[list[str], typer.Argument(metavar="BUNDLE…", help="Bundles or bare models.")],
) -> None:
    """Check every file, run one picture through the model, and compare its outputs with the family."""
    from engine.bundle import Bundle
    from engine.heads import check_outputs, class_columns
    from engine.inference import make_backend
    from engine.onnx_import import run_once

    broken: list[BundleError] = []
    for name in bundles:
        try:
            bundle = Bundle.load(name)
            manifest = bundle.manifest
            head = check_outputs(manifest.family, run_once(bundle, make_backend()), manifest.input.size_wh, name)
            class_columns(head, len(manifest.labels), name)
            # Loading has checked the model; what is said about it is checked and read here.
            bundle.check_files()
            bundle.card(), bundle.reference(), bundle.evaluation()
        except BundleError as error:
            broken.append(error)
            print(error)
        else:
            print(f"{name}: good: {_line(_facts(bundle))}")
    if broken:
        raise BundleError(f"{len(broken)} of {len(bundles)} bundles cannot be used")


def import_onnx(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="The model.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The bundle's folder.", show_default=False)],
    family: Annotated[
        str | None, typer.Option(metavar="FAMILY", help="yolox, picodet, nanodet, fastestdet, yolo, detr; classifier.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(metavar="coco|FILE", help="Class names: COCO's 80, or a file with one a line.")
    ] = None,
    input_size: Annotated[str | None, typer.Option(metavar="S|WxH", help="Of models with a free input size.")] = None,
    color: Annotated[str | None, typer.Option(metavar="bgr|rgb", help="Order of the channels.")] = None,
    mean: Annotated[str | None, typer.Option(metavar="A,B,C", help="Subtracted, 0..255, in --color's order.")] = None,
    std: Annotated[str | None, typer.Option(metavar="A,B,C", help="Divided by, 0..255.")] = None,
    resize: Annotated[str | None, typer.Option(metavar="letterbox|letterbox_center|stretch")] = None,
    pad: Annotated[int | None, typer.Option(help="Grey level of the letterbox's border.")] = None,
    name: Annotated[str | None, typer.Option(help="The bundle's name; the file's by default.")] = None,
    source: Annotated[str, typer.Option(help="Where the weights come from.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace another bundle in DIR.")] = False,
) -> None:  # fmt: skip
    """Make a bundle of an ONNX model, after checking that it is what it is said to be.

    What is not said is the family's usual way; without --family it is told from the outputs.
    """
    from engine.inference import make_backend
    from engine.onnx_import import ImportOptions, describe_onnx, run_once

    spec = {"size_wh": _size(input_size), "color": color, "mean": _triple("--mean", mean), "std": _triple("--std", std),
            "resize": resize, "pad": pad}  # fmt: skip
    given = tuple((key, value) for key, value in spec.items() if value is not None)
    options = ImportOptions(family, _labels(labels), given, name, source, licence)
    bundle = describe_onnx(file, options)
    with tempfile.TemporaryDirectory() as folder:
        try:
            run_once(bundle.write(Path(folder) / "copy"), make_backend())
        except BundleError as error:
            raise BundleError(
                f"{file}: works only where it is, so it needs files beside it; export it with its weights in one file "
                f"or in {file.name}.data"
            ) from error
    bundle = bundle.write(out, force)
    print(f"{out}: {_line(_facts(bundle))}")


def _facts(bundle: Any) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "name": manifest.name,
        "family": manifest.family,
        "size_wh": list(manifest.input.size_wh),
        "num_classes": len(manifest.labels),
        "bytes": sum(entry.size for entry in manifest.files.values()),
        "num_engines": len(manifest.engines),
        "digest": bundle.digest,
    }


def _line(facts: dict[str, Any]) -> str:
    from engine.card_text import printable

    width, height = facts["size_wh"]
    count = facts["num_engines"]
    engines = f", {count} TensorRT engine{'s' * (count != 1)}" if count else ""
    return (
        f"{printable(facts['name'])}, {facts['family']} {width}x{height}, {facts['num_classes']} classes, "
        f"{facts['bytes'] / 1e6:.1f} MB{engines}, digest {facts['digest']}"
    )


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if not all(part.isdigit() for part in parts) or len(parts) > 2:
        raise UsageError(f"--input-size {text}: expected one number or WIDTHxHEIGHT, such as 416 or 640x384")
    return int(parts[0]), int(parts[-1])


def _triple(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in (1, 3):
        raise UsageError(f"{option} {text}: expected one number, or three with commas")
    return values * 3 if len(values) == 1 else values


def _labels(text: str | None) -> tuple[str, ...] | None:
    from engine.labels import read_labels

    return None if text is None else read_labels(text)
