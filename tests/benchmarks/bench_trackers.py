"""Trackers on the same given detections, interleaved: how well they follow, and how fast.

    python -m tests.benchmarks.bench_trackers [--rounds 5] [--tracker sort] [--data ../shared/data/mot]

Speed is the tracker's `process()` alone, median over the rounds; scores are TrackEval's over all sequences together,
judged strictly as MOT15 and MOT17 are. One set of defaults for every sequence.
"""

from __future__ import annotations

import argparse
import configparser
import time
from pathlib import Path
from statistics import median

import numpy as np

from engine.frame import CaptureTime, Frame
from engine.load import load_class
from engine.mot import MotTable, read_mot
from engine.operator import Operator
from engine.packet import Packet
from engine.picture import Picture
from training.track_scores import judge_tracks

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "mot"
SEQUENCES = {
    "TUD-Campus": "det_frcnn_sort.txt",
    "TUD-Stadtmitte": "det_frcnn_sort.txt",
    "ETH-Sunnyday": "det_frcnn_sort.txt",
    "ETH-Bahnhof": "det_frcnn_sort.txt",
    "ADL-Rundle-6": "det_frcnn_sort.txt",
    "KITTI-13": "det_frcnn_sort.txt",
    "MOT17-02-FRCNN": "det.txt",
}
TRACKERS = ("sort_reference", "sort", "oc_sort")


def read_packets(folder: Path, detections: str) -> list[Packet]:
    """One packet a frame, with a blank picture of the sequence's size."""
    info = configparser.ConfigParser()
    info.read(folder / "seqinfo.ini")
    sequence = info["Sequence"]
    size_wh = int(sequence["imWidth"]), int(sequence["imHeight"])
    picture = Picture((np.broadcast_to(np.uint8(0), size_wh[::-1]),), "gray")
    packets = []
    tables = read_mot(folder / "det" / detections).by_frame(int(sequence["seqLength"]))
    for index, table in enumerate(tables):
        pts_us = round(index * 1e6 / float(sequence["frameRate"]))
        frame = Frame(folder.name, 0, index, pts_us, CaptureTime(pts_us), picture)
        packets.append(Packet(frame, detections=table.detections()))
    return packets


def track(tracker: Operator, packets: list[Packet]) -> tuple[MotTable, float]:
    """Give what a tracker would write, and its seconds."""
    tracker.open()
    started_s = time.perf_counter()
    tables = [tracker.process(packet).tracks for packet in packets]
    took_s = time.perf_counter() - started_s
    tracker.close()
    written = [t[t.confirmed & (t.coasted_s == 0)] for t in tables if t is not None]
    frame = np.repeat(np.arange(1, len(written) + 1), [len(t) for t in written])
    table = MotTable(
        frame=frame,
        track_id=np.concatenate([t.track_id for t in written]),
        xyxy=np.concatenate([t.xyxy for t in written]).astype(np.float64),
        confidence=np.concatenate([t.confidence for t in written]).astype(np.float64),
        class_id=np.full(len(frame), -1),
    )
    return table, took_s


def main() -> None:
    """Print one line a tracker."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tracker", action="append", choices=TRACKERS)
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        raise SystemExit(f"{arguments.data}: no such folder; --data must hold MOTChallenge sequences")
    kinds = arguments.tracker or TRACKERS
    packets = {name: read_packets(arguments.data / name, file) for name, file in SEQUENCES.items()}
    truth = {name: read_mot(arguments.data / name / "gt" / "gt.txt") for name in SEQUENCES}
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    results: dict[str, dict[str, MotTable]] = {kind: {} for kind in kinds}
    for _ in range(arguments.rounds):
        for kind in kinds:
            total_s = 0.0
            for name in SEQUENCES:
                results[kind][name], took_s = track(load_class(kind)(), packets[name])
                total_s += took_s
            seconds[kind].append(total_s)
    num_frames = sum(map(len, packets.values()))
    print(f"{'tracker':<16}{'HOTA':>7}{'MOTA':>7}{'IDF1':>7}{'switches':>10}{'frames/s':>10}")
    for kind in kinds:
        found = judge_tracks({n: (truth[n], results[kind][n]) for n in SEQUENCES}, strict=True).combined
        rate = num_frames / median(seconds[kind])
        print(f"{kind:<16}{found.hota:>7.2f}{found.mota:>7.2f}{found.idf1:>7.2f}{found.id_switches:>10}{rate:>10.0f}")
    if {"sort", "sort_reference"} <= set(kinds):
        ratio = median(a / b for a, b in zip(seconds["sort_reference"], seconds["sort"], strict=True))
        print(f"sort is {ratio:.1f} times as fast as sort_reference")


if __name__ == "__main__":
    main()
