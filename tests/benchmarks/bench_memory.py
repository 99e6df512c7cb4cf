"""Memory per added camera, and its slope over time.

    python -m tests.benchmarks.bench_memory [--minutes 10] [--cameras 4] [--model MODEL]

Cameras play the rendered scenes over RTSP (GStreamer), in one process. Part one starts 1, 2, 4 … cameras, each in a
fresh process, and prints the resident memory once it has settled. Part two lets one of them run and fits a line
through the second half: what grows there is a leak.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from engine.commands.run import Request
from engine.local import run_live
from engine.redact import Url
from engine.site import Camera, Site, default_pipeline
from operators import Jsonl, Video
from tests.clips import write_annexb
from tests.rtsp import GstServer

CLIP = Path(__file__).resolve().parents[2] / "replay_data" / "clips" / "gate.mp4"
SETTLE_S = 15.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--model", default="motion")
    parser.add_argument("--child", nargs=2, metavar=("URLS", "SECONDS"))
    options = parser.parse_args()
    if options.child:
        _watch(json.loads(options.child[0]), float(options.child[1]), options.model)
        return
    with tempfile.TemporaryDirectory() as folder:
        video = Video(url=str(CLIP))
        video.open()
        pictures = [f.picture.bgr().copy() for f in video.frames()]
        video.close()
        clip = write_annexb(Path(folder) / "clip.h264", pictures, fps=12, gop=24)
        names = [f"camera-{n}" for n in range(max(8, options.cameras))]
        with GstServer(dict.fromkeys(names, clip), fps=12) as server:
            urls = [server.url(name) for name in names]
            settled = {}
            for count in (1, 2, 4, 8):
                samples = _child(urls[:count], SETTLE_S, options.model)
                settled[count] = samples[-1][1]
                print(f"{count} camera(s): {settled[count]:.0f} MB", flush=True)
            per_camera = np.polyfit(list(settled), list(settled.values()), 1)[0]
            print(f"each added camera: {per_camera:.1f} MB")
            samples = _child(urls[: options.cameras], options.minutes * 60, options.model)
    half = [(t, mb) for t, mb in samples if t > options.minutes * 30]
    slope, _ = np.polyfit([t for t, _ in half], [mb for _, mb in half], 1)
    print(
        f"{options.cameras} cameras, {options.minutes:g} minutes: {samples[0][1]:.0f} MB at the start, "
        f"{samples[-1][1]:.0f} MB at the end; slope of the second half {slope * 60:+.3f} MB a minute"
    )


def _child(urls: list[str], seconds: float, model: str) -> list[tuple[float, float]]:
    command = [sys.executable, "-m", "tests.benchmarks.bench_memory", "--child", json.dumps(urls), str(seconds)]
    done = subprocess.run([*command, "--model", model], capture_output=True, text=True, check=True)
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def _watch(urls: list[str], seconds: float, model: str) -> None:
    """Run the cameras, printing [second, megabytes] now and then."""
    cameras = {f"camera-{n}": Camera(Url(url)) for n, url in enumerate(urls)}
    site = Site(cameras=cameras, pipeline=default_pipeline(model), sinks=(Jsonl(path="/dev/null"),))
    stop = threading.Event()
    thread = threading.Thread(target=run_live, args=(Request(site, None, None, None), stop))
    thread.start()
    own, started_s = psutil.Process(), time.monotonic()
    while (passed_s := time.monotonic() - started_s) < seconds:
        time.sleep(5)
        print(json.dumps([round(passed_s, 1), own.memory_info().rss / 2**20]), flush=True)
    stop.set()
    thread.join()


if __name__ == "__main__":
    main()
