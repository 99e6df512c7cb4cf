"""How well tracks follow the truth: HOTA, MOTA, IDF1 and id switches, counted by TrackEval."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.association import assign
from engine.boxes import iou_matrix
from engine.errors import UsageError
from engine.mot import MotTable


@dataclass(frozen=True)
class TrackScores:
    """How well results follow the truth.

    Attributes:
        hota: HOTA in percent, mean over IoU thresholds .05 to .95 (arXiv 2009.07736); `det_a`, `ass_a` its parts.
        mota: multi-object tracking accuracy in percent, at IoU .5; may be negative.
        idf1: share of boxes with the right identity in percent, at IoU .5.
        id_switches: how often a true object changes its id.
        num_truth: boxes judged.
    """

    hota: float
    det_a: float
    ass_a: float
    mota: float
    idf1: float
    id_switches: int
    false_positives: int
    misses: int
    num_truth: int

    def as_json(self) -> dict[str, float]:
        """Give the scores under their usual names."""
        return {
            "HOTA": round(self.hota, 3),
            "DetA": round(self.det_a, 3),
            "AssA": round(self.ass_a, 3),
            "MOTA": round(self.mota, 3),
            "IDF1": round(self.idf1, 3),
            "id_switches": self.id_switches,
            "false_positives": self.false_positives,
            "misses": self.misses,
            "num_truth": self.num_truth,
        }


@dataclass(frozen=True)
class Judgement:
    """Scores of each sequence, and of all boxes of all sequences together."""

    sequences: Mapping[str, TrackScores]
    combined: TrackScores


def judge_tracks(
    pairs: Mapping[str, tuple[MotTable, MotTable]], frames: tuple[int, int] | None = None, strict: bool = False
) -> Judgement:
    """Judge results.

    Args:
        pairs: ground truth and results of each sequence. Truth that is not to be judged is left out, and so are
            results that lie on truth which is open (see `without_open`).
        frames: first and last frame to judge, both included; every frame of either table by default.
        strict: results on rows of confidence 0 are false positives, as MOT15 was judged.

    Raises:
        UsageError: TrackEval is not installed.
    """
    metrics = _trackeval_metrics()
    counted: dict[str, dict[str, Any]] = {metric.get_name(): {} for metric in metrics}
    for name, (truth, results) in pairs.items():
        truth, results = _within(truth, frames), _within(results, frames)
        is_open = truth.is_open & (truth.class_id != -1) if strict else truth.is_open
        data = _sequence_data(truth[truth.is_judged], without_open(truth, is_open, results))
        for metric in metrics:
            counted[metric.get_name()][name] = metric.eval_sequence(data)
    combined = {metric.get_name(): metric.combine_sequences(counted[metric.get_name()]) for metric in metrics}
    by_sequence = {name: _scores({metric: counted[metric][name] for metric in counted}) for name in pairs}
    return Judgement(by_sequence, _scores(combined))


def _trackeval_metrics() -> list[Any]:
    try:
        # TrackEval prints about optional parts of itself while it is imported; standard output is ours.
        with contextlib.redirect_stdout(io.StringIO()):
            from trackeval.metrics import CLEAR, HOTA, Identity
    except ModuleNotFoundError as error:
        raise UsageError(
            f"judging tracks needs the package '{error.name}'; install it with `pip install --no-deps trackeval` "
            f"(its own dependencies would replace the headless OpenCV)"
        ) from None
    quiet = {"PRINT_CONFIG": False}
    return [HOTA(), CLEAR(quiet), Identity(quiet)]


def _within(table: MotTable, frames: tuple[int, int] | None) -> MotTable:
    return table if frames is None else table[(table.frame >= frames[0]) & (table.frame <= frames[1])]


def without_open(truth: MotTable, is_open: NDArray[np.bool_], results: MotTable) -> MotTable:
    """Leave out results that match open truth: whoever finds it is neither right nor wrong.

    TrackEval's rule for the distractors of MOT16 and later: one-to-one matching with all truth, at IoU .5.

    Args:
        truth: every row of the ground truth.
        is_open: which of them are open.
        results: what was found.
    """
    keep = np.ones(len(results), np.bool_)
    num_frames = max(truth.last_frame, results.last_frame)
    for of_truth, of_results in zip(truth.rows_by_frame(num_frames), results.rows_by_frame(num_frames), strict=True):
        if is_open[of_truth].any():
            iou = iou_matrix(truth.xyxy[of_truth], results.xyxy[of_results])
            rows, columns = assign(iou, iou >= 0.5)
            keep[of_results[columns[is_open[of_truth[rows]]]]] = False
    return results[keep]


def _sequence_data(truth: MotTable, results: MotTable) -> dict[str, Any]:
    num_frames = max(truth.last_frame, results.last_frame)
    gt_names, gt_ids = np.unique(truth.track_id, return_inverse=True)
    names, ids = np.unique(results.track_id, return_inverse=True)
    in_truth = [(truth.xyxy[rows], gt_ids[rows]) for rows in truth.rows_by_frame(num_frames)]
    in_results = [(results.xyxy[rows], ids[rows]) for rows in results.rows_by_frame(num_frames)]
    return {
        "num_timesteps": num_frames,
        "num_gt_ids": len(gt_names),
        "num_tracker_ids": len(names),
        "num_gt_dets": len(truth),
        "num_tracker_dets": len(results),
        "gt_ids": [ids_here for _, ids_here in in_truth],
        "tracker_ids": [ids_here for _, ids_here in in_results],
        "similarity_scores": [
            iou_matrix(a, b).astype(np.float64) for (a, _), (b, _) in zip(in_truth, in_results, strict=True)
        ],
    }


def _scores(counted: dict[str, Any]) -> TrackScores:
    hota, clear, identity = counted["HOTA"], counted["CLEAR"], counted["Identity"]
    return TrackScores(
        hota=100 * float(np.mean(hota["HOTA"])),
        det_a=100 * float(np.mean(hota["DetA"])),
        ass_a=100 * float(np.mean(hota["AssA"])),
        mota=100 * float(clear["MOTA"]),
        idf1=100 * float(identity["IDF1"]),
        id_switches=int(clear["IDSW"]),
        false_positives=int(clear["CLR_FP"]),
        misses=int(clear["CLR_FN"]),
        num_truth=int(clear["CLR_TP"] + clear["CLR_FN"]),
    )
