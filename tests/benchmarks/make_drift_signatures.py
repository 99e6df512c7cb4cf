"""Make `engine/drift/signatures.py`: how each cause shows in the scores, measured on real clips.

    python -m tests.benchmarks.make_drift_signatures CLIP... --conditions every --strengths 0.3,0.5 [--write]

A signature is the mean direction of the marks that a condition leaves, over clips and strengths. Prints, too, how often
the nearest signature is right on a clip that it was not made from.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.drift.camera import CameraMonitor
from engine.drift.diagnosis import MARKS, marks_of, nearest
from engine.drift.distance import Values
from engine.drift.settings import DriftSettings
from tests.benchmarks.bench_drift import RIGHT_CAUSES, add_stream_options, streams_of
from tests.benchmarks.drift_streams import Clip

TARGET = Path(__file__).parents[2] / "engine" / "drift" / "signatures.py"
# What the view as a whole tells has no signature.
TOLD = ("covered", "moved", "frozen")
# Seconds after the onset in which the window holds nothing of before.
FROM_S, TO_S = 60.0, 130.0

Marks = tuple[str, str, str, Values]


def measure(streams: Sequence[tuple[Path, str, float, int, object]]) -> list[Marks]:
    """Give clip, condition, cause and direction of each stream."""
    out: list[Marks] = []
    for path, condition, strength, seed, cache in streams:
        clip = Clip(path)
        before, after = cache.stream_samples(clip, condition, strength, seed)  # type: ignore[attr-defined]
        monitor = CameraMonitor(DriftSettings())
        for sample in before:
            monitor.observe(sample)
        onset_s = monitor.now_s
        for sample in after:
            monitor.observe(sample)
        checks = [c.values for c in monitor.history if FROM_S < c.stop_s - onset_s < TO_S]
        if not checks:
            continue
        marks = marks_of(np.mean(checks, axis=0).astype(np.float64))
        if (length := float(np.linalg.norm(marks))) > 0.5:
            out.append((clip.name, condition, RIGHT_CAUSES[condition][0], marks / length))
    return out


def average(measured: Sequence[Marks]) -> dict[str, list[list[float]]]:
    """Give the signatures of each cause: one for each condition that leads to it."""
    directions: dict[tuple[str, str], list[Values]] = defaultdict(list)
    for _, condition, cause, marks in measured:
        directions[cause, condition].append(marks)
    out: dict[str, list[list[float]]] = defaultdict(list)
    for (cause, _), each in directions.items():
        mean = np.mean(each, axis=0)
        out[cause].append((mean / np.linalg.norm(mean)).round(2).tolist())
    return dict(out)


def main() -> None:
    """Print accuracy on clips left out; write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_stream_options(parser)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    streams = [s for s in streams_of(options) if s[1] not in TOLD]
    measured = measure(streams)
    right: dict[str, list[bool]] = defaultdict(list)
    for name in dict.fromkeys(clip for clip, *_ in measured):
        signatures = average([m for m in measured if m[0] != name])
        for clip, condition, _, marks in measured:
            if clip == name:
                found = nearest(marks, signatures)
                right[condition].append(found.cause in RIGHT_CAUSES[condition])
                if not right[condition][-1]:
                    print(f"{clip}: {condition} reads as {found.cause} ({found.fit:.2f})")
    for condition, each in right.items():
        print(f"{condition}: {np.mean(each):.0%} of {len(each)}")
    if options.write:
        TARGET.write_text(_file(average(measured)), encoding="utf-8")
        print(f"{TARGET} written")


def _file(signatures: dict[str, list[list[float]]]) -> str:
    lines = [
        '"""How each cause shows: directions of marks. Made by `tests/benchmarks/make_drift_signatures.py --write`."""',
        "", "# fmt: off", *(f"# {number}: {name}" for number, name in enumerate(MARKS)), "SIGNATURES: dict[str, list[list[float]]] = {",
    ]  # fmt: skip
    for cause, each in signatures.items():
        lines.append(f'    "{cause}": [')
        lines += [f"        {direction}," for direction in each]
        lines.append("    ],")
    return "\n".join([*lines, "}", "# fmt: on", ""])


if __name__ == "__main__":
    main()
