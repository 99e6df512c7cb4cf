"""What the held-out pictures say about a detector in PyTorch, by the way that live boxes take."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from engine.boxes import batched_nms
from engine.heads.yolox import Yolox
from engine.picture import Letterbox, LetterboxGeometry, Picture, Pixels
from training.dataset import Dataset
from training.evaluation.detections import judge_detections
from training.model import Detector, Scored

# Boxes below hardly move average precision, and cost most of the time of suppression.
_MIN_CONFIDENCE = 0.01
# COCO counts the best hundred of a picture.
_MAX_DETECTIONS = 100
_BATCH = 16


class HeldOut:
    """Held-out pictures as the live engine sees them, kept in memory up to a limit.

    Args:
        dataset: the pictures.
        input_wh: the model's input.
        limit_bytes: pictures beyond are read each time.
    """

    def __init__(self, dataset: Dataset, input_wh: tuple[int, int], limit_bytes: int = 1 << 29) -> None:
        self.dataset = dataset
        self._truth = dataset.to_coco()
        self._letterbox = Letterbox(input_wh)
        self._kept: dict[int, Pixels] = {}
        self._num_kept = limit_bytes // (input_wh[0] * input_wh[1] * 3)

    def image_id(self, index: int) -> Any:
        """Say by which `image_id` results name a picture."""
        return self._truth["images"][index]["id"]

    def judge(self, detector: Detector, device: torch.device) -> dict[str, float]:
        """Give COCO's twelve numbers by name, 0..1.

        Args:
            detector: in eval mode, on the device.
            device: where it is.

        Raises:
            SourceError: a picture cannot be read.
        """
        return judge_detections(self._truth, self.predict(detector, device, len(self.dataset))).stats

    @torch.inference_mode()
    def predict(self, detector: Detector, device: torch.device, num: int) -> list[dict[str, Any]]:
        """Detect objects in the first pictures; gives COCO results, boxes in pixels of the pictures.

        Raises:
            SourceError: a picture cannot be read.
        """
        model = Scored(detector)
        results: list[dict[str, Any]] = []
        for start in range(0, num, _BATCH):
            indices = range(start, min(start + _BATCH, num))
            images = torch.from_numpy(np.stack([self._input(index) for index in indices])).to(device).float()
            for index, output in zip(indices, model(images).cpu().numpy(), strict=True):
                geometry = self._letterbox.geometry(self.dataset.samples[index].size_wh)
                results += self._decode(output, geometry, self.image_id(index))
        return results

    def _input(self, index: int) -> Pixels:
        if index in self._kept:
            return self._kept[index]
        pixels = Picture.from_bgr(self.dataset.samples[index].read().bgr).letterbox(self._letterbox)
        if len(self._kept) < self._num_kept:
            self._kept[index] = pixels
        return pixels

    def _decode(self, output: Any, geometry: LetterboxGeometry, image_id: int | str) -> list[dict[str, Any]]:
        """Turn one picture's output (cells, 5 + classes) into boxes, best first, as `operators/infer.py` does."""
        head = Yolox([output[None]], self._letterbox.size_wh)
        found = head.candidates([output], _MIN_CONFIDENCE)
        keep = batched_nms(found.xyxy, found.confidence, found.column, head.iou)
        xyxy = geometry.to_source(found.xyxy[keep])
        seen = np.flatnonzero(((xyxy[:, 2:] - xyxy[:, :2]) > 0).all(axis=1))[:_MAX_DETECTIONS]
        return [
            {"image_id": image_id, "category_id": column, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
            for (x1, y1, x2, y2), column, score in zip(
                xyxy[seen].tolist(), found.column[keep[seen]].tolist(), found.confidence[keep[seen]].tolist(),
                strict=True,
            )
        ]  # fmt: skip
