"""Latency from a frame's arrival to the acknowledged Kafka write, at a share of the machine's capacity.

    python -m tests.benchmarks.bench_latency VIDEO --model MODEL [--cameras 4] [--load 0.7] [--seconds 60]

First the same pipeline runs over the file as fast as it can: that is the capacity. Then a real RTSP server
(GStreamer) plays the same pictures to N cameras at the given share of it, into a real broker: Apache Kafka where
../shared has it, the embedded one otherwise. The figures come from the sink: the capture clock of a camera is the
arrival of its frames, so the network before that is not in them.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

from deployments.embedded_broker import EmbeddedBroker
from engine.commands.run import Request
from engine.local import run_live
from engine.redact import Url
from engine.site import Camera, Site, default_pipeline
from operators import Jsonl, Kafka, Video
from tests.clips import write_annexb
from tests.kafka_brokers import TOOL, Apache
from tests.rtsp import GstServer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("video", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--load", type=float, default=0.7)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()

    names = [f"camera-{n}" for n in range(options.cameras)]
    pipeline = default_pipeline(options.model)
    files = dict.fromkeys(names, Camera(Url(str(options.video))))
    fast = Site(cameras=files, pipeline=pipeline, sinks=(Jsonl(path="/dev/null"),))
    summary, _ = run_live(Request(fast, 400 // options.cameras, None, None), threading.Event())
    capacity_fps = summary.total().frames_analysed / summary.busy_s
    fps = max(1, round(options.load * capacity_fps / options.cameras))

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clip = write_annexb(folder / "clip.h264", _pictures(options.video, 200), fps=fps, gop=fps * 2)
        server = stack.enter_context(GstServer(dict.fromkeys(names, clip), fps=fps))
        if TOOL.is_file():
            apache = Apache(folder / "kafka")
            apache.start()
            stack.callback(apache.kill)
            bootstrap, broker = apache.bootstrap, "Apache Kafka"
        else:
            bootstrap, broker = stack.enter_context(EmbeddedBroker()).bootstrap, "the embedded broker"
        live = {name: Camera(Url(server.url(name))) for name in names}
        stop = threading.Event()
        threading.Timer(options.seconds, stop.set).start()
        site = Site(cameras=live, pipeline=pipeline, sinks=(Kafka(bootstrap=bootstrap),))
        summary, _ = run_live(Request(site, None, None, None), stop)

    total, counts = summary.total(), summary.sinks["kafka"]
    share = total.frames_analysed / summary.busy_s / capacity_fps
    frame = total.latency.percentiles()
    print(
        f"capacity {capacity_fps:.0f} fps; {options.cameras} cameras at {fps} fps: {100 * share:.0f} % of it; {broker}"
    )
    print(f"{total.frames_analysed} frames analysed, {total.frames_dropped} dropped, {counts['delivered']:.0f} events")
    print(f"{'ms':24} {'p50':>8} {'p95':>8} {'p99':>8}")
    print(f"{'arrival to events':24} {frame['p50']:8.1f} {frame['p95']:8.1f} {frame['p99']:8.1f}")
    for label, key in (("sink to acknowledged", "ack_ms"), ("capture to acknowledged", "capture_to_ack_ms")):
        values = [counts.get(f"{key}_{p}", float("nan")) for p in ("p50", "p95", "p99")]
        print(f"{label:24} {values[0]:8.1f} {values[1]:8.1f} {values[2]:8.1f}")


def _pictures(path: Path, count: int) -> list:  # type: ignore[type-arg]
    video = Video(url=str(path))
    video.open()
    try:
        return [frame.picture.bgr().copy() for frame, _ in zip(video.frames(), range(count), strict=False)]
    finally:
        video.close()


if __name__ == "__main__":
    main()
