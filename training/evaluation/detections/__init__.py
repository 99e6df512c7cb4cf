"""Judge detections against ground truth: figures, their certainty, and where they fail.

pycocotools counts every average precision. Everything else is counted on its matches.
"""

from training.evaluation.detections.bootstrap import Difference, Interval
from training.evaluation.detections.coco_files import read_results, read_truth
from training.evaluation.detections.command import register
from training.evaluation.detections.comparison import compare
from training.evaluation.detections.evaluate import Evaluation, evaluate
from training.evaluation.detections.judge import DetectionScores, Judge, judge_detections
from training.evaluation.detections.predict import common_labels, predict

__all__ = [
    "DetectionScores",
    "Difference",
    "Evaluation",
    "Interval",
    "Judge",
    "common_labels",
    "compare",
    "evaluate",
    "judge_detections",
    "predict",
    "read_results",
    "read_truth",
    "register",
]
