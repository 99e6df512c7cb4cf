"""A training set from random scenes: JPEG files and their labels in COCO format, exact like the truth of the clips.

A picture's labels are what a person would draw: a cyclist is a `person` and a `bicycle`, a parked car is a `car`.
What shows less than a third is marked `iscrowd` (neither right nor wrong), below a tenth it is left out.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
from figures import Cyclist, Figure
from paint import extent
from random_scenes import light_of, random_scene
from scenes import FPS, Scene
from stage import Stage
from truth import MIN_VISIBILITY, Play, Presence, clip
from world import SIZE_WH

LABELS = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
FRAMES_PER_SCENE = 8
CLEAR_VISIBILITY = 0.33
MIN_SIDE_PX = 4.0
JPEG_QUALITY = 92


def write_dataset(folder: Path, seed: int, num_frames: int) -> None:
    """Write `num_frames` pictures of random scenes below `folder`: `images/` and `labels.json`."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    num_scenes = -(-num_frames // FRAMES_PER_SCENE)
    for index in range(num_scenes):
        scene = random_scene(seed, index)
        stage = Stage(scene)
        for frame in _frames(scene)[: num_frames - len(images)]:
            name = f"{len(images) + 1:06d}.jpg"
            bgr = cv2.cvtColor(stage.frame(frame), cv2.COLOR_YUV2BGR_I420)
            cv2.imwrite(str(folder / "images" / name), bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            images.append({
                "id": len(images) + 1, "file_name": name, "width": SIZE_WH[0], "height": SIZE_WH[1],
                "camera": scene.name, "time_s": round(frame / FPS, 3), "tags": {"light": light_of(scene)},
            })  # fmt: skip
            for label, xyxy, visibility in boxes(stage.play, frame):
                x1, y1, x2, y2 = (round(v, 2) for v in xyxy)
                annotations.append({
                    "id": len(annotations) + 1, "image_id": len(images), "category_id": LABELS.index(label),
                    "bbox": [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
                    "area": round((x2 - x1) * (y2 - y1), 2), "iscrowd": int(visibility < CLEAR_VISIBILITY),
                })  # fmt: skip
        print(f"scene {index + 1}/{num_scenes}: {len(images)} pictures, {len(annotations)} boxes", flush=True)
    categories = [{"id": index, "name": label} for index, label in enumerate(LABELS)]
    labels = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "labels.json").write_text(json.dumps(labels, indent=1) + "\n", encoding="utf-8")


def _frames(scene: Scene) -> list[int]:
    """Frames of a scene, evenly apart, from a start of its own."""
    step = scene.num_frames // FRAMES_PER_SCENE
    return [scene.seed % step + step * k for k in range(FRAMES_PER_SCENE)]


def boxes(play: Play, frame: int) -> Iterator[tuple[str, tuple[float, float, float, float], float]]:
    """Label, box (cut to the frame) and visibility of everything in a frame, parked vehicles too."""
    scenery = play.occluders[len(play.scene.blocks) :]
    parked = [(vehicle.label, presence) for (vehicle, _), presence in zip(play.scene.parked, scenery, strict=True)]
    moving = play.on_set(frame)
    seen: list[tuple[str, Presence, Figure]] = [(label, presence, presence.figure) for label, presence in parked]
    for presence in moving:
        actor = play.scene.actors[presence.track_id - 1][0]
        if isinstance(actor, Cyclist):
            # A bicycle is made of lines, its rider of round parts.
            bars, body = ([p for p in presence.figure.parts if (p.kind == "line") is line] for line in (True, False))
            seen += [("bicycle", presence, Figure(tuple(bars))), ("person", presence, Figure(tuple(body)))]
        else:
            seen.append((actor.label, presence, presence.figure))
    for label, presence, figure in seen:
        x1, y1, x2, y2 = clip(extent(figure, play.scene.view))
        if min(x2 - x1, y2 - y1) < MIN_SIDE_PX:
            continue
        visibility = play.visibility(presence, play.occluders + moving)
        if visibility >= MIN_VISIBILITY:
            yield label, (x1, y1, x2, y2), visibility
