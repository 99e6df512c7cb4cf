"""Training and held-out pictures: divided by camera and time, never by frame, and checked for leaks.

Neighbouring frames of a camera show the same people on the same ground. A split by frame would judge a model on what
it has learnt by heart.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError, SourceError
from engine.load import did_you_mean
from training.dataset import Dataset, DataSource, Sample, concat
from training.fingerprint import file_digest, groups
from training.formats import read, usable
from training.formats.reading import Problem, Reading
from training.leakage import MAX_GAP_SHARE, Indices, alike, check_leakage, gap_between, recordings
from training.recipe import DataPart, Recipe

_NONE = np.zeros(0, np.intp)


def split(dataset: Dataset, val: float, seed: int = 0, gap_s: float = 2.0) -> tuple[Dataset, Dataset]:
    """Divide a data set into training and held-out pictures; see `split_indices`."""
    train, held_out = split_indices(dataset, val, seed, gap_s)
    return dataset.subset(train), dataset.subset(held_out)


def split_indices(dataset: Dataset, val: float, seed: int = 0, gap_s: float = 2.0) -> tuple[Indices, Indices]:
    """Choose the training and the held-out pictures of a data set.

    Where `val` is worth two cameras or more, whole cameras are held out, so that the model is judged on places that it
    has not seen. With fewer, the last part of every recording is held out, after a gap that goes to neither part.
    Pictures without a camera are drawn by chance, and those that look alike go together.

    Args:
        dataset: to divide.
        val: share of the pictures that is held out, above 0 and below 1.
        seed: of the draw; the same seed gives the same parts.
        gap_s: seconds between the parts of a recording: at least 1, at most 5 % of it; without times, 5 % of its
            pictures.

    Returns:
        Positions of the training pictures, and of the held-out ones, both rising.

    Raises:
        SourceError: one of the parts would be empty.
    """
    cameras = sorted({sample.camera for sample in dataset.samples} - {""})
    rng = np.random.default_rng(seed)
    train, held_out = list[Indices](), list[Indices]()
    if len(cameras) * val >= 2:
        of_camera = [_where(dataset, camera) for camera in cameras]
        chosen = _draw([len(positions) for positions in of_camera], val, rng)
        for positions, is_chosen in zip(of_camera, chosen, strict=True):
            (held_out if is_chosen else train).append(positions)
    else:
        for positions in recordings(dataset.samples).values():
            before, after = _cut([dataset.samples[i] for i in positions], val, gap_s)
            train.append(positions[before])
            held_out.append(positions[after])
    photos = _where(dataset, "")
    if len(photos):
        group = groups(len(photos), alike([dataset.samples[i] for i in photos]))
        chosen = _draw(np.bincount(group).tolist(), val, rng)
        train.append(photos[~chosen[group]])
        held_out.append(photos[chosen[group]])
    parts = [np.sort(np.concatenate([_NONE, *part])) for part in (train, held_out)]
    if not all(map(len, parts)):
        raise SourceError(_why_empty(dataset, len(photos)))
    return parts[0], parts[1]


def _where(dataset: Dataset, camera: str) -> Indices:
    return np.array([i for i, sample in enumerate(dataset.samples) if sample.camera == camera], np.intp)


def _cut(samples: Sequence[Sample], val: float, gap_s: float) -> tuple[slice, slice]:
    """Cut a recording in two, with a gap before the second part; too short a recording stays whole, in the first."""
    num = len(samples)
    start = min(max(num - round(val * num), 1), num)
    if start == num:
        return slice(0, num), slice(num, num)
    times = [sample.time_s for sample in samples if sample.time_s is not None]
    if len(times) < num:
        stop = max(start - math.ceil(MAX_GAP_SHARE * num), 1)
    else:
        last_s = times[start] - gap_between(times, gap_s)
        stop = sum(time_s <= last_s for time_s in times[:start])
    return slice(0, stop), slice(start, num)


def _draw(sizes: Sequence[int], share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw groups that together hold about a share of all members: at least one group, and never all of several."""
    chosen = np.zeros(len(sizes), np.bool_)
    left = share * sum(sizes)
    for group in rng.permutation(len(sizes)):
        if sizes[group] <= 2 * left and chosen.sum() < len(sizes) - 1:
            chosen[group] = True
            left -= sizes[group]
    if len(sizes) > 1 and not chosen.any():
        chosen[int(np.argmin(sizes))] = True
    return chosen


def _why_empty(dataset: Dataset, num_photos: int) -> str:
    if len(dataset) < 2:
        return f"{len(dataset)} labelled pictures cannot be divided into training and held-out ones"
    if num_photos == len(dataset):
        return (
            f"all {num_photos} pictures look alike, so none can be held out; if they are of one camera, say so "
            "(`camera:` in the recipe), and they are divided by time"
        )
    return f"the {len(dataset)} pictures are too few to hold some out; label more, or say `role: train` and `role: val`"


