"""The Penn-Fudan pedestrian set: a text file a picture, in `Annotation/`; pictures in `PNGImages/` or `JPEGImages/`.

Coordinates count from 1 and include the last pixel, as in Pascal VOC. Its one class is `person`.
"""

from __future__ import annotations

import re
from pathlib import Path

from engine.errors import SourceError
from training.dataset import Dataset
from training.formats.image_files import ImageFolder
from training.formats.reading import Problems, Request, Row, read_text, refuse_labels

_HEAD = "# Compatible with PASCAL Annotation"
_SIZE = re.compile(r"Image size \(X x Y x C\) : (\d+) x (\d+)")
_BOX = re.compile(r"Bounding box for object (\d+).*: \((-?\d+), (-?\d+)\) - \((-?\d+), (-?\d+)\)")


def is_here(path: Path) -> bool:
    """Tell whether a folder is the Penn-Fudan set."""
    first = next((path / "Annotation").glob("*.txt"), None) if path.is_dir() else None
    return first is not None and read_text(first).startswith(_HEAD)


def read(request: Request, problems: Problems) -> dict[str, Dataset]:
    """Read the folder."""
    refuse_labels(request, "Penn-Fudan")
    files = sorted((request.path / "Annotation").glob("*.txt"))
    if not files:
        raise SourceError(f"{request.path}: not the Penn-Fudan set: expected Annotation/ with text files")
    folders = [request.path / name for name in ("PNGImages", "JPEGImages", "images")]
    images = ImageFolder([request.images] if request.images else folders)
    samples = []
    for path in files:
        text = read_text(path)
        rows = [
            Row(0, (int(left) - 1, int(top) - 1, int(right), int(bottom)), f"{path}: object {number}")
            for number, left, top, right, bottom in _BOX.findall(text)
        ]
        found = images.find_stem(path.stem)
        size = _SIZE.search(text)
        size_wh = (int(size[1]), int(size[2])) if size else None
        picture = problems.picture(images, found.name if found else f"{path.stem}.png", str(path), size_wh)
        if picture is not None:
            samples.append(problems.sample(picture, rows))
    return {"": Dataset(("person",), tuple(samples))}
