"""YOLO: a text file a picture, `class cx cy w h` a line, in fractions of the picture.

`data.yaml` names classes and folders (`path`, `train`, `val`, `names`); without it, `images/`, `labels/` and
`classes.txt` do. An empty text file, or none, says that there is no object. Polygons become the boxes around them.
Cameras, times and boxes to ignore have no place here: a region that was ignored is background afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from engine.errors import SourceError, UsageError
from training.dataset import Dataset, Sample
from training.formats.image_files import SUFFIXES, ImageFolder, image_size, list_images
from training.formats.reading import Problems, Request, Row, read_text, refuse_labels
from training.formats.writing import copy_pictures

_YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_CLASS_FILES = ("classes.txt", "obj.names")


def is_here(path: Path) -> bool:
    """Tell whether a file or folder is YOLO's."""
    if path.is_file():
        return path.suffix in (".yaml", ".yml") and _is_data_yaml(path)
    if any((path / name).is_file() and _is_data_yaml(path / name) for name in _YAML_NAMES):
        return True
    return (path / "images").is_dir() and any((path / "labels").rglob("*.txt"))


def read(request: Request, problems: Problems) -> dict[str, Dataset]:
    """Read a data.yaml, a folder that holds one, a folder with images and labels, or a folder of label files."""
    path = request.path
    file = path if path.is_file() else next((path / n for n in _YAML_NAMES if (path / n).is_file()), None)
    if file is not None and _is_data_yaml(file):
        refuse_labels(request, f"{file.name}")
        return _read_yaml(file, request.images, problems)
    if path.is_file():
        raise SourceError(f"{path}: not a YOLO data.yaml: expected the keys names and train")
    labels = path / "labels" if (path / "labels").is_dir() else path
    images = request.images or next((f for f in (path / "images", path.parent / "images") if f.is_dir()), path)
    names = request.labels or _class_file(labels, path)
    pictures = [(picture, _beside(picture, images, labels)) for picture in list_images(images)]
    dataset = Dataset(names, tuple(_samples(pictures, names, problems)))
    _find_orphans(labels, {label for _, label in pictures}, images, problems)
    return {"": dataset}


def write(parts: Mapping[str, Dataset], folder: Path) -> None:
    """Write `data.yaml`, `images/` and `labels/`, with a folder for each part; boxes to ignore are left out."""
    names = copy_pictures(parts, folder / "images", by_part=True)
    for dataset in parts.values():
        for sample in dataset.samples:
            target = (folder / "labels" / names[sample.path]).with_suffix(".txt")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("".join(_lines(sample)), encoding="utf-8")
    folders = {part or "train": f"images/{part}".rstrip("/") for part in parts}
    labels = next(iter(parts.values())).labels
    text = yaml.safe_dump({"path": ".", **folders, "names": dict(enumerate(labels))}, sort_keys=False)
    (folder / "data.yaml").write_text(text, encoding="utf-8")


def _lines(sample: Sample) -> Iterator[str]:
    width, height = sample.size_wh
    judged = ~sample.ignore
    for (x1, y1, x2, y2), class_id in zip(sample.xyxy[judged].tolist(), sample.class_id[judged].tolist(), strict=True):
        cx, cy, w, h = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height
        yield f"{class_id} {cx:.7f} {cy:.7f} {w:.7f} {h:.7f}\n"


def _load_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise SourceError(f"{path}: not YAML: {str(error).splitlines()[0]}") from None


def _is_data_yaml(path: Path) -> bool:
    data = _load_yaml(path)
    return isinstance(data, dict) and "names" in data and ("train" in data or "val" in data)


def _read_yaml(path: Path, images: Path | None, problems: Problems) -> dict[str, Dataset]:
    data = _load_yaml(path)
    names = _names(path, data)
    root = images or path.parent / str(data.get("path") or ".")
    if not root.is_dir():
        root = path.parent  # `path` is often where the set was on another machine.
    parts: dict[str, Dataset] = {}
    for part, entries in (("train", data.get("train")), ("val", data.get("val") or data.get("valid"))):
        if entries:
            found = [_resolve(root, str(entry), path, part) for entry in _as_list(entries)]
            pictures = [(picture, _label_of(picture)) for at in found for picture in _pictures(at, root, problems)]
            parts[part] = Dataset(names, tuple(_samples(pictures, names, problems)))
            used = {label for _, label in pictures}
            for folder in found:
                labels = _label_of(folder / "x").parent
                if folder.is_dir() and labels != folder:
                    _find_orphans(labels, used, folder, problems)
    if not parts:
        raise SourceError(f"{path}: train: names no pictures")
    return parts if len(parts) == 2 else {"": next(iter(parts.values()))}


def _as_list(entries: Any) -> list[Any]:
    return entries if isinstance(entries, list) else [entries]


