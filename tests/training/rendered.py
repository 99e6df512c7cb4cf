"""A small data set of the replay clips and their exact truth, as COCO files."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2

from engine.load import load_class

ROOT = Path(__file__).resolve().parents[2]
CLIPS = ROOT / "replay_data" / "clips"
LABELS = ("person", "cyclist", "vehicle")
FPS = 12.5


def write_rendered(folder: Path, cameras: tuple[str, ...] = ("gate", "street"), every: int = 10) -> Path:
    """Write every so many frames as JPEG, and their labels; give the path of the labels.

    Objects of which less than a quarter shows are neither right nor wrong.
    """
    (folder / "images").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for camera in cameras:
        truth = _truth(camera)
        video = load_class("video")(url=str(CLIPS / f"{camera}.mp4"))
        video.open()
        for index, frame in enumerate(video.frames()):
            if index % every:
                continue
            name = f"{camera}_{index:04}.jpg"
            cv2.imwrite(str(folder / "images" / name), frame.picture.bgr())
            width, height = frame.picture.size_wh
            images.append({
                "id": len(images) + 1, "file_name": name, "width": width, "height": height, "camera": camera,
                "time_s": index / FPS, "tags": {"light": "dusk" if camera == "dusk" else "day"},
            })  # fmt: skip
            for class_number, visibility, bbox in truth[index + 1]:
                annotations.append({
                    "id": len(annotations) + 1, "image_id": len(images), "category_id": class_number, "bbox": bbox,
                    "area": bbox[2] * bbox[3], "iscrowd": int(visibility < 0.25),
                })  # fmt: skip
        video.close()
    categories = [{"id": number, "name": name} for number, name in enumerate(LABELS, 1)]
    labels = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    return folder / "labels.json"


def _truth(camera: str) -> dict[int, list[tuple[int, float, list[float]]]]:
    """Class, visibility and box (left, top, width, height, from 0) of every object, by frame number from 1."""
    found = defaultdict(list)
    text = (ROOT / "replay_data" / "truth" / camera / "gt.txt").read_text(encoding="utf-8")
    for row in csv.reader(text.splitlines()):
        left, top, width, height = map(float, row[2:6])
        found[int(row[0])].append((int(row[7]), float(row[8]), [left - 1, top - 1, width, height]))
    return found
