"""What a sample of a frame costs, beside the same statistics taken from every pixel.

    python -m tests.benchmarks.bench_frame_statistics [FILE…] [--samples 200]

Reading a part of the rows, and OpenCV's fast paths, make it 75 to 450 times as fast in the cache and 17 to 150 times
after decoding. Pictures are measured in two states: over and over, with picture and code in the cache; and every third
frame as it comes from the decoder, which has just filled the cache with its own. Given are medians of milliseconds of
processor time, and the least, since others may keep memory and the other core busy. `sample` is the whole of it:
statistics, thumbnail, motion, and once in ten a preview. The plain way is measured apart: it would leave no cache as it
was.

Without a file it reads clips of ../shared/data/videos where those are; the pictures in the cache are drawn.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from engine.drift.sampler import DriftSampler
from engine.drift.settings import DriftSettings
from engine.frame import CaptureTime, Frame
from engine.frame_statistics import measure
from engine.packet import Packet
from engine.picture import Picture
from operators.video import Video
from tests.engine.plain_frame_statistics import measure_plainly

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "videos"
FILES = ("street_bend_640x352.mp4", "vtest.avi", "retail_1080p_hevc.mp4")
SIZES = ((640, 360), (1280, 720), (1920, 1080))
NUM_PLAIN = 5
Way = Callable[[Picture], object]


def drawn(size_wh: tuple[int, int]) -> Picture:
    """Draw a picture with coarse and fine texture, as a decoder would hand it over."""
    width, height = size_wh
    rng = np.random.default_rng(0)
    coarse = cv2.resize(rng.integers(40, 200, (36, 64), np.uint8), size_wh, interpolation=cv2.INTER_CUBIC)
    luma = np.clip(coarse + rng.normal(0, 4, (height, width)), 16, 235).astype(np.uint8)
    chroma = [rng.integers(110, 146, (height // 2, width // 2), np.uint8) for _ in range(2)]
    return Picture((luma, *chroma), "yuv420p")


def decoded(path: Path) -> Iterator[Picture]:
    """Give every third frame; what is measured was decoded just now."""
    video = Video(str(path))
    video.open()
    try:
        yield from (frame.picture for frame in islice(video.frames(), 2, None, 3))
    finally:
        video.close()


def sampled() -> Way:
    """Give a way that takes each picture for a second of its own."""
    sampler, seconds = DriftSampler(DriftSettings(every_s=1.0)), iter(range(1_000_000))

    def way(picture: Picture) -> object:
        second = next(seconds)
        return sampler.sample(Packet(Frame("bench", 0, second, second * 1_000_000, CaptureTime(0), picture)))

    return way


def in_cache(samples: int) -> None:
    """Measure one picture over and over."""
    for size_wh in SIZES:
        picture = drawn(size_wh)
        plain = [cpu_ms(measure_plainly, picture) for _ in range(NUM_PLAIN)]
        rows, sample = ([cpu_ms(way, picture) for _ in range(samples)] for way in (measure, sampled()))
        report("in the cache", size_wh, plain, rows, sample)


def after_decoding(path: Path, samples: int) -> None:
    """Measure frames as they come, by turns as statistics alone and as whole samples."""
    plain = [cpu_ms(measure_plainly, picture) for picture in islice(decoded(path), NUM_PLAIN)]
    whole, rows, sample, size_wh = sampled(), list[float](), list[float](), (0, 0)
    for number, picture in enumerate(islice(decoded(path), 2 * samples)):
        size_wh = picture.size_wh
        if number % 2:
            rows.append(cpu_ms(measure, picture))
        else:
            sample.append(cpu_ms(whole, picture))
    report(path.name, size_wh, plain, rows, sample)


def cpu_ms(way: Way, picture: Picture) -> float:
    started_s = time.thread_time()
    way(picture)
    return (time.thread_time() - started_s) * 1000


def report(name: str, size_wh: tuple[int, int], plain: list[float], rows: list[float], sample: list[float]) -> None:
    size = "{}x{}".format(*size_wh)
    every, some, whole = (statistics.median(times) for times in (plain, rows, sample))
    print(
        f"{name:<24} {size:<10} every pixel {every:7.2f} ms   rows {some:5.3f} (least {min(rows):5.3f})   "
        f"sample {whole:5.3f} (least {min(sample):5.3f})   ratio {every / some:4.0f}   {len(rows)} times"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--samples", type=int, default=200)
    options = parser.parse_args()
    in_cache(options.samples)
    for path in options.files or [DATA / name for name in FILES if (DATA / name).is_file()]:
        after_decoding(path, options.samples)


if __name__ == "__main__":
    main()
