"""Label Studio: its JSON export, a list of tasks with rectangles in percent of the picture.

Pictures are found by the end of their address: local files, uploads and cloud storage alike. `camera`, `time_s` and
`tags` in a task's `data` are ours, and so is `ignore` as a region's text; they come back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from engine.errors import SourceError
from training.dataset import Dataset, Sample
from training.formats.image_files import ImageFolder
from training.formats.reading import Problems, Request, Row, numbers, read_json
from training.formats.writing import copy_pictures

_IGNORE = "ignore"
_SIDES = ("x", "y", "width", "height")
_OTHER_SHAPES = ("rectangle", "polygon", "polygonlabels", "ellipselabels", "keypointlabels", "brushlabels")


def is_here(path: Path) -> bool:
    """Tell whether a file, or the only JSON file of a folder, is a Label Studio export."""
    file = _export(path)
    return file is not None and _is_export(read_json(file))


def read(request: Request, problems: Problems) -> dict[str, Dataset]:
    """Read an export; tasks that nobody has finished are left out. Classes are in the order of their names."""
    file = _export(request.path)
    if file is None or not _is_export(tasks := read_json(file)):
        raise SourceError(f"{request.path}: not Label Studio's JSON export: expected a list of tasks with data")
    done = []
    for number, task in enumerate(tasks):
        place = f"{file}: [{number}]"
        if (annotation := _annotation(task, place, problems)) is None:
            text = f"{place}: task {task.get('id', number)} has no finished annotation; left out"
            problems.add("unlabelled", text, is_error=False)
        else:
            done.append((place, task["data"], list(_regions(annotation, place, problems))))
    if not done:
        hint = "; it holds predictions only, which a person must accept first" if _has_predictions(tasks) else ""
        raise SourceError(f"{file}: none of the {len(tasks)} tasks has a finished annotation{hint}")
    labels = request.labels or tuple(sorted({name for _, _, regions in done for _, _, name in regions}))
    around = (file.parent / "images", file.parent, file.parent.parent / "images")
    images = ImageFolder([request.images] if request.images else around)
    samples = []
    for place, data, regions in done:
        sizes = [_size(region) for _, region, _ in regions]
        picture = problems.picture(images, _picture_name(images, data), place, sizes[0] if sizes else None)
        if picture is not None:
            rows = list(_rows(regions, picture[1], labels, problems))
            samples.append(problems.sample(picture, rows, **_facts(data)))
    return {"": Dataset(tuple(labels), tuple(samples))}


def write(parts: Mapping[str, Dataset], folder: Path) -> None:
    """Write `tasks.json`, or `train.json` and `val.json`, `images/`, and `config.xml`, the labelling interface."""
    names = copy_pictures(parts, folder / "images")
    for part, dataset in parts.items():
        tasks = [
            {"data": _data(sample, names), "annotations": [{"result": _result(sample, dataset.labels)}]}
            for sample in dataset.samples
        ]
        (folder / f"{part or 'tasks'}.json").write_text(json.dumps(tasks), encoding="utf-8")
    _write_config(next(iter(parts.values())).labels, folder)


def write_predictions(
    dataset: Dataset, confidence: Sequence[NDArray[np.floating[Any]]], model_version: str, folder: Path
) -> None:
    """Write tasks whose boxes are a model's, for a person to accept or correct (pre-annotation).

    Args:
        dataset: pictures with the model's boxes.
        confidence: one array for each picture, one number for each box.
        model_version: shown in Label Studio.
        folder: where to.
    """
    names = copy_pictures({"": dataset}, folder / "images")
    tasks = []
    for sample, scores in zip(dataset.samples, confidence, strict=True):
        result = [
            {**region, "score": round(float(score), 4)}
            for region, score in zip(_result(sample, dataset.labels), scores, strict=True)
        ]
        mean = round(float(np.mean(scores)), 4) if len(scores) else 0.0
        prediction = {"model_version": model_version, "score": mean, "result": result}
        tasks.append({"data": _data(sample, names), "predictions": [prediction]})
    (folder / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")
    _write_config(dataset.labels, folder)


def _export(path: Path) -> Path | None:
    files = [path] if path.is_file() else sorted(path.glob("*.json"))
    return files[0] if len(files) == 1 and files[0].suffix == ".json" else None


def _is_export(data: Any) -> bool:
    return (
        isinstance(data, list)
        and bool(data)
        and all(isinstance(task, dict) and isinstance(task.get("data"), dict) for task in data)
    )


def _has_predictions(tasks: Sequence[Any]) -> bool:
    return any(task.get("predictions") for task in tasks)


def _annotation(task: Any, place: str, problems: Problems) -> Any:
    """Choose a task's annotation: the one marked as ground truth, else the first that was not skipped."""
    finished = [a for a in task.get("annotations") or () if not a.get("was_cancelled")]
    truth = [a for a in finished if a.get("ground_truth")]
    if len(finished) > 1 and not truth:
        text = f"{place}: has {len(finished)} annotations and none is the ground truth; the first is taken"
        problems.add("bad_row", text, is_error=False)
    return next(iter([*truth, *finished]), None)


