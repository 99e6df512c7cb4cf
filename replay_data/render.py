#!/usr/bin/env python3
"""Render the replay clips and write their exact truth, the site configuration and the manifest.

    python replay_data/render.py                         # everything, in place
    python replay_data/render.py --check                 # do the files here have the hashes of the manifest?
    python replay_data/render.py --only gate --out DIR   # one camera, somewhere else
    python replay_data/render.py --dataset DIR --seed 1 --frames 2000   # pictures and labels of other scenes

Rendering twice with the same versions of av, cv2 and numpy gives the same bytes; the manifest names the versions.
The script needs only those three and imports nothing of Vedette.
"""

import argparse
import hashlib
import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from scenes import FPS, SCENES, Scene
from stage import Stage
from training_set import write_dataset
from truth import Play, events, events_text, gt_text, scenery_text, seqinfo_text
from world import SIZE_WH

RENDER_VERSION = 1
HERE = Path(__file__).resolve().parent
# The steps that look, by configuration. Who rides a bicycle is counted once, as a person; every second frame leaves
# two cores with four live cameras room to breathe.
CONFIGURATIONS = {
    "site.yaml": ("motion_blobs: {}",),
    "detect.yaml": ("detect: {classes: [person, car, motorcycle, bus, truck], cadence: 2}", "dis_flow: {}"),
}


def encode(stage: Stage, path: Path) -> None:
    """Write the clip: H.264 main, no B-frames, a key frame every 25 frames, one thread (so the bytes repeat)."""
    rate = Fraction(FPS).limit_denominator(100)
    options = {"preset": "medium", "profile": "main", "crf": f"{stage.scene.crf:g}", "bf": "0",
               "sc_threshold": "0", "threads": "1"}  # fmt: skip
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height = SIZE_WH
        stream.pix_fmt = "yuv420p"
        stream.gop_size = 25
        stream.max_b_frames = 0
        stream.thread_count = 1
        stream.codec_context.time_base = 1 / rate
        num_frames = stage.scene.num_frames
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(stage.frame(index), format="yuv420p")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
            if (index + 1) % 100 == 0 or index + 1 == num_frames:
                print(f"{stage.scene.name}: {index + 1}/{num_frames} frames", flush=True)
        container.mux(stream.encode(None))


def truth_texts(play: Play) -> dict[str, str]:
    """The truth files of one camera by their path below the output folder. No pixel is needed."""
    folder = f"truth/{play.scene.name}"
    return {
        f"{folder}/gt.txt": gt_text(play),
        f"{folder}/seqinfo.ini": seqinfo_text(play.scene),
        f"{folder}/scenery.txt": scenery_text(play),
        f"{folder}/events.jsonl": events_text(play),
    }


def site_text(scenes: list[Scene], looking: tuple[str, ...]) -> str:
    """The configuration that counts what the truth counts: same lines, same zones."""

    def points(pairs: tuple[tuple[float, float], ...]) -> str:
        return "[" + ", ".join(f"[{x:g}, {y:g}]" for x, y in pairs) + "]"

    rows = ["# Written by render.py: lines and zones are those of the truth.", "site: replay", "cameras:"]
    rows += [f"  {scene.name}: {{url: clips/{scene.name}.mp4}}" for scene in scenes]
    rows += ["pipeline:", *(f"  - {step}" for step in looking), "  - track: {kind: sort}"]
    for scene in scenes:
        for line in scene.lines:
            where = f"name: {line.name}, cameras: [{scene.name}], line: {points((line.a, line.b))}"
            rows.append(f"  - line_count: {{{where}}}")
    for scene in scenes:
        for zone in scene.zones:
            where = f"name: {zone.name}, cameras: [{scene.name}], polygon: {points(zone.polygon)}"
            rows.append(f"  - zone: {{{where}, dwell_s: {zone.dwell_s:g}}}")
    return "\n".join(rows) + "\n"


def digest(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def differing(out: Path) -> list[str]:
    """Compare the files of a folder with its manifest; one line for each that is missing or differs."""
    manifest = json.loads((out / "MANIFEST.json").read_text())
    lines = []
    for camera in manifest["cameras"].values():
        for name, expected in camera["files"].items():
            path = out / name
            if not path.exists():
                lines.append(f"{name}: missing")
            elif digest(path) != expected:
                lines.append(f"{name}: differs from the manifest")
    return lines


def render(name: str, out: Path) -> dict[str, Any]:
    """Render one camera's clip and truth below `out` and return its manifest entry."""
    scene = SCENES[name]()
    play = Play(scene)
    texts = truth_texts(play)
    clip = f"clips/{name}.mp4"
    for path in (clip, *texts):
        (out / path).parent.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        (out / path).write_text(text, encoding="utf-8")
    print(f"{name}: truth of {len(play.tracks)} objects, {len(events(play))} events", flush=True)
    encode(Stage(scene, play), out / clip)
    print(f"{name}: {(out / clip).stat().st_size // 1000} kB", flush=True)
    files = {path: digest(out / path) for path in sorted((clip, *texts))}
    return {"frames": scene.num_frames, "fps": FPS, "size_wh": list(SIZE_WH), "files": files}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(SCENES), metavar="CAMERA", help="render this camera")
    parser.add_argument("--out", type=Path, default=HERE, metavar="DIR", help="write here instead of beside the script")
    parser.add_argument("--check", action="store_true", help="render nothing; compare the files with the manifest")
    parser.add_argument("--dataset", type=Path, metavar="DIR", help="write a training set of random scenes, no clips")
    parser.add_argument("--seed", type=int, default=1, help="of the training set (default: 1)")
    parser.add_argument("--frames", type=int, default=2000, help="pictures in the training set (default: 2000)")
    options = parser.parse_args(arguments)
    out: Path = options.out
    if options.check:
        lines = differing(out)
        print("\n".join(lines) if lines else "all files match the manifest")
        return 1 if lines else 0

    cv2.setNumThreads(1)
    if options.dataset:
        write_dataset(options.dataset, options.seed, options.frames)
        return 0
    out.mkdir(parents=True, exist_ok=True)
    manifest_path = out / "MANIFEST.json"
    cameras: dict[str, Any] = {}
    if options.only and manifest_path.exists():
        cameras = json.loads(manifest_path.read_text())["cameras"]
    for name in options.only or SCENES:
        cameras[name] = render(name, out)
    scenes = [SCENES[name]() for name in SCENES if name in cameras]
    for name, looking in CONFIGURATIONS.items():
        (out / name).write_text(site_text(scenes, looking), encoding="utf-8")
    manifest = {
        "render_version": RENDER_VERSION,
        "rendered_with": {"av": av.__version__, "cv2": cv2.__version__, "numpy": np.__version__},
        "cameras": {name: cameras[name] for name in SCENES if name in cameras},
    }
    manifest_path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
