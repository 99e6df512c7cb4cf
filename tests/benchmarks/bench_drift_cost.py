"""What drift costs on the live path: CPU of sampling and judging, and memory, for one camera and for many.

    python -m tests.benchmarks.bench_drift_cost [CLIP] [--cameras 16] [--minutes 30]

The sampler is shown every frame of a decoded clip, in the state in which a live host shows them: just decoded, so that
decoding has filled the cache. Its cost a sampled frame is its CPU time over all frames, less what it takes to say that
nothing is due, which is given apart. The monitor then gets the samples of so many minutes, one by one, for each camera;
a check is what a sample costs more on which one falls. CPU time of this thread, medians; other work on the machine
makes them larger, not smaller. Memory is what the monitor's Python objects and arrays take (tracemalloc).
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from engine.drift.monitor import DriftMonitor
from engine.drift.sample import DriftSample
from engine.drift.sampler import DriftSampler
from engine.drift.settings import DriftSettings
from engine.frame import CaptureTime, Frame
from engine.packet import Packet
from operators.video import Video

CLIP = Path(__file__).resolve().parents[2] / "replay_data" / "clips" / "gate.mp4"


def sample_clip(path: Path) -> tuple[list[DriftSample], list[float], list[float]]:
    """Sample a clip five times over; give samples, and CPU ms of frames that were sampled and that were not."""
    sampler = DriftSampler(DriftSettings())
    samples: list[DriftSample] = []
    taken: list[float] = []
    passed: list[float] = []
    for turn in range(5):
        video = Video(url=str(path))
        video.open()
        try:
            for index, source in enumerate(video.frames()):
                pts_us = turn * 60_000_000 + round((source.pts_s or 0.0) * 1e6)
                packet = Packet(Frame("a", turn, index, pts_us, CaptureTime(pts_us), source.picture))
                started_s = time.thread_time()
                sample = sampler.sample(packet)
                took_ms = 1000 * (time.thread_time() - started_s)
                (passed if sample is None else taken).append(took_ms)
                if sample is not None:
                    samples.append(sample)
        finally:
            video.close()
    return samples, taken, passed


def stretch(samples: list[DriftSample], minutes: float, every_s: float) -> list[DriftSample]:
    """Let samples come again and again, evenly spaced, for so many minutes."""
    known = [sample for sample in samples if np.isfinite(sample.values).all()]
    return [
        replace(known[k % len(known)], epoch=0, pts_s=k * every_s, unix_s=1.75e9 + k * every_s)
        for k in range(round(minutes * 60 / every_s))
    ]


def main() -> None:
    """Print the costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", type=Path, default=CLIP)
    parser.add_argument("--cameras", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()

    samples, taken, passed = sample_clip(options.clip)
    print(f"{options.clip.name}, {samples[0].size_wh[0]}x{samples[0].size_wh[1]}")
    print(f"sampler: {median(taken):.3f} ms a sampled frame (least {min(taken):.3f}, mean {np.mean(taken):.3f}),")
    print(f"         {1000 * median(passed):.1f} us a frame that is not sampled")
    # The least interval: what a busy scene costs.
    every_s = 1.0
    stream = stretch(samples, options.minutes, every_s)
    for num in (1, options.cameras):
        tracemalloc.start()
        monitor = DriftMonitor(DriftSettings())
        # Half of the time goes by first: a monitor that is settled is what runs for years.
        for sample in stream[: len(stream) // 2]:
            for camera in range(num):
                monitor.observe(f"camera-{camera}", [sample])
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        plain: list[float] = []
        checks: list[float] = []
        for sample in stream[len(stream) // 2 :]:
            for camera in range(num):
                before = _stop_s(monitor, f"camera-{camera}")
                started_s = time.thread_time()
                monitor.observe(f"camera-{camera}", [sample])
                took_ms = 1000 * (time.thread_time() - started_s)
                (plain if _stop_s(monitor, f"camera-{camera}") == before else checks).append(took_ms)
        a_second_ms = (np.mean(taken) + (sum(plain) + sum(checks)) / (len(plain) + len(checks))) / every_s
        print(f"{num} camera(s): {median(plain):.3f} ms a sample, {median(checks):.2f} ms one with a check, "
              f"sampler and monitor {a_second_ms / 10:.2f} % of a core a camera, {held / num / 1e6:.2f} MB a camera")  # fmt: skip


def _stop_s(monitor: DriftMonitor, camera: str) -> float | None:
    history = monitor.history(camera)
    return history[-1].stop_s if history else None


if __name__ == "__main__":
    main()
