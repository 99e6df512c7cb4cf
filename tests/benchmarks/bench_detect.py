"""Where a detector's time goes: letterbox, normalising, inference, decoding with suppression.

    python -m tests.benchmarks.bench_detect VIDEO BUNDLE|FILE.onnx… [--frames 200] [--rounds 3]

One thread, its CPU time: others on the same cores do not count, though what they do to the caches does. Models take
turns frame by frame, so that a busy moment hits all of them alike; medians over all frames.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from engine.feed import read_frames
from engine.frame import Frame
from engine.load import load_class
from engine.packet import Packet
from engine.summary import CameraSummary
from operators.detect import Detect
from operators.infer import Infer
from operators.inference_onnxruntime import InferenceOnnxruntime
from operators.letterbox import Letterbox

PARTS = ("letterbox", "normalise", "inference", "decode + nms")


class Bench:
    """One model, opened, with its times by part."""

    def __init__(self, model: str) -> None:
        letterbox, infer = Detect(model).expand()
        letterbox.open()
        infer.open()
        assert isinstance(letterbox, Letterbox)
        assert isinstance(infer, Infer)
        assert isinstance(infer._runner.backend, InferenceOnnxruntime)
        self.name, self._letterbox, self._infer, self._backend = (
            Path(model).stem,
            letterbox,
            infer,
            infer._runner.backend,
        )
        self.times_ms: dict[str, list[float]] = defaultdict(list)
        self.num_boxes = 0

    def frame(self, frame: Frame) -> None:
        """Time the parts on one frame."""
        frame.picture.__dict__.clear()  # converted pictures are cached: each model pays for its own
        marks = [time.thread_time()]
        tensor = self._letterbox.process(Packet(frame)).tensor
        assert tensor is not None
        marks.append(time.thread_time())
        images = self._backend.normalise(tensor.pixels[None])
        marks.append(time.thread_time())
        outputs = self._backend.run(images)
        marks.append(time.thread_time())
        self.num_boxes += len(self._infer.decode([output[0] for output in outputs], tensor.geometry))
        marks.append(time.thread_time())
        for part, (start, stop) in zip(PARTS, itertools.pairwise(marks), strict=True):
            self.times_ms[part].append((stop - start) * 1000)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    benches = [Bench(model) for model in arguments.models]
    for _ in range(arguments.rounds):
        video = load_class("video")(url=arguments.video)
        video.open()
        frames = read_frames("bench", video, 0, CameraSummary())
        for frame in itertools.islice(frames, arguments.frames):
            for bench in benches:
                bench.frame(frame)
        frames.close()  # type: ignore[attr-defined]
        video.close()
    print(f"{'CPU ms a frame (median)':24}" + "".join(f"{part:>14}" for part in (*PARTS, "outside model", "boxes")))
    for bench in benches:
        medians = [float(np.median(bench.times_ms[part])) for part in PARTS]
        outside = sum(medians) - medians[2]
        boxes = bench.num_boxes / len(bench.times_ms["inference"])
        print(f"{bench.name:24}" + "".join(f"{value:14.3f}" for value in (*medians, outside)) + f"{boxes:14.1f}")


if __name__ == "__main__":
    main()
