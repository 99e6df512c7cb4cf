"""A student beside its teacher: what a frame costs both, and how many people both find.

    python -m tests.benchmarks.bench_distill STUDENT TEACHER VIDEO GT.txt [--frames 321 400]

The truth is MOTChallenge text. Frames that the student was trained on say nothing: `vedette distill --max-frames 400`
holds out the last fifth of its footage, frames 321 to 400. One thread, its CPU time; the models take turns frame by
frame; medians.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from engine.feed import read_frames
from engine.load import load_class
from engine.mot import MotTable, read_mot
from engine.packet import Packet
from engine.summary import CameraSummary
from operators.detect import Detect
from tests.benchmarks.bench_detect import PARTS, Bench
from training.evaluation.detections import judge_detections


class Judged:
    """A model's person boxes against the truth, frame by frame."""

    def __init__(self, model: str) -> None:
        self.steps = Detect(model, classes=("person",), min_confidence=0.01, iou=None).expand()
        for step in self.steps:
            step.open()
        self.results: list[dict[str, Any]] = []

    def look(self, packet: Packet, image_id: int) -> None:
        """Take in one frame."""
        for step in self.steps:
            packet = step.process(packet)
        assert packet.detections is not None
        self.results += [
            {"image_id": image_id, "category_id": 0, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": confidence}
            for (x1, y1, x2, y2), confidence in zip(
                packet.detections.xyxy.tolist(), packet.detections.confidence.tolist(), strict=True
            )
        ]


def truth_of(table: MotTable, frames: range, size_wh: tuple[int, int]) -> dict[str, Any]:
    """Write frames of a MOTChallenge truth as COCO; image ids are frame numbers, from 1."""
    annotations = [
        {
            "id": row + 1, "image_id": int(table.frame[row]), "category_id": 0,
            "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": int(not table.is_judged[row]),
        }
        for row, (x1, y1, x2, y2) in enumerate(table.xyxy.tolist())
        if table.frame[row] in frames
    ]  # fmt: skip
    images = [{"id": number, "width": size_wh[0], "height": size_wh[1]} for number in frames]
    return {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "person"}]}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("student")
    parser.add_argument("teacher")
    parser.add_argument("video")
    parser.add_argument("truth", type=Path)
    parser.add_argument("--frames", type=int, nargs=2, default=(1, 400), metavar=("FIRST", "LAST"))
    arguments = parser.parse_args()
    frames = range(arguments.frames[0], arguments.frames[1] + 1)
    models = (arguments.student, arguments.teacher)
    benches, judges = [Bench(model) for model in models], [Judged(model) for model in models]
    video = load_class("video")(url=arguments.video)
    video.open()
    size_wh = (0, 0)
    for number, frame in enumerate(read_frames("bench", video, 0, CameraSummary()), 1):
        if number in frames:
            size_wh = frame.size_wh
            for bench, judge in zip(benches, judges, strict=True):
                bench.frame(frame)
                judge.look(Packet(frame), number)
    video.close()
    truth = truth_of(read_mot(arguments.truth), frames, size_wh)
    scores = [judge_detections(truth, judge.results).stats for judge in judges]
    rows = []
    for judge_scores, bench in zip(scores, benches, strict=True):
        part_ms = {part: float(np.median(bench.times_ms[part])) for part in PARTS}
        model_ms = part_ms["normalise"] + part_ms["inference"]
        rows.append((judge_scores["ap50"], judge_scores["ap"], model_ms, sum(part_ms.values())))
    rows.append(tuple(student / teacher for student, teacher in zip(*rows, strict=True)))
    print(f"frames {frames.start} to {frames[-1]:<12}{'AP50':>8}{'AP':>8}{'model ms':>10}{'all ms':>8}")
    for name, (ap50, ap, model_ms, total_ms) in zip(("student", "teacher", "share"), rows, strict=True):
        print(f"{name:24}{ap50:8.4f}{ap:8.4f}{model_ms:10.3f}{total_ms:8.3f}")


if __name__ == "__main__":
    main()
