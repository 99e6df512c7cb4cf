"""MOTChallenge: frames in `img1/`, boxes of all frames in `gt/gt.txt`, facts in `seqinfo.ini`; a folder a sequence.

The sequence is the camera, and frames have times. The one class is `person`: people that are not to be judged
(confidence 0) and MOT17's distractors become boxes to ignore, its vehicles and other classes are left out. People are
boxed whole: what lies beyond the picture's edge is cut off.
"""

from __future__ import annotations

import configparser
import re
from pathlib import Path

from engine.errors import SourceError
from engine.mot import read_mot
from training.dataset import Dataset, Sample
from training.formats.image_files import list_images
from training.formats.reading import Problems, Request, Row, read_text, refuse_labels


def is_here(path: Path) -> bool:
    """Tell whether a folder is a sequence, or holds sequences."""
    return path.is_dir() and bool(_sequences(path))


def read(request: Request, problems: Problems) -> dict[str, Dataset]:
    """Read a sequence, or all sequences of a folder."""
    refuse_labels(request, "MOTChallenge")
    sequences = _sequences(request.path) if request.path.is_dir() else []
    if not sequences:
        raise SourceError(f"{request.path}: no MOTChallenge sequence: expected a folder with gt/gt.txt and img1/")
    samples = [sample for folder in sequences for sample in _read_sequence(folder, request.images, problems)]
    return {"": Dataset(("person",), tuple(samples))}


def _sequences(path: Path) -> list[Path]:
    folders = [path, *sorted(child for child in path.iterdir() if child.is_dir())]
    return [folder for folder in folders if (folder / "gt" / "gt.txt").is_file()]


def _read_sequence(folder: Path, images: Path | None, problems: Problems) -> list[Sample]:
    facts = _facts(folder / "seqinfo.ini")
    truth = folder / "gt" / "gt.txt"
    table = read_mot(truth)
    table = table[table.is_judged | table.is_open]
    pictures = images or folder / facts.get("imdir", "img1")
    frames = {int(path.stem): path for path in list_images(pictures) if path.stem.isdecimal()}
    if not frames:
        raise SourceError(
            f"{pictures}: no frames such as 000001.jpg for {truth}; this format keeps them as pictures, which `vedette "
            "label` makes of footage"
        )
    # MOT17 comes three times, once for each detector: the frames are the same, and so is the camera.
    camera = re.sub(r"-(DPM|FRCNN|SDP)$", "", folder.resolve().name)
    rate = float(facts.get("framerate", 0))
    stated = (int(facts.get("imwidth", 0)), int(facts.get("imheight", 0)))
    samples = []
    for number, rows in enumerate(table.rows_by_frame(table.last_frame), 1):
        place = f"{truth}: frame {number}"
        if number not in frames:
            problems.add("missing_image", f"{place}: no picture {number:06d} in {pictures}")
            continue
        boxes = [
            Row(0, (x1, y1, x2, y2), f"{place}, id {track_id}", ignore)
            for (x1, y1, x2, y2), track_id, ignore in zip(
                table.xyxy[rows].tolist(), table.track_id[rows].tolist(), table.is_open[rows].tolist(), strict=True
            )
        ]
        picture = problems.sized(frames[number], stated if all(stated) else None)
        if picture is not None:
            time_s = (number - 1) / rate if rate else None
            samples.append(problems.sample(picture, boxes, camera=camera, time_s=time_s, whole_objects=True))
    beyond = [number for number in frames if number > table.last_frame]
    if beyond:
        text = f"{truth}: ends with frame {table.last_frame}; {len(beyond)} later pictures in {pictures} are left out"
        problems.add("unlabelled", text, is_error=False)
    return samples


def _facts(path: Path) -> dict[str, str]:
    """Read `seqinfo.ini`; keys are in small letters. Nothing where there is none."""
    if not path.is_file():
        return {}
    parser = configparser.ConfigParser()
    try:
        parser.read_string(read_text(path))
        facts = dict(parser["Sequence"])
        for key in ("framerate", "imwidth", "imheight"):
            float(facts.get(key, 0))
    except (configparser.Error, KeyError, ValueError) as error:
        raise SourceError(f"{path}: not MOTChallenge facts: expected [Sequence] with numbers: {error}") from None
    return facts