def assemble(recipe: Recipe) -> tuple[Dataset, Dataset]:
    """Read all data of a recipe and divide it into training and held-out pictures.

    Classes are renamed and ordered as the recipe says. A part that is split already (YOLO's data.yaml, a folder with
    COCO files for both) stays so, unless its `role` says otherwise.

    Returns:
        The training pictures, each as often as its part's `repeat` says, and the held-out ones. Both have the same
        labels; their sources say how many pictures and boxes of each part they hold.

    Raises:
        ConfigError: no data for one of the two, or a class that no data has.
        SourceError: data that cannot be used (see `training.formats.read_dataset`), that leaks between the two (see
            `check_leakage`), or without a box in one of them.
    """
    readings = [read(part.path, part.format, images=part.images) for part in recipe.data]
    sources = tuple(
        _source(part, usable(reading, part.path)) for part, reading in zip(recipe.data, readings, strict=True)
    )
    train, val, times = _divide(recipe, readings)
    for name, dataset in (("training", train), ("held-out", val)):
        if not sum(dataset.box_counts().values()):
            raise SourceError(f"recipe '{recipe.name}': none of the {len(dataset)} {name} pictures has a box to find")
    check_leakage(train, val)
    repeated = train.subset(np.repeat(np.arange(len(train)), times).tolist())
    return replace(repeated, sources=_shares(sources, readings, train)), replace(
        val, sources=_shares(sources, readings, val)
    )


def gather(recipe: Recipe) -> Reading:
    """Read all data of a recipe for a first look: what can be used, divided as `assemble` does, and what cannot."""
    readings = [read(part.path, part.format, images=part.images) for part in recipe.data]
    problems = [problem for reading in readings for problem in reading.problems]
    try:
        train, val, _ = _divide(recipe, readings)
    except (ConfigError, SourceError) as error:
        parts = {"": concat([dataset for reading in readings for dataset in reading.parts.values()])}
        return Reading(parts, (*problems, Problem("bad_split", str(error))))
    return Reading({"train": train, "val": val}, tuple(problems))


def _divide(recipe: Recipe, readings: Sequence[Reading]) -> tuple[Dataset, Dataset, Indices]:
    """Give the training and the held-out pictures, and how often each training picture is to be shown."""
    found: dict[str, list[Dataset]] = {"train": [], "val": [], "auto": []}
    repeats: dict[str, list[int]] = {"train": [], "val": [], "auto": []}
    for part, reading in zip(recipe.data, readings, strict=True):
        for role, dataset in _by_role(part, reading).items():
            found[role].append(dataset)
            repeats[role].extend([part.repeat] * len(dataset))
    everything = concat([dataset for datasets in found.values() for dataset in datasets])
    labels = _labels(recipe, everything.labels)
    pools = {role: concat([everything.subset([]), *datasets]) for role, datasets in found.items()}
    pools = {role: pool.relabelled(labels, recipe.rename) for role, pool in pools.items()}
    kept = held_out = _NONE
    if len(pools["auto"]):
        kept, held_out = split_indices(pools["auto"], recipe.split.val, recipe.split.seed, recipe.split.gap_s)
    train = concat([pools["train"], pools["auto"].subset(kept)])
    val = concat([pools["val"], pools["auto"].subset(held_out)])
    for role, dataset in (("train", train), ("val", val)):
        if not len(dataset):
            raise ConfigError(f"recipe '{recipe.name}': data: nothing has role {role} or auto")
    times = np.array([*repeats["train"], *np.array(repeats["auto"], np.intp)[kept]], np.intp)
    return train, val, times


def _by_role(part: DataPart, reading: Reading) -> dict[str, Dataset]:
    """Give the pictures of one part of a recipe by role, with the camera and the tags that the recipe states."""
    whole = reading.whole
    parts = reading.parts if part.role == "auto" and "val" in reading.parts else {part.role: whole}
    return {
        role: replace(
            dataset,
            samples=tuple(
                replace(sample, camera=sample.camera or part.camera, tags={**part.tags, **sample.tags})
                for sample in dataset.samples
            ),
        )
        for role, dataset in parts.items()
    }


def _source(part: DataPart, dataset: Dataset) -> DataSource:
    """Describe one part of a recipe for the model's card."""
    digest = hashlib.sha256(dataset.digest.encode())
    for sample in dataset.samples:
        digest.update(file_digest(sample.path).encode())
    given = {key: value for key in ("name", "licence", "source") if (value := getattr(part, key))}
    return replace(dataset.sources[0], digest=digest.hexdigest(), **given)


def _shares(sources: Sequence[DataSource], readings: Sequence[Reading], dataset: Dataset) -> tuple[DataSource, ...]:
    """Describe what a data set took from each part; parts that it took nothing from are left out."""
    shares = []
    for source, reading in zip(sources, readings, strict=True):
        paths = {sample.path for part in reading.parts.values() for sample in part.samples}
        taken = dataset.subset(i for i, sample in enumerate(dataset.samples) if sample.path in paths)
        if len(taken):
            num_boxes = sum(taken.box_counts().values())
            shares.append(replace(source, num_images=len(taken), num_boxes=num_boxes))
    return tuple(shares)


def _labels(recipe: Recipe, known: Sequence[str]) -> tuple[str, ...] | None:
    """Check the recipe's classes against those of the data after renaming."""
    after = [name for label in known if (name := recipe.rename.get(label, label)) is not None]
    for label in recipe.labels or ():
        if label not in after:
            raise ConfigError(
                f"recipe '{recipe.name}': labels: no data has the class '{label}'{did_you_mean(label, after)}"
            )
    return recipe.labels
