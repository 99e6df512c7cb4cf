"""Pascal VOC: an XML file a picture, in `Annotations/`; pictures in `JPEGImages/`.

Coordinates count pixels from 1, and the last pixel belongs to the box: (xmin, ymin, xmax, ymax) is
(xmin - 1, ymin - 1, xmax, ymax) here. `difficult` becomes a box to ignore. `ImageSets/Main/train.txt` and `val.txt`
say how it is split, where both are there.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

from engine.errors import SourceError
from training.dataset import Dataset, Sample
from training.formats.image_files import ImageFolder
from training.formats.reading import Problems, Request, Row, read_text, refuse_labels

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def is_here(path: Path) -> bool:
    """Tell whether a folder holds VOC's XML files."""
    return path.is_dir() and _annotation_folder(path) is not None


def read(request: Request, problems: Problems) -> dict[str, Dataset]:
    """Read a folder with `Annotations/`, or a folder of XML files; classes are in the order of their names."""
    refuse_labels(request, "Pascal VOC")
    annotations = _annotation_folder(request.path)
    if annotations is None:
        raise SourceError(f"{request.path}: no Pascal VOC annotations: expected Annotations/ with XML files")
    around = (annotations.parent, annotations)
    folders = [place / name for place in around for name in ("JPEGImages", "images", "")]
    images = ImageFolder([request.images] if request.images else folders)
    trees = {path.stem: (path, _parse(path)) for path in sorted(annotations.glob("*.xml"))}
    named = {name.text for _, tree in trees.values() for name in tree.iterfind("object/name") if name.text}
    labels = tuple(sorted(named))
    samples = {}
    for stem, (path, tree) in trees.items():
        name = tree.findtext("filename") or f"{stem}.jpg"
        if images.find(name) is None and (found := images.find_stem(stem)) is not None:
            name = found.name  # Renamed or converted pictures keep the name of their labels.
        picture = problems.picture(images, name, str(path), _size(tree))
        if picture is not None:
            samples[stem] = problems.sample(picture, _rows(path, tree, labels, problems))
    lists = {part: annotations.parent / "ImageSets" / "Main" / f"{part}.txt" for part in ("train", "val")}
    if not all(path.is_file() for path in lists.values()):
        return {"": Dataset(labels, tuple(samples.values()))}
    parts = {part: _listed(path, samples, set(trees), problems) for part, path in lists.items()}
    return {part: Dataset(labels, chosen) for part, chosen in parts.items()}


def _annotation_folder(path: Path) -> Path | None:
    """Find the XML files: in `Annotations/`, in the folder itself, or in the only folder in it that has some."""
    for folder in (path / "Annotations", path):
        if next(folder.glob("*.xml"), None):
            return folder
    found = {file.parent for file in path.glob("*/*.xml")}
    return found.pop() if len(found) == 1 else None


def _parse(path: Path) -> ET.Element:
    try:
        tree = ET.fromstring(read_text(path))
    except ET.ParseError as error:
        raise SourceError(f"{path}: is not XML: {error}") from None
    if tree.tag != "annotation":
        raise SourceError(f"{path}: not a Pascal VOC annotation: expected <annotation>, got <{tree.tag}>")
    return tree


def _size(tree: ET.Element) -> tuple[int, int] | None:
    texts = [tree.findtext(f"size/{side}") or "" for side in ("width", "height")]
    if not all(text.strip().isdecimal() for text in texts):
        return None
    width, height = map(int, texts)
    return (width, height) if width and height else None  # Some tools write 0 x 0.


def _rows(path: Path, tree: ET.Element, labels: tuple[str, ...], problems: Problems) -> list[Row]:
    rows = []
    for number, item in enumerate(tree.iterfind("object"), 1):
        place = f"{path}: object {number}"
        name = item.findtext("name")
        try:
            left, top, right, bottom = (float(item.findtext(f"bndbox/{corner}") or "") for corner in _CORNERS)
        except ValueError:
            problems.add("bad_row", f"{place}: expected a bndbox with the numbers {', '.join(_CORNERS)}")
            continue
        if name:
            ignore = (item.findtext("difficult") or "0").strip() == "1"
            rows.append(Row(labels.index(name), (left - 1, top - 1, right, bottom), place, ignore))
        else:
            problems.add("unknown_class", f"{place}: has no name")
    return rows


def _listed(path: Path, samples: Mapping[str, Sample], known: set[str], problems: Problems) -> tuple[Sample, ...]:
    """Give the pictures that a list names; a class list has a second column, which is not of interest."""
    chosen = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        stem = line.split()[0] if line.split() else ""
        if stem in samples:
            chosen.append(samples[stem])
        elif stem and stem not in known:
            problems.add("bad_row", f"{path}:{number}: no annotation '{stem}.xml'")
    return tuple(chosen)
