"""Reference statistics: what a model's training pictures looked like, and what the model saw in them.

Raw samples, not histograms: whoever compares a camera with them needs to draw blocks of them by camera and time. Of a
few cameras their empty scene is kept too, to tell one that was moved or whose lens is dirty. The file is a NumPy `.npz`
of plain columns and small pictures, below 300 kB, with the same bytes for the same samples.
"""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import detection_statistics, frame_statistics
from engine.detection_statistics import DETECTION_STATISTICS
from engine.errors import BundleError
from engine.frame_statistics import FRAME_STATISTICS, THUMBNAIL_LENGTH
from engine.picture import Pixels

SCHEMA = "vedette.reference/2"
FUNCTIONS = {"frame": frame_statistics.VERSION, "detection": detection_statistics.VERSION}
SAMPLE_STATISTICS = (*FRAME_STATISTICS, "count")
"""One number a sample: of the picture, and how many boxes the model found in it."""

MAX_SAMPLES = 1500
MAX_BOXES = 5000
MAX_SCENES = 8
DEFAULT_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

# What NumPy and zipfile raise for bytes that are not theirs.
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
_MAKE_AGAIN = "make it again with `vedette reference BUNDLE --data DATA`"

Column = NDArray[np.float32]
Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class ReferenceStatistics:
    """N sampled frames and M of the boxes that the model found in them.

    Attributes:
        labels: the model's class names.
        model: digest of the bundle whose model was run.
        min_confidence: weaker boxes were left out; leave them out of what is compared with it, too.
        num_frames: frames that the samples were chosen from.
        cameras: names of the cameras; "" for photographs that belong to none.
        tag_sets: the slices that frames belong to, such as `{"light": "night"}`.
        samples: by name (`SAMPLE_STATISTICS`), float32 (N,).
        camera: (N,), position in `cameras`. Samples are in the order of cameras, tag sets and times.
        tag_set: (N,), position in `tag_sets`.
        time_s: float64 (N,), seconds of the recording; NaN where unknown.
        has_boxes: bool (N,); all boxes of the sample are among the M, or none. A crowded reference keeps the
            boxes of a part of its samples; `count` is known for all.
        boxes: by name (`DETECTION_STATISTICS`), float32 (M,).
        sample: (M,), position of the box's sample, ascending.
        class_id: (M,), position in `labels`.
        scenes: by camera, uint8 (h, w) luma 0..255, longer side `THUMBNAIL_LENGTH` at most: the median of its
            thumbnails. At most `MAX_SCENES` of the cameras that are recordings have one.
    """

    labels: tuple[str, ...]
    model: str
    min_confidence: float
    num_frames: int
    cameras: tuple[str, ...]
    tag_sets: tuple[Mapping[str, str], ...]
    samples: Mapping[str, Column]
    camera: Rows
    tag_set: Rows
    time_s: NDArray[np.float64]
    has_boxes: NDArray[np.bool_]
    boxes: Mapping[str, Column]
    sample: Rows
    class_id: Rows
    scenes: Mapping[str, Pixels] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.camera)

    @property
    def num_boxes(self) -> int:
        """M."""
        return len(self.sample)

    def columns(self) -> dict[str, Column]:
        """Give every statistic by name: (N,) those of samples, (M,) those of boxes."""
        return {**self.samples, **self.boxes}

    def class_mix(self) -> dict[str, float]:
        """Give the share of each class among the boxes, in the order of `labels`; all 0 without a box."""
        counts = np.bincount(self.class_id, minlength=len(self.labels)) / max(1, self.num_boxes)
        return dict(zip(self.labels, counts.tolist(), strict=True))

    def quantiles(self, shares: Sequence[float] = DEFAULT_QUANTILES) -> dict[str, list[float]]:
        """Give the quantiles of every statistic that has values: without boxes those of boxes are left out."""
        columns = {name: column for name, column in self.columns().items() if len(column)}
        return {name: np.quantile(column, shares).tolist() for name, column in columns.items()}

    def slice(self, camera: str | None = None, tags: Mapping[str, str] | None = None) -> ReferenceStatistics:
        """Give the samples of one camera, or with these tags, or both, with their boxes; none may be left."""
        keep = np.ones(len(self), bool)
        if camera is not None:
            keep &= np.array([name == camera for name in self.cameras], bool)[self.camera]
        if tags is not None:
            keep &= np.array([tags.items() <= each.items() for each in self.tag_sets], bool)[self.tag_set]
        return self._take(np.flatnonzero(keep))

    def at_confidence(self, min_confidence: float) -> ReferenceStatistics:
        """Give what a higher bound on confidence would have left.

        Only samples that have their boxes can be counted again; the others go.
        """
        part = self._take(np.flatnonzero(self.has_boxes))
        strong = part.boxes["confidence"] >= np.float32(min_confidence)
        count = np.bincount(part.sample[strong], minlength=len(part)).astype(np.float32)
        return replace(
            part,
            min_confidence=max(self.min_confidence, min_confidence),
            samples={**part.samples, "count": count},
            boxes={name: column[strong] for name, column in part.boxes.items()},
            sample=part.sample[strong],
            class_id=part.class_id[strong],
        )

    def _take(self, rows: Rows) -> ReferenceStatistics:
        position = np.full(len(self), -1, np.intp)
        position[rows] = np.arange(len(rows))
        kept = position[self.sample] >= 0
        left = {self.cameras[number] for number in np.unique(self.camera[rows])}
        return replace(
            self,
            scenes={camera: scene for camera, scene in self.scenes.items() if camera in left},
            samples={name: column[rows] for name, column in self.samples.items()},
            camera=self.camera[rows],
            tag_set=self.tag_set[rows],
            time_s=self.time_s[rows],
            has_boxes=self.has_boxes[rows],
            boxes={name: column[kept] for name, column in self.boxes.items()},
            sample=position[self.sample[kept]],
            class_id=self.class_id[kept],
        )

    def save(self, path: Path) -> None:
        """Write the file; it appears complete or not at all."""
        facts = {
            "schema": SCHEMA, "functions": FUNCTIONS, "labels": self.labels, "model": self.model,
            "min_confidence": self.min_confidence, "num_frames": self.num_frames, "cameras": self.cameras,
            "tag_sets": [dict(sorted(tags.items())) for tags in self.tag_sets], "scenes": list(self.scenes),
        }  # fmt: skip
        arrays: dict[str, NDArray[Any]] = {
            "facts": np.frombuffer(json.dumps(facts, ensure_ascii=False).encode(), np.uint8),
            "camera": self.camera.astype(np.int32),
            "tag_set": self.tag_set.astype(np.int32),
            "time_s": self.time_s,
            "has_boxes": self.has_boxes,
            "box_sample": self.sample.astype(np.int32),
            "box_class_id": self.class_id.astype(np.int32),
            **{f"sample_{name}": self.samples[name] for name in SAMPLE_STATISTICS},
            **{f"box_{name}": self.boxes[name] for name in DETECTION_STATISTICS},
            **{f"scene_{number}": scene for number, scene in enumerate(self.scenes.values())},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
            fresh = Path(folder) / path.name
            _write_npz(fresh, arrays)
            fresh.replace(path)

    @classmethod
    def load(cls, path: Path) -> ReferenceStatistics:
        """Read the file.

        Raises:
            BundleError: missing, damaged, or of another version of the statistics.
        """
        if not path.is_file():
            raise BundleError(f"{path}: no such file of reference statistics; {_MAKE_AGAIN}")
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            facts = json.loads(arrays["facts"].tobytes())
            made_by = (facts["schema"], facts["functions"])
        except _DAMAGE as error:
            raise BundleError(f"{path}: no reference statistics, or damaged ({error}); {_MAKE_AGAIN}") from None
        if made_by != (SCHEMA, FUNCTIONS):
            raise BundleError(
                f"{path}: reference statistics of another version: {_version(*made_by)}, this version of Vedette "
                f"compares with {_version(SCHEMA, FUNCTIONS)}; {_MAKE_AGAIN}"
            )
        try:
            found = cls._of(facts, arrays)
            found._check()
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise BundleError(f"{path}: damaged reference statistics ({error}); {_MAKE_AGAIN}") from None
        return found

    @classmethod
    def _of(cls, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> ReferenceStatistics:
        return cls(
            labels=tuple(facts["labels"]),
            model=facts["model"],
            min_confidence=facts["min_confidence"],
            num_frames=facts["num_frames"],
            cameras=tuple(facts["cameras"]),
            tag_sets=tuple(facts["tag_sets"]),
            samples={name: arrays[f"sample_{name}"] for name in SAMPLE_STATISTICS},
            camera=arrays["camera"].astype(np.intp),
            tag_set=arrays["tag_set"].astype(np.intp),
            time_s=arrays["time_s"],
            has_boxes=arrays["has_boxes"],
            boxes={name: arrays[f"box_{name}"] for name in DETECTION_STATISTICS},
            sample=arrays["box_sample"].astype(np.intp),
            class_id=arrays["box_class_id"].astype(np.intp),
            scenes={camera: arrays[f"scene_{number}"] for number, camera in enumerate(facts["scenes"])},
        )

    def _check(self) -> None:
        """Raise ValueError unless the columns fit one another."""
        of_samples: dict[str, NDArray[Any]] = {
            "camera": self.camera,
            "tag_set": self.tag_set,
            "time_s": self.time_s,
            **self.samples,
        }
        of_boxes: dict[str, NDArray[Any]] = {"sample": self.sample, "class_id": self.class_id, **self.boxes}
        for length, columns in ((len(self), {**of_samples, "has_boxes": self.has_boxes}), (self.num_boxes, of_boxes)):
            for name, column in columns.items():
                if column.shape != (length,):
                    raise ValueError(f"{name} has the shape {column.shape} where ({length},) is expected")
        for name, column in self.columns().items():
            if column.dtype != np.float32 or not np.isfinite(column).all():
                raise ValueError(f"{name} holds what is not a float32 number")
        for name, rows, stop in (
            ("camera", self.camera, len(self.cameras)), ("tag_set", self.tag_set, len(self.tag_sets)),
            ("sample", self.sample, len(self)), ("class_id", self.class_id, len(self.labels)),
        ):  # fmt: skip
            if len(rows) and not (rows.min() >= 0 and rows.max() < stop):
                raise ValueError(f"{name} points at {rows.max()} of {stop}")
        for camera, scene in self.scenes.items():
            if camera not in self.cameras:
                raise ValueError(f"there is a scene of '{camera}', which is none of the cameras")
            if scene.dtype != np.uint8 or scene.ndim != 2 or not 0 < max(scene.shape) <= THUMBNAIL_LENGTH:
                raise ValueError(f"the scene of '{camera}' is no grey picture of {THUMBNAIL_LENGTH} pixels")


def _version(schema: Any, functions: Any) -> str:
    return f"{schema} with functions {functions}"


def _write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    # As numpy.savez_compressed does, but with the date stated: the same samples give the same bytes.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(
                zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), buffer.getvalue(), zipfile.ZIP_DEFLATED
            )
