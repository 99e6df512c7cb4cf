"""`vedette detect`: what a model sees in pictures or in a video, as a COCO results file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.errors import SourceError, UsageError

if TYPE_CHECKING:
    from engine.detections import Detections
    from engine.frame import Frame

IMAGE_SUFFIXES = frozenset(".jpg .jpeg .png .bmp .webp .tif .tiff".split())


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("detect")(detect)


def detect(
    source: Annotated[Path, typer.Argument(metavar="IMAGE|DIR|VIDEO", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="COCO.json", help="The results file.", show_default=False)],
    model: Annotated[
        str | None, typer.Option(metavar="BUNDLE|FILE.onnx", help="The model; street-nano by default.")
    ] = None,
    min_confidence: Annotated[float | None, typer.Option(help="Leave out weaker boxes; default: the family's.")] = None,
    iou: Annotated[float | None, typer.Option(help="Overlap at which boxes of a class are one object.")] = None,
    classes: Annotated[str | None, typer.Option(metavar="A,B", help="Only these classes.")] = None,
    max_detections: Annotated[int, typer.Option(min=1, help="At most so many boxes a picture.")] = 300,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Stop a video after so many frames.")] = None,
    backend: Annotated[str, typer.Option(help="What runs the model.")] = "auto",
) -> None:  # fmt: skip
    """Detect objects and write them as COCO results.

    `image_id` is the picture's file name without suffix, as a number where it is one; in a video it is the frame's
    position, from 0. `category_id` is the class's position in the model's labels, from 0.
    """
    from engine.load import load_class
    from engine.progress import FrameProgress

    unreadable: list[SourceError] = []
    try:
        step = load_class("detect")(
            model=model, classes=tuple(name.strip() for name in (classes or "").split(",") if name.strip()),
            min_confidence=min_confidence, iou=iou, max_detections=max_detections, backend=backend,
        )  # fmt: skip
    except ValueError as error:
        raise UsageError(str(error)) from None
    total, pictures = _pictures(source, max_frames, unreadable)
    results: list[dict[str, Any]] = []
    num_pictures = 0
    with FrameProgress("detect", {source.name: total}) as progress:
        for image_id, detections in _detect(step.expand(), pictures):
            results.extend(coco_results(image_id, detections))
            num_pictures += 1
            progress.frame(source.name)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("[" + ",\n".join(json.dumps(result) for result in results) + "]\n", encoding="utf-8")
    print(f"{out}: {len(results)} boxes in {num_pictures} pictures", file=sys.stderr)
    for one in unreadable[:-1]:
        print(f"vedette: {one}", file=sys.stderr)
    if unreadable:
        raise unreadable[-1]


def _detect(
    operators: list[Any], pictures: Iterator[tuple[int | str, Frame]]
) -> Iterator[tuple[int | str, Detections]]:
    from engine.packet import Packet

    opened: list[Any] = []
    try:
        for operator in operators:
            opened.append(operator)
            operator.open()
        for image_id, frame in pictures:
            packet = Packet(frame)
            for operator in operators:
                packet = operator.process(packet)
            if packet.detections is not None:
                yield image_id, packet.detections
    finally:
        for operator in opened:
            operator.close()


def _pictures(
    source: Path, max_frames: int | None, errors: list[SourceError]
) -> tuple[int | None, Iterator[tuple[int | str, Frame]]]:
    """Give how many pictures there are, where known, and the pictures with their ids."""
    if source.is_dir():
        files = sorted(path for path in source.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        if not files:
            raise SourceError(f"{source}: the folder holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
        return len(files), _read_images(files, errors)
    if not source.is_file():
        raise SourceError(f"{source}: no such file or folder")
    if source.suffix.lower() in IMAGE_SUFFIXES:
        return 1, _read_images([source], errors)
    return None, _read_video(source, max_frames)


def _read_images(files: list[Path], errors: list[SourceError]) -> Iterator[tuple[int | str, Frame]]:
    from engine.frame import CaptureTime, Frame
    from engine.picture import Picture

    for index, path in enumerate(files):
        try:
            picture = Picture.read(path)
        except SourceError as error:
            # The other pictures are finished first.
            errors.append(error)
            continue
        image_id = int(path.stem) if path.stem.isdecimal() else path.stem
        yield image_id, Frame(path.stem, 0, index, index, CaptureTime(index), picture)


def _read_video(path: Path, max_frames: int | None) -> Iterator[tuple[int | str, Frame]]:
    from engine.feed import read_frames
    from engine.load import load_class
    from engine.summary import CameraSummary

    video = load_class("video")(url=str(path))
    try:
        video.open()
        for number, frame in enumerate(read_frames(path.stem, video, 0, CameraSummary())):
            if max_frames is not None and number >= max_frames:
                return
            yield frame.index, frame
    finally:
        video.close()


def coco_results(image_id: int | str, detections: Detections) -> list[dict[str, Any]]:
    """Write boxes as COCO results: x, y, width and height in pixels of the picture."""
    return [
        {
            "image_id": image_id,
            "category_id": class_id,
            "bbox": [round(v, 3) for v in (x1, y1, x2 - x1, y2 - y1)],
            "score": round(confidence, 6),
        }
        for (x1, y1, x2, y2), class_id, confidence in zip(
            detections.xyxy.tolist(), detections.class_id.tolist(), detections.confidence.tolist(), strict=True
        )
    ]
