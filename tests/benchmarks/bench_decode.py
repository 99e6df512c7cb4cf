"""What the Video source adds to a bare PyAV loop, in CPU milliseconds a picture.

    python -m tests.benchmarks.bench_decode [FILE…] [--rounds 5]

Both decode the same file with one slice thread; rounds alternate, and the median of the paired differences counts.
Without a file it reads two of ../shared/data/videos where those are, and a clip of its own otherwise.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av

from engine.clock import Timeline
from operators.video import Video
from tests.clips import square_frames, write_clip

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "videos"


def bare(path: Path) -> int:
    count = 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type = "SLICE"
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            count += 1
    return count


def wrapped(path: Path) -> int:
    video = Video(str(path))
    video.open()
    timeline = Timeline("bench", 0, False, video.starts_unix_us, video.nominal_fps)
    for frame in video.frames():
        timeline.stamp(frame)
    return timeline.num_frames


def cpu_ms(decode: Callable[[Path], int], path: Path) -> tuple[float, int]:
    started_s = time.process_time()
    count = decode(path)
    return (time.process_time() - started_s) * 1000 / count, count


def measure(path: Path, rounds: int) -> None:
    pairs = []
    for index in range(rounds):
        order = (bare, wrapped) if index % 2 == 0 else (wrapped, bare)
        spent = {decode: cpu_ms(decode, path) for decode in order}
        assert spent[bare][1] == spent[wrapped][1]
        pairs.append((spent[bare][0], spent[wrapped][0]))
    plain = statistics.median(a for a, _ in pairs)
    ours = statistics.median(b for _, b in pairs)
    added = statistics.median(b - a for a, b in pairs)
    print(f"{path.name:<28} bare {plain:6.3f}  Video {ours:6.3f}  added {added:+.3f} CPU ms a picture, {rounds} rounds")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = options.files or [
            path for path in (DATA / "vtest.avi", DATA / "retail_1080p_hevc.mp4") if path.is_file()
        ]
        if not files:
            files = [write_clip(Path(folder) / "generated.mp4", square_frames(300, (768, 576)))]
        for path in files:
            measure(path, options.rounds)


if __name__ == "__main__":
    main()