def _resolve(root: Path, entry: str, path: Path, part: str) -> Path:
    # Roboflow writes "../train/images" for what lies in "train/images".
    tried = [root / entry, root / entry.removeprefix("../"), path.parent / entry]
    found = next((candidate for candidate in tried if candidate.exists()), None)
    if found is None:
        raise SourceError(f"{path}: {part}: no folder or list '{entry}' in {root}")
    return found


def _pictures(path: Path, root: Path, problems: Problems) -> list[Path]:
    """List the pictures of a folder, or of a text file that names one a line, relative to the file or to the set."""
    if path.is_dir():
        return list_images(path)
    found = []
    folder = ImageFolder([path.parent, root])
    for number, line in enumerate(read_text(path).splitlines(), 1):
        name = line.strip().removeprefix("./")
        if name and (picture := Path(name) if Path(name).is_file() else folder.find(name)) is not None:
            found.append(picture)
        elif name:
            problems.add("missing_image", f"{path}:{number}: no picture '{name}' in {folder}")
    return found


def _names(path: Path, data: Any) -> tuple[str, ...]:
    names = data["names"]
    if isinstance(names, str):
        names = [line.strip() for line in read_text(path.parent / names).splitlines() if line.strip()]
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise SourceError(f"{path}: names: expected the numbers 0 to {len(names) - 1}, got {sorted(names)}")
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names or len(set(map(str, names))) < len(names):
        raise SourceError(f"{path}: names: expected a list of different class names, got {names!r:.80}")
    if data.get("nc") not in (None, len(names)):
        raise SourceError(f"{path}: nc is {data['nc']}, but there are {len(names)} names")
    return tuple(map(str, names))


def _class_file(labels: Path, path: Path) -> tuple[str, ...]:
    for folder in (labels, path, path.parent):
        for name in _CLASS_FILES:
            if (folder / name).is_file():
                names = tuple(line.strip() for line in read_text(folder / name).splitlines() if line.strip())
                if names:
                    return names
    raise UsageError(
        f"{path}: nothing says what the classes are called; add a classes.txt with one name a line, a data.yaml, or "
        "give the names (--labels)"
    )


def _beside(picture: Path, images: Path, labels: Path) -> Path:
    return (labels / picture.relative_to(images)).with_suffix(".txt")


def _label_of(picture: Path) -> Path:
    """Give a picture's label file: the last folder `images` in its path becomes `labels`, or it lies beside it."""
    parts = picture.parts
    if "images" not in parts[:-1]:
        return picture.with_suffix(".txt")
    at = len(parts) - 2 - parts[-2::-1].index("images")
    return Path(*parts[:at], "labels", *parts[at + 1 :]).with_suffix(".txt")


def _samples(pictures: list[tuple[Path, Path]], names: tuple[str, ...], problems: Problems) -> Iterator[Sample]:
    for picture, label in pictures:
        try:
            size_wh = image_size(picture)
        except SourceError as error:
            problems.add("broken_image", str(error))
            continue
        if label.is_file():
            rows = list(_rows(label, size_wh, names, problems))
        else:
            rows = []
            problems.add("unlabelled", f"{picture}: no {label}; taken as a picture without objects", is_error=False)
        yield problems.sample((picture, size_wh), rows)


def _rows(path: Path, size_wh: tuple[int, int], names: tuple[str, ...], problems: Problems) -> Iterator[Row]:
    width, height = size_wh
    for number, line in enumerate(read_text(path).splitlines(), 1):
        place = f"{path}:{number}"
        texts = line.split()
        if not texts:
            continue
        try:
            values = [float(text) for text in texts]
        except ValueError:
            values = []
        if len(values) != 5 and (len(values) < 7 or len(values) % 2 == 0):
            problems.add("bad_row", f"{place}: expected `class cx cy w h` or a polygon, got '{line.strip():.60}'")
        elif values[0] not in range(len(names)):
            problems.add("unknown_class", f"{place}: class {texts[0]} is none of the {len(names)} from 0")
        elif max(map(abs, values[1:])) > 2:
            problems.add("bad_row", f"{place}: expected fractions of the picture from 0 to 1, got '{line.strip():.60}'")
        else:
            if len(values) == 5:
                cx, cy, w, h = values[1:]
                box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
            else:
                xs, ys = values[1::2], values[2::2]
                box = (min(xs), min(ys), max(xs), max(ys))
            yield Row(int(values[0]), (box[0] * width, box[1] * height, box[2] * width, box[3] * height), place)


def _find_orphans(labels: Path, used: set[Path], images: Path, problems: Problems) -> None:
    """Note label files that no picture belongs to."""
    for path in sorted(labels.rglob("*.txt")):
        if path not in used and path.name not in _CLASS_FILES:
            text = f"{path}: no picture '{path.stem}' ({', '.join(SUFFIXES)}) in {images}"
            problems.add("missing_image", text)