def _regions(annotation: Any, place: str, problems: Problems) -> Iterator[tuple[str, Any, str]]:
    """Give place, region and label of every rectangle; what is wrong with the others is noted."""
    for number, region in enumerate(annotation.get("result") or ()):
        at = f"{place}.result[{number}]"
        value = region.get("value") or {}
        if region.get("type") in _OTHER_SHAPES:
            problems.add("bad_row", f"{at}: is a '{region['type']}'; only rectanglelabels can be read")
        elif region.get("type") != "rectanglelabels":
            continue  # choices, texts and relations say nothing about boxes
        elif len(value.get("rectanglelabels") or ()) != 1:
            problems.add("unknown_class", f"{at}: expected one label, got {value.get('rectanglelabels')!r:.60}")
        elif value.get("rotation") or region.get("image_rotation"):
            turned = value.get("rotation") or region["image_rotation"]
            problems.add("bad_row", f"{at}: is turned by {turned:g} degrees; boxes here are upright: draw it again")
        elif numbers([value.get(side) for side in _SIDES], 4) is None or _size(region) is None:
            text = f"{at}: expected {', '.join(_SIDES)}, original_width and original_height, got {region!r:.80}"
            problems.add("bad_row", text)
        else:
            yield at, region, str(value["rectanglelabels"][0])


def _size(region: Any) -> tuple[int, int] | None:
    size = numbers([region.get("original_width"), region.get("original_height")], 2)
    return (int(size[0]), int(size[1])) if size and min(size) >= 1 else None


def _rows(
    regions: Sequence[tuple[str, Any, str]], size_wh: tuple[int, int], labels: Sequence[str], problems: Problems
) -> Iterator[Row]:
    width, height = size_wh
    for place, region, name in regions:
        if name not in labels:
            problems.add("unknown_class", f"{place}: label '{name}' is none of {', '.join(labels)}")
            continue
        x, y, w, h = (float(region["value"][side]) / 100 for side in _SIDES)
        ignore = _IGNORE in ((region.get("meta") or {}).get("text") or ())
        yield Row(labels.index(name), (x * width, y * height, (x + w) * width, (y + h) * height), place, ignore)


def _picture_name(images: ImageFolder, data: Any) -> str:
    """Give the name under which a task's picture is found, or the one to complain about."""
    address = str(data.get("image") or next((v for v in data.values() if isinstance(v, str)), ""))
    split = urlsplit(address)
    local = parse_qs(split.query).get("d")
    name = local[0] if local else unquote(split.path)
    # Uploads are stored as "ab12cd34-name.jpg".
    plain = re.sub(r"^[0-9a-f]{8}-", "", name.rsplit("/", 1)[-1])
    return plain if images.find(name) is None else name


def _facts(data: Any) -> dict[str, Any]:
    time_s = numbers([data.get("time_s")], 1)
    tags = data.get("tags")
    return {
        "camera": str(data.get("camera") or ""),
        "time_s": time_s[0] if time_s else None,
        "tags": {str(key): str(value) for key, value in tags.items()} if isinstance(tags, dict) else None,
    }


def _data(sample: Sample, names: Mapping[Path, str]) -> dict[str, Any]:
    data: dict[str, Any] = {"image": f"/data/local-files/?d={quote('images/' + names[sample.path])}"}
    data |= {"camera": sample.camera} if sample.camera else {}
    data |= {} if sample.time_s is None else {"time_s": sample.time_s}
    return data | ({"tags": dict(sample.tags)} if sample.tags else {})


def _result(sample: Sample, labels: Sequence[str]) -> list[dict[str, Any]]:
    width, height = sample.size_wh
    result = []
    rows = zip(sample.xyxy.tolist(), sample.class_id.tolist(), sample.ignore.tolist(), strict=True)
    for number, ((x1, y1, x2, y2), class_id, ignore) in enumerate(rows, 1):
        percent = (100 * x1 / width, 100 * y1 / height, 100 * (x2 - x1) / width, 100 * (y2 - y1) / height)
        result.append({
            "id": f"box{number}", "type": "rectanglelabels", "from_name": "label", "to_name": "image",
            "original_width": width, "original_height": height, "image_rotation": 0,
            "value": {**dict(zip(_SIDES, percent, strict=True)), "rotation": 0, "rectanglelabels": [labels[class_id]]},
            **({"meta": {"text": [_IGNORE]}} if ignore else {}),
        })  # fmt: skip
    return result


def _write_config(labels: Sequence[str], folder: Path) -> None:
    lines = "".join(f"    <Label value={quoteattr(label)}/>\n" for label in labels)
    text = (
        '<View>\n  <Image name="image" value="$image"/>\n'
        f'  <RectangleLabels name="label" toName="image">\n{lines}  </RectangleLabels>\n</View>\n'
    )
    (folder / "config.xml").write_text(text, encoding="utf-8")
