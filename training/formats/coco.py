"""COCO: one JSON file with images, annotations (`bbox`: left, top, width, height) and categories.

`iscrowd` and `ignore` become ignored boxes. `camera`, `time_s` and `tags` of an image are ours, and come back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import SourceError
from training.dataset import Dataset, Sample
from training.formats.image_files import ImageFolder
from training.formats.reading import Problems, Request, Row, numbers, read_json, refuse_labels
from training.formats.writing import copy_pictures

_PLACES = ("*.json", "annotations/*.json", "*/_annotations.coco.json")
_KEYS = ("images", "annotations", "categories")


def is_here(path: Path) -> bool:
    """Tell whether a file or folder is COCO's."""
    return bool(_label_files(path))


def read(request: Request, problems: Problems) -> dict[str, Dataset]:
    """Read one file, or the files for training and validation of a folder."""
    refuse_labels(request, "COCO")
    files = _label_files(request.path)
    if not files:
        raise SourceError(f"{request.path}: no COCO file with {', '.join(_KEYS)}")
    parts = {_part(path): path for path in files}
    if len(files) == 1:
        parts = {"": files[0]}
    elif "test" in parts and len(parts) == len(files):
        del parts["test"]
    elif set(parts) != {"train", "val"} or len(files) != 2:
        names = ", ".join(str(path.relative_to(request.path)) for path in files)
        raise SourceError(f"{request.path}: holds several COCO files ({names}); name the one to read")
    return {part: _read_file(path, request.images, problems) for part, path in parts.items()}


def write(parts: Mapping[str, Dataset], folder: Path) -> None:
    """Write `labels.json`, or `train.json` and `val.json`, and `images/`."""
    names = copy_pictures(parts, folder / "images")
    for part, dataset in parts.items():
        coco = dataset.to_coco()
        for image, sample in zip(coco["images"], dataset.samples, strict=True):
            image["file_name"] = names[sample.path]
        (folder / f"{part or 'labels'}.json").write_text(json.dumps(coco), encoding="utf-8")


def _label_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == ".json" and _is_coco(path) else []
    return [file for place in _PLACES for file in sorted(path.glob(place)) if _is_coco(file)]


def _is_coco(path: Path) -> bool:
    data = read_json(path)
    return isinstance(data, dict) and all(isinstance(data.get(key), list) for key in _KEYS)


def _part(path: Path) -> str:
    # "instances_val2017.json", and "valid/_annotations.coco.json" as Roboflow writes it.
    words = re.findall(r"train|val|test", f"{path.parent.name}/{path.stem}".lower())
    return words[-1] if words else str(path)


def _read_file(path: Path, images: Path | None, problems: Problems) -> Dataset:
    data = read_json(path)
    labels, column = _categories(path, data["categories"])
    rows = _rows(path, data, column, problems)
    folder = _image_folder(path, images)
    samples = []
    for number, image in enumerate(data["images"]):
        place = f"{path}: images[{number}]"
        picture = problems.picture(folder, str(image["file_name"]), place, _size(image))
        if picture is not None:
            samples.append(_sample(problems, picture, rows[image["id"]], image))
    return Dataset(labels, tuple(samples))


def _size(image: Any) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) and min(width, height) > 0 else None


def _sample(problems: Problems, picture: tuple[Path, tuple[int, int]], rows: list[Row], image: Any) -> Sample:
    time_s = numbers([image.get("time_s")], 1)
    tags = image.get("tags")
    return problems.sample(
        picture,
        rows,
        camera=str(image.get("camera") or ""),
        time_s=time_s[0] if time_s else None,
        tags={str(key): str(value) for key, value in tags.items()} if isinstance(tags, dict) else None,
    )


def _categories(path: Path, categories: list[Any]) -> tuple[tuple[str, ...], dict[Any, int]]:
    """Give class names in the order of their ids, and the column of each id."""
    for number, category in enumerate(categories):
        if not isinstance(category, dict) or not isinstance(category.get("id"), int) or not category.get("name"):
            raise SourceError(f"{path}: categories[{number}]: expected a whole id and a name, got {category!r:.80}")
    names: dict[int, str] = {category["id"]: str(category["name"]) for category in categories}
    if len(names) < len(categories) or len(set(names.values())) < len(names):
        raise SourceError(f"{path}: categories: an id or a name occurs twice")
    order = sorted(names)
    return tuple(names[i] for i in order), {category_id: column for column, category_id in enumerate(order)}


def _rows(path: Path, data: Any, column: dict[Any, int], problems: Problems) -> dict[Any, list[Row]]:
    rows: dict[Any, list[Row]] = {}
    for number, image in enumerate(data["images"]):
        if not isinstance(image, dict) or not isinstance(image.get("id"), int | str) or not image.get("file_name"):
            raise SourceError(f"{path}: images[{number}]: expected id and file_name, got {image!r:.80}")
        if image["id"] in rows:
            raise SourceError(f"{path}: images[{number}]: id {image['id']!r} occurs twice")
        rows[image["id"]] = []
    for number, annotation in enumerate(data["annotations"]):
        place = f"{path}: annotations[{number}]"
        if not isinstance(annotation, dict) or (box := numbers(annotation.get("bbox"), 4)) is None:
            problems.add("bad_row", f"{place}: expected a bbox of four numbers, got {annotation!r:.80}")
        elif annotation.get("image_id") not in rows:
            problems.add("bad_row", f"{place}: no image has the id {annotation.get('image_id')!r}")
        elif annotation.get("category_id") not in column:
            known = ", ".join(map(str, list(column)[:6]))
            text = f"{place}: no category has the id {annotation.get('category_id')!r}; there are {known}"
            problems.add("unknown_class", text + (", …" if len(column) > 6 else ""))
        else:
            left, top, width, height = box
            ignore = bool(annotation.get("iscrowd")) or bool(annotation.get("ignore"))
            xyxy = (left, top, left + width, top + height)
            rows[annotation["image_id"]].append(Row(column[annotation["category_id"]], xyxy, place, ignore))
    return rows


def _image_folder(path: Path, images: Path | None) -> ImageFolder:
    if images is not None:
        return ImageFolder([images])
    # "instances_val2017.json" keeps its pictures in "val2017", beside it or beside its folder.
    own = path.stem.split("_")[-1]
    around = [path.parent / "images" / own, path.parent / own, path.parent / "images", path.parent]
    above = path.parent.parent
    around += [above / "images" / own, above / own, above / "images"]
    return ImageFolder([*around, above] if path.parent.name == "annotations" else around)
