"""Pictures that training has seen already: copies, pictures that look alike, frames between frames."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import SourceError
from training.dataset import Dataset, Sample
from training.fingerprint import file_digest, looks, near_pairs, stamp

LEAST_GAP_S = 1.0
"""Held-out pictures nearer to a training picture of the same recording leak."""

MAX_GAP_SHARE = 0.05
"""Of a short recording: what is left out between its parts, or must be, is no more."""

Indices = NDArray[np.intp]


class Recording(NamedTuple):
    """One camera's pictures in one go; a `recording` tag tells several of a camera apart."""

    camera: str
    recording: str


def check_leakage(train: Dataset, val: Dataset) -> None:
    """Refuse held-out pictures that training has seen: copies, pictures that look alike, frames between frames.

    Within a recording only time decides, for a still scene looks alike for hours: a held-out picture must be 1 s away
    from every training picture (5 % of recordings under 20 s). Where no time is known, the file names' order counts,
    and may change sides twice. Pictures without a camera must not look alike.

    Raises:
        SourceError: names up to three pairs of pictures.
    """
    leaks = find_leaks(train, val)
    if leaks:
        said = "; ".join(leaks[:3])
        more = f"; and {len(leaks) - 3} more" if len(leaks) > 3 else ""
        raise SourceError(
            f"held-out pictures leak into training: {said}{more}; remove them from one side, or leave the split to us "
            "(`role: auto`)"
        )


def find_leaks(train: Dataset, val: Dataset) -> list[str]:
    """Find the held-out pictures that training has seen; see `check_leakage`.

    Returns:
        A sentence for each such picture, which names it and the training picture.
    """
    samples = (*train.samples, *val.samples)
    num_train = len(train)
    photos = [position for position, sample in enumerate(samples) if not sample.camera]
    found: dict[int, str] = {}

    def note(a: int, b: int, why: str) -> None:
        if a < num_train <= b:
            found.setdefault(b, f"{samples[b].path} {why} {samples[a].path}")

    for a, b in copies(samples):
        note(a, b, "is a copy of")
    for a, b in alike([samples[position] for position in photos]).tolist():
        note(photos[a], photos[b], "looks like")
    for recording, positions in recordings(samples).items():
        for a, b, why in _too_near(samples, positions, num_train):
            note(a, b, f"(camera '{recording.camera}') {why}")
    return list(found.values())


def _too_near(samples: Sequence[Sample], positions: Indices, num_train: int) -> list[tuple[int, int, str]]:
    """Find the neighbours in a recording of which one is for training, and the other held out too near to it."""
    changes = [(int(a), int(b)) for a, b in pairwise(positions) if (a < num_train) != (b < num_train)]
    times = [samples[position].time_s for position in positions]
    known = [time_s for time_s in times if time_s is not None]
    if len(known) < len(times):
        # One change is a cut; two are a held-out part in the middle. More is a split by frame.
        return [(min(pair), max(pair), "lies between frames for training such as") for pair in changes[2:]]
    least_s = gap_between(known, LEAST_GAP_S)
    out = []
    for pair in changes:
        apart_s = (samples[pair[1]].time_s or 0.0) - (samples[pair[0]].time_s or 0.0)
        # Times are decimal fractions: a gap of exactly the least is none too small.
        if apart_s < least_s - 1e-6:
            out.append((min(pair), max(pair), f"was taken {apart_s:.2f} s from"))
    return out


def recordings(samples: Sequence[Sample]) -> dict[Recording, Indices]:
    """Give the positions of every recording's pictures in the order of time, or of file names where none is known."""
    found: dict[Recording, list[int]] = {}
    for position, sample in enumerate(samples):
        if sample.camera:
            found.setdefault(_recording(sample), []).append(position)
    out = {}
    for recording, positions in sorted(found.items()):
        timed = all(samples[i].time_s is not None for i in positions)
        order = sorted(positions, key=lambda i: (samples[i].time_s or 0.0 if timed else 0.0, samples[i].path.name))
        out[recording] = np.array(order, np.intp)
    return out


def _recording(sample: Sample) -> Recording:
    return Recording(sample.camera, sample.tags.get("recording", ""))


def gap_between(times: Sequence[float], gap_s: float) -> float:
    """Give the gap in seconds between two parts of a recording with these times: at least 1, at most 5 % of it."""
    return min(max(gap_s, LEAST_GAP_S), MAX_GAP_SHARE * (max(times) - min(times)))


def alike(samples: Sequence[Sample]) -> Indices:
    """Find the pairs of pictures that look alike or are copies: intp (K, 2), positions, the lower first.

    Raises:
        SourceError: a picture is missing or not an image.
    """
    prints = [looks(sample.path) for sample in samples]
    plain = [position for position, bits in enumerate(prints) if bits is None]
    same = [(plain[a], plain[b]) for a, b in copies([samples[position] for position in plain])]
    return np.concatenate([near_pairs(prints), np.array(same, np.intp).reshape(-1, 2)])


def copies(samples: Sequence[Sample]) -> list[tuple[int, int]]:
    """Find files with the same content: positions of the first of its kind and of a later one.

    A recording with times may show the same picture twice. Only files of one size are read.
    """
    by_size: dict[int, list[int]] = {}
    for position, sample in enumerate(samples):
        by_size.setdefault(stamp(sample.path)[1], []).append(position)
    first: dict[str, int] = {}
    pairs = []
    for positions in by_size.values():
        for position in positions if len(positions) > 1 else ():
            known = first.setdefault(file_digest(samples[position].path), position)
            if known != position and not _same_recording(samples[known], samples[position]):
                pairs.append((known, position))
    return pairs


def _same_recording(a: Sample, b: Sample) -> bool:
    timed = bool(a.camera) and a.time_s is not None and b.time_s is not None
    return timed and _recording(a) == _recording(b)
